//! What a registry behind the gateway says: a file of its index, or its `config.json`.
//!
//! The first byte says which: even, the rest is an index file; odd, it is a `config.json`.
#![no_main]
#![allow(dead_code, unused_imports, reason = "the gateway uses the rest")]

/// The gateway's own modules, without the server around them: that is built in a tenth of the time. It is a macro because
/// `cargo xtask floors` would look for them in this folder.
macro_rules! modules_of_the_gateway {
    ($($name:ident)*) => {
        #[path = "../../gateway/src"]
        mod gateway {
            $(pub(crate) mod $name;)*
        }
    };
}
modules_of_the_gateway!(index);

use asymmetric_token::Checksum;
use gateway::index;
use libfuzzer_sys::fuzz_target;
use semver::Version;
use url::Url;

use index::{IndexUrls, RegistryConfig, VersionState};

const OTHER: &str = "sparse+https://other.example/index/";

fuzz_target!(|input: &[u8]| {
    match input.split_first() {
        Some((how, file)) if how % 2 == 0 => index_file(file),
        Some((_, json)) => config(json),
        None => {}
    }
});

/// A line as cargo has it; more may be there.
#[derive(serde::Deserialize)]
struct Line {
    vers: String,
    cksum: String,
    #[serde(default)]
    yanked: bool,
}

/// Where both readings take a line for one, they see the same in it.
fn index_file(file: &[u8]) {
    let version = Version::new(1, 0, 0);
    let lines =
        file.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Line>(line).ok());
    let plain = lines.into_iter().find(|line| line.vers == "1.0.0");
    match (index::version_state(file, &version), plain) {
        (Ok(Some(VersionState { checksum, yanked })), Some(line)) => {
            assert_eq!((checksum.to_string(), yanked), (line.cksum, line.yanked));
        }
        (Ok(None), Some(_)) => panic!("a version is not seen"),
        _ => {}
    }
    for version in index::depending_on(file, &IndexUrls::new([OTHER])) {
        assert!(!version.is_empty() || file.windows(9).any(|part| part == b"\"vers\":\"\""));
    }
}

/// Credentials go where the index is, and crates come by HTTP.
fn config(json: &[u8]) {
    let index = Url::parse("https://registry.example/index/").expect("a URL");
    let Ok(config) = RegistryConfig::read(json, &index, None, None) else { return };
    assert_eq!(config.api.origin(), index.origin());
    assert!(config.api.path().ends_with('/') && config.api.username().is_empty());
    let api = config.api("api/v1/crates/new");
    assert_eq!(api.origin(), index.origin());
    assert!(api.path().ends_with("/api/v1/crates/new"), "{api}");
    let (name, version) = ("Hello".parse().expect("a name"), "1.0.0+b".parse().expect("a version"));
    let checksum = config.needs_checksum().then_some(Checksum([1; 32]));
    if let Ok(download) = config.download(&name, &version, checksum) {
        assert!(matches!(download.scheme(), "http" | "https") && download.has_host());
    }
}

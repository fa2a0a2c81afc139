//! Bytes from anywhere: whatever comes is read or refused, and reading ends.

use std::io::Cursor;

use proptest::prelude::*;
use registry_gateway::crate_file::CrateFile;
use registry_gateway::index;
use registry_gateway::metadata::{self, Sent};

use crate::common::{archive, gzip};

const URL: &str = "sparse+https://crates.example/index/";
const MANIFEST: &str = "[package]\nname = \"hello\"\nversion = \"1.0.0\"\n";

fn open(file: Vec<u8>) -> Option<String> {
    let length = file.len() as u64;
    CrateFile::open(Cursor::new(file), length, "hello", "1.0.0").ok().map(|file| file.manifest().to_owned())
}

/// Pieces of a text, most of them repeated: what opens something is as good as never closed again.
fn deep(pieces: &'static [&'static str]) -> impl Strategy<Value = String> {
    let run = (proptest::sample::select(pieces), proptest::sample::select(&[1, 2, 20, 60, 2000][..]));
    let run = run.prop_map(|(piece, times)| piece.repeat(times));
    proptest::collection::vec(run, 0..8).prop_map(|runs| runs.concat())
}

/// What the metadata of a crate with this Cargo.toml and this JSON comes to: whatever it is, it comes.
fn rebuild(manifest: &str, sent: &serde_json::Value) {
    let file = gzip(&archive([("hello-1.0.0/Cargo.toml".to_owned(), manifest.as_bytes())]));
    let length = file.len() as u64;
    let Ok(mut file) = CrateFile::open(Cursor::new(file), length, "hello", "1.0.0") else { return };
    let Ok(sent) = Sent::parse(sent.to_string().as_bytes(), URL) else { return };
    let _ = metadata::rebuild(&mut file, &sent, URL);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_json_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Sent::parse(&bytes, URL);
    }

    #[test]
    fn json_with_a_value_of_any_kind_in_any_field(
        field in "name|vers|deps|features|authors|readme|badges|links|rust_version",
        value in "null|true|1|1e999|\"x\"|\\[\\]|\\[1\\]|\\[\\{\\}\\]|\\{\\}|\\{\"a\":1\\}|\\{\"a\":\\[1\\]\\}",
    ) {
        let json = format!(r#"{{"{field}":{value}}}"#);
        prop_assert!(Sent::parse(json.as_bytes(), URL).is_err());
    }

    #[test]
    fn any_bytes_as_a_crate_file(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        prop_assert_eq!(open(bytes.clone()), None);
        open(gzip(&bytes));
    }

    /// One byte of an archive changed: it is refused, or the manifest is the one that is there.
    #[test]
    fn an_archive_with_one_wrong_byte(at in 0_usize..2560, byte in any::<u8>()) {
        let mut tar = archive([
            ("hello-1.0.0/Cargo.toml".to_owned(), MANIFEST.as_bytes()),
            ("hello-1.0.0/src/lib.rs".to_owned(), b""),
        ]);
        tar[at] = byte;
        let manifest = tar[512..512 + MANIFEST.len()].to_vec();
        if let Some(read) = open(gzip(&tar)) {
            prop_assert_eq!(read.into_bytes(), manifest);
        }
    }

    #[test]
    fn platforms_of_any_depth(
        platform in deep(&["not(", "all(", "any(a,", "all(a=\")\",", "unix", "\"", ",", ")", "(", " "]),
    ) {
        let platform = format!("cfg({platform}");
        let plain = serde_json::json!({ "name": "hello", "vers": "1.0.0" });
        let dependency = serde_json::json!({ "name": "a", "version_req": "*", "target": platform });
        let mut with_platform = plain.clone();
        with_platform["deps"] = vec![dependency].into();
        rebuild(MANIFEST, &with_platform);
        rebuild(&format!("{MANIFEST}[target.'{platform}'.dependencies]\na = \"1\"\n"), &plain);
    }

    /// One of the keys alone has as many dots as the parser allows.
    #[test]
    fn toml_of_any_depth(
        text in deep(&["[", "]", "{a = ", "{KEY = ", "[{KEY = [", "}", "KEY", "\nKEY = ", "\n[KEY]\n", "1", ",", "\""]),
    ) {
        let text = text.replace("KEY", &format!("{}a", "a.".repeat(78)));
        let plain = serde_json::json!({ "name": "hello", "vers": "1.0.0" });
        rebuild(&format!("{MANIFEST}{text}"), &plain);
        rebuild(&format!("{MANIFEST}[metadata]\nx = {text}"), &plain);
    }

    #[test]
    fn a_path_in_the_index_names_one_crate(name in "[A-Za-z_][A-Za-z0-9_-]{0,63}") {
        let path = index::path(&name);
        let lower = name.to_ascii_lowercase();
        prop_assert_eq!(path.rsplit('/').next(), Some(lower.as_str()));
        prop_assert_eq!(index::path(&lower), path);
    }
}

//! Bytes from anywhere: whatever comes is read or refused, and reading ends.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::io::Cursor;

use common::{archive, gzip};
use proptest::prelude::*;
use registry_gateway::crate_file::CrateFile;
use registry_gateway::index;
use registry_gateway::metadata::Sent;

const URL: &str = "sparse+https://crates.example/index/";
const MANIFEST: &str = "[package]\nname = \"hello\"\nversion = \"1.0.0\"\n";

fn open(file: Vec<u8>) -> Option<String> {
    let length = file.len() as u64;
    CrateFile::open(Cursor::new(file), length, "hello", "1.0.0").ok().map(|file| file.manifest().to_owned())
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
    fn a_path_in_the_index_names_one_crate(name in "[A-Za-z_][A-Za-z0-9_-]{0,63}") {
        let path = index::path(&name);
        let lower = name.to_ascii_lowercase();
        prop_assert_eq!(path.rsplit('/').next(), Some(lower.as_str()));
        prop_assert_eq!(index::path(&lower), path);
    }
}

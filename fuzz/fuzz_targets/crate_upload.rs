//! A publish: any JSON beside any crate file.
//!
//! The input is a length (two bytes, the low one first), that much JSON, and a tar archive, which is packed here. Where the
//! first bit of the length is set, the checksums of the archive's headers are put right first: a fuzzer does not find them.
//!
//! What the gateway accepts, the tar crate reads to the same files; what it rebuilds from them, it accepts as what was sent.
#![no_main]

use std::collections::HashSet;
use std::io::{Cursor, Read as _, Write as _};

use crate_file::metadata::{self, PublishJsonError, Sent};
use crate_file::{CrateFile, CrateFileError, index};
use flate2::Compression;
use flate2::write::GzEncoder;
use libfuzzer_sys::fuzz_target;

const URL: &str = "sparse+https://registry.example/index/";
const NAME: &str = "a";
const VERSION: &str = "1.0.0";
const ROOT: &str = "a-1.0.0/";

fuzz_target!(|input: &[u8]| {
    let [low, high, rest @ ..] = input else { return };
    let length = usize::from(u16::from_le_bytes([*low, *high & 0x7F])).min(rest.len());
    let (json, archive) = rest.split_at(length);
    let sent = Sent::parse(json, URL);
    let mut archive = archive.to_vec();
    if high & 0x80 != 0 {
        put_checksums_right(&mut archive);
    }
    let packed = packed(&archive);
    let length = packed.len() as u64;
    let Ok(mut file) = CrateFile::open(Cursor::new(packed), length, NAME, VERSION) else { return };
    reads_the_same(&mut file, &archive);
    if let Ok(sent) = sent {
        let _ = metadata::rebuild(&mut file, &sent, URL);
    }
    is_accepted(&mut file);
});

/// Whatever another program unpacks is what was looked at here.
fn reads_the_same(file: &mut CrateFile<Cursor<Vec<u8>>>, archive: &[u8]) {
    let mut paths = HashSet::new();
    for entry in tar::Archive::new(archive).entries().expect("in memory") {
        let mut entry = entry.expect("what was accepted can be read");
        assert!(entry.header().entry_type().is_file());
        let path = String::from_utf8(entry.path_bytes().into_owned()).expect("ASCII");
        let inner = path.strip_prefix(ROOT).expect("below the root").to_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).expect("in memory");
        if inner == "Cargo.toml" {
            assert_eq!(file.manifest().as_bytes(), content);
        }
        match file.text(&inner) {
            Ok(text) => assert_eq!(text.map(String::into_bytes), Some(content)),
            Err(CrateFileError::NotUtf8(_)) => assert!(String::from_utf8(content).is_err()),
            Err(error) => panic!("{error}"),
        }
        assert!(paths.insert(inner.to_lowercase()), "{inner} twice");
    }
    assert!(paths.contains("cargo.toml"));
}

/// What is told to a registry behind says the same as the file.
fn is_accepted(file: &mut CrateFile<Cursor<Vec<u8>>>) {
    let Ok(signed) = metadata::of_file(file, URL) else { return };
    let json = signed.to_publish_json().to_string();
    match Sent::parse(json.as_bytes(), URL) {
        Ok(sent) => {
            assert_eq!(metadata::rebuild(file, &sent, URL).expect("the same"), signed);
            assert!(sent.unknown.is_empty());
        }
        // The token has a version that is one, and the manifest must have the same. A dependency is longer here than there.
        Err(PublishJsonError::Version("vers") | PublishJsonError::TooMany) => {}
        Err(error) => panic!("{error}: {json}"),
    }
    let line = index::Line::new(&signed, asymmetric_token::Checksum([1; 32]));
    let text = serde_json::to_string(&line).expect("texts");
    assert_eq!(serde_json::from_str::<index::Line>(&text).expect("ours"), line);
}

fn packed(archive: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
    encoder.write_all(archive).expect("in memory");
    encoder.finish().expect("in memory")
}

/// As far as sizes can be read, which are in octal digits.
fn put_checksums_right(archive: &mut [u8]) {
    let mut rest = archive;
    while rest.len() >= 512 && rest[..512].iter().any(|byte| *byte != 0) {
        rest[148..156].fill(b' ');
        let sum: u32 = rest[..512].iter().map(|byte| u32::from(*byte)).sum();
        rest[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let digits = rest[124..136].iter().take_while(|byte| byte.is_ascii_digit());
        let size = digits.fold(0_usize, |size, digit| (size << 3) + usize::from(digit - b'0'));
        let next = 512 + size.next_multiple_of(512);
        rest = rest.get_mut(next..).unwrap_or_default();
    }
}

//! Whatever is accepted as a crate file is read by every other program as it was read here: by Rust's tar, with which cargo
//! unpacks, and as far as they are on this computer, by GNU tar, bsdtar and Python.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]
#![allow(clippy::print_stderr, reason = "a skipped test says why")]
#![cfg(unix)]

use std::collections::BTreeSet;
use std::fs;
use std::io::{Cursor, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate_file::CrateFile;
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

const ROOT: &str = "hello-1.0.0/";
const MANIFEST: &[u8] = b"[package]\nname = \"hello\"\nversion = \"1.0.0\"\n";

/// Paths and contents, in order.
type Files = Vec<(String, Vec<u8>)>;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// As cargo packages them: what has a long name has an entry more.
fn archive(ustar: bool, files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = if ustar { tar::Header::new_ustar() } else { tar::Header::new_gnu() };
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, format!("{ROOT}{path}"), *content).unwrap();
    }
    tar.into_inner().unwrap()
}

fn opened(packed: &[u8]) -> Option<CrateFile<Cursor<&[u8]>>> {
    CrateFile::open(Cursor::new(packed), packed.len() as u64, "hello", "1.0.0").ok()
}

/// What cargo unpacks; it has to be what was looked at.
fn read_by_rust(packed: &[u8], file: &mut CrateFile<Cursor<&[u8]>>) -> Files {
    let mut files = Files::new();
    for entry in tar::Archive::new(flate2::read::MultiGzDecoder::new(packed)).entries().unwrap() {
        let mut entry = entry.unwrap();
        assert_eq!(entry.header().entry_type(), tar::EntryType::Regular);
        let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        let seen = file.text(path.strip_prefix(ROOT).unwrap()).unwrap().unwrap();
        assert_eq!(seen.as_bytes(), content, "{path}");
        files.push((path, content));
    }
    let manifest = files.iter().find(|(path, _)| *path == format!("{ROOT}Cargo.toml")).unwrap();
    assert_eq!(file.manifest().as_bytes(), manifest.1);
    files
}

/// A crate file that was accepted.
struct Accepted {
    packed: Vec<u8>,
    files: Files,
    /// Which header has a wrong byte, and where.
    wrong: (usize, usize),
}

/// What an archive becomes by one wrong byte in a header, with the checksum put right in one way or the other, or by other
/// bytes at its end; those that are accepted.
fn accepted() -> Vec<Accepted> {
    const BYTES: &[u8] = b"\0 0179+-/\\.:~Lx\x80\xFF";
    let long = format!("{}x", "long/".repeat(22));
    let files: &[(&str, &[u8])] =
        &[("a+0", b""), ("Cargo.toml", MANIFEST), (&long, b"of a long name"), ("\u{e9}.txt", b"\xC3\xA9")];
    let (mut accepted, mut all) = (Vec::new(), 0);
    let mut consider = |tar: &[u8], wrong| {
        all += 1;
        let packed = gzip(tar);
        if let Some(mut file) = opened(&packed) {
            let files = read_by_rust(&packed, &mut file);
            accepted.push(Accepted { packed, files, wrong });
        }
    };
    for ustar in [false, true] {
        let good = archive(ustar, files);
        let is_header = |block: &usize| good[block * 512 + 257..].starts_with(b"ustar");
        for header in (0..good.len() / 512).filter(is_header).map(|block| block * 512) {
            for (at, byte) in (0..512).flat_map(|at| BYTES.iter().map(move |byte| (at, *byte))) {
                if good[header + at] == byte {
                    continue;
                }
                let mut tar = good.clone();
                tar[header + at] = byte;
                if !(148..156).contains(&at) {
                    put_right(&mut tar[header..header + 512], (at + usize::from(byte)).is_multiple_of(2));
                }
                consider(&tar, (header + usize::from(ustar), at));
            }
        }
        for cut in 0..=5 {
            consider(&good[..good.len() - 256 * cut], (0, 1000 + cut));
        }
        for more in [1, 512, 8192] {
            consider(&[&good[..], &vec![0; more]].concat(), (0, 2000 + more));
            consider(&[&good[..], &vec![b'x'; more]].concat(), (0, 3000 + more));
        }
        consider(&[&good[..good.len() - 512], &good].concat(), (0, 4000));
    }
    eprintln!("{} of {all} are accepted", accepted.len());
    assert!(accepted.len() > 100);
    accepted
}

fn put_right(header: &mut [u8], six: bool) {
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    let text = if six { format!("{sum:06o}\0 ") } else { format!("{sum:07o}\0") };
    header[148..156].copy_from_slice(text.as_bytes());
}

#[test]
fn every_reader_sees_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (mut places, mut all, mut one_of_each_place) = (BTreeSet::new(), Vec::new(), Vec::new());
    for (number, Accepted { packed, files, wrong }) in accepted().into_iter().enumerate() {
        let path = folder.path().join(format!("{number}.crate"));
        fs::write(&path, packed).unwrap();
        if places.insert(wrong) {
            one_of_each_place.push((path.clone(), files.clone()));
        }
        all.push((path, files));
    }
    for (program, before_a_path) in [("tar", ""), ("bsdtar", "x ")] {
        if !runs(program) {
            eprintln!("skipped: there is no {program}");
            continue;
        }
        for (path, files) in &one_of_each_place {
            let read = read_by(program, path);
            let contents: Vec<u8> = files.iter().flat_map(|(_, content)| content.clone()).collect();
            assert_eq!(read.stdout, contents, "{program}");
            // Without a warning, too.
            let listed: String = files.iter().map(|(path, _)| format!("{before_a_path}{path}\n")).collect();
            assert_eq!(String::from_utf8(read.stderr).unwrap().replace('\r', ""), listed, "{program}");
        }
    }
    if runs("python3") {
        read_by_python(&all);
    } else {
        eprintln!("skipped: there is no python3");
    }
}

fn runs(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// The contents on standard output, the paths on standard error.
fn read_by(program: &str, path: &Path) -> Output {
    let mut command = Command::new(program);
    if program == "tar" {
        command.arg("--quoting-style=literal");
    }
    let output = command.env("LC_ALL", "C.UTF-8").arg("-xzOvf").arg(path).output().unwrap();
    assert!(output.status.success(), "{program} {}: {output:?}", path.display());
    output
}

fn read_by_python(expected: &[(PathBuf, Files)]) {
    const SCRIPT: &str = "
import sys, tarfile
for path in sys.stdin.read().splitlines():
    with tarfile.open(path, encoding='utf-8', errors='strict') as tar:
        for member in tar:
            assert member.isreg(), member
            print(member.name, tar.extractfile(member).read().hex())
    print()
";
    let mut python = Command::new("python3");
    python.args(["-c", SCRIPT]).env("PYTHONUTF8", "1").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut python = python.spawn().unwrap();
    let paths: String = expected.iter().map(|(path, _)| format!("{}\n", path.display())).collect();
    python.stdin.take().unwrap().write_all(paths.as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success());
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let of_file = |(path, content): &(String, Vec<u8>)| format!("{path} {}\n", hex(content));
    let all = expected.iter().map(|(_, files)| files.iter().map(of_file).collect::<String>() + "\n");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), all.collect::<String>());
}

/// What others have released, and cargo has fetched to build this project and its judges.
#[test]
fn every_released_crate_is_accepted() {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.unwrap_or_else(|| Path::new(&std::env::var_os("HOME").unwrap()).join(".cargo"));
    let caches = fs::read_dir(home.join("registry/cache")).unwrap();
    let caches: Vec<PathBuf> = caches.map(|cache| cache.unwrap().path()).collect();
    let mut looked_at = 0;
    for lock in ["../Cargo.lock", "../interop/Cargo.lock"] {
        let lock: toml::Table = fs::read_to_string(lock).unwrap().parse().unwrap();
        for package in lock["package"].as_array().unwrap() {
            let [name, version] = ["name", "version"].map(|key| package[key].as_str().unwrap());
            let files = caches.iter().map(|cache| cache.join(format!("{name}-{version}.crate")));
            for packed in files.filter_map(|file| fs::read(file).ok()) {
                let length = packed.len() as u64;
                let opened = CrateFile::open(Cursor::new(packed), length, name, version);
                assert!(opened.is_ok(), "{name} {version}: {}", opened.unwrap_err());
                looked_at += 1;
            }
        }
    }
    assert!(looked_at > 100, "cargo has fetched {looked_at} crates");
}

/// Entries of a kind, a size and a path that may be wrong, and perhaps with a wrong byte.
fn any_archive() -> impl Strategy<Value = Vec<u8>> {
    const PATHS: &[&str] =
        &["Cargo.toml", "cargo.toml", "a", "a/b", "A", "../x", "a.", "a:b", "e\u{301}", "\u{e9}", ""];
    const SIZES: &[&[u8]] = &[b"+0", b"-1", b" 1", b"\x80", b"777777777777"];
    let path = prop::sample::select(PATHS);
    let kind = prop::sample::select(&b"0000000000L15xg\0"[..]);
    let size = prop::option::weighted(0.1, prop::sample::select(SIZES));
    let spoilt = prop::option::weighted(0.1, (0_usize..512, any::<u8>()));
    let content = prop::collection::vec(any::<u8>(), 0..600);
    prop::collection::vec((path, kind, size, spoilt, content), 0..4).prop_map(|entries| {
        let mut tar = archive(false, &[("Cargo.toml", MANIFEST)]);
        tar.truncate(tar.len() - 1024);
        for (path, kind, size, spoilt, content) in entries {
            let mut header = tar::Header::new_gnu();
            let name = format!("{ROOT}{path}");
            header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            let mut block = *header.as_bytes();
            block[156] = kind;
            if let Some(size) = size {
                block[124..124 + size.len()].copy_from_slice(size);
            }
            if let Some((at, byte)) = spoilt {
                block[at] = byte;
            }
            put_right(&mut block, true);
            tar.extend(block);
            tar.extend(&content);
            tar.resize(tar.len().next_multiple_of(512), 0);
        }
        tar.extend([0; 1024]);
        tar
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_accepted_cargo_unpacks_the_same(tar in any_archive()) {
        let packed = gzip(&tar);
        if opened(&packed).is_some() {
            let mut paths = Vec::new();
            for entry in tar::Archive::new(&tar[..]).entries().unwrap() {
                let entry = entry.unwrap();
                prop_assert_eq!(entry.header().entry_type(), tar::EntryType::Regular);
                paths.push(entry.path_bytes().into_owned());
            }
            // What is there for a reader that goes from block to block and forgives nothing.
            let mut at = 0;
            for path in paths {
                let name: Vec<u8> = tar[at..at + 100].iter().copied().take_while(|byte| *byte != 0).collect();
                prop_assert_eq!(&name, &path);
                let size = std::str::from_utf8(&tar[at + 124..at + 135]).unwrap();
                at += 512 + usize::from_str_radix(size, 8).unwrap().next_multiple_of(512);
            }
            prop_assert_eq!(at + 1024, tar.len());
        }
    }
}

//! Uploads that are signed well and must not get in: the request's frame, its JSON, the crate file, and JSON that
//! says other things than the Cargo.toml.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use common::{Fixture, Upload, archive, crate_file, gzip, plain_header};
use serde_json::{Value, json};

const MANIFEST: &str = "[package]\nname = \"hello\"\nversion = \"1.0.0\"\nedition = \"2024\"\n";

fn hello() -> Upload {
    Upload::new("hello", "1.0.0")
}

/// A crate `hello` 1.0.0 whose file has these entries, paths and all.
fn with_entries(entries: &[(&str, &[u8])]) -> Upload {
    let entries = entries.iter().map(|(path, content)| ((*path).to_owned(), *content));
    with_archive(archive(entries))
}

fn with_archive(tar: Vec<u8>) -> Upload {
    Upload { file: gzip(&tar), ..hello() }
}

/// Refused, and nothing of it is there; then the same token serves for a good upload, if that is the same file.
#[track_caller]
fn refused(upload: &Upload, status: u16, text: &str) {
    let fixture = Fixture::new();
    fixture.publish(upload).assert_refused(status, text);
    assert_eq!(fixture.get("/index/he/ll/hello").status, 404);
    let left: Vec<_> = std::fs::read_dir(fixture.folder.path().join("tmp")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_good_one_gets_in() {
    let fixture = Fixture::new();
    fixture.publish(&hello()).assert_ok();
    let file = fixture.get("/api/v1/crates/hello/1.0.0/download");
    file.assert_ok();
    assert_eq!(file.body, hello().file);
}

mod frame {
    use super::*;

    fn refused_body(body: &[u8], text: &str) {
        let fixture = Fixture::new();
        let token = fixture.publish_token(&hello());
        fixture.send("PUT", "/api/v1/crates/new", Some(&token), body).assert_refused(400, text);
        fixture.put_new(&token, &hello()).assert_ok();
    }

    #[test]
    fn bytes_after_the_crate() {
        let mut body = hello().body();
        body.push(0);
        refused_body(&body, "the lengths in the request do not add up");
    }

    #[test]
    fn a_crate_shorter_than_said() {
        let mut body = hello().body();
        body.pop();
        refused_body(&body, "the lengths in the request do not add up");
    }

    #[test]
    fn json_longer_than_everything() {
        refused_body(&[0xff, 0, 0, 0, b'{'], "the lengths in the request do not add up");
    }

    #[test]
    fn no_body() {
        refused_body(b"", "the request's body ended early");
    }

    #[test]
    fn no_length() {
        let fixture = Fixture::new();
        let token = fixture.publish_token(&hello());
        let header = format!(
            "PUT /api/v1/crates/new HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n\
             Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n"
        );
        fixture.raw(&header, b"").assert_refused(400, "a publish request needs a Content-Length");
    }

    #[test]
    fn metadata_too_large() {
        let fixture = Fixture::new();
        let mut upload = hello();
        upload.json.resize((2 << 20) + 1, b' ');
        fixture.publish(&upload).assert_refused(413, "the metadata has 2097153 bytes, 2097152 are the most");
    }

    #[test]
    fn a_crate_too_large() {
        let fixture = Fixture::with(|config| config.max_crate = 10_000);
        let mut upload = hello();
        upload.file.resize(10_001, 0);
        fixture.publish(&upload).assert_refused(413, "the crate file has 10001 bytes, 10000 are the most");
    }
}

mod strict_json {
    use super::*;

    #[track_caller]
    fn refused_json(json: &str, text: &str) {
        refused(&Upload { json: json.as_bytes().to_vec(), ..hello() }, 400, text);
    }

    #[test]
    fn a_name_twice() {
        refused_json(
            r#"{"name":"hello","vers":"1.0.0","deps":[],"deps":[]}"#,
            "`deps` stands twice in one object",
        );
    }

    #[test]
    fn a_name_twice_deep_inside() {
        refused_json(
            r#"{"name":"hello","vers":"1.0.0","features":{"a":[],"a":["b"]}}"#,
            "`a` stands twice in one object",
        );
    }

    #[test]
    fn a_case_twin() {
        refused_json(
            r#"{"name":"hello","Name":"evil","vers":"1.0.0"}"#,
            "stands twice in one object of the metadata, in different case",
        );
    }

    #[test]
    fn a_case_twin_in_a_dependency() {
        refused_json(
            r#"{"name":"hello","vers":"1.0.0","deps":[{"name":"a","Name":"b","version_req":"1"}]}"#,
            "in different case",
        );
    }

    #[test]
    fn something_after_it() {
        refused_json(r#"{"name":"hello","vers":"1.0.0"}{}"#, "trailing characters");
        refused_json("{\"name\":\"hello\",\"vers\":\"1.0.0\"}\0", "trailing characters");
    }

    #[test]
    fn not_utf8() {
        refused(
            &Upload { json: b"{\"name\":\"hello\xff\"}".to_vec(), ..hello() },
            400,
            "the metadata is not UTF-8",
        );
    }

    #[test]
    fn not_an_object() {
        refused_json("[]", "the metadata is not a JSON object");
    }

    #[test]
    fn too_deep() {
        let deep = format!(r#"{{"name":"hello","vers":"1.0.0","x":{}1{}}}"#, "[".repeat(16), "]".repeat(16));
        refused_json(&deep, "nested deeper than 16 levels");
    }

    #[test]
    fn an_unknown_name_in_a_dependency() {
        refused_json(
            r#"{"name":"hello","vers":"1.0.0","deps":[{"name":"a","version_req":"1","source":"x"}]}"#,
            "a dependency in the metadata has the unknown field `source`",
        );
    }

    #[test]
    fn an_artifact_dependency() {
        refused_json(
            r#"{"name":"hello","vers":"1.0.0","deps":[{"name":"a","version_req":"1","artifact":["bin"]}]}"#,
            "artifact dependencies are not supported",
        );
    }

    #[test]
    fn an_unknown_name_at_the_top_is_dropped() {
        let fixture = Fixture::new();
        let json = br#"{"name":"hello","vers":"1.0.0","newer_cargo":{"x":1}}"#.to_vec();
        fixture.publish(&Upload { json, ..hello() }).assert_ok();
        assert!(!fixture.get("/index/he/ll/hello").text().contains("newer_cargo"));
    }
}

mod file {
    use super::*;

    #[test]
    fn not_gzip() {
        refused(&Upload { file: b"not a crate".to_vec(), ..hello() }, 422, "not a gzipped tar archive");
        refused(&Upload { file: Vec::new(), ..hello() }, 422, "not a gzipped tar archive");
    }

    #[test]
    fn cut_off() {
        let mut upload = hello();
        upload.file.truncate(upload.file.len() - 10);
        refused(&upload, 422, "not a gzipped tar archive");
    }

    #[test]
    fn a_bomb() {
        let zeros = vec![0; 3 << 20];
        let upload =
            with_entries(&[("hello-1.0.0/Cargo.toml", MANIFEST.as_bytes()), ("hello-1.0.0/zeros", &zeros)]);
        assert!(upload.file.len() < 10_000);
        refused(&upload, 422, "far more bytes in it than its size allows");
    }

    /// Zeros may follow an archive, but not without end.
    #[test]
    fn a_bomb_after_the_archive() {
        let mut tar = archive([("hello-1.0.0/Cargo.toml".to_owned(), MANIFEST.as_bytes())]);
        tar.resize(3 << 20, 0);
        refused(&with_archive(tar), 422, "far more bytes in it than its size allows");
    }

    #[test]
    fn two_gzip_members() {
        let mut upload = hello();
        upload.file.extend(gzip(b"more"));
        refused(&upload, 422, "bytes after its archive");
    }

    #[test]
    fn bytes_after_gzip() {
        let mut upload = hello();
        upload.file.push(0);
        refused(&upload, 422, "bytes after its archive");
    }

    #[test]
    fn a_second_archive_inside() {
        let mut tar = archive([("hello-1.0.0/Cargo.toml".to_owned(), MANIFEST.as_bytes())]);
        tar.extend(archive([("hello-1.0.0/build.rs".to_owned(), &b"fn main() {}"[..])]));
        refused(&with_archive(tar), 422, "bytes after its archive");
    }

    #[test]
    fn links_directories_devices_and_pax() {
        use tar::EntryType as Type;
        for (kind, text) in [
            (Type::Symlink, "symbolic link"),
            (Type::Link, "is a link"),
            (Type::Directory, "directory"),
            (Type::Fifo, "device"),
            (Type::XHeader, "pax header"),
            (Type::XGlobalHeader, "pax header"),
            (Type::GNUSparse, "sparse file"),
            (Type::GNULongLink, "is a link"),
            (Type::Continuous, "special entry"),
        ] {
            let mut header = plain_header("hello-1.0.0/x", 0);
            header.set_entry_type(kind);
            header.set_cksum();
            let mut tar = tar::Builder::new(Vec::new());
            tar.append(&plain_header("hello-1.0.0/Cargo.toml", MANIFEST.len() as u64), MANIFEST.as_bytes())
                .unwrap();
            tar.append(&header, &b""[..]).unwrap();
            refused(&with_archive(tar.into_inner().unwrap()), 422, text);
        }
    }

    #[test]
    fn an_old_tar_header() {
        let mut header = tar::Header::new_old();
        header.set_path("hello-1.0.0/Cargo.toml").unwrap();
        header.set_size(MANIFEST.len() as u64);
        header.set_cksum();
        let mut tar = tar::Builder::new(Vec::new());
        tar.append(&header, MANIFEST.as_bytes()).unwrap();
        refused(&with_archive(tar.into_inner().unwrap()), 422, "neither `ustar` nor GNU");
    }

    #[test]
    fn paths_that_lead_elsewhere() {
        for path in [
            "hello-1.0.1/x",
            "hello-1.0.0",
            "hello-1.0.0x/x",
            "/hello-1.0.0/x",
            "./hello-1.0.0/x",
            "hello-1.0.0/../x",
            "hello-1.0.0/a/../../x",
            "hello-1.0.0/./x",
            "hello-1.0.0//x",
            "hello-1.0.0/x/",
            "hello-1.0.0/a\\b",
            "hello-1.0.0/\u{1b}[31m",
            "hello-1.0.0/\u{e9}",
        ] {
            let upload = with_entries(&[("hello-1.0.0/Cargo.toml", MANIFEST.as_bytes()), (path, b"")]);
            refused(&upload, 422, "every path must lie below `hello-1.0.0/`");
        }
    }

    #[test]
    fn a_path_twice() {
        for twin in ["hello-1.0.0/src/lib.rs", "hello-1.0.0/src/LIB.rs"] {
            let upload = with_entries(&[
                ("hello-1.0.0/Cargo.toml", MANIFEST.as_bytes()),
                ("hello-1.0.0/src/lib.rs", b""),
                (twin, b""),
            ]);
            refused(&upload, 422, "twice (case makes no difference)");
        }
    }

    #[test]
    fn no_manifest() {
        refused(&with_entries(&[("hello-1.0.0/src/lib.rs", b"")]), 422, "has no `hello-1.0.0/Cargo.toml`");
        refused(
            &with_entries(&[("hello-1.0.0/sub/Cargo.toml", b"")]),
            422,
            "has no `hello-1.0.0/Cargo.toml`",
        );
        refused(&with_entries(&[]), 422, "has no `hello-1.0.0/Cargo.toml`");
    }

    #[test]
    fn a_second_manifest() {
        let manifest = MANIFEST.as_bytes();
        let upload =
            with_entries(&[("hello-1.0.0/Cargo.toml", manifest), ("hello-1.0.0/Cargo.toml", manifest)]);
        refused(&upload, 422, "twice (case makes no difference)");
        let upload = with_entries(&[("hello-1.0.0/cargo.toml", manifest)]);
        refused(&upload, 422, "must be spelt `Cargo.toml`");
    }

    #[test]
    fn long_names_as_cargo_writes_them() {
        let fixture = Fixture::new();
        let long = format!("hello-1.0.0/{}", "long/".repeat(40));
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        for (path, content) in [("hello-1.0.0/Cargo.toml", MANIFEST.as_bytes()), (&format!("{long}x"), b"x")]
        {
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, path, content).unwrap();
        }
        fixture.publish(&with_archive(tar.into_inner().unwrap())).assert_ok();
    }

    #[test]
    fn a_long_name_that_leads_elsewhere() {
        let mut tar = tar::Builder::new(Vec::new());
        tar.append(&plain_header("hello-1.0.0/Cargo.toml", MANIFEST.len() as u64), MANIFEST.as_bytes())
            .unwrap();
        for name in ["hello-1.0.0/../../evil\0", "hello-1.0.0/good\0/../evil\0"] {
            let mut tar = tar.get_ref().clone();
            let mut header = plain_header("././@LongLink", name.len() as u64);
            header.set_entry_type(tar::EntryType::GNULongName);
            header.set_cksum();
            tar.extend(archive_of(&header, name.as_bytes()));
            tar.extend(archive_of(&plain_header("hello-1.0.0/harmless", 0), b""));
            tar.extend([0; 1024]);
            refused(&with_archive(tar), 422, "every path must lie below");
        }
    }

    /// One entry, without the end of an archive.
    fn archive_of(header: &tar::Header, content: &[u8]) -> Vec<u8> {
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend(content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }
}

mod names {
    use super::*;

    #[test]
    fn a_tarball_of_another_name_or_version() {
        let json = json!({ "name": "hello", "vers": "1.0.0" });
        for (name, version) in [("hallo", "1.0.0"), ("hello", "1.0.1"), ("Hello", "1.0.0")] {
            let manifest = MANIFEST.replace("hello", name).replace("1.0.0", version);
            let outside = Upload::of(
                "hello",
                "1.0.0",
                &json,
                &crate_file(name, version, &[("Cargo.toml", manifest.as_bytes())]),
            );
            refused(&outside, 422, "every path must lie below `hello-1.0.0/`");
            let inside = Upload::with_manifest("hello", "1.0.0", &manifest, &json);
            refused(&inside, 422, "the metadata cargo sent does not match the Cargo.toml you signed");
        }
    }

    #[test]
    fn a_version_for_ever() {
        let fixture = Fixture::new();
        fixture.publish(&hello()).assert_ok();
        fixture.publish(&hello()).assert_refused(409, "hello 1.0.0 is published already");
        let built = Upload::new("hello", "1.0.0+other.build");
        fixture.publish(&built).assert_refused(409, "hello 1.0.0 is published already");
        assert_eq!(fixture.get("/api/v1/crates/hello/1.0.0/download").body, hello().file);
    }

    #[test]
    fn a_refusal_does_not_use_the_token_up() {
        let fixture = Fixture::new();
        let token = fixture.publish_token(&hello());
        let broken = Upload { json: b"{}".to_vec(), ..hello() };
        fixture.put_new(&token, &broken).assert_refused(400, "`vers` is missing");
        fixture.put_new(&token, &hello()).assert_ok();
    }

    #[test]
    fn names_that_look_alike() {
        let fixture = Fixture::new();
        fixture.publish(&Upload::new("hello-world", "1.0.0")).assert_ok();
        for name in ["hello_world", "Hello-World"] {
            fixture
                .publish(&Upload::new(name, "1.0.0"))
                .assert_refused(409, &format!("the name `{name}` is too like the crate `hello-world` here"));
        }
    }

    #[test]
    fn names_that_windows_reserves() {
        refused(&Upload::new("NUL", "1.0.0"), 422, "Windows reserves it");
    }
}

mod metadata {
    use super::*;

    const FULL: &str = r#"
[package]
name = "hello"
version = "1.0.0"
edition = "2018"
authors = ["A <a@example.org>", "B"]
description = "  Says hello\n"
homepage = "https://hello.example"
documentation = "https://docs.example"
readme = "README.md"
keywords = ["k1", "k2"]
categories = ["c1"]
license = "MIT"
license-file = "LICENSE"
repository = "https://git.example/hello"
rust-version = "1.70"
links = "hello"

[features]
default = ["std", "std"]
std = []
opt = ["dep:optional", "other?/x"]

[badges.maintenance]
status = "experimental"

[dependencies]
plain = "1"
optional = { version = ">=1,<2", optional = true, default_features = false, features = ["b", "a", "b"] }
other = { package = "real-name", version = "= 0.3.1", optional = true }
same = { version = "*", registry-index = "INDEX" }
elsewhere = { version = "1", registry-index = "sparse+https://else.example/" }

[dev-dependencies.plain]
version = "1.2"

[build-dependencies]
plain = { version = "1", package = "plain" }

[target.'cfg(target_os="linux")'.dependencies]
plain = "1"

[target.x86_64-pc-windows-msvc.dependencies]
plain = "1"
"#;

    const CRATES_IO: &str = "https://github.com/rust-lang/crates.io-index";

    fn dependency(name: &str, version_req: &str, rest: Value) -> Value {
        let mut all = json!({
            "optional": false, "default_features": true, "name": name, "features": [], "version_req": version_req,
            "target": null, "kind": "normal", "registry": CRATES_IO,
        });
        for (key, value) in rest.as_object().unwrap() {
            all[key] = value.clone();
        }
        all
    }

    /// What cargo sends for [`FULL`].
    fn full_json() -> Value {
        json!({
            "name": "hello", "vers": "1.0.0",
            "deps": [
                dependency("elsewhere", "^1", json!({ "registry": "sparse+https://else.example/" })),
                dependency("optional", ">=1, <2", json!({
                    "optional": true, "default_features": false, "features": ["b", "a", "b"],
                })),
                dependency("real-name", "=0.3.1", json!({ "optional": true, "explicit_name_in_toml": "other" })),
                dependency("plain", "^1", json!({})),
                dependency("same", "*", json!({ "registry": null })),
                dependency("plain", "^1.2", json!({ "kind": "dev" })),
                dependency("plain", "^1", json!({ "kind": "build", "explicit_name_in_toml": "plain" })),
                dependency("plain", "^1", json!({ "target": "cfg(target_os = \"linux\")" })),
                dependency("plain", "^1", json!({ "target": "x86_64-pc-windows-msvc" })),
            ],
            "features": { "default": ["std", "std"], "std": [], "opt": ["dep:optional", "other?/x"] },
            "authors": ["A <a@example.org>", "B"],
            "description": "  Says hello\n",
            "homepage": "https://hello.example",
            "documentation": "https://docs.example",
            "readme": "# Hello «»\n", "readme_file": "README.md",
            "keywords": ["k1", "k2"], "categories": ["c1"],
            "license": "MIT", "license_file": "LICENSE",
            "repository": "https://git.example/hello",
            "badges": { "maintenance": { "status": "experimental" } },
            "links": "hello", "rust_version": "1.70",
        })
    }

    fn full(fixture: &Fixture, json: &Value) -> Upload {
        let manifest = FULL.replace("INDEX", fixture.url());
        let entries =
            [("README.md", "# Hello «»\n".as_bytes()), ("Cargo.toml", manifest.as_bytes()), ("LICENSE", b"")];
        Upload::of("hello", "1.0.0", json, &crate_file("hello", "1.0.0", &entries))
    }

    #[test]
    fn everything_matches() {
        let fixture = Fixture::new();
        let upload = full(&fixture, &full_json());
        fixture.publish(&upload).assert_ok();
        let line: Value = serde_json::from_str(&fixture.get("/index/he/ll/hello").text()).unwrap();
        assert_eq!(line["cksum"], upload.checksum().to_string());
        assert_eq!(line["features"], json!({ "default": ["std", "std"], "std": [] }));
        assert_eq!(line["features2"], json!({ "opt": ["dep:optional", "other?/x"] }));
        let other = line["deps"].as_array().unwrap().iter().find(|dep| dep["name"] == "other").unwrap();
        assert_eq!((&other["package"], &other["req"]), (&json!("real-name"), &json!("=0.3.1")));
        let registries: Vec<_> =
            line["deps"].as_array().unwrap().iter().map(|dep| &dep["registry"]).collect();
        assert_eq!(registries.iter().filter(|url| url.is_null()).count(), 1);
        assert_eq!(registries.iter().filter(|url| **url == CRATES_IO).count(), 7);
    }

    /// Each is one change to honest JSON, and the field that the refusal names.
    #[test]
    fn every_tampered_field_is_named() {
        let tampered: Vec<(&str, &str, Value)> = vec![
            ("/deps", "deps", json!([])),
            ("/deps/3/name", "deps", json!("plane")),
            ("/deps/3/version_req", "deps", json!("^2")),
            ("/deps/3/features", "deps", json!(["x"])),
            ("/deps/3/optional", "deps", json!(true)),
            ("/deps/3/default_features", "deps", json!(false)),
            ("/deps/3/target", "deps", json!("cfg(windows)")),
            ("/deps/3/kind", "deps", json!("build")),
            ("/deps/3/registry", "deps", json!("sparse+https://evil.example/")),
            ("/deps/3/registry", "deps", json!(null)),
            ("/deps/2/explicit_name_in_toml", "deps", json!("another")),
            ("/deps/4/registry", "deps", json!(CRATES_IO)),
            ("/deps/0/registry", "deps", json!(null)),
            ("/features/default", "features", json!(["std"])),
            ("/features/std", "features", json!(["opt"])),
            ("/links", "links", json!(null)),
            ("/rust_version", "rust_version", json!("1.70.0")),
            ("/authors", "authors", json!(["B", "A <a@example.org>"])),
            ("/description", "description", json!("Says hello")),
            ("/homepage", "homepage", json!("https://evil.example")),
            ("/documentation", "documentation", json!("https://evil.example")),
            ("/readme", "readme", json!("# Phish")),
            ("/readme_file", "readme_file", json!("LICENSE")),
            ("/keywords", "keywords", json!([])),
            ("/categories", "categories", json!([])),
            ("/license", "license", json!("GPL-3.0")),
            ("/license_file", "license_file", json!(null)),
            ("/repository", "repository", json!("https://evil.example")),
            ("/badges/maintenance/status", "badges", json!("passively-maintained")),
        ];
        let fixture = Fixture::new();
        for (pointer, field, value) in tampered {
            let mut json = full_json();
            *json.pointer_mut(pointer).unwrap() = value;
            let response = fixture.publish(&full(&fixture, &json));
            response.assert_refused(422, &format!("`{field}` is "));
            response.assert_refused(422, "the metadata cargo sent does not match the Cargo.toml you signed");
        }
        fixture.publish(&full(&fixture, &full_json())).assert_ok();
    }

    #[test]
    fn a_dependency_more() {
        let json = json!({ "name": "hello", "vers": "1.0.0", "deps": [dependency("evil", "^1", json!({}))] });
        let upload = Upload { json: json.to_string().into_bytes(), ..hello() };
        refused(&upload, 422, "`deps` is `evil = ^1` (normal");
    }

    #[test]
    fn what_cargo_never_packages() {
        for (manifest, text) in [
            ("[dependencies]\na = { path = \"../a\" }", "`a.path`"),
            ("[dependencies]\na = { version = \"1\", git = \"https://x\" }", "`a.git`"),
            ("[dependencies]\na = { workspace = true }", "`a.workspace`"),
            ("[dependencies]\na = { version = \"1\", registry = \"r\" }", "`a.registry`"),
            ("[dev_dependencies]\na = \"1\"", "`dev_dependencies`"),
            ("[target.x.build_dependencies]\na = \"1\"", "`build_dependencies`"),
            ("[project]\nname = \"x\"", "`project`"),
            (
                "[dependencies]\na = { version = \"1\", artifact = \"bin\" }",
                "artifact dependencies are not supported",
            ),
            (
                "[dependencies]\na = { version = \"1\", default-features = true, default_features = false }",
                "has both `default-features` and `default_features`",
            ),
            (
                "[dependencies]\na = \"one\"",
                "`a` in the crate file's Cargo.toml has no valid version requirement",
            ),
            ("[dependencies]\na = 1", "`a` in the crate file's Cargo.toml has the wrong type"),
            ("[features]\na = \"b\"", "`features.a` in the crate file's Cargo.toml has the wrong type"),
            ("[package]\nname = \"twice\"", "is not TOML"),
        ] {
            let json = json!({ "name": "hello", "vers": "1.0.0" });
            let upload = Upload::with_manifest("hello", "1.0.0", &format!("{MANIFEST}{manifest}\n"), &json);
            refused(&upload, 422, text);
        }
    }

    #[test]
    fn a_readme_that_is_not_there() {
        let manifest = format!("{MANIFEST}readme = \"README.md\"\n");
        let json = json!({ "name": "hello", "vers": "1.0.0", "readme_file": "README.md", "readme": "x" });
        let upload = Upload::with_manifest("hello", "1.0.0", &manifest, &json);
        refused(&upload, 422, "has no `README.md`, which its Cargo.toml names as the readme");
    }
}

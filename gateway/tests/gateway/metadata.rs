//! What cargo says of a crate against the Cargo.toml that was signed.

use serde_json::{Value, json};

use crate::common::{Fixture, Upload, crate_file};

const HELLO: &str = "[package]\nname = \"hello\"\nversion = \"1.0.0\"\nedition = \"2024\"\n";

fn hello(manifest: &str, json: &Value) -> Upload {
    Upload::with_manifest("hello", "1.0.0", &format!("{HELLO}{manifest}"), json)
}

fn refused(upload: &Upload, text: &str) {
    Fixture::new().publish(upload).assert_refused(422, text);
}

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
    let registries: Vec<_> = line["deps"].as_array().unwrap().iter().map(|dep| &dep["registry"]).collect();
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
        ("/deps/8/target", "deps", json!("x86_64-pc -windows-msvc")),
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
    refused(&hello("", &json), "`deps` is `evil = ^1` (normal");
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
        (
            "[dependencies]\n\"../a\" = \"1\"",
            "`../a` in the crate file's Cargo.toml cannot be a dependency's name",
        ),
        (
            "[dependencies]\na = { version = \"1\", package = \"b c\" }",
            "`b c` in the crate file's Cargo.toml cannot be",
        ),
    ] {
        let json = json!({ "name": "hello", "vers": "1.0.0" });
        refused(&hello(manifest, &json), text);
    }
}

/// Not all databases could keep it, and the token would be spent by the time that they say so.
#[test]
fn a_description_with_a_null_character() {
    let json = json!({ "name": "hello", "vers": "1.0.0", "description": "one\0two" });
    refused(&hello("description = \"one\\u0000two\"\n", &json), "the description has the character U+0000");
}

#[test]
fn a_readme_that_is_not_there() {
    let json = json!({ "name": "hello", "vers": "1.0.0", "readme_file": "README.md", "readme": "x" });
    let upload = hello("readme = \"README.md\"\n", &json);
    refused(&upload, "has no `README.md`, which its Cargo.toml names as the readme");
}

#[test]
fn a_readme_by_another_path_to_it() {
    let manifest = format!("{HELLO}readme = \"./README.md\"\n");
    let json = json!({ "name": "hello", "vers": "1.0.0", "readme_file": "./README.md", "readme": "x" });
    let entries = [("Cargo.toml", manifest.as_bytes()), ("README.md", b"x")];
    let upload = Upload::of("hello", "1.0.0", &json, &crate_file("hello", "1.0.0", &entries));
    Fixture::new().publish(&upload).assert_ok();
}

#[test]
fn features_whose_names_differ_in_case() {
    let json = json!({ "name": "hello", "vers": "1.0.0", "features": { "A": [], "a": [] } });
    Fixture::new().publish(&hello("[features]\nA = []\na = []\n", &json)).assert_ok();
}

/// cargo before 1.81 sent what the author's manifest says, and packaged another.
mod older_cargo {
    use super::*;

    #[test]
    fn features_of_dropped_dev_dependencies() {
        let manifest = "[features]\nx = [\"kept/a\", \"renamed?/b\", \"plain\"]\nplain = []\n\
                        [dependencies]\nkept = \"1\"\nrenamed = { version = \"1\", package = \"real\", optional = true }\n";
        let deps = [
            dependency("kept", "^1", json!({})),
            dependency("real", "^1", json!({ "explicit_name_in_toml": "renamed", "optional": true })),
        ];
        let json = |x: Value| json!({ "name": "hello", "vers": "1.0.0", "deps": deps, "features": { "x": x, "plain": [] } });
        let fixture = Fixture::new();
        let sent = json!(["kept/a", "dev/y", "renamed?/b", "dep:dev", "plain"]);
        fixture.publish(&hello(manifest, &json(sent))).assert_ok();
        let line = fixture.get("/index/he/ll/hello").json();
        assert_eq!(line["features2"], json!({ "x": ["kept/a", "renamed?/b", "plain"] }));
        refused(
            &hello(manifest, &json(json!(["kept/a", "renamed?/b", "kept/b", "plain"]))),
            "`features` is ",
        );
    }

    #[test]
    fn files_from_outside_the_package() {
        let manifest = format!("{HELLO}readme = \"README.md\"\nlicense-file = \"LICENSE\"\n");
        let upload = |readme_file: &str| {
            let json = json!({
                "name": "hello", "vers": "1.0.0",
                "readme_file": readme_file, "readme": "x", "license_file": "../LICENSE",
            });
            let entries = [("Cargo.toml", manifest.as_bytes()), ("README.md", b"x"), ("LICENSE", b"y")];
            Upload::of("hello", "1.0.0", &json, &crate_file("hello", "1.0.0", &entries))
        };
        Fixture::new().publish(&upload("../../README.md")).assert_ok();
        refused(&upload("../../LIESMICH.md"), "`readme_file` is ");
    }

    #[test]
    fn a_readme_that_cargo_found() {
        let upload = |manifest: &str, file: &str, text: &str| {
            let manifest = format!("{HELLO}{manifest}");
            let json = json!({ "name": "hello", "vers": "1.0.0", "readme_file": file, "readme": text });
            let entries = [("Cargo.toml", manifest.as_bytes()), ("README.md", b"x"), ("OTHER.md", b"x")];
            Upload::of("hello", "1.0.0", &json, &crate_file("hello", "1.0.0", &entries))
        };
        Fixture::new().publish(&upload("", "README.md", "x")).assert_ok();
        refused(&upload("", "README.md", "y"), "`readme` is ");
        refused(&upload("", "OTHER.md", "x"), "`readme_file` is ");
        refused(&upload("readme = false\n", "README.md", "x"), "`readme_file` is ");
    }
}

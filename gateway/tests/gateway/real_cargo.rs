//! Stable cargo as a child process against a gateway, with the example's credential provider.

use std::fs;

use registry_gateway::config::Reads;
use serde_json::{Value, json};

use crate::common::Fixture;
use crate::common::computer::Computer;
#[cfg(target_os = "linux")]
use crate::common::database::Database;

fn manifest(name: &str, version: &str, rest: &str) -> String {
    format!(
        "[package]\nname = \"{name}\"\nversion = \"{version}\"\nedition = \"2024\"\n\
         description = \"The crate {name}\"\nlicense = \"MIT\"\nrepository = \"https://git.example/{name}\"\n{rest}"
    )
}

/// All of cargo's commands, and a crate that uses every kind of dependency.
fn a_crates_life(fixture: &Fixture) {
    let alice = Computer::new(fixture);
    let leaf = |version: &str| {
        let rest = "readme = \"README.md\"\nkeywords = [\"leaf\"]\n\
                    [features]\ndefault = [\"std\"]\nstd = []\nextra = []\n";
        let lib =
            "//! A leaf.\n/// Whether `extra` is on.\npub const EXTRA: bool = cfg!(feature = \"extra\");\n";
        let folder = alice.package("leaf", &manifest("leaf", version, rest), lib);
        fs::write(folder.join("README.md"), "# A leaf\n\n«with» \"odd\" text\n").unwrap();
        folder
    };
    alice.succeeds(&leaf("1.0.0"), "publish --registry my-reg");
    alice.succeeds(&leaf("1.1.0"), "publish --registry my-reg");
    let needle = alice.package(
        "needle",
        &manifest("needle", "1.0.0", ""),
        "//! A needle.\n/// It is.\npub const SHARP: bool = true;\n",
    );
    alice.succeeds(&needle, "publish --registry my-reg");
    let branch = alice.package(
        "branch",
        &manifest(
            "branch",
            "0.1.0-rc.1+build.5",
            "links = \"branch\"\nrust-version = \"1.85\"\nbuild = \"build.rs\"\n\
             [features]\nnice = [\"dep:renamed\", \"renamed?/extra\"]\n\
             [dependencies]\n\
             renamed = { package = \"leaf\", version = \"1\", registry = \"my-reg\", optional = true, default-features = false }\n\
             [target.'cfg(any(unix,windows))'.dependencies]\nneedle = { version = \">=1, <2\", registry = \"my-reg\" }\n\
             [build-dependencies]\nneedle = { version = \"1\", registry = \"my-reg\" }\n\
             [dev-dependencies]\nneedle = { version = \"*\", registry = \"my-reg\" }\n",
        ),
        "//! A branch.\n/// Whether the renamed leaf has `extra`.\n\
         #[cfg(feature = \"nice\")]\npub const EXTRA: bool = renamed::EXTRA;\n",
    );
    fs::write(branch.join("build.rs"), "fn main() { assert!(needle::SHARP); }\n").unwrap();
    alice.succeeds(&branch, "publish --registry my-reg");
    the_line_of_branch(fixture);

    let cold = Computer::new(fixture);
    let app = cold.package(
        "app",
        &manifest(
            "app",
            "0.0.0",
            "[dependencies]\nbranch = { version = \"0.1.0-rc.1\", registry = \"my-reg\", features = [\"nice\"] }\n",
        ),
        "const _: () = assert!(branch::EXTRA);\n",
    );
    let built = cold.succeeds(&app, "build");
    assert!(built.contains("Compiling leaf v1.1.0 (registry `my-reg`)"), "{built}");
    assert!(built.contains("Compiling branch v0.1.0-rc.1+build.5"), "{built}");

    alice.succeeds(&branch, "yank --registry my-reg leaf@1.1.0");
    fs::remove_file(app.join("Cargo.lock")).unwrap();
    let built = cold.succeeds(&app, "build");
    assert!(built.contains("Compiling leaf v1.0.0 (registry `my-reg`)"), "{built}");
    alice.succeeds(&branch, "yank --registry my-reg --undo leaf@1.1.0");
    fs::remove_file(app.join("Cargo.lock")).unwrap();
    let resolved = cold.succeeds(&app, "tree");
    assert!(resolved.contains("leaf v1.1.0"), "{resolved}");

    let owners = alice.succeeds(&branch, "owner --registry my-reg --list leaf");
    assert!(owners.contains("alice"), "{owners}");
    let found = alice.succeeds(&branch, "search --registry my-reg EAF");
    assert!(found.contains("leaf = \"1.1.0\"") && found.contains("# The crate leaf"), "{found}");
    let info = cold.succeeds(&app, "info --registry my-reg branch");
    assert!(info.contains("The crate branch"), "{info}");

    let again = alice.cargo(&leaf("1.1.0"), "publish --registry my-reg");
    let text = String::from_utf8_lossy(&again.stderr);
    assert!(text.contains("leaf@1.1.0 already exists"), "{text}");
    let added = alice.cargo(&branch, "owner --registry my-reg --add bob leaf");
    let text = String::from_utf8_lossy(&added.stderr);
    assert!(text.contains("owners are not changed over this API"), "{text}");
}

/// What others resolve by.
fn the_line_of_branch(fixture: &Fixture) {
    let index = fixture.get("/index/br/an/branch");
    index.assert_ok();
    let line: Value = serde_json::from_slice(&index.body).unwrap();
    assert_eq!(line["vers"], "0.1.0-rc.1+build.5");
    assert_eq!(line["features"], json!({}));
    assert_eq!(line["features2"], json!({ "nice": ["dep:renamed", "renamed?/extra"] }));
    assert_eq!(line["v"], 2);
    assert_eq!(line["links"], "branch");
    assert_eq!(line["rust_version"], "1.85");
    let deps = line["deps"].as_array().unwrap();
    assert_eq!(deps.len(), 4);
    let renamed = deps.iter().find(|dep| dep["name"] == "renamed").unwrap();
    assert_eq!(
        *renamed,
        json!({
            "name": "renamed", "package": "leaf", "req": "^1", "features": [], "optional": true,
            "default_features": false, "target": null, "kind": "normal", "registry": null,
        })
    );
    let target = deps.iter().find(|dep| !dep["target"].is_null()).unwrap();
    assert_eq!((&target["target"], &target["req"]), (&json!("cfg(any(unix, windows))"), &json!(">=1, <2")));
    let kinds: Vec<_> = deps.iter().map(|dep| dep["kind"].as_str().unwrap()).collect();
    assert!(kinds.contains(&"dev") && kinds.contains(&"build"), "{kinds:?}");
}

#[test]
fn a_crates_life_where_reads_need_a_token() {
    a_crates_life(&Fixture::new());
}

#[test]
fn a_crates_life_on_an_open_registry() {
    a_crates_life(&Fixture::with(|config| config.reads = Reads::Open));
}

#[test]
fn a_workspace_of_three() {
    publish_a_workspace(&Fixture::new());
}

/// Which of them cargo reaches changes with each connection.
#[cfg(target_os = "linux")]
#[test]
fn through_two_gateways_in_turn() {
    let Some(database) = Database::new() else { return };
    let [one, _other] = database.two_in_turn();
    a_crates_life(&one);
    publish_a_workspace(&one);
    assert!(database.run(&["audit", "verify"]).status.success());
}

fn publish_a_workspace(fixture: &Fixture) {
    let alice = Computer::new(fixture);
    let root = alice.folder.path().join("workspace");
    let members = [("one", ""), ("two", "one"), ("three", "two")];
    for (name, dependency) in members {
        let folder = root.join(name);
        fs::create_dir_all(folder.join("src")).unwrap();
        let rest = match dependency {
            "" => String::new(),
            other => format!(
                "[dependencies]\n{other} = {{ path = \"../{other}\", version = \"1\", registry = \"my-reg\" }}\n"
            ),
        };
        fs::write(folder.join("Cargo.toml"), manifest(name, "1.0.0", &rest)).unwrap();
        fs::write(folder.join("src/lib.rs"), "").unwrap();
    }
    fs::write(
        root.join("Cargo.toml"),
        "[workspace]\nmembers = [\"one\", \"two\", \"three\"]\nresolver = \"3\"\n",
    )
    .unwrap();
    alice.succeeds(&root, "publish --workspace --registry my-reg");
    for path in ["3/o/one", "3/t/two", "th/re/three"] {
        fixture.get(&format!("/index/{path}")).assert_ok();
    }
}

/// 3 MB that do not compress: cargo waits for leave to send that much.
#[test]
fn a_large_crate() {
    let fixture = Fixture::new();
    let alice = Computer::new(&fixture);
    let folder = alice.package("large", &manifest("large", "1.0.0", ""), "");
    let mut state = 1_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    })
    .take(3_000_000)
    .collect();
    fs::write(folder.join("noise"), &noise).unwrap();
    alice.succeeds(&folder, "publish --registry my-reg --no-verify --allow-dirty");
    alice.package("large", &manifest("large", "1.0.1", ""), "");
    let refused = alice.cargo(&folder, "publish --registry my-reg --no-verify --token v3.public.x");
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(text.contains("not a usable asymmetric token"), "{text}");
}

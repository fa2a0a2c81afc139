//! Crates that others have released, published by stable cargo: what the gateway reads from their files is what cargo says
//! of them, or it would refuse them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use flate2::read::GzDecoder;

use crate::common::Fixture;
use crate::common::computer::Computer;

/// How many are published: by so many cargos at a time, because each waits a second for every crate to appear in the index.
const CRATES: usize = 60;
const CARGOS: usize = 5;

/// The crates that this workspace is built of: cargo has their files.
#[test]
fn sixty_released_crates() {
    let fixture = Fixture::new();
    let mut files = released().into_iter();
    let mut names = BTreeSet::new();
    let computers: Vec<_> = (0..CARGOS)
        .map(|_| {
            let alice = Computer::new(&fixture);
            let root = alice.folder.path().join("workspace");
            while fs::read_dir(&root).map_or(0, Iterator::count) < CRATES / CARGOS {
                let file = files.next().expect("cargo has too few crate files");
                unpack(&file, &root, &mut names);
            }
            fs::write(root.join("Cargo.toml"), "[workspace]\nmembers = [\"*\"]\nresolver = \"3\"\n").unwrap();
            alice
        })
        .collect();
    thread::scope(|scope| {
        for alice in &computers {
            let root = alice.folder.path().join("workspace");
            scope.spawn(move || {
                alice.succeeds(&root, "publish --workspace --registry my-reg --no-verify --allow-dirty");
            });
        }
    });
    assert_eq!(fixture.running().store().published(None).unwrap().len(), CRATES);
}

/// Makes a released crate a member, unless it cannot be one: there is one of its name already, it is a workspace, or it has
/// `links`, of which a resolution takes no two alike.
fn unpack(file: &Path, root: &Path, names: &mut BTreeSet<String>) {
    let unpacked = tempfile::tempdir_in(root.parent().unwrap()).unwrap();
    tar::Archive::new(GzDecoder::new(fs::File::open(file).unwrap())).unpack(&unpacked).unwrap();
    let package = fs::read_dir(&unpacked).unwrap().next().unwrap().unwrap().path();
    let manifest = fs::read_to_string(package.join("Cargo.toml")).unwrap();
    let name = manifest.lines().find_map(|line| line.strip_prefix("name = ")).unwrap().trim_matches('"');
    if manifest.contains("\nlinks = ") || manifest.contains("\n[workspace") || !names.insert(name.to_owned())
    {
        return;
    }
    for made_by_cargo in ["Cargo.toml.orig", ".cargo_vcs_info.json", "Cargo.lock"] {
        let _ = fs::remove_file(package.join(made_by_cargo));
    }
    fs::create_dir_all(root).unwrap();
    fs::rename(&package, root.join(name)).unwrap();
}

/// The .crate files of this workspace's lock file, in its order.
fn released() -> Vec<PathBuf> {
    let lock = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock")).unwrap();
    let lock: toml::Table = lock.parse().unwrap();
    let cache = cargo_home().join("registry/cache");
    let folders: Vec<_> = fs::read_dir(&cache).unwrap().map(|folder| folder.unwrap().path()).collect();
    let text = |package: &toml::Value, key: &str| package[key].as_str().unwrap().to_owned();
    lock["package"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|package| package.get("source").is_some())
        .map(|package| format!("{}-{}.crate", text(package, "name"), text(package, "version")))
        .filter_map(|file| folders.iter().map(|folder| folder.join(&file)).find(|path| path.exists()))
        .collect()
}

fn cargo_home() -> PathBuf {
    match std::env::var_os("CARGO_HOME") {
        Some(home) => home.into(),
        None => PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cargo"),
    }
}

/// Every form of a dependency, as the author writes it, in every edition. For the older ones cargo leaves the old spellings in
/// the packaged manifest.
#[test]
fn every_form_of_a_dependency_in_every_edition() {
    let fixture = Fixture::new();
    let alice = Computer::new(&fixture);
    for leaf in ["leaf", "leaf-two"] {
        let manifest = format!(
            "[package]\nname = \"{leaf}\"\nversion = \"1.2.3+build\"\nedition = \"2021\"\n\
             [features]\ndefault = [\"std\"]\nstd = []\nmore = []\n"
        );
        alice.succeeds(
            &alice.package(leaf, &manifest, ""),
            "publish --registry my-reg --no-verify --allow-dirty",
        );
    }
    let root = alice.folder.path().join("editions");
    for edition in ["2015", "2018", "2021", "2024"] {
        let folder = root.join(edition);
        fs::create_dir_all(folder.join("src")).unwrap();
        fs::write(folder.join("src/lib.rs"), "").unwrap();
        let old = if edition == "2024" { "default-features" } else { "default_features" };
        let manifest = format!(
            r#"[package]
name = "edition-{edition}"
version = "0.1.0"
edition = "{edition}"
rust-version = "1.85"
description = " two\nlines"
authors = ["A <a@example.org>", "B"]
keywords = ["one"]
categories.workspace = true

[badges]
maintenance = {{ status = "experimental" }}

[features]
default = ["std"]
std = []
renamed = ["dep:other", "weak?/more"]
repeated = ["std", "std"]

[dependencies]
leaf = {{ version = ">=1, <2", registry = "my-reg", features = ["more", "more"], {old} = false }}
other = {{ package = "leaf", version = "1.2", registry = "my-reg", optional = true }}
weak = {{ package = "leaf-two", version = "= 1.2.3", registry = "my-reg", optional = true }}
same-name = {{ package = "leaf-two", version = "1", registry = "my-reg" }}
semver = "1"
inherited = {{ workspace = true, features = ["std"] }}

[dev-dependencies]
leaf-two = {{ version = "*", registry = "my-reg" }}
path-only = {{ path = "../path-only" }}

[build-dependencies]
leaf = {{ version = "~1.2", registry = "my-reg" }}

[target.'cfg(any(unix,target_os="windows"))'.dependencies]
leaf-two = {{ version = "1", registry = "my-reg" }}

[target.x86_64-unknown-linux-gnu.build-dependencies]
leaf-two = {{ version = "1", registry = "my-reg" }}

[target."cfg( not( windows ) )".dev-dependencies]
leaf = {{ version = "1", registry = "my-reg" }}
"#
        );
        fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    }
    let path_only = root.join("path-only");
    fs::create_dir_all(path_only.join("src")).unwrap();
    fs::write(path_only.join("src/lib.rs"), "").unwrap();
    fs::write(
        path_only.join("Cargo.toml"),
        "[package]\nname = \"path-only\"\nversion = \"0.0.0\"\npublish = false\n",
    )
    .unwrap();
    let workspace = "[workspace]\nmembers = [\"2015\", \"2018\", \"2021\", \"2024\"]\nexclude = [\"path-only\"]\nresolver = \"3\"\n\
                     [workspace.package]\ncategories = [\"command-line-utilities\"]\n[workspace.dependencies]\n\
                     inherited = { package = \"leaf\", version = \"1\", registry = \"my-reg\", features = [\"more\"] }\n";
    fs::write(root.join("Cargo.toml"), workspace).unwrap();
    alice.succeeds(&root, "publish --workspace --registry my-reg --no-verify --allow-dirty");
    assert_eq!(fixture.running().store().published(None).unwrap().len(), 6);
}

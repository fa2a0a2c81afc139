//! What people do with a registry, one after the other. Cargo's configuration names it [`REGISTRY`]; who may do what is
//! the caller's business.

use std::fs;
use std::path::{Path, PathBuf};

use yk_cargo_interop::computer::Computer;

use crate::project::{Package, REGISTRY, add_noise};

/// Publishes, yanks, searches, builds. The registry is empty before.
pub(crate) fn everything(computer: &Computer) {
    publishes_small_and_large(computer);
    publishes_a_workspace(computer);
    yanks_and_undoes_it(computer);
    searches_and_informs(computer);
    builds_cold_and_warm(computer);
}

fn publishes_small_and_large(computer: &Computer) {
    let small = Package::new(computer.folder(), "small").library();
    publish(computer, &small);
    let again = computer.cargo(&small, &["publish", "--no-verify", "--registry", REGISTRY]).unwrap_err();
    assert!(again.contains("already exists"), "{again}");

    let large = Package::new(computer.folder(), "large").library();
    add_noise(&large, 9_000_000);
    publish(computer, &large);
}

fn publishes_a_workspace(computer: &Computer) {
    computer.cargo(&family(computer), &["publish", "--workspace", "--registry", REGISTRY]).unwrap();
}

/// A workspace in which each needs the one before, so cargo has to put them in order.
pub(crate) fn family(computer: &Computer) -> PathBuf {
    let workspace = computer.folder().join("family");
    fs::create_dir(&workspace).unwrap();
    let members = r#"members = ["child", "grandchild", "parent"]"#;
    fs::write(workspace.join("Cargo.toml"), format!("[workspace]\nresolver = \"3\"\n{members}\n")).unwrap();
    let member = |name| Package::new(&workspace, name).in_workspace();
    member("parent").library();
    member("child").depends_on("parent").library();
    member("grandchild").depends_on("child").depends_on("parent").library();
    workspace
}

/// What is yanked is not taken up by somebody new.
fn yanks_and_undoes_it(computer: &Computer) {
    let newcomer = Package::new(computer.folder(), "newcomer").depends_on("small").program();
    yank(computer, "small@1.0.0", &[]).unwrap();
    let refused = computer.cargo(&newcomer, &["run"]).unwrap_err();
    assert!(refused.contains("version 1.0.0 is yanked"), "{refused}");
    yank(computer, "small@1.0.0", &["--undo"]).unwrap();
    assert_eq!(computer.cargo(&newcomer, &["run"]).unwrap(), "2\n");
}

fn searches_and_informs(computer: &Computer) {
    let found = computer.cargo(computer.folder(), &["search", "grand", "--registry", REGISTRY]).unwrap();
    assert!(found.starts_with("grandchild = \"1.0.0\""), "{found}");
    assert!(found.contains("The crate grandchild"), "{found}");
    let shown = computer.cargo(computer.folder(), &["info", "small", "--registry", REGISTRY]).unwrap();
    assert!(shown.contains("The crate small") && shown.contains("version: 1.0.0"), "{shown}");
}

/// Cold: nothing was ever downloaded. Warm: all was, and the index is asked again.
fn builds_cold_and_warm(computer: &Computer) {
    let app = Package::new(computer.folder(), "app").depends_on("grandchild").depends_on("large").program();
    computer.forget_downloads();
    assert_eq!(computer.cargo(&app, &["run"]).unwrap(), "6\n");
    assert_eq!(computer.cargo(&app, &["run", "--locked"]).unwrap(), "6\n");

    publish(computer, &Package::new(computer.folder(), "large").version("1.0.1").library());
    computer.cargo(&app, &["update"]).unwrap();
    let lock = fs::read_to_string(app.join("Cargo.lock")).unwrap();
    assert!(lock.contains("name = \"large\"\nversion = \"1.0.1\""), "{lock}");
    assert_eq!(computer.cargo(&app, &["run", "--locked"]).unwrap(), "6\n");
}

/// With cargo's verify build.
pub(crate) fn publish(computer: &Computer, project: &Path) {
    computer.cargo(project, &["publish", "--registry", REGISTRY]).unwrap();
}

/// `Err` has what cargo said.
pub(crate) fn yank(computer: &Computer, version: &str, options: &[&str]) -> Result<String, String> {
    let arguments = [&["yank", version, "--registry", REGISTRY], options].concat();
    computer.cargo(computer.folder(), &arguments)
}

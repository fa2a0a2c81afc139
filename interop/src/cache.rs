//! What foreign programs are made of, kept in the person's cache folder from one run to the next.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

/// `${XDG_CACHE_HOME:-~/.cache}/yk-cargo-interop/NAME`, filled on first use. The name bears the version of what
/// is in it. Whoever wants the same at the same time waits until it is made.
///
/// # Panics
/// If it cannot be made; the tests cannot go on without.
pub fn once(name: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let cache = folder();
    std::fs::create_dir_all(&cache).expect("a cache folder");
    let turn = File::create(cache.join(format!("{name}.lock"))).expect("a file in the cache");
    turn.lock().expect("its turn");
    let folder = cache.join(name);
    if !folder.exists() {
        let unfinished = tempfile::Builder::new().prefix(name).tempdir_in(&cache);
        let unfinished = unfinished.expect("a folder in the cache");
        make(unfinished.path());
        std::fs::rename(unfinished.path(), &folder).expect("nobody else makes it");
    }
    folder
}

/// The interpreter of a virtual environment with the packages of a requirements file, each with its version.
/// Scripts in the environment name the folder it was made in, so a program is run as a module.
///
/// # Panics
/// As [`once`].
pub fn python(name: &str, requirements: &str) -> PathBuf {
    let environment = once(name, |folder| {
        run(Command::new("python3").args(["-m", "venv"]).arg(folder));
        let pip = ["-m", "pip", "--disable-pip-version-check", "install", "--no-deps", "--requirement"];
        run(Command::new(folder.join("bin/python")).args(pip).arg(requirements));
    });
    environment.join("bin/python")
}

/// The folder of the programs of a crate, built once by this cargo.
///
/// # Panics
/// As [`once`].
pub fn crate_programs(name: &str, version: &str) -> PathBuf {
    let root = once(&format!("{name}-{version}"), |folder| {
        let target = folder.join("target");
        let cargo = std::env::var_os("CARGO").expect("run by cargo");
        let mut command = Command::new(cargo);
        command
            .args(["install", "--locked", "--debug", "--root"])
            .arg(folder)
            .arg("--target-dir")
            .arg(&target);
        run(command.arg(format!("{name}@{version}")).env("CARGO_PROFILE_DEV_DEBUG", "false"));
        std::fs::remove_dir_all(&target).expect("a folder of our own");
    });
    root.join("bin")
}

/// A program that is a crate on crates.io, built once by this cargo with the manifest and the lock file of `interop/NAME/`:
/// the crate's own lock file may hold what is no longer there. A build that was interrupted goes on.
///
/// # Panics
/// As [`once`].
pub fn locked_program(name: &str, version: &str) -> PathBuf {
    let cargo = PathBuf::from(std::env::var_os("CARGO").expect("run by cargo"));
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join(name).join("Cargo.toml");
    let compiler = rustc_version(&cargo.with_file_name("rustc"));
    let target = folder().join("building").join(name);
    let made = once(&format!("{name}-{version}-{compiler}"), |made| {
        let mut command = Command::new(cargo);
        command.args(["build", "--locked", "--package", &format!("{name}@{version}"), "--manifest-path"]);
        run(command.arg(manifest).arg("--target-dir").arg(&target));
        std::fs::copy(target.join("debug").join(name), made.join(name)).expect("what was built");
    });
    // Of several that have waited for it, one removes it.
    let _ = std::fs::remove_dir_all(&target);
    made.join(name)
}

/// As in `1.95.0`.
fn rustc_version(rustc: &Path) -> String {
    let output = Command::new(rustc).arg("--version").output().expect("rustc is beside cargo");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.split_whitespace().nth(1).expect("a version after the name").to_owned()
}

fn run(command: &mut Command) {
    let status = command.status().expect("programs of debian-packages.txt");
    assert!(status.success(), "{command:?}: {status}; debian-packages.txt has what these tests need");
}

fn folder() -> PathBuf {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    cache.expect("XDG_CACHE_HOME or HOME").join("yk-cargo-interop")
}

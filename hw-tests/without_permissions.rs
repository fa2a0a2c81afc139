//! A home on a file system that keeps no permissions, as a Windows drive is in WSL: everything is open to everybody, and
//! changing that changes nothing. Here bindfs makes one.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::world::{NAME, World};

/// A folder whose contents have all permissions, always.
struct Mounted(PathBuf);

impl Mounted {
    /// `None`, and the reason is told, where such a thing cannot be mounted.
    fn at(folder: PathBuf, under: &Path) -> Option<Self> {
        fs::create_dir_all(&folder).unwrap();
        fs::create_dir_all(under).unwrap();
        let open = ["--perms=a=rwx", "--chmod-ignore", "--chown-ignore", "--chgrp-ignore"];
        let mut bindfs = Command::new("bindfs");
        let outcome = bindfs.args(open).arg(under).arg(&folder).stdin(Stdio::null()).output();
        let reason = match outcome {
            Ok(output) if output.status.success() => return Some(Self(folder)),
            Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
            Err(error) => error.to_string(),
        };
        let why = format!("skipped, no file system without permissions: bindfs: {}", reason.trim());
        let _ = writeln!(std::io::stderr(), "{why}");
        None
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let unmounted = |program: &str, arguments: &[&str]| {
            Command::new(program).args(arguments).arg(&self.0).status().is_ok_and(|status| status.success())
        };
        let _ =
            unmounted("fusermount", &["-u"]) || unmounted("fusermount3", &["-u"]) || unmounted("umount", &[]);
    }
}

#[test]
fn a_home_without_permissions_works() {
    let world = World::new();
    let Some(mounted) = Mounted::at(world.path("drive"), &world.path("under")) else { return };
    let home = mounted.0.join("cargo");
    fs::create_dir(&home).unwrap();
    fs::copy(world.path("home/config.toml"), home.join("config.toml")).unwrap();
    let run = |arguments: &[&str]| world.yk_cargo(arguments).env("CARGO_HOME", &home);
    run(&["enroll", NAME, "--yes", "--configure"]).succeeds();
    let file = home.join("yk-cargo/enrollments.toml");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o777, "the test is one");
    let left: Vec<_> =
        fs::read_dir(file.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with('.')), "{left:?}");
    run(&["token", NAME, "--yank", "alpha@0.1.0"]).succeeds();
    run(&["seal", "sparse+http://localhost:9/sealed/", "--yes", "--no-configure"])
        .input("token-123\n")
        .succeeds();
    run(&["list"]).succeeds();
    // Where permissions are kept, the same ones are refused.
    let kept = world.path("kept");
    fs::create_dir(&kept).unwrap();
    fs::create_dir(kept.join("yk-cargo")).unwrap();
    fs::copy(&file, kept.join("yk-cargo/enrollments.toml")).unwrap();
    fs::set_permissions(kept.join("yk-cargo"), fs::Permissions::from_mode(0o777)).unwrap();
    world.yk_cargo(["list"]).env("CARGO_HOME", &kept).fails().says(&["may be written by others"]);
}

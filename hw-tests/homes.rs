//! Homes that are unlike most: on a file system that keeps no permissions, as a Windows drive is in WSL, or has no locks; with a
//! configuration that nobody can write; or somebody else's. Each works, or what is said to be done works.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::trace::Seen;
use crate::world::{NAME, Run, World};

const OURS: &str = env!("CARGO_BIN_EXE_yk-cargo");

fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped, {why}");
}

/// Whether a program is there and does nothing without complaint.
fn can(program: &str, arguments: &[&str]) -> bool {
    let quiet = |command: &mut Command| command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    quiet(Command::new(program).args(arguments)).is_ok_and(|status| status.success())
}

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
        skipped(&format!("no file system without permissions: bindfs: {}", reason.trim()));
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

/// As NFS without a lock daemon, 9p and FUSE answer flock(2).
#[test]
fn a_home_without_locks_works() {
    if !can("strace", &["-qq", "true"]) {
        return skipped("strace, which has flock fail, is not there or may not trace");
    }
    for error in ["ENOSYS", "EOPNOTSUPP", "ENOLCK"] {
        let world = World::new();
        let (calls, inject) = (world.path("calls"), format!("inject=flock:error={error}"));
        let strace = ["-f", "-qq", "-o", calls.to_str().unwrap(), "-e", "trace=flock", "-e", &inject, OURS];
        let without_locks = |more: &[&str]| world.run("strace", &[&strace[..], more].concat());
        without_locks(&["enroll", NAME, "--yes", "--configure"]).succeeds();
        assert!(fs::read_to_string(&calls).unwrap().contains("(INJECTED)"), "the test is one");
        let names =
            fs::read_dir(world.path("home/yk-cargo")).unwrap().map(|entry| entry.unwrap().file_name());
        let left: Vec<_> = names.filter(|name| name.to_string_lossy().ends_with("locked")).collect();
        assert!(left.is_empty(), "{error}: {left:?}");
        without_locks(&["forget", NAME, "--yes"]).succeeds();
    }
}

/// As `chattr +i` has it, from everybody.
#[test]
fn a_configuration_that_is_protected_from_changes() {
    let world = World::new();
    let config = world.path("home/config.toml");
    if !can("chattr", &["+i", config.to_str().unwrap()]) {
        return skipped("only root can protect a file here, and not on every file system");
    }
    let enroll = world.yk_cargo(["enroll", NAME, "--yes", "--configure"]).ends();
    let hint = enroll.stderr.lines().find_map(|line| line.split_once("with an `i`: sudo "));
    let said = hint.map(|(before, command)| (before.to_owned(), command.to_owned()));
    // Whatever was said, or else the folder stays.
    assert!(can("chattr", &["-i", config.to_str().unwrap()]));
    let (before, command) = said.unwrap_or_else(|| panic!("{enroll:#?}"));
    assert!(before.starts_with("hint: look whether it is protected from changes: lsattr "), "{before}");
    assert_eq!(command, format!("chattr -i {}", config.display()));
    world.yk_cargo(["enroll", NAME, "--yes", "--configure"]).succeeds();
}

/// A link into a store that is mounted for reading, as home-manager makes it: what is to be written there, and what the
/// administrator needs, is said all the same.
#[test]
fn a_configuration_that_nobody_can_write() {
    let unshare = ["--mount", "--user", "--map-root-user"];
    let unshare = if rustix::process::geteuid().is_root() { &unshare[..1] } else { &unshare };
    if !can("unshare", &[unshare, &["mount", "-t", "tmpfs", "none", "/mnt"]].concat()) {
        return skipped("nothing can be mounted here, not even for one process");
    }
    let world = World::new();
    fs::create_dir(world.path("kept")).unwrap();
    fs::rename(world.path("home/config.toml"), world.path("kept/config.toml")).unwrap();
    std::os::unix::fs::symlink(world.path("kept/config.toml"), world.path("home/config.toml")).unwrap();
    let mount = "mount --bind \"$0\" \"$0\" && mount -o remount,ro,bind \"$0\" && exec \"$@\"";
    let kept = world.path("kept");
    let run = |more: &[&str]| -> Run {
        let within = ["sh", "-c", mount, kept.to_str().unwrap(), OURS];
        world.run("unshare", &[unshare, &within, more].concat())
    };
    let enroll = run(&["enroll", NAME, "--yes", "--configure"]).fails();
    enroll.says(&[
        "contains\n    [registries.my-reg]\n    credential-provider = ",
        "kept/config.toml",
        "hint: it is on a read-only file system: change it at its source",
    ]);
    assert_eq!(enroll.stdout.matches("registry-gateway key add").count(), 2, "{enroll:#?}");
    // Carried out where it comes from:
    let config = fs::read_to_string(world.path("kept/config.toml")).unwrap();
    fs::write(world.path("kept/config.toml"), config + "credential-provider = \"yk-cargo\"\n").unwrap();
    world.add_keys("alice");
    world.publish(&world.package("alpha", "0.1.0", "")).succeeds();
}

/// What root is told does not lock the person out.
#[test]
fn root_in_somebodys_home() {
    const SOMEBODY: &str = "--reuid=1234";
    if !can("setpriv", &[SOMEBODY, "--clear-groups", "true"]) {
        return skipped("only root can be somebody else");
    }
    let world = World::enrolled();
    let mine = world.path("yk-cargo");
    assert!(can("cp", &[OURS, mine.to_str().unwrap()]));
    fs::set_permissions(world.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    assert!(can("chown", &["-R", "1234:1234", world.cargo_home().to_str().unwrap()]));
    for command in [&["list"][..], &["forget", NAME, "--yes"]] {
        let refused = world.yk_cargo(command).fails();
        refused.says(&[
            "belongs to another user",
            "run this as the user it belongs to (sudo -u USER), or with a CARGO_HOME",
        ]);
    }
    let list = [SOMEBODY, "--clear-groups", mine.to_str().unwrap(), "list"];
    let list = world.run("setpriv", &list).succeeds();
    assert!(list.stdout.contains(NAME), "{list:#?}");
}

/// A pipe, a socket, a folder or a device in the place of a file of ours is said to be that at once, and what is said to be done
/// makes room.
#[test]
fn what_is_no_file_is_not_waited_for() {
    let things = ["mkfifo FILE", "mkdir FILE", "ln -s /dev/zero FILE", "SOCKET FILE"];
    let files: [(&str, &[&str]); 4] = [
        ("enrollments.toml", &["list"]),
        ("config.toml", &["list"]),
        ("enrollments.lock", &["forget", NAME, "--yes"]),
        ("signers.toml", &["verify", "alpha@0.1.0", "--registry", NAME]),
    ];
    let world = World::enrolled();
    world.publish(&world.package("alpha", "0.1.0", "")).succeeds();
    for (thing, (file, command)) in things.into_iter().flat_map(|thing| files.map(|file| (thing, file))) {
        let path = world.path("home/yk-cargo").join(file);
        let kept = path.with_extension("kept");
        let _ = fs::rename(&path, &kept);
        let shell = |line: &str| assert!(can("sh", &["-c", line]), "{line}");
        match thing.strip_suffix(" FILE").unwrap() {
            "SOCKET" => drop(std::os::unix::net::UnixListener::bind(&path).unwrap()),
            make => shell(&format!("{make} {}", path.display())),
        }
        let refused = world.yk_cargo(command).fails();
        refused.says(&[&format!("{} is not a regular file", path.display())]);
        let hint = refused.stderr.lines().find_map(|line| line.strip_prefix("hint: move it away: ")).unwrap();
        shell(hint);
        assert!(fs::symlink_metadata(&path).is_err(), "{hint}");
        shell(&format!("rm -rf {}.old", path.display()));
        let _ = fs::rename(&kept, &path);
        if file != "signers.toml" {
            world.yk_cargo(["list"]).succeeds();
        }
    }
    world.yk_cargo(["forget", NAME, "--yes"]).succeeds();
}

/// A link to nowhere, or a file, in the place of our folder.
#[test]
fn what_is_no_folder_is_moved_away_as_told() {
    let world = World::new();
    let folder = world.path("home/yk-cargo");
    for make in ["ln -s nowhere", "touch"] {
        assert!(can("sh", &["-c", &format!("{make} {}", folder.display())]));
        let refused = world.yk_cargo(["enroll", NAME, "--yes"]).fails();
        let hint =
            refused.stderr.lines().find_map(|line| line.strip_prefix("hint: move what is there away: "));
        let hint = hint.unwrap_or_else(|| panic!("{refused:#?}"));
        assert!(can("sh", &["-c", hint]) && fs::symlink_metadata(&folder).is_err(), "{hint}");
    }
    // What is the system's is not moved.
    for command in [&["status"][..], &["enroll", NAME, "--yes"]] {
        let refused = world.yk_cargo(command).env("CARGO_HOME", "/dev/null").fails();
        refused.says(&["hint: /dev/null is not a folder: set CARGO_HOME to one"]);
        assert!(!refused.stderr.contains("mv "), "{refused:#?}");
    }
    assert!(!Seen::on(&world.card).changed_anything());
    world.yk_cargo(["enroll", NAME, "--yes"]).succeeds();
}

/// Files that a person names, and those that cargo's configuration does.
#[test]
fn a_file_without_an_end_is_not_read() {
    let world = World::enrolled();
    let pipe = world.path("pipe");
    assert!(can("mkfifo", &[pipe.to_str().unwrap()]));
    for endless in ["/dev/zero", pipe.to_str().unwrap()] {
        let token = world.yk_cargo(["token", NAME, "--publish", endless]).fails();
        token.says(&[&format!("cannot read {endless}"), "it is not a regular file"]);
    }
    let config = fs::read_to_string(world.path("home/config.toml")).unwrap();
    for (endless, says) in [("/dev/zero", "it has more than "), (pipe.to_str().unwrap(), "it is a pipe")] {
        world.write("home/config.toml", &format!("{config}[http]\ncainfo = \"{endless}\"\n"));
        let status = world.yk_cargo(["status"]).succeeds();
        let certificates = format!("cannot use the certificates in {endless}: {says}");
        assert!(status.stdout.contains(&certificates), "{status:#?}");
    }
}

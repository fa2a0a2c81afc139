//! A Debian sid of its own in the person's cache folder: compilers for other systems, and Wine.
//!
//! It is made once. Everything that is built or run there stays in its `/build`; the workspace is seen as `/workspace`, and
//! cannot be written.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::say::{command, headline, say};
use crate::workspace::{cache, root};
use crate::{Failure, Outcome, prerequisites};

/// What is installed there.
const PACKAGES: &[&str] = &[
    "ca-certificates",
    "cargo",
    "clang",
    "cmake",
    "g++-mingw-w64-x86-64-win32",
    "gcc",
    "gcc-mingw-w64-x86-64-win32",
    "libc6-dev",
    "libpcsclite1",
    "nasm",
    "perl",
    "python3-pip",
    "rust-clippy",
    "rust-src",
    "rustc",
    "wine",
    "wine64",
];

const MIRROR: &str = "http://deb.debian.org/debian";
/// A copy of the archive may be older than its lists promise.
const AS_OLD_AS_IT_IS: &str = "--aptopt=Acquire::Check-Valid-Until \"false\"";
const NOTHING_MORE: &str = "--aptopt=APT::Install-Recommends \"false\"";
/// What is left of a chroot whose making was cut off is thrown away.
const UNSAFELY: &str = "--dpkgopt=force-unsafe-io";

/// Below the chroot: what was installed, one a line. It is written last.
const INSTALLED: &str = "build/packages";
/// Below the chroot: the tree that the programs in there were built from.
const TREE: &str = "build/tree";
/// Below the chroot: for whom this machine trusts a server.
const AUTHORITIES: &str = "etc/ssl/certs/ca-certificates.crt";

/// In a mount namespace of its own, so that no mount outlives the command: `$1` is the chroot, `$2` the workspace.
const MOUNTED: &str = "set -e
mount --rbind /proc \"$1/proc\"
mount --rbind /dev \"$1/dev\"
mount --bind \"$2\" \"$1/workspace\"
mount -o remount,bind,ro \"$1/workspace\"
shift 2
exec \"$@\"";

/// A chroot that is there.
pub(crate) struct Sid {
    root: PathBuf,
}

impl Sid {
    /// Makes it, if it is not there or lacks something.
    ///
    /// # Errors
    /// What this needs, or what could not be made.
    pub(crate) fn provide() -> Outcome<Self> {
        if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
            return Err(Failure::new(
                "this needs Linux on x86_64: Wine runs programs for the processor it is on",
            ));
        }
        if !prerequisites::is_root() {
            return Err(Failure::new(
                "this makes a chroot and mounts in it, for which it has to run as root",
            ));
        }
        prerequisites::provide(&[prerequisites::BUILD, prerequisites::SID])?;
        let sid = Self { root: cache()?.join("yk-cargo-elsewhere/sid") };
        match fs::read_to_string(sid.root.join(INSTALLED)) {
            Err(_) => sid.make()?,
            Ok(list) if list != installed() => sid.add_packages()?,
            Ok(_) => say(format_args!("Debian sid is in {}", sid.root.display())),
        }
        sid.take_over("/etc/resolv.conf")?;
        Ok(sid)
    }

    /// One that was made for an older tree.
    fn add_packages(&self) -> Outcome {
        self.take_over("/etc/resolv.conf")?;
        let apt_get = || {
            let mut apt_get = self.command("apt-get");
            apt_get.env("DEBIAN_FRONTEND", "noninteractive").arg("-qq");
            apt_get
        };
        done("apt-get update", apt_get().args(["-o", "Acquire::Check-Valid-Until=false", "update"]))?;
        let mut install = apt_get();
        install.args(["install", "--yes", "--no-install-recommends"]).args(PACKAGES);
        done(&format!("apt-get install {}", PACKAGES.join(" ")), &mut install)?;
        self.note_packages()
    }

    fn note_packages(&self) -> Outcome {
        let list = self.root.join(INSTALLED);
        fs::write(&list, installed()).map_err(|error| not_written(&list, &error))
    }

    fn make(&self) -> Outcome {
        let making = self.root.with_extension("making");
        headline(format_args!(
            "Making a Debian sid in {} (5 to 10 minutes, 3 GB, once)",
            self.root.display()
        ));
        for old in [&self.root, &making] {
            if old.exists() {
                fs::remove_dir_all(old).map_err(|error| not_written(old, &error))?;
            }
        }
        let parent = making.parent().unwrap_or(&making);
        fs::create_dir_all(parent).map_err(|error| not_written(parent, &error))?;
        let include = format!("--include={}", PACKAGES.join(","));
        let mut mmdebstrap = Command::new("mmdebstrap");
        mmdebstrap.args(["--mode=root", "--variant=apt", AS_OLD_AS_IT_IS, NOTHING_MORE, UNSAFELY, "--quiet"]);
        mmdebstrap.arg(include).args(["sid".as_ref(), making.as_os_str(), MIRROR.as_ref()]);
        done("mmdebstrap", &mut mmdebstrap)?;
        for folder in ["workspace", "build", "build/run"] {
            let folder = making.join(folder);
            fs::create_dir_all(&folder).map_err(|error| not_written(&folder, &error))?;
        }
        fs::rename(&making, &self.root).map_err(|error| not_written(&self.root, &error))?;
        self.take_over(&format!("/{AUTHORITIES}"))?;
        self.note_packages()
    }

    /// A file of this machine's. Where it has none, the chroot keeps its own.
    fn take_over(&self, file: &str) -> Outcome {
        let Ok(text) = fs::read(file) else { return Ok(()) };
        let there = self.path(file);
        // A link would lead out of the chroot.
        let _ = fs::remove_file(&there);
        fs::write(&there, text).map_err(|error| not_written(&there, &error))
    }

    /// Where something is that is called like this in there.
    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        self.root.join(inside.trim_start_matches('/'))
    }

    /// Has what is ours in there forgotten, if it is of another tree: cargo goes by times, and would take it for its own.
    ///
    /// # Errors
    /// Those of `forget`, or it cannot be noted whose it is now.
    pub(crate) fn belongs_to_this_tree(&self, forget: impl FnOnce() -> Outcome) -> Outcome {
        let (note, here) = (self.root.join(TREE), root().display().to_string());
        if fs::read_to_string(&note).is_ok_and(|tree| tree == here) {
            return Ok(());
        }
        forget()?;
        fs::write(&note, here).map_err(|error| not_written(&note, &error))
    }

    /// A command in there, with the workspace's folder as its own.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut inside = self.beside("chroot");
        inside.arg(&self.root).args(["/usr/bin/env", "--chdir=/workspace", program]);
        inside.env_clear().envs(ENVIRONMENT);
        for name in ["http_proxy", "https_proxy", "no_proxy", "HTTPS_PROXY", "NO_PROXY", "TERM"] {
            inside.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        inside
    }

    /// A command out here that sees what is mounted in there.
    pub(crate) fn beside(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", MOUNTED, "sh"]);
        command.args([&self.root, &root()]).arg(program).stdin(Stdio::null());
        command
    }
}

/// What a command in there is told.
const ENVIRONMENT: [(&str, &str); 6] = [
    ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
    ("HOME", "/root"),
    ("LANG", "C.UTF-8"),
    ("CARGO_HOME", "/build/cargo"),
    ("CARGO_TARGET_DIR", "/build/target"),
    // Debian has no standard library for other systems. It is built, which Rust allows on nightly only.
    ("RUSTC_BOOTSTRAP", "1"),
];

/// Runs it, and shows what it says.
///
/// # Errors
/// It names it by these words.
pub(crate) fn done(words: &str, step: &mut Command) -> Outcome {
    command(words);
    match step.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::new(format!("this failed ({status}): {words}"))),
        Err(error) => Err(Failure::new(format!("this could not be started: {words}: {error}"))),
    }
}

fn installed() -> String {
    PACKAGES.join("\n")
}

fn not_written(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("{} cannot be written: {error}", path.display()))
}

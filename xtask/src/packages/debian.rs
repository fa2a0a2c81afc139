//! A clean Debian in a folder: its smallest form, and the programs that judge.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::say::{command, headline, say};
use crate::workspace::{cache, rustc};
use crate::{Failure, Outcome};

/// The oldest release that the packages are for.
const RELEASE: &str = "bookworm";

/// The judges. Nothing in here depends on a library that the packages need.
const JUDGES: [&str; 8] =
    ["bash-completion", "ca-certificates", "dbus", "fish", "lintian", "man-db", "systemd", "zsh"];

/// Written when the folder is complete.
const DONE: &str = "made";

/// The mounts are in a namespace that ends with its last process, so nothing has to be undone. `$1` is the clean Debian, `$2` what is
/// judged, `$3` the toolchain, `$4` a folder to mount on, `$5` the script.
const ENTER: &str = r#"set -eu
mount -t tmpfs -o mode=755 none "$4"
mkdir "$4/upper" "$4/work" "$4/root"
mount -t overlay -o "lowerdir=$1,upperdir=$4/upper,workdir=$4/work" none "$4/root"
cd "$4/root"
mkdir -p judged opt/rust
mount --bind -o ro "$2" judged
mount --bind -o ro "$3" opt/rust
mount -t proc none proc
mount --rbind /dev dev
for file in resolv.conf hosts; do cp -L "/etc/$file" "etc/$file"; done
exec chroot . env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive sh -c "$5"
"#;

/// One that is complete.
pub(super) struct Debian(PathBuf);

impl Debian {
    /// The one in the cache folder, which is made if it is not there.
    pub(super) fn ready() -> Outcome<Self> {
        let folder = cache()?.join("yk-cargo-packages").join(RELEASE);
        if fs::read_to_string(folder.join(DONE)).is_ok_and(|judges| judges == JUDGES.join(" ")) {
            return Ok(Self(folder));
        }
        headline("Making a clean Debian (two minutes, once)");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)
            .map_err(|error| Failure::new(format!("{}: {error}", folder.display())))?;
        let include = format!("--include={}", JUDGES.join(","));
        command(format_args!("mmdebstrap --variant=minbase {include} {RELEASE} {}", folder.display()));
        let mut make = Command::new("mmdebstrap");
        make.args(["--quiet", "--variant=minbase", "--mode=root", &include, RELEASE]).arg(&folder);
        make.args(mirror());
        succeeds(&mut make, "mmdebstrap")?;
        fs::write(folder.join(DONE), JUDGES.join(" "))
            .map_err(|error| Failure::new(format!("{}: {error}", folder.display())))?;
        Ok(Self(folder))
    }

    /// Runs a script in it as root, with what is judged in `/judged` and a toolchain in `/opt/rust`.
    pub(super) fn run(&self, script: &str, judged: &Path) -> Outcome {
        let sysroot = rustc(&["--print", "sysroot"])?;
        let mount = std::env::temp_dir().join(format!("yk-cargo-packages-{}", std::process::id()));
        fs::create_dir_all(&mount).map_err(|error| Failure::new(format!("{}: {error}", mount.display())))?;
        let mut enter = Command::new("unshare");
        enter.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", ENTER, "enter"]);
        enter.arg(&self.0).arg(judged).arg(sysroot.trim()).arg(&mount).arg(script);
        let outcome = succeeds(&mut enter, "what is judged");
        let _ = fs::remove_dir(&mount);
        outcome
    }
}

/// Debian's mirror where this system has one of its own; else mmdebstrap knows it.
fn mirror() -> Option<String> {
    let sources = fs::read_to_string("/etc/apt/sources.list.d/debian.sources").ok()?;
    let mut words = sources.lines().find_map(|line| line.strip_prefix("URIs:"))?.split_whitespace();
    words.next().map(str::to_owned)
}

fn succeeds(command: &mut Command, what: &str) -> Outcome {
    match command.stdin(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => {
            say("");
            Err(Failure::new(format!("{what} failed ({status})")))
        }
        Err(error) => Err(Failure::new(format!("{what} could not be started: {error}"))),
    }
}

//! What the system must have: asked for by trying it, installed where that needs no question.

use std::process::{Command, Stdio};

use crate::say::{command, say};
use crate::workspace::{cargo_program, root, succeeds};
use crate::{Failure, Outcome};
use Source::{Debian, Rustup};

/// Something the system must have.
pub(crate) struct Need {
    name: &'static str,
    why: &'static str,
    from: Source,
    is_there: fn() -> bool,
}

/// Where something that is missing comes from.
enum Source {
    /// Debian packages.
    Debian(&'static [&'static str]),
    /// A component of the Rust toolchain.
    Rustup(&'static str),
}

/// Its installation starts a server for the whole system, unless [`NO_CLUSTER`] was run before.
const POSTGRESQL: &str = "postgresql";
/// pg_createcluster(1), "create_main_cluster". A file of our own, because dpkg asks about one of the package's that was changed.
const NO_CLUSTER: &str = "mkdir -p /etc/postgresql-common/createcluster.d && \
    echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.d/no-main-cluster.conf";

/// To build the workspace.
pub(crate) const BUILD: &[Need] = &[
    Need {
        name: "a C compiler",
        why: "the gateway's cryptography and SQLite are C",
        from: Debian(&["gcc", "libc6-dev"]),
        is_there: has_c_compiler,
    },
    Need {
        name: "pkg-config",
        why: "it tells the build where libpcsclite is",
        from: Debian(&["pkgconf"]),
        is_there: || has_pcsc() || pkg_config(&["--version"]),
    },
    Need {
        name: "libpcsclite",
        why: "yk-cargo talks to smart cards through it",
        from: Debian(&["libpcsclite-dev"]),
        is_there: || has_pcsc() || pkg_config(&["--exists", "libpcsclite"]),
    },
];

/// To make Debian packages.
pub(crate) const PACKAGE: &[Need] = &[
    Need {
        name: "dpkg-shlibdeps",
        why: "it knows which packages have the libraries that a program is linked with",
        from: Debian(&["dpkg-dev"]),
        is_there: || succeeds("dpkg-shlibdeps", &["--version"]),
    },
    Need {
        name: "git",
        why: "it tells when the commit was made, which is the only time in a package",
        from: Debian(&["git"]),
        is_there: || succeeds("git", &["--version"]),
    },
];

/// To enter a Debian of its own.
pub(crate) const CHROOT: &[Need] = &[
    Need {
        name: "mmdebstrap",
        why: "it makes a clean Debian",
        from: Debian(&["mmdebstrap"]),
        is_there: || succeeds("mmdebstrap", &["--version"]),
    },
    Need {
        name: "unshare",
        why: "what is mounted there ends with the command",
        from: Debian(&["util-linux"]),
        is_there: || succeeds("unshare", &["--version"]),
    },
];

/// To install the linters of workflows.
pub(crate) const WORKFLOWS: &[Need] = &[Need {
    name: "python3 with venv",
    why: "the linters of workflows come from PyPI",
    from: Debian(&["python3-venv"]),
    is_there: || succeeds("python3", &["-c", "import ensurepip, venv"]),
}];

/// To build libFuzzer.
pub(crate) const FUZZ: &[Need] = &[Need {
    name: "a C++ compiler",
    why: "libFuzzer is C++",
    from: Debian(&["g++"]),
    is_there: || succeeds("c++", &["--version"]),
}];

/// To run the tests as well.
pub(crate) const TEST: &[Need] = &[
    Need {
        name: "rustfmt",
        why: "the format is checked",
        from: Rustup("rustfmt"),
        is_there: || succeeds(cargo_program(), &["fmt", "--version"]),
    },
    Need {
        name: "clippy",
        why: "the lints are checked",
        from: Rustup("clippy"),
        is_there: || succeeds(cargo_program(), &["clippy", "--version"]),
    },
    Need {
        name: "git",
        why: "the tests compare crates with repositories",
        from: Debian(&["git"]),
        is_there: || succeeds("git", &["--version"]),
    },
    Need {
        name: "man",
        why: "the tests read the man pages with it",
        from: Debian(&["man-db"]),
        is_there: || succeeds("man", &["--version"]),
    },
    Need {
        name: "opensc-tool",
        why: "the tests let it judge the mock card",
        from: Debian(&["opensc"]),
        is_there: || succeeds("opensc-tool", &["--version"]),
    },
    Need {
        name: "pinentry-curses",
        why: "the tests enter a PIN into it",
        from: Debian(&["pinentry-curses"]),
        is_there: || succeeds("pinentry-curses", &["--version"]),
    },
    Need {
        name: "PostgreSQL",
        why: "the tests run servers of their own, which end with them",
        from: Debian(&[POSTGRESQL]),
        is_there: has_postgresql,
    },
    Need {
        name: "yubico-piv-tool",
        why: "the tests let it judge the mock card",
        from: Debian(&["yubico-piv-tool"]),
        is_there: || succeeds("yubico-piv-tool", &["--version"]),
    },
    Need {
        name: "zsh",
        why: "the tests stop and continue programs in it",
        from: Debian(&["zsh"]),
        is_there: || succeeds("zsh", &["--version"]),
    },
];

/// To make a chroot with compilers for other systems.
pub(crate) const SID: &[Need] = &[Need {
    name: "mmdebstrap",
    why: "it makes a Debian sid, whose compilers and Wine are used",
    from: Debian(&["mmdebstrap", "util-linux"]),
    is_there: || succeeds("mmdebstrap", &["--version"]) && succeeds("unshare", &["--version"]),
}];

/// Sees to it that all needs are met.
///
/// # Errors
/// Names what is missing and the command that installs it.
pub(crate) fn provide(needs: &[&[Need]]) -> Outcome {
    let missing = || needs.iter().copied().flatten().filter(|need| !(need.is_there)()).collect::<Vec<_>>();
    let wanted = missing();
    if wanted.is_empty() {
        return Ok(());
    }
    for need in &wanted {
        say(format_args!("Missing: {} ({})", need.name, need.why));
    }
    let (mut packages, mut components) = (Vec::new(), Vec::new());
    for need in &wanted {
        match need.from {
            Debian(names) => packages.extend_from_slice(names),
            Rustup(name) => components.push(name),
        }
    }
    if !components.is_empty() {
        add_components(&components)?;
    }
    if !packages.is_empty() {
        install(&packages)?;
    }
    match missing()[..] {
        [] => Ok(()),
        [need, ..] => Err(Failure::new(format!("{} was installed, and is still not found", need.name))),
    }
}

/// Adds components to the toolchain that runs us.
fn add_components(components: &[&str]) -> Outcome {
    let arguments = [&["component", "add"], components].concat();
    command(format_args!("rustup {}", arguments.join(" ")));
    let status = Command::new("rustup").args(&arguments).current_dir(root()).stdin(Stdio::null()).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(Failure::new(format!("rustup could not add: {}", components.join(" ")))),
        Err(_) => Err(Failure::new(format!(
            "there is no rustup here; install these parts of Rust as your system does, then run this again: {}",
            components.join(" ")
        ))),
    }
}

/// Installs Debian packages, if that can be done without asking.
///
/// # Errors
/// Names the command that a person has to run.
pub(crate) fn install(packages: &[&str]) -> Outcome {
    let list = packages.join(" ");
    if !succeeds("apt-get", &["--version"]) {
        return Err(Failure::new(format!(
            "there is no apt-get here; install what Debian calls: {list}\nand run this again"
        )));
    }
    let prefix: &[&str] = if is_root() {
        &[]
    } else if succeeds("sudo", &["-n", "true"]) {
        &["sudo", "-n"]
    } else {
        return Err(Failure::new(format!(
            "only the administrator can install packages; run this, and then the same command again:\n  sudo apt-get install --no-install-recommends {list}"
        )));
    };
    // Lists that could not be renewed may still do: the installation is the judge.
    apt_get(prefix, &["update"]);
    if packages.contains(&POSTGRESQL) && !runs(&[prefix, &["sh", "-c", NO_CLUSTER]].concat()) {
        return Err(Failure::new("cannot see to it that PostgreSQL starts no server for the whole system"));
    }
    let arguments = [&["install", "--yes", "--no-install-recommends"], packages].concat();
    if apt_get(prefix, &arguments) {
        return Ok(());
    }
    Err(Failure::new(format!("apt-get could not install: {list}")))
}

/// Runs it, waiting for another package manager to finish (a fresh machine updates itself), and shows what it says.
fn apt_get(prefix: &[&str], arguments: &[&str]) -> bool {
    let own = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120"];
    command([prefix, &["apt-get"], arguments].concat().join(" "));
    runs(&[prefix, &own, arguments].concat())
}

fn runs(words: &[&str]) -> bool {
    let status = Command::new(words[0]).args(&words[1..]).stdin(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

pub(crate) fn is_root() -> bool {
    let id = Command::new("id").arg("-u").stdin(Stdio::null()).output();
    id.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// With its headers: Debian's gcc comes without them.
fn has_c_compiler() -> bool {
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    succeeds(compiler, &["-E", "-x", "c", "-include", "stdlib.h", "/dev/null"])
}

/// Debian has its programs in a folder for each version, which is not in PATH.
pub(crate) fn has_postgresql() -> bool {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    versions.map(|version| version.path()).any(|version| version.join("bin/initdb").exists())
        || succeeds("initdb", &["--version"])
}

/// macOS has a framework for it, and whoever names the library's folder needs no pkg-config (build script of the crate `pcsc-sys`).
fn has_pcsc() -> bool {
    cfg!(target_os = "macos") || std::env::var_os("PCSC_LIB_DIR").is_some()
}

/// The program, by the names under which the crate `pkg-config` looks for it.
fn pkg_config(arguments: &[&str]) -> bool {
    match std::env::var_os("PKG_CONFIG") {
        Some(program) => succeeds(program, arguments),
        None => succeeds("pkg-config", arguments) || succeeds("pkgconf", arguments),
    }
}

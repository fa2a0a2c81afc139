//! A PostgreSQL of a test's own: Debian's, in a temporary folder and on a Unix socket.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::server::Server;

/// The role that owns everything. Whoever comes by the socket is believed.
const OWNER: &str = "owner";
/// PostgreSQL does not run as root. This user is on every system, and owns nothing.
const NOBODY: u32 = 65534;
/// What it says once it listens.
const READY: &str = "ready to accept connections";

/// A server that runs. Dropping it ends it and all it kept.
#[derive(Debug)]
pub struct Postgres {
    // Before its folder, for fields are dropped in this order.
    _server: Server,
    folder: TempDir,
}

impl Postgres {
    /// With an empty database. `None` where PostgreSQL is not installed.
    ///
    /// # Panics
    /// If it does not start; the tests cannot go on without.
    pub fn start() -> Option<Self> {
        let programs = programs()?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let as_root = fs::metadata(folder.path()).expect("it is there").uid() == 0;
        if as_root {
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).expect("root may do that");
        }
        let shell = |line: &str| {
            let mut command = Command::new(if as_root { "setpriv" } else { "sh" });
            if as_root {
                let nobody = NOBODY.to_string();
                command.args(["--reuid", &nobody, "--regid", &nobody, "--clear-groups", "sh"]);
            }
            command.args(["-c", line]).current_dir(folder.path()).env_clear();
            command.env("PATH", format!("{}:/usr/bin:/bin", programs.display())).env("LC_ALL", "C");
            command
        };
        let initialize =
            format!("initdb --no-sync --encoding=UTF8 --locale=C --auth=trust -U {OWNER} -D data");
        let initialized = shell(&initialize).output().expect("a shell");
        assert!(initialized.status.success(), "{initialized:?}");
        let socket = folder.path().display();
        let serve = format!("exec postgres -D data -k {socket} -c listen_addresses= -c fsync=off 2>&1");
        let started = Server::start(&mut shell(&serve), |line| line.contains(READY).then_some(()));
        let (server, ()) = started.expect("PostgreSQL starts");
        Some(Self { _server: server, folder })
    }

    /// The address of its database, as the gateway has it.
    pub fn url(&self) -> String {
        format!("postgres://{OWNER}@/postgres?host={}", self.folder.path().display())
    }
}

/// The folder of the newest version that Debian has installed.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let programs = versions.map(|version| version.path().join("bin"));
    programs.filter(|folder: &PathBuf| Path::new(&folder.join("initdb")).exists()).max()
}

//! A PostgreSQL of this program's own, in a temporary folder, on a Unix socket. What it commits is on the disk.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::front::{folder, remove};

/// PostgreSQL does not run as root. This user is on every system, and owns nothing.
const NOBODY: u32 = 65534;

/// A server while it runs.
pub(crate) struct Server {
    folder: PathBuf,
    postgres: Child,
}

impl Server {
    /// `None` if it is not installed.
    pub(crate) fn start() -> Option<Self> {
        let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
        let programs =
            versions.map(|version| version.path().join("bin")).find(|bin| bin.join("initdb").exists())?;
        let folder = folder("postgres");
        let is_root = rustix::process::geteuid().is_root();
        if is_root {
            chown(&folder, Some(NOBODY), Some(NOBODY)).expect("root");
        }
        let program = |name: &str| as_server(&programs.join(name), is_root, &folder);
        let made = program("initdb")
            .args(["--encoding=UTF8", "--locale=C", "--auth=trust", "-U", "owner", "-D", "data"])
            .output();
        assert!(made.expect("a program").status.success(), "initdb failed");
        let mut postgres = program("postgres");
        postgres
            .args(["-D", "data", "-c", "listen_addresses=", "-c", "max_connections=200", "-k"])
            .arg(&folder);
        let mut postgres = postgres.stderr(Stdio::piped()).spawn().expect("a program");
        let mut lines = BufReader::new(postgres.stderr.take().expect("piped")).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.contains("ready to accept connections")), "it does not start");
        // Nobody reads what it says later, and it must not wait for that.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self { folder, postgres })
    }

    /// The address of its database.
    pub(crate) fn url(&self) -> String {
        format!("postgres://owner@/postgres?host={}", self.folder.display())
    }

    /// Its processes that live now.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let server = self.postgres.id();
        let children =
            fs::read_to_string(format!("/proc/{server}/task/{server}/children")).unwrap_or_default();
        std::iter::once(server)
            .chain(children.split_whitespace().filter_map(|child| child.parse().ok()))
            .collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It ends its children. Nobody needs its data.
        let _ = self.postgres.kill();
        let _ = self.postgres.wait();
        remove(&self.folder);
    }
}

fn as_server(program: &Path, is_root: bool, folder: &Path) -> Command {
    let mut command = if is_root {
        let (mut command, nobody) = (Command::new("setpriv"), NOBODY.to_string());
        command.args(["--reuid", &nobody, "--regid", &nobody, "--clear-groups"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.current_dir(folder).env("LC_ALL", "C").stdin(Stdio::null()).stdout(Stdio::null());
    command
}

//! A real PostgreSQL: a cluster of the tests' own in a temporary folder, on a Unix socket.
//!
//! It ends with the test program, however that ends: a watcher has the end of a pipe, and the program the other one.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::thread;

pub(crate) mod replicated;
mod signals;

use registry_gateway::config::PostgresConfig;
use registry_gateway::store::Store;
use registry_gateway::store_place::StorePlace;
use registry_gateway::vault::Vault;

/// The role that owns the cluster. Whoever comes by the socket is believed.
pub(crate) const OWNER: &str = "owner";
/// A role that has the rights of one that serves, in every database with a store.
pub(crate) const SERVICE: &str = "service";
/// A role that needs [`PASSWORD`], also by the socket.
pub(crate) const GUARDED: &str = "guarded";
pub(crate) const PASSWORD: &str = "correct-horse-battery";

/// PostgreSQL does not run as root. This user is on every system, and owns nothing.
const NOBODY: u32 = 65534;

/// Starts the server, and stops it when standard input ends. Nobody needs its data then.
const WATCHER: &str = "eval \"$BEFORE\"; \"$@\" & server=$!; cat > /dev/null; kill -QUIT $server; wait $server; umount small 2> /dev/null; rm -rf \"$FOLDER\"";

const ACCESS: &str =
    "local all guarded scram-sha-256\nlocal all,replication all trust\nhostssl all all all scram-sha-256\n";

/// A running server with its data.
pub(crate) struct Cluster {
    folder: PathBuf,
    programs: PathBuf,
    pub(crate) port: u16,
    databases: AtomicU32,
    template: OnceLock<String>,
    log: Arc<Mutex<String>>,
    settings: Vec<String>,
    /// Commands of the shell that root carries out in a mount namespace of the server's own.
    disk: Option<String>,
    /// Closing their standard input stops the server that each has started.
    watchers: Mutex<Vec<Child>>,
}

impl Cluster {
    /// The one that all tests of this program share. Where PostgreSQL is not installed, it says so.
    pub(crate) fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Cluster>> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(5432, &[])).as_ref()
    }

    /// Another one, with these files in its folder of data (open to its user alone) and these settings.
    pub(crate) fn with(port: u16, files: &[(&str, &str)], settings: &[&str]) -> Option<Self> {
        Self::made(port, files, settings, None)
    }

    /// One with a folder of its data on a disk of 64 MiB. That is mounted for the server alone, by root.
    pub(crate) fn on_small_disk(folder: &str) -> Option<Self> {
        let disk = format!(
            "mkdir small && mount -t tmpfs -o size=64m,mode=700,uid={NOBODY},gid={NOBODY} small small &&
             mv data/{folder} small && ln -s ../small/{folder} data/{folder}"
        );
        // No checkpoint makes room by the way, and no segment of the WAL is there before it is needed.
        Self::made(5432, &[], &["min_wal_size=2MB", "max_wal_size=1GB"], Some(disk))
    }

    fn made(port: u16, files: &[(&str, &str)], settings: &[&str], disk: Option<String>) -> Option<Self> {
        let cluster = Self::new(programs()?, folder(), port, settings, disk);
        cluster.initialize(files);
        cluster.run_again();
        cluster.sql("postgres", &format!("CREATE ROLE {GUARDED} LOGIN PASSWORD '{PASSWORD}'"));
        Some(cluster)
    }

    fn start(port: u16, settings: &[&str]) -> Option<Self> {
        Self::with(port, &[], settings)
    }

    /// A server that has no data yet.
    fn new(programs: PathBuf, folder: PathBuf, port: u16, settings: &[&str], disk: Option<String>) -> Self {
        // A process that is killed leaves its writes to the system, and no test pulls the plug.
        let usual = [
            "fsync=off",
            "full_page_writes=off",
            "listen_addresses=",
            "max_connections=200",
            "shared_buffers=32MB",
        ];
        let settings = usual.iter().chain(settings).map(|setting| (*setting).to_owned()).collect();
        let (databases, log) = (AtomicU32::new(0), Arc::default());
        let (template, watchers) = (OnceLock::new(), Mutex::default());
        Self { folder, programs, port, databases, template, log, settings, disk, watchers }
    }

    /// Gives it its first data.
    fn initialize(&self, files: &[(&str, &str)]) {
        let data = self.folder.join("data");
        let mut initdb = as_server(&self.programs.join("initdb"), &self.folder);
        initdb
            .args(["--no-sync", "--encoding=UTF8", "--locale=C", "--auth=trust", "--wal-segsize=1"])
            .arg("-U")
            .arg(OWNER);
        succeeds(initdb.arg("-D").arg(&data));
        for (name, content) in files.iter().chain(&[("pg_hba.conf", ACCESS)]) {
            let file = data.join(name);
            fs::write(&file, content).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
            if is_root() {
                chown(&file, Some(NOBODY), Some(NOBODY)).unwrap();
            }
        }
    }

    /// Runs the server until it says that it takes connections, or runs it once more after it has ended.
    pub(crate) fn run_again(&self) {
        let mut watcher = match &self.disk {
            None => as_server(Path::new("sh"), &self.folder),
            Some(disk) => self.with_disk(disk),
        };
        watcher.args(["-c", WATCHER, "watcher"]);
        if self.disk.is_some() {
            let nobody = NOBODY.to_string();
            watcher.args(["setpriv", "--reuid", &nobody, "--regid", &nobody, "--clear-groups"]);
        }
        watcher.arg(self.programs.join("postgres"));
        watcher.arg("-D").arg(self.folder.join("data")).arg("-k").arg(&self.folder);
        watcher.args(["-p", &self.port.to_string()]);
        for setting in &self.settings {
            watcher.args(["-c", setting]);
        }
        // A group of its own: what ends the tests' group must leave somebody to stop the server.
        watcher.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut watcher = watcher.spawn().unwrap();
        let (is_up, comes_up) = mpsc::channel();
        let (lines, kept) = (BufReader::new(watcher.stderr.take().unwrap()), self.log.clone());
        thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                kept.lock().unwrap().push_str(&format!("{line}\n"));
                // A standby adds of which kind.
                if line.contains("ready to accept") && line.contains("connections") {
                    let _ = is_up.send(());
                }
            }
        });
        self.watchers.lock().unwrap().push(watcher);
        assert!(comes_up.recv().is_ok(), "{}", self.log());
    }

    fn with_disk(&self, disk: &str) -> Command {
        let first = self.watchers.lock().unwrap().first().map(Child::id);
        let mut command = match first {
            None => Command::new("unshare"),
            Some(first) => {
                let mut command = Command::new("nsenter");
                command.args(["--target", &first.to_string()]);
                command
            }
        };
        let disk = if first.is_none() { disk } else { "" };
        command.args(["--mount", "sh"]).current_dir(&self.folder);
        command.env("FOLDER", &self.folder).env("LC_ALL", "C").env("BEFORE", disk);
        command
    }

    /// Leaves no room on the small disk. Returns the file to be removed.
    pub(crate) fn fill_disk(&self) -> PathBuf {
        let watcher = self.watchers.lock().unwrap().first().map(Child::id).unwrap();
        let folder = self.folder.strip_prefix("/").unwrap();
        let ballast = Path::new(&format!("/proc/{watcher}/root")).join(folder).join("small/ballast");
        let mut file = fs::File::create(&ballast).unwrap();
        for length in [1 << 20, 4 << 10] {
            while file.write_all(&vec![0; length]).is_ok() {}
        }
        ballast
    }

    pub(crate) fn is_running(&self) -> bool {
        let file = fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap_or_default();
        // What has ended and was not waited for has no folder.
        file.lines().next().is_some_and(|process| Path::new(&format!("/proc/{process}/cwd")).exists())
    }

    /// The process that has started all others of the server.
    pub(crate) fn postmaster(&self) -> u32 {
        let file = fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap();
        file.lines().next().unwrap().parse().unwrap()
    }

    /// A new database of one test. Its address is [`url`](Self::url) with this name.
    pub(crate) fn database(&self) -> String {
        self.copy_of("template0")
    }

    /// A new database with a store in it.
    pub(crate) fn store(&self) -> String {
        let template = self.template.get_or_init(|| {
            let template = self.database();
            let StorePlace::Postgres(url) = self.url(OWNER, &template).parse().unwrap() else { panic!() };
            Store::migrate_postgres(&url, &PostgresConfig::default()).unwrap();
            self.sql("postgres", &format!("CREATE ROLE {SERVICE} LOGIN"));
            Store::grant_in_postgres(&url, &PostgresConfig::default(), SERVICE).unwrap();
            template
        });
        self.copy_of(template)
    }

    /// Copying files takes 25 ms without fsync, and copying by the log 35.
    fn copy_of(&self, template: &str) -> String {
        let name = format!("test{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy"));
        name
    }

    /// Also of databases that somebody is connected to.
    pub(crate) fn drop_databases(&self, names: &[String]) {
        for name in names {
            self.sql("postgres", &format!("DROP DATABASE {name} WITH (FORCE)"));
        }
    }

    /// Its address by the socket.
    pub(crate) fn url(&self, user: &str, database: &str) -> String {
        format!("postgres://{user}@/{database}?host={}&port={}", self.folder.display(), self.port)
    }

    /// Its socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join(format!(".s.PGSQL.{}", self.port))
    }

    /// The key file of every gateway that tests run on a database of the shared one, and the folder that it is in, which is like
    /// the one that systemd gives a service.
    pub(crate) fn credentials() -> (PathBuf, PathBuf) {
        static MADE: OnceLock<PathBuf> = OnceLock::new();
        let folder = MADE.get_or_init(|| {
            let folder = Self::shared().unwrap().folder.join("credentials");
            fs::create_dir(&folder).unwrap();
            Vault::make_key(&folder.join("credentials.key")).unwrap();
            folder
        });
        (folder.join("credentials.key"), folder.clone())
    }

    /// A folder for what one gateway has seen.
    pub(crate) fn state() -> PathBuf {
        static STATES: AtomicU32 = AtomicU32::new(0);
        let number = STATES.fetch_add(1, Ordering::Relaxed);
        Self::shared().unwrap().folder.join(format!("state{number}"))
    }

    /// What psql prints, without headings.
    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        succeeds(self.psql(database).args(["-c", sql]))
    }

    /// A connection on which these statements, which return one row, were carried out.
    pub(crate) fn session(&self, database: &str, sql: &str) -> Psql {
        let mut psql = self.psql(database);
        let mut psql = psql.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        writeln!(psql.stdin.as_mut().unwrap(), "{sql}").unwrap();
        let mut row = String::new();
        BufReader::new(psql.stdout.as_mut().unwrap()).read_line(&mut row).unwrap();
        assert!(!row.is_empty(), "{sql}");
        Psql(psql)
    }

    fn psql(&self, database: &str) -> Command {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", OWNER, "-d", database]);
        psql.arg("-h").arg(&self.folder).args(["-p", &self.port.to_string()]);
        psql
    }

    /// What the server has written.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }
}

/// A connection. Its transaction ends with it.
pub(crate) struct Psql(Child);

impl Drop for Psql {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// A program as the user whom the server runs as, in its folder.
fn as_server(program: &Path, folder: &Path) -> Command {
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        let nobody = NOBODY.to_string();
        command.args(["--reuid", &nobody, "--regid", &nobody, "--clear-groups"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.current_dir(folder).env("FOLDER", folder).env("LC_ALL", "C").env_remove("PGDATA");
    // The server looks its libraries' names up once, and not in the process of each connection.
    command.env("LD_BIND_NOW", "1");
    command
}

/// A folder of its own, where the server may write.
fn folder() -> PathBuf {
    let folder = tempfile::Builder::new().prefix("pg").tempdir().unwrap().keep();
    if is_root() {
        chown(&folder, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    folder
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn succeeds(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(output.status.success(), "{command:?}: {out}{err}");
    out.trim_end().to_owned()
}

/// The folder of PostgreSQL's programs: Debian's, else one of PATH.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut debian: Vec<_> = versions.map(|version| version.path().join("bin")).collect();
    debian.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut all = debian.into_iter().rev().chain(std::env::split_paths(&path));
    let found = all.find(|folder| folder.join("initdb").exists() && folder.join("psql").exists());
    if found.is_none() {
        eprintln!("skipped: PostgreSQL is not installed");
    }
    found
}

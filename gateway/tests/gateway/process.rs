//! What the system does to the process, or keeps from it: signals, limits, core files.
#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use asymmetric_token::Claims;
use jiff::Timestamp;
use registry_gateway::keys::{NewKey, Role};
use registry_gateway::vault::Vault;
use rustix::process::Signal;

use crate::common::bearer_registry::{BearerRegistry, Say};
use crate::common::served::{Served, for_everybody, signal};
use crate::common::{SoftwareKey, Upload, store};

/// A store with a key that may do everything.
struct Registry {
    folder: tempfile::TempDir,
    key: SoftwareKey,
}

impl Registry {
    fn new() -> Self {
        let registry = Self { folder: tempfile::tempdir().unwrap(), key: SoftwareKey::new(5) };
        let (user, role) = ("alice".parse().unwrap(), Role::Both);
        let new =
            NewKey { public: registry.key.public, user, role, label: None, subject: None, expires: None };
        store::open(&registry.path()).add_key(new, Timestamp::now()).unwrap();
        registry
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("registry")
    }

    /// Under limits that the shell sets, in the words of `ulimit`.
    fn limited(&self, limits: &[&str]) -> Command {
        limited(&self.path(), limits)
    }

    fn served(&self, limits: &[&str]) -> Served {
        Served::of(self.limited(limits), &["--listen", "127.0.0.1:0"])
    }

    fn read(&self, served: &Served) {
        let token = self.key.token(&served.index_url, &Claims::read(Timestamp::now()));
        served.get("/index/config.json", &token).assert_ok();
    }

    fn publish(&self, served: &Served, upload: &Upload) -> crate::common::Response {
        let claims = Claims::mutate(Timestamp::now(), upload.mutation());
        let token = self.key.token(&served.index_url, &claims);
        served.send("PUT", "/api/v1/crates/new", &token, &upload.body())
    }
}

fn limited(store: &Path, limits: &[&str]) -> Command {
    let mut shell = Command::new("sh");
    let limits: String = limits.iter().map(|limit| format!("ulimit {limit} && ")).collect();
    shell.args(["-c", &format!("{limits}exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_registry-gateway")]);
    shell.env("REGISTRY_GATEWAY_STORE", store::named(store)).env_remove("REGISTRY_GATEWAY_LOG");
    shell
}

/// The soft limit and the hard one.
fn limit(process: u32, name: &str) -> (String, String) {
    let limits = fs::read_to_string(format!("/proc/{process}/limits")).unwrap();
    let words = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    let mut words = words.split_whitespace().map(str::to_owned);
    (words.next().unwrap(), words.next().unwrap())
}

#[test]
fn signals_that_ask_for_nothing_end_nothing() {
    let registry = Registry::new();
    let served = registry.served(&[]);
    let timers = [Signal::ALARM, Signal::VTALARM, Signal::PROF];
    let others = [Signal::USR1, Signal::USR2, Signal::XFSZ, Signal::IO, Signal::PIPE, Signal::HUP];
    for harmless in timers.into_iter().chain(others) {
        signal(served.child.id(), harmless);
        registry.read(&served);
    }
    registry.publish(&served, &Upload::new("hello", "1.0.0")).assert_ok();
    served.stop(Signal::TERM);
}

/// As it comes after `logrotate` or a new certificate; and what it does not do.
#[test]
fn a_hangup_says_what_is_read_again() {
    let registry = Registry::new();
    let log = registry.folder.path().join("log");
    let mut command = registry.limited(&[]);
    command.env("REGISTRY_GATEWAY_LOG", "info").stderr(fs::File::create(&log).unwrap());
    let served = Served::of(command, &["--listen", "127.0.0.1:0"]);
    signal(served.child.id(), Signal::HUP);
    while !fs::read_to_string(&log).unwrap().contains("there is no certificate to reload") {
        registry.read(&served);
    }
    served.stop(Signal::TERM);
}

/// `ulimit -f` in units of 512 bytes: 2 MiB.
#[test]
fn a_file_that_may_not_grow_is_answered() {
    let registry = Registry::new();
    let served = registry.served(&["-f 4096"]);
    registry
        .publish(&served, &Upload::large("large", "1.0.0", 3 << 20))
        .assert_refused(500, "the upload could not be stored");
    registry.publish(&served, &Upload::new("hello", "1.0.0")).assert_ok();
    served.stop(Signal::TERM);
    let served = registry.served(&[]);
    registry.publish(&served, &Upload::large("large", "1.0.0", 3 << 20)).assert_ok();
    served.stop(Signal::TERM);
}

#[test]
fn as_many_files_as_the_connections_need() {
    let registry = Registry::new();
    let served = registry.served(&["-Sn 256"]);
    let (soft, hard) = limit(served.child.id(), "Max open files");
    assert_eq!(soft, hard);
    served.stop(Signal::TERM);

    let arguments = ["serve", "--listen", "127.0.0.1:0"];
    let refused = registry.limited(&["-n 1024"]).args(arguments).output().unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(
        said.starts_with(
            "error: 512 `connections` can need 2624 open files, and this process may have 1024\n"
        ),
        "{said}"
    );
    assert!(said.contains("\nhint: set LimitNOFILE=2624 in the service's unit"), "{said}");

    let config = registry.folder.path().join("few.toml");
    fs::write(&config, "connections = 190\n").unwrap();
    let config = ["--listen", "127.0.0.1:0", "--config", config.to_str().unwrap()];
    Served::of(registry.limited(&["-n 1024"]), &config).stop(Signal::TERM);
}

/// Neither where the process dies nor to another process of the same user.
#[test]
fn memory_is_nobody_elses() {
    let registry = Registry::new();
    let mut served = registry.served(&["-c unlimited 2>/dev/null; true"]);
    assert_eq!(limit(served.child.id(), "Max core file size"), ("0".into(), "0".into()));
    signal(served.child.id(), Signal::ABORT);
    assert!(!served.child.wait().unwrap().core_dumped());

    // /proc shows root as the owner of what is not dumpable (proc(5)).
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let (_kept, program) = for_everybody();
    let mut command = Command::new(program);
    command.env("REGISTRY_GATEWAY_STORE", store::named(&folder.path().join("registry")));
    command.env("HOME", folder.path()).uid(65_534);
    let served = Served::of(command, &["--listen", "127.0.0.1:0"]);
    let memory = fs::metadata(format!("/proc/{}/mem", served.child.id())).unwrap();
    assert_eq!(memory.uid(), 0);
    served.stop(Signal::TERM);
}

/// Whether these bytes are anywhere in the memory of a process. Root may look.
fn remembers(process: u32, secret: &[u8]) -> bool {
    let memory = fs::File::open(format!("/proc/{process}/mem")).unwrap();
    let maps = fs::read_to_string(format!("/proc/{process}/maps")).unwrap();
    let writable =
        maps.lines().filter(|map| map.split(' ').nth(1).is_some_and(|rights| rights.starts_with("rw")));
    let ranges = writable.map(|map| {
        let (begin, end) = map.split(' ').next().unwrap().split_once('-').unwrap();
        let number = |hexadecimal| u64::from_str_radix(hexadecimal, 16).unwrap();
        (number(begin), number(end))
    });
    ranges.into_iter().any(|(begin, end)| {
        let mut bytes = vec![0; usize::try_from(end - begin).unwrap()];
        // It may have been unmapped since.
        let read = memory.read_at(&mut bytes, begin).unwrap_or(0);
        has(&bytes[..read], secret)
    })
}

/// `slice::windows` takes ten times as long without optimisation.
fn has(bytes: &[u8], wanted: &[u8]) -> bool {
    let first = |from: usize| bytes[from..].iter().position(|byte| *byte == wanted[0]).map(|at| from + at);
    let mut next = first(0);
    while let Some(at) = next {
        if bytes[at..].starts_with(wanted) {
            return true;
        }
        next = first(at + 1);
    }
    false
}

/// A gateway with Alice's credential for a registry behind it.
fn in_front_of(behind: &BearerRegistry, registry: &Registry, credential: &str) -> Served {
    let (config, key) = (registry.folder.path().join("gateway.toml"), registry.folder.path().join("key"));
    Vault::make_key(&key).unwrap();
    let upstream = format!("[upstream]\nindex = \"{}/index/\"\nkey-file = \"key\"\n", behind.url());
    fs::write(&config, upstream).unwrap();
    let alice = "alice".parse().unwrap();
    let sealed = Vault::open(&key).unwrap().seal(&alice, credential).unwrap();
    store::open(&registry.path()).set_credential(&alice, &sealed, Timestamp::now()).unwrap();
    Served::of(registry.limited(&[]), &["--listen", "127.0.0.1:0", "--config", config.to_str().unwrap()])
}

/// Its own length is what an index file costs, and not that of the values in it, each of which would take 32 bytes.
#[test]
fn an_index_file_is_not_held_as_values() {
    const ZEROES: usize = 20 << 20;
    let (registry, behind) = (Registry::new(), BearerRegistry::start());
    let zeroes = "0,".repeat(ZEROES);
    behind.on("GET /index/he/ll/hello", Say::ok(format!("{{\"vers\":\"9.0.0\",\"x\":[{zeroes}0]}}\n")));
    behind.on("PUT /api/v1/crates/new", Say::HangUp);
    let served = in_front_of(&behind, &registry, "a-credential");
    registry.publish(&served, &Upload::new("hello", "1.0.0")).assert_refused(502, "broke");
    assert!(behind.received().iter().any(|request| request.path == "/index/he/ll/hello"));
    let status = fs::read_to_string(format!("/proc/{}/status", served.child.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: usize = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak << 10 < 12 * ZEROES, "{peak} kB");
    served.stop(Signal::TERM);
}

/// It is there while it is used, and soon after it is nowhere.
#[test]
fn a_credential_leaves_memory() {
    const SECRET: &str = "~0123456789abcdef-of-alice";
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can see into the gateway's memory");
        return;
    }
    let (registry, behind) = (Registry::new(), BearerRegistry::start());
    behind.on("GET /index/he/ll/hello", Say::ok("{}"));
    behind.on("PUT /api/v1/crates/new", Say::ok("{}"));
    let served = in_front_of(&behind, &registry, SECRET);
    let process = served.child.id();
    assert!(!remembers(process, SECRET.as_bytes()));
    registry.publish(&served, &Upload::new("hello", "1.0.0")).assert_ok();
    let token = registry.key.token(&served.index_url, &Claims::read(Timestamp::now()));
    served.get("/index/he/ll/hello", &token).assert_ok();
    assert!(remembers(process, SECRET.as_bytes()), "it is kept for the next read");
    let until = Instant::now() + Duration::from_secs(120);
    while remembers(process, SECRET.as_bytes()) {
        assert!(Instant::now() < until, "it is still there");
        // To look through all of its memory again and again would keep a processor from the other tests.
        std::thread::park_timeout(Duration::from_millis(200));
    }
    assert!(behind.received().iter().any(|request| request.header.contains(SECRET)));
    served.stop(Signal::TERM);
}

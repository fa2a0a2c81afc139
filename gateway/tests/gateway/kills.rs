//! SIGKILL at any moment of a thousand publishes. Afterwards every accepted publish is there, once; every token that was
//! spent is still spent; every intent has an outcome.
#![cfg(unix)]

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use asymmetric_token::{Claims, Mutation};
use jiff::Timestamp;
use registry_gateway::keys::{NewKey, Role};
use registry_gateway::store::Store;
use registry_gateway::vault::Vault;
use rustix::process::{Pid, Signal, kill_process};

use crate::common::bearer_registry::{BearerRegistry, Received, Say};
use crate::common::moments::{Dice, MOST_TRIES, Moment, ODDS, VERSIONS, publish};
use crate::common::served::{Served, program};
use crate::common::{SoftwareKey, Upload, store};

/// A gateway that is started again whenever it was killed.
struct Mortal {
    folder: tempfile::TempDir,
    address: String,
    config: Option<PathBuf>,
    served: Mutex<Served>,
    /// 0 once it was killed.
    process: Arc<AtomicU32>,
    key: SoftwareKey,
    deaths: AtomicUsize,
}

impl Mortal {
    fn new(configure: impl FnOnce(&Store, &std::path::Path) -> Option<PathBuf>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let key = SoftwareKey::new(5);
        let store = store::open(&folder.path().join("registry"));
        let new = NewKey {
            public: key.public,
            user: "alice".parse().unwrap(),
            role: Role::Both,
            label: None,
            subject: None,
            expires: None,
        };
        store.add_key(new, Timestamp::now()).unwrap();
        let config = configure(&store, folder.path());
        drop(store);
        let served = Mutex::new(start(&folder, &address, config.as_deref()));
        let process = Arc::new(AtomicU32::new(served.lock().unwrap().child.id()));
        Self { folder, address, config, served, process, key, deaths: AtomicUsize::new(0) }
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("registry")
    }

    /// Started again, if it was killed.
    fn alive(&self) {
        let mut served = self.served.lock().unwrap();
        if self.process.load(Ordering::SeqCst) == 0 {
            // Whoever was to kill it may have failed.
            served.child.kill().unwrap();
            served.child.wait().unwrap();
            store::long_ago(&self.store());
            *served = start(&self.folder, &self.address, self.config.as_deref());
            self.process.store(served.child.id(), Ordering::SeqCst);
            self.deaths.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn token(&self, upload: &Upload) -> String {
        let url = self.served.lock().unwrap().index_url.clone();
        self.key.token(&url, &Claims::mutate(Timestamp::now(), upload.mutation()))
    }

    /// The answer's status.
    fn publish(&self, token: &str, upload: &Upload, moment: Option<Moment>) -> io::Result<u16> {
        Ok(publish(&self.address, token, upload, moment, || kill(&self.process))?.status)
    }

    /// Four clients publish all versions; each tries with fresh tokens until its version is there. Returns the tokens of
    /// accepted publishes.
    fn publish_all(&self) -> HashMap<String, String> {
        let next = AtomicUsize::new(0);
        let client = || {
            let mut accepted = HashMap::new();
            let mut dice = Dice::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= VERSIONS {
                    return accepted;
                }
                let upload = Upload::new("hello", &format!("1.0.{number}"));
                let mut tries = 0;
                loop {
                    tries += 1;
                    assert!(tries <= MOST_TRIES, "{} cannot be published", upload.version);
                    let moment = Moment::of(&mut dice);
                    let token = self.token(&upload);
                    match self.publish(&token, &upload, moment) {
                        Ok(200) => {
                            accepted.insert(upload.version.clone(), token);
                            break;
                        }
                        // The answer to an earlier try was lost.
                        Ok(409) => break,
                        Ok(status) => assert!(status >= 500, "{status}"),
                        Err(_) => self.alive(),
                    }
                }
            }
        };
        thread::scope(|scope| {
            let clients = [(); 4].map(|()| scope.spawn(client));
            clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
        })
    }

    /// After all of it, with a fresh start.
    fn check(&self, accepted: &HashMap<String, String>, there: &[(String, String)]) {
        kill(&self.process);
        self.alive();
        assert!(self.deaths.load(Ordering::Relaxed) > 5);
        let versions: HashSet<_> = there.iter().map(|(version, _)| version.clone()).collect();
        assert_eq!((there.len(), versions.len()), (VERSIONS, VERSIONS), "each version once");
        for (version, checksum) in there {
            assert_eq!(*checksum, Upload::new("hello", version).checksum().to_string());
        }
        for (version, token) in accepted {
            assert!(versions.contains(version), "{version} is lost");
            let status = self.publish(token, &Upload::new("hello", version), None).unwrap();
            assert_eq!(status, 401, "the token for {version} passes again");
        }
        // Who changes a crate waits until what was left open of it is settled.
        let yank = Mutation::Yank { name: "hello".parse().unwrap(), version: "1.0.0".parse().unwrap() };
        let served = self.served.lock().unwrap();
        let token = self.key.token(&served.index_url, &Claims::mutate(Timestamp::now(), yank));
        let yanked = served.send("DELETE", "/api/v1/crates/hello/1.0.0/yank", &token, b"").status;
        assert!(matches!(yanked, 200 | 404), "{yanked}");
        let store = store::open(&self.store());
        assert_eq!(store.open_intents().unwrap(), []);
        let recorded: Vec<_> =
            store.published(None).unwrap().into_iter().map(|record| record.version).collect();
        assert_eq!(recorded.iter().collect::<HashSet<_>>().len(), recorded.len(), "done twice");
        assert_eq!(recorded.into_iter().collect::<HashSet<_>>(), versions);
    }
}

fn start(folder: &tempfile::TempDir, address: &str, config: Option<&std::path::Path>) -> Served {
    let mut arguments = vec!["--listen", address];
    if let Some(config) = config {
        arguments.extend(["--config", config.to_str().unwrap()]);
    }
    let mut command = program(&folder.path().join("registry"));
    command.env("REGISTRY_GATEWAY_LOG", "error");
    Served::of(command, &arguments)
}

fn kill(process: &AtomicU32) {
    let id = process.swap(0, Ordering::SeqCst);
    if let Some(process) = Pid::from_raw(id.cast_signed()) {
        // Whoever starts it again may have ended it meanwhile.
        let _ = kill_process(process, Signal::KILL);
    }
}

#[test]
fn kills_with_the_built_in_registry() {
    let mortal = Mortal::new(|_, _| None);
    let accepted = mortal.publish_all();
    mortal.alive();
    let token = mortal.key.token(&mortal.served.lock().unwrap().index_url, &Claims::read(Timestamp::now()));
    let index = mortal.served.lock().unwrap().get("/index/he/ll/hello", &token).text();
    let there: Vec<_> = index
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|line| (line["vers"].as_str().unwrap().to_owned(), line["cksum"].as_str().unwrap().to_owned()))
        .collect();
    mortal.check(&accepted, &there);
    let files = match store::is_in_postgres() {
        true => store::sql(&mortal.store(), "SELECT count(DISTINCT cksum) FROM piece").parse().unwrap(),
        false => fs::read_dir(mortal.store().join("crates/hello")).unwrap().count(),
    };
    assert_eq!(files, VERSIONS);
}

/// The registry behind sees to it that a version is published once; the gateway's death comes before or after it did.
#[test]
fn kills_in_front_of_a_registry() {
    let registry = BearerRegistry::start();
    let published: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
    let mortal = Mortal::new(|store, folder| {
        let key_file = folder.join("key");
        fs::write(&key_file, Vault::new_key().unwrap().as_bytes()).unwrap();
        fs::set_permissions(&key_file, fs::Permissions::from_mode(0o600)).unwrap();
        let alice = "alice".parse().unwrap();
        let sealed = Vault::open(&key_file).unwrap().seal(&alice, "alices").unwrap();
        store.set_credential(&alice, &sealed, Timestamp::now()).unwrap();
        let config = folder.join("registry-gateway.toml");
        let text = format!("[upstream]\nindex = \"{}/index/\"\nkey-file = \"key\"\n", registry.url());
        fs::write(&config, text).unwrap();
        Some(config)
    });
    let (process, list, dice) = (mortal.process.clone(), published.clone(), Mutex::new(Dice::new()));
    let folder = mortal.store();
    let publish = move |request: &Received| {
        let length = u32::from_le_bytes(request.body[..4].try_into().unwrap()) as usize;
        let json: serde_json::Value = serde_json::from_slice(&request.body[4..4 + length]).unwrap();
        let version = json["vers"].as_str().unwrap().to_owned();
        let file = &request.body[8 + length..];
        // What is forwarded is on record before.
        let open = format!(
            "SELECT count(*) FROM open_intent JOIN audit USING (seq) WHERE entry LIKE '%\"vers\":\"{version}\"%'"
        );
        assert_eq!(store::sql(&folder, &open), "1", "{version}");
        let die = dice.lock().unwrap().roll() % ODDS;
        if die == 0 {
            kill(&process);
            return Say::HangUp;
        }
        let mut list = list.lock().unwrap();
        if list.iter().any(|(there, _)| *there == version) {
            return Say::no("409 Conflict", "exists");
        }
        use sha2::Digest as _;
        let checksum = asymmetric_token::Checksum(sha2::Sha256::digest(file).into()).to_string();
        list.push((version, checksum));
        if die == 1 {
            kill(&process);
            return Say::HangUp;
        }
        Say::ok("{}")
    };
    registry.on("PUT /api/v1/crates/new", Say::Ask(Arc::new(publish)));
    let list = published.clone();
    registry.on(
        "GET /index/he/ll/hello",
        Say::Ask(Arc::new(move |_| {
            let line = |(version, checksum): &(String, String)| {
                format!("{{\"vers\":\"{version}\",\"cksum\":\"{checksum}\",\"yanked\":false}}\n")
            };
            Say::ok(list.lock().unwrap().iter().map(line).collect::<String>())
        })),
    );
    let accepted = mortal.publish_all();
    let there = published.lock().unwrap().clone();
    mortal.check(&accepted, &there);
}

//! `registry-gateway doctor`: what an administrator should know before the users do. Each finding is seen once as it should
//! be, and once as it should not.
#![cfg(unix)]

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier};

use asymmetric_token::{Claims, Mutation};
use jiff::{SignedDuration, Timestamp};
use registry_gateway::config::Config;
use registry_gateway::keys::{NewKey, Role};
use registry_gateway::store::{Outcome, Signed, Store};
use registry_gateway::vault::Vault;
use tempfile::TempDir;

use crate::common::bearer_registry::{BearerRegistry, Received, Say};
use crate::common::{SoftwareKey, Upload, store};

const CREDENTIAL: &str = "alices-upstream-token";
const CONFIG: &str = "url = \"https://crates.example.org\"\ntrusted-proxies = [\"127.0.0.1/32\"]\n";

/// A gateway as `init` makes it, in front of a registry that wants Alice's token even for reading. She has a key.
struct Desk {
    folder: TempDir,
    registry: BearerRegistry,
    /// What cargo's users reach: it answers as the gateway does, for the URL that is configured.
    front: BearerRegistry,
}

impl Desk {
    fn new() -> Self {
        let registry = BearerRegistry::start();
        let places = format!(r#"{{"dl":"{0}/dl","api":"{0}","auth-required":true}}"#, registry.url());
        registry.on(
            "GET /index/config.json",
            Say::Ask(Arc::new(move |request| match request.field("authorization") {
                Some(CREDENTIAL) => Say::ok(places.clone()),
                _ => Say::no("401 Unauthorized", "who are you?"),
            })),
        );
        let desk = Self { folder: tempfile::tempdir().unwrap(), registry, front: BearerRegistry::start() };
        let mut init = Command::new(env!("CARGO_BIN_EXE_registry-gateway"));
        assert!(init.arg("init").arg(desk.folder.path()).output().unwrap().status.success());
        desk.configure(CONFIG);
        desk.add_key(2, None);
        desk.set_credential(CREDENTIAL);
        desk
    }

    /// These lines, and the registry behind.
    fn configure(&self, lines: &str) {
        self.configure_for(lines, &format!("{}/index/", self.registry.url()));
    }

    fn configure_for(&self, lines: &str, index: &str) {
        let upstream =
            "also-known-as = [\"sparse+https://old.example.org/\"]\nkey-file = \"credentials.key\"\n";
        let front = format!("index-url = \"sparse+{}/index/\"", self.front.url());
        let store = store::named_for_service(&self.store_folder());
        let text =
            format!("store = {store:?}\n{front}\n{lines}\n[upstream]\nindex = \"{index}\"\n{upstream}");
        fs::write(self.file(), text).unwrap();
        if let Ok(config) = Config::read(&self.file()) {
            self.answer_as(config.url.as_deref().unwrap_or("http://127.0.0.1:8000"));
        }
    }

    /// From now on, what cargo's users reach is a gateway of this URL.
    fn answer_as(&self, url: &str) {
        let login = format!("Cargo login_url=\"{url}/me\", enroll=\"{url}\"");
        let no = Say::Answer("401 Unauthorized", vec![("WWW-Authenticate", login)], Vec::new());
        self.front.on("GET /index/config.json", no);
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("registry-gateway.toml")
    }

    fn store_folder(&self) -> PathBuf {
        self.folder.path().join("registry")
    }

    fn store(&self) -> Store {
        store::open(&self.store_folder())
    }

    /// One of Alice's, for publishing.
    fn add_key(&self, seed: u8, expires: Option<Timestamp>) {
        let (public, user) = (SoftwareKey::new(seed).public, "alice".parse().unwrap());
        let key = NewKey { public, user, role: Role::Publish, label: None, subject: None, expires };
        self.store().add_key(key, Timestamp::now() - SignedDuration::from_hours(2)).unwrap();
    }

    fn set_credential(&self, credential: &str) {
        self.set_credential_of("alice", credential);
    }

    fn set_credential_of(&self, user: &str, credential: &str) {
        let vault = Vault::open(&self.folder.path().join("credentials.key")).unwrap();
        let user = user.parse().unwrap();
        let sealed = vault.seal(&user, credential).unwrap();
        self.store().set_credential(&user, &sealed, Timestamp::now()).unwrap();
    }

    /// A publish of Alice's that the gateway has passed on.
    fn record(&self, upload: &Upload) {
        let url = format!("sparse+{}/index/", self.front.url());
        let (key, now) = (SoftwareKey::new(2), Timestamp::now());
        let signed = Signed {
            token: key.token(&url, &Claims::mutate(now, upload.mutation())),
            key: key.public.id(),
            mutation: upload.mutation(),
            single_use_key: upload.checksum().to_string(),
            challenge: None,
            kept_until: now,
            now: now - SignedDuration::from_hours(48),
        };
        let intent = self.store().begin(&signed).unwrap();
        self.store().settle(&intent, &Outcome::Done, now).unwrap();
    }

    /// Status and standard output.
    fn doctor(&self, crates: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_registry-gateway"));
        command.args(["doctor", "--config"]).arg(self.file()).args(crates);
        command.env_remove("REGISTRY_GATEWAY_STORE").env_remove("REGISTRY_GATEWAY_LOG");
        let output = command.output().unwrap();
        assert!(output.stderr.is_empty(), "{output:?}");
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    }

    /// That this, and nothing else, is to be done.
    #[track_caller]
    fn assert_to_do(&self, crates: &[&str], text: &str, advice: &str) {
        let (status, said) = self.doctor(crates);
        // A note is two lines, too.
        let is_note =
            |line: &str| line.starts_with("note   ") || line.starts_with("       cargo's `min-publish-age`");
        let to_do = said.lines().filter(|line| !line.starts_with("ok     ") && !is_note(line));
        let to_do: Vec<_> = to_do.collect();
        assert_eq!(status, Some(1), "{said}");
        assert_eq!(to_do.len(), 2, "{said}");
        assert!(to_do[0].starts_with("to do  ") && to_do[0].contains(text), "{said}");
        assert!(to_do[1].starts_with("       ") && to_do[1].contains(advice), "{said}");
    }

    #[track_caller]
    fn assert_well(&self, crates: &[&str], text: &str) {
        let (status, said) = self.doctor(crates);
        assert_eq!(status, Some(0), "{said}");
        assert!(said.lines().any(|line| line.starts_with("ok     ") && line.contains(text)), "{said}");
    }
}

#[test]
fn all_is_well() {
    let desk = Desk::new();
    let front = format!("cargo finds this gateway at {}/index/", desk.front.url());
    let behind = format!("{}/index/ gives nothing without a token", desk.registry.url());
    let (status, said) = desk.doctor(&[]);
    let mut all = vec![
        "the registry is https://crates.example.org",
        &front,
        "1 key is in use",
        &behind,
        "the registry behind accepts the credential of alice as it is",
        "no crate depends on the registry behind by its own address (looked at: 0)",
    ];
    if store::is_in_postgres() {
        all.push("the role service can add to the audit log, but not change it");
    }
    all.extend(["the store holds what its log says", "every recorded change has an outcome"]);
    let all: String = all.iter().map(|text| format!("ok     {text}\n")).collect();
    assert_eq!((status, said), (Some(0), all));
    assert!(desk.registry.received().is_empty(), "nothing was changed there");
}

#[test]
fn the_address() {
    let desk = Desk::new();
    desk.configure("");
    desk.assert_to_do(&[], "no `url` is set", "set `url`");
    desk.configure("url = \"http://crates.example.org\"");
    desk.assert_to_do(&[], "http://crates.example.org is plain HTTP", "https://");
    desk.configure("url = \"http://localhost.example.org\"");
    desk.assert_to_do(&[], "http://localhost.example.org is plain HTTP", "https://");
    desk.configure("url = \"http://127.0.0.1:8000\"");
    desk.assert_well(&[], "the registry is http://127.0.0.1:8000");
    desk.configure("url = \"http://127.0.0.1:8000/?page\"");
    desk.assert_to_do(&[], "the gateway does not start", "set `url`");
    assert!(!desk.doctor(&[]).1.contains("the registry is"), "not both");
    desk.configure("url = \"https://crates.example.org\"");
    desk.assert_to_do(&[], "share the address", "`trusted-proxies`");
}

#[test]
fn what_cargo_finds_there() {
    let desk = Desk::new();
    let config = |api: &str| format!(r#"{{"dl":"{api}/dl","api":"{api}","asymmetric":{{"window":900}}}}"#);
    desk.front.on("GET /index/config.json", Say::ok(config("https://crates.example.org")));
    desk.assert_well(&[], "cargo finds this gateway at ");
    desk.front.on("GET /index/config.json", Say::ok(config("https://old.example.org")));
    desk.assert_to_do(&[], "this gateway with this configuration (200 OK) answers at", "restart the gateway");
    desk.answer_as("https://old.example.org");
    desk.assert_to_do(
        &[],
        "this gateway with this configuration (401 Unauthorized) answers at",
        "to 127.0.0.1:8000 unchanged",
    );
    desk.front.on("GET /index/config.json", Say::no("502 Bad Gateway", "no upstream"));
    desk.assert_to_do(
        &[],
        "this gateway with this configuration (502 Bad Gateway) answers at",
        "make the proxy",
    );
    desk.front.on("GET /index/config.json", Say::HangUp);
    desk.assert_to_do(&[], "cargo gets no answer at ", "check that the gateway runs");
}

/// Whatever `serve` would stop at, but for the port.
#[test]
fn a_configuration_that_does_not_start() {
    let desk = Desk::new();
    let tls = "[tls]\ncertificate = \"no.pem\"\nkey = \"no.pem\"";
    let no_file = format!("cannot read {}: No such file", desk.folder.path().join("no.pem").display());
    for (wrong, text, advice) in [
        ("window = 90000", "`window` must be 1 to 86400 seconds", "registry-gateway init"),
        ("reads = \"bypass\"", "with reads that bypass the gateway, `dl`", "registry-gateway init"),
        (tls, &no_file, "both in PEM"),
        ("[attestation]\nroots = [\"no.pem\"]", &no_file, "takes PEM files"),
    ] {
        desk.configure(&format!("{CONFIG}{wrong}"));
        desk.assert_to_do(&[], &format!("the gateway does not start: {text}"), advice);
    }
}

/// They would be the next to stumble.
#[test]
fn people_without_a_key_are_looked_at_too() {
    let desk = Desk::new();
    let bob = "bob".parse().unwrap();
    desk.store().add_user(&bob, false, Timestamp::now()).unwrap();
    desk.assert_to_do(&[], "bob can do nothing", "registry-gateway credential set bob");
    desk.store().remove_user(&bob, Timestamp::now()).unwrap();
    desk.assert_well(&[], "accepts the credential of alice");
}

#[test]
fn keys_that_are_of_use() {
    let desk = Desk::new();
    desk.store().revoke_key(&SoftwareKey::new(2).public.id().to_string(), Timestamp::now()).unwrap();
    desk.assert_to_do(&[], "nobody has a key", "registry-gateway invite USER");
    desk.add_key(3, Some(Timestamp::now() - SignedDuration::from_hours(1)));
    desk.assert_to_do(&[], "nobody has a key", "registry-gateway invite USER");
    desk.add_key(4, Some(Timestamp::now() + SignedDuration::from_hours(1)));
    desk.add_key(5, None);
    desk.assert_well(&[], "2 keys are in use");
}

#[test]
fn the_vault_and_what_is_in_it() {
    let desk = Desk::new();
    let alice = "alice".parse().unwrap();
    desk.store().remove_credential(&alice, Timestamp::now()).unwrap();
    desk.assert_to_do(&[], "alice can do nothing", "registry-gateway credential set alice");
    desk.set_credential("another");
    desk.assert_to_do(&["hello"], "refuses the credential of alice", "registry-gateway credential set alice");
    let key = desk.folder.path().join("credentials.key");
    fs::write(&key, Vault::new_key().unwrap().as_bytes()).unwrap();
    desk.assert_to_do(&[], "the credential of alice does not open with this key file", "set it again");
    fs::remove_file(&key).unwrap();
    desk.assert_to_do(&[], "cannot read the key file", "registry-gateway init");
}

#[test]
fn the_registry_behind() {
    let desk = Desk::new();
    desk.configure(&format!("{CONFIG}reads = \"open\""));
    desk.assert_to_do(&[], "nobody can read", "reads = \"token\"");
    let places = format!(r#"{{"dl":"{0}/dl","api":"{0}"}}"#, desk.registry.url());
    desk.registry.on("GET /index/config.json", Say::ok(places));
    desk.assert_well(&[], "can be read without a token");
    desk.configure(CONFIG);
    desk.assert_to_do(&[], "gives its crates to everybody", "make it reachable only for the gateway");
    desk.configure_for(CONFIG, "http://127.0.0.1:9/index/");
    desk.assert_to_do(&[], "the registry behind this gateway cannot be reached: ", "check that it runs");
    desk.configure_for(CONFIG, &format!("{}/indx/", desk.registry.url()));
    desk.assert_to_do(&[], "there is no config.json below http", "`index` in [upstream] is the address");
    desk.configure_for(CONFIG, "ftp://127.0.0.1/index/");
    desk.assert_to_do(&[], "`ftp://127.0.0.1/index/` cannot be an address", "see [upstream]");
}

#[test]
fn index_lines_that_lead_around_the_gateway() {
    let desk = Desk::new();
    let line = |vers: &str, registry: &str| {
        let dependency = serde_json::json!({ "name": "other", "registry": registry });
        serde_json::json!({ "name": "hello", "vers": vers, "deps": [dependency] }).to_string()
    };
    let own = format!("sparse+{}/index/", desk.registry.url());
    let elsewhere = line("0.9.0", "https://github.com/rust-lang/crates.io-index");
    let lines = [elsewhere.clone(), line("1.0.0", &own), line("1.0.1", "sparse+https://old.example.org/")];
    desk.registry.on("GET /index/he/ll/hello", Say::ok(lines.join("\n")));
    desk.registry.on("GET /index/ot/he/other", Say::ok(elsewhere));
    desk.assert_well(&["other"], "(looked at: 1)");
    desk.assert_to_do(&["hello", "other"], "the dependencies of hello 1.0.0, hello 1.0.1", "yank those");
    desk.assert_to_do(
        &["other", "typo"],
        "the index files of typo cannot be read",
        "are in the registry behind",
    );
}

/// What the registry says once so many have asked that; and the most who were waiting for it together.
fn all_at_once(asked: usize, answer: Say) -> (Say, Arc<AtomicUsize>) {
    let (together, waiting, most) = (Barrier::new(asked), AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let highest = most.clone();
    let say = Say::Ask(Arc::new(move |_| {
        highest.fetch_max(waiting.fetch_add(1, SeqCst) + 1, SeqCst);
        together.wait();
        waiting.fetch_sub(1, SeqCst);
        answer.clone()
    }));
    (say, most)
}

/// With two hundred users, each of whom it takes a second to ask about, nobody waits for minutes.
#[test]
fn credentials_are_asked_about_together_and_told_in_order() {
    let desk = Desk::new();
    desk.store().add_user(&"bob".parse().unwrap(), false, Timestamp::now()).unwrap();
    desk.set_credential_of("bob", "bobs");
    let places = format!(r#"{{"dl":"{0}/dl","api":"{0}","auth-required":true}}"#, desk.registry.url());
    let together = Arc::new(Barrier::new(2));
    let answer = move |request: &Received| {
        let answer = match request.field("authorization") {
            None => return Say::no("401 Unauthorized", "who are you?"),
            Some(CREDENTIAL) => Say::no("401 Unauthorized", "not you"),
            Some(_) => Say::ok(places.clone()),
        };
        together.wait();
        answer
    };
    desk.registry.on("GET /index/config.json", Say::Ask(Arc::new(answer)));
    let (_, said) = desk.doctor(&[]);
    let of = |words: &str| said.find(words).unwrap_or_else(|| panic!("{said}"));
    assert!(of("refuses the credential of alice") < of("accepts the credential of bob"), "{said}");
}

#[test]
fn index_files_are_read_together_and_told_in_order() {
    const AT_ONCE: usize = 8;
    let desk = Desk::new();
    let (say, most) = all_at_once(AT_ONCE, Say::no("404 Not Found", "no such crate"));
    let names: Vec<_> = (0..2 * AT_ONCE).map(|n| format!("he{n:03}")).collect();
    for name in &names {
        desk.registry.on(&format!("GET /index/he/{}/{name}", &name[2..4]), say.clone());
    }
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    desk.assert_to_do(&names, &format!("the index files of {} cannot be read", names.join(", ")), "are in");
    assert_eq!(most.load(SeqCst), AT_ONCE);
}

#[test]
fn crate_files_are_read_together_and_told_in_order() {
    let desk = Desk::new();
    let (say, most) = all_at_once(2, Say::ok("another"));
    for version in ["1.0.0", "1.1.0"] {
        desk.record(&Upload::new("hello", version));
        desk.registry.on(&format!("GET /dl/hello/{version}/download"), say.clone());
    }
    desk.registry.on("GET /index/he/ll/hello", Say::ok(""));
    let (_, said) = desk.doctor(&[]);
    let of = |words: &str| said.find(words).unwrap_or_else(|| panic!("{said}"));
    assert!(
        of("hello 1.0.0: its file has the checksum") < of("hello 1.1.0: its file has the checksum"),
        "{said}"
    );
    assert_eq!(most.load(SeqCst), 2);
}

/// Cargo compiles what the index of the registry behind says, and whoever can write there need not sign anything.
#[test]
fn what_the_registry_behind_has_instead_of_what_was_signed() {
    let desk = Desk::new();
    let upload = Upload::new("hello", "1.0.0");
    desk.record(&upload);
    let line = |deps: serde_json::Value, checksum: &str| {
        let line = serde_json::json!({
            "name": "hello", "vers": "1.0.0", "cksum": checksum, "deps": deps, "features": {}, "yanked": false,
        });
        Say::ok(line.to_string())
    };
    let (checksum, none) = (upload.checksum().to_string(), serde_json::json!([]));
    desk.registry.on("GET /index/he/ll/hello", line(none.clone(), &checksum));
    desk.registry.on("GET /dl/hello/1.0.0/download", Say::ok(upload.file.clone()));
    desk.assert_well(&[], "its index says what they say (versions looked at: 1)");
    let (_, said) = desk.doctor(&[]);
    let undated = "note   the registry behind does not say when these were published: hello 1.0.0\n";
    assert!(said.contains(undated) && said.contains("       cargo's `min-publish-age`"), "{said}");
    let dated = serde_json::json!({
        "name": "hello", "vers": "1.0.0", "cksum": checksum, "deps": [], "features": {}, "yanked": false,
        "pubtime": "2026-11-30T22:00:00Z",
    });
    desk.registry.on("GET /index/he/ll/hello", Say::ok(dated.to_string()));
    assert!(!desk.doctor(&[]).1.contains("note "));

    let evil = serde_json::json!([{ "name": "evil", "req": "*" }]);
    for (index, file, text) in [
        (line(evil, &checksum), upload.file.clone(), "hello 1.0.0: `deps` is `evil = *`"),
        (line(none.clone(), &"00".repeat(32)), upload.file.clone(), "hello 1.0.0: `cksum` is "),
        (Say::ok(""), upload.file.clone(), "hello 1.0.0: the index does not have it"),
        (line(none, &checksum), b"another".to_vec(), "hello 1.0.0: its file has the checksum "),
    ] {
        desk.registry.on("GET /index/he/ll/hello", index);
        desk.registry.on("GET /dl/hello/1.0.0/download", Say::ok(file));
        desk.assert_to_do(&[], text, "nobody should build these");
    }
}

#[test]
fn a_change_whose_outcome_is_not_known() {
    let desk = Desk::new();
    let now = Timestamp::now();
    let mutation = Mutation::Yank { name: "hello".parse().unwrap(), version: "1.0.0".parse().unwrap() };
    let signed = Signed {
        token: "v3.public.".to_owned(),
        key: SoftwareKey::new(2).public.id(),
        mutation,
        single_use_key: "once".to_owned(),
        challenge: None,
        kept_until: now + SignedDuration::from_hours(1),
        now,
    };
    desk.store().begin(&signed).unwrap();
    desk.assert_to_do(
        &[],
        "recorded changes whose outcome is unknown: 1: the yank of hello 1.0.0 by alice, number ",
        "they are settled within minutes",
    );
    assert!(desk.doctor(&[]).1.contains(&format!(", since {now:.0}")));
    let noted = "INSERT INTO open_reason SELECT seq, 'it said no' FROM open_intent";
    store::sql(&desk.store_folder(), noted);
    desk.assert_to_do(&[], "Z: it said no", "run `registry-gateway change settle ");
}

#[test]
fn a_store_that_is_not_there() {
    let desk = Desk::new();
    fs::remove_dir_all(desk.folder.path().join("registry")).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_registry-gateway"))
        .args(["doctor", "--config"])
        .arg(desk.file())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.contains("error: there is no store in ") && text.contains("hint: give its folder"),
        "{text}"
    );
}

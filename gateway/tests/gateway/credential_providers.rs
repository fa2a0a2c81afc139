//! Credentials for the registry behind that run out: programs give them, as cargo's users have them.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use asymmetric_token::{Claims, Mutation};
use jiff::Timestamp;
use registry_gateway::credential_provider::Provider;
use registry_gateway::keys::Role;
use registry_gateway::vault::Vault;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::bearer_registry::{BearerRegistry, Received, Say};
use crate::common::front::Front;
use crate::common::{Fixture, SoftwareKey, Upload, now};
use crate::several::Behind;

/// As many as an organisation's day has in it, with this variable set: 200 publishes and 2,000 reads over two minutes.
const LONG_RUN: &str = "REGISTRY_GATEWAY_LONG_TESTS";
/// How long a credential lives, in seconds.
const LIFE: i64 = 5;
const READ: &str = "/index/he/ll/hello";
const FIRST_LINES: &str = r#"echo '{"v":[1]}'; read request; echo "$request" >> requests"#;

/// Providers that are shell scripts, in a folder of their own, which they run in.
struct Scripts(TempDir);

impl Scripts {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Whoever has named this one has it run from now on.
    fn write(&self, script: &str) -> PathBuf {
        let (path, new) = (self.file("provider"), self.file("new"));
        fs::write(&new, format!("#!/bin/sh\ncd {}\n{script}\n", self.0.path().display())).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(&new, &path).unwrap();
        path
    }

    /// One that gives this, after its requests were noted.
    fn gives(&self, rest: &str) -> PathBuf {
        self.write(&format!(r#"{FIRST_LINES}; printf '%s\n' '{{"Ok":{{"kind":"get",{rest}}}}}'"#))
    }

    fn requests(&self) -> Vec<Value> {
        let lines = fs::read_to_string(self.file("requests")).unwrap_or_default();
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn set_provider(gateway: &Fixture, user: &str, program: &Path, args: &[&str]) {
    let upstream = gateway.config.upstream.as_ref().unwrap();
    let user = user.parse().unwrap();
    let words = [program.to_str().unwrap()].into_iter().chain(args.iter().copied());
    let provider = Provider::new(words.map(ToOwned::to_owned)).unwrap();
    let sealed = Vault::open(&upstream.key_file).unwrap().seal_provider(&user, &provider).unwrap();
    gateway.running().store().set_credential(&user, &sealed, Timestamp::now()).unwrap();
}

fn yank() -> Mutation {
    Mutation::Yank { name: "hello".parse().unwrap(), version: "1.0.0".parse().unwrap() }
}

/// A registry whose tokens live five seconds. A token is its user, a dot, and the second at which it ends.
struct Hourly {
    scripts: Scripts,
    program: PathBuf,
    /// By version: whose token published it.
    published: Arc<Mutex<BTreeMap<String, Vec<String>>>>,
    reads: Arc<AtomicUsize>,
}

impl Hourly {
    fn new(registry: &BearerRegistry) -> Self {
        let scripts = Scripts::new();
        let program = scripts.write(&format!(
            r#"echo '{{"v":[1]}}'; read request; end=$(($(date +%s) + {LIFE})); user=$(echo "$request" | sed 's/.*"args":\["\([a-z]*\)"\].*/\1/')
            echo "$user" >> runs
            echo '{{"Ok":{{"kind":"get","token":"Bearer '$user.$end'","cache":"expires","expiration":'$end',"operation_independent":true}}}}'"#
        ));
        let published = Arc::<Mutex<BTreeMap<String, Vec<String>>>>::default();
        let reads = Arc::<AtomicUsize>::default();
        let noted = published.clone();
        registry.on(
            "PUT /api/v1/crates/new",
            Say::Ask(Arc::new(move |request| match user_of(request) {
                Some(user) => {
                    noted.lock().unwrap().entry(version_of(request)).or_default().push(user);
                    Say::ok("{}")
                }
                None => Say::no("401 Unauthorized", "this token has run out"),
            })),
        );
        let counted = reads.clone();
        registry.on(
            &format!("GET {READ}"),
            Say::Ask(Arc::new(move |request| match user_of(request) {
                Some(user) => {
                    counted.fetch_add(1, Ordering::Relaxed);
                    Say::ok(user)
                }
                None => Say::no("401 Unauthorized", "this token has run out"),
            })),
        );
        Self { scripts, program, published, reads }
    }

    /// Everybody publishes and reads at once, through these addresses in turn.
    fn is_used(&self, here: &Fixture, addresses: &[String]) {
        let users = [("alice", &here.publish, &here.read), ("bob", &here.bob, &here.bob)];
        let carol = SoftwareKey::new(9);
        here.add_key(&carol, "carol", Role::Both);
        let users = users.into_iter().chain([("carol", &carol, &carol)]);
        let (publishes, reads) = if std::env::var_os(LONG_RUN).is_some() { (67, 667) } else { (20, 100) };
        let pause = match std::env::var_os(LONG_RUN) {
            Some(_) => Duration::from_secs(120) / 67,
            None => Duration::ZERO,
        };
        thread::scope(|scope| {
            for (user, publish, read) in users {
                set_provider(here, user, &self.program, &[user]);
                scope.spawn(move || {
                    for turn in 0..publishes {
                        let address = &addresses[turn % addresses.len()];
                        let upload = Upload::new(&format!("of-{user}"), &format!("1.0.{turn}"));
                        // Who is so slow that a credential ends under way is told so, and runs the command again.
                        let published = (0..20).any(|_| {
                            let token = publish.token(here.url(), &Claims::mutate(now(), upload.mutation()));
                            send(address, "PUT", "/api/v1/crates/new", &token, &upload.body()).0 == 200
                        });
                        assert!(published, "{user} {turn}");
                        thread::sleep(pause);
                    }
                });
                scope.spawn(move || {
                    for turn in 0..reads {
                        let token = read.token(here.url(), &Claims::read(Timestamp::now()));
                        let answer = send(&addresses[turn % addresses.len()], "GET", READ, &token, b"");
                        assert_eq!(answer, (200, user.to_owned()));
                        thread::sleep(pause / 10);
                    }
                });
            }
        });
        let published = self.published.lock().unwrap();
        assert_eq!(published.len(), 3 * publishes, "none is lost");
        for (version, by) in published.iter() {
            assert!(
                matches!(&by[..], [user] if version.starts_with(&format!("of-{user} "))),
                "{version}: {by:?}"
            );
        }
        assert!(self.reads.load(Ordering::Relaxed) >= 3 * reads);
        let runs = fs::read_to_string(self.scripts.file("runs")).unwrap();
        eprintln!(
            "{} publishes, {} reads, {} runs of the provider",
            3 * publishes,
            3 * reads,
            runs.lines().count()
        );
        assert!(runs.lines().count() < publishes + reads, "what was given is kept");
    }
}

/// Whose token a request has, if it is good.
fn user_of(request: &Received) -> Option<String> {
    let (user, end) = request.field("authorization")?.strip_prefix("Bearer ")?.split_once('.')?;
    (end.parse::<i64>().ok()? > Timestamp::now().as_second()).then(|| user.to_owned())
}

fn version_of(request: &Received) -> String {
    let length = u32::from_le_bytes(request.body[..4].try_into().unwrap()) as usize;
    let json: Value = serde_json::from_slice(&request.body[4..4 + length]).unwrap();
    format!("{} {}", json["name"].as_str().unwrap(), json["vers"].as_str().unwrap())
}

fn send(address: &str, method: &str, path: &str, token: &str, body: &[u8]) -> (u16, String) {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let length = if method == "GET" { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let header = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n{length}Connection: close\r\n\r\n"
    );
    stream.write_all(header.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let answer = crate::common::Response::read(stream);
    (answer.status, answer.text())
}

#[test]
fn a_registry_whose_tokens_live_for_seconds() {
    let front = Front::new();
    let hourly = Hourly::new(&front.registry);
    hourly.is_used(&front.gateway, &[front.gateway.running().address().to_string()]);
}

#[test]
fn two_gateways_before_a_registry_whose_tokens_live_for_seconds() {
    let Some(behind) = Behind::new() else { return };
    let hourly = Hourly::new(&behind.registry);
    let (there, address) = behind.there();
    hourly.is_used(&behind.here, &[behind.here.running().address().to_string(), address]);
    there.stop(rustix::process::Signal::TERM);
}

#[test]
fn a_read_is_asked_again_and_a_change_is_not() {
    let front = Front::new();
    let scripts = Scripts::new();
    let number = r#"echo x >> number; n=$(wc -l < number)"#;
    set_provider(
        &front.gateway,
        "alice",
        &scripts.write(&format!(
            r#"{FIRST_LINES}; {number}; echo '{{"Ok":{{"kind":"get","token":"number-'$n'","cache":"session","operation_independent":true}}}}'"#
        )),
        &[],
    );
    // Every second one is good.
    let judge = |request: &Received| match request.field("authorization") {
        Some(token) if token.ends_with(['2', '4', '6']) => Say::ok(r#"{"ok":true}"#),
        _ => Say::no("401 Unauthorized", "no, not this one"),
    };
    front.registry.on(&format!("GET {READ}"), Say::Ask(Arc::new(judge)));
    front.registry.on("DELETE /api/v1/crates/hello/1.0.0/yank", Say::Ask(Arc::new(judge)));
    let tokens = || -> Vec<_> {
        let received = front.registry.received();
        received.iter().map(|request| request.field("authorization").unwrap().to_owned()).collect()
    };
    front.gateway.get(READ).assert_ok();
    assert_eq!(tokens(), ["number-1", "number-2"]);
    front.gateway.get(READ).assert_ok();
    front.yank().assert_ok();
    assert_eq!(tokens(), ["number-2", "number-2"], "it is kept, for everything");

    // The registry has forgotten all of them.
    let nobody = |_: &Received| Say::no("401 Unauthorized", "no, not this one");
    front.registry.on("DELETE /api/v1/crates/hello/1.0.0/yank", Say::Ask(Arc::new(nobody)));
    front.yank().assert_refused(502, "refuses the credential that the gateway has for alice");
    assert_eq!(tokens(), ["number-2"], "it is sent once");
    assert_eq!(front.outcome().as_deref(), Some("failed"));
    // The next one is another; and a read for which the second one is refused too has been asked twice, and no more.
    front.registry.on(&format!("GET {READ}"), Say::Ask(Arc::new(nobody)));
    front.gateway.get(READ).assert_refused(502, "refuses the credential that the gateway has for alice");
    assert_eq!(tokens(), ["number-3", "number-4"]);
    assert_eq!(scripts.requests().len(), 4);
}

#[test]
fn a_change_is_named_as_cargo_names_it() {
    let front = Front::new();
    let scripts = Scripts::new();
    let own = r#""token":"alices","cache":"session","operation_independent":false"#;
    set_provider(&front.gateway, "alice", &scripts.gives(own), &["--profile", "us"]);
    for request in
        ["PUT /api/v1/crates/new", "DELETE /api/v1/crates/hello/1.0.0/yank", &format!("GET {READ}")]
    {
        front.registry.on(request, Say::ok(r#"{"ok":true}"#));
    }
    let upload = Upload::new("hello", "1.0.0");
    front.gateway.publish(&upload).assert_ok();
    front.yank().assert_ok();
    front.gateway.get(READ).assert_ok();
    front.gateway.get(READ).assert_ok();
    front.yank().assert_ok();
    let index = format!("sparse+{}/index/", front.registry.url());
    let asked = |operation: Value| {
        let mut request =
            json!({ "v": 1, "kind": "get", "registry": { "index-url": index }, "args": ["--profile", "us"] });
        request.as_object_mut().unwrap().extend(operation.as_object().unwrap().clone());
        request
    };
    let yank = asked(json!({ "operation": "yank", "name": "hello", "vers": "1.0.0" }));
    let cksum = upload.checksum().to_string();
    let expected = [
        // Where the API is.
        asked(json!({ "operation": "read" })),
        asked(json!({ "operation": "publish", "name": "hello", "vers": "1.0.0", "cksum": cksum })),
        yank.clone(),
        yank,
    ];
    assert_eq!(
        scripts.requests(),
        expected,
        "what is good for one change is not used for another; a read's is kept"
    );
}

/// Whatever it does: nothing is sent, and the token is not spent.
#[test]
fn a_provider_that_lies_or_dies_costs_nothing() {
    let front = Front::with(|config| config.upstream.as_mut().unwrap().timeout = Duration::from_secs(2));
    front.registry.on("DELETE /api/v1/crates/hello/1.0.0/yank", Say::ok(r#"{"ok":true}"#));
    let scripts = Scripts::new();
    let ok = |token: &str| format!(r#""token":"{token}","cache":"session","operation_independent":true"#);
    set_provider(&front.gateway, "alice", &scripts.gives(&ok("x")), &[]);
    let token = front.gateway.token(yank());
    let yank = || front.gateway.send("DELETE", "/api/v1/crates/hello/1.0.0/yank", Some(&token), b"");
    let expired = r#""token":"s3cret","cache":"expires","expiration":1,"operation_independent":true"#;
    let cases = [
        scripts.file("provider").display().to_string(),
        "exit 1".to_owned(),
        "kill -9 $$".to_owned(),
        format!("{FIRST_LINES}; exit 0"),
        format!("{FIRST_LINES}; sleep 600 & echo $! > left; wait"),
        format!("{FIRST_LINES}; (trap '' HUP; exec sleep 600) > /dev/null 2>&1 & echo $! > left-too; exit 1"),
        format!("{FIRST_LINES}; head -c 1000000 /dev/zero | tr '\\0' x; echo"),
        "yes".to_owned(),
        format!(r#"{FIRST_LINES}; echo '{{"Err":{{"kind":"not-found"}}}}'"#),
        format!(r#"{FIRST_LINES}; printf '%s\n' '{{"Ok":{{"kind":"get",{}}}}}'"#, ok("")),
        format!(r#"{FIRST_LINES}; printf '%s\n' '{{"Ok":{{"kind":"get",{}}}}}'"#, ok("a\\nX-Evil: 1")),
        format!(r#"{FIRST_LINES}; printf '%s\n' '{{"Ok":{{"kind":"get",{expired}}}}}'"#),
    ];
    for script in &cases[1..] {
        scripts.write(script);
        yank().assert_refused(502, "nothing was changed");
    }
    assert!(front.registry.received().is_empty());
    // What it has left behind is ended as well; whether anybody has heard of its end is not for us to say.
    for left in ["left", "left-too"] {
        let left = fs::read_to_string(scripts.file(left)).unwrap();
        let left = fs::read_to_string(format!("/proc/{}/stat", left.trim())).unwrap_or_default();
        assert!(left.is_empty() || left.contains(") Z "), "its children are ended: {left}");
    }
    // Many who wait for one that hangs are told at once, and not one after the other.
    scripts.write(&format!("{FIRST_LINES}; sleep 600"));
    let before = scripts.requests().len();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| front.gateway.get(READ).assert_refused(502, "gives no credential"));
        }
    });
    assert!(scripts.requests().len() - before < 8, "{}", scripts.requests().len() - before);
    // Those who wait for a slow one share what it gives.
    front.registry.on(&format!("GET {READ}"), Say::ok("{}"));
    scripts.write(&format!(
        r#"{FIRST_LINES}; sleep 1; printf '%s\n' '{{"Ok":{{"kind":"get",{}}}}}'"#,
        ok("alices")
    ));
    let before = scripts.requests().len();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| front.gateway.get(READ).assert_ok());
        }
    });
    assert_eq!(scripts.requests().len() - before, 1);
    front.registry.received();
    yank().assert_ok();
    assert_eq!(front.registry.received()[0].field("authorization"), Some("alices"));
}

/// A gateway that is administered, in front of a registry that wants this of whoever reads.
struct Desk {
    folder: TempDir,
    registry: BearerRegistry,
}

impl Desk {
    fn before(wanted: Option<&'static str>) -> Self {
        let (folder, registry) = (tempfile::tempdir().unwrap(), BearerRegistry::start());
        let places = format!(r#"{{"dl":"{0}/dl","api":"{0}","auth-required":true}}"#, registry.url());
        registry.on(
            "GET /index/config.json",
            Say::Ask(Arc::new(move |request| match request.field("authorization") {
                given if wanted.is_none() || given == wanted => Say::ok(places.clone()),
                _ => Say::no("401 Unauthorized", "who are you?"),
            })),
        );
        let desk = Self { folder, registry };
        desk.run(&["init"], "");
        desk.ask_at(&format!("{}/index/", desk.registry.url()));
        desk.run(&["user", "add", "alice"], "");
        desk
    }

    fn ask_at(&self, index: &str) {
        let upstream = format!("[upstream]\nindex = \"{index}\"\nkey-file = \"credentials.key\"\n");
        fs::write(self.folder.path().join("registry-gateway.toml"), upstream).unwrap();
    }

    /// Whether it succeeded, and everything that it said.
    fn run(&self, arguments: &[&str], input: &str) -> (bool, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_registry-gateway"));
        command.env_remove("REGISTRY_GATEWAY_STORE").env_remove("REGISTRY_GATEWAY_CONFIG");
        command.args(arguments).current_dir(self.folder.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    }

    /// What the registry is shown from now on.
    fn kept(&self) -> String {
        let said = self.run(&["doctor"], "").1;
        let line = said.lines().find(|line| line.contains("the credential of alice"));
        line.unwrap_or_else(|| panic!("{said}")).to_owned()
    }
}

#[test]
fn a_credential_is_kept_in_the_form_that_the_registry_takes() {
    for (wanted, given, said, kept) in [
        (Some("s3cret"), "s3cret", "accepts it as it is", "as it is"),
        (Some("Bearer s3cret"), "s3cret", "with `Bearer` in front", "with `Bearer`"),
        (Some("Bearer s3cret"), "Bearer s3cret", "accepts it as it is", "with `Bearer`"),
        (Some("s3cret"), "Bearer s3cret", "without `Bearer`", "as it is"),
        (Some("Basic dTpw"), "Basic dTpw", "accepts it as it is", "with `Basic`"),
        (None, "s3cret", "could not be tried", "as it is"),
    ] {
        let desk = Desk::before(wanted);
        let (done, out) = desk.run(&["credential", "set", "alice"], &format!("{given}\n"));
        assert!(done && out.starts_with("alice\n") && out.contains(said), "{given}: {out}");
        assert!(!out.contains("s3cret"), "{out}");
        let line = desk.kept();
        assert!(line.ends_with(&format!("accepts the credential of alice {kept}")), "{line}");
    }
}

#[test]
fn what_the_registry_refuses_replaces_nothing() {
    let desk = Desk::before(Some("good"));
    assert!(desk.run(&["credential", "set", "alice"], "good\n").0);
    let (done, said) = desk.run(&["credential", "set", "alice"], "wrong\n");
    assert!(!done && said.contains("neither alone nor with `Bearer`") && said.contains("--as-is"), "{said}");
    assert!(desk.kept().contains("accepts the credential"));
    assert!(desk.run(&["credential", "set", "alice", "--as-is"], "wrong\n").0);
    assert!(desk.kept().contains("refuses the credential of alice"));
    desk.ask_at("http://127.0.0.1:9/");
    let (done, said) = desk.run(&["credential", "set", "alice"], "good\n");
    assert!(!done && said.contains("cannot be reached") && said.contains("--as-is"), "{said}");
}

/// Also where the gateway has one: a provider that asks somebody would wait for an answer.
#[test]
fn a_provider_has_no_terminal() {
    let desk = Desk::before(Some("s3cret"));
    let scripts = Scripts::new();
    let program = scripts.write(&format!(
        r#"(exec < /dev/tty) && touch terminal; {FIRST_LINES}
        echo '{{"Ok":{{"kind":"get","token":"s3cret","cache":"session","operation_independent":true}}}}'"#
    ));
    let gateway = env!("CARGO_BIN_EXE_registry-gateway");
    let command = format!("{gateway} credential provider alice -- {}", program.display());
    // `script` gives its command a terminal.
    let (terminal, provider) = (scripts.file("its-own"), scripts.file("terminal"));
    let command = format!("(exec < /dev/tty) && touch {}; {command}", terminal.display());
    let mut script = Command::new("script");
    script.args(["-qec", &command, "/dev/null"]).current_dir(desk.folder.path()).stdin(Stdio::null());
    script.env_remove("REGISTRY_GATEWAY_STORE").env_remove("REGISTRY_GATEWAY_CONFIG");
    let output = script.output().unwrap();
    assert!(output.status.success() && terminal.exists(), "{output:?}");
    assert!(!provider.exists(), "it has the gateway's");
}

/// Whoever has taken over the service could have named a program that root would run.
#[test]
fn root_runs_no_provider_for_another_users_store() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: this is not root");
        return;
    }
    let desk = Desk::before(Some("s3cret"));
    let scripts = Scripts::new();
    let program = scripts.gives(r#""token":"s3cret","cache":"session","operation_independent":true"#);
    let provider = |more: &[&str]| {
        desk.run(
            &[&["credential", "provider", "alice"], more, &["--", program.to_str().unwrap()]].concat(),
            "",
        )
    };
    assert!(provider(&[]).0, "the store is root's");
    let store = desk.folder.path().join("registry");
    std::os::unix::fs::chown(&store, Some(65534), None).unwrap();
    let before = scripts.requests().len();
    let (done, said) = provider(&[]);
    assert!(!done && said.contains("runs as the gateway's user, not as root"), "{said}");
    assert!(provider(&["--as-is"]).0);
    let said = desk.run(&["doctor"], "").1;
    assert!(said.contains("ok     the credential provider of alice was not tested"), "{said}");
    assert_eq!(scripts.requests().len(), before);
}

/// Where the configuration says where the API is, a credential that is refused is noticed by reading, before a token is spent.
#[test]
fn what_can_be_asked_again_is_asked_before_the_token_is_spent() {
    let front = Front::new();
    let scripts = Scripts::new();
    let number = "echo x >> number; n=$(wc -l < number)";
    let gives =
        r#"{"Ok":{"kind":"get","token":"number-'$n'","cache":"session","operation_independent":true}}"#;
    let script = format!("{FIRST_LINES}; {number}; echo '{gives}'");
    set_provider(&front.gateway, "alice", &scripts.write(&script), &[]);
    let places = format!(r#"{{"dl":"{0}/dl","api":"{0}"}}"#, front.registry.url());
    let judge = move |request: &Received| match request.field("authorization") {
        Some("number-1") => Say::no("401 Unauthorized", "this one was revoked"),
        _ => Say::ok(places.clone()),
    };
    front.registry.on("GET /index/config.json", Say::Ask(Arc::new(judge)));
    front.registry.on("DELETE /api/v1/crates/hello/1.0.0/yank", Say::ok(r#"{"ok":true}"#));
    front.yank().assert_ok();
    assert_eq!(front.registry.received()[0].field("authorization"), Some("number-2"));
}

#[test]
fn a_provider_is_tried_before_it_is_named() {
    let desk = Desk::before(Some("Bearer s3cret"));
    let scripts = Scripts::new();
    let program = scripts.gives(r#""token":"Bearer s3cret","cache":"session","operation_independent":true"#);
    let program = program.to_str().unwrap();
    let provider =
        |program: &str| desk.run(&["credential", "provider", "alice", "--", program, "--profile", "us"], "");
    let (done, said) = provider(program);
    assert!(done && said.starts_with(&format!("alice\t{program} --profile us\n")), "{said}");
    assert!(said.contains("accepts it as it is") && !said.contains("s3cret"), "{said}");
    assert_eq!(scripts.requests()[0]["args"], json!(["--profile", "us"]));
    assert!(
        desk.kept().ends_with("accepts the credential of alice with `Bearer`, which a provider gives once")
    );

    for (script, reason) in [
        ("exit 7", "the provider gives no credential: it ended without a credential (exit status: 7)"),
        (
            &format!(
                r#"{FIRST_LINES}; echo '{{"Err":{{"kind":"other","message":"log in first","caused-by":[]}}}}'"#
            ),
            "log in first",
        ),
    ] {
        scripts.write(script);
        let (done, said) = provider(program);
        assert!(!done && said.contains(reason) && said.contains("it was not stored"), "{said}");
        assert!(said.contains("hint: run it as the gateway's user"), "{said}");
    }
    let secrets =
        ["wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "correct.horse.battery9", "dXNlcjpwYXNz", "hunter"];
    let spoken = format!(
        "secret {} password={} basic {} password: {}",
        secrets[0], secrets[1], secrets[2], secrets[3]
    );
    scripts.write(&format!(
        r#"{FIRST_LINES}; echo 'on standard error: {spoken}' >&2; echo '{{"Err":{{"kind":"other","message":"log in: {spoken}","caused-by":["cause: {spoken}"]}}}}'"#
    ));
    let (_, said) = provider(program);
    for part in ["log in", "on standard error", "cause"] {
        assert!(said.contains(part), "{said}");
    }
    assert!(!secrets.iter().any(|secret| said.contains(secret)), "{said}");
    scripts.gives(r#""token":"wrong","cache":"never","operation_independent":true"#);
    assert!(provider(program).1.contains("refuses what the provider gives; it was not stored"));
    assert!(provider("no-such-program").1.contains("there is no program `no-such-program`"));
    assert!(provider("cargo:token").1.contains("is built into cargo"));
    let (done, said) = desk.run(&["credential", "provider", "mallory", "--as-is", "--", program], "");
    assert!(!done && said.contains("there is no user mallory"), "{said}");

    let end = Timestamp::now().as_second() + 3600;
    scripts.gives(&format!(
        r#""token":"Bearer s3cret","cache":"expires","expiration":{end},"operation_independent":true"#
    ));
    let until = format!("valid until {}", Timestamp::from_second(end).unwrap());
    assert!(provider(program).1.contains(&until));
    assert!(desk.kept().contains(&until));
    scripts.write("exit 7");
    let said = desk.run(&["doctor"], "").1;
    assert!(said.contains("the credential provider of alice gives nothing: it ended without"), "{said}");
    assert!(desk.run(&["credential", "remove", "alice"], "").0);
    assert!(desk.run(&["doctor"], "").1.contains("alice can do nothing"));
}

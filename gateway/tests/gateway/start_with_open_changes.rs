//! Changes that an earlier run left open: the gateway serves at once, and only who changes one of these crates has to wait.
#![cfg(unix)]

use std::process::Output;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use asymmetric_token::Mutation;
use jiff::Timestamp;
use registry_gateway::store::{Intent, Signed, Store};

use crate::common::bearer_registry::Say;
use crate::common::front::Front;
use crate::common::{Response, Upload, served, store};

const YANK: &str = "DELETE /api/v1/crates/hello/1.0.0/yank";
const INDEX_FILE: &str = "GET /index/he/ll/hello";
/// Far longer than anything takes here.
const LONG: Duration = Duration::from_secs(60);

fn yank_of(name: &str) -> Mutation {
    Mutation::Yank { name: name.parse().unwrap(), version: "1.0.0".parse().unwrap() }
}

fn yank(front: &Front, name: &str) -> Response {
    let token = front.gateway.token(yank_of(name));
    front.gateway.send("DELETE", &format!("/api/v1/crates/{name}/1.0.0/yank"), Some(&token), b"")
}

/// What a gateway writes down before a change. It ends there.
fn begin(front: &Front, mutation: Mutation) -> Intent {
    let now = Timestamp::now();
    let store = front.gateway.running().store();
    let single_use_key = format!("{mutation:?} {now}");
    let (token, key) = (front.gateway.token(mutation.clone()), front.gateway.publish.public.id());
    store
        .begin(&Signed { token, key, mutation, single_use_key, challenge: None, kept_until: now, now })
        .unwrap()
}

fn open(front: &Front) -> Vec<i64> {
    front.gateway.running().store().open_intents().unwrap().into_iter().map(|intent| intent.seq).collect()
}

fn outcomes(store: &Store) -> Vec<String> {
    let entries = store.audit_entries(1, 99).unwrap();
    let word = |entry: &String| {
        let entry: serde_json::Value = serde_json::from_str(entry).unwrap();
        entry["outcome"].as_str().map(ToOwned::to_owned)
    };
    entries.iter().filter_map(word).collect()
}

fn run(front: &Front, arguments: &[&str]) -> Output {
    served::run(front.gateway.folder.path(), arguments)
}

#[track_caller]
fn succeeds(front: &Front, arguments: &[&str]) -> String {
    served::succeeds(front.gateway.folder.path(), arguments)
}

/// Returns standard error.
#[track_caller]
fn fails(front: &Front, arguments: &[&str]) -> String {
    let output = run(front, arguments);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// Whatever the index says of one crate.
#[test]
fn one_crate_keeps_nobody_else_out() {
    for (say, why) in [
        (Say::no("403 Forbidden", "not yours"), "not yours"),
        (Say::no("500 Internal Server Error", "oops"), "failed (500 Internal Server Error): oops"),
        (Say::no("429 Too Many Requests", "slowly"), "slowly"),
        (Say::no("418 I'm a teapot", "tea"), "tea"),
        (Say::HangUp, "the connection to the registry behind this gateway broke"),
        (Say::ok("{oops\n"), "a line of its index cannot be read"),
        (Say::ok(r#"{"vers":"1.0.0","cksum":"?"}"#), "a line of its index cannot be read"),
        (Say::Bytes(b"nonsense".to_vec()), "the connection to the registry behind this gateway broke"),
    ] {
        let mut front = Front::new();
        front.registry.on("DELETE /api/v1/crates/other/1.0.0/yank", Say::ok("{}"));
        front.registry.on(YANK, Say::HangUp);
        front.registry.on(INDEX_FILE, say);
        assert_eq!(yank(&front, "hello").status, 502);
        front.gateway.restart();
        front.gateway.get("/index/config.json").assert_ok();
        yank(&front, "other").assert_ok();

        front.registry.received();
        let token = front.gateway.token(yank_of("hello"));
        let again = || front.gateway.send("DELETE", "/api/v1/crates/hello/1.0.0/yank", Some(&token), b"");
        let refused = again();
        refused.assert_refused(503, why);
        assert_eq!(refused.field("retry-after"), Some("60"));
        let command = format!("`registry-gateway change settle {} --done`, or `--not-done`", open(&front)[0]);
        refused.assert_refused(503, &command);
        assert!(front.registry.received().iter().all(|asked| asked.method == "GET"), "nothing is forwarded");

        // Its token is not spent.
        front.registry.on(INDEX_FILE, Say::no("404 Not Found", ""));
        front.registry.on(YANK, Say::ok("{}"));
        again().assert_ok();
        assert_eq!(outcomes(front.gateway.running().store()), ["done", "failed", "done"], "{why}");
    }
}

/// The registry behind says that it is asked for the crate's index file, and answers that there is none when it may go on.
fn holds_the_index(front: &Front) -> (mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (asked, has_asked) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let may_go_on = Mutex::new(may_go_on);
    let held = Say::Ask(Arc::new(move |_| {
        asked.send(()).unwrap();
        may_go_on.lock().unwrap().recv_timeout(LONG).unwrap();
        Say::no("404 Not Found", "")
    }));
    front.registry.on(INDEX_FILE, held);
    (has_asked, go_on)
}

/// Nobody but who changes that crate waits for the registry behind, and that one goes on when it answers.
#[test]
fn it_serves_while_it_settles() {
    let mut front = Front::with(|config| config.upstream.as_mut().unwrap().timeout = 5 * LONG);
    begin(&front, yank_of("hello"));
    let (has_asked, go_on) = holds_the_index(&front);
    front.registry.on(YANK, Say::ok("{}"));
    front.registry.on("DELETE /api/v1/crates/other/1.0.0/yank", Say::ok("{}"));
    front.gateway.restart();
    has_asked.recv_timeout(LONG).unwrap();
    front.gateway.get("/index/config.json").assert_ok();
    yank(&front, "other").assert_ok();
    assert_eq!(open(&front).len(), 1);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| yank(&front, "hello"));
        go_on.send(()).unwrap();
        waiting.join().unwrap().assert_ok();
    });
    assert_eq!(outcomes(front.gateway.running().store()), ["done", "failed", "done"]);
}

/// A line that nobody can read may be of the version in question only if no other one is.
#[test]
fn a_line_that_cannot_be_read() {
    let mut front = Front::new();
    begin(&front, yank_of("hello"));
    let cksum = "00".repeat(32);
    let line = format!(r#"{{"vers":"1.0.0","cksum":"{cksum}","yanked":true}}"#);
    front.registry.on(INDEX_FILE, Say::ok(format!("{{oops\n{}\n", line.replace("1.0.0", "2.0.0"))));
    front.registry.on(YANK, Say::ok("{}"));
    front.gateway.restart();
    yank(&front, "hello").assert_refused(503, "a line of its index cannot be read");
    front.registry.on(INDEX_FILE, Say::ok(format!("{{oops\n{line}\n")));
    yank(&front, "hello").assert_ok();
    assert_eq!(outcomes(front.gateway.running().store()), ["done", "done"]);
}

/// Which is shorter than this registry's `timeout`, and than the time after which the test gives up.
#[test]
fn a_change_waits_within_a_bound() {
    let mut front = Front::with(|config| config.upstream.as_mut().unwrap().timeout = 5 * LONG);
    begin(&front, yank_of("hello"));
    front.registry.on(INDEX_FILE, Say::Silence);
    front.gateway.restart();
    yank(&front, "hello").assert_refused(503, "did not answer in time");
    assert_eq!(open(&front).len(), 1);
}

#[test]
fn some_crates_at_a_time() {
    const CRATES: usize = 20;
    const AT_ONCE: usize = 8;
    let mut front = Front::new();
    let (asked, has_asked) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let may_go_on = Mutex::new(may_go_on);
    let (at_work, most) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let highest = most.clone();
    let held = Say::Ask(Arc::new(move |_| {
        highest.fetch_max(at_work.fetch_add(1, SeqCst) + 1, SeqCst);
        asked.send(()).unwrap();
        may_go_on.lock().unwrap().recv_timeout(LONG).unwrap();
        at_work.fetch_sub(1, SeqCst);
        Say::no("404 Not Found", "")
    }));
    let names: Vec<_> = (0..CRATES).map(|n| format!("he{n:03}")).collect();
    for name in &names {
        front.registry.on(&format!("GET /index/he/{}/{name}", &name[2..4]), held.clone());
        begin(&front, yank_of(name));
    }
    front.gateway.restart();
    for _ in 0..AT_ONCE {
        has_asked.recv_timeout(LONG).unwrap();
    }
    for _ in 0..CRATES {
        go_on.send(()).unwrap();
    }
    for name in &names {
        assert_eq!(yank(&front, name).status, 404);
    }
    assert_eq!((most.load(SeqCst), open(&front)), (AT_ONCE, vec![]));
}

/// Without anybody's asking for it.
#[test]
fn it_asks_again_until_the_registry_is_back() {
    let mut front = Front::new();
    begin(&front, yank_of("hello"));
    let (asked, has_asked) = mpsc::channel();
    let times = AtomicUsize::new(0);
    let at_last = Say::Ask(Arc::new(move |_| {
        asked.send(()).unwrap();
        match times.fetch_add(1, SeqCst) {
            0 | 1 => Say::no("503 Service Unavailable", "soon"),
            _ => Say::no("404 Not Found", ""),
        }
    }));
    front.registry.on(INDEX_FILE, at_last);
    front.gateway.restart();
    for _ in 0..3 {
        has_asked.recv_timeout(LONG).unwrap();
    }
    assert_eq!(yank(&front, "hello").status, 404);
    assert_eq!(open(&front), [] as [i64; 0]);
}

#[test]
fn an_administrator_settles_beside_a_running_gateway() {
    for (decision, outcome) in [("--done", "done"), ("--not-done", "failed")] {
        let mut front = Front::new();
        let upload = Upload::new("hello", "1.0.0");
        front.registry.on("PUT /api/v1/crates/new", Say::HangUp);
        front.registry.on(INDEX_FILE, Say::no("403 Forbidden", "not\tyours"));
        assert_eq!(front.gateway.publish(&upload).status, 502);
        front.gateway.restart();
        assert_eq!(front.gateway.publish(&upload).status, 503);

        let seq = open(&front)[0].to_string();
        let list = succeeds(&front, &["change", "list"]);
        let columns: Vec<_> = list.trim_end().split('\t').collect();
        assert_eq!(columns.len(), 7, "{list}");
        assert_eq!([columns[0], columns[2], columns[3]], [&seq, "publish", "hello"]);
        assert!(columns[1].parse::<Timestamp>().is_ok(), "{list}");
        assert_eq!(columns[4..], ["1.0.0", "alice", "not\\tyours"]);
        for wrong in [["change", "settle", "1", "--done"], ["change", "settle", "99", "--not-done"]] {
            let error = fails(&front, &wrong);
            assert!(error.contains("is not the number of a change whose outcome is unknown"), "{error}");
            assert!(error.contains("hint: see `registry-gateway change list`"), "{error}");
        }
        let said = succeeds(&front, &["change", "settle", &seq, decision]);
        assert!(said.starts_with("the publish of hello 1.0.0\t"), "{said}");
        fails(&front, &["change", "settle", &seq, decision]);
        assert_eq!(succeeds(&front, &["change", "list"]), "");
        succeeds(&front, &["audit", "verify"]);
        let log = succeeds(&front, &["audit", "export"]);
        let entries: Vec<serde_json::Value> =
            log.lines().rev().take(2).map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(entries[0]["outcome"], outcome, "{log}");
        assert_eq!((&entries[1]["action"], &entries[1]["change"]), (&"settle-change".into(), &seq.into()));
        let records = front.gateway.running().store().published(None).unwrap();
        assert_eq!(records.len(), usize::from(outcome == "done"));

        // Nothing has to be asked any more.
        front.registry.on("PUT /api/v1/crates/new", Say::ok("{}"));
        front.gateway.publish(&Upload::new("hello", "2.0.0")).assert_ok();
    }
}

/// The gateway is asking at that moment. What an administrator said stands, and there is one outcome.
#[test]
fn an_administrator_is_quicker() {
    let mut front = Front::new();
    front.registry.on(YANK, Say::HangUp);
    front.registry.on(INDEX_FILE, Say::no("403 Forbidden", ""));
    assert_eq!(yank(&front, "hello").status, 502);
    let (has_asked, go_on) = holds_the_index(&front);
    front.registry.on(YANK, Say::ok("{}"));
    front.gateway.restart();
    has_asked.recv_timeout(LONG).unwrap();
    succeeds(&front, &["change", "settle", &open(&front)[0].to_string(), "--done"]);
    go_on.send(()).unwrap();
    yank(&front, "hello").assert_ok();
    assert_eq!(outcomes(front.gateway.running().store()), ["done", "done"]);
    succeeds(&front, &["audit", "verify"]);
}

#[test]
fn a_change_under_way_is_not_settled_by_hand() {
    let front = Front::new();
    let (begun, has_begun) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let may_go_on = Mutex::new(may_go_on);
    let slowly = Say::Ask(Arc::new(move |_| {
        begun.send(()).unwrap();
        may_go_on.lock().unwrap().recv_timeout(LONG).unwrap();
        Say::ok("{}")
    }));
    front.registry.on(YANK, slowly);
    thread::scope(|scope| {
        let changing = scope.spawn(|| yank(&front, "hello"));
        has_begun.recv_timeout(LONG).unwrap();
        let error = fails(&front, &["change", "settle", &open(&front)[0].to_string(), "--not-done"]);
        assert!(error.contains("the yank of hello 1.0.0 is in progress"), "{error}");
        go_on.send(()).unwrap();
        changing.join().unwrap().assert_ok();
    });
}

/// Nobody is at work then, whatever was noted.
#[test]
fn settled_by_hand_while_nothing_runs() {
    let mut front = Front::new();
    let upload = Upload::new("hello", "1.0.0");
    let twice = [begin(&front, upload.mutation()), begin(&front, upload.mutation())];
    let seqs = twice.map(|intent| intent.seq.to_string());
    front.gateway.running.take().unwrap().stop();
    assert!(succeeds(&front, &["change", "list"]).contains("the gateway stopped during it"));
    succeeds(&front, &["change", "settle", &seqs[1], "--done"]);
    let error = fails(&front, &["change", "settle", &seqs[0], "--done"]);
    assert!(error.contains("another token is recorded for that version"), "{error}");
    assert!(error.contains(&format!("change settle {} --not-done", seqs[0])), "{error}");
    succeeds(&front, &["change", "settle", &seqs[0], "--not-done"]);
    let store = store::open(front.gateway.folder.path());
    assert_eq!(
        (outcomes(&store), store.open_intents().unwrap()),
        (vec!["done".into(), "failed".into()], vec![])
    );
}

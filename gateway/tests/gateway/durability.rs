//! What holds when things happen at once, and after a crash.

use std::io::{Read as _, Write as _};
use std::{fs, thread};

use asymmetric_token::Mutation;
use jiff::Timestamp;
use registry_gateway::keys::{NewKey, Role};
use registry_gateway::policy::Refusal;
use registry_gateway::store::{Outcome, Signed, SpendError, StoreError};
use registry_gateway::{Gateway, StartError};

use crate::common::{Fixture, Response, Upload};

/// Runs the same request eight times at once; returns the statuses, sorted.
fn at_once(request: impl Fn() -> u16 + Sync) -> Vec<u16> {
    let mut statuses: Vec<u16> = thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(&request)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    statuses.sort_unstable();
    statuses
}

#[test]
fn a_token_is_good_once_also_when_all_come_at_once() {
    let fixture = Fixture::new();
    fixture.publish(&Upload::new("hello", "1.0.0")).assert_ok();
    let token =
        fixture.token(Mutation::Yank { name: "hello".parse().unwrap(), version: "1.0.0".parse().unwrap() });
    let yank = || fixture.send("DELETE", "/api/v1/crates/hello/1.0.0/yank", Some(&token), b"").status;
    assert_eq!(at_once(yank), [200, 401, 401, 401, 401, 401, 401, 401]);
}

/// The request was looked at before; what counts is what the transaction finds.
#[test]
fn the_transaction_has_the_last_word() {
    let fixture = Fixture::new();
    let store = fixture.running().store();
    let now = Timestamp::now();
    let begin = |single_use_key: &str| {
        store.begin(&Signed {
            token: String::new(),
            key: fixture.publish.public.id(),
            mutation: Mutation::Yank { name: "hello".parse().unwrap(), version: "1.0.0".parse().unwrap() },
            single_use_key: single_use_key.to_owned(),
            challenge: None,
            kept_until: now,
            now,
        })
    };
    let intent = begin("one").unwrap();
    assert!(matches!(begin("one"), Err(SpendError::Refused(Refusal::Replayed("yank")))));
    store.settle(&intent, &Outcome::Done, now).unwrap();
    assert!(matches!(store.settle(&intent, &Outcome::Done, now), Err(StoreError::Settled(_))));
    store.revoke_key(&fixture.publish.public.id().to_string(), now).unwrap();
    assert!(matches!(begin("two"), Err(SpendError::Refused(Refusal::RevokedKey { .. }))));
    assert!(store.open_intents().unwrap().is_empty());
}

/// Changes that do not get an outcome before the next start.
fn begin(fixture: &Fixture, mutations: impl IntoIterator<Item = Mutation>) {
    let now = Timestamp::now();
    for (n, mutation) in mutations.into_iter().enumerate() {
        let key = fixture.publish.public.id();
        let (token, single_use_key) = (String::new(), n.to_string());
        let signed = Signed { token, key, mutation, single_use_key, challenge: None, kept_until: now, now };
        fixture.running().store().begin(&signed).unwrap();
    }
}

/// How often something was committed since the start, but for the log's signatures, of which there were so many before: so many frames
/// of the write-ahead log end a transaction (sqlite.org/fileformat2.html, 4.1). Frames count when the log's index has them
/// (`mxFrame`, sqlite.org/walformat.html, 2.1): until they are on disk, no query sees them either.
fn commits(fixture: &Fixture, signed_before: usize) -> usize {
    let read = |name| fs::read(fixture.folder.path().join(name)).unwrap();
    loop {
        let signed = signatures(fixture);
        let frames = u32::from_ne_bytes(read("registry.db-shm")[16..20].try_into().unwrap());
        let log = read("registry.db-wal");
        let word = |at: usize| u32::from_be_bytes(log[at..at + 4].try_into().unwrap());
        let frame = 24 + word(8) as usize;
        let commits = (32..).step_by(frame).take(frames as usize).filter(|at| word(at + 4) != 0).count();
        if signatures(fixture) == signed {
            return commits + signed_before - signed;
        }
    }
}

/// Each is a commit of its own, and so is the key that is made for the first one.
fn signatures(fixture: &Fixture) -> usize {
    let signatures = "SELECT (SELECT count(*) FROM checkpoint) + (SELECT count(*) FROM signer)";
    fixture.sql(signatures).parse().unwrap()
}

/// How many commits a start takes.
fn commits_of_start(fixture: &mut Fixture) -> usize {
    fixture.running.take().unwrap().stop();
    let signed = signatures(fixture);
    fixture.running = Some(Gateway::start(fixture.config.clone()).unwrap());
    commits(fixture, signed)
}

/// The token, what it is spent on, the version and its outcome wait for the disk together.
#[test]
fn a_publish_is_one_commit() {
    let fixture = Fixture::new();
    let before = commits(&fixture, 0);
    fixture.publish(&Upload::new("hello", "1.0.0")).assert_ok();
    assert_eq!(commits(&fixture, 0), before + 1);
}

/// With a thousand of them, a start that waits for the disk each time would take seconds.
#[test]
fn however_much_was_under_way_is_settled_in_one_commit() {
    let mut fixture = Fixture::new();
    let there = Upload::new("hello", "1.0.0");
    fixture.publish(&there).assert_ok();
    let without = commits_of_start(&mut fixture);
    // Its first token is on record again, and the second one did nothing.
    fixture.sql("DELETE FROM published");
    let others = (0..20).map(|n| Upload::new(&format!("other{n}"), "1.0.0").mutation());
    begin(&fixture, [there.mutation(), there.mutation()].into_iter().chain(others));
    assert_eq!(commits_of_start(&mut fixture), without + 1);
    assert!(fixture.running().store().open_intents().unwrap().is_empty());
    let records = fixture.running().store().published(None).unwrap();
    assert_eq!(records.len(), 1);
    let entries = fixture.running().store().audit_entries(1, 999).unwrap().concat();
    let outcomes = ["done", "failed"].map(|word| entries.matches(&format!(r#""outcome":"{word}""#)).count());
    assert_eq!(outcomes, [2, 21]);
}

/// What became of it is seen by what is there.
#[test]
fn what_was_under_way_is_settled_at_the_start() {
    let mut fixture = Fixture::new();
    fixture.publish(&Upload::new("hello", "1.0.0")).assert_ok();
    let lost = Upload::new("hello", "2.0.0");
    let still = Mutation::Unyank { name: "hello".parse().unwrap(), version: "1.0.0".parse().unwrap() };
    begin(&fixture, [still, lost.mutation()]);
    fixture.restart();
    assert!(fixture.running().store().open_intents().unwrap().is_empty());
    let entries = fixture.sql("SELECT entry FROM audit ORDER BY seq DESC LIMIT 2");
    let (last, before) = entries.split_once('\n').unwrap();
    // The first is as it was wanted, the second is not there.
    for (entry, outcome) in [(before, r#""outcome":"done""#), (last, r#""outcome":"failed""#)] {
        assert!(entry.contains(outcome), "{entries}");
    }
}

#[test]
fn a_version_is_published_once_also_when_all_come_at_once() {
    let fixture = Fixture::new();
    let upload = Upload::new("hello", "1.0.0");
    let statuses = at_once(|| fixture.publish(&upload).status);
    assert_eq!(statuses, [200, 409, 409, 409, 409, 409, 409, 409]);
    assert_eq!(fixture.get("/index/he/ll/hello").text().lines().count(), 1);
}

#[test]
fn a_crate_has_one_first_publisher() {
    let fixture = Fixture::new();
    let uploads = [Upload::new("hello", "1.0.0"), Upload::new("hello", "2.0.0")];
    let tokens = [
        fixture.publish_token(&uploads[0]),
        fixture
            .bob
            .token(fixture.url(), &asymmetric_token::Claims::mutate(Timestamp::now(), uploads[1].mutation())),
    ];
    let mut statuses = thread::scope(|scope| {
        let bobs = scope.spawn(|| fixture.put_new(&tokens[1], &uploads[1]).status);
        [fixture.put_new(&tokens[0], &uploads[0]).status, bobs.join().unwrap()]
    });
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 403]);
}

#[test]
fn a_start_removes_what_was_never_committed() {
    let mut fixture = Fixture::new();
    let upload = Upload::new("hello", "1.0.0");
    fixture.publish(&upload).assert_ok();
    let folder = fixture.folder.path().to_owned();
    let orphans = ["tmp/upload", "crates/hello/hello-9.9.9.crate", "crates/hello/hello-9.9.9-rc.1+x.crate"];
    for orphan in orphans {
        fs::write(folder.join(orphan), b"half").unwrap();
    }
    fixture.restart();
    for orphan in orphans {
        assert!(!folder.join(orphan).exists(), "{orphan}");
    }
    assert_eq!(fixture.get("/api/v1/crates/hello/1.0.0/download").body, upload.file);
    fixture.publish(&Upload::new("hello", "9.9.9")).assert_ok();
}

/// What a file manager, a mail of a full disk or an administrator's copy leaves there is neither removed nor in the way.
#[cfg(unix)]
#[test]
fn a_start_leaves_alone_what_is_not_the_stores() {
    let mut fixture = Fixture::new();
    let upload = Upload::new("hello", "1.0.0");
    fixture.publish(&upload).assert_ok();
    let (folder, elsewhere) = (fixture.folder.path().to_owned(), tempfile::tempdir().unwrap());
    fs::write(elsewhere.path().join("link-1.0.0.crate"), b"another's").unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), folder.join("crates/link")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path().join("link-1.0.0.crate"), folder.join("tmp/link")).unwrap();
    for made in ["crates/hello/hello-2.0.0.crate", "crates/lost+found", "crates/empty", "tmp/inner", "more"] {
        fs::create_dir_all(folder.join(made)).unwrap();
    }
    let files = [
        "note",
        "crates/.DS_Store",
        "crates/hello/hello-1.0.0.crate~",
        "crates/hello/other-1.0.0.crate",
        "crates/lost+found/hello-1.0.0.crate",
        "tmp/inner/file",
    ];
    for file in files {
        fs::write(folder.join(file), b"whatever").unwrap();
    }
    fixture.restart();
    for file in files {
        assert!(folder.join(file).exists(), "{file}");
    }
    assert_eq!(fs::read(folder.join("crates/link/link-1.0.0.crate")).unwrap(), b"another's");
    assert_eq!(fixture.get("/api/v1/crates/hello/1.0.0/download").body, upload.file);
    fixture.publish(&Upload::new("hello", "1.1.0")).assert_ok();
    fixture.publish(&Upload::new("other", "1.0.0")).assert_ok();
}

#[test]
fn everything_is_there_after_a_restart() {
    let mut fixture = Fixture::new();
    fixture.publish(&Upload::new("hello", "1.0.0")).assert_ok();
    let before = fixture.get("/index/he/ll/hello");
    fixture.restart();
    let after = fixture.get("/index/he/ll/hello");
    assert_eq!((&before.body, before.field("etag")), (&after.body, after.field("etag")));
}

#[test]
fn single_use_keys_go_when_their_tokens_are_too_old() {
    let fixture = Fixture::new();
    fixture.sql("INSERT INTO spent (single_use_key, kept_until) VALUES ('old', 1000)");
    fixture.publish(&Upload::new("hello", "1.0.0")).assert_ok();
    assert_eq!(fixture.sql("SELECT count(*) FROM spent"), "1");
    assert_eq!(fixture.sql("SELECT count(*) FROM spent WHERE single_use_key = 'old'"), "0");
}

#[test]
fn a_mutation_is_on_record_with_its_token() {
    let fixture = Fixture::new();
    let upload = Upload::new("hello", "1.0.0");
    let token = fixture.publish_token(&upload);
    fixture.put_new(&token, &upload).assert_ok();
    fixture.put_new(&token, &upload);
    let records = fixture.running().store().published(None).unwrap();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].token, token);
    assert_eq!(records[0].checksum, upload.checksum());
    assert_eq!(records[0].user, "alice");
}

#[test]
fn a_store_of_a_newer_program() {
    let mut fixture = Fixture::new();
    fixture.running.take().unwrap().stop();
    fixture.sql("PRAGMA user_version = 99");
    let error = Gateway::start(fixture.config.clone()).unwrap_err();
    assert!(matches!(error, StartError::Store(StoreError::Newer { found: 99, .. })), "{error}");
}

/// Write-ahead log, so that the command line can read while the server writes.
#[test]
fn the_database_has_a_write_ahead_log() {
    let fixture = Fixture::new();
    assert_eq!(fixture.sql("PRAGMA journal_mode"), "wal");
}

/// An upload whose token was found to be good, and whose body is still to come.
struct OnTheWay {
    stream: std::net::TcpStream,
    body: Vec<u8>,
}

impl OnTheWay {
    fn begin(fixture: &Fixture, upload: &Upload) -> Self {
        let body = upload.body();
        let mut stream = fixture.connect();
        let header = format!(
            "PUT /api/v1/crates/new HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nContent-Length: {}\r\n\
             Expect: 100-continue\r\nConnection: close\r\n\r\n",
            fixture.publish_token(upload),
            body.len()
        );
        stream.write_all(header.as_bytes()).unwrap();
        let mut leave = [0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
        stream.read_exact(&mut leave).unwrap();
        assert!(leave.starts_with(b"HTTP/1.1 100 "), "the token was good: {leave:?}");
        Self { stream, body }
    }

    fn end(mut self) -> Response {
        self.stream.write_all(&self.body).unwrap();
        Response::read(self.stream)
    }
}

/// The key is looked at again when the token is used up: an upload takes its time.
#[test]
fn a_key_that_is_revoked_while_its_upload_is_on_the_way() {
    let fixture = Fixture::new();
    let upload = OnTheWay::begin(&fixture, &Upload::new("hello", "1.0.0"));
    let id = fixture.publish.public.id().to_string();
    fixture.running().store().revoke_key(&id, Timestamp::now()).unwrap();
    upload.end().assert_refused(401, "was revoked at");
    assert!(fixture.running().store().published(None).unwrap().is_empty());
    assert!(fixture.running().store().open_intents().unwrap().is_empty());
}

#[test]
fn a_key_that_becomes_a_read_key_while_its_upload_is_on_the_way() {
    let fixture = Fixture::new();
    let upload = OnTheWay::begin(&fixture, &Upload::new("hello", "1.0.0"));
    fixture.add_key(&fixture.publish, "alice", Role::Read);
    upload
        .end()
        .assert_refused(403, "has the role `read` here, but a publish token needs `publish` or `both`");
    assert!(fixture.running().store().published(None).unwrap().is_empty());
}

/// What counts is the time when the token is spent.
#[test]
fn a_key_that_expires_while_its_upload_is_on_the_way() {
    let fixture = Fixture::new();
    let upload = OnTheWay::begin(&fixture, &Upload::new("hello", "1.0.0"));
    let (public, user, now) = (fixture.publish.public, "alice".parse().unwrap(), Timestamp::now());
    let new = NewKey { public, user, role: Role::Publish, label: None, subject: None, expires: Some(now) };
    fixture.running().store().add_key(new, now).unwrap();
    upload.end().assert_refused(401, "expired at");
    assert!(fixture.running().store().published(None).unwrap().is_empty());
}

/// An entry has the time at which it was written. A slow upload's intent is not as old as its request.
#[test]
fn the_log_is_in_the_order_of_its_times() {
    let fixture = Fixture::new();
    let slow = OnTheWay::begin(&fixture, &Upload::new("hello", "1.0.0"));
    fixture.publish(&Upload::new("other", "1.0.0")).assert_ok();
    slow.end().assert_ok();
    let entries = fixture.running().store().audit_entries(1, 99).unwrap();
    let times: Vec<String> = entries
        .iter()
        .map(|entry| {
            serde_json::from_str::<serde_json::Value>(entry).unwrap()["time"].as_str().unwrap().into()
        })
        .collect();
    assert!(times.is_sorted(), "{times:?}");
}

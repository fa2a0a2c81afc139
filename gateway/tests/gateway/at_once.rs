//! What somebody with a good token may have under way at once, and whom that keeps waiting.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use asymmetric_token::{Claims, Mutation};
use jiff::Timestamp;
use registry_gateway::keys::{NewKey, Role};
use rustix::process::Signal;

use crate::common::bearer_registry::{Received, Say};
use crate::common::front::{BOBS, Front};
use crate::common::served::Served;
use crate::common::{Fixture, Response, SoftwareKey, Upload, now, store};

/// Of one user.
const AT_ONCE: usize = 16;
/// Far longer than anything takes here.
const LONG: Duration = Duration::from_secs(60);
const TOO_MANY: &str =
    "16 requests of bob that change something are under way here already; this token is not spent";

/// Sends a request with a body that need not be its whole one.
fn begun(
    mut stream: TcpStream,
    token: &str,
    (method, path): (&str, &str),
    length: usize,
    body: &[u8],
) -> TcpStream {
    let header = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(&[header.as_bytes(), body].concat()).unwrap();
    stream
}

fn yank(front: &Front, key: &SoftwareKey) -> TcpStream {
    let mutation = Mutation::Yank { name: "hello".parse().unwrap(), version: "1.0.0".parse().unwrap() };
    let token = key.token(front.gateway.url(), &Claims::mutate(now(), mutation));
    begun(front.gateway.connect(), &token, ("DELETE", "/api/v1/crates/hello/1.0.0/yank"), 0, b"")
}

/// One of these is refused at once, so all others are under way.
fn one_is_refused(streams: Vec<TcpStream>) -> (Vec<TcpStream>, Response) {
    let until = Instant::now() + LONG;
    let is_answered = |stream: &TcpStream| {
        stream.set_nonblocking(true).unwrap();
        let answered = stream.peek(&mut [0]).is_ok();
        stream.set_nonblocking(false).unwrap();
        answered
    };
    loop {
        assert!(Instant::now() < until, "none is refused");
        if let Some(refused) = streams.iter().position(is_answered) {
            let mut waiting = streams;
            let refused = Response::read(waiting.remove(refused));
            return (waiting, refused);
        }
    }
}

/// Who owns a crate is known to the registry behind alone, which refuses one after the other, and takes its time.
#[test]
fn whoever_may_not_change_a_crate_stands_in_its_line_once() {
    let front = Front::new();
    let (asked, has_asked) = mpsc::channel();
    let (answer, may_answer) = mpsc::channel::<()>();
    let may_answer = Mutex::new(may_answer);
    let slowly = Say::Ask(Arc::new(move |request: &Received| {
        let is_bob = request.header.contains(BOBS);
        asked.send(is_bob).unwrap();
        may_answer.lock().unwrap().recv_timeout(LONG).unwrap();
        if is_bob { Say::no("403 Forbidden", "this is not your crate") } else { Say::ok("{\"ok\":true}") }
    }));
    front.registry.on("DELETE /api/v1/crates/hello/1.0.0/yank", slowly);
    let bobs = (0..=AT_ONCE).map(|_| yank(&front, &front.gateway.bob)).collect();
    let (bobs, refused) = one_is_refused(bobs);
    refused.assert_refused(429, TOO_MANY);
    assert_eq!(refused.field("retry-after"), Some("5"));
    // What nobody waits for any more counts as long as it lasts.
    drop(bobs);
    Response::read(yank(&front, &front.gateway.bob)).assert_refused(429, TOO_MANY);
    let alices = (0..=AT_ONCE).map(|_| yank(&front, &front.gateway.publish)).collect();
    let (alices, _) = one_is_refused(alices);
    let order: Vec<bool> = (0..2 * AT_ONCE)
        .map(|_| {
            answer.send(()).unwrap();
            has_asked.recv_timeout(LONG).unwrap()
        })
        .collect();
    for made in alices {
        Response::read(made).assert_ok();
    }
    // Bob's first was there before her. All others wait for hers, and hers for one of them at most.
    let before_her_fourth = order.iter().scan(0, |hers, is_bob| {
        *hers += usize::from(!is_bob);
        (*hers < 4).then_some(*is_bob)
    });
    assert!(before_her_fourth.filter(|is_bob| *is_bob).count() <= 6, "{order:?}");
    let until = Instant::now() + LONG;
    answer.send(()).unwrap();
    while Response::read(yank(&front, &front.gateway.bob)).status == 429 {
        assert!(Instant::now() < until, "what has ended counts for ever");
    }
}

/// Each holds the place of a connection. Another user has as many.
#[test]
fn uploads_that_are_begun_and_not_ended_are_bounded() {
    let fixture = Fixture::with(|config| config.patience = LONG);
    let upload = Upload::new("hello", "1.0.0");
    let (length, body) = (upload.body().len(), &upload.body()[..20]);
    let publish = |key: &SoftwareKey| {
        let token = key.token(fixture.url(), &Claims::mutate(now(), upload.mutation()));
        begun(fixture.connect(), &token, ("PUT", "/api/v1/crates/new"), length, body)
    };
    let bobs = (0..=AT_ONCE).map(|_| publish(&fixture.bob)).collect();
    let (bobs, refused) = one_is_refused(bobs);
    refused.assert_refused(429, TOO_MANY);
    fixture.publish(&upload).assert_ok();
    drop(bobs);
    let until = Instant::now() + LONG;
    let token =
        fixture.bob.token(fixture.url(), &Claims::mutate(now(), Upload::new("world", "1.0.0").mutation()));
    while fixture.put_new(&token, &Upload::new("world", "1.0.0")).status == 429 {
        assert!(Instant::now() < until, "what has ended counts for ever");
    }
}

/// Eight people begin as many uploads as they may. All metadata is there, and no crate file is.
#[test]
fn metadata_waits_on_disk() {
    const PEOPLE: usize = 8;
    const JSON: usize = 2 << 20;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry");
    let keys: Vec<_> = (0..PEOPLE).map(|n| SoftwareKey::new(10 + n as u8)).collect();
    for (n, key) in keys.iter().enumerate() {
        let (user, role) = (format!("person-{n}").parse().unwrap(), Role::Both);
        let new = NewKey { public: key.public, user, role, label: None, subject: None, expires: None };
        store::open(&path).add_key(new, Timestamp::now()).unwrap();
    }
    // The uploads of a store in a PostgreSQL are there, too.
    let temporary = tempfile::tempdir().unwrap();
    let mut program = crate::common::served::program(&path);
    program.env("TMPDIR", temporary.path());
    let served = Served::of(program, &["--listen", "127.0.0.1:0"]);
    let mut upload = Upload::new("hello", "1.0.0");
    upload.json.resize(JSON, b' ');
    let body = upload.body();
    let held: Vec<_> = keys
        .iter()
        .flat_map(|key| (0..AT_ONCE).map(move |_| key))
        .map(|key| {
            let token = key.token(&served.index_url, &Claims::mutate(now(), upload.mutation()));
            let part = &body[..4 + JSON + 5];
            begun(served.connect().unwrap(), &token, ("PUT", "/api/v1/crates/new"), body.len(), part)
        })
        .collect();
    let until = Instant::now() + LONG;
    while bytes_in(folder.path()) + bytes_in(temporary.path()) < (held.len() * JSON) as u64 {
        assert!(Instant::now() < until, "not all of it is on disk");
    }
    let status = fs::read_to_string(format!("/proc/{}/status", served.child.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: usize = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak << 10 < held.len() * JSON / 2, "{peak} kB");
    drop(held);
    served.stop(Signal::TERM);
}

/// Of all files below a folder.
fn bytes_in(folder: &Path) -> u64 {
    let of = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_in(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    fs::read_dir(folder).into_iter().flatten().flatten().map(of).sum()
}

//! SIGKILL at any moment of stages and approvals. Afterwards each version is staged or published, once, and can be approved.
#![cfg(unix)]

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::thread;
use std::time::Duration;

use asymmetric_token::Claims;
use jiff::Timestamp;
use registry_gateway::keys::{NewKey, Role};
use registry_gateway::store::State;

use crate::common::machine::Machine;
use crate::common::moments::Dice;
use crate::common::served::{Served, program};
use crate::common::{Response, SoftwareKey, Upload, now, store};

/// How often a gateway is killed.
const DEATHS: usize = 40;
/// About as long as a request takes here, in microseconds.
const AWHILE: u64 = 30_000;

fn start(folder: &Path, address: &str) -> Served {
    let mut command = program(folder);
    command.env("REGISTRY_GATEWAY_LOG", "off");
    Served::of(command, &["--listen", address])
}

fn put(address: &str, path: &str, token: &str, body: &[u8]) -> io::Result<Response> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    write!(
        stream,
        "PUT {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let is_answer = answer.windows(4).any(|four| four == b"\r\n\r\n");
    if is_answer { Ok(Response::parse(&answer)) } else { Err(io::Error::other("no answer")) }
}

#[test]
fn nothing_is_lost_or_published_twice() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let folder = folder.path().join("registry");
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let key = SoftwareKey::new(5);
    let opened = store::open(&folder);
    let user = "alice".parse().unwrap();
    let new =
        NewKey { public: key.public, user, role: Role::Both, label: None, subject: None, expires: None };
    opened.add_key(new, Timestamp::now()).unwrap();
    let machine = Machine::of(&opened, 9, "alice", &["hello"]);
    let mut served = start(&folder, &address);
    let mut dice = Dice::new();
    for death in 0..DEATHS {
        let upload = Upload::new("hello", &format!("1.0.{death}"));
        let approval = |url: &str| key.token(url, &Claims::mutate(now(), upload.mutation()));
        let job = machine.token(&opened);
        if death % 2 == 0 {
            put(&address, "/api/v1/crates/new", &job, &upload.body()).unwrap().assert_ok();
        }
        let staged =
            || opened.all_staged().unwrap().into_iter().find(|staged| staged.checksum == upload.checksum());
        let (path, token, body) = match staged() {
            Some(staged) => {
                (format!("/api/v1/staged/{}/approve", staged.id), approval(&served.index_url), Vec::new())
            }
            None => ("/api/v1/crates/new".to_owned(), job.clone(), upload.body()),
        };
        let moment = Duration::from_micros(dice.roll() % AWHILE);
        let answer = thread::scope(|scope| {
            let asking = scope.spawn(|| put(&address, &path, &token, &body));
            thread::sleep(moment);
            served.child.kill().unwrap();
            served.child.wait().unwrap();
            asking.join().unwrap()
        });
        store::long_ago(&folder);
        served = start(&folder, &address);
        if let Ok(answer) = answer {
            answer.assert_ok();
        }
        // What was begun is settled; of a registry of its own the next start knows at once what came of it.
        let is_published = || !opened.published(Some(("hello", &upload.version))).unwrap().is_empty();
        while staged().is_some_and(|staged| staged.state == State::Approving) {}
        if staged().is_none() && !is_published() {
            put(&address, "/api/v1/crates/new", &job, &upload.body()).unwrap().assert_ok();
        }
        if let Some(staged) = staged() {
            let path = format!("/api/v1/staged/{}/approve", staged.id);
            put(&address, &path, &approval(&served.index_url), b"").unwrap().assert_ok();
        }
        assert_eq!(opened.published(Some(("hello", &upload.version))).unwrap().len(), 1);
        let found = opened.discrepancies(opened.now()).unwrap();
        assert!(found.is_empty(), "{found:?}");
    }
    assert!(opened.all_staged().unwrap().is_empty());
    let read = key.token(&served.index_url, &Claims::read(now()));
    assert_eq!(served.get("/index/he/ll/hello", &read).text().lines().count(), DEATHS);
}

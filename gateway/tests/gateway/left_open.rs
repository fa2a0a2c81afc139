//! Changes whose outcome the registry behind leaves open, and changes that meet each other.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use asymmetric_token::{Claims, Mutation};
use jiff::Timestamp;
use serde_json::json;

use crate::common::bearer_registry::Say;
use crate::common::front::{BOBS, Front};
use crate::common::{Response, Upload};

/// After an answer that says nothing of the change, the index does.
#[test]
fn an_answer_that_leaves_it_open_is_settled_by_the_index() {
    let front = Front::new();
    let yank = "DELETE /api/v1/crates/hello/1.0.0/yank";
    let line = |yanked| {
        let cksum = "00".repeat(32);
        Say::ok(json!({ "name": "hello", "vers": "1.0.0", "cksum": cksum, "yanked": yanked }).to_string())
    };
    for say in [
        Say::HangUp,
        Say::no("500 Internal Server Error", "oops"),
        Say::Answer("200 OK", vec![], vec![0; 2 << 20]),
    ] {
        front.registry.on(yank, say.clone());
        front.registry.on("GET /index/he/ll/hello", line(true));
        front.yank().assert_ok();
        assert_eq!(front.outcome().as_deref(), Some("done"));
        front.registry.on("GET /index/he/ll/hello", line(false));
        assert_eq!(front.yank().status, 502);
        assert_eq!(front.outcome(), None, "the last entry is an intent: it may still come about");
    }
    assert_eq!(front.gateway.running().store().open_intents().unwrap().len(), 3);
}

/// A version that exists is a conflict, whoever has the same file; unless the same user's earlier attempt was given up.
#[test]
fn an_attempt_that_came_through_late() {
    let front = Front::new();
    let upload = Upload::new("hello", "1.0.0");
    let line =
        json!({ "name": "hello", "vers": "1.0.0", "cksum": upload.checksum().to_string() }).to_string();
    front.registry.on("PUT /api/v1/crates/new", Say::no("409 Conflict", "exists"));
    front.registry.on("GET /index/he/ll/hello", Say::ok(line.clone()));
    for _ in 0..2 {
        // Nor does an attempt that was refused make the next one succeed.
        front.gateway.publish(&upload).assert_refused(409, "exists");
    }
    assert!(front.gateway.running().store().published(None).unwrap().is_empty());

    let front = Front::new();
    front.registry.on("PUT /api/v1/crates/new", Say::HangUp);
    assert_eq!(front.gateway.publish(&upload).status, 502);
    front.registry.on("PUT /api/v1/crates/new", Say::no("409 Conflict", "exists"));
    front.registry.on("GET /index/he/ll/hello", Say::ok(line));
    let bobs = Claims::mutate(Timestamp::now(), upload.mutation());
    let bobs = front.gateway.bob.token(front.gateway.url(), &bobs);
    front.gateway.put_new(&bobs, &upload).assert_refused(409, "exists");
    front.gateway.publish(&upload).assert_ok();
    for _ in 0..2 {
        front.gateway.publish(&upload).assert_refused(409, "exists");
    }
    assert_eq!(front.gateway.running().store().published(None).unwrap().len(), 1);
}

/// An attempt is settled before the next one is judged by what is there.
#[test]
fn changes_of_one_crate_are_made_one_after_another() {
    let front = Front::new();
    let (at_work, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, highest) = (at_work.clone(), most.clone());
    let say = Say::Ask(Arc::new(move |_| {
        highest.fetch_max(counted.fetch_add(1, SeqCst) + 1, SeqCst);
        // Long enough for the other one to come, if it were let.
        std::thread::sleep(Duration::from_millis(300));
        counted.fetch_sub(1, SeqCst);
        Say::ok("{}")
    }));
    front.registry.on("DELETE /api/v1/crates/hello/1.0.0/yank", say.clone());
    front.registry.on("PUT /api/v1/crates/hello/2.0.0/unyank", say);
    let other = Mutation::Unyank { name: "hello".parse().unwrap(), version: "2.0.0".parse().unwrap() };
    let other = front.gateway.token(other);
    let unyank = || front.gateway.send("PUT", "/api/v1/crates/hello/2.0.0/unyank", Some(&other), b"");
    std::thread::scope(|scope| {
        scope.spawn(|| unyank().assert_ok());
        front.yank().assert_ok();
    });
    assert_eq!((most.load(SeqCst), at_work.load(SeqCst)), (1, 0));
}

/// Who is told to stop takes nobody new, ends what was begun, and writes down what came of it; also if nobody waits for the
/// answer any more.
#[test]
fn a_change_under_way_is_ended_before_the_server() {
    for stays in [true, false] {
        let mut front = Front::new();
        let (begun, has_begun) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel::<()>();
        let may_go_on = Mutex::new(may_go_on);
        let slowly = Say::Ask(Arc::new(move |_| {
            begun.send(()).unwrap();
            may_go_on.lock().unwrap().recv_timeout(Duration::from_secs(20)).unwrap();
            Say::ok("{}")
        }));
        front.registry.on("DELETE /api/v1/crates/hello/1.0.0/yank", slowly);
        let mutation = Mutation::Yank { name: "hello".parse().unwrap(), version: "1.0.0".parse().unwrap() };
        let token = front.gateway.token(mutation);
        let mut client = front.gateway.connect();
        let path = "/api/v1/crates/hello/1.0.0/yank";
        let header = format!("DELETE {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n\r\n");
        client.write_all(header.as_bytes()).unwrap();
        has_begun.recv_timeout(Duration::from_secs(20)).unwrap();
        let client = Some(client).filter(|_| stays);

        let running = front.gateway.running.take().unwrap();
        let address = running.address();
        std::thread::scope(|scope| {
            let stop = scope.spawn(|| running.stop());
            while TcpStream::connect(address).is_ok() {
                std::thread::yield_now();
            }
            go_on.send(()).unwrap();
            stop.join().unwrap();
        });
        assert_eq!(front.outcome().as_deref(), Some("done"), "{stays}");
        if let Some(client) = client {
            Response::read(client).assert_ok();
        }
    }
}

/// One user's change that only that user's lost credential could settle keeps nobody out.
#[test]
fn a_change_that_cannot_be_settled_holds_up_its_user_alone() {
    let mut front = Front::new();
    let yank = "DELETE /api/v1/crates/hello/1.0.0/yank";
    front.registry.on(yank, Say::HangUp);
    let bobs = |front: &Front| {
        let mutation = Mutation::Yank { name: "hello".parse().unwrap(), version: "1.0.0".parse().unwrap() };
        let claims = Claims::mutate(Timestamp::now(), mutation);
        let token = front.gateway.bob.token(front.gateway.url(), &claims);
        front.gateway.send("DELETE", "/api/v1/crates/hello/1.0.0/yank", Some(&token), b"")
    };
    front.registry.on("GET /index/he/ll/hello", Say::no("500 Internal Server Error", ""));
    bobs(&front).assert_refused(502, "");
    assert_eq!(front.yank().status, 502);
    front.registry.on(
        "GET /index/he/ll/hello",
        Say::Ask(Arc::new(|request| match request.field("authorization") {
            Some(BOBS) => Say::no("401 Unauthorized", "revoked"),
            _ => Say::no("404 Not Found", ""),
        })),
    );
    front.gateway.restart();
    front.registry.on(yank, Say::ok("{}"));
    front.yank().assert_ok();
    bobs(&front).assert_refused(503, "refuses the credential that the gateway has for bob");
    let open = front.gateway.running().store().open_intents().unwrap();
    let users: Vec<_> = open.iter().map(|intent| intent.user.as_str()).collect();
    assert_eq!(users, ["bob"]);
}

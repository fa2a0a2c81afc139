//! Many small answers over one connection, as cargo asks for them in a build.
#![cfg(unix)]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::common::bearer_registry::Say;
use crate::common::front::Front;
use crate::common::{Fixture, Upload};

const REQUESTS: usize = 200;

/// A delayed acknowledgement comes after 40 ms, and an answer that waits for nobody within one.
const DELAYED: Duration = Duration::from_millis(25);

/// A connection that is kept, and how often something had to be read from it.
struct Kept {
    stream: TcpStream,
    request: String,
    ahead: Vec<u8>,
    reads: usize,
}

impl Kept {
    fn new(fixture: &Fixture, path: &str) -> Self {
        let token = fixture.read_token();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n\r\n");
        Self { stream: fixture.connect(), request, ahead: Vec::new(), reads: 0 }
    }

    fn ask(&mut self, times: usize) {
        self.stream.write_all(self.request.repeat(times).as_bytes()).unwrap();
    }

    /// Takes one answer, which has a Content-Length.
    fn answer(&mut self) -> Vec<u8> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let end = self.ahead.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4);
            if let Some(end) = end {
                let head = String::from_utf8(self.ahead[..end].to_vec()).unwrap();
                assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
                let length = head.split("content-length: ").nth(1).unwrap().split('\r').next().unwrap();
                let whole = end + length.parse::<usize>().unwrap();
                if self.ahead.len() >= whole {
                    return self.ahead.drain(..whole).skip(end).collect();
                }
            }
            let read = self.stream.read(&mut buffer).unwrap();
            assert_ne!(read, 0, "the connection is closed");
            self.ahead.extend_from_slice(&buffer[..read]);
            self.reads += 1;
        }
    }
}

/// What leaves in one write arrives in one read.
#[track_caller]
fn arrives_in_one_piece(fixture: &Fixture, path: &str, expected: Option<&[u8]>) {
    let mut kept = Kept::new(fixture, path);
    for _ in 0..REQUESTS {
        kept.ask(1);
        let body = kept.answer();
        assert!(!body.is_empty() && expected.is_none_or(|expected| expected == body), "{path}");
    }
    assert_eq!(kept.reads, REQUESTS, "{path}");
}

#[test]
fn head_and_small_body_leave_together() {
    let fixture = Fixture::new();
    let upload = Upload::new("hello", "1.0.0");
    fixture.publish(&upload).assert_ok();
    arrives_in_one_piece(&fixture, "/index/config.json", None);
    arrives_in_one_piece(&fixture, "/index/he/ll/hello", None);
    arrives_in_one_piece(&fixture, "/api/v1/crates/hello/1.0.0/download", Some(&upload.file));
    arrives_in_one_piece(&fixture, "/api/v1/crates?q=hello", None);
}

#[test]
fn head_and_small_body_of_the_registry_behind_leave_together() {
    let front = Front::new();
    let lines = b"{\"vers\":\"1.0.0\"}\n".repeat(20);
    front.registry.on("GET /index/he/ll/hello", Say::ok(lines.clone()));
    arrives_in_one_piece(&front.gateway, "/index/he/ll/hello", Some(&lines));
}

/// The second of two answers is written while the client has not acknowledged the first.
#[test]
fn no_answer_waits_for_an_acknowledgement() {
    let fixture = Fixture::new();
    fixture.publish(&Upload::new("hello", "1.0.0")).assert_ok();
    let mut kept = Kept::new(&fixture, "/index/he/ll/hello");
    let mut delayed = 0;
    for _ in 0..REQUESTS / 2 {
        kept.ask(2);
        kept.answer();
        let first = Instant::now();
        kept.answer();
        delayed += usize::from(first.elapsed() > DELAYED);
    }
    assert!(delayed < REQUESTS / 8, "{delayed} of {} were delayed", REQUESTS / 2);
}

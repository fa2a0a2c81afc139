//! What comes over the wire from a registry behind, or does not come.
#![cfg(unix)]

use std::error::Error as _;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use asymmetric_token::Mutation;
use registry_gateway::{Gateway, StartError};

use crate::common::bearer_registry::Say;
use crate::common::front::Front;
use crate::common::{Response, Upload};

const INDEX_FILE: &str = "GET /index/he/ll/hello";

/// An index file, asked for in a way that wants the answer without chunks.
fn index_file(front: &Front) -> Response {
    let token = front.gateway.read_token();
    let header = format!("GET /index/he/ll/hello HTTP/1.0\r\nHost: x\r\nAuthorization: {token}\r\n\r\n");
    front.gateway.raw(&header, b"")
}

#[test]
fn whole_answers() {
    let front = Front::new();
    let chunks = "5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nX-Trailer: a\r\n\r\n";
    for answer in [
        "HTTP/1.0 200 OK\r\n\r\nhello world".to_owned(),
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello world".to_owned(),
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nETag: \"early\"\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world"
            .to_owned(),
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"),
        // The length is a lie then (RFC 9112, 6.3).
        format!("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"),
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 300\r\n\r\n{chunks}"),
        "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello worldHTTP/1.1 200 OK\r\n\r\n".to_owned(),
    ] {
        front.registry.on(INDEX_FILE, Say::Bytes(answer.clone().into_bytes()));
        let found = index_file(&front);
        found.assert_ok();
        assert_eq!((found.text().as_str(), found.field("etag")), ("hello world", None), "{answer}");
    }
}

/// What is read is asked again on another connection; what changes something is sent once, and not over a connection that
/// the registry may be about to close.
#[test]
fn a_connection_that_is_closed_when_it_is_used_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (sender, requests) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, sender) = (BufReader::new(stream.unwrap()), sender.clone());
            let mut request = move || {
                let mut header = String::new();
                while !header.ends_with("\r\n\r\n") && stream.read_line(&mut header).unwrap() > 0 {}
                let _ = sender.send(header.lines().next().unwrap_or_default().to_owned());
                stream.get_ref().try_clone().unwrap()
            };
            thread::spawn(move || {
                request().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").unwrap();
                drop(request());
            });
        }
    });
    let front = Front::with(|config| {
        let upstream = config.upstream.as_mut().unwrap();
        upstream.index = format!("{url}index/");
        (upstream.api, upstream.dl) = (Some(url.clone()), Some(url));
    });
    for _ in 0..5 {
        front.gateway.get("/index/he/ll/hello").assert_ok();
        front.yank().assert_ok();
    }
    let requests: Vec<String> = requests.try_iter().collect();
    let sent = |method: &str| requests.iter().filter(|request| request.starts_with(method)).count();
    assert_eq!(sent("DELETE"), 5, "{requests:?}");
    assert!(sent("GET") > 5, "{requests:?}");
}

/// Whoever gets a part of a file can see that it is one. A small file is not begun before all of it is there.
#[test]
fn answers_that_end_early() {
    let front = Front::new();
    let ask = || front.gateway.get("/index/he/ll/hello");
    let early =
        |length: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\nhello").into_bytes();
    front.registry.on(INDEX_FILE, Say::Bytes(early("11")));
    ask().assert_refused(502, "the connection to the registry behind this gateway broke");
    front.registry.on(INDEX_FILE, Say::Bytes(early("70000")));
    let found = ask();
    assert_eq!((found.field("content-length"), found.text().as_str()), (Some("70000"), "hello"));
    let half = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nwo";
    front.registry.on(INDEX_FILE, Say::Bytes(half.into()));
    ask().assert_refused(502, "the connection to the registry behind this gateway broke");
    let (hello, large) = ("hello".repeat(20_000), 100_000);
    let half = half.replacen("5\r\nhello", &format!("{large:x}\r\n{hello}"), 1);
    front.registry.on(INDEX_FILE, Say::Bytes(half.into()));
    let found = ask();
    assert_eq!(found.field("transfer-encoding"), Some("chunked"));
    assert!(!found.text().ends_with("0\r\n\r\n"), "{}", found.text());
}

#[test]
fn what_is_no_answer() {
    let front = Front::new();
    let field =
        |name: &str, value: &str| format!("HTTP/1.1 200 OK\r\n{name}: {value}\r\nContent-Length: 0\r\n\r\n");
    for answer in [
        "SSH-2.0-OpenSSH_9.2\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\nab".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab".to_owned(),
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nhello".to_owned(),
        field("ETag", "a\rSet-Cookie: b"),
        field("ETag", "a\r\n b"),
        field("ETag", "a\0b"),
        field("X", &"x".repeat(1 << 20)),
        format!("HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n", "A: b\r\n".repeat(1000)),
    ] {
        front.registry.on(INDEX_FILE, Say::Bytes(answer.clone().into_bytes()));
        let found = front.gateway.get("/index/he/ll/hello");
        assert_eq!(found.status, 502, "{}", &answer[..answer.len().min(200)]);
        assert_eq!(found.field("set-cookie"), None);
    }
}

/// Where no TLS comes about nothing was sent, and that is known.
#[test]
fn a_handshake_without_end() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/", silent.local_addr().unwrap());
    let front = Front::with(|config| {
        let upstream = config.upstream.as_mut().unwrap();
        upstream.timeout = Duration::from_millis(400);
        upstream.index = format!("{url}index/");
        (upstream.api, upstream.dl) = (Some(url.clone()), Some(url));
    });
    front.yank().assert_refused(502, "cannot be reached");
    assert_eq!(front.outcome().as_deref(), Some("failed"));
    front.gateway.publish(&Upload::new("hello", "1.0.0")).assert_refused(502, "cannot be reached");
    assert_eq!(front.outcome().as_deref(), Some("failed"));
}

/// What fails before a change is sent, or where nothing is to be changed, leaves no change open. Where the API is not known, not even the
/// token is spent.
#[test]
fn nothing_was_sent() {
    let front = Front::new();
    let owners = || {
        let token = front.gateway.token(Mutation::Owners { name: "hello".parse().unwrap() });
        front.gateway.send("GET", "/api/v1/crates/hello/owners", Some(&token), b"")
    };
    let failed = Say::no("500 Internal Server Error", "no database");
    front.registry.on("GET /api/v1/crates/hello/owners", failed.clone());
    owners().assert_refused(502, "failed (500 Internal Server Error): no database; nothing was changed");
    assert_eq!(front.outcome().as_deref(), Some("failed"));
    let front = Front::new();
    for (config, why) in
        [(failed, "no database; nothing was changed"), (Say::ok("{}"), "its config.json has no")]
    {
        front.registry.on("GET /index/config.json", config);
        front.yank().assert_refused(502, why);
        assert_eq!(front.outcome(), None, "no token is spent");
    }
    assert!(front.registry.received().is_empty());
}

/// A file that is meant to name authorities, and names none, is not what the administrator thinks it is.
#[test]
fn a_file_of_no_authorities() {
    let text = "-----BEGIN CERTIFICATE-----\nbm90IERFUg==\n-----END CERTIFICATE-----\n";
    for (content, why) in [
        (Some(""), "there are none"),
        (Some("ca.pem"), "there are none"),
        (Some("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), "there are none"),
        (Some("-----BEGIN CERTIFICATE-----\nAAAA\n"), ""),
        (Some(text), ""),
        (None, ""),
    ] {
        let mut front = Front::new();
        front.gateway.running.take().unwrap().stop();
        let mut config = front.gateway.config.clone();
        let file = front.gateway.folder.path().join("ca.pem");
        if let Some(content) = content {
            fs::write(&file, content).unwrap();
        }
        config.upstream.as_mut().unwrap().ca_file = Some(file);
        let error = Gateway::start(config).map(drop).unwrap_err();
        assert!(matches!(error, StartError::Upstream(_)), "{content:?}");
        assert!(error.to_string().contains("ca.pem"), "{content:?}: {error}");
        let cause = error.source().map(ToString::to_string).unwrap_or_default();
        assert!(!cause.is_empty() && cause.contains(why), "{content:?}: {cause}");
    }
}

/// Text that does not get smaller.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

/// A registry that answers before it has the upload, and does not want the rest.
#[test]
fn an_upload_that_is_refused_early() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let registry = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]).unwrap();
        let body = r#"{"errors":[{"detail":"1 MB is the most"}]}"#;
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 413 Payload Too Large\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        stream.write_all(answer.as_bytes()).unwrap();
        // Closed with bytes that nobody read, the connection would take the answer with it.
        let _ = io::copy(&mut stream, &mut io::sink());
    });
    let front = Front::with(|config| {
        let upstream = config.upstream.as_mut().unwrap();
        (upstream.api, upstream.dl) = (Some(url.clone()), Some(url));
    });
    let manifest = b"[package]\nname = \"hello\"\nversion = \"1.0.0\"\nedition = \"2024\"\n";
    let noise = noise(8 << 20);
    let entries = [("Cargo.toml", &manifest[..]), ("noise", &noise)];
    let file = crate::common::crate_file("hello", "1.0.0", &entries);
    let json = serde_json::json!({ "name": "hello", "vers": "1.0.0" });
    front
        .gateway
        .publish(&Upload::of("hello", "1.0.0", &json, &file))
        .assert_refused(413, "1 MB is the most");
    assert_eq!(front.outcome().as_deref(), Some("refused"));
    registry.join().unwrap();
}

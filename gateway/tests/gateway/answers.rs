//! What a registry behind may answer, and what cargo gets of it.
#![cfg(unix)]

use std::io::Write as _;
use std::sync::Arc;

use asymmetric_token::Mutation;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use registry_gateway::config::Owners;
use serde_json::json;

use crate::common::bearer_registry::{BearerRegistry, Say};
use crate::common::front::{ALICES, Front};
use crate::common::{Fixture, Response, Upload, gzip};

const INDEX_FILE: &str = "GET /index/he/ll/hello";
const DOWNLOAD: &str = "/api/v1/crates/hello/1.0.0/download";
const YANK: &str = "DELETE /api/v1/crates/hello/1.0.0/yank";
const NEW: &str = "PUT /api/v1/crates/new";

fn with(fields: &[(&'static str, &str)], body: impl Into<Vec<u8>>) -> Say {
    let fields = fields.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Say::Answer("200 OK", fields, body.into())
}

fn encoded(coding: &str, body: impl Into<Vec<u8>>) -> Say {
    with(&[("Content-Encoding", coding), ("ETag", "\"a\"")], body)
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn to(status: &'static str, location: &str) -> Say {
    Say::Answer(status, vec![("Location", location.to_owned())], Vec::new())
}

/// Whole, however it is framed.
fn get(front: &Front, path: &str) -> Response {
    let token = front.gateway.read_token();
    let header = format!("GET {path} HTTP/1.0\r\nHost: x\r\nAuthorization: {token}\r\n\r\n");
    front.gateway.raw(&header, b"")
}

fn open_changes(front: &Front) -> usize {
    front.gateway.running().store().open_intents().unwrap().len()
}

#[test]
fn codings_that_nobody_asked_for() {
    let front = Front::new();
    // Long enough to come in many pieces, and to be passed on as it comes.
    let lines: Vec<u8> =
        (0..20_000_u32).flat_map(|n| format!("{{\"vers\":\"{n}.0.0\"}}\n").into_bytes()).collect();
    for body in [&b"{}\n"[..], b"", &lines] {
        let halves = body.split_at(body.len() / 2);
        let members = [gzip(halves.0), gzip(halves.1)].concat();
        for (coding, encoded_body) in [
            ("identity", body.to_vec()),
            ("gzip", gzip(body)),
            ("GZip", gzip(body)),
            ("x-gzip", gzip(body)),
            ("gzip", members),
            ("deflate", zlib(body)),
        ] {
            front.registry.on(INDEX_FILE, encoded(coding, encoded_body));
            let found = get(&front, "/index/he/ll/hello");
            found.assert_ok();
            assert!(found.body == body, "{coding}: {} of {} bytes", found.body.len(), body.len());
            assert_eq!((found.field("content-encoding"), found.field("etag")), (None, Some("\"a\"")));
        }
    }
    assert!(front.registry.received().iter().all(|sent| sent.field("accept-encoding") == Some("identity")));
    let file = b"a crate file".to_vec();
    front.registry.on("GET /dl/hello/1.0.0/download", encoded("gzip", gzip(&file)));
    assert_eq!(get(&front, DOWNLOAD).body, file);
    front.registry.on(
        INDEX_FILE,
        Say::Answer("304 Not Modified", vec![("Content-Encoding", "gzip".to_owned())], vec![]),
    );
    assert_eq!(get(&front, "/index/he/ll/hello").status, 304);
}

#[test]
fn codings_that_cannot_be_undone() {
    let front = Front::new();
    for coding in ["br", "zstd", "gzip, gzip", "compress", "\u{1}"] {
        front.registry.on(INDEX_FILE, encoded(coding, gzip(b"{}")));
        let why = if coding == "\u{1}" { "" } else { "which was not requested" };
        get(&front, "/index/he/ll/hello").assert_refused(502, why);
    }
    // A status needs no body to be understood.
    for coding in ["br", "gzip, gzip"] {
        let fields = || vec![("Content-Encoding", coding.to_owned())];
        front.registry.on(YANK, Say::Answer("403 Forbidden", fields(), b"?".to_vec()));
        front.yank().assert_refused(403, "the registry behind this gateway refuses");
        front.registry.on(INDEX_FILE, Say::Answer("404 Not Found", fields(), b"?".to_vec()));
        get(&front, "/index/he/ll/hello").assert_refused(404, "nothing here");
    }
    assert_eq!(open_changes(&front), 0);
    let whole = gzip(b"{}\n");
    for half in [&whole[..whole.len() - 1], &whole[..5], b"no gzip"] {
        front.registry.on(INDEX_FILE, encoded("gzip", half));
        get(&front, "/index/he/ll/hello").assert_refused(502, "broke");
    }
    // What is long is begun before it is seen to be broken; it has no end then.
    let mut long = gzip(&b"{}\n".repeat(100_000));
    long.pop();
    front.registry.on(INDEX_FILE, encoded("gzip", long));
    let found = front.gateway.get("/index/he/ll/hello");
    assert_eq!(found.field("transfer-encoding"), Some("chunked"));
    assert!(!found.text().ends_with("0\r\n\r\n"));
}

/// What the gateway reads itself, it reads as cargo would.
#[test]
fn what_is_read_here_is_decoded_too() {
    let front = Front::new();
    let config = json!({ "dl": format!("{}/dl", front.registry.url()), "api": front.registry.url() });
    front.registry.on("GET /index/config.json", encoded("gzip", gzip(config.to_string().as_bytes())));
    let warnings = json!({ "warnings": { "other": ["it was gzipped"] } }).to_string();
    front.registry.on(NEW, encoded("gzip", gzip(warnings.as_bytes())));
    let answer = front.gateway.publish(&Upload::new("hello", "1.0.0"));
    assert_eq!(answer.json()["warnings"]["other"], json!(["it was gzipped"]));
    let line = json!({ "name": "hello", "vers": "1.0.0", "cksum": "00".repeat(32), "yanked": true });
    front.registry.on(YANK, Say::HangUp);
    front.registry.on(INDEX_FILE, encoded("gzip", gzip(line.to_string().as_bytes())));
    front.yank().assert_ok();
    let fields = vec![("Content-Encoding", "gzip".to_owned())];
    let no = json!({ "errors": [{ "detail": "not you" }] }).to_string();
    front.registry.on(YANK, Say::Answer("403 Forbidden", fields, gzip(no.as_bytes())));
    front.yank().assert_refused(403, "not you");
}

#[test]
fn the_registry_moves_within_itself() {
    for status in [
        "301 Moved Permanently",
        "302 Found",
        "303 See Other",
        "307 Temporary Redirect",
        "308 Permanent Redirect",
    ] {
        let front = Front::with(|config| config.owners = Owners::Change);
        let url = front.registry.url();
        let config = json!({ "dl": format!("{url}/dl"), "api": url }).to_string();
        for (asked, location, path, body) in [
            ("GET /index/config.json", "../i2/config.json", "GET /i2/config.json", &*config),
            (INDEX_FILE, "/index2/he/ll/hello?a=%2Bb+c", "GET /index2/he/ll/hello?a=%2Bb+c", "{}\n"),
            ("GET /api/v1/crates?q=a&per_page=10", "/s", "GET /s", "{\"crates\":[]}"),
            (
                "GET /api/v1/crates/hello/owners",
                "owner-list",
                "GET /api/v1/crates/hello/owner-list",
                "{\"users\":[]}",
            ),
            ("GET /dl/hello/1.0.0/download", "/file", "GET /file", "a file"),
        ] {
            front.registry.on(asked, to(status, location));
            front.registry.on(path, Say::ok(body));
        }
        front.registry.on(NEW, Say::ok("{}"));
        assert_eq!(get(&front, "/index/he/ll/hello").text(), "{}\n");
        assert_eq!(get(&front, "/api/v1/crates?q=a").text(), "{\"crates\":[]}");
        assert_eq!(get(&front, DOWNLOAD).text(), "a file");
        let token = front.gateway.token(Mutation::Owners { name: "hello".parse().unwrap() });
        let owners = front.gateway.send("GET", "/api/v1/crates/hello/owners", Some(&token), b"");
        assert_eq!(owners.text(), "{\"users\":[]}");
        front.gateway.publish(&Upload::new("hello", "1.0.0")).assert_ok();
        let received = front.registry.received();
        for request in received.iter().filter(|request| request.path != "/file") {
            assert_eq!(request.field("authorization"), Some(ALICES), "{}", request.path);
        }
        // The condition goes along, and what is answered comes back.
        front.registry.on(
            "GET /index2/he/ll/hello?a=%2Bb+c",
            Say::Ask(Arc::new(|request| match request.field("if-none-match") {
                Some("\"a\"") => Say::Answer("304 Not Modified", vec![], vec![]),
                _ => Say::no("500 Internal Server Error", "no condition"),
            })),
        );
        let header = format!(
            "GET /index/he/ll/hello HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nIf-None-Match: \"a\"\r\nConnection: close\r\n\r\n",
            front.gateway.read_token()
        );
        assert_eq!(front.gateway.raw(&header, b"").status, 304);
    }
}

#[test]
fn the_registry_leads_elsewhere() {
    let (front, elsewhere) = (Front::new(), BearerRegistry::start());
    elsewhere.on("GET /x", Say::ok("evil"));
    let other_server = format!("{}/x", elsewhere.url());
    for (location, why) in [
        (&*other_server, "a redirect to another server, http://127.0.0.1:"),
        ("https://127.0.0.1:1/x", "a redirect to another server, https://127.0.0.1:1;"),
        ("//example.org/x", "a redirect to another server, http://example.org;"),
        ("file:///etc/passwd", "a redirect to another server"),
        ("http://", "a redirect has no usable address"),
        ("/index/he/ll/hello", "too many redirects"),
    ] {
        front.registry.on(INDEX_FILE, to("302 Found", location));
        get(&front, "/index/he/ll/hello").assert_refused(502, why);
    }
    front.registry.on(INDEX_FILE, Say::Answer("302 Found", vec![], vec![]));
    get(&front, "/index/he/ll/hello").assert_refused(502, "a redirect has no usable address");
    assert!(elsewhere.received().is_empty());
}

#[test]
fn what_the_registry_says_of_a_change_goes_on() {
    let front = Front::with(|config| config.owners = Owners::Change);
    let said = json!({ "warnings": {
        "invalid_categories": ["nonsense"], "invalid_badges": ["b"],
        "other": ["will be looked at", "\u{1b}[31mred", "your token alices-upstream-token", 7], "more": ["x"],
    }});
    front.registry.on(NEW, Say::ok(said.to_string()));
    let answer = front.gateway.publish(&Upload::new("hello", "1.0.0"));
    answer.assert_ok();
    let warnings = json!({
        "invalid_categories": ["nonsense"], "invalid_badges": ["b"],
        "other": ["will be looked at", "\\u{1b}[31mred", "your token \u{2026}"],
    });
    assert_eq!(answer.json(), json!({ "warnings": warnings }));

    let none = json!({ "warnings": { "invalid_categories": [], "invalid_badges": [], "other": [] } });
    for (n, nothing) in
        ["", "[]", "{}", "{\"warnings\":null}", "{\"warnings\":{\"other\":\"x\"}}", " "].iter().enumerate()
    {
        front.registry.on(NEW, Say::ok(*nothing));
        let answer = front.gateway.publish(&Upload::new("hello", &format!("1.0.{}", n + 1)));
        answer.assert_ok();
        assert_eq!(answer.json(), none, "{nothing}");
    }
    let endless = json!({ "warnings": { "other": vec!["x".repeat(10_000); 1000] } });
    front.registry.on(NEW, Say::ok(endless.to_string()));
    let answer = front.gateway.publish(&Upload::new("hello", "2.0.0"));
    assert!(answer.body.len() < 10_000, "{}", answer.body.len());

    let invited = json!({ "ok": true, "msg": "user bob has been invited\u{7}" }).to_string();
    front.registry.on("PUT /api/v1/crates/hello/owners", Say::ok(invited));
    let token = front.gateway.token(Mutation::Owners { name: "hello".parse().unwrap() });
    let bob = br#"{"users":["bob"]}"#;
    let answer = front.gateway.send("PUT", "/api/v1/crates/hello/owners", Some(&token), bob);
    assert_eq!(answer.json(), json!({ "ok": true, "msg": "user bob has been invited\\u{7}" }));
}

#[test]
fn a_change_that_was_not_made_by_its_own_word() {
    let front = Front::new();
    front.registry.on(YANK, Say::ok(r#"{"ok":false,"msg":"frozen"}"#));
    front.yank().assert_refused(422, "frozen");
    front.registry.on(YANK, Say::ok(r#"{"ok":false}"#));
    front.yank().assert_refused(422, "the change was not made");
    for (answer, words) in [
        (r#"{"errors":[]}"#, "the change was not made"),
        (r#"{"errors":[{"detail":""}]}"#, "the change was not made"),
        (r#"{"errors":[{"message":"denied"}],"ok":true}"#, "denied"),
        (r#"{"errors":["name taken"]}"#, "name taken"),
        (r#"{"errors":{"detail":"frozen"}}"#, "frozen"),
        (r#"{"error":"denied","ok":true}"#, "denied"),
        (r#"{"error":{"code":1,"message":"denied"}}"#, "denied"),
        (r#"{"error":true}"#, "the change was not made"),
        (r#"{"success":false,"errors":null,"message":"later"}"#, "later"),
    ] {
        front.registry.on(YANK, Say::ok(answer));
        front.yank().assert_refused(422, words);
    }
    assert_eq!((front.outcome().as_deref(), open_changes(&front)), (Some("refused"), 0));
    for answer in [
        r#"{"errors":null,"error":null,"ok":null}"#,
        r#"{"error":false,"success":true}"#,
        r#"{"warnings":{}}"#,
        "[]",
        "null",
        "",
    ] {
        front.registry.on(YANK, Say::ok(answer));
        front.yank().assert_ok();
    }
}

/// A proxy that wants people to log in shows them a page, with 200. Cargo would not take it for an answer either.
#[test]
fn a_page_is_no_answer_to_a_change() {
    let front = Front::new();
    let unclear = [r#"{"ok":"false"}"#, r#"{"success":0}"#, r#"{"errors":{}}"#, r#"{"error":""}"#];
    for page in ["<p>Log in</p>", "ok", "{\"ok\":true"].into_iter().chain(unclear) {
        let upload = Upload::new("hello", "1.0.0");
        front.registry.on(NEW, Say::ok(page));
        front.registry.on(INDEX_FILE, Say::no("404 Not Found", "no such crate"));
        let how = if unclear.contains(&page) { "but not whether it was made" } else { "but not in JSON" };
        front.gateway.publish(&upload).assert_refused(502, how);
        let published = front.gateway.running().store().published(None).unwrap();
        assert!(published.is_empty(), "{page}: {published:?}");
        let line = json!({ "name": "hello", "vers": "1.0.0", "cksum": "00".repeat(32), "yanked": true });
        front.registry.on(YANK, Say::ok(page));
        front.registry.on(INDEX_FILE, Say::ok(line.to_string()));
        front.yank().assert_ok();
        assert_eq!(front.outcome().as_deref(), Some("done"), "{page}");
    }
    assert_eq!(open_changes(&front), 7);
}

/// With 4xx a server says that it did nothing, and it is known what became of the change.
#[test]
fn every_status_of_a_change() {
    let front = Front::new();
    for status in (400..500).chain([501, 505]) {
        let body = r#"{"errors":[{"detail":"its words"}]}"#;
        let length = body.len();
        let answer = format!("HTTP/1.1 {status} Its Reason\r\nContent-Length: {length}\r\n\r\n{body}");
        front.registry.on(YANK, Say::Bytes(answer.into_bytes()));
        let refused = front.yank();
        match status {
            401 => refused.assert_refused(502, "refuses the credential"),
            // To these curl would answer by itself.
            407 | 408 | 417 | 421 | 425 | 426 | 501 | 505 => {
                refused.assert_refused(502, "its words; nothing was changed");
            }
            _ => refused.assert_refused(status, "its words"),
        }
        let outcome = front.outcome();
        assert!(matches!(outcome.as_deref(), Some("refused" | "failed")), "{status}: {outcome:?}");
        assert_eq!(open_changes(&front), 0, "{status}");
    }
    for status in ["301 Moved Permanently", "307 Temporary Redirect", "308 Permanent Redirect"] {
        front.registry.on(YANK, to(status, "https://crates.example/x"));
        front.yank().assert_refused(502, "it leads to `https://crates.example/x`, where no change is sent");
        assert_eq!((front.outcome().as_deref(), open_changes(&front)), (Some("failed"), 0), "{status}");
    }
    for (n, status) in [500, 502, 503, 504, 507, 599, 302].into_iter().enumerate() {
        let answer = format!("HTTP/1.1 {status} Its Reason\r\nContent-Length: 0\r\n\r\n");
        front.registry.on(YANK, Say::Bytes(answer.into_bytes()));
        assert_eq!(front.yank().status, 502, "{status}");
        assert_eq!(open_changes(&front), n + 1, "{status}");
    }
}

/// A registry that takes a publish without a Content-Type only, as some do.
#[test]
fn a_publish_has_no_content_type() {
    let front = Front::new();
    front.registry.on(
        NEW,
        Say::Ask(Arc::new(|request| match request.field("content-type") {
            None => Say::ok("{}"),
            Some(_) => Say::no("415 Unsupported Media Type", "no"),
        })),
    );
    front.gateway.publish(&Upload::new("hello", "1.0.0")).assert_ok();
}

/// Not every registry writes its reasons as the Cargo book has it.
#[test]
fn the_words_of_a_refusal() {
    let front = Front::new();
    for (body, words) in [
        (r#"{"errors":[{"detail":"a"},{"detail":"b"}]}"#, "a; b"),
        (r#"{"errors":[{"status":403,"message":"forbidden by policy"}]}"#, "forbidden by policy"),
        (r#"{"detail":"Unsupported media type"}"#, "Unsupported media type"),
        (r#"{"message":"token lacks scope"}"#, "token lacks scope"),
        (r#"{"error":"alices-upstream-token is read-only"}"#, "\u{2026} is read-only"),
        ("<html>413</html>", "the registry behind this gateway refuses (403 Forbidden)"),
        ("", "the registry behind this gateway refuses (403 Forbidden)"),
    ] {
        front.registry.on(YANK, Say::Answer("403 Forbidden", vec![], body.into()));
        let refused = front.yank();
        refused.assert_refused(403, "");
        assert_eq!(refused.detail(), words);
    }
}

#[test]
fn when_to_ask_again_goes_on() {
    let front = Front::new();
    let date = "Fri, 20 Nov 2026 10:00:00 GMT";
    for (status, value, answered, expected) in [
        ("429 Too Many Requests", "7", 429, Some("7")),
        ("503 Service Unavailable", date, 502, Some(date)),
        ("403 Forbidden", "7", 403, Some("7")),
        ("429 Too Many Requests", &*"7".repeat(99), 429, None),
    ] {
        let say = || Say::Answer(status, vec![("Retry-After", value.to_owned())], Vec::new());
        for request in [INDEX_FILE, YANK, "GET /dl/hello/1.0.0/download"] {
            front.registry.on(request, say());
        }
        for answer in [get(&front, "/index/he/ll/hello"), get(&front, DOWNLOAD), front.yank()] {
            assert_eq!((answer.status, answer.field("retry-after")), (answered, expected), "{status}");
        }
    }
}

/// A name in a refusal is anybody's, and goes to the log too.
#[test]
fn a_refusal_has_the_beginning_of_what_is_wrong() {
    let fixture = Fixture::new();
    let body = format!("{{\"{}", "\u{202E}x".repeat(50_000) + "\":1}");
    let answer = fixture.send("POST", "/api/v1/enroll", None, body.as_bytes());
    answer.assert_refused(400, "unknown field `\\u{202e}x");
    assert!(answer.detail().len() < 10_000 && answer.detail().ends_with('…'), "{}", answer.detail().len());
}

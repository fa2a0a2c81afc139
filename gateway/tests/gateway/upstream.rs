//! In front of a registry that takes bearer tokens.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use asymmetric_token::{Claims, Mutation};
use jiff::Timestamp;
use registry_gateway::config::{Owners, Reads};
use registry_gateway::record;
use serde_json::json;

use crate::common::bearer_registry::{BearerRegistry, Received, Say};
use crate::common::front::{ALICES, BOBS, Front};
use crate::common::{Response, SoftwareKey, Upload};

/// JSON and crate file of a publish body.
fn parts(body: &[u8]) -> (serde_json::Value, &[u8]) {
    let length = |at: usize| u32::from_le_bytes(body[at..at + 4].try_into().unwrap()) as usize;
    let json = length(0);
    assert_eq!(body.len(), 8 + json + length(4 + json));
    (serde_json::from_slice(&body[4..4 + json]).unwrap(), &body[8 + json..])
}

#[test]
fn a_publish_goes_on_rebuilt_and_with_the_users_own_credential() {
    let front = Front::new();
    front.registry.on("PUT /api/v1/crates/new", Say::ok("{}"));
    let manifest = "[package]\nname = \"hello\"\nversion = \"1.0.0\"\n[dependencies]\nserde = \"1\"\n";
    let sent = json!({
        "name": "hello", "vers": "1.0.0", "from_a_newer_cargo": true,
        "deps": [{ "name": "serde", "version_req": "1", "registry": "https://github.com/rust-lang/crates.io-index" }],
    });
    let upload = Upload::with_manifest("hello", "1.0.0", manifest, &sent);
    let answer = front.gateway.publish(&upload);
    answer.assert_ok();
    assert!(answer.field("x-audit").is_some_and(|mark| mark.starts_with("7:")), "{}", answer.header);
    let received = front.registry.received();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].field("authorization"), Some(ALICES));
    assert!(!received[0].header.contains("v3.public"), "{}", received[0].header);
    let (json, file) = parts(&received[0].body);
    assert_eq!(file, upload.file);
    assert_eq!(json["from_a_newer_cargo"], json!(null));
    assert_eq!(json["deps"][0]["version_req"], "^1");
    assert_eq!(json["deps"][0]["default_features"], true);
    assert_eq!(front.outcome().as_deref(), Some("done"));

    // The file is in the registry behind; that it is not here is no contradiction.
    let store = front.gateway.running().store();
    let records = store.published(None).unwrap();
    let checked = record::check(store, &records[0]).unwrap();
    assert_eq!((checked.key.user.as_str(), checked.file), ("alice", None));
}

#[test]
fn what_the_registry_behind_is_to_blame_for_is_counted() {
    let front = Front::with(|config| config.metrics = Some("127.0.0.1:0".parse().unwrap()));
    let get = || front.gateway.get("/index/he/ll/hello").status;
    for (say, status) in [
        (Say::no("401 Unauthorized", "bad token"), 502),
        (Say::HangUp, 502),
        (Say::no("500 Internal Server Error", ""), 502),
        (Say::no("404 Not Found", ""), 404),
    ] {
        front.registry.on("GET /index/he/ll/hello", say);
        assert_eq!(get(), status);
    }
    let carol = SoftwareKey::new(9);
    front.gateway.add_key(&carol, "carol", registry_gateway::keys::Role::Both);
    let token = carol.token(front.gateway.url(), &Claims::read(Timestamp::now()));
    assert_eq!(front.gateway.send("GET", "/index/he/ll/hello", Some(&token), b"").status, 502);
    front.registry.on("DELETE /api/v1/crates/hello/1.0.0/yank", Say::HangUp);
    assert_eq!(front.yank().status, 502);

    let mut operators = TcpStream::connect(front.gateway.running().metrics_address().unwrap()).unwrap();
    operators.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let text = Response::read(operators).text();
    for line in [
        "registry_gateway_behind_failures_total{reason=\"unreachable\"} 0",
        "registry_gateway_behind_failures_total{reason=\"credential\"} 2",
        "registry_gateway_behind_failures_total{reason=\"failed\"} 3",
        "registry_gateway_changes_open 1",
    ] {
        assert!(text.lines().any(|found| found == line), "no {line:?} in\n{text}");
    }
}

#[test]
fn each_user_has_a_credential() {
    let front = Front::new();
    front.registry.on("GET /index/he/ll/hello", Say::ok("{}"));
    front.gateway.get("/index/he/ll/hello").assert_ok();
    let token = front.gateway.bob.token(front.gateway.url(), &Claims::read(Timestamp::now()));
    front.gateway.send("GET", "/index/he/ll/hello", Some(&token), b"").assert_ok();
    let credentials: Vec<_> = front
        .registry
        .received()
        .iter()
        .map(|request| request.field("authorization").unwrap().to_owned())
        .collect();
    assert_eq!(credentials, [ALICES, BOBS]);
}

#[test]
fn without_a_credential_nothing_is_asked_and_no_token_spent() {
    let front = Front::new();
    let carol = SoftwareKey::new(9);
    front.gateway.add_key(&carol, "carol", registry_gateway::keys::Role::Both);
    let mutation = Mutation::Yank { name: "hello".parse().unwrap(), version: "1.0.0".parse().unwrap() };
    let token = carol.token(front.gateway.url(), &Claims::mutate(Timestamp::now(), mutation));
    let yank = || front.gateway.send("DELETE", "/api/v1/crates/hello/1.0.0/yank", Some(&token), b"");
    yank().assert_refused(502, "no credential for carol");
    assert!(front.registry.received().is_empty());
    front.registry.on("DELETE /api/v1/crates/hello/1.0.0/yank", Say::ok(r#"{"ok":true}"#));
    front.set_credential("carol", "carols");
    yank().assert_ok();
    yank().assert_refused(401, "used before");
}

/// Nothing of a request's header goes on, but the conditions of a read.
#[test]
fn hop_by_hop_fields_end_here() {
    let front = Front::new();
    front.registry.on("GET /index/he/ll/hello", Say::ok("{}"));
    let header = format!(
        "GET /index/he/ll/hello HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nConnection: Upgrade, HTTP2-Settings, close\r\n\
         Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\nCookie: a=b\r\nX-Forwarded-For: 1.2.3.4\r\n\
         Accept-Encoding: gzip\r\nIf-None-Match: \"x\"\r\n\r\n",
        front.gateway.read_token()
    );
    front.gateway.raw(&header, b"").assert_ok();
    let header = front.registry.received()[0].header.to_lowercase();
    for field in ["upgrade", "http2", "cookie", "forwarded", "gzip", "v3.public"] {
        assert!(!header.contains(field), "{header}");
    }
    assert!(header.contains("if-none-match: \"x\""), "{header}");
}

#[test]
fn the_index_is_passed_through() {
    let front = Front::new();
    let fields = vec![
        ("ETag", "\"tag\"".to_owned()),
        ("Last-Modified", "Fri, 20 Nov 2026 10:00:00 GMT".to_owned()),
        ("Set-Cookie", "session=1".to_owned()),
        ("WWW-Authenticate", "Basic".to_owned()),
        ("Cache-Control", "public, max-age=600".to_owned()),
    ];
    let get = || front.gateway.get("/index/he/ll/hello");
    front
        .registry
        .on("GET /index/he/ll/hello", Say::Answer("200 OK", fields.clone(), b"{\"a\":1}\n".to_vec()));
    let found = get();
    found.assert_ok();
    assert_eq!(found.text(), "{\"a\":1}\n");
    assert_eq!((found.field("etag"), found.field("set-cookie")), (Some("\"tag\""), None));
    assert_eq!(found.field("last-modified"), Some("Fri, 20 Nov 2026 10:00:00 GMT"));
    assert_eq!((found.field("www-authenticate"), found.field("cache-control")), (None, None));
    front.registry.on("GET /index/he/ll/hello", Say::Answer("304 Not Modified", fields, Vec::new()));
    assert_eq!(get().status, 304);
    for (status, expected) in
        [("404 Not Found", 404), ("410 Gone", 410), ("451 Unavailable For Legal Reasons", 451)]
    {
        front.registry.on("GET /index/he/ll/hello", Say::no(status, "not here"));
        get().assert_refused(expected, "not here");
    }
    front
        .registry
        .on("GET /index/he/ll/hello", Say::Answer("302 Found", vec![("Location", "/x".to_owned())], vec![]));
    get().assert_refused(404, "no such thing");
    front.registry.on("GET /index/he/ll/hello", Say::Answer("300 Multiple Choices", vec![], vec![]));
    get().assert_refused(502, "300");
}

#[test]
fn the_config_is_ours() {
    let front = Front::new();
    let config = front.gateway.get("/index/config.json").json();
    let ours = front.gateway.running().base_url().to_owned();
    assert_eq!(config["api"], json!(ours));
    assert_eq!(config["dl"], json!(format!("{ours}/api/v1/crates")));
    assert_eq!(config["auth-required"], true);
    assert_eq!(config["asymmetric"]["window"], 900);
}

#[test]
fn a_download_is_followed_here_and_the_credential_stays() {
    let front = Front::new();
    let elsewhere = BearerRegistry::start();
    let path = "GET /dl/hello/1.0.0/download";
    let get = || front.gateway.get("/api/v1/crates/hello/1.0.0/download");
    front.registry.on(path, Say::ok("the file"));
    assert_eq!(get().text(), "the file");
    assert_eq!(front.registry.received()[0].field("authorization"), Some(ALICES));

    let to = |url: String| Say::Answer("302 Found", vec![("Location", url)], Vec::new());
    front.registry.on(path, to("/files/hello".to_owned()));
    front.registry.on("GET /files/hello", Say::ok("the other file"));
    assert_eq!(get().text(), "the other file");
    // A third host would have to be https; over plain HTTP nothing is asked there at all.
    elsewhere.on("GET /hello", Say::ok("evil"));
    front.registry.on(path, to(format!("{}/hello", elsewhere.url())));
    get().assert_refused(502, "a redirect has no usable address");
    assert!(elsewhere.received().is_empty());
    front.registry.on(path, to("/dl/hello/1.0.0/download".to_owned()));
    get().assert_refused(502, "too many redirects");
    for request in front.registry.received().iter().filter(|request| request.path == "/files/hello") {
        assert_eq!(request.field("authorization"), None);
    }
}

/// Whoever can write `config.json` cannot send credentials where he likes; the gateway's own configuration can.
#[test]
fn downloads_at_another_origin() {
    let elsewhere = BearerRegistry::start();
    elsewhere.on("GET /dl/hello/1.0.0/download", Say::ok("the file"));
    let dl = format!("{}/dl", elsewhere.url());
    let get = |front: &Front| front.gateway.get("/api/v1/crates/hello/1.0.0/download");
    let front = Front::new();
    let config = json!({ "dl": dl, "api": front.registry.url() });
    front.registry.on("GET /index/config.json", Say::ok(config.to_string()));
    get(&front).assert_refused(502, "downloads are elsewhere, over plain HTTP");
    assert!(elsewhere.received().is_empty());
    let front = Front::with(|config| config.upstream.as_mut().unwrap().dl = Some(dl));
    assert_eq!(get(&front).text(), "the file");
    assert_eq!(elsewhere.received()[0].field("authorization"), Some(ALICES));
}

/// Each has a whole index file in memory, which may have 64 MiB.
#[test]
fn downloads_that_need_a_checksum_take_turns() {
    const AT_ONCE: usize = 8;
    let front = Front::new();
    let registry = front.registry.url();
    let config = json!({ "dl": format!("{registry}/{{sha256-checksum}}"), "api": registry });
    front.registry.on("GET /index/config.json", Say::ok(config.to_string()));
    let (asked, most) = (Arc::new((Mutex::new(0), Condvar::new())), Arc::new(AtomicUsize::new(0)));
    let (seen, line) = (most.clone(), json!({ "vers": "1.0.0", "cksum": "0".repeat(64) }).to_string());
    let answer = move |_: &Received| {
        let (count, changed) = &*asked;
        let mut now = count.lock().unwrap();
        *now += 1;
        changed.notify_all();
        seen.fetch_max(*now, Ordering::SeqCst);
        // One more than may come at once does not come, or it is seen.
        let patience = Duration::from_millis(300);
        (now, _) = changed.wait_timeout_while(now, patience, |now| *now <= AT_ONCE).unwrap();
        *now -= 1;
        Say::ok(line.clone())
    };
    front.registry.on("GET /index/he/ll/hello", Say::Ask(Arc::new(answer)));
    front.registry.on(&format!("GET /{}", "0".repeat(64)), Say::ok("the file"));
    std::thread::scope(|scope| {
        for _ in 0..2 * AT_ONCE {
            scope.spawn(|| front.gateway.get("/api/v1/crates/hello/1.0.0/download").assert_ok());
        }
    });
    assert!(most.load(Ordering::SeqCst) <= AT_ONCE, "{most:?} index files at once");
}

#[test]
fn refusals_are_told_apart() {
    let front = Front::new();
    let yank = "DELETE /api/v1/crates/hello/1.0.0/yank";
    for (say, status, text, outcome) in [
        (
            Say::no("401 Unauthorized", "bad token"),
            502,
            "refuses the credential that the gateway has for alice",
            "failed",
        ),
        (Say::no("403 Forbidden", "not an owner"), 403, "not an owner", "refused"),
        (Say::no("403 Forbidden", "alices-upstream-token may not"), 403, "\u{2026} may not", "refused"),
        (Say::no("200 OK", "no: alices-upstream-token"), 422, "no: \u{2026}", "refused"),
        (Say::no("404 Not Found", "no such crate"), 404, "no such crate", "refused"),
        (Say::no("409 Conflict", "exists"), 409, "exists", "refused"),
        (Say::no("400 Bad Request", "too big"), 400, "too big", "refused"),
        (Say::no("200 OK", "as older registries say it"), 422, "as older registries say it", "refused"),
    ] {
        front.registry.on(yank, say);
        front.yank().assert_refused(status, text);
        assert_eq!(front.outcome().as_deref(), Some(outcome), "{text}");
    }
    front.registry.on("GET /index/he/ll/hello", Say::no("401 Unauthorized", "bad token"));
    front.gateway.get("/index/he/ll/hello").assert_refused(502, "refuses the credential");
}

#[test]
fn too_slow() {
    let mut front =
        Front::with(|config| config.upstream.as_mut().unwrap().timeout = Duration::from_millis(300));
    front.registry.on("DELETE /api/v1/crates/hello/1.0.0/yank", Say::Silence);
    front.yank().assert_refused(504, "check whether the change was made");
    front.registry.on("DELETE /api/v1/crates/hello/1.0.0/yank", Say::Endless("200 OK"));
    front.yank().assert_refused(504, "check whether the change was made");
    front.registry.on("DELETE /api/v1/crates/hello/1.0.0/yank", Say::Endless("403 Forbidden"));
    front.yank().assert_refused(403, "the registry behind this gateway refuses");
    front.registry.on("GET /index/he/ll/hello", Say::Silence);
    front.gateway.get("/index/he/ll/hello").assert_refused(504, "did not answer in time");
    // Everybody is served; who changes that crate has to wait until the registry tells what came of it.
    front.gateway.restart();
    front.yank().assert_refused(503, "did not answer in time");
    front.registry.on("GET /index/he/ll/hello", Say::no("404 Not Found", ""));
    front.yank().assert_refused(403, "the registry behind this gateway refuses");
    assert!(front.gateway.running().store().open_intents().unwrap().is_empty());
}

#[test]
fn down() {
    let front = Front::with(|config| {
        config.upstream.as_mut().unwrap().index = "http://127.0.0.1:9/index/".to_owned();
    });
    front.yank().assert_refused(502, "cannot be reached");
    assert_eq!(front.outcome(), None, "no token is spent");
    front.gateway.get("/index/he/ll/hello").assert_refused(502, "cannot be reached");
}

#[test]
fn an_api_elsewhere_gets_no_credential() {
    let front = Front::new();
    let elsewhere = BearerRegistry::start();
    let config = format!(r#"{{"dl":"{0}/dl","api":"{0}"}}"#, elsewhere.url());
    front.registry.on("GET /index/config.json", Say::ok(config));
    front.yank().assert_refused(502, "set `api` in the gateway's [upstream]");
    front.gateway.get("/api/v1/crates/hello/1.0.0/download").assert_refused(502, "its config.json");
    assert!(elsewhere.received().is_empty());
}

#[test]
fn a_dependency_past_the_gateway() {
    let front = Front::new();
    let url = front.registry.url();
    for direct in [
        format!("sparse+{url}/index/"),
        format!("SPARSE+{}/x/..//%69ndex?x", url.replace("127.0.0.1", "u@127.1")),
        "sparse+https://old.example.org/".to_owned(),
        "sparse+HTTPS://old.example.org:443".to_owned(),
    ] {
        let manifest = format!(
            "[package]\nname = \"hello\"\nversion = \"1.0.0\"\n[dependencies]\nserde = {{ version = \"1\", registry-index = \"{direct}\" }}\n"
        );
        let sent = json!({
            "name": "hello", "vers": "1.0.0",
            "deps": [{ "name": "serde", "version_req": "^1", "registry": direct }],
        });
        let upload = Upload::with_manifest("hello", "1.0.0", &manifest, &sent);
        front.gateway.publish(&upload).assert_refused(422, "by that one's own address");
    }
    assert!(front.registry.received().is_empty());
}

#[test]
fn search_goes_on_in_a_query_of_our_own() {
    let front = Front::new();
    front.registry.on("GET /api/v1/crates?q=a%26b+c&per_page=100", Say::ok(r#"{"crates":[]}"#));
    let found = front.gateway.get("/api/v1/crates?q=a%26b%20c&per_page=500&session=x");
    assert_eq!(found.text(), r#"{"crates":[]}"#);
}

#[test]
fn owners_are_listed_and_changed_only_where_that_is_allowed() {
    let path = "/api/v1/crates/hello/owners";
    let body = br#"{"users":["carol"]}"#;
    let token = |front: &Front| front.gateway.token(Mutation::Owners { name: "hello".parse().unwrap() });
    let front = Front::new();
    front.registry.on("GET /api/v1/crates/hello/owners", Say::ok(r#"{"users":[]}"#));
    assert_eq!(front.gateway.send("GET", path, Some(&token(&front)), b"").text(), r#"{"users":[]}"#);
    front.gateway.send("PUT", path, Some(&token(&front)), body).assert_refused(403, "owners are not changed");

    let front = Front::with(|config| config.owners = Owners::Change);
    front.registry.on("PUT /api/v1/crates/hello/owners", Say::ok(r#"{"ok":true}"#));
    front.registry.on("DELETE /api/v1/crates/hello/owners", Say::ok(r#"{"ok":true}"#));
    let one = token(&front);
    front.gateway.send("PUT", path, Some(&one), body).assert_ok();
    front.gateway.send("PUT", path, Some(&one), body).assert_refused(401, "used before");
    // Cargo sends the same token on its second request.
    front.gateway.send("DELETE", path, Some(&one), body).assert_ok();
    for wrong in [
        &br#"{"users":["a"],"Users":["b"]}"#[..],
        br#"{"users":[]}"#,
        br#"{"users":["a"]} {}"#,
        br#"{"users":["\u0007"]}"#,
    ] {
        front
            .gateway
            .send("PUT", path, Some(&token(&front)), wrong)
            .assert_refused(400, "a change of owners is");
    }
    let many = json!({ "users": vec!["somebody"; 2000] }).to_string();
    front
        .gateway
        .send("PUT", path, Some(&token(&front)), many.as_bytes())
        .assert_refused(413, "the list of owners has");
    let received = front.registry.received();
    assert_eq!(received.len(), 2);
    assert!(received.iter().all(|request| request.body == body));
}

#[test]
fn reads_that_bypass_the_gateway() {
    let front = Front::with(|config| {
        config.reads = Reads::Bypass;
        let upstream = config.upstream.as_mut().unwrap();
        config.index_url = Some(format!("sparse+{}", upstream.index));
        upstream.dl = Some("https://cdn.example.org/dl".to_owned());
    });
    assert_eq!(front.gateway.url(), format!("sparse+{}/index/", front.registry.url()));
    let config = front.gateway.send("GET", "/index/config.json", None, b"").json();
    assert_eq!(config["dl"], "https://cdn.example.org/dl");
    assert_eq!(config["api"], json!(front.gateway.running().base_url()));
    assert_eq!(config["auth-required"], json!(null));
    front.gateway.get("/index/he/ll/hello").assert_refused(404, "nothing here");
    front.gateway.get("/api/v1/crates/hello/1.0.0/download").assert_refused(404, "nothing here");
    front.registry.on("DELETE /api/v1/crates/hello/1.0.0/yank", Say::ok("{}"));
    front.yank().assert_ok();
    // What cargo and `yk-cargo verify` ask of the API, they ask here, and without a token.
    front.registry.on("GET /api/v1/crates?q=hello&per_page=10", Say::ok("found"));
    let ask = |path| front.gateway.send("GET", path, None, b"");
    assert_eq!(ask("/api/v1/crates?q=hello").text(), "found");
    assert_eq!(front.registry.received().last().unwrap().field("authorization"), None);
    let upload = Upload::new("hello", "1.0.0");
    front.registry.on("PUT /api/v1/crates/new", Say::ok("{}"));
    front.gateway.publish(&upload).assert_ok();
    assert_eq!(ask("/api/v1/crates/hello/1.0.0/proof").json()["name"], "hello");
}

/// A registry that moves behind the gateway keeps its index URL.
#[test]
fn the_index_at_a_path_of_its_own() {
    let front = Front::with(|config| {
        config.url = Some("https://crates.example.org".to_owned());
        config.index_url = Some("sparse+https://crates.example.org/api/v1/crates/".to_owned());
    });
    assert_eq!(front.gateway.url(), "sparse+https://crates.example.org/api/v1/crates/");
    front.registry.on("GET /index/he/ll/hello", Say::ok("{}"));
    front.gateway.get("/api/v1/crates/he/ll/hello").assert_ok();
    assert_eq!(front.gateway.get("/api/v1/crates/config.json").json()["api"], "https://crates.example.org");
    front.gateway.get("/index/he/ll/hello").assert_refused(404, "nothing here");
}

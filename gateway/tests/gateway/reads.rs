//! Index, downloads, search, and paths that have two readings.

use std::io::{Read as _, Write as _};
use std::thread;

use asymmetric_token::Mutation;
use registry_gateway::audit::Point;
use registry_gateway::config::Reads;
use serde_json::json;

use crate::common::{Fixture, Response, Upload, store};

fn with_header(fixture: &Fixture, path: &str, field: &str) -> Response {
    let token = fixture.read_token();
    let header = format!(
        "GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n{field}\r\nConnection: close\r\n\r\n"
    );
    fixture.raw(&header, b"")
}

#[test]
fn the_configuration() {
    let fixture = Fixture::with(|config| {
        config.url = Some("https://crates.example/".to_owned());
        config.window = std::time::Duration::from_secs(120);
    });
    assert_eq!(fixture.url(), "sparse+https://crates.example/index/");
    let config = fixture.get("/index/config.json");
    assert_eq!(
        config.json(),
        json!({
            "dl": "https://crates.example/api/v1/crates",
            "api": "https://crates.example",
            "auth-required": true,
            "asymmetric": { "window": 120 },
        })
    );
}

#[test]
fn an_open_registry_reads_without_a_token_and_changes_with_one() {
    let fixture = Fixture::with(|config| config.reads = Reads::Open);
    let upload = Upload::new("hello", "1.0.0");
    fixture.publish(&upload).assert_ok();
    let anonymous = |path: &str| fixture.send("GET", path, None, b"");
    assert_eq!(anonymous("/index/config.json").json().get("auth-required"), None);
    for path in ["/index/he/ll/hello", "/api/v1/crates/hello/1.0.0/download", "/api/v1/crates?q=hello"] {
        anonymous(path).assert_ok();
    }
    fixture.send("PUT", "/api/v1/crates/new", None, &upload.body()).assert_refused(401, "needs a token");
    fixture.send("DELETE", "/api/v1/crates/hello/1.0.0/yank", None, b"").assert_refused(401, "needs a token");
    anonymous("/api/v1/crates/hello/owners").assert_refused(401, "needs a token");
}

#[test]
fn nothing_is_read_without_a_token_elsewhere() {
    let fixture = Fixture::new();
    fixture.publish(&Upload::new("hello", "1.0.0")).assert_ok();
    for path in [
        "/index/config.json",
        "/index/he/ll/hello",
        "/index/no/ne/none",
        "/api/v1/crates/hello/1.0.0/download",
        "/api/v1/crates?q=hello",
    ] {
        fixture.send("GET", path, None, b"").assert_refused(401, "needs a token");
        fixture.get(path);
    }
}

#[test]
fn an_index_file_is_sent_once() {
    let fixture = Fixture::new();
    fixture.publish(&Upload::new("hello", "1.0.0")).assert_ok();
    let first = fixture.get("/index/he/ll/hello");
    first.assert_ok();
    let tag = first.field("etag").unwrap();
    let again = with_header(&fixture, "/index/he/ll/hello", &format!("If-None-Match: {tag}"));
    assert_eq!((again.status, again.body.len()), (304, 0));
    fixture.publish(&Upload::new("hello", "1.0.1")).assert_ok();
    let changed = with_header(&fixture, "/index/he/ll/hello", &format!("If-None-Match: {tag}"));
    changed.assert_ok();
    assert_eq!(changed.text().lines().count(), 2);
}

#[test]
fn a_date_is_given_once_it_cannot_be_ambiguous() {
    let fixture = Fixture::new();
    fixture.publish(&Upload::new("hello", "1.0.0")).assert_ok();
    let dated = loop {
        let response = fixture.get("/index/he/ll/hello");
        response.assert_ok();
        if response.field("last-modified").is_some() {
            break response;
        }
        thread::yield_now();
    };
    let date = dated.field("last-modified").unwrap();
    assert!(date.ends_with(" GMT"), "{date}");
    assert_ne!(Some(date), dated.field("date"), "within the same second there could be another change");
    let since = format!("If-Modified-Since: {date}");
    assert_eq!(with_header(&fixture, "/index/he/ll/hello", &since).status, 304);
    let both = format!("{since}\r\nIf-None-Match: \"other\"");
    with_header(&fixture, "/index/he/ll/hello", &both).assert_ok();
}

#[test]
fn a_yank_shows_in_the_index() {
    let fixture = Fixture::new();
    fixture.publish(&Upload::new("hello", "1.0.0")).assert_ok();
    let change = |method: &str, what: &str| {
        let (name, version) = ("hello".parse().unwrap(), "1.0.0".parse().unwrap());
        let mutation = match what {
            "yank" => asymmetric_token::Mutation::Yank { name, version },
            _ => asymmetric_token::Mutation::Unyank { name, version },
        };
        let path = format!("/api/v1/crates/hello/1.0.0/{what}");
        let response = fixture.send(method, &path, Some(&fixture.token(mutation)), b"");
        response.assert_ok();
        assert_eq!(response.json(), json!({ "ok": true }));
        fixture.get("/index/he/ll/hello").json()["yanked"].as_bool()
    };
    assert_eq!(change("DELETE", "yank"), Some(true));
    assert_eq!(change("DELETE", "yank"), Some(true));
    assert_eq!(change("PUT", "unyank"), Some(false));
}

#[test]
fn yanking_what_is_not_there() {
    let fixture = Fixture::new();
    let mutation =
        asymmetric_token::Mutation::Yank { name: "none".parse().unwrap(), version: "1.0.0".parse().unwrap() };
    let token = fixture.token(mutation);
    fixture
        .send("DELETE", "/api/v1/crates/none/1.0.0/yank", Some(&token), b"")
        .assert_refused(404, "there is no none 1.0.0 here");
}

#[test]
fn paths_with_another_reading() {
    let fixture = Fixture::new();
    fixture.publish(&Upload::new("hello", "1.0.0")).assert_ok();
    for path in [
        "/index/he/ll/Hello",
        "/index/he/ll/%68ello",
        "/index/he/ll/hello?x",
        "/index/he/ll/hello/",
        "/index//he/ll/hello",
        "/index/x/../he/ll/hello",
        "/index/hello",
        "/index/he/ll/h_ello",
        "/api/v1/crates/hello/%31.0.0/download",
        "/api/v1/crates/Hello/1.0.0/download",
        "/api/v1/crates/hello/1.0.0/download?x=1",
        "/api/v1/crates/hello/1.0.0/download/",
        "/api/v1/crates/hello/1.0.0",
        "/api/v1/crates/..%2f..%2fregistry.db/1.0.0/download",
        "/api/v1/crates/new",
        "/api/v1/crates/",
        "/",
        "/me/",
    ] {
        let response = fixture.get(path);
        assert_eq!(response.status, 404, "{path}: {}", response.text());
    }
    let token = fixture.token(asymmetric_token::Mutation::Yank {
        name: "hello".parse().unwrap(),
        version: "1.0.0".parse().unwrap(),
    });
    for path in [
        "/api/v1/crates/HELLO/1.0.0/yank",
        "/api/v1/crates/hello/%31.0.0/yank",
        "/api/v1/crates/hello/1.0.0/yank?x",
    ] {
        let status = fixture.send("DELETE", path, Some(&token), b"").status;
        assert!(matches!(status, 403 | 404), "{path}: {status}");
    }
    fixture.send("DELETE", "/api/v1/crates/hello/1.0.0/yank", Some(&token), b"").assert_ok();
}

#[test]
fn other_methods_and_other_routes() {
    let fixture = Fixture::new();
    for (method, path) in [
        ("POST", "/api/v1/crates/new"),
        ("DELETE", "/index/config.json"),
        ("PUT", "/api/v1/crates/hello/1.0.0/yank"),
        ("GET", "/api/v1/me"),
        ("PUT", "/admin"),
    ] {
        fixture.send(method, path, Some(&fixture.read_token()), b"").assert_refused(404, "nothing here");
    }
}

/// Over plain HTTP cargo offers to go on with HTTP/2; that is passed over, not taken up.
#[test]
fn no_upgrade() {
    let fixture = Fixture::with(|config| config.reads = Reads::Open);
    let request = "GET /index/config.json HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings, close\r\n\
                   Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n";
    fixture.raw(request, b"").assert_ok();
}

/// The same head as with GET, and no body.
#[test]
fn head_is_answered_as_get() {
    let fixture = Fixture::new();
    let published = fixture.publish(&Upload::new("hello", "1.0.0"));
    published.assert_ok();
    // What is signed of the log changes no more.
    fixture.checkpoint(published.field("x-audit").unwrap().parse::<Point>().unwrap().seq);
    let token = fixture.read_token();
    let ask = |method: &str, path: &str, token: Option<&str>| fixture.send(method, path, token, b"");
    for path in [
        "/index/config.json",
        "/index/he/ll/hello",
        "/index/no/ne/none",
        "/api/v1/crates/hello/1.0.0/download",
        "/api/v1/crates/hello/1.0.0/proof",
        "/api/v1/crates?q=hello",
        "/api/v1/enroll",
        "/log/checkpoint",
        "/log/key",
        "/log/tile/0/000.p/1",
        "/log/leaves/0",
        "/me",
        "/nothing",
    ] {
        for token in [Some(&*token), None] {
            let (get, head) = (ask("GET", path, token), ask("HEAD", path, token));
            assert_eq!((get.status, &head.body[..]), (head.status, &b""[..]), "{path}");
            for field in ["content-type", "content-length", "etag", "connection"] {
                assert_eq!(get.field(field), head.field(field), "{field} of {path}");
            }
            assert_eq!(get.field("www-authenticate").is_some(), head.field("www-authenticate").is_some());
        }
    }
    let tag = ask("HEAD", "/index/he/ll/hello", Some(&token)).field("etag").unwrap().to_owned();
    let header = format!(
        "HEAD /index/he/ll/hello HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nIf-None-Match: {tag}\r\n\
         Connection: close\r\n\r\n"
    );
    assert_eq!(fixture.raw(&header, b"").status, 304);
}

/// RFC 9112, 3.2: what lies between us and cargo may go by one host, and we by another.
#[test]
fn a_request_has_one_host() {
    let fixture = Fixture::with(|config| config.metrics = Some("127.0.0.1:0".parse().unwrap()));
    let metrics = fixture.running().metrics_address().unwrap();
    let ask = |version: &str, hosts: &str| {
        let fields = format!("{hosts}Connection: close\r\n\r\n");
        let mut operators = std::net::TcpStream::connect(metrics).unwrap();
        write!(operators, "GET /healthz HTTP/{version}\r\n{fields}").unwrap();
        let statuses = [
            fixture.raw(&format!("GET /me HTTP/{version}\r\n{fields}"), b"").status,
            fixture.raw(&format!("GET http://x/me HTTP/{version}\r\n{fields}"), b"").status,
            Response::read(operators).status,
        ];
        assert!(statuses.iter().all(|status| *status == statuses[0]), "{hosts:?}: {statuses:?}");
        statuses[0]
    };
    for hosts in ["Host: x\r\n", "Host:\r\n", "Host: crates.example.org:8000\r\n", "Host: [::1]:1\r\n"] {
        assert_eq!(ask("1.1", hosts), 200, "{hosts:?}");
    }
    assert_eq!((ask("1.0", ""), ask("1.0", "Host: x\r\n")), (200, 200));
    for hosts in [
        "",
        "Host: x\r\nHost: x\r\n",
        "Host: x\r\nhost: y\r\n",
        "Host: x, y\r\n",
        "Host: a@x\r\n",
        "Host: x/y\r\n",
        "Host: x y\r\n",
        "Host: \u{e9}\r\n",
    ] {
        assert_eq!(ask("1.1", hosts), 400, "{hosts:?}");
    }
    assert_eq!(ask("1.0", "Host: x\r\nHost: x\r\n"), 400);
}

/// Statuses of all that is answered on one connection. An end that is not a clean one counts as an end.
fn statuses(fixture: &Fixture, requests: &str) -> (Vec<String>, String) {
    let mut stream = fixture.connect();
    stream.write_all(requests.as_bytes()).unwrap();
    let mut answers = Vec::new();
    let _ = stream.read_to_end(&mut answers);
    let text = String::from_utf8_lossy(&answers).into_owned();
    let statuses = text.split("HTTP/1.1 ").skip(1).map(|answer| answer[..3].to_owned());
    (statuses.collect(), text)
}

/// What follows a request is the next one; what is in the body of one is none. At whichever path the index is.
#[test]
fn many_requests_on_one_connection() {
    for index in ["/index/", "/api/v1/crates/"] {
        let fixture = Fixture::with(|config| {
            config.url = Some("https://crates.example".to_owned());
            config.index_url = Some(format!("sparse+https://crates.example{index}"));
        });
        let token = fixture.read_token();
        let request = |line: &str, fields: &str, body: &str| {
            let length =
                if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
            format!("{line} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n{fields}{length}\r\n{body}")
        };
        let config = format!("GET {index}config.json");
        let last = request(&config, "Connection: close\r\n", "");
        let inner = "GET /me HTTP/1.1\r\nHost: x\r\n\r\n";
        let new = "PUT /api/v1/crates/new";
        for (first, expected) in [
            (request(&config, "", ""), &["200", "200"][..]),
            (request(&format!("HEAD {index}config.json"), "", ""), &["200", "200"]),
            (request(&format!("GET {index}he/ll/Hello"), "", ""), &["404", "200"]),
            (request(&config, "", inner), &["200", "200"]),
            (request(new, "", inner), &["403", "200"]),
            (request(new, "Expect: 100-continue\r\n", inner), &["403", "200"]),
        ] {
            let (statuses, text) = statuses(&fixture, &(first.clone() + &last));
            assert!(statuses == expected && !text.contains("Cargo makes them"), "{first}\n{text}");
        }
    }
}

#[test]
fn a_header_that_never_ends() {
    let fixture = Fixture::new();
    let endless = format!("GET /me HTTP/1.1\r\nHost: x\r\nX: {}", "a".repeat(100_000));
    let mut stream = fixture.connect();
    // The server may have closed before all is sent; what counts is its answer.
    let _ = std::io::Write::write_all(&mut stream, endless.as_bytes());
    let mut answer = Vec::new();
    let _ = std::io::Read::read_to_end(&mut stream, &mut answer);
    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1.1 431 "),
        "{}",
        String::from_utf8_lossy(&answer)
    );
}

#[test]
fn a_header_that_stalls() {
    let fixture = Fixture::with(|config| config.patience = std::time::Duration::from_millis(200));
    let mut stream = fixture.connect();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
    std::io::Write::write_all(&mut stream, b"GET /me HTTP/1.1\r\nHost:").unwrap();
    let mut answer = Vec::new();
    std::io::Read::read_to_end(&mut stream, &mut answer).unwrap();
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
}

fn publish_described(fixture: &Fixture, name: &str, version: &str, description: &str) {
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"{version}\"\nedition = \"2024\"\ndescription = \"{description}\"\n"
    );
    let json = json!({ "name": name, "vers": version, "description": description });
    fixture.publish(&Upload::with_manifest(name, version, &manifest, &json)).assert_ok();
}

fn set_yanked(fixture: &Fixture, name: &str, version: &str, yanked: bool) {
    let (crate_name, number) = (name.parse().unwrap(), version.parse().unwrap());
    let (method, end, mutation) = if yanked {
        ("DELETE", "yank", Mutation::Yank { name: crate_name, version: number })
    } else {
        ("PUT", "unyank", Mutation::Unyank { name: crate_name, version: number })
    };
    let path = format!("/api/v1/crates/{name}/{version}/{end}");
    fixture.send(method, &path, Some(&fixture.token(mutation)), b"").assert_ok();
}

/// The names and versions that a search finds, and how many it says there are.
fn found(fixture: &Fixture, query: &str) -> (String, u64) {
    let answer = fixture.get(&format!("/api/v1/crates?{query}"));
    answer.assert_ok();
    let answer = answer.json();
    let crates = answer["crates"].as_array().unwrap().iter();
    let crates: Vec<_> = crates
        .map(|found| {
            format!("{} {}", found["name"].as_str().unwrap(), found["max_version"].as_str().unwrap())
        })
        .collect();
    (crates.join(", "), answer["meta"]["total"].as_u64().unwrap())
}

#[test]
fn search_finds_names_and_descriptions() {
    let fixture = Fixture::new();
    publish_described(&fixture, "big_leaf", "0.1.0", "100% green");
    publish_described(&fixture, "leaf", "0.1.0", "Small");
    publish_described(&fixture, "tree", "0.1.0", "Has a Leaf or two, 'quoted' OR not");
    let names = |query: &str| {
        let (crates, total) = found(&fixture, query);
        (crates.replace(" 0.1.0", "").replace(',', ""), total)
    };
    assert_eq!(names("q=leaf&per_page=10"), ("leaf big_leaf tree".to_owned(), 3));
    assert_eq!(names("q=LEAF&per_page=1"), ("leaf".to_owned(), 3));
    assert_eq!(names("q=leaf&per_page=2"), ("leaf big_leaf".to_owned(), 3));
    assert_eq!(names("q=leaf&per_page=0"), (String::new(), 3));
    assert_eq!(names("q=big-leaf"), ("big_leaf".to_owned(), 1));
    assert_eq!(names("q=100%25"), ("big_leaf".to_owned(), 1));
    assert_eq!(names("q='quoted'+OR"), ("tree".to_owned(), 1));
    for nothing in ["q=%25", "q=%00", "q=lea%00f", "q=%22", "q=%22%22%22", "q=small+green", "q=name:leaf"] {
        assert_eq!(names(nothing), (String::new(), 0), "{nothing}");
    }
    let all = ("big_leaf leaf tree".to_owned(), 3);
    assert_eq!([names(""), names("q=")], [all.clone(), all], "by name");
    assert_eq!(names("q=T"), ("tree".to_owned(), 1), "what is short is looked for where names begin");
    fixture
        .get("/api/v1/crates?q=a&per_page=many")
        .assert_refused(400, "a search takes `q` and the number `per_page`");
}

/// In every script, and however an accent is spelt.
#[test]
fn search_knows_capital_letters() {
    let fixture = Fixture::new();
    let publish = |name: &str, description: &str| {
        let manifest = format!(
            "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\ndescription = \"{description}\"\n"
        );
        let json = json!({ "name": name, "vers": "0.1.0", "description": description });
        fixture.publish(&Upload::with_manifest(name, "0.1.0", &manifest, &json)).assert_ok();
    };
    publish("one", "École, Ölpreis");
    publish("two", "Straße der ΣΟΦΟΣ");
    for (query, name) in [
        ("%C3%89cole", "one"),
        ("%C3%A9cole", "one"),
        ("e%CC%81COLE", "one"),
        ("%C3%B6LPREIS", "one"),
        ("STRASSE", "two"),
        ("stra%C3%9Fe", "two"),
        ("%CF%83%CE%BF%CF%86%CE%BF%CF%82", "two"),
    ] {
        let found = fixture.get(&format!("/api/v1/crates?q={query}")).json();
        assert_eq!(
            (&found["crates"][0]["name"], &found["meta"]["total"]),
            (&json!(name), &json!(1)),
            "{query}"
        );
    }
}

/// What cargo would not take is not offered.
#[test]
fn search_offers_no_yanked_version() {
    let fixture = Fixture::new();
    for version in ["1.0.0", "1.1.0", "1.2.0"] {
        fixture.publish(&Upload::new("hello", version)).assert_ok();
    }
    let yank = |version: &str| {
        let (name, number) = ("hello".parse().unwrap(), version.parse().unwrap());
        let token = fixture.token(Mutation::Yank { name, version: number });
        let path = format!("/api/v1/crates/hello/{version}/yank");
        fixture.send("DELETE", &path, Some(&token), b"").assert_ok();
    };
    let offered = || fixture.get("/api/v1/crates?q=hello").json();
    for (yanked, newest) in [("1.0.0", "1.2.0"), ("1.2.0", "1.1.0")] {
        yank(yanked);
        assert_eq!(offered()["crates"][0]["max_version"], newest);
    }
    yank("1.1.0");
    assert_eq!((&offered()["crates"], &offered()["meta"]["total"]), (&json!([]), &json!(0)));
}

#[test]
fn search_makes_no_difference_between_accents_and_capital_letters() {
    let fixture = Fixture::new();
    publish_described(&fixture, "school", "0.1.0", "École de Ölpreis, ΣΑΣ, 解析器");
    for text in
        ["École", "école", "ecole", "ECOLE", "E\u{301}cole", "Ölpreis", "ÖLPREIS", "olpreis", "σας", "解析器"]
    {
        let encoded: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
        assert_eq!(found(&fixture, &format!("q={encoded}")), ("school 0.1.0".to_owned(), 1), "{text}");
    }
}

#[test]
fn search_does_not_show_what_is_yanked() {
    let fixture = Fixture::new();
    for (version, description) in
        [("1.0.0", "first words"), ("1.10.0", "second words"), ("1.9.0", "third words")]
    {
        publish_described(&fixture, "hello", version, description);
    }
    let of = |text: &str| found(&fixture, &format!("q={text}")).0;
    assert_eq!([of("hello"), of("third"), of("second")], ["hello 1.10.0", "hello 1.10.0", ""]);
    for (version, yanked, shown) in [
        ("1.10.0", true, "hello 1.9.0"),
        ("1.0.0", true, "hello 1.9.0"),
        ("1.9.0", true, ""),
        ("1.9.0", true, ""),
        ("1.0.0", false, "hello 1.0.0"),
        ("1.10.0", false, "hello 1.10.0"),
    ] {
        set_yanked(&fixture, "hello", version, yanked);
        assert_eq!([of("hello"), of("third"), of("h")], [shown; 3], "{version} {yanked}");
    }
}

/// A file is known as long as nothing changes it through the gateway. What is in the table then is not looked at.
#[test]
fn a_file_that_the_client_has_is_not_made_again() {
    let fixture = Fixture::new();
    fixture.publish(&Upload::new("hello", "1.0.0")).assert_ok();
    let path = "/index/he/ll/hello";
    let has = |tag: &str| with_header(&fixture, path, &format!("If-None-Match: {tag}")).status;
    let tag = |answer: &Response| answer.field("etag").unwrap().to_owned();
    let first = tag(&fixture.get(path));
    fixture.sql("UPDATE version SET line = line || ' '");
    assert_eq!(has(&first), 304);
    assert_eq!(tag(&fixture.get(path)), first);
    set_yanked(&fixture, "hello", "1.0.0", true);
    assert_eq!(has(&first), 200);
    fixture.publish(&Upload::new("hello", "1.0.1")).assert_ok();
    assert_eq!(has(&tag(&fixture.get(path))), 304);
}

/// Somebody else is writing the database, so that a change waits for it; reads go on.
#[test]
fn no_read_waits_for_a_change() {
    let fixture = Fixture::new();
    let upload = Upload::new("hello", "1.0.0");
    fixture.publish(&upload).assert_ok();
    let held = store::hold(fixture.folder.path());
    thread::scope(|scope| {
        let late = scope.spawn(|| fixture.publish(&Upload::new("hello", "1.0.1")));
        for round in 0..20 {
            for path in [
                "/index/config.json",
                "/index/he/ll/hello",
                "/api/v1/crates/hello/1.0.0/download",
                "/api/v1/crates/hello/1.0.0/proof",
                "/api/v1/crates?q=hello",
            ] {
                fixture.get(path).assert_ok();
            }
            let token = fixture.publish_token(&upload);
            fixture.put_new(&token, &upload).assert_refused(409, "is already published");
            assert!(!late.is_finished(), "round {round}: the change waits for the lock, at most ten seconds");
        }
        drop(held);
        late.join().unwrap().assert_ok();
    });
}

#[test]
fn the_page_for_people() {
    let fixture = Fixture::new();
    let page = fixture.send("GET", "/me", None, b"");
    page.assert_ok();
    assert!(page.text().contains(&format!("yk-cargo enroll {}", fixture.url())), "{}", page.text());
}

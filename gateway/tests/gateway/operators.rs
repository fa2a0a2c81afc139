//! What operators see: metrics, health, readiness.

use std::collections::HashSet;
use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use crate::common::{Fixture, Response, Upload, store};

fn fixture() -> Fixture {
    Fixture::with(|config| config.metrics = Some("127.0.0.1:0".parse().unwrap()))
}

fn asked(fixture: &Fixture, path: &str) -> Response {
    let mut stream = TcpStream::connect(fixture.running().metrics_address().unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes())
        .unwrap();
    Response::read(stream)
}

#[test]
fn what_happened_is_counted() {
    let fixture = fixture();
    let upload = Upload::new("hello", "1.0.0");
    fixture.publish(&upload).assert_ok();
    assert_eq!(fixture.publish(&upload).status, 409);
    let token = fixture.read_token();
    for _ in 0..3 {
        fixture.send("GET", "/index/config.json", Some(&token), b"").assert_ok();
    }
    fixture.send("GET", "/index/config.json", None, b"").assert_refused(401, "needs a token");
    let answer = asked(&fixture, "/metrics");
    assert_eq!(answer.field("content-type"), Some("text/plain; version=0.0.4"));
    let text = answer.text();
    for line in [
        "# TYPE registry_gateway_requests_total counter",
        "registry_gateway_requests_total{status=\"200\"} 4",
        "registry_gateway_requests_total{status=\"401\"} 1",
        "registry_gateway_requests_total{status=\"409\"} 1",
        "registry_gateway_request_seconds_count 6",
        "registry_gateway_changes_total{mutation=\"publish\",outcome=\"done\"} 1",
        "registry_gateway_changes_total{mutation=\"yank\",outcome=\"failed\"} 0",
        "registry_gateway_verifications_total 3",
        "registry_gateway_known_reads_total 2",
        "registry_gateway_connections_total 6",
        "registry_gateway_changes_open 0",
        "registry_gateway_behind_failures_total{reason=\"unreachable\"} 0",
    ] {
        assert!(text.lines().any(|found| found == line), "no {line:?} in\n{text}");
    }
    for path in ["/metrics", "/healthz", "/readyz"] {
        assert_eq!(fixture.get(path).status, 404, "{path} is not for cargo's users");
    }
}

/// Prometheus' text format 0.0.4, and the rules that `promtool check metrics` adds.
#[test]
fn prometheus_can_read_it() {
    let fixture = fixture();
    fixture.publish(&Upload::new("hello", "1.0.0")).assert_ok();
    let text = asked(&fixture, "/metrics").text();
    assert!(text.ends_with('\n') && !text.contains("\n\n"), "{text}");
    let (mut seen, mut announced, mut family) = (HashSet::new(), "", ("", ""));
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let words;
            (announced, words) = help.split_once(' ').unwrap();
            assert!(words.ends_with('.'), "{line}");
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            family = kind.split_once(' ').unwrap();
            assert!(family.0 == announced && seen.insert(format!("# {announced}")), "{line}");
            assert!(announced.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{line}");
            assert!(matches!(family.1, "counter" | "gauge" | "summary"), "{line}");
            assert_eq!(family.1 == "counter", announced.ends_with("_total"), "{line}");
        } else {
            assert!(is_sample_of(family, line), "{line}");
            assert!(seen.insert(line.rsplit_once(' ').unwrap().0.to_owned()), "{line} is there twice");
        }
    }
    assert!(seen.len() > 30, "{seen:?}");
}

/// `NAME{LABEL="VALUE",…} NUMBER`
fn is_sample_of((family, kind): (&str, &str), line: &str) -> bool {
    let (series, value) = line.rsplit_once(' ').unwrap();
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let of_family = match kind {
        "summary" => [format!("{family}_sum"), format!("{family}_count")].iter().any(|one| one == name),
        _ => name == family,
    };
    let labels = labels.strip_suffix('}').unwrap();
    let good = |label: &str| {
        label.split_once("=\"").is_some_and(|(_, value)| value.find('"') == Some(value.len() - 1))
    };
    let labels = labels.split(',').filter(|label| !label.is_empty()).all(good);
    of_family && labels && value.parse::<f64>().is_ok_and(|value| value >= 0.0)
}

/// A key that is not here costs as much as one that is.
#[test]
fn an_unknown_key_is_verified_too() {
    let fixture = fixture();
    let stranger = crate::common::SoftwareKey::new(9);
    let claims = asymmetric_token::Claims::read(jiff::Timestamp::now());
    let token = stranger.token(fixture.url(), &claims);
    fixture
        .send("GET", "/index/config.json", Some(&token), b"")
        .assert_refused(401, "is not registered here");
    let text = asked(&fixture, "/metrics").text();
    assert!(text.contains("registry_gateway_verifications_total 1\n"), "{text}");
}

#[test]
fn alive_and_ready_are_two_things() {
    let fixture = fixture();
    assert_eq!(asked(&fixture, "/readyz").status, 200);
    let held = store::hold(fixture.folder.path());
    let answer = asked(&fixture, "/readyz");
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (503, "the store did not complete a write within 2 seconds\n")
    );
    assert_eq!(asked(&fixture, "/healthz").status, 200);
    drop(held);
    assert_eq!(asked(&fixture, "/readyz").status, 200);
}

#[test]
fn every_request_has_a_name() {
    let fixture = fixture();
    let id = || fixture.get("/index/config.json").field("x-request-id").unwrap().to_owned();
    let (first, second) = (id(), id());
    assert_ne!(first, second);
    assert_eq!(first.split_once('-').unwrap().0, second.split_once('-').unwrap().0);
}

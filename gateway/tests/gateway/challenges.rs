//! Challenges: issued with every 401, good once, for mutations only.

use asymmetric_token::{CargoChallenge, Claims, Mutation, Requirement};
use jiff::Timestamp;
use registry_gateway::challenge::Challenges;

use crate::common::{Fixture, Response, Upload};

const YANK: &str = "/api/v1/crates/hello/1.0.0/yank";

/// A gateway with `hello` 1.0.0 of Alice's, published with a challenge.
fn published(challenges: Challenges) -> Fixture {
    let fixture = Fixture::with(|config| config.challenges = challenges);
    let upload = Upload::new("hello", "1.0.0");
    let token = token(&fixture, upload.mutation(), Some(fetched(&fixture)));
    fixture.put_new(&token, &upload).assert_ok();
    fixture
}

fn yank() -> Mutation {
    Mutation::Yank { name: "hello".parse().unwrap(), version: "1.0.0".parse().unwrap() }
}

fn token(fixture: &Fixture, mutation: Mutation, challenge: Option<String>) -> String {
    let claims = Claims { challenge, ..Claims::mutate(Timestamp::now(), mutation) };
    fixture.publish.token(fixture.url(), &claims)
}

fn found(response: &Response) -> CargoChallenge {
    CargoChallenge::find(response.field("www-authenticate")).unwrap().unwrap()
}

/// As the credential provider gets it: without a token.
fn fetched(fixture: &Fixture) -> String {
    let response = fixture.send("GET", "/index/config.json", None, b"");
    response.assert_refused(401, "needs a token");
    found(&response).challenge.unwrap()
}

fn yanked(fixture: &Fixture, challenge: Option<String>) -> Response {
    fixture.send("DELETE", YANK, Some(&token(fixture, yank(), challenge)), b"")
}

#[test]
fn every_401_has_one_of_its_own() {
    let fixture = Fixture::with(|config| config.challenges = Challenges::Required);
    let mut seen = std::collections::BTreeSet::new();
    for (method, path, token) in [
        ("GET", "/index/config.json", None),
        ("GET", "/api/v1/crates/hello/owners", None),
        ("PUT", "/api/v1/crates/new", Some("v3.public.x")),
        ("DELETE", YANK, Some("Bearer x")),
    ] {
        let response = fixture.send(method, path, token, b"");
        assert_eq!(response.status, 401, "{method} {path}");
        let cargo = found(&response);
        assert_eq!(cargo.requirement, Some(Requirement::Required));
        assert_eq!(cargo.login_url, Some(format!("{}/me", fixture.running().base_url())));
        assert!(seen.insert(cargo.challenge.unwrap()));
    }
    assert_eq!(fixture.get("/index/config.json").json()["asymmetric"]["challenges"], "required");
}

#[test]
fn off() {
    let fixture = Fixture::new();
    let response = fixture.send("GET", "/index/config.json", None, b"");
    assert_eq!(found(&response).challenge, None);
    assert_eq!(fixture.get("/index/config.json").json()["asymmetric"].get("challenges"), None);
    yanked(&fixture, Some("abc".to_owned()))
        .assert_refused(401, "a challenge that this registry did not issue");
}

#[test]
fn required() {
    let fixture = published(Challenges::Required);
    let missing = yanked(&fixture, None);
    missing.assert_refused(401, "requires a challenge in every yank token; run `yk-cargo enroll");
    assert!(found(&missing).challenge.is_some());
    yanked(&fixture, Some(fetched(&fixture))).assert_ok();
}

#[test]
fn optional() {
    let fixture = published(Challenges::Optional);
    yanked(&fixture, None).assert_ok();
    yanked(&fixture, Some(fetched(&fixture))).assert_ok();
    yanked(&fixture, Some("abc".to_owned()))
        .assert_refused(401, "a challenge that this registry did not issue");
}

#[test]
fn another_registrys() {
    let (fixture, other) = (published(Challenges::Required), published(Challenges::Required));
    yanked(&fixture, Some(fetched(&other)))
        .assert_refused(401, "a challenge that this registry did not issue");
}

#[test]
fn used_by_another_token() {
    let mut fixture = published(Challenges::Required);
    let challenge = fetched(&fixture);
    yanked(&fixture, Some(challenge.clone())).assert_ok();
    let again = |fixture: &Fixture| {
        yanked(fixture, Some(challenge.clone()))
            .assert_refused(401, "the challenge in the token was used before");
    };
    again(&fixture);
    fixture.restart();
    again(&fixture);
}

#[test]
fn used_by_a_token_that_comes_at_the_same_time() {
    let fixture = published(Challenges::Required);
    let challenge = fetched(&fixture);
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..8).map(|_| scope.spawn(|| yanked(&fixture, Some(challenge.clone())).status)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 7, "{statuses:?}");
}

/// A refusal costs a touch of the key, not the challenge.
#[test]
fn not_used_by_a_token_that_is_refused() {
    let fixture = published(Challenges::Required);
    let challenge = fetched(&fixture);
    let claims = Claims { challenge: Some(challenge.clone()), ..Claims::mutate(Timestamp::now(), yank()) };
    let by_bob = fixture.bob.token(fixture.url(), &claims);
    fixture.send("DELETE", YANK, Some(&by_bob), b"").assert_refused(403, "belongs to alice");
    yanked(&fixture, Some(challenge)).assert_ok();
}

#[test]
fn issued_before_a_restart() {
    let mut fixture = published(Challenges::Required);
    let challenge = fetched(&fixture);
    fixture.restart();
    yanked(&fixture, Some(challenge)).assert_ok();
}

#[test]
fn on_a_read_token() {
    let fixture = Fixture::with(|config| config.challenges = Challenges::Required);
    let claims = Claims { challenge: Some(fetched(&fixture)), ..Claims::read(Timestamp::now()) };
    let token = fixture.read.token(fixture.url(), &claims);
    let response = fixture.send("GET", "/index/config.json", Some(&token), b"");
    response.assert_refused(401, "a challenge that this registry did not issue");
    fixture.get("/index/config.json").assert_ok();
}

/// Whoever asks for thousands takes nothing away from those who ask for one.
#[test]
fn a_flood() {
    use std::io::{Read as _, Write as _};
    let fixture = published(Challenges::Required);
    let rows = || fixture.sql("SELECT count(*) FROM spent");
    let (before, first) = (rows(), fetched(&fixture));
    let mut stream = fixture.connect();
    let mut asked = stream.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        for n in 0..3000 {
            let last = if n == 2999 { "Connection: close\r\n" } else { "" };
            asked
                .write_all(format!("GET /index/config.json HTTP/1.1\r\nHost: x\r\n{last}\r\n").as_bytes())
                .unwrap();
        }
    });
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    sender.join().unwrap();
    assert_eq!(answers.matches("challenge=\"").count(), 3000);
    assert_eq!(rows(), before);
    yanked(&fixture, Some(first)).assert_ok();
}

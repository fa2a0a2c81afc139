//! Every token that must not pass, each with the status and the sentence it gets.

use std::time::Duration;

use asymmetric_token::{Claims, Mutation};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use registry_gateway::keys::{NewKey, Role};

use crate::common::{Fixture, SoftwareKey, Upload};

fn ago(seconds: i64) -> Timestamp {
    Timestamp::now() - SignedDuration::from_secs(seconds)
}

fn yank(name: &str, version: &str) -> Mutation {
    Mutation::Yank { name: name.parse().unwrap(), version: version.parse().unwrap() }
}

fn owners(name: &str) -> Mutation {
    Mutation::Owners { name: name.parse().unwrap() }
}

const YANK: &str = "/api/v1/crates/hello/1.0.0/yank";
const UNYANK: &str = "/api/v1/crates/hello/1.0.0/unyank";
const OWNERS: &str = "/api/v1/crates/hello/owners";

/// A gateway with `hello` 1.0.0 of Alice's.
fn published() -> Fixture {
    let fixture = Fixture::new();
    fixture.publish(&Upload::new("hello", "1.0.0")).assert_ok();
    fixture
}

#[test]
fn no_token() {
    let fixture = Fixture::new();
    let response = fixture.send("GET", "/index/config.json", None, b"");
    response.assert_refused(401, "this request needs a token");
    let login = format!("Cargo login_url=\"{0}/me\", enroll=\"{0}\"", fixture.running().base_url());
    assert_eq!(response.field("www-authenticate"), Some(login.as_str()));
    fixture.send("PUT", "/api/v1/crates/new", None, b"").assert_refused(401, "this request needs a token");
}

#[test]
fn a_scheme_before_the_token() {
    let fixture = Fixture::new();
    let bearer = format!("Bearer {}", fixture.read_token());
    fixture
        .send("GET", "/index/config.json", Some(&bearer), b"")
        .assert_refused(401, "without a scheme such as `Bearer`");
}

#[test]
fn two_authorization_headers() {
    let fixture = Fixture::new();
    let token = fixture.read_token();
    let header = format!(
        "GET /index/config.json HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nAuthorization: {token}\r\nConnection: close\r\n\r\n"
    );
    fixture.raw(&header, b"").assert_refused(401, "send the asymmetric token alone");
}

#[test]
fn a_bearer_token() {
    let fixture = Fixture::new();
    fixture
        .send("GET", "/index/config.json", Some("cio0123456789"), b"")
        .assert_refused(401, "not an asymmetric token: it does not begin with `v3.public.`");
}

#[test]
fn an_oversized_token() {
    let fixture = Fixture::new();
    let long = format!("v3.public.{}", "A".repeat(5000));
    fixture
        .send("GET", "/index/config.json", Some(&long), b"")
        .assert_refused(401, "at most 4096 are accepted");
}

#[test]
fn for_another_url() {
    let fixture = Fixture::new();
    let upload = Upload::new("hello", "1.0.0");
    let ours = fixture.url().to_owned();
    for url in [
        "sparse+https://evil.example/index/".to_owned(),
        ours.trim_start_matches("sparse+").to_owned(),
        ours.trim_end_matches('/').to_owned(),
        ours.replace("http:", "https:"),
        ours.replace("127.0.0.1", "localhost"),
    ] {
        let token = fixture.publish.token(&url, &Claims::mutate(Timestamp::now(), upload.mutation()));
        fixture
            .put_new(&token, &upload)
            .assert_refused(401, &format!("the token is for {url}, but this registry is {ours}"));
    }
}

#[test]
fn for_another_crate() {
    let fixture = published();
    let token = fixture.publish_token(&Upload::new("hello", "1.0.1"));
    let mut other = Upload::new("hello", "1.0.1");
    other.json = Upload::new("hallo", "1.0.1").json;
    fixture
        .put_new(&token, &other)
        .assert_refused(403, "the token is for the crate hello, but the request is for hallo");
    let token = fixture.token(yank("hallo", "1.0.0"));
    fixture
        .send("DELETE", YANK, Some(&token), b"")
        .assert_refused(403, "for the crate hallo, but the request is for hello");
    let token = fixture.token(yank("Hello", "1.0.0"));
    fixture
        .send("DELETE", YANK, Some(&token), b"")
        .assert_refused(403, "for the crate Hello, but the request is for hello");
}

#[test]
fn for_another_version() {
    let fixture = published();
    let token = fixture.publish_token(&Upload::new("hello", "1.0.1"));
    let mut other = Upload::new("hello", "1.0.1");
    other.json = Upload::new("hello", "1.0.2").json;
    fixture
        .put_new(&token, &other)
        .assert_refused(403, "for the version 1.0.1, but the request is for 1.0.2");
    let token = fixture.token(yank("hello", "1.0.0+x"));
    fixture
        .send("DELETE", YANK, Some(&token), b"")
        .assert_refused(403, "for the version 1.0.0+x, but the request is for 1.0.0");
}

#[test]
fn for_another_checksum() {
    let fixture = Fixture::new();
    let signed = Upload::new("hello", "1.0.0");
    let mut other = signed.clone();
    other.file.push(0);
    let expected = format!(
        "the token is for the checksum {}, but the request is for {}",
        signed.checksum(),
        other.checksum()
    );
    fixture.put_new(&fixture.publish_token(&signed), &other).assert_refused(403, &expected);
}

#[test]
fn for_another_mutation() {
    let fixture = published();
    let token = fixture.token(yank("hello", "1.0.0"));
    fixture.send("PUT", UNYANK, Some(&token), b"").assert_refused(403, "a yank token cannot unyank");
    fixture
        .put_new(&token, &Upload::new("hello", "1.0.1"))
        .assert_refused(403, "a yank token cannot publish");
    fixture
        .send("GET", OWNERS, Some(&token), b"")
        .assert_refused(403, "a yank token cannot list or change owners");
    fixture.send("DELETE", YANK, Some(&token), b"").assert_ok();
}

#[test]
fn a_read_token_on_a_mutation() {
    let fixture = published();
    let token = fixture.bob.token(fixture.url(), &Claims::read(Timestamp::now()));
    fixture.send("DELETE", YANK, Some(&token), b"").assert_refused(403, "a read token cannot yank");
    fixture
        .put_new(&token, &Upload::new("hello", "1.0.1"))
        .assert_refused(403, "a read token cannot publish");
}

#[test]
fn a_mutation_token_on_a_read() {
    let fixture = published();
    let token = fixture.publish_token(&Upload::new("hello", "1.0.1"));
    fixture
        .send("GET", "/index/config.json", Some(&token), b"")
        .assert_refused(403, "a publish token cannot read");
}

#[test]
fn a_read_key_that_publishes() {
    let fixture = Fixture::new();
    let upload = Upload::new("hello", "1.0.0");
    let token = fixture.read.token(fixture.url(), &Claims::mutate(Timestamp::now(), upload.mutation()));
    fixture.put_new(&token, &upload).assert_refused(
        403,
        "the key has the role `read` here, but a publish token needs `publish` or `both`",
    );
}

#[test]
fn a_publish_key_that_reads() {
    let fixture = Fixture::new();
    let token = fixture.publish.token(fixture.url(), &Claims::read(Timestamp::now()));
    fixture
        .send("GET", "/index/config.json", Some(&token), b"")
        .assert_refused(403, "the key has the role `publish` here, but a read token needs `read` or `both`");
}

#[test]
fn replayed() {
    let mut fixture = published();
    let token = fixture.token(yank("hello", "1.0.0"));
    fixture.send("DELETE", YANK, Some(&token), b"").assert_ok();
    let again = |fixture: &Fixture| {
        fixture
            .send("DELETE", YANK, Some(&token), b"")
            .assert_refused(401, "this yank token was used before; run the command again for a new one");
    };
    again(&fixture);
    fixture.restart();
    again(&fixture);
}

#[test]
fn a_publish_replayed() {
    let mut fixture = Fixture::new();
    let upload = Upload::new("hello", "1.0.0");
    let token = fixture.publish_token(&upload);
    fixture.put_new(&token, &upload).assert_ok();
    fixture.put_new(&token, &upload).assert_refused(401, "this publish token was used before");
    fixture.restart();
    fixture.put_new(&token, &upload).assert_refused(401, "this publish token was used before");
    // Nothing of the upload is needed to know that.
    let header = format!(
        "PUT /api/v1/crates/new HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nContent-Length: 9000000\r\n\
         Expect: 100-continue\r\n\r\n"
    );
    fixture.raw(&header, b"").assert_refused(401, "this publish token was used before");
}

#[test]
fn the_twin_of_a_signature() {
    let fixture = published();
    let token = fixture.token(yank("hello", "1.0.0"));
    let twin = malleated(&token);
    assert_ne!(token, twin);
    fixture.send("DELETE", YANK, Some(&token), b"").assert_ok();
    fixture.send("DELETE", YANK, Some(&twin), b"").assert_refused(401, "this yank token was used before");
}

#[test]
fn the_twin_alone_is_a_good_token() {
    let fixture = published();
    let twin = malleated(&fixture.token(yank("hello", "1.0.0")));
    fixture.send("DELETE", YANK, Some(&twin), b"").assert_ok();
}

/// (r, s) becomes (r, n − s).
fn malleated(token: &str) -> String {
    let parts: Vec<&str> = token.split('.').collect();
    let mut body = URL_SAFE_NO_PAD.decode(parts[2]).unwrap();
    let at = body.len() - 96;
    let signature = p384::ecdsa::Signature::from_slice(&body[at..]).unwrap();
    let twin = p384::ecdsa::Signature::from_scalars(*signature.r(), -*signature.s()).unwrap();
    body[at..].copy_from_slice(&twin.to_bytes());
    format!("v3.public.{}.{}", URL_SAFE_NO_PAD.encode(body), parts[3])
}

#[test]
fn too_old() {
    let fixture = Fixture::new();
    let token = |seconds| fixture.read.token(fixture.url(), &Claims::read(ago(seconds)));
    let response = fixture.send("GET", "/index/config.json", Some(&token(905)), b"");
    response.assert_refused(401, "is valid for 900 s, but it is ");
    assert!(response.detail().ends_with("here; is the clock right?"), "{}", response.detail());
    fixture.send("GET", "/index/config.json", Some(&token(870)), b"").assert_ok();
}

#[test]
fn in_the_future() {
    let fixture = Fixture::new();
    let token = |seconds: i64| fixture.read.token(fixture.url(), &Claims::read(ago(-seconds)));
    let response = fixture.send("GET", "/index/config.json", Some(&token(90)), b"");
    response.assert_refused(401, "the token is dated ");
    response.assert_refused(401, "here; is the clock right?");
    fixture.send("GET", "/index/config.json", Some(&token(30)), b"").assert_ok();
}

#[test]
fn an_unknown_key() {
    let fixture = Fixture::new();
    let stranger = SoftwareKey::new(9);
    let token = stranger.token(fixture.url(), &Claims::read(Timestamp::now()));
    fixture
        .send("GET", "/index/config.json", Some(&token), b"")
        .assert_refused(401, &format!("the key {} is not registered here", stranger.public.id()));
}

#[test]
fn another_keys_signature() {
    let fixture = Fixture::new();
    let (alice, bob) =
        (fixture.read_token(), fixture.bob.token(fixture.url(), &Claims::read(Timestamp::now())));
    let footer = alice.rsplit('.').next().unwrap();
    let forged = format!("{}.{footer}", bob.rsplit_once('.').unwrap().0);
    fixture
        .send("GET", "/index/config.json", Some(&forged), b"")
        .assert_refused(401, "the token's signature does not verify");
}

#[test]
fn a_revoked_key() {
    let fixture = Fixture::new();
    let upload = Upload::new("hello", "1.0.0");
    let token = fixture.publish_token(&upload);
    let id = fixture.publish.public.id().to_string();
    fixture.running().store().revoke_key(&id, Timestamp::now()).unwrap();
    fixture.put_new(&token, &upload).assert_refused(401, &format!("the key {id} was revoked at "));
    let token = fixture.read_token();
    fixture.send("GET", "/index/config.json", Some(&token), b"").assert_ok();
    let id = fixture.read.public.id().to_string();
    fixture.running().store().revoke_key(&id, Timestamp::now()).unwrap();
    fixture
        .send("GET", "/index/config.json", Some(&token), b"")
        .assert_refused(401, &format!("the key {id} was revoked at "));
}

#[test]
fn a_challenge_that_was_not_issued() {
    let fixture = Fixture::new();
    let mut claims = Claims::read(Timestamp::now());
    claims.challenge = Some("abc".to_owned());
    let token = fixture.read.token(fixture.url(), &claims);
    fixture
        .send("GET", "/index/config.json", Some(&token), b"")
        .assert_refused(401, "a challenge that this registry did not issue");
}

#[test]
fn another_subject() {
    let fixture = Fixture::new();
    let key = SoftwareKey::new(7);
    let subject = Some("carol-1".to_owned());
    let new = NewKey {
        public: key.public,
        user: "carol".parse().unwrap(),
        role: Role::Both,
        label: None,
        subject,
        expires: None,
    };
    fixture.running().store().add_key(new, Timestamp::now()).unwrap();
    let send = |subject: Option<&str>| {
        let claims = Claims { subject: subject.map(str::to_owned), ..Claims::read(Timestamp::now()) };
        fixture.send("GET", "/index/config.json", Some(&key.token(fixture.url(), &claims)), b"")
    };
    send(Some("carol-1")).assert_ok();
    send(Some("carol-2"))
        .assert_refused(403, "subject is `carol-2`, but the key is registered with `carol-1`");
    send(None).assert_refused(403, "subject is none, but the key is registered with `carol-1`");
}

#[test]
fn another_users_crate() {
    let fixture = published();
    let by_bob = |mutation| fixture.bob.token(fixture.url(), &Claims::mutate(Timestamp::now(), mutation));
    let upload = Upload::new("hello", "1.0.1");
    fixture
        .put_new(&by_bob(upload.mutation()), &upload)
        .assert_refused(403, "the crate `hello` belongs to alice, but the key belongs to bob");
    fixture
        .send("DELETE", YANK, Some(&by_bob(yank("hello", "1.0.0"))), b"")
        .assert_refused(403, "the crate `hello` belongs to alice");
    fixture.send("GET", OWNERS, Some(&by_bob(owners("hello"))), b"").assert_ok();
}

#[test]
fn owners_are_not_changed() {
    let fixture = published();
    let body = br#"{"users":["bob"]}"#;
    for method in ["PUT", "DELETE"] {
        let token = fixture.token(owners("hello"));
        fixture
            .send(method, OWNERS, Some(&token), body)
            .assert_refused(403, "owners are not changed over this API");
    }
    fixture.send("PUT", OWNERS, None, body).assert_refused(401, "this request needs a token");
}

#[test]
fn an_owners_token_lists_once_after_cargos_empty_delete() {
    let fixture = published();
    let token = fixture.token(owners("hello"));
    fixture
        .send("DELETE", OWNERS, Some(&token), b"")
        .assert_refused(400, "run `cargo owner --list` by itself");
    let listed = fixture.send("GET", OWNERS, Some(&token), b"");
    listed.assert_ok();
    assert_eq!(listed.json()["users"][0]["login"], "alice");
    fixture.send("GET", OWNERS, Some(&token), b"").assert_refused(401, "this owners token was used before");
}

#[test]
fn a_large_upload_is_refused_before_it_is_sent() {
    let fixture = Fixture::new();
    let token = fixture.publish_token(&Upload::new("hello", "1.0.0"));
    let header = |token: &str| {
        format!(
            "PUT /api/v1/crates/new HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nContent-Length: 9000000\r\n\
             Expect: 100-continue\r\n\r\n"
        )
    };
    let refused = fixture.raw(&header(&format!("{token}A")), b"");
    assert_eq!(refused.status, 401, "{refused:?}");
    let mut stream = fixture.connect();
    std::io::Write::write_all(&mut stream, header(&token).as_bytes()).unwrap();
    let mut first = [0; 25];
    std::io::Read::read_exact(&mut stream, &mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 100 Continue\r\n\r\n");
}

#[test]
fn a_small_upload_is_refused_without_a_broken_connection() {
    let fixture = Fixture::new();
    let mut upload = Upload::new("hello", "1.0.0");
    upload.file = vec![7; 900_000];
    fixture.put_new("v3.public.x", &upload).assert_refused(401, "not a usable asymmetric token");
}

#[test]
fn a_slow_body() {
    let fixture = Fixture::with(|config| config.patience = Duration::from_millis(300));
    let upload = Upload::new("hello", "1.0.0");
    let token = fixture.publish_token(&upload);
    let length = upload.body().len();
    let header = format!(
        "PUT /api/v1/crates/new HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nContent-Length: {length}\r\n\r\n"
    );
    fixture.raw(&header, &upload.body()[..40]).assert_refused(400, "the request's body came too slowly");
}

//! How much is verified for whom, and what is remembered instead.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use asymmetric_token::Claims;
use jiff::Timestamp;
use registry_gateway::Config;

use crate::common::{Fixture, Response, SoftwareKey, Upload, store};

const CONFIG: &str = "/index/config.json";

fn at_most(per_peer: u32, per_key: u32) -> impl FnOnce(&mut Config) {
    move |config| {
        config.verifications_per_peer = NonZeroU32::new(per_peer).unwrap();
        config.verifications_per_key = NonZeroU32::new(per_key).unwrap();
    }
}

fn read(fixture: &Fixture, token: &str) -> Response {
    fixture.send("GET", CONFIG, Some(token), b"")
}

fn stranger(fixture: &Fixture) -> String {
    SoftwareKey::new(9).token(fixture.url(), &Claims::read(Timestamp::now()))
}

/// One with the signature of another.
fn forged(fixture: &Fixture) -> String {
    let bob = fixture.bob.token(fixture.url(), &Claims::read(Timestamp::now()));
    let alice = fixture.read_token();
    format!("{}.{}", bob.rsplit_once('.').unwrap().0, alice.rsplit_once('.').unwrap().1)
}

#[test]
fn an_address_that_guesses_has_to_wait() {
    let fixture = Fixture::with(at_most(4, 100));
    for _ in 0..2 {
        read(&fixture, &stranger(&fixture)).assert_refused(401, "is not registered here");
        read(&fixture, &forged(&fixture)).assert_refused(401, "does not verify");
    }
    for token in [stranger(&fixture), forged(&fixture), fixture.read_token()] {
        let refused = read(&fixture, &token);
        refused.assert_refused(429, "too many tokens from this address or for this key; try again in ");
        let seconds: u64 = refused.field("retry-after").unwrap().parse().unwrap();
        assert!((1..=15).contains(&seconds), "{seconds}");
    }
    // What needs no verification is answered as ever.
    fixture.send("GET", CONFIG, None, b"").assert_refused(401, "needs a token");
    read(&fixture, "v3.public.x").assert_refused(401, "not a usable asymmetric token");
}

#[test]
fn a_key_that_is_used_too_much_has_to_wait_and_no_other() {
    let fixture = Fixture::with(at_most(100, 2));
    let upload = Upload::new("hello", "1.0.0");
    fixture.publish(&upload).assert_ok();
    fixture.publish(&upload).assert_refused(409, "is already published");
    fixture.publish(&upload).assert_refused(429, "for this key");
    read(&fixture, &fixture.read_token()).assert_ok();
}

#[test]
fn a_remembered_token_counts_once() {
    let fixture = Fixture::with(at_most(2, 2));
    let token = fixture.read_token();
    for _ in 0..50 {
        read(&fixture, &token).assert_ok();
    }
    read(&fixture, &fixture.read_token()).assert_ok();
    read(&fixture, &fixture.read_token()).assert_refused(429, "try again");
    read(&fixture, &token).assert_ok();
}

#[test]
fn a_proxy_of_ours_says_for_whom_it_asks() {
    let asked = |fixture: &Fixture, client: &str| {
        let token = stranger(fixture);
        let header = format!(
            "GET {CONFIG} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nX-Forwarded-For: {client}\r\n\
             Connection: close\r\n\r\n"
        );
        fixture.raw(&header, b"").status
    };
    let fixture = Fixture::with(|config| {
        at_most(1, 100)(config);
        config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    });
    assert_eq!(asked(&fixture, "192.0.2.1"), 401);
    assert_eq!(asked(&fixture, "192.0.2.1"), 429);
    assert_eq!(asked(&fixture, "192.0.2.2"), 401);
    let fixture = Fixture::with(at_most(1, 100));
    assert_eq!(asked(&fixture, "192.0.2.1"), 401);
    assert_eq!(asked(&fixture, "192.0.2.2"), 429, "anybody can write that");
}

/// By another process, while the token is remembered.
#[test]
fn revoking_counts_for_a_remembered_token() {
    let fixture = Fixture::new();
    let token = fixture.read_token();
    read(&fixture, &token).assert_ok();
    read(&fixture, &token).assert_ok();
    let id = fixture.read.public.id().to_string();
    store::open(fixture.folder.path()).revoke_key(&id, Timestamp::now()).unwrap();
    read(&fixture, &token).assert_refused(401, &format!("the key {id} was revoked at "));
}

#[test]
fn a_new_role_counts_for_a_remembered_token() {
    use registry_gateway::keys::Role;
    let fixture = Fixture::new();
    let token = fixture.bob.token(fixture.url(), &Claims::read(Timestamp::now()));
    read(&fixture, &token).assert_ok();
    fixture.add_key(&fixture.bob, "bob", Role::Publish);
    read(&fixture, &token).assert_refused(403, "the key has the role `publish` here");
}

#[test]
fn a_remembered_token_grows_too_old() {
    let fixture = Fixture::with(|config| config.window = Duration::from_secs(2));
    let token = fixture.read_token();
    read(&fixture, &token).assert_ok();
    let until = Instant::now() + Duration::from_secs(20);
    while read(&fixture, &token).status == 200 {
        assert!(Instant::now() < until, "a token of two seconds is taken after twenty");
    }
    read(&fixture, &token).assert_refused(401, "is good for 2 s");
}

#[test]
fn a_remembered_token_is_good_for_reading_only() {
    let fixture = Fixture::new();
    let token = fixture.bob.token(fixture.url(), &Claims::read(Timestamp::now()));
    read(&fixture, &token).assert_ok();
    fixture
        .put_new(&token, &Upload::new("hello", "1.0.0"))
        .assert_refused(403, "a read token cannot publish");
    // Nor is one that looks nearly like it.
    read(&fixture, &format!("{token}A")).assert_refused(401, "not a usable asymmetric token");
}

const ACCOUNT: &str =
    "SELECT owed FROM spender JOIN \"user\" AS person ON person.id = spender.\"user\" WHERE name = 'alice'";

/// Time for so many milliseconds goes by for what Alice has spent.
fn alice_owes(fixture: &Fixture, milliseconds: i64) {
    let now = Timestamp::now().as_millisecond();
    let alice = "\"user\" = (SELECT id FROM \"user\" WHERE name = 'alice')";
    fixture.sql(&format!("UPDATE spender SET owed = {milliseconds}, at = {now} WHERE {alice}"));
}

/// A user's share of what is remembered as spent is full after 20,000 tokens and challenges within 25 hours.
#[test]
fn a_user_who_has_spent_a_great_deal_has_to_wait_and_nobody_else() {
    const FULL: i64 = 25 * 3_600_000;
    let fixture = Fixture::new();
    let other = SoftwareKey::new(7);
    fixture.add_key(&other, "alice", registry_gateway::keys::Role::Both);
    let by = |key: &SoftwareKey, upload: &Upload| {
        let claims = Claims::mutate(crate::common::now(), upload.mutation());
        fixture.put_new(&key.token(fixture.url(), &claims), upload)
    };
    fixture.publish(&Upload::new("hello", "1.0.0")).assert_ok();
    assert_eq!(fixture.sql(ACCOUNT), (FULL / 20_000).to_string());
    alice_owes(&fixture, FULL);
    let upload = Upload::new("hello", "1.1.0");
    let token = fixture.publish_token(&upload);
    let refused = fixture.put_new(&token, &upload);
    refused.assert_refused(
        429,
        "alice has changed so much lately that this registry can remember no more of it: at most 20000",
    );
    let seconds: u64 = refused.field("retry-after").unwrap().parse().unwrap();
    assert!((1..=5).contains(&seconds), "{seconds}");
    by(&other, &upload).assert_refused(429, "alice has changed so much lately");
    by(&fixture.bob, &Upload::new("world", "1.0.0")).assert_ok();
    fixture.get("/index/he/ll/hello").assert_ok();
    // The token was not spent, and there is room for one again.
    alice_owes(&fixture, FULL - FULL / 20_000);
    fixture.put_new(&token, &upload).assert_ok();
    assert!(fixture.sql(ACCOUNT).parse::<i64>().unwrap() > FULL - 60_000);
    by(&other, &Upload::new("hello", "1.2.0")).assert_refused(429, "alice has changed so much lately");
}

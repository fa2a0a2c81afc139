//! The policy by itself: edges of time, and what makes two mutations one.

use std::time::Duration;

use asymmetric_token::{Claims, Mutation, Untrusted, Verified};
use jiff::{SignedDuration, Timestamp};
use registry_gateway::challenge::{Challenges, Issuer};
use registry_gateway::keys::{Key, Role};
use registry_gateway::policy::{Operation, Refusal, Rules, decide, kept_until, single_use_key};

use crate::common::SoftwareKey;

const URL: &str = "sparse+https://crates.example/index/";

fn rules() -> Rules {
    Rules {
        url: URL.to_owned(),
        window: Duration::from_secs(900),
        skew: Duration::from_secs(60),
        challenges: Challenges::Off,
        issuer: Issuer::new(&[1; 32], URL),
    }
}

fn issued() -> Timestamp {
    "2026-11-20T12:00:00.123456Z".parse().unwrap()
}

fn key() -> Key {
    Key {
        public: SoftwareKey::new(1).public,
        user: "alice".parse().unwrap(),
        role: Role::Both,
        label: None,
        subject: None,
        added: Timestamp::UNIX_EPOCH,
        expires: None,
        revoked: None,
    }
}

fn verified(claims: &Claims) -> Verified {
    let key = SoftwareKey::new(1);
    Untrusted::parse(&key.token(URL, claims)).unwrap().verify(&key.public).unwrap()
}

fn owners() -> Mutation {
    Mutation::Owners { name: "hello".parse().unwrap() }
}

#[test]
fn the_window_has_two_sharp_edges() {
    let token = verified(&Claims::read(issued()));
    let at = |micros: i64| {
        decide(&token, &key(), &rules(), &Operation::Read, issued() + SignedDuration::from_micros(micros))
    };
    assert_eq!(at(900_000_000), Ok(()));
    assert!(matches!(at(900_000_001), Err(Refusal::TooOld { window: 900, .. })));
    assert_eq!(at(-60_000_000), Ok(()));
    assert!(matches!(at(-60_000_001), Err(Refusal::InFuture { .. })));
}

#[test]
fn times_at_the_ends_of_the_calendar_are_refused_and_no_more() {
    for (time, old) in [("0000-01-01T00:00:00Z", true), ("9999-12-30T22:00:00.999999Z", false)] {
        let time: Timestamp = time.parse().unwrap();
        let token = verified(&Claims::read(time));
        let refusal = decide(&token, &key(), &rules(), &Operation::Read, issued()).unwrap_err();
        assert_eq!(matches!(refusal, Refusal::TooOld { .. }), old, "{refusal}");
        assert!(kept_until(&token.claims) >= time);
    }
}

#[test]
fn a_single_use_key_is_kept_as_long_as_any_window_can_be() {
    let claims = Claims::mutate(issued(), owners());
    assert_eq!(kept_until(&claims), issued() + SignedDuration::from_secs(86_400 + 3600));
}

#[test]
fn what_makes_two_mutations_one() {
    let listing = Operation::Owners { name: "hello".parse().unwrap(), method: "GET" };
    let removing = Operation::Owners { name: "hello".parse().unwrap(), method: "DELETE" };
    let first = verified(&Claims::mutate(issued(), owners()));
    assert_eq!(single_use_key(&first, &listing), single_use_key(&first, &listing));
    assert_ne!(single_use_key(&first, &listing), single_use_key(&first, &removing));
    let next = verified(&Claims::mutate(issued() + SignedDuration::from_micros(1), owners()));
    assert_ne!(single_use_key(&first, &listing), single_use_key(&next, &listing));
    let custom = Claims { custom: Some(serde_json::Map::new()), ..Claims::mutate(issued(), owners()) };
    assert_eq!(single_use_key(&first, &listing), single_use_key(&verified(&custom), &listing));
    assert_eq!(single_use_key(&verified(&Claims::read(issued())), &Operation::Read), None);
}

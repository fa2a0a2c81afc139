//! What an issuer says: which keys it has, and what comes of one that is away, slow, or lies.

use std::time::Duration;

use serde_json::{Value, json};

use super::Jobs;
use crate::common::Fixture;
use crate::common::issuer::{Issuer, Key, encoded};
use crate::common::served::{run, succeeds};

const ASKED: [&str; 2] = ["/.well-known/openid-configuration", "/keys"];

#[test]
fn keys_come_and_go_and_an_unknown_one_is_searched_once_a_minute() {
    let jobs = Jobs::new();
    let by = |key: &Key, id: &str| {
        let claims = jobs.claims();
        jobs.ask(&key.sign(&json!({ "alg": key.algorithm(), "kid": id }), &claims))
    };
    by(&jobs.key, "one").assert_ok();
    by(&jobs.key, "one").assert_ok();
    assert_eq!(jobs.issuer.asked(), ASKED, "asked once");
    let two = Key::rsa();
    jobs.issuer.publish(&[("one", &jobs.key), ("two", &two)]);
    by(&two, "two").assert_ok();
    assert_eq!(jobs.issuer.asked(), ASKED.repeat(2));
    // Whoever makes names up does not make this gateway ask and ask.
    for id in ["three", "four", "../two", "two\0", "one,two"] {
        by(&two, id).assert_refused(401, "has no key");
    }
    assert_eq!(jobs.issuer.asked(), ASKED.repeat(2));
    by(&jobs.key, "one").assert_ok();
    by(&two, "two").assert_ok();
    by(&two, "one").assert_refused(401, "RS256");
    by(&Key::p256(9), "one").assert_refused(401, "signature of the identity token does not verify");
}

#[test]
fn an_issuer_that_is_away_or_slow_is_said_so() {
    let fixture = Fixture::with(|config| config.patience = Duration::from_millis(500));
    let jobs = Jobs::with(fixture, Key::p256(1));
    let token = jobs.signed(&jobs.claims());
    jobs.issuer.state.lock().unwrap().is_silent = true;
    let answer = jobs.ask(&token);
    answer.assert_refused(503, "did not answer in time");
    assert!(answer.field("retry-after").is_some(), "{}", answer.header);
    {
        let mut state = jobs.issuer.state.lock().unwrap();
        (state.is_silent, state.status) = (false, 500);
    }
    jobs.ask_until(&token, 503, "answers 500");
    jobs.issuer.state.lock().unwrap().status = 200;
    // Nothing was spent in vain.
    jobs.ask_until(&token, 200, "token");
    // What is known goes on while it is away.
    let Jobs { fixture, issuer, key } = jobs;
    let claims = issuer.github(&fixture.running().address().to_string());
    drop(issuer);
    let token = key.sign(&json!({ "alg": "ES256", "kid": "one" }), &claims);
    super::exchange(&fixture, &token).assert_ok();
}

/// Nobody needs the issuer's key to name it.
#[test]
fn an_issuer_that_fails_is_not_asked_by_everybody() {
    let jobs = Jobs::new();
    jobs.issuer.state.lock().unwrap().status = 500;
    let stranger = Key::p256(66);
    for number in 0..50 {
        let header = json!({ "alg": "ES256", "kid": format!("made-up-{number}") });
        jobs.ask(&stranger.sign(&header, &jobs.claims())).assert_refused(503, "answers 500");
    }
    let asked = jobs.issuer.asked().len();
    assert!(asked < 25, "{asked}");
}

#[test]
fn an_issuer_that_is_not_there_is_said_so() {
    let jobs = Jobs::new();
    let gone = Issuer::new(&[]);
    let mut claims = jobs.claims();
    claims["iss"] = json!(gone.url);
    let add = ["publisher", "add", "gone", "--reads-as", "bob", "--issuer", &gone.url];
    let arguments = [&add[..], &jobs.github()].concat();
    succeeds(jobs.fixture.folder.path(), &arguments);
    drop(gone);
    jobs.ask(&jobs.signed(&claims)).assert_refused(503, "no connection");
}

#[test]
fn an_issuer_that_lies_is_not_believed() {
    let evil = Key::p256(66);
    let elsewhere = Issuer::new(&[("one", &evil)]);
    let there = &elsewhere.url;
    // Each time a gateway that has asked nobody yet.
    let is_refused = |discovery: Option<&str>, keys: Option<&str>, why: &str| {
        let jobs = Jobs::new();
        {
            let mut state = jobs.issuer.state.lock().unwrap();
            if let Some(discovery) = discovery {
                state.discovery = discovery.replace("URL", &jobs.issuer.url);
            }
            if let Some(keys) = keys {
                state.keys = keys.to_owned();
            }
        }
        jobs.ask(&jobs.signed(&jobs.claims())).assert_refused(503, why);
    };
    for (discovery, why) in [
        (json!({ "issuer": there, "jwks_uri": "URL/keys" }), "it names another issuer"),
        (json!({ "jwks_uri": "URL/keys" }), "it names another issuer"),
        (json!({ "issuer": "URL", "jwks_uri": format!("{there}/keys") }), "not on the issuer's host"),
        (json!({ "issuer": "URL", "jwks_uri": "/keys" }), "not on the issuer's host"),
        (json!({ "issuer": "URL", "jwks_uri": "file:///etc/passwd" }), "not on the issuer's host"),
        (json!({ "issuer": "URL" }), "not on the issuer's host"),
        (json!([]), "it names another issuer"),
    ] {
        is_refused(Some(&discovery.to_string()), None, why);
    }
    let twice = r#"{"issuer":"URL","issuer":"URL","jwks_uri":"URL/keys"}"#;
    is_refused(Some(twice), None, "appears twice");
    for (keys, why) in [
        ("{}".to_owned(), "no list `keys`"),
        ("{\"keys\":[5]}".to_owned(), "a key is not an object"),
        (json!({ "keys": vec![json!({ "kid": "x" }); 101] }).to_string(), "more than 100 keys"),
        (format!("{{\"keys\":[{}]}}", " ".repeat(300_000)), "limit"),
    ] {
        is_refused(None, Some(&keys), why);
    }
    assert_eq!(elsewhere.asked(), [""; 0], "no other server was asked");
}

#[test]
fn doctor_asks_the_issuers() {
    let jobs = Jobs::new();
    let store = jobs.fixture.folder.path();
    let says = || String::from_utf8(run(store, &["doctor"]).stdout).unwrap();
    let found = says();
    assert!(found.contains(&format!("the issuer {} shows the keys", jobs.issuer.url)), "{found}");
    jobs.issuer.state.lock().unwrap().status = 404;
    succeeds(store, &["user", "remove", "bob"]);
    let found = says();
    assert!(found.contains("does not show the keys of its identity tokens"), "{found}");
    assert!(found.contains("the publisher acme-ci reads as bob, who was removed"), "{found}");
    succeeds(store, &["publisher", "remove", "acme-ci"]);
    assert!(!says().contains("issuer"), "nobody needs it any more");
}

/// Nothing that a token says makes the gateway ask a server that no publisher has.
#[test]
fn nobody_chooses_whom_the_gateway_asks() {
    let evil = Key::p256(66);
    let elsewhere = Issuer::new(&[("one", &evil)]);
    let jobs = Jobs::new();
    let mut claims = jobs.claims();
    for issuer in [elsewhere.url.clone(), format!("{}/", jobs.issuer.url), format!("{}@x", elsewhere.url)] {
        claims["iss"] = json!(issuer);
        let token = evil.sign(&json!({ "alg": "ES256", "kid": "one" }), &claims);
        jobs.ask(&token).assert_refused(403, "no publisher of this registry matches this identity");
    }
    // A header that brings its key along, or says where it is.
    for (name, value) in [
        ("jwk", evil.jwk("one")),
        ("jku", json!(format!("{}/keys", elsewhere.url))),
        ("x5u", json!(format!("{}/keys", elsewhere.url))),
    ] {
        let header = json!({ "alg": "ES256", "kid": "one", name: value });
        jobs.ask(&evil.sign(&header, &jobs.claims())).assert_refused(401, "does not verify");
    }
    assert_eq!(elsewhere.asked(), [""; 0]);
}

#[test]
fn keys_that_are_for_something_else_verify_nothing() {
    let jobs = Jobs::new();
    let good = jobs.key.jwk("one");
    let changed = |name: &str, value: Value| {
        let mut key = good.clone();
        key[name] = value;
        key
    };
    let secret = json!({ "kty": "oct", "kid": "one", "k": encoded(b"a secret of thirty-two bytes, yes") });
    let mut short = Key::rsa().jwk("one");
    short["n"] = json!(encoded(&[0xff; 128]));
    for (keys, why) in [
        (vec![secret], "neither an RSA key"),
        (vec![good.clone(), Key::p256(2).jwk("one")], "another key of that name"),
        (vec![changed("use", json!("enc"))], "not for verifying"),
        (vec![changed("key_ops", json!(["sign"]))], "not for verifying"),
        (vec![changed("alg", json!("RS256"))], "`alg`"),
        (vec![changed("alg", json!("HS256"))], "`alg`"),
        (vec![changed("crv", json!("P-384"))], "neither an RSA key"),
        (vec![changed("x", json!("AA"))], "neither an RSA key"),
        (vec![short], "neither an RSA key"),
    ] {
        // Each time a gateway that knows no keys yet.
        let jobs = Jobs::with(Fixture::new(), Key::p256(1));
        jobs.issuer.state.lock().unwrap().keys = json!({ "keys": keys }).to_string();
        jobs.ask(&jobs.signed(&jobs.claims())).assert_refused(401, why);
    }
}

//! Machines without an issuer: a key with the role `stage`, whose read token is exchanged once.

use asymmetric_token::Claims;

use super::exchange;
use crate::common::served::{run, succeeds};
use crate::common::{Fixture, SoftwareKey, Upload, now};

/// A registry with a machine's key of bob's.
fn with_key() -> (Fixture, SoftwareKey) {
    let (fixture, key) = (Fixture::new(), SoftwareKey::new(40));
    let public = key.public.to_string();
    let add =
        ["key", "add", "--user", "bob", "--role", "stage", "--crate", "widget", "--crate", "acme-*", &public];
    assert_eq!(succeeds(fixture.folder.path(), &add), format!("{}\n", key.public.id()));
    (fixture, key)
}

#[test]
fn a_machine_gets_a_token_for_its_keys_word_once() {
    let (fixture, key) = with_key();
    let read = || key.token(fixture.url(), &Claims::read(now()));
    let word = read();
    let answer = exchange(&fixture, &word);
    answer.assert_ok();
    let token = answer.json()["token"].as_str().unwrap().to_owned();
    exchange(&fixture, &word).assert_refused(401, "this read token was used before");
    let store = fixture.running().store();
    let stager = store.stager(&token).unwrap().unwrap();
    assert_eq!(stager.holder.to_string(), key.public.id().to_string());
    assert_eq!(stager.reads_as.as_str(), "bob");
    assert_eq!(stager.identity["key"], key.public.id().to_string());
    assert_eq!(stager.identity["user"], "bob");
    assert!(stager.may_stage(&"widget".parse().unwrap(), true).is_ok());
    assert!(stager.may_stage(&"acme-x".parse().unwrap(), false).is_ok());
    assert!(stager.may_stage(&"acme-x".parse().unwrap(), true).is_err());
    succeeds(fixture.folder.path(), &["key", "revoke", &key.public.id().to_string()]);
    assert!(store.stager(&token).unwrap().is_none(), "the key was revoked");
    exchange(&fixture, &read()).assert_refused(401, "was revoked at");
}

/// A gateway that lies could show it to a consumer as an approval.
#[test]
fn what_a_machine_signs_is_nobodys_approval() {
    let (fixture, key) = with_key();
    let upload = Upload::new("widget", "1.0.0");
    let token = key.token(fixture.url(), &Claims::mutate(now(), upload.mutation()));
    fixture
        .put_new(&token, &upload)
        .assert_refused(403, "has the role `stage` here, but a publish token needs");
    exchange(&fixture, &token).assert_refused(403, "needs `publish`");
    let read = key.token(fixture.url(), &Claims::read(now()));
    let answer = fixture.send("GET", "/index/config.json", Some(&read), b"");
    answer.assert_refused(403, "has the role `stage` here, but a read token needs");
}

#[test]
fn a_key_for_staging_stays_one() {
    let (fixture, key) = with_key();
    let store = fixture.folder.path();
    let refused = |arguments: &[&str], why: &str| {
        let output = run(store, arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(why), "{arguments:?}: {said}");
    };
    let public = key.public.to_string();
    let add = ["key", "add", "--user", "bob", &public, "--role"];
    refused(&[&add[..], &["publish"]].concat(), "never gets another role");
    refused(&[&add[..], &["stage"]].concat(), "--crate");
    refused(&[&add[..], &["both", "--crate", "a"]].concat(), "--crate");
    let bobs = fixture.bob.public.to_string();
    refused(
        &["key", "add", "--user", "bob", &bobs, "--role", "stage", "--crate", "a"],
        "no other key gets that one",
    );
    // Its crates may change.
    succeeds(store, &[&add[..], &["stage", "--crate", "gadget"]].concat());
    assert!(succeeds(store, &["key", "list"]).contains("\tstage\t"));
    let crates = fixture.running().store().crates_of_key(key.public.id()).unwrap();
    assert!(crates.fits("gadget") && !crates.fits("widget"));
    succeeds(store, &["audit", "verify"]);
    assert_eq!(fixture.running().store().discrepancies(jiff::Timestamp::now()).unwrap(), []);
}

/// Keys of persons are enrolled; a machine's is added by the administrator.
#[test]
fn no_machine_enrolls_itself() {
    let (fixture, key) = with_key();
    let body = serde_json::json!({
        "version": 1, "nonce": "x", "endorsement": "x", "label": "mine",
        "keys": [{ "role": "stage", "public": key.public.to_string(), "proof": "x" }],
    });
    let answer = fixture.send("POST", "/api/v1/enroll", None, body.to_string().as_bytes());
    answer.assert_refused(400, "an administrator adds it with `registry-gateway key add`");
}

use asymmetric_token::{Footer, Prepared};
use p384::ecdsa::signature::hazmat::PrehashSigner as _;
use p384::ecdsa::{Signature, SigningKey};
use proptest::prelude::*;
use serde_json::json;

use super::*;

const INDEX: &str = "sparse+https://registry.example/index/";
const TIME: &str = "2026-11-20T12:00:00.000000Z";

fn key(seed: u8) -> (SigningKey, PublicKey) {
    let key = SigningKey::from_slice(&[seed; 48]).unwrap();
    let public = PublicKey::from_sec1(key.verifying_key().to_sec1_point(true).as_bytes()).unwrap();
    (key, public)
}

fn publish(name: &str, version: &str, checksum: u8) -> Mutation {
    let (name, version) = (name.parse().unwrap(), version.parse().unwrap());
    Mutation::Publish { name, version, checksum: Checksum([checksum; 32]) }
}

fn token(index: &str, mutation: Option<Mutation>) -> String {
    let (key, public) = key(1);
    let claims = Claims { mutation, ..Claims::read(TIME.parse().unwrap()) };
    let prepared = Prepared::new(&public, &claims, &Footer::new(index, public.id())).unwrap();
    let signature: Signature = key.sign_prehash(prepared.digest()).unwrap();
    prepared.finish(&signature.to_bytes().into()).unwrap()
}

fn with_token(token: &str) -> Value {
    json!({
        "version": 2, "index": INDEX, "name": "hello", "vers": "1.0.0", "cksum": Checksum([7; 32]).to_string(),
        "token": token, "public": key(1).1.to_string(), "role": "publish", "attestation": null, "log": null,
    })
}

fn good() -> Value {
    with_token(&token(INDEX, Some(publish("hello", "1.0.0", 7))))
}

fn parse(json: &Value) -> Result<Proof, Error> {
    Proof::parse(json.to_string().as_bytes())
}

#[test]
fn a_good_proof_holds() {
    let proof = parse(&good()).unwrap();
    assert_eq!(proof.signed(), Ok(Signed { at: TIME.parse().unwrap() }));
    assert_eq!((proof.role, proof.logged()), (Role::Publish, None));
}

#[test]
fn what_was_signed_counts_and_not_what_the_proof_says() {
    let signed = |json: &Value| parse(json).unwrap().signed().unwrap_err();
    let with = |field: &str, value: Value| {
        let mut proof = good();
        proof[field] = value;
        signed(&proof)
    };
    let index = INDEX.to_owned();
    assert_eq!(with("index", "sparse+https://other.example/".into()), NotSigned::Index { signed: index });
    let version = || NotSigned::Version { signed: "hello 1.0.0".into() };
    assert_eq!(with("name", "jello".into()), version());
    assert_eq!(with("vers", "1.0.1".into()), version());
    let checksum = Checksum([8; 32]).to_string();
    assert_eq!(with("cksum", checksum.into()), NotSigned::Checksum { signed: Checksum([7; 32]) });
    assert_eq!(with("public", key(2).1.to_string().into()), NotSigned::Token(TokenError::KeyMismatch));
    assert_eq!(signed(&with_token(&token(INDEX, None))), NotSigned::Operation { signed: "read" });
    let yank = Mutation::Yank { name: "hello".parse().unwrap(), version: Version::new(1, 0, 0) };
    assert_eq!(signed(&with_token(&token(INDEX, Some(yank)))), NotSigned::Operation { signed: "yank" });
    let mut forged = good()["token"].as_str().unwrap().to_owned();
    forged.replace_range(12..13, if forged.as_bytes()[12] == b'A' { "B" } else { "A" });
    assert_eq!(signed(&with_token(&forged)), NotSigned::Token(TokenError::BadSignature));
}

#[test]
fn a_damaged_proof_is_not_read() {
    let text = good().to_string();
    let twice = text.replacen("\"name\"", "\"name\":\"hello\",\"name\"", 1);
    assert!(matches!(Proof::parse(twice.as_bytes()), Err(Error::Json(StrictJsonError::DuplicateName(_)))));
    assert!(matches!(Proof::parse(format!("{text}x").as_bytes()), Err(Error::Json(_))));
    assert!(matches!(Proof::parse(b"\xff"), Err(Error::Shape(_))));
    let with = |field: &str, value: Value| {
        let mut proof = good();
        proof[field] = value;
        parse(&proof).unwrap_err()
    };
    assert!(matches!(with("version", 3.into()), Error::Newer { version: 3 }));
    assert!(matches!(with("version", "1".into()), Error::Shape(_)));
    assert!(matches!(with("token", Value::Null), Error::Shape(_)));
    assert!(matches!(with("role", "owner".into()), Error::Shape(_)));
    assert!(matches!(with("attestation", vec![""; 9].into()), Error::Field { field: "attestation", .. }));
    for field in ["name", "vers", "cksum", "public"] {
        let error = with(field, "\u{1b}[31m".into());
        assert!(!error.to_string().contains('\u{1b}'), "{error}");
        assert!(matches!(error, Error::Field { field: named, .. } if named == field), "{error}");
    }
}

/// A proof with entries of a log, of which some are changed.
fn in_tree(change: impl FnOnce(&mut Value, &mut Value)) -> Result<Logged, NotLogged> {
    let mut proof = good();
    let mut intent = json!({
        "cksum": proof["cksum"], "key": key(1).1.id().to_string(), "kind": "intent", "mutation": "publish",
        "name": proof["name"], "salt": "AAAAAAAAAAAAAAAAAAAAAA", "seq": 17, "time": TIME, "token": proof["token"],
        "user": "alice", "vers": proof["vers"],
    });
    let mut outcome = json!({ "intent": 17, "kind": "outcome", "outcome": "done", "seq": 19, "time": TIME });
    change(&mut intent, &mut outcome);
    let outcome = json!({ "index": 18, "leaf": outcome.to_string() });
    proof["log"] = json!({ "index": 16, "leaf": intent.to_string(), "outcome": outcome });
    parse(&proof).unwrap().logged().unwrap()
}

#[test]
fn the_logs_entries_are_of_this_publish() {
    let logged = in_tree(|_, _| {}).unwrap();
    assert_eq!((logged.index, logged.user.as_str(), logged.time), (16, "alice", TIME.parse().unwrap()));
    let outcome = logged.outcome.unwrap();
    assert_eq!((outcome.index, outcome.end), (18, End::Done));
    assert_ne!(logged.leaf, outcome.leaf);
    for (field, value) in [
        ("kind", "outcome"),
        ("mutation", "yank"),
        ("name", "jello"),
        ("vers", "1.0.1"),
        ("cksum", "00"),
        ("key", ""),
        ("token", "v3.public.x"),
    ] {
        let changed = in_tree(|intent, _| intent[field] = value.into());
        assert_eq!(changed.unwrap_err(), NotLogged::Other { index: 16, field });
    }
    for (field, value) in [("time", json!("soon")), ("seq", json!("17")), ("user", json!("a".repeat(1025)))] {
        assert_eq!(in_tree(|intent, _| intent[field] = value).unwrap_err(), NotLogged::Entry(16));
    }
    for (field, value) in [("kind", json!("intent")), ("intent", json!(16)), ("outcome", json!("perhaps"))] {
        let changed = in_tree(|_, outcome| outcome[field] = value);
        assert_eq!(changed.unwrap_err(), NotLogged::OtherOutcome { index: 18, field });
    }
    let long = in_tree(|intent, _| intent["salt"] = "x".repeat(transparency_log::MAX_LEAF_BYTES).into());
    assert_eq!(long.unwrap_err(), NotLogged::Entry(16));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Proof::parse(&bytes);
    }

    #[test]
    fn a_value_of_any_kind_in_any_field_is_judged(
        field in "index|name|vers|cksum|token|public|role|attestation|log",
        value in "null|true|1|1e999|\"x\"|\\[\\]|\\[1\\]|\\[\\{\\}\\]|\\{\\}|\\{\"seq\":1,\"entry\":\"\",\"path\":\\[\\]\\}",
    ) {
        let text = good().to_string();
        let (before, after) = text.split_once(&format!("\"{field}\":")).unwrap();
        let rest = after.find(",\"").map_or("}", |end| &after[end..]);
        if let Ok(proof) = Proof::parse(format!("{before}\"{field}\":{value}{rest}").as_bytes()) {
            let held = proof.signed().is_ok() && proof.logged().is_none_or(|logged| logged.is_ok());
            prop_assert!(!held || value == "null" || field == "attestation");
        }
    }
}

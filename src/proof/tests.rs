use asymmetric_token::paseto::pre_authentication_encoding;
use asymmetric_token::{Footer, Prepared};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p384::ecdsa::signature::{Signer as _, hazmat::PrehashSigner as _};
use p384::ecdsa::{Signature, SigningKey};
use proptest::prelude::*;
use serde_json::json;
use sha2::{Digest as _, Sha256};

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
        "version": 1, "index": INDEX, "name": "hello", "vers": "1.0.0", "cksum": Checksum([7; 32]).to_string(),
        "token": token, "public": key(1).1.to_string(), "role": "publish", "attestation": null, "audit": null,
    })
}

fn good() -> Value {
    with_token(&token(INDEX, Some(publish("hello", "1.0.0", 7))))
}

fn parse(json: &Value) -> Result<Proof, Error> {
    Proof::parse(json.to_string().as_bytes())
}

/// A log of entries 5 to 7 and a head of the last, as a registry hands it out for entry 5.
fn audit(proof: &Value) -> Value {
    let intent = json!({
        "cksum": proof["cksum"], "key": key(1).1.id().to_string(), "kind": "intent", "mutation": "publish",
        "name": proof["name"], "prev": "00", "seq": 5, "time": TIME, "token": proof["token"],
        "user": "alice", "vers": proof["vers"],
    });
    let mut entries = vec![intent.to_string()];
    for seq in 6..=7 {
        let prev = hash(entries.last().unwrap());
        entries.push(json!({ "kind": "outcome", "prev": prev, "seq": seq, "time": TIME }).to_string());
    }
    let head = head(INDEX, 7, &hash(entries.last().unwrap()));
    json!({ "seq": 5, "entry": entries[0], "path": entries[1..], "head": head })
}

fn hash(entry: &str) -> String {
    Checksum(Sha256::digest(entry).into()).to_string()
}

fn head(index: &str, seq: u64, hash: &str) -> String {
    let (key, public) = key(9);
    let mut head = json!({
        "hash": hash, "index": index, "key": public.to_string(), "seq": seq, "time": TIME, "version": 1,
    });
    let text = head.to_string();
    let signed = pre_authentication_encoding(&[b"registry-gateway audit head v1", text.as_bytes()]);
    let signature: Signature = key.sign(&signed);
    head["signature"] = URL_SAFE_NO_PAD.encode(signature.to_bytes()).into();
    head.to_string()
}

fn logged(change: impl FnOnce(&mut Value)) -> Result<Logged, NotLogged> {
    let mut proof = good();
    proof["audit"] = audit(&proof);
    change(&mut proof["audit"]);
    parse(&proof).unwrap().logged().unwrap()
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
    assert!(matches!(with("version", 2.into()), Error::Newer { version: 2 }));
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

#[test]
fn the_log_leads_to_a_signed_head() {
    let found = logged(|_| {}).unwrap();
    assert_eq!((found.seq, found.user.as_str()), (5, "alice"));
    let head = found.head.unwrap();
    assert_eq!((head.seq, head.key), (7, key(9).1.id()));
    assert_eq!(logged(|audit| audit["head"] = Value::Null).unwrap().head, None);
}

#[test]
fn every_change_of_the_log_is_found() {
    let edit = |audit: &mut Value, place: &str, from: &str, to: &str| {
        let text = audit.pointer_mut(place).unwrap();
        let changed = text.as_str().unwrap().replacen(from, to, 1);
        assert_ne!(text.as_str(), Some(changed.as_str()));
        *text = changed.into();
    };
    let edited =
        |place: &str, from: &str, to: &str| logged(|audit| edit(audit, place, from, to)).unwrap_err();
    assert_eq!(edited("/entry", "alice", "mallory"), NotLogged::Unlinked(6));
    assert_eq!(edited("/entry", "hello", "jello"), NotLogged::Other { seq: 5, field: "name" });
    assert_eq!(edited("/entry", "v3.public", "v3.publiC"), NotLogged::Other { seq: 5, field: "token" });
    assert_eq!(edited("/entry", "\"seq\":5", "\"seq\":4"), NotLogged::Other { seq: 5, field: "seq" });
    assert_eq!(edited("/entry", "intent", "outcome"), NotLogged::Other { seq: 5, field: "kind" });
    assert_eq!(edited("/entry", "2026", "soon"), NotLogged::Entry(5));
    assert_eq!(edited("/path/0", "outcome", "admin"), NotLogged::Unlinked(7));
    assert_eq!(edited("/path/0", "}", ""), NotLogged::Entry(6));
    assert_eq!(edited("/path/1", "outcome", "admin"), NotLogged::OtherHead(7));
    assert_eq!(edited("/path/1", "\"seq\":7", "\"seq\":8"), NotLogged::Unlinked(7));
    assert_eq!(edited("/head", "12:00:00", "12:00:01"), NotLogged::Signature(7));
    assert_eq!(edited("/head", "\"version\":1", "\"version\":2"), NotLogged::Head);
    assert_eq!(edited("/head", "\"signature\":\"", "\"signature\":\"AAAA"), NotLogged::Head);
    let cut = logged(|audit| _ = audit["path"].as_array_mut().unwrap().pop());
    assert_eq!(cut.unwrap_err(), NotLogged::OtherHead(7));
    let removed = logged(|audit| _ = audit["path"].as_array_mut().unwrap().remove(0));
    assert_eq!(removed.unwrap_err(), NotLogged::Unlinked(6));
    let long = logged(|audit| audit["path"] = vec![""; 65].into());
    assert_eq!(long.unwrap_err(), NotLogged::TooLong(65));
    let long = logged(|audit| {
        audit["path"] = vec![""; 65].into();
        audit["head"] = Value::Null;
    });
    assert_eq!(long.unwrap_err(), NotLogged::TooLong(65));
    let name = format!("alice{}", "e".repeat(1 << 10));
    assert_eq!(edited("/entry", "alice", &name), NotLogged::Entry(5));
    let elsewhere = "sparse+https://other.example/".to_owned();
    let other = logged(|audit| {
        let hash = hash(audit["path"][1].as_str().unwrap());
        audit["head"] = head(&elsewhere, 7, &hash).into();
    });
    assert_eq!(other.unwrap_err(), NotLogged::OtherLog { index: elsewhere });
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Proof::parse(&bytes);
    }

    #[test]
    fn a_value_of_any_kind_in_any_field_is_judged(
        field in "index|name|vers|cksum|token|public|role|attestation|audit",
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

//! `enroll` tokens: their form, and that they are no other tokens.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use asymmetric_token::{BadRole, Claims, Enrollment, Error, Footer, Part, Prepared, Role, Untrusted};
use p384::ecdsa::signature::hazmat::{PrehashSigner as _, PrehashVerifier as _};
use p384::ecdsa::{Signature, VerifyingKey};
use sha2::{Digest as _, Sha384};
use support::SoftwareKey;

const IAT: &str = r#""iat":"2026-11-20T12:00:00Z""#;

fn enrollment() -> Enrollment {
    Enrollment {
        issued_at: "2026-11-20T12:00:00Z".parse().unwrap(),
        challenge: "nonce".into(),
        role: Role::Publish,
        keys: (1..=3).map(|seed| SoftwareKey::new(seed).public().id()).collect(),
    }
}

fn sign(key: &SoftwareKey, prepared: Prepared) -> String {
    let signature: Signature = key.0.sign_prehash(prepared.digest()).unwrap();
    prepared.finish(&signature.to_bytes().into()).unwrap()
}

fn verify(token: &str) -> Result<Enrollment, Error> {
    let key = SoftwareKey::new(7).public();
    let check = |public: &[u8; 49], message: &[u8], signature: &[u8; 96]| {
        let public = VerifyingKey::from_sec1_bytes(public).unwrap();
        let signature = Signature::from_slice(signature).unwrap();
        public.verify_prehash(&Sha384::digest(message), &signature).is_ok()
    };
    Untrusted::parse(token)?.verify_enrollment_with(&key, check).map(|(enrollment, _)| enrollment)
}

/// The enrollment in a correctly signed token with this payload.
fn payload(json: &str) -> Result<Enrollment, Error> {
    let key = SoftwareKey::new(7);
    verify(&key.forge(json, key.footer()))
}

#[test]
fn comes_back_as_it_was_with_sorted_keys() {
    let key = SoftwareKey::new(7);
    let footer = Footer::new("sparse+https://r.example/", key.public().id());
    let prepared = Prepared::enrollment(&key.public(), &enrollment(), &footer).unwrap();
    let mut expected = enrollment();
    expected.keys.sort_by_key(ToString::to_string);
    assert_eq!(verify(&sign(&key, prepared)).unwrap(), expected);
    for count in [0, 5] {
        let id = key.public().id();
        let keys = Enrollment { keys: vec![id; count], ..enrollment() };
        let refused = Prepared::enrollment(&key.public(), &keys, &footer);
        assert_eq!(refused.unwrap_err(), Error::EnrollmentKeys);
    }
}

#[test]
fn neither_is_taken_for_the_other() {
    let key = SoftwareKey::new(7);
    let footer = Footer::new("sparse+https://r.example/", key.public().id());
    let enroll = sign(&key, Prepared::enrollment(&key.public(), &enrollment(), &footer).unwrap());
    let untrusted = Untrusted::parse(&enroll).unwrap();
    assert_eq!(untrusted.unverified_claims(), Err(Error::Enrollment));
    assert_eq!(untrusted.verify(&key.public()), Err(Error::Enrollment));
    let read = Claims::read("2026-11-20T12:00:00Z".parse().unwrap());
    let read = sign(&key, Prepared::new(&key.public(), &read, &footer).unwrap());
    assert_eq!(verify(&read), Err(Error::NotEnrollment));
}

#[test]
fn a_forged_signature() {
    let key = SoftwareKey::new(7);
    let other = SoftwareKey::new(8).forge(format!("{{{IAT}}}"), key.footer());
    assert_eq!(verify(&other), Err(Error::BadSignature));
    assert_eq!(
        verify(&SoftwareKey::new(8).forge("{}", SoftwareKey::new(8).footer())),
        Err(Error::KeyMismatch)
    );
}

#[test]
fn nothing_but_its_own_claims() {
    let [a, b] = {
        let mut ids = [1, 2].map(|seed| SoftwareKey::new(seed).public().id().to_string());
        ids.sort();
        ids
    };
    let of = |more: &str, custom: &str| {
        payload(&format!(r#"{{{IAT},"mutation":"enroll","challenge":"n"{more},"custom":{custom}}}"#))
    };
    let good = format!(r#"{{"role":"read","keys":["{a}","{b}"]}}"#);
    assert!(of("", &good).is_ok());
    assert!(of(r#","v":1"#, &good).is_ok());
    assert_eq!(of(r#","v":2"#, &good), Err(Error::UnknownVersion));
    for more in [r#","name":"a""#, r#","sub":"a""#, r#","vers":"1.0.0""#] {
        assert!(matches!(of(more, &good), Err(Error::UnknownName { part: Part::Payload, .. })), "{more}");
    }
    let keys = |keys: &str| of("", &format!(r#"{{"role":"read","keys":{keys}}}"#));
    for bad in [
        "[]".to_owned(),
        format!(r#"["{b}","{a}"]"#),
        format!(r#"["{a}","{a}"]"#),
        format!(r#"["{a}",1]"#),
        format!(r#""{a}""#),
        "null".to_owned(),
    ] {
        assert_eq!(keys(&bad), Err(Error::EnrollmentKeys), "{bad}");
    }
    assert_eq!(keys(r#"["k3.pid.x"]"#), Err(Error::KeyIdSyntax));
    assert_eq!(of("", r#"{"keys":[]}"#), Err(Error::Missing("role")));
    assert_eq!(of("", &good.replace("read", "admin")), Err(Error::Role(BadRole)));
    assert_eq!(of("", "[]"), Err(Error::WrongType("custom")));
    let extra = format!(r#"{{"role":"read","keys":["{a}"],"more":1}}"#);
    assert!(matches!(of("", &extra), Err(Error::UnknownName { .. })));
    assert_eq!(
        payload(&format!(r#"{{{IAT},"mutation":"enroll","custom":{good}}}"#)),
        Err(Error::Missing("challenge"))
    );
}

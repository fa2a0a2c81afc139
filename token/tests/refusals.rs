//! Everything a verifier refuses, each with the error it must give. Every token here carries a valid signature, so
//! that nothing but the rule under test can refuse it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use asymmetric_token::{Claims, Error, Footer, Part, Prepared, PublicKey, Untrusted, paseto};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p384::ecdsa::signature::hazmat::PrehashSigner as _;
use p384::ecdsa::{Signature, SigningKey};
use sha2::{Digest as _, Sha384};
use support::SoftwareKey;

const IAT: &str = r#""iat":"2026-11-20T12:00:00Z""#;
const CKSUM: &str = "f7dbb6acfeff1d490fba693a402456f76b344fea77a5e7cae43b5970c3332b8f";

fn verify(token: &str) -> Result<Claims, Error> {
    let key = SoftwareKey::new(7).public();
    Untrusted::parse(token)?.verify(&key).map(|verified| verified.claims)
}

/// The claims of a token with this payload.
fn payload(json: impl AsRef<[u8]>) -> Result<Claims, Error> {
    let key = SoftwareKey::new(7);
    verify(&key.forge(json, key.footer()))
}

/// The claims of a read token with this footer.
fn footer(json: impl AsRef<[u8]>) -> Result<Claims, Error> {
    verify(&SoftwareKey::new(7).forge(format!("{{{IAT}}}"), json))
}

fn good() -> String {
    let key = SoftwareKey::new(7);
    key.forge(format!("{{{IAT}}}"), key.footer())
}

#[test]
fn a_good_token_passes() {
    assert_eq!(verify(&good()).unwrap(), Claims::read("2026-11-20T12:00:00Z".parse().unwrap()));
}

#[test]
fn framing() {
    assert_eq!(verify("01234567890123456789012345678901"), Err(Error::WrongHeader));
    assert_eq!(verify(&good().replace("v3.public.", "v4.public.")), Err(Error::WrongHeader));
    assert_eq!(verify(&good().replace("v3.public.", "v3.local.")), Err(Error::WrongHeader));
    assert_eq!(verify(&format!(" {}", good())), Err(Error::WrongHeader));
    for trailing in [".", ".x", "\n", " ", ".e30"] {
        assert_eq!(verify(&format!("{}{trailing}", good())), Err(Error::TrailingBytes), "{trailing:?}");
    }
    let unsigned = format!("v3.public.{}.e30", URL_SAFE_NO_PAD.encode(r#"{"iat":"2026-11-20T12:00:00Z"}"#));
    assert_eq!(verify(&unsigned), Err(Error::Truncated));
    assert_eq!(verify(&format!("v3.public.{}", "A".repeat(4087))), Err(Error::TooLong { bytes: 4097 }));
    assert_eq!(verify(&SoftwareKey::new(7).forge(format!("{{{IAT}}}"), "")), Err(Error::NoFooter));
}

#[test]
fn base64url() {
    let token = good();
    let (head, footer) = token.rsplit_once('.').unwrap();
    assert_eq!(verify(&format!("{head}=.{footer}")), Err(Error::Padded(Part::Payload)));
    assert_eq!(verify(&format!("{token}=")), Err(Error::Padded(Part::Footer)));
    assert_eq!(verify(&format!("{head}+.{footer}")), Err(Error::NotBase64(Part::Payload)));
    assert_eq!(verify(&format!("{head}.{footer}/")), Err(Error::NotBase64(Part::Footer)));
    // Bits beyond the last byte: two spellings of one token.
    assert!(URL_SAFE_NO_PAD.decode("e30").is_ok());
    assert_eq!(verify(&format!("{head}.e31")), Err(Error::NotBase64(Part::Footer)));
}

#[test]
fn json_of_the_payload() {
    let refused = |json: &str| payload(json).unwrap_err();
    assert_eq!(payload([b'{', 0xff, b'}']), Err(Error::NotUtf8(Part::Payload)));
    assert_eq!(refused("[]"), Error::NotJson(Part::Payload));
    assert_eq!(refused(&format!("{{{IAT}}}{{}}")), Error::NotJson(Part::Payload));
    assert_eq!(refused(&format!("{{{IAT},}}")), Error::NotJson(Part::Payload));
    assert_eq!(
        refused(&format!("{{{IAT},{IAT}}}")),
        Error::DuplicateName { part: Part::Payload, name: "iat".into() }
    );
    assert_eq!(
        refused(&format!(r#"{{{IAT},"custom":{{"a":[{{"b":1,"b":2}}]}}}}"#)),
        Error::DuplicateName { part: Part::Payload, name: "b".into() }
    );
    assert_eq!(
        refused(&format!(r#"{{{IAT},"exp":"2026-11-20T12:00:00Z"}}"#)),
        Error::UnknownName { part: Part::Payload, name: "exp".into() }
    );
    assert_eq!(
        refused(&format!(r#"{{{IAT},"Mutation":"yank"}}"#)),
        Error::UnknownName { part: Part::Payload, name: "Mutation".into() }
    );
}

#[test]
fn issued_at() {
    for fine in [
        "2026-11-20T12:00:00Z",
        "2026-11-20T12:00:00.123456789Z",
        "2026-11-20T12:00:00+00:00",
        "2026-11-20T14:00:00.5+02:00",
        "2026-11-20T10:30:00-01:30",
    ] {
        assert!(payload(format!(r#"{{"iat":"{fine}"}}"#)).is_ok(), "{fine}");
    }
    for bad in [
        "",
        "now",
        "1763640000",
        "2026-11-20",
        "2026-11-20T12:00Z",
        "2026-11-20T12:00:00",
        "20261120T120000Z",
        "2026-11-20T12:00:00+0000",
        "2026-11-20t12:00:00z",
        "2026-11-20 12:00:00Z",
        "2026-13-20T12:00:00Z",
        "2026-11-20T12:00:00.Z",
        "2026-11-20T12:00:00.1234567890Z",
        "2026-11-20T12:00:00Z[UTC]",
        "2026-11-20T12:00:00,5Z",
        "+002026-11-20T12:00:00Z",
        "2026-11-20T12:00:00é00:00",
    ] {
        assert_eq!(payload(format!(r#"{{"iat":"{bad}"}}"#)), Err(Error::IssuedAt), "{bad}");
    }
    assert_eq!(payload("{}"), Err(Error::Missing("iat")));
    assert_eq!(payload(r#"{"iat":1763640000}"#), Err(Error::WrongType("iat")));
}

#[test]
fn version_of_the_claims() {
    assert!(payload(format!(r#"{{{IAT},"v":1}}"#)).is_ok());
    for bad in ["2", "0", r#""1""#, "1.5", "null"] {
        assert_eq!(payload(format!(r#"{{{IAT},"v":{bad}}}"#)), Err(Error::UnknownVersion), "{bad}");
    }
}

#[test]
fn custom() {
    let custom = |json: &str| payload(format!(r#"{{{IAT},"custom":{json}}}"#));
    let sized = |bytes: usize| format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes - 8));
    assert!(custom("{}").is_ok());
    assert!(custom(&sized(1024)).is_ok());
    assert_eq!(custom(&sized(1025)), Err(Error::CustomTooLong { bytes: 1025 }));
    for other in ["[]", "null", "1", r#""x""#] {
        assert_eq!(custom(other), Err(Error::WrongType("custom")), "{other}");
    }
}

#[test]
fn subject_and_challenge() {
    for claim in ["sub", "challenge"] {
        for bad in ["", "a b", "é", r"a\n", r"\u001b[31m"] {
            assert_eq!(
                payload(format!(r#"{{{IAT},"{claim}":"{bad}"}}"#)),
                Err(Error::NotPrintable(claim)),
                "{bad}"
            );
        }
        assert_eq!(payload(format!(r#"{{{IAT},"{claim}":1}}"#)), Err(Error::WrongType(claim)));
    }
}

#[test]
fn mutations() {
    let mutation = |rest: &str| payload(format!(r#"{{{IAT},{rest}}}"#));
    let publish = |name: &str, vers: &str, cksum: &str| {
        mutation(&format!(r#""mutation":"publish","name":"{name}","vers":"{vers}","cksum":"{cksum}""#))
    };
    assert!(publish("foo", "1.0.0", CKSUM).is_ok());
    assert_eq!(publish("../foo", "1.0.0", CKSUM), Err(Error::CrateName));
    assert_eq!(publish("", "1.0.0", CKSUM), Err(Error::CrateName));
    assert_eq!(publish("1foo", "1.0.0", CKSUM), Err(Error::CrateName));
    assert_eq!(publish("f\u{f6}\u{f6}", "1.0.0", CKSUM), Err(Error::CrateName));
    assert_eq!(publish(&"f".repeat(65), "1.0.0", CKSUM), Err(Error::CrateName));
    for bad in ["", "1", "1.0", "01.0.0", "v1.0.0", "1.0.0 "] {
        assert_eq!(publish("foo", bad, CKSUM), Err(Error::Version), "{bad}");
    }
    assert_eq!(publish("foo", "1.0.0", &CKSUM.to_uppercase()), Err(Error::Checksum));
    assert_eq!(publish("foo", "1.0.0", &CKSUM[1..]), Err(Error::Checksum));

    assert_eq!(mutation(r#""mutation":"delete","name":"foo""#), Err(Error::UnknownMutation));
    assert_eq!(mutation(r#""mutation":null"#), Err(Error::WrongType("mutation")));
    assert_eq!(mutation(r#""mutation":"yank","vers":"1.0.0""#), Err(Error::Missing("name")));
    assert_eq!(mutation(r#""mutation":"yank","name":"foo""#), Err(Error::Missing("vers")));
    assert_eq!(mutation(r#""mutation":"publish","name":"foo","vers":"1.0.0""#), Err(Error::Missing("cksum")));
    let unexpected = |claim, kind| Err(Error::UnexpectedClaim { claim, kind });
    assert_eq!(mutation(r#""name":"foo""#), unexpected("name", "read"));
    assert_eq!(mutation(r#""vers":"1.0.0""#), unexpected("vers", "read"));
    assert_eq!(mutation(&format!(r#""cksum":"{CKSUM}""#)), unexpected("cksum", "read"));
    assert_eq!(
        mutation(&format!(r#""mutation":"unyank","name":"foo","vers":"1.0.0","cksum":"{CKSUM}""#)),
        unexpected("cksum", "unyank")
    );
    assert_eq!(mutation(r#""mutation":"owners","name":"foo","vers":"1.0.0""#), unexpected("vers", "owners"));
}

#[test]
fn footers() {
    let id = SoftwareKey::new(7).public().id();
    let other = SoftwareKey::new(8).public().id();
    assert!(footer(format!(r#"{{"kid":"{id}","url":"u"}}"#)).is_ok());
    assert!(footer(format!(r#"{{"url":"u","kip":"{id}"}}"#)).is_ok());
    assert_eq!(footer(r#"{"url":"u"}"#), Err(Error::Missing("kip")));
    assert_eq!(footer(format!(r#"{{"kip":"{id}"}}"#)), Err(Error::Missing("url")));
    assert_eq!(footer(format!(r#"{{"url":"u","kip":"{id}","kid":"{other}"}}"#)), Err(Error::KeyIdsDiffer));
    assert_eq!(
        footer(format!(r#"{{"url":"u","kip":"{id}","aud":"x"}}"#)),
        Err(Error::UnknownName { part: Part::Footer, name: "aud".into() })
    );
    assert_eq!(
        footer(format!(r#"{{"url":"u","url":"w","kip":"{id}"}}"#)),
        Err(Error::DuplicateName { part: Part::Footer, name: "url".into() })
    );
    assert_eq!(footer(format!(r#"{{"url":1,"kip":"{id}"}}"#)), Err(Error::WrongType("url")));
    assert_eq!(footer("text"), Err(Error::NotJson(Part::Footer)));
    assert_eq!(footer([0xff]), Err(Error::NotUtf8(Part::Footer)));
    assert_eq!(footer(r#"{"url":"u","kip":"k3.pid.short"}"#), Err(Error::KeyIdSyntax));
    assert_eq!(
        footer(format!(r#"{{"url":"u","kip":"{}"}}"#, id.to_string().replace("pid", "sid"))),
        Err(Error::KeyIdSyntax)
    );
}

#[test]
fn signatures() {
    let (key, other) = (SoftwareKey::new(7), SoftwareKey::new(8));
    let token = other.forge(format!("{{{IAT}}}"), other.footer());
    assert_eq!(verify(&token), Err(Error::KeyMismatch));
    let stolen_footer = other.forge(format!("{{{IAT}}}"), key.footer());
    assert_eq!(verify(&stolen_footer), Err(Error::BadSignature));
    let zero = paseto::encode(format!("{{{IAT}}}").as_bytes(), &[0; 96], key.footer().as_bytes());
    assert_eq!(verify(&zero), Err(Error::BadSignature));

    // Every bit of the signed text counts. (A flipped bit of the payload never reaches the JSON reader.)
    let frame = paseto::Frame::parse(&good()).unwrap();
    for bit in 0..frame.payload.len() * 8 {
        let mut payload = frame.payload.clone();
        payload[bit / 8] ^= 1 << (bit % 8);
        let token = paseto::encode(&payload, &frame.signature, &frame.footer);
        assert_eq!(verify(&token), Err(Error::BadSignature), "bit {bit}");
    }
}

/// (r, n−s) verifies too: who refuses replays must compare claims, not bytes.
#[test]
fn the_twin_of_a_signature_verifies_as_the_same_claims() {
    let frame = paseto::Frame::parse(&good()).unwrap();
    let (r, s) = Signature::from_slice(&frame.signature).unwrap().split_scalars();
    let twin = Signature::from_scalars(r.to_bytes(), (-*s).to_bytes()).unwrap();
    let token = paseto::encode(&frame.payload, &twin.to_bytes().into(), &frame.footer);
    assert_ne!(token, good());
    assert_eq!(verify(&token), verify(&good()));
}

#[test]
fn keys() {
    let public = SoftwareKey::new(7).public();
    let parse = |bytes: &[u8]| format!("k3.public.{}", URL_SAFE_NO_PAD.encode(bytes)).parse::<PublicKey>();
    assert_eq!(parse(public.as_bytes()), Ok(public));
    let uncompressed = SoftwareKey::new(7).0.verifying_key().to_sec1_point(false);
    assert_eq!(parse(uncompressed.as_bytes()), Err(Error::KeyUncompressed));
    assert_eq!(PublicKey::from_sec1(uncompressed.as_bytes()), Err(Error::KeyUncompressed));
    let mut off_curve = [0; 49];
    off_curve[0] = 2;
    off_curve[48] = 1;
    let on_curve = |last: u8| {
        off_curve[48] = last;
        parse(&off_curve)
    };
    assert!((0..=32).map(on_curve).any(|key| key == Err(Error::KeyOffCurve)));
    let mut beyond_the_field = [0xff; 49];
    beyond_the_field[0] = 2;
    assert_eq!(parse(&beyond_the_field), Err(Error::KeyOffCurve));
    let mut uncompressed_off_curve: [u8; 97] = uncompressed.as_bytes().try_into().unwrap();
    uncompressed_off_curve[96] ^= 1;
    assert_eq!(PublicKey::from_uncompressed(&uncompressed_off_curve), Err(Error::KeyOffCurve));
    let mut identity = [0; 49];
    assert_eq!(parse(&identity), Err(Error::KeyUncompressed));
    identity[0] = 4;
    assert_eq!(parse(&identity), Err(Error::KeyUncompressed));
    assert_eq!(parse(&[2; 48]), Err(Error::KeySyntax));
    assert_eq!(public.to_string().replace("public", "secret").parse::<PublicKey>(), Err(Error::KeySyntax));
    assert_eq!(format!("{public}=").parse::<PublicKey>(), Err(Error::KeySyntax));
}

#[test]
fn signing_refuses_what_nobody_would_accept() {
    let (key, other) = (SoftwareKey::new(7), SoftwareKey::new(8));
    let footer = Footer::new("sparse+https://r.example/", key.public().id());
    let claims = Claims::read("2026-11-20T12:00:00Z".parse().unwrap());
    let sign = |secret: &SigningKey, claims: &Claims| {
        let prepared = Prepared::new(&key.public(), claims, &footer)?;
        let signature: Signature = secret.sign_prehash(prepared.digest()).unwrap();
        prepared.finish(&signature.to_bytes().into())
    };
    assert!(sign(&key.0, &claims).is_ok());
    assert_eq!(sign(&other.0, &claims), Err(Error::BadSignature));
    assert_eq!(Prepared::new(&other.public(), &claims, &footer).unwrap_err(), Error::KeyMismatch);
    let subject = |text: &str| Claims { subject: Some(text.into()), ..claims.clone() };
    assert_eq!(sign(&key.0, &subject("two words")), Err(Error::NotPrintable("sub")));
    assert!(matches!(sign(&key.0, &subject(&"x".repeat(4000))), Err(Error::TooLong { .. })));
}

/// Who verifies with another implementation sees what the token will have, and decides.
#[test]
fn nothing_leaves_without_the_check() {
    let key = SoftwareKey::new(7);
    let footer = Footer::new("sparse+https://r.example/", key.public().id());
    let claims = Claims::read("2026-11-20T12:00:00Z".parse().unwrap());
    let prepared = || Prepared::new(&key.public(), &claims, &footer).unwrap();
    let low: Signature = key.0.sign_prehash(prepared().digest()).unwrap();
    let low = low.normalize_s();
    let high = Signature::from_scalars(low.r(), -low.s()).unwrap();
    for signature in [low, high] {
        let refused = prepared().finish_with(&signature.to_bytes().into(), |_, _, _| false);
        assert_eq!(refused, Err(Error::BadSignature));
        let mut seen = None;
        let token = prepared().finish_with(&signature.to_bytes().into(), |public, message, signature| {
            seen = Some((*public, Sha384::digest(message), *signature));
            true
        });
        let given = (*key.public().as_bytes(), (*prepared().digest()).into(), low.to_bytes().into());
        assert_eq!(seen, Some(given));
        assert!(Untrusted::parse(&token.unwrap()).unwrap().verify(&key.public()).is_ok());
    }
    let zero = prepared().finish_with(&[0; 96], |_, _, _| true);
    assert_eq!(zero, Err(Error::BadSignature));
}

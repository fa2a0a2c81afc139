//! Any bytes in place of a token, of its payload and footer, of a key, or of a registry's `WWW-Authenticate`.
//!
//! The first byte says which: 0, the rest is a token; 1, it is a payload and, after a byte FF, a footer; 2, a key or a key id;
//! 3, the lines of the header. What is read has one spelling, or is the same when it is written and read again.
#![no_main]

use asymmetric_token::strict_json::{self, StrictJsonError};
use asymmetric_token::{
    CargoChallenge, Claims, Enrollment, Error, Footer, KeyId, Prepared, PublicKey, Untrusted, paseto,
};
use libfuzzer_sys::fuzz_target;

/// The generator of P-384, compressed (SEC 2, 2.5.1).
const GENERATOR: &str = "k3.public.A6qHyiK-iwU3jrHHHvMgrXRuHTtii6ebmFn3QeCCVCo4VQLyXb9VKWw6VF44cnYKtw";

const URL: &str = "sparse+https://registry.example/index/";

fuzz_target!(|input: &[u8]| {
    let Some((how, input)) = input.split_first() else { return };
    match how % 4 {
        0 => std::str::from_utf8(input).map(token).unwrap_or_default(),
        1 => parts(input),
        2 => std::str::from_utf8(input).map(key).unwrap_or_default(),
        _ => header(input),
    }
});

fn token(text: &str) {
    let Ok(frame) = paseto::Frame::parse(text) else {
        assert!(Untrusted::parse(text).is_err());
        return;
    };
    assert_eq!(paseto::encode(&frame.payload, &frame.signature, &frame.footer), text, "one spelling");
    let Ok(untrusted) = Untrusted::parse(text) else { return };
    let (claims, enrollment) = (untrusted.unverified_claims(), untrusted.unverified_enrollment());
    assert!(claims.is_err() || enrollment.is_err(), "nothing is both");
    if let Ok(claims) = claims {
        comes_back(&claims);
    }
    if let Ok(enrollment) = enrollment {
        enrollment_comes_back(&enrollment);
    }
    let (url, field) = (untrusted.footer().url.clone(), untrusted.footer().field);
    let generator = GENERATOR.parse::<PublicKey>().expect("a point of the curve");
    let footer = Footer { field, ..Footer::new(url, generator.id()) };
    let read = Claims::read("2026-11-20T12:00:00Z".parse().expect("a time"));
    if let Some(text) = finished(Prepared::new(&generator, &read, &footer)) {
        assert_eq!(*Untrusted::parse(&text).expect("ours").footer(), footer);
    }
}

fn parts(input: &[u8]) {
    let mut parts = input.splitn(2, |byte| *byte == 0xFF);
    let (payload, footer) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    for part in [payload, footer] {
        std::str::from_utf8(part).map(json).unwrap_or_default();
    }
    token(&paseto::encode(payload, &[1; 96], footer));
}

/// serde_json reads the same, where it takes no name twice.
fn json(text: &str) {
    let plain = serde_json::from_str::<serde_json::Value>(text);
    match strict_json::parse(text) {
        Ok(value) => assert_eq!(plain.expect("what is strict JSON is JSON"), value),
        Err(StrictJsonError::Syntax(_)) => assert!(plain.is_err()),
        Err(StrictJsonError::DuplicateName(_)) => {}
    }
}

fn comes_back(claims: &Claims) {
    let key = GENERATOR.parse::<PublicKey>().expect("a point of the curve");
    let prepared = Prepared::new(&key, claims, &Footer::new(URL, key.id()));
    let Some(text) = finished(prepared) else { return };
    let again = Untrusted::parse(&text).expect("ours").unverified_claims().expect("ours");
    // A token has microseconds, and what is finer is cut off the text: before 1970 too that is the earlier one.
    let issued_at = again.issued_at;
    assert_eq!(issued_at.as_nanosecond(), claims.issued_at.as_nanosecond().div_euclid(1000) * 1000);
    assert_eq!(again, Claims { issued_at, ..claims.clone() });
}

fn enrollment_comes_back(enrollment: &Enrollment) {
    let key = GENERATOR.parse::<PublicKey>().expect("a point of the curve");
    let footer = Footer::new(URL, key.id());
    let Some(text) = finished(Prepared::enrollment(&key, enrollment, &footer)) else { return };
    let again = Untrusted::parse(&text).expect("ours").unverified_enrollment().expect("ours");
    assert_eq!((&again.role, &again.keys), (&enrollment.role, &enrollment.keys));
}

/// With a signature that nobody verifies. What was read can be written, unless the token becomes too long: that is known
/// before anything is signed.
fn finished(prepared: Result<Prepared, Error>) -> Option<String> {
    let mut signature = [0; 96];
    (signature[47], signature[95]) = (1, 1);
    match prepared {
        Ok(prepared) => {
            Some(prepared.finish_with(&signature, |_, _, _| true).expect("all lengths are known"))
        }
        Err(error) => {
            assert!(matches!(error, Error::TooLong { .. }), "{error}");
            None
        }
    }
}

fn key(text: &str) {
    if let Ok(id) = text.parse::<KeyId>() {
        assert_eq!(id.to_string(), text, "one spelling");
    }
    if let Ok(key) = text.parse::<PublicKey>() {
        assert_eq!(key.to_string(), text, "one spelling");
        assert_eq!(key.id().to_string().parse(), Ok(key.id()));
    }
}

/// What goes into a token is printable, and short enough for one.
fn header(input: &[u8]) {
    let Ok(Some(found)) = CargoChallenge::find(input.split(|byte| *byte == b'\n')) else { return };
    let Some(challenge) = found.challenge else { return };
    let read = Claims::read("2026-11-20T12:00:00Z".parse().expect("a time"));
    comes_back(&Claims { challenge: Some(challenge), ..read });
}

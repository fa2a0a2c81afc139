//! pasetors, the implementation cargo itself used, as a judge in both directions.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use asymmetric_token::{Checksum, Claims, Footer, KeyIdField, Mutation, Prepared, PublicKey, Untrusted};
use p384::ecdsa::Signature;
use p384::ecdsa::signature::hazmat::PrehashSigner as _;
use pasetors::keys::{AsymmetricPublicKey, AsymmetricSecretKey};
use pasetors::paserk::{FormatAsPaserk, Id};
use pasetors::token::UntrustedToken;
use pasetors::version3::{PublicToken, V3};
use proptest::prelude::*;
use support::SoftwareKey;

fn key() -> impl Strategy<Value = SoftwareKey> {
    (1u8..=0xf0).prop_map(SoftwareKey::new)
}

fn pasetors_public(key: &SoftwareKey) -> AsymmetricPublicKey<V3> {
    AsymmetricPublicKey::from(key.public().as_bytes()).unwrap()
}

fn claims() -> impl Strategy<Value = Claims> {
    let name = "[a-zA-Z_][a-zA-Z0-9_-]{0,20}".prop_map(|name| name.parse().unwrap());
    let version = "(0|[1-9][0-9]{0,3})\\.(0|[1-9][0-9]{0,3})\\.0(-[a-z]{1,5})?(\\+[a-z]{1,5})?"
        .prop_map(|version| version.parse().unwrap());
    let mutation =
        (name, version, any::<[u8; 32]>(), 0..5).prop_map(|(name, version, checksum, kind)| match kind {
            0 => Some(Mutation::Publish { name, version, checksum: Checksum(checksum) }),
            1 => Some(Mutation::Yank { name, version }),
            2 => Some(Mutation::Unyank { name, version }),
            3 => Some(Mutation::Owners { name }),
            _ => None,
        });
    let text = || proptest::option::of("[!-~]{1,30}");
    let custom = proptest::option::of("\\PC{0,30}");
    (0i64..4_000_000_000_000_000, mutation, text(), text(), custom).prop_map(
        |(micros, mutation, subject, challenge, custom)| Claims {
            issued_at: jiff::Timestamp::from_microsecond(micros).unwrap(),
            subject,
            mutation,
            challenge,
            custom: custom.map(|text| serde_json::Map::from_iter([(text.clone(), text.into())])),
        },
    )
}

fn field() -> impl Strategy<Value = KeyIdField> {
    prop_oneof![Just(KeyIdField::Both), Just(KeyIdField::Kip), Just(KeyIdField::Kid)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pasetors_verifies_ours(
        key in key(), claims in claims(), url in "sparse\\+https://\\PC{0,60}/", field in field()
    ) {
        let footer = Footer { field, ..Footer::new(url, key.public().id()) };
        let prepared = Prepared::new(&key.public(), &claims, &footer).unwrap();
        let signature: Signature = key.0.sign_prehash(prepared.digest()).unwrap();
        let token = prepared.finish(&signature.to_bytes().into()).unwrap();

        let untrusted = UntrustedToken::try_from(token.as_str()).unwrap();
        let judged = PublicToken::verify(&pasetors_public(&key), &untrusted, None, None).unwrap();
        let verified = Untrusted::parse(&token).unwrap().verify(&key.public()).unwrap();
        prop_assert_eq!(&verified.claims, &claims);
        prop_assert_eq!(&verified.footer, &footer);
        let json: serde_json::Value = serde_json::from_str(judged.payload()).unwrap();
        prop_assert_eq!(json["iat"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap(), claims.issued_at);
    }

    #[test]
    fn we_verify_pasetors(key in key(), claims in claims()) {
        let footer = Footer::new("sparse+https://r.example/", key.public().id());
        let prepared = Prepared::new(&key.public(), &claims, &footer).unwrap();
        let signature: Signature = key.0.sign_prehash(prepared.digest()).unwrap();
        let ours = prepared.finish(&signature.to_bytes().into()).unwrap();
        let frame = asymmetric_token::paseto::Frame::parse(&ours).unwrap();

        let secret = AsymmetricSecretKey::<V3>::from(&key.0.to_bytes()).unwrap();
        let theirs = PublicToken::sign(&secret, &frame.payload, Some(&frame.footer), None).unwrap();
        prop_assert_eq!(Untrusted::parse(&theirs).unwrap().verify(&key.public()).unwrap().claims, claims);
    }

    #[test]
    fn names_of_keys_agree(key in key()) {
        let mut paserk = String::new();
        pasetors_public(&key).fmt(&mut paserk).unwrap();
        prop_assert_eq!(&paserk, &key.public().to_string());
        let mut id = String::new();
        Id::from(&pasetors_public(&key)).fmt(&mut id).unwrap();
        prop_assert_eq!(id, key.public().id().to_string());
        prop_assert_eq!(paserk.parse::<PublicKey>().unwrap(), key.public());
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,200}", tail in "[A-Za-z0-9_.-]{0,400}") {
        let _ = Untrusted::parse(&text);
        let _ = Untrusted::parse(&format!("v3.public.{tail}"));
        let _ = text.parse::<PublicKey>();
        let key = SoftwareKey::new(7);
        let _ = Untrusted::parse(&key.forge(&text, key.footer())).map(|token| token.verify(&key.public()));
        let _ = Untrusted::parse(&key.forge("{}", &text));
    }
}

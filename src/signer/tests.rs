//! Transcripts of whole transactions, on every generation of firmware.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use asymmetric_token::{Claims, Footer, KeyIdField, Mutation, Prepared, PublicKey};
use p384::ecdsa::SigningKey;
use p384::ecdsa::signature::hazmat::PrehashSigner as _;
use proptest::prelude::*;
use zeroize::Zeroizing;

use super::*;
use crate::card::key_use::{Obstacle, Transaction};
use crate::card::pin_source::Why;
use crate::card::touch_notice::Telling;
use crate::card::touch_program::TouchProgram;
use crate::enrollment::{Card, Key};
use crate::piv::certificate::{Description, KeyPurpose};
use crate::piv::pin::Pin;
use crate::piv::script::Script;
use crate::piv::{self, P384, P384Point, PinPolicy, Piv, TouchPolicy, Version};

const SELECT: (&str, &str) =
    ("00A4040009A0000003080000100000", "61114F0600000001000079074F05A000000308 9000");
const SERIAL: (&str, &str) = ("00F8000000", "00BC614E 9000");
const NO_SERIAL: (&str, &str) = ("00F8000000", "6D00");
const PIN_STATE: &str = "00200080";
const METADATA_82: &str = "00F7008200";
const GET_CERTIFICATE_82: &str = "00CB3FFF055C035FC10D00";
const INDEX: &str = "sparse+https://r.example/";

fn key(seed: u8) -> SigningKey {
    SigningKey::from_slice(&[seed; 48]).unwrap()
}

fn point(seed: u8) -> P384Point {
    key(seed).verifying_key().to_sec1_point(false).as_bytes().try_into().unwrap()
}

/// One card, whose publish key is in slot 82 and asks for what it is told to.
fn registry(firmware: Version, pin: PinPolicy) -> Registry {
    let public = PublicKey::from_uncompressed(&point(7)).unwrap();
    let slot = "82".parse().unwrap();
    let key = Key { role: Role::Publish, slot, public, pin, touch: TouchPolicy::Never };
    let card = Card { serial: piv::Serial(12_345_678), firmware, label: "laptop".into(), keys: vec![key] };
    Registry {
        index: INDEX.parse().unwrap(),
        name: None,
        subject: None,
        key_id: KeyIdField::Both,
        challenge: ChallengeSource::None,
        reuse: 45,
        proofs: false,
        cards: vec![card],
    }
}

/// The answer to GET METADATA for a slot with this key.
fn metadata(seed: u8) -> String {
    format!("010114 02020201 030101 0463 8661{} 9000", text(&point(seed)))
}

type Attempt = Result<Signed, Obstacle>;
type Work = Box<dyn FnOnce(&mut Piv<'_>) -> Result<Attempt, Error>>;

fn work(registry: Registry, pin: Option<&str>) -> Work {
    work_at(registry, pin, false)
}

fn work_at(registry: Registry, pin: Option<&str>, contactless: bool) -> Work {
    let yank = Mutation::Yank { name: "alpha".parse().unwrap(), version: "0.1.0".parse().unwrap() };
    let pin = pin.map(|pin| Arc::new(Pin::new(Zeroizing::new(pin.to_owned())).unwrap()));
    let purpose = Purpose::Mutation(yank);
    let keys = signing::keys(&registry, &purpose);
    let cards = KnownCards::enrolled(&registry.cards);
    let signing = Signing { registry, purpose, challenge: Some("challenge-1".into()) };
    let mut transaction = Transaction {
        cards,
        keys,
        pin,
        announce: false,
        telling: Telling {
            ui: Ui::silent(),
            delay: Duration::from_secs(60),
            bell: false,
            program: TouchProgram::default(),
        },
        contactless,
        operation: move |piv: &mut Piv<'_>, key: &Key| signing.sign(piv, key),
    };
    Box::new(move |piv| Ok(transaction.run(piv)?.map(|(_, signed)| signed)))
}

/// Runs the work on a card that has exactly this to say.
fn run(work: Work, transcript: &[(&str, &str)]) -> Result<Attempt, Error> {
    let mut card = Script::new(&[&[SELECT], transcript].concat());
    let attempt = work(&mut Piv::select(&mut card).unwrap());
    card.assert_finished();
    attempt
}

fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

/// An object with our certificate for this key.
fn certificate(seed: u8) -> String {
    let purpose = KeyPurpose::Signing { role: Role::Publish, index: INDEX.into() };
    let description = Description { purpose, label: "laptop".into() };
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let der = description.certificate(&P384, &point(seed), PinPolicy::Once, TouchPolicy::Never, now).unwrap();
    let content = format!("7082{:04X}{}710100FE00", der.len(), text(&der));
    format!("5382{:04X}{content} 9000", content.len() / 2)
}

#[test]
fn a_card_is_known_by_its_number() {
    let once = || work(registry(Version::new(5, 7, 4), PinPolicy::Once), None);
    let attempt = run(once(), &[SERIAL, (PIN_STATE, "63C2")]).unwrap();
    let serial = piv::Serial(12_345_678);
    assert!(
        matches!(attempt, Err(Obstacle::NeedsPin { serial: s, tries: 2, why: Why::NotVerified }) if s == serial)
    );
    let other = run(once(), &[("00F8000000", "00000001 9000")]).unwrap();
    assert!(
        matches!(other, Err(Obstacle::OtherCard { found }) if found == [piv::Serial(1)]),
        "before any VERIFY"
    );
}

/// Firmware 4 does not tell its number; the key that the certificate names is as good.
#[test]
fn a_card_without_a_number_is_known_by_its_key() {
    let old = |pin| work(registry(Version::new(4, 3, 7), PinPolicy::Once), pin);
    let [ours, theirs] = [7, 8].map(certificate);
    let [named, state, none] = [(GET_CERTIFICATE_82, &*ours), (PIN_STATE, "63C3"), (METADATA_82, "6D00")];
    let attempt = run(old(None), &[NO_SERIAL, named, state]).unwrap();
    assert!(matches!(attempt, Err(Obstacle::NeedsPin { tries: 3, .. })));
    let is_other = |attempt: Result<Attempt, Error>| matches!(attempt.unwrap(), Err(Obstacle::OtherCard { found }) if found.is_empty());
    for not_ours in [theirs.as_str(), "5303 7001AA 9000"] {
        let attempt = run(old(Some("123456")), &[NO_SERIAL, (GET_CERTIFICATE_82, not_ours)]);
        assert!(is_other(attempt), "{not_ours}");
    }
    for nothing in ["6A82", "5300 9000"] {
        let attempt = run(old(Some("123456")), &[NO_SERIAL, (GET_CERTIFICATE_82, nothing), none]);
        assert!(is_other(attempt), "{nothing}");
    }
    // A card that was enrolled with a number may hide it since.
    let hidden = ("00F8000000", "6985");
    let new = || work(registry(Version::new(5, 4, 3), PinPolicy::Once), None);
    let attempt = run(new(), &[hidden, named, state]).unwrap();
    assert!(matches!(attempt, Err(Obstacle::NeedsPin { tries: 3, .. })));
    assert!(is_other(run(new(), &[hidden, (GET_CERTIFICATE_82, &theirs)])));
}

#[test]
fn firmware_5_3_1_is_not_asked_for_the_state_of_its_pin() {
    let tries = ("00F7008000", "0101FF 050100 06020303 9000");
    let work = work(registry(Version::new(5, 3, 1), PinPolicy::Once), None);
    let attempt = run(work, &[SERIAL, tries]);
    assert!(matches!(attempt.unwrap(), Err(Obstacle::NeedsPin { tries: 3, .. })));
}

/// The PIN goes to the card just before the signature, and what was verified earlier does not count.
#[test]
fn a_key_that_always_asks() {
    let always = |pin| work(registry(Version::new(5, 7, 4), PinPolicy::Always), pin);
    let attempt = run(always(None), &[SERIAL, (PIN_STATE, "9000")]).unwrap();
    assert!(matches!(attempt, Err(Obstacle::NeedsPin { tries: u8::MAX, why: Why::EveryTime, .. })));
    let mut card = Script::answers(&[SELECT.1, SERIAL.1, "9000", "7C0A 8208 3006 020101 020102 9000"]);
    let attempt = always(Some("123456"))(&mut Piv::select(&mut card).unwrap()).unwrap();
    card.assert_finished();
    assert!(attempt.is_ok());
}

/// After a reset the card has another PIN, and the key is gone: the PIN is not what is wrong.
#[test]
fn a_wrong_pin_of_a_key_that_is_gone() {
    let verify = ("0020008008313131313131FFFF", "63C2");
    let other = metadata(8);
    for gone in ["6A88", "010111 02020201 030101 0400 9000", &other] {
        let work = work(registry(Version::new(5, 7, 4), PinPolicy::Once), Some("111111"));
        let attempt = run(work, &[SERIAL, verify, (METADATA_82, gone)]);
        assert!(matches!(attempt, Err(Error::KeyGone { .. })), "{gone}");
    }
    let work = work(registry(Version::new(5, 2, 7), PinPolicy::Once), Some("111111"));
    let attempt = run(work, &[SERIAL, verify, (METADATA_82, "6D00"), (GET_CERTIFICATE_82, "6A82")]);
    assert!(matches!(attempt, Err(Error::KeyGone { .. })));
}

#[test]
fn a_wrong_pin_ends_the_transaction() {
    let verify = "0020008008313131313131FFFF";
    let wrong = |answer| {
        let ours = metadata(7);
        let work = work(registry(Version::new(5, 7, 4), PinPolicy::Once), Some("111111"));
        let is_there: &[_] = if answer == "63C0" { &[] } else { &[(METADATA_82, &*ours)] };
        run(work, &[&[SERIAL, (verify, answer)], is_there].concat())
    };
    assert!(matches!(wrong("63C1").unwrap(), Err(Obstacle::WrongPin { tries: 1 })));
    assert!(matches!(wrong("63C0"), Err(Error::PinBlocked { serial: piv::Serial(12_345_678) })));
}

/// `6982` means no PIN or no touch. What the card says of its PIN tells which, and no clock.
#[test]
fn a_refusal_is_for_want_of_a_pin_or_of_a_touch() {
    let refused = |pin, given, touch, contactless, answers: &[&str]| {
        let mut registry = registry(Version::new(5, 7, 4), pin);
        registry.cards[0].keys[0].touch = touch;
        let mut card = Script::answers(&[&[SELECT.1, SERIAL.1], answers].concat());
        let attempt = work_at(registry, given, contactless)(&mut Piv::select(&mut card).unwrap());
        card.assert_finished();
        attempt
    };
    use PinPolicy::{Never, Once};
    let always = TouchPolicy::Always;
    let given = Some("123456");
    let lost = refused(Once, None, always, false, &["9000", "6982", "63C2"]).unwrap();
    assert!(matches!(lost, Err(Obstacle::NeedsPin { tries: 2, why: Why::NotVerified, .. })));
    let blocked = refused(Once, None, always, false, &["9000", "6982", "6983"]);
    assert!(matches!(blocked, Err(Error::PinBlocked { .. })));
    for (pin, given, answers) in [
        (Once, None, &["9000", "6982", "9000"][..]),
        (Once, given, &["9000", "6982"]),
        (Never, None, &["6982"]),
    ] {
        let untouched = refused(pin, given, always, false, answers).unwrap();
        assert!(matches!(untouched, Err(Obstacle::NotTouched { .. })));
        let on_nfc = refused(pin, given, always, true, answers);
        assert!(matches!(on_nfc, Err(Error::NoTouchOverNfc { .. })));
        let neither = refused(pin, given, TouchPolicy::Never, false, answers);
        assert!(matches!(neither, Err(Error::AsksMore { .. })));
    }
}

/// Whatever a card signs with, only the enrolled key's signature becomes a token.
#[test]
fn a_card_that_signs_with_another_key() {
    let sign = |seed: u8, digest: &[u8; 48]| {
        let signature: p384::ecdsa::Signature = key(seed).sign_prehash(digest).unwrap();
        <[u8; 96]>::from(signature.to_bytes())
    };
    let lie = ["7C0A 8208 3006 020101 020102 9000"];
    let mut card = Script::answers(&[&[SELECT.1, SERIAL.1, "9000"], &lie[..]].concat());
    let work = work(registry(Version::new(5, 7, 4), PinPolicy::Once), None);
    let attempt = work(&mut Piv::select(&mut card).unwrap()).unwrap();
    let Signed { prepared, signature, .. } = attempt.unwrap();
    let digest = *prepared.digest();
    let again = || {
        let public = PublicKey::from_uncompressed(&point(7)).unwrap();
        let claims = Claims::read("2026-11-20T12:00:00Z".parse().unwrap());
        Prepared::new(&public, &claims, &Footer::new(INDEX, public.id())).unwrap()
    };
    assert!(prepared.finish_with(&signature, is_signed).is_err());
    assert!(again().finish_with(&sign(8, again().digest()), is_signed).is_err(), "another key");
    assert!(again().finish_with(&sign(7, &digest), is_signed).is_err(), "another token");
    assert!(again().finish_with(&sign(7, again().digest()), is_signed).is_ok());
}

#[test]
fn a_card_that_answers_nonsense() {
    for lies in [
        &["9000"][..],
        &["00BC614E00 9000"],
        &["00BC614E 9000", "6F00"],
        &["00BC614E 9000", "9000", "9000"],
        &["00BC614E 9000", "9000", "7C82FFFF 9000"],
    ] {
        let mut card = Script::answers(&[&[SELECT.1], lies].concat());
        let work = work(registry(Version::new(5, 7, 4), PinPolicy::Once), None);
        let attempt = work(&mut Piv::select(&mut card).unwrap());
        assert!(matches!(attempt, Err(Error::Piv(_))), "{lies:?}");
    }
}

#[test]
fn a_challenge_does_not_outlive_a_long_prompt() {
    let challenge = Challenge { text: "x".into(), fetched: Instant::now() };
    assert!(!challenge.is_old(challenge.fetched + Duration::from_secs(59)));
    assert!(challenge.is_old(challenge.fetched + Duration::from_secs(61)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// With the longest index URL for which there is room, a token can be made, whoever the crate and the registry's challenge are.
    #[test]
    fn what_has_room_is_never_too_long(
        subject in proptest::option::of("[!-~]{1,1000}"),
        name in "[a-z][a-z0-9_-]{62,63}",
        challenge in "[A-Za-z0-9+/=_-]{127,128}",
    ) {
        let index = |length| -> IndexUrl { format!("sparse+https://r.example/{}/", "x".repeat(length)).parse().unwrap() };
        let lengths: Vec<usize> = (0..4096).collect();
        let too_long = lengths.partition_point(|length| has_room(&index(*length), subject.as_deref()).is_ok());
        prop_assert!((1..4096).contains(&too_long));
        let index = index(too_long - 1);
        let public = PublicKey::from_uncompressed(&P384.generator()).unwrap();
        let mutation = Mutation::Publish {
            name: name.parse().unwrap(),
            version: semver::Version::new(0, 1, 0),
            checksum: "f".repeat(64).parse().unwrap(),
        };
        let claims = Claims { subject, challenge: Some(challenge), ..Claims::mutate(Timestamp::now(), mutation) };
        let prepared = Prepared::new(&public, &claims, &Footer::new(index.to_string(), public.id()));
        prop_assert!(prepared.is_ok(), "{:?}", prepared.err());
    }
}

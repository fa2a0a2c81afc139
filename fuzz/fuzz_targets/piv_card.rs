//! What a card says, or another program has left on it: data objects, certificates, metadata, whole answers.
//!
//! The first byte says which. 0: data objects in BER-TLV. 1: a certificate in DER, of a slot or of an attestation. 2: one answer;
//! the next byte says to which command, and the rest is its data. 3: answer after answer as they come over the wire, each after
//! its length (two bytes, the high one first), to one command after the other.
#![no_main]
#![allow(dead_code, unused_imports, reason = "yk-cargo uses the rest")]

/// The client's own modules, without what stands above them: that is built in a tenth of the time. It is a macro because
/// `cargo xtask floors` would look for them in this folder.
macro_rules! modules_of_yk_cargo {
    ($($name:ident)*) => {
        #[path = "../../src"]
        mod yk_cargo {
            $(pub(crate) mod $name;)*
        }
    };
}
modules_of_yk_cargo!(piv);

/// It is nobody's outside of `piv`.
macro_rules! objects {
    () => {
        #[path = "../../src/piv"]
        mod objects {
            use crate::piv::Error;

            pub(crate) mod tlv;
        }
    };
}
objects!();

use std::time::{Duration, SystemTime};

use libfuzzer_sys::fuzz_target;
use objects::tlv;
// By this name its files know it.
use yk_cargo::piv;

use piv::attestation::Attestation;
use piv::certificate::{self, Description, SlotCertificate};
use piv::pin::Pin;
use piv::{Curve, ManagementKey, P256, P384, PinPolicy, Piv, Slot, TouchPolicy, Transmit, TransportError};

const SELECTED: [u8; 21] = *b"\x61\x11\x4F\x06\0\0\x10\0\x01\0\x79\x07\x4F\x05\xA0\0\0\x03\x08\x90\0";

/// A command that a card may be sent; what it answers is looked at where anything is promised about it.
type Command = fn(&mut Piv<'_>);

const COMMANDS: [Command; 17] = [
    |piv| drop(piv.version()),
    |piv| drop(piv.serial()),
    |piv| drop(piv.pin_state()),
    |piv| drop(piv.pin_metadata()),
    |piv| drop(piv.puk_metadata()),
    |piv| drop(piv.management_key_metadata()),
    |piv| drop(piv.protected_management_key()),
    |piv| drop(piv.authenticate_management(&ManagementKey::factory_default())),
    |piv| drop(piv.verify_pin(&Pin::new("123456".to_owned().into()).expect("six digits"))),
    |piv| drop(piv.occupancy(slot())),
    |piv| drop(piv.put_certificate(slot(), &[1])),
    |piv| drop(piv.attest(slot()).map(|der| certificate(&der))),
    |piv| {
        let Ok(Some(object)) = piv.certificate(slot()) else { return };
        let described = object.read();
        assert_eq!(described, object.der().map_or(SlotCertificate::Foreign, certificate::read));
        object.point(&P384).into_iter().for_each(|point| is_on(&P384, &point));
        object.point(&P256).into_iter().for_each(|point| is_on(&P256, &point));
    },
    |piv| key(piv, &P384),
    |piv| key(piv, &P256),
    |piv| drop(piv.sign_p384(slot(), &[7; 48])),
    |piv| drop(piv.agree_p256(slot(), &[4; 65])),
];

fuzz_target!(|input: &[u8]| {
    match input.split_first() {
        Some((0, objects)) => data_objects(objects),
        Some((1, der)) => certificate(der),
        Some((2, [command, data @ ..])) => {
            let pieces = data.chunks(256).collect::<Vec<_>>();
            let last = pieces.len().saturating_sub(1);
            let answer = |(at, piece): (usize, &&[u8])| {
                let status: &[u8] = if at < last { &[0x61, 0] } else { &[0x90, 0] };
                [piece, status].concat()
            };
            let answers = pieces.iter().enumerate().map(answer);
            let mut card = Card(std::iter::once(SELECTED.to_vec()).chain(answers).collect());
            let Ok(mut piv) = Piv::select(&mut card) else { return };
            COMMANDS[usize::from(*command) % COMMANDS.len()](&mut piv);
        }
        Some((3, mut wire)) => {
            let mut answers = Vec::new();
            while let [high, low, rest @ ..] = wire {
                let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
                let (answer, rest) = rest.split_at(length);
                answers.push(answer.to_vec());
                wire = rest;
            }
            let mut card = Card(answers.into());
            let Ok(mut piv) = Piv::select(&mut card) else { return };
            COMMANDS.iter().for_each(|command| command(&mut piv));
        }
        _ => {}
    }
});

/// Every object lies in its input, and says the same when it is written and read again.
fn data_objects(mut input: &[u8]) {
    while let Some((object, rest)) = tlv::split(input) {
        assert!(object.value.len() + rest.len() + 2 <= input.len());
        let mut written = Vec::new();
        tlv::push(&mut written, object.tag, object.value);
        assert_eq!(tlv::only(&written, object.tag, "object").expect("just written"), object.value);
        assert!(written.len() + rest.len() <= input.len(), "written in the shortest form");
        if let Ok(Some(value)) = tlv::find(input, object.tag, "object") {
            assert_eq!(value, object.value, "the only one with this tag");
        }
        input = rest;
    }
}

/// What is one of ours says the same when it is made again.
fn certificate(der: &[u8]) {
    if let Ok(attestation) = Attestation::read(der) {
        attestation.point(&P384).into_iter().for_each(|point| is_on(&P384, &point));
        attestation.point(&P256).into_iter().for_each(|point| is_on(&P256, &point));
    }
    if let SlotCertificate::Ours(description) = certificate::read(der) {
        assert_eq!(certificate::read(&made(&description)), SlotCertificate::Ours(description));
    }
}

fn made(description: &Description) -> Vec<u8> {
    use p384::elliptic_curve::sec1::ToSec1Point as _;
    let generator = p384::AffinePoint::GENERATOR.to_sec1_point(false);
    let point = generator.as_bytes().try_into().expect("an uncompressed point");
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    description
        .certificate(&P384, &point, PinPolicy::Once, TouchPolicy::Always, now)
        .expect("what could be read can be written")
}

/// A key that is shown has a point on its curve, and so has one that is made.
fn key<const POINT: usize>(piv: &mut Piv<'_>, curve: &Curve<POINT>) {
    let certificate = piv.certificate(slot()).ok().flatten();
    if let Ok(Some(key)) = piv.key(curve, slot(), certificate.as_ref()) {
        is_on(curve, &key.point);
    }
    if let Ok(point) = piv.generate(curve, slot(), PinPolicy::Once, TouchPolicy::Never) {
        is_on(curve, &point);
    }
}

fn is_on<const POINT: usize>(_: &Curve<POINT>, point: &[u8; POINT]) {
    let on_p384 = p384::PublicKey::from_sec1_bytes(point).is_ok();
    assert!(on_p384 || p256::PublicKey::from_sec1_bytes(point).is_ok());
}

fn slot() -> Slot {
    "82".parse().expect("a slot")
}

/// Answers whatever is sent, until it has nothing more to say.
struct Card(std::collections::VecDeque<Vec<u8>>);

impl Transmit for Card {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        assert!((4..=261).contains(&command.len()), "a short APDU");
        self.0.pop_front().ok_or_else(|| TransportError::new("the card is gone"))
    }
}

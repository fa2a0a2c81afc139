//! What slot F9 holds when a card leaves the factory.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::authority::{new_intermediate, old_root, serial_number};
use super::certificate::{Certificate, basic_constraints, name, validity};
use super::extension;
use crate::applet::key::{Algorithm, ImportedKey, Origin, SlotKey};
use crate::applet::policy::{PinPolicy, TouchPolicy};
use crate::applet::profile::Profile;
use crate::applet::random::SeededRandom;
use crate::applet::tlv::{self, tag};
use crate::applet::traits::Attestation;

/// The attestation key and its certificate. They are made from the card's serial number, so that a card has the same
/// ones in every process.
pub(in crate::applet) struct Factory {
    pub(in crate::applet) key: SlotKey,
    /// The content of the certificate object.
    pub(in crate::applet) object: Vec<u8>,
}

impl Factory {
    /// What a card with this serial number has, if anything.
    pub(in crate::applet) fn new(profile: Profile, card: u32) -> Option<Self> {
        let old = ("Yubico PIV Attestation", old_root(), "20160314000000Z", "20520417000000Z");
        let new = ("YubiKey PIV Attestation", new_intermediate(), "20241201000000Z", "99991231235959Z");
        let (chain, is_authority) = match profile.attestation() {
            Attestation::None => return None,
            Attestation::New => (new, true),
            Attestation::Old => (old, true),
            Attestation::Legacy => (old, false),
        };
        let (subject, issuer, from, until) = chain;
        let seed = format!("mock-card: attestation key of {card}");
        let private = attestation_key(&seed);
        let mut extensions = extension::firmware(profile);
        if profile.is_fips() {
            extensions.extend(extension::fips());
        }
        if is_authority {
            extensions.extend(basic_constraints(Some(0)));
        }
        let certificate = Certificate {
            serial_number: &serial_number(&seed, 8),
            issuer: &name(issuer.authority.name),
            validity: &validity(from, until),
            subject: &name(subject),
            key: &private,
            extensions,
        };
        let certificate = certificate.sign(&issuer.key).expect("authorities have RSA keys");
        let key =
            SlotKey { private, pin: PinPolicy::Once, touch: TouchPolicy::Never, origin: Origin::Imported };
        let object = [tlv::element(&[tag::CERTIFICATE], &certificate), vec![0x71, 1, 0, 0xFE, 0]].concat();
        Some(Self { key, object })
    }
}

/// An RSA-2048 key that always comes from the same seed. A test program starts many cards with the same serial number, and
/// finding the primes takes longer than everything else, so the keys are kept.
fn attestation_key(seed: &str) -> ImportedKey {
    static KEYS: Mutex<BTreeMap<String, ImportedKey>> = Mutex::new(BTreeMap::new());
    let mut keys = KEYS.lock().unwrap_or_else(PoisonError::into_inner);
    let make = || {
        let mut random = SeededRandom::new(seed.as_bytes());
        ImportedKey::generate(Algorithm::Rsa2048, &mut |bytes| random.fill(bytes))
    };
    keys.entry(seed.to_owned()).or_insert_with(make).clone()
}

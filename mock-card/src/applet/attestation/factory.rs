//! What slot F9 holds when a card leaves the factory.

use super::authority::{new_intermediate, old_root, serial_number};
use super::certificate::{
    Certificate, authority_key_identifier, basic_constraints, name, subject_key_identifier, validity,
};
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
        let (algorithm, issuer, path_length, from, until) = match profile.attestation() {
            Attestation::None => return None,
            Attestation::New => {
                (Algorithm::P256, new_intermediate(), Some(0), "20241201000000Z", "99991231235959Z")
            }
            Attestation::Old => {
                (Algorithm::Rsa2048, old_root(), Some(0), "20160314000000Z", "20520417000000Z")
            }
            Attestation::Legacy => {
                (Algorithm::Rsa2048, old_root(), None, "20160314000000Z", "20520417000000Z")
            }
        };
        let seed = format!("mock-card: attestation key of {card}");
        let mut random = SeededRandom::new(seed.as_bytes());
        let private = ImportedKey::generate(algorithm, &mut |bytes| random.fill(bytes));
        let mut extensions = vec![subject_key_identifier(&private), authority_key_identifier(&issuer.key)];
        extensions.push(extension::firmware(profile));
        if profile.is_fips() {
            extensions.push(extension::fips());
        }
        if path_length.is_some() {
            extensions.push(basic_constraints(path_length));
        }
        let certificate = Certificate {
            serial_number: &serial_number(&seed),
            issuer: &name(issuer.authority.name),
            validity: &validity(from, until),
            subject: &name("Mock PIV Attestation"),
            key: &private,
            extensions: extensions.concat(),
        };
        let certificate = certificate.sign(&issuer.key).expect("authorities have RSA keys");
        let key =
            SlotKey { private, pin: PinPolicy::Never, touch: TouchPolicy::Never, origin: Origin::Generated };
        let object = [tlv::element(&[tag::CERTIFICATE], &certificate), vec![0x71, 1, 0, 0xFE, 0]].concat();
        Some(Self { key, object })
    }
}

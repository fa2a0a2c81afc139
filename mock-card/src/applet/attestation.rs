//! ATTEST: a certificate that says the card itself made a key (Yubico, "PIV attestation").
//!
//! It is signed by the key of slot F9, whose certificate is object 5FFF01. Both are on the card from the factory;
//! here they are made the first time somebody asks, from the card's serial number alone.

mod authority;
mod certificate;

use serde::{Deserialize, Serialize};

use super::apdu::Command;
use super::key::{Algorithm, ImportedKey, Origin, SlotKey};
use super::objects::ATTESTATION_CERTIFICATE;
use super::piv::{ATTESTATION, Piv};
use super::policy::{PinPolicy, TouchPolicy};
use super::random::Stretched;
use super::status::Status;
use super::{device_info, tlv};
use crate::profile::Profile;
pub use authority::{Authority, authorities};
use authority::{new_intermediate, old_root, positive, serial};
use certificate::{
    Certificate, Issuer, authority_key_identifier, basic_constraints, extension, integer, name,
    subject_key_identifier, validity,
};

/// Which chain stands behind a card's attestations. The first is what firmware 5.7.4 brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Attestation {
    /// F9 (P-256) below two intermediates and a root; cards carry F9 alone.
    New,
    /// F9 (RSA-2048) directly below the root.
    Old,
    /// The old chain, its F9 certificate without basicConstraints, as some of the 4 series have it.
    Legacy,
    /// No key and no certificate in F9.
    None,
}

/// Slot F9 as it leaves the factory.
pub(super) struct Factory {
    pub(super) key: SlotKey,
    /// The value of the certificate object.
    pub(super) object: Vec<u8>,
}

impl Factory {
    /// What a card of this profile and number has, if anything.
    pub(super) fn new(profile: Profile, card: u32) -> Option<Self> {
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
        let mut random = Stretched::new(seed.as_bytes());
        let private = ImportedKey::generate(algorithm, &mut |bytes| random.fill(bytes));
        let mut extensions = vec![subject_key_identifier(&private), authority_key_identifier(&issuer.key)];
        extensions.push(own_extension(FIRMWARE, &profile.firmware().to_bytes()));
        if profile.is_fips() {
            extensions.push(own_extension(FIPS, &[1]));
        }
        if path_length.is_some() {
            extensions.push(basic_constraints(path_length));
        }
        let certificate = Certificate {
            serial: &serial(&seed),
            issuer: &name(issuer.authority.name),
            validity: &validity(from, until),
            subject: &name("Mock PIV Attestation"),
            key: &private,
            extensions: extensions.concat(),
        };
        let certificate = certificate.sign(&issuer.key).expect("authorities have RSA keys");
        let key =
            SlotKey { private, pin: PinPolicy::Never, touch: TouchPolicy::Never, origin: Origin::Generated };
        let object = [tlv::element(&[0x70], &certificate), vec![0x71, 1, 0, 0xFE, 0]].concat();
        Some(Self { key, object })
    }
}

/// The last parts of Yubico's identifiers, 1.3.6.1.4.1.41482.3.x.
const FIRMWARE: u8 = 3;
const SERIAL: u8 = 7;
const POLICIES: u8 = 8;
const FORM_FACTOR: u8 = 9;
const FIPS: u8 = 10;

/// One of Yubico's: never critical, its bytes without a type of their own.
fn own_extension(last: u8, value: &[u8]) -> Vec<u8> {
    extension(&[0x2B, 6, 1, 4, 1, 0x82, 0xC4, 0x0A, 3, last], false, value)
}

impl Piv {
    /// ATTEST, the slot in P1. Nobody has to prove anything; but a key that came from outside, an empty slot and a
    /// card without an attestation key have nothing to say.
    pub(super) fn attest(&mut self, command: &Command) -> Result<Vec<u8>, Status> {
        let slot = command.p1;
        if command.p2 != 0 || slot == ATTESTATION {
            return Err(Status::WrongData);
        }
        let serial = positive(self.draw(16));
        let key = self.key(slot).filter(|key| key.origin == Origin::Generated).ok_or(Status::WrongData)?;
        let attesting = self.key(ATTESTATION).ok_or(Status::WrongData)?;
        let issuer = self.issuer()?;
        let mut extensions = own_extension(FIRMWARE, &self.profile.firmware().to_bytes());
        if self.profile.tells_serial() {
            extensions.extend(own_extension(SERIAL, &integer(&self.serial.to_be_bytes())));
        }
        extensions.extend(own_extension(POLICIES, &[key.pin.byte(), key.touch.byte()]));
        if self.profile.tells_serial() {
            extensions.extend(own_extension(FORM_FACTOR, &[device_info::form_factor(self.profile)]));
        }
        Certificate {
            serial: &serial,
            issuer: &issuer.subject,
            validity: &issuer.validity,
            subject: &name(&format!("YubiKey PIV Attestation {slot:02x}")),
            key: &key.private,
            extensions,
        }
        .sign(&attesting.private)
    }

    /// Whoever the certificate object says stands behind F9; it can be overwritten. A compressed one is not read.
    fn issuer(&self) -> Result<Issuer, Status> {
        let object = self.object(ATTESTATION_CERTIFICATE).ok_or(Status::WrongData)?;
        let elements = tlv::parse(object)?;
        Issuer::read(tlv::find(&elements, 0x70).ok_or(Status::WrongData)?)
    }
}

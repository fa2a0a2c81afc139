//! The certificate that ATTEST answers: what a card states about a key that it made.

use super::certificate::{Certificate, Issuer, name};
use super::extension;
use crate::applet::key::{ImportedKey, SlotKey};
use crate::applet::profile::Profile;
use crate::applet::status::Status;

/// What a statement is about.
pub(in crate::applet) struct Statement<'a> {
    pub(in crate::applet) profile: Profile,
    /// The card's serial number.
    pub(in crate::applet) card: u32,
    pub(in crate::applet) slot: u8,
    pub(in crate::applet) key: &'a SlotKey,
    /// Random bytes for the certificate's serial number. The first one is replaced by 01, but not on a YubiKey 4.
    pub(in crate::applet) serial_number: Vec<u8>,
}

impl Statement<'_> {
    /// The number of random bytes that a statement needs.
    pub(in crate::applet) const SERIAL_NUMBER_LENGTH: usize = 16;

    /// Signs it with the attestation key, whose own certificate is `issuer`. Issuer and validity are copied from there.
    pub(in crate::applet) fn sign(
        self,
        issuer: &[u8],
        attestation_key: &ImportedKey,
    ) -> Result<Vec<u8>, Status> {
        let Self { profile, card, slot, key, mut serial_number } = self;
        if !profile.is_yubikey_4() {
            serial_number[0] = 0x01;
        }
        let issuer = Issuer::read(issuer)?;
        let mut extensions = extension::firmware(profile);
        if profile.attests_serial() {
            extensions.extend(extension::serial(card));
        }
        extensions.extend(extension::policies(key.pin as u8, key.touch as u8));
        if profile.attests_form_factor() {
            extensions.extend(extension::form_factor(profile));
        }
        Certificate {
            serial_number: &serial_number,
            issuer: &issuer.subject,
            validity: &issuer.validity,
            subject: &name(&format!("YubiKey PIV Attestation {slot:02x}")),
            key: &key.private,
            extensions,
        }
        .sign(attestation_key)
    }
}

//! Yubico's attestation certificate: the card's own statement about a key that it generated
//! (extensions 1.3.6.1.4.1.41482.3.x, raw bytes inside the extension's OCTET STRING).
//!
//! Read here, not verified: nothing is believed until the chain to Yubico's root has been checked.

use der::{Decode, oid::ObjectIdentifier};
use x509_cert::{Certificate, spki::SubjectPublicKeyInfoOwned};

use super::{Curve, Error, PinPolicy, Serial, TouchPolicy, Version};

const FIRMWARE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.41482.3.3");
const SERIAL: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.41482.3.7");
/// Two bytes: PIN policy and touch policy. Also copied into our own slot certificates.
pub(crate) const POLICIES: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.41482.3.8");

/// What an attestation says, unverified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attestation {
    /// The card's firmware when the statement was made.
    pub firmware: Version,
    /// The card; absent on firmware 4.
    pub serial: Option<Serial>,
    /// When the key asks for the PIN.
    pub pin: PinPolicy,
    /// When the key asks for a touch.
    pub touch: TouchPolicy,
    key: SubjectPublicKeyInfoOwned,
}

impl Attestation {
    /// Reads the DER that [`super::Piv::attest`] gives.
    ///
    /// # Errors
    /// [`Error::Malformed`] if it is no certificate, or lacks what every attestation has.
    pub fn read(der: &[u8]) -> Result<Attestation, Error> {
        let certificate = Certificate::from_der(der).map_err(|_| WRONG)?;
        let &[major, minor, patch] = extension(&certificate, FIRMWARE)?.ok_or(WRONG)? else {
            return Err(WRONG);
        };
        let (pin, touch) = policies(&certificate)?.ok_or(WRONG)?;
        let serial = extension(&certificate, SERIAL)?.map(u32::from_der).transpose().map_err(|_| WRONG)?;
        Ok(Attestation {
            firmware: Version::new(major, minor, patch),
            serial: serial.map(Serial),
            pin,
            touch,
            key: certificate.tbs_certificate().subject_public_key_info().clone(),
        })
    }

    /// The attested key, if it is on this curve.
    pub fn point<const POINT: usize>(&self, curve: &Curve<POINT>) -> Option<[u8; POINT]> {
        curve.point_in_certificate(&self.key)
    }
}

/// Both bytes of the policy extension, if it is there.
pub(super) fn policies(certificate: &Certificate) -> Result<Option<(PinPolicy, TouchPolicy)>, Error> {
    let Some(value) = extension(certificate, POLICIES)? else { return Ok(None) };
    let &[pin, touch] = value else { return Err(WRONG) };
    Ok(Some((PinPolicy::from_byte(pin)?, TouchPolicy::from_byte(touch)?)))
}

const WRONG: Error = Error::Malformed { what: "attestation" };

/// The value of an extension; the same one twice is an error (RFC 5280, 4.2).
fn extension(certificate: &Certificate, id: ObjectIdentifier) -> Result<Option<&[u8]>, Error> {
    let all = certificate.tbs_certificate().extensions().map(Vec::as_slice).unwrap_or_default();
    let mut found = all.iter().filter(|extension| extension.extn_id == id);
    let value = found.next().map(|extension| extension.extn_value.as_bytes());
    if found.next().is_some() { Err(WRONG) } else { Ok(value) }
}

#[cfg(test)]
pub(crate) mod tests;

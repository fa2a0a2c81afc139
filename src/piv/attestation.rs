//! Yubico's attestation certificate: the card's own statement about a key that it generated
//! (extensions 1.3.6.1.4.1.41482.3.x, raw bytes inside the extension's OCTET STRING).
//!
//! Read here, not verified: nothing is believed until the chain to Yubico's root has been checked.

use der::{Decode, oid::ObjectIdentifier};
use x509_cert::Certificate;

use super::{Error, P256Point, P384Point, PinPolicy, Serial, TouchPolicy, Version};

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
    /// The attested key; `None` if it is not P-384.
    pub p384_point: Option<P384Point>,
    /// The attested key; `None` if it is not P-256.
    pub p256_point: Option<P256Point>,
}

impl Attestation {
    /// Reads the DER that [`super::Piv::attest`] gives.
    ///
    /// # Errors
    /// [`Error::Malformed`] if it is no certificate, or lacks what every attestation has.
    pub fn read(der: &[u8]) -> Result<Attestation, Error> {
        let certificate = Certificate::from_der(der).map_err(|_| WRONG)?;
        let [major, minor, patch] = field(&certificate, FIRMWARE)?;
        let [pin, touch] = field(&certificate, POLICIES)?;
        let serial = extension(&certificate, SERIAL)?.map(u32::from_der).transpose().map_err(|_| WRONG)?;
        Ok(Attestation {
            firmware: Version::new(major, minor, patch),
            serial: serial.map(Serial),
            pin: PinPolicy::from_byte(pin)?,
            touch: TouchPolicy::from_byte(touch)?,
            p384_point: p384_point(&certificate),
            p256_point: p256_point(&certificate),
        })
    }
}

const WRONG: Error = Error::Malformed { what: "attestation" };

fn field<const LENGTH: usize>(
    certificate: &Certificate,
    id: ObjectIdentifier,
) -> Result<[u8; LENGTH], Error> {
    extension(certificate, id)?.and_then(|value| value.try_into().ok()).ok_or(WRONG)
}

/// The value of an extension; the same one twice is an error (RFC 5280, 4.2).
fn extension(certificate: &Certificate, id: ObjectIdentifier) -> Result<Option<&[u8]>, Error> {
    let all = certificate.tbs_certificate().extensions().map(Vec::as_slice).unwrap_or_default();
    let mut found = all.iter().filter(|extension| extension.extn_id == id);
    let value = found.next().map(|extension| extension.extn_value.as_bytes());
    if found.next().is_some() { Err(WRONG) } else { Ok(value) }
}

/// The subject's key, if it is an uncompressed P-384 point on the curve.
pub(super) fn p384_point(certificate: &Certificate) -> Option<P384Point> {
    use p384::pkcs8::DecodePublicKey;
    let info = certificate.tbs_certificate().subject_public_key_info();
    let key = p384::PublicKey::from_public_key_der(&der::Encode::to_der(info).ok()?).ok()?;
    p384::elliptic_curve::sec1::ToSec1Point::to_sec1_point(&key, false).as_bytes().try_into().ok()
}

/// The subject's key, if it is an uncompressed P-256 point on the curve.
pub(super) fn p256_point(certificate: &Certificate) -> Option<P256Point> {
    use p256::pkcs8::DecodePublicKey;
    let info = certificate.tbs_certificate().subject_public_key_info();
    let key = p256::PublicKey::from_public_key_der(&der::Encode::to_der(info).ok()?).ok()?;
    p256::elliptic_curve::sec1::ToSec1Point::to_sec1_point(&key, false).as_bytes().try_into().ok()
}

#[cfg(test)]
pub(crate) mod tests;

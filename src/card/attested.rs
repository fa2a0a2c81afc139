//! The card's own statement that it made a key, and the certificate of slot F9 that signed it.

use asymmetric_token::PublicKey;

use crate::enrollment::{Card, Key};
use crate::error::Error;
use crate::piv::attestation::Attestation;
use crate::piv::{self, P384, Piv, Slot};

/// The card's attestation of an enrolled key, in DER. It is checked that it is about this very key.
///
/// # Errors
/// [`Error::KeyGone`], [`piv::Error::NotAttestable`].
pub(crate) fn attestation(piv: &mut Piv<'_>, card: &Card, key: &Key) -> Result<Vec<u8>, Error> {
    let attestation = piv.attest(key.slot)?;
    let point = Attestation::read(&attestation)?.point(&P384);
    match point.map(|point| PublicKey::from_uncompressed(&point)).transpose()? {
        Some(public) if public == key.public => Ok(attestation),
        _ => Err(Error::KeyGone { serial: card.serial, slot: key.slot }),
    }
}

/// The certificate of the key that signs the card's attestations, in DER.
///
/// # Errors
/// [`piv::Error::Malformed`] if there is none.
pub(crate) fn issuer(piv: &mut Piv<'_>) -> Result<Vec<u8>, Error> {
    let malformed = piv::Error::Malformed { what: "attestation certificate in slot f9" };
    let issuer = piv.certificate(Slot::Attestation)?;
    Ok(issuer.as_ref().and_then(|object| object.der()).ok_or(malformed)?.to_vec())
}

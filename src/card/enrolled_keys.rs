//! Enrolled keys against what is on their card: a PIV reset leaves an enrollment that says what is no longer so, and another
//! program may have changed the enrollments.

use asymmetric_token::PublicKey;

use crate::enrollment::{Card, Key, SealingKey};
use crate::error::Error;
use crate::piv::certificate::{KeyPurpose, SlotCertificate};
use crate::piv::{self, Curve, METADATA_SINCE, P256, P384, Piv, Slot};
use crate::sealed::Recipient;

/// What the card says of an enrolled key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// It is there.
    AsEnrolled,
    /// It is there, and enrolled with other policies than it has.
    OtherPolicies,
    /// It is there, and the certificate beside it says another role.
    OtherRole,
    /// It is not there.
    Gone,
    /// Firmware before 5.3 does not tell of keys that were imported.
    Untold,
}

/// Looks at each of a card's keys.
///
/// # Errors
/// What the card answers instead.
pub(crate) fn compare(piv: &mut Piv<'_>, card: &Card) -> Result<Vec<(Key, Found)>, Error> {
    card.keys.iter().map(|key| Ok((*key, found(piv, key)?))).collect()
}

/// Whether there is a key in this slot of which `is_it` says that it is the right one. Firmware before 5.3 tells of no
/// imported keys: there the certificate is looked for, which a reset takes away too.
///
/// # Errors
/// What the card answers instead.
pub(crate) fn is_there<const POINT: usize>(
    piv: &mut Piv<'_>,
    curve: &Curve<POINT>,
    slot: Slot,
    is_it: impl Fn(&[u8; POINT]) -> bool,
) -> Result<bool, Error> {
    match piv.metadata(slot) {
        Ok(None) => Ok(false),
        Ok(Some(metadata)) => Ok(metadata.point(curve)?.as_ref().is_some_and(is_it)),
        Err(piv::Error::Unsupported { .. }) => Ok(piv.certificate(slot)?.is_some()),
        Err(error) => Err(error.into()),
    }
}

/// The same for a key that opens sealed tokens.
///
/// # Errors
/// What the card answers instead.
pub(crate) fn opens(piv: &mut Piv<'_>, key: &SealingKey) -> Result<bool, Error> {
    is_there(piv, &P256, key.slot, |point| Recipient::from_point(point) == Ok(key.recipient))
}

fn found(piv: &mut Piv<'_>, enrolled: &Key) -> Result<Found, Error> {
    let certificate = piv.certificate(enrolled.slot)?;
    let is_it = |point: &[u8; 97]| PublicKey::from_uncompressed(point) == Ok(enrolled.public);
    // The certificate's word is not taken for the key: it stays when another key is made.
    let Some(key) = piv.key(&P384, enrolled.slot, None)? else {
        let named = certificate.as_ref().and_then(|object| object.point(&P384));
        let tells = piv.version()? >= METADATA_SINCE;
        return Ok(if !tells && named.as_ref().is_some_and(is_it) { Found::Untold } else { Found::Gone });
    };
    if !is_it(&key.point) {
        return Ok(Found::Gone);
    }
    if (key.pin, key.touch) != (enrolled.pin, enrolled.touch) {
        return Ok(Found::OtherPolicies);
    }
    let described = certificate.filter(|object| object.point(&P384).as_ref().is_some_and(is_it));
    match described.map(|object| object.read()) {
        Some(SlotCertificate::Ours(ours)) => match ours.purpose {
            KeyPurpose::Signing { role, .. } if role == enrolled.role => Ok(Found::AsEnrolled),
            _ => Ok(Found::OtherRole),
        },
        _ => Ok(Found::AsEnrolled),
    }
}

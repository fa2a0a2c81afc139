//! Keys that are on a card already, as the card and the certificates beside them tell.

use super::survey::SurveyedCard;
use crate::error::Error;
use crate::piv::certificate::{Description, SlotCertificate};
use crate::piv::{Curve, KeyInSlot, Piv, Slot};

/// A key that is already on a card.
#[derive(Clone, Debug)]
pub(crate) struct FoundKey<const POINT: usize> {
    pub(crate) slot: Slot,
    pub(crate) key: KeyInSlot<POINT>,
    /// What our certificate beside it says; `None` if there is no certificate object at all.
    pub(crate) described: Option<Description>,
}

/// The keys on this curve in retired slots, in the order of the slots. A key beside somebody else's certificate is left
/// out, and so is one whose certificate names another key. For the rest `wanted` decides by the description whether the
/// key is looked at.
///
/// # Errors
/// Those of the card.
pub(crate) fn found_keys<const POINT: usize>(
    card: &SurveyedCard<'_>,
    curve: &'static Curve<POINT>,
    wanted: fn(Option<&Description>) -> bool,
) -> Result<Vec<FoundKey<POINT>>, Error> {
    let used: Vec<_> = card.used_slots().collect();
    card.look(move |piv| {
        let mut keys = Vec::new();
        for slot in &used {
            keys.extend(found_key(piv, *slot, curve, wanted)?);
        }
        Ok(keys)
    })
}

fn found_key<const POINT: usize>(
    piv: &mut Piv<'_>,
    slot: Slot,
    curve: &Curve<POINT>,
    wanted: fn(Option<&Description>) -> bool,
) -> Result<Option<FoundKey<POINT>>, Error> {
    let certificate = piv.certificate(slot)?;
    let described = match certificate.as_ref().map(|object| object.read()) {
        None => None,
        Some(SlotCertificate::Ours(description)) => Some(description),
        Some(SlotCertificate::MadeByNewer | SlotCertificate::Foreign) => return Ok(None),
    };
    if !wanted(described.as_ref()) {
        return Ok(None);
    }
    let named = certificate.as_ref().map(|object| object.point(curve));
    let key = piv.key(curve, slot, certificate.as_ref())?;
    let key = key.filter(|key| named.is_none_or(|named| named == Some(key.point)));
    Ok(key.map(|key| FoundKey { slot, key, described }))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use p384::elliptic_curve::sec1::ToSec1Point as _;

    use super::*;
    use crate::enrollment::Role;
    use crate::piv::certificate::KeyPurpose;
    use crate::piv::script::Script;
    use crate::piv::{P384, P384Point, PinPolicy, TouchPolicy};

    fn found(transcript: &[(&str, &str)]) -> Option<FoundKey<97>> {
        let select = ("00A4040009A0000003080000100000", "61114F0600000001000079074F05A000000308 9000");
        let mut card = Script::new(&[&[select], transcript].concat());
        let slot = "82".parse().unwrap();
        let key = found_key(&mut Piv::select(&mut card).unwrap(), slot, &P384, |_| true).unwrap();
        card.assert_finished();
        key
    }

    /// An imported key, which is not attested: what our certificate says is taken, and the signature will show.
    #[test]
    fn before_metadata_a_certificate_tells_of_a_key() {
        let key = p384::SecretKey::from_slice(&[7; 48]).unwrap().public_key();
        let point: P384Point = key.to_sec1_point(false).as_bytes().try_into().unwrap();
        let purpose = KeyPurpose::Signing { role: Role::Publish, index: "sparse+https://r/".into() };
        let description = Description { purpose, label: "old".into() };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let der = description.certificate(&P384, &point, PinPolicy::Once, TouchPolicy::Cached, now).unwrap();
        let hex: String = der.iter().map(|byte| format!("{byte:02X}")).collect();
        let object = format!("5382{:04X} 7082{:04X} {hex} 710100 FE00 9000", der.len() + 9, der.len());
        let nothing_else = [("00F7008200", "6D00"), ("00F9820000", "6A80")];
        let get = "00CB3FFF055C035FC10D00";
        let found_key = found(&[&[(get, object.as_str())], &nothing_else[..]].concat()).unwrap();
        assert_eq!((found_key.key.pin, found_key.key.touch), (PinPolicy::Once, TouchPolicy::Cached));
        assert_eq!((found_key.key.point, found_key.described), (point, Some(description)));
        assert!(found(&[&[(get, "6A82")], &nothing_else[..]].concat()).is_none());
    }
}

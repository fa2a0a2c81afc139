//! Key slots of a YubiKey and the data objects that hold their certificates
//! (SP 800-73-4 part 1, table 4b; part 2, table 3; Yubico's F9).

use std::{fmt, str::FromStr};

/// A slot that can hold a private key. Written and read as Yubico does: `9a`, `82`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// `9A`, PIV authentication.
    Authentication,
    /// `9C`, digital signature.
    Signature,
    /// `9D`, key management.
    KeyManagement,
    /// `9E`, card authentication.
    CardAuthentication,
    /// `82` to `95`, the twenty retired key management slots.
    Retired(RetiredSlot),
    /// `F9`, Yubico's attestation key. What it holds cannot be restored; nothing here writes to it.
    Attestation,
}

/// One of the twenty retired key management slots, `82` to `95`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RetiredSlot(u8);

const FIRST_RETIRED: u8 = 0x82;
const LAST_RETIRED: u8 = 0x95;

impl Slot {
    /// All retired slots from `82` upward.
    pub fn retired() -> impl DoubleEndedIterator<Item = Slot> {
        (FIRST_RETIRED..=LAST_RETIRED).map(|reference| Slot::Retired(RetiredSlot(reference)))
    }

    /// The key reference, P2 of the commands.
    pub fn reference(self) -> u8 {
        match self {
            Slot::Authentication => 0x9A,
            Slot::Signature => 0x9C,
            Slot::KeyManagement => 0x9D,
            Slot::CardAuthentication => 0x9E,
            Slot::Retired(RetiredSlot(reference)) => reference,
            Slot::Attestation => 0xF9,
        }
    }

    /// The slot with this key reference.
    pub fn from_reference(reference: u8) -> Option<Slot> {
        Some(match reference {
            0x9A => Slot::Authentication,
            0x9C => Slot::Signature,
            0x9D => Slot::KeyManagement,
            0x9E => Slot::CardAuthentication,
            FIRST_RETIRED..=LAST_RETIRED => Slot::Retired(RetiredSlot(reference)),
            0xF9 => Slot::Attestation,
            _ => return None,
        })
    }

    /// The data object that holds the slot's certificate.
    pub(crate) fn certificate_object(self) -> [u8; 3] {
        match self {
            Slot::Authentication => [0x5F, 0xC1, 0x05],
            Slot::Signature => [0x5F, 0xC1, 0x0A],
            Slot::KeyManagement => [0x5F, 0xC1, 0x0B],
            Slot::CardAuthentication => [0x5F, 0xC1, 0x01],
            Slot::Retired(RetiredSlot(reference)) => [0x5F, 0xC1, reference - FIRST_RETIRED + 0x0D],
            Slot::Attestation => [0x5F, 0xFF, 0x01],
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}", self.reference())
    }
}

/// A text that names no slot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a key slot; use 82 to 95, or 9a, 9c, 9d, 9e")]
pub struct NoSuchSlot(String);

impl FromStr for Slot {
    type Err = NoSuchSlot;

    fn from_str(text: &str) -> Result<Slot, NoSuchSlot> {
        let two_digits = text.len() == 2 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        two_digits
            .then(|| u8::from_str_radix(text, 16).ok())
            .flatten()
            .and_then(Slot::from_reference)
            .ok_or_else(|| NoSuchSlot(text.escape_debug().to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_survives_its_text() {
        let slots: Vec<Slot> = (0..=u8::MAX).filter_map(Slot::from_reference).collect();
        assert_eq!(slots.len(), 25);
        for slot in slots {
            assert_eq!(slot.to_string().parse(), Ok(slot));
            assert_eq!(slot.to_string().to_uppercase().parse(), Ok(slot));
        }
    }

    #[test]
    fn retired_slots_map_in_order() {
        let objects: Vec<u8> = Slot::retired().map(|slot| slot.certificate_object()[2]).collect();
        assert_eq!(objects, (0x0D..=0x20).collect::<Vec<u8>>());
        assert_eq!(Slot::retired().next().unwrap().to_string(), "82");
        assert_eq!(Slot::retired().next_back().unwrap().to_string(), "95");
    }

    #[test]
    fn no_two_slots_share_an_object() {
        let mut objects: Vec<_> =
            (0..=u8::MAX).filter_map(Slot::from_reference).map(Slot::certificate_object).collect();
        objects.sort_unstable();
        objects.dedup();
        assert_eq!(objects.len(), 25);
    }

    #[test]
    fn refuses_other_texts() {
        for text in ["", "8", "81", "96", "9b", "80", "082", "+9a", "0x82", "8 2", "é"] {
            assert!(text.parse::<Slot>().is_err(), "{text}");
        }
    }
}

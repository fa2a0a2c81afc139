//! GET METADATA, firmware 5.3 and later (Yubico PIV extension, instruction `F7`).
//!
//! Needs no PIN, and tells whether PIN and management key are still the default ones.

use zeroize::Zeroizing;

use super::{
    Curve, Error, KeyAlgorithm, ManagementAlgorithm, PinPolicy, Piv, Slot, Status, TouchPolicy, Version,
    apdu::{self, Command, instruction},
    refusal, tlv,
};

/// Firmware before this has no GET METADATA, and tells of keys only what it attests (Yubico PIV extensions).
pub const METADATA_SINCE: Version = Version::new(5, 3, 0);

const PIN: u8 = 0x80;
const PUK: u8 = 0x81;

/// What the card tells about a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotMetadata {
    /// The key's algorithm.
    pub algorithm: KeyAlgorithm,
    /// When it asks for the PIN.
    pub pin: PinPolicy,
    /// When it asks for a touch.
    pub touch: TouchPolicy,
    /// Where it was made.
    pub origin: Origin,
    /// The public key as the card encodes it: for an elliptic curve, tag `86` with the point.
    public_key: Vec<u8>,
}

impl SlotMetadata {
    /// The public key of a key on this curve; `None` for other algorithms.
    ///
    /// # Errors
    /// [`Error::Malformed`] if the card says that the key is on this curve, and the public key is not.
    pub fn point<const POINT: usize>(&self, curve: &Curve<POINT>) -> Result<Option<[u8; POINT]>, Error> {
        if self.algorithm != curve.algorithm {
            return Ok(None);
        }
        curve.point_in_template(&self.public_key).map(Some)
    }
}

/// Where a private key was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// On the card; it never was elsewhere.
    Generated,
    /// Elsewhere; copies may exist.
    Imported,
}

/// What the card tells about the PIN, or the PUK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PinMetadata {
    /// Still the factory value.
    pub default: bool,
    /// Tries after a right PIN.
    pub tries_total: u8,
    /// Tries left now.
    pub tries_left: u8,
}

/// What the card tells about the management key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManagementKeyMetadata {
    /// Its algorithm.
    pub algorithm: ManagementAlgorithm,
    /// Still the factory key.
    pub default: bool,
    /// When its use asks for a touch.
    pub touch: TouchPolicy,
}

impl Piv<'_> {
    /// What the card tells about the key in a slot; `None` if there is no key.
    ///
    /// # Errors
    /// [`Error::Unsupported`] before firmware 5.3.
    pub fn metadata(&mut self, slot: Slot) -> Result<Option<SlotMetadata>, Error> {
        self.raw_metadata(slot.reference())?.map(|answer| slot_metadata(&answer)).transpose()
    }

    /// What the card tells about the PIN.
    ///
    /// # Errors
    /// [`Error::Unsupported`] before firmware 5.3.
    pub fn pin_metadata(&mut self) -> Result<PinMetadata, Error> {
        pin_metadata(&self.reference_metadata(PIN)?)
    }

    /// What the card tells about the PUK.
    ///
    /// # Errors
    /// [`Error::Unsupported`] before firmware 5.3, [`Error::Refused`] on a card without one (YubiKey Bio).
    pub fn puk_metadata(&mut self) -> Result<PinMetadata, Error> {
        pin_metadata(&self.reference_metadata(PUK)?)
    }

    /// What the card tells about the management key.
    ///
    /// # Errors
    /// [`Error::Unsupported`] before firmware 5.3.
    pub fn management_key_metadata(&mut self) -> Result<ManagementKeyMetadata, Error> {
        management_key_metadata(&self.reference_metadata(apdu::MANAGEMENT_KEY)?)
    }

    /// The metadata of a reference as the card writes it; `None` if there is no key.
    pub(super) fn raw_metadata(&mut self, reference: u8) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
        let answer = self.exchange(&Command::new(instruction::GET_METADATA, 0, reference).expects_data())?;
        match answer.status {
            Status::SuccessfulExecution => Ok(Some(answer.data)),
            Status::ReferencedDataNotFound => Ok(None),
            status => Err(refusal("GET METADATA", status)),
        }
    }

    /// PIN and management key always exist.
    fn reference_metadata(&mut self, reference: u8) -> Result<Zeroizing<Vec<u8>>, Error> {
        let status = Status::ReferencedDataNotFound;
        self.raw_metadata(reference)?.ok_or(Error::Refused { operation: "GET METADATA", status })
    }
}

fn slot_metadata(answer: &[u8]) -> Result<SlotMetadata, Error> {
    let [algorithm] = field(answer, 0x01, "algorithm")?;
    let [pin, touch] = field(answer, 0x02, "policies")?;
    let [origin] = field(answer, 0x03, "origin")?;
    let public_key = tlv::find(answer, 0x04, WHAT)?.ok_or(Error::Malformed { what: "public key" })?;
    Ok(SlotMetadata {
        algorithm: KeyAlgorithm::from_byte(algorithm),
        pin: PinPolicy::from_byte(pin)?,
        touch: TouchPolicy::from_byte(touch)?,
        origin: match origin {
            1 => Origin::Generated,
            2 => Origin::Imported,
            _ => return Err(Error::Malformed { what: "origin" }),
        },
        public_key: public_key.to_vec(),
    })
}

fn pin_metadata(answer: &[u8]) -> Result<PinMetadata, Error> {
    let [tries_total, tries_left] = field(answer, 0x06, "tries")?;
    Ok(PinMetadata { default: is_default(answer)?, tries_total, tries_left })
}

fn management_key_metadata(answer: &[u8]) -> Result<ManagementKeyMetadata, Error> {
    let [algorithm] = field(answer, 0x01, "algorithm")?;
    let [_, touch] = field(answer, 0x02, "policies")?;
    Ok(ManagementKeyMetadata {
        algorithm: ManagementAlgorithm::from_byte(algorithm)
            .ok_or(Error::Malformed { what: "management key algorithm" })?,
        default: is_default(answer)?,
        touch: TouchPolicy::from_byte(touch)?,
    })
}

const WHAT: &str = "metadata";

fn is_default(answer: &[u8]) -> Result<bool, Error> {
    let [flag] = field(answer, 0x05, "default flag")?;
    Ok(flag != 0)
}

/// A field of exactly so many bytes.
fn field<const LENGTH: usize>(answer: &[u8], tag: u16, what: &'static str) -> Result<[u8; LENGTH], Error> {
    let value = tlv::find(answer, tag, WHAT)?.ok_or(Error::Malformed { what })?;
    value.try_into().map_err(|_| Error::Malformed { what })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::piv::{
        P384,
        script::{Script, hex},
    };

    fn piv(card: &mut Script) -> Piv<'_> {
        Piv { card, version: None }
    }

    /// The generator of P-384: a point that is on the curve for certain.
    const POINT: &str = "04\
        AA87CA22BE8B05378EB1C71EF320AD746E1D3B628BA79B9859F741E082542A385502F25DBF55296C3A545E3872760AB7\
        3617DE4A96262C6F5D9E98BF9292DC29F8F41DBD289A147CE9DA3113B5F0B8C00A60B1CE1D7E819D7A431D7C90EA0E5F";

    #[test]
    fn reads_a_p384_key() {
        let answer = format!("010114 02020202 030101 0463 8661{POINT} 0901FF 9000");
        let mut card = Script::new(&[("00F7008200", &answer)]);
        let metadata = piv(&mut card).metadata("82".parse().unwrap()).unwrap().unwrap();
        assert_eq!((metadata.algorithm, metadata.origin), (KeyAlgorithm::P384, Origin::Generated));
        assert_eq!((metadata.pin, metadata.touch), (PinPolicy::Once, TouchPolicy::Always));
        assert_eq!(metadata.point(&P384).unwrap().unwrap().to_vec(), hex(POINT));
    }

    #[test]
    fn a_point_off_the_curve_is_a_lie() {
        let answer = hex(&format!("010114 02020202 030101 0463 8661{}0", &POINT[..POINT.len() - 1]));
        let off_curve = slot_metadata(&answer).unwrap().point(&P384);
        assert!(matches!(off_curve, Err(Error::Malformed { what: "P-384 point" })));
    }

    #[test]
    fn keys_of_other_kinds_have_no_p384_point() {
        let metadata = slot_metadata(&hex("010111 02020103 030102 0400")).unwrap();
        assert_eq!((metadata.algorithm, metadata.origin), (KeyAlgorithm::P256, Origin::Imported));
        assert_eq!((metadata.pin, metadata.touch), (PinPolicy::Never, TouchPolicy::Cached));
        assert_eq!(metadata.point(&P384).unwrap(), None);
    }

    #[test]
    fn tells_empty_from_unsupported() {
        let slot: Slot = "95".parse().unwrap();
        assert_eq!(piv(&mut Script::new(&[("00F7009500", "6A88")])).metadata(slot).unwrap(), None);
        let old = piv(&mut Script::answers(&["6D00"])).metadata(slot);
        assert!(matches!(old, Err(Error::Unsupported { operation: "GET METADATA" })));
        let odd = piv(&mut Script::answers(&["6A82"])).metadata(slot);
        assert!(matches!(odd, Err(Error::Refused { .. })));
    }

    #[test]
    fn reads_pin_and_management_key() {
        let mut card = Script::new(&[
            ("00F7008000", "0101FF 050101 06020302 9000"),
            ("00F7009B00", "01010A 02020003 050100 9000"),
        ]);
        assert_eq!(
            piv(&mut card).pin_metadata().unwrap(),
            PinMetadata { default: true, tries_total: 3, tries_left: 2 }
        );
        assert_eq!(
            piv(&mut card).management_key_metadata().unwrap(),
            ManagementKeyMetadata {
                algorithm: ManagementAlgorithm::Aes192,
                default: false,
                touch: TouchPolicy::Cached
            }
        );
        card.assert_finished();
    }

    #[test]
    fn refuses_what_is_incomplete() {
        for lie in [
            "",
            "010114",
            "010114 02020202 030101",
            "010114 020102 030101 0400",
            "010114 02020902 030101 0400",
        ] {
            assert!(matches!(slot_metadata(&hex(lie)), Err(Error::Malformed { .. })), "{lie}");
        }
        assert!(pin_metadata(&hex("050101 060103")).is_err());
        assert!(pin_metadata(&hex("06020303")).is_err());
        assert!(management_key_metadata(&hex("010199 02020001 050100")).is_err());
        let none = piv(&mut Script::answers(&["6A88"])).pin_metadata();
        assert!(matches!(none, Err(Error::Refused { .. })));
    }

    proptest! {
        #[test]
        fn never_panics(input in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = slot_metadata(&input).map(|metadata| metadata.point(&P384));
            let _ = pin_metadata(&input);
            let _ = management_key_metadata(&input);
        }

        /// Near misses get further than noise does.
        #[test]
        fn never_panics_on_well_formed_nonsense(
            fields in proptest::collection::vec((0u16..10, proptest::collection::vec(any::<u8>(), 0..100)), 0..8),
        ) {
            let mut input = Vec::new();
            for (tag, value) in fields {
                tlv::push(&mut input, tag, &value);
            }
            let _ = slot_metadata(&input).map(|metadata| metadata.point(&P384));
            let _ = pin_metadata(&input);
            let _ = management_key_metadata(&input);
        }
    }
}

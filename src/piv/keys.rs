//! Private keys in slots: sign, delete, attest (SP 800-73-4 part 2, 3.2.4 and 3.3.2; Yubico's extensions).

use std::time::Duration;

use super::{
    Error, KeyAlgorithm, Piv, Slot, Status, Version,
    apdu::{Command, instruction},
    refusal, tlv,
};

/// P1 of MOVE KEY that means "nowhere".
const DELETE: u8 = 0xFF;
const METADATA_SINCE: Version = Version::new(5, 3, 0);

/// Whether something may be generated in a slot without destroying anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occupancy {
    /// No certificate object and no key.
    Empty,
    /// No certificate object, and the card attests no key; firmware before 5.3 cannot tell an imported key from
    /// no key at all, so a person has to be asked.
    LooksEmpty,
    /// A certificate object or a key is there.
    Used,
}

/// What a private key waited for when it was answered `6982`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The PIN was not verified, or its state was lost.
    Pin,
    /// Nobody touched the key in time.
    Touch,
}

impl Missing {
    /// A card refuses a missing PIN within milliseconds and waits about 15 seconds for a touch.
    const PIN_IS_REFUSED_WITHIN: Duration = Duration::from_secs(2);

    /// Tells the two meanings of [`Error::NotAuthenticated`] apart.
    ///
    /// `elapsed` is how long the private key operation took. `pin_given` is true if VERIFY succeeded in the
    /// same transaction, or the key's PIN policy is "never", or [`Piv::pin_state`] says "verified" afterwards.
    pub fn after(elapsed: Duration, pin_given: bool) -> Missing {
        if pin_given || elapsed > Missing::PIN_IS_REFUSED_WITHIN { Missing::Touch } else { Missing::Pin }
    }
}

impl Piv<'_> {
    /// Signs a digest with a P-384 key. The result is r and s, 48 bytes each, left-padded; not normalised to low s.
    ///
    /// # Errors
    /// [`Error::NotAuthenticated`] for no PIN or no touch, [`Error::NoSuchKey`] for a slot without a P-384 key.
    pub fn sign_p384(&mut self, slot: Slot, digest: &[u8; 48]) -> Result<[u8; 96], Error> {
        const WHAT: &str = "signature";
        let signature = self.use_private_key(KeyAlgorithm::P384_BYTE, slot, (0x81, digest), WHAT)?;
        let signature =
            p384::ecdsa::Signature::from_der(&signature).map_err(|_| Error::Malformed { what: WHAT })?;
        Ok(signature.to_bytes().into())
    }

    /// Deletes the private key in a slot (firmware 5.7 and later). Needs [`Piv::authenticate_management`].
    ///
    /// # Errors
    /// [`Error::NoSuchKey`] for an empty slot, [`Error::Unsupported`] on older firmware.
    pub fn delete_key(&mut self, slot: Slot) -> Result<(), Error> {
        refuse_attestation_slot(slot)?;
        match self.exchange(&Command::new(instruction::MOVE_KEY, DELETE, slot.reference()))?.status {
            Status::SuccessfulExecution => Ok(()),
            Status::ReferencedDataNotFound => Err(Error::NoSuchKey { slot }),
            status => Err(refusal("DELETE KEY", status)),
        }
    }

    /// The card's statement about a key that it generated: one DER certificate, signed by the key in slot F9
    /// (firmware 4.3 and later). Read it with [`super::attestation::Attestation`].
    ///
    /// # Errors
    /// [`Error::NotAttestable`] for an imported key and for an empty slot.
    pub fn attest(&mut self, slot: Slot) -> Result<Vec<u8>, Error> {
        let answer = self.exchange(&Command::new(instruction::ATTEST, slot.reference(), 0).expects_data())?;
        match answer.status {
            Status::SuccessfulExecution => {}
            Status::IncorrectData | Status::ReferencedDataNotFound | Status::WrongParameters => {
                return Err(Error::NotAttestable { slot });
            }
            status => return Err(refusal("ATTEST", status)),
        }
        tlv::only(&answer.data, 0x30, "attestation")?;
        Ok(answer.data.to_vec())
    }

    /// Whether a slot is free: no certificate object **and** no key.
    ///
    /// # Errors
    /// Whenever the card does not clearly say "no key": [`Error::Unsupported`] if it can tell neither way.
    pub fn occupancy(&mut self, slot: Slot) -> Result<Occupancy, Error> {
        if self.certificate(slot)?.is_some() {
            return Ok(Occupancy::Used);
        }
        if self.version()? >= METADATA_SINCE {
            let free = self.raw_metadata(slot.reference())?.is_none();
            return Ok(if free { Occupancy::Empty } else { Occupancy::Used });
        }
        match self.attest(slot) {
            Ok(_) => Ok(Occupancy::Used),
            // Which status an empty slot has is not documented. A card without ATTEST says nothing about the slot.
            Err(Error::NotAttestable { .. } | Error::Refused { .. }) => Ok(Occupancy::LooksEmpty),
            Err(error) => Err(error),
        }
    }
}

pub(super) fn refuse_attestation_slot(slot: Slot) -> Result<(), Error> {
    if slot == Slot::Attestation { Err(Error::AttestationSlot) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use p384::ecdsa::{SigningKey, signature::hazmat::PrehashSigner};

    use super::*;
    use crate::piv::script::{Script, hex};
    use crate::piv::{P384, P384Point, PinPolicy, TouchPolicy};

    fn piv(card: &mut Script) -> Piv<'_> {
        Piv { card, version: None }
    }

    fn slot() -> Slot {
        "82".parse().unwrap()
    }

    fn text(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02X}")).collect()
    }

    const VERSION: (&str, &str) = ("00FD000000", "050704 9000");
    const OLD_VERSION: (&str, &str) = ("00FD000000", "050204 9000");
    const GET_CERTIFICATE: &str = "00CB3FFF055C035FC10D00";

    fn signing_key() -> SigningKey {
        SigningKey::from_slice(&[7; 48]).unwrap()
    }

    fn point() -> P384Point {
        let point = signing_key().verifying_key().to_sec1_point(false);
        point.as_bytes().try_into().unwrap()
    }

    #[test]
    fn signs_in_one_apdu_each_way() {
        let digest = [0x5A; 48];
        let signature: p384::ecdsa::Signature = signing_key().sign_prehash(&digest).unwrap();
        let der = signature.to_der();
        let der = der.as_bytes();
        let sign = format!("0087148236 7C34 8200 8130 {} 00", "5A".repeat(48));
        let answer = format!("7C{:02X}82{:02X}{} 9000", der.len() + 2, der.len(), text(der));
        let mut card = Script::new(&[(&sign, &answer)]);
        let raw = piv(&mut card).sign_p384(slot(), &digest).unwrap();
        assert_eq!(raw, <[u8; 96]>::from(signature.to_bytes()));
        card.assert_finished();
    }

    #[test]
    fn pads_short_halves() {
        let answer = "7C0A 8208 3006 020101 020102 9000";
        let raw = piv(&mut Script::answers(&[answer])).sign_p384(slot(), &[0; 48]).unwrap();
        assert_eq!((raw[46], raw[47], raw[94], raw[95]), (0, 1, 0, 2));
        assert_eq!(raw.iter().map(|byte| u32::from(*byte)).sum::<u32>(), 3);
    }

    #[test]
    fn refuses_signatures_that_are_none() {
        let order = "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973";
        for lie in [
            "9000".to_owned(),
            "7C00 9000".to_owned(),
            "7C02 8200 9000".to_owned(),
            "7C0A 8208 3006 020100 020102 9000".to_owned(),
            "7C0A 8208 3006 020181 020102 9000".to_owned(),
            "7C0B 8208 3006 020101 020102 00 9000".to_owned(),
            "7C0A 8108 3006 020101 020102 9000".to_owned(),
            format!("7C3B 8239 3037 023100{order} 020101 9000"),
            format!("7C8182 827F {} 9000", "FF".repeat(127)),
        ] {
            let result = piv(&mut Script::answers(&[&lie])).sign_p384(slot(), &[0; 48]);
            assert!(matches!(result, Err(Error::Malformed { what: "signature" })), "{lie}");
        }
    }

    #[test]
    fn refusals_of_a_signature_have_their_names() {
        let sign = |status| piv(&mut Script::answers(&[status])).sign_p384(slot(), &[0; 48]).unwrap_err();
        assert!(matches!(sign("6982"), Error::NotAuthenticated));
        for status in ["6A80", "6B00", "6A88"] {
            assert!(matches!(sign(status), Error::NoSuchKey { slot } if slot.to_string() == "82"));
        }
        assert!(matches!(sign("6F00"), Error::Refused { status: Status::Other(0x6F00), .. }));
        assert!(matches!(sign("6D00"), Error::Unsupported { .. }));
    }

    #[test]
    fn tells_a_missing_pin_from_a_missing_touch() {
        let (at_once, after_waiting) = (Duration::from_millis(50), Duration::from_secs(15));
        assert_eq!(Missing::after(at_once, false), Missing::Pin);
        assert_eq!(Missing::after(at_once, true), Missing::Touch);
        assert_eq!(Missing::after(after_waiting, false), Missing::Touch);
        assert_eq!(Missing::after(after_waiting, true), Missing::Touch);
    }

    #[test]
    fn generates_with_both_policies() {
        let generate = "004700820B AC09 800114 AA0102 AB0102 00";
        let answer = format!("7F4963 8661{} 9000", text(&point()));
        let mut card = Script::new(&[(generate, &answer)]);
        let made = piv(&mut card).generate(&P384, slot(), PinPolicy::Once, TouchPolicy::Always).unwrap();
        assert_eq!(made, point());
        card.assert_finished();
    }

    #[test]
    fn refuses_points_that_are_none() {
        let mut off_curve = point();
        off_curve[96] ^= 1;
        let compressed = signing_key().verifying_key().to_sec1_point(true);
        for lie in [
            "9000".to_owned(),
            format!("7F4963 8661{} 9000", text(&off_curve)),
            format!("7F4933 8631{} 9000", text(compressed.as_bytes())),
            format!("7F4963 8661{}", "9000"),
            format!("7F4965 8661{}0500 9000", text(&point())),
        ] {
            let made = piv(&mut Script::answers(&[&lie])).generate(
                &P384,
                slot(),
                PinPolicy::Once,
                TouchPolicy::Always,
            );
            assert!(matches!(made, Err(Error::Malformed { .. })), "{lie}");
        }
    }

    #[test]
    fn generation_may_be_refused() {
        let generate = |status| {
            piv(&mut Script::answers(&[status])).generate(&P384, slot(), PinPolicy::Never, TouchPolicy::Never)
        };
        assert!(matches!(generate("6982"), Err(Error::NotAuthenticated)));
        assert!(matches!(generate("6A80"), Err(Error::Refused { status: Status::IncorrectData, .. })));
    }

    #[test]
    fn never_writes_to_the_attestation_slot() {
        let mut card = Script::new(&[]);
        let mut piv = piv(&mut card);
        let generated = piv.generate(&P384, Slot::Attestation, PinPolicy::Once, TouchPolicy::Always);
        assert!(matches!(generated, Err(Error::AttestationSlot)));
        assert!(matches!(piv.delete_key(Slot::Attestation), Err(Error::AttestationSlot)));
        assert!(matches!(piv.put_certificate(Slot::Attestation, &[1]), Err(Error::AttestationSlot)));
        assert!(matches!(piv.delete_certificate(Slot::Attestation), Err(Error::AttestationSlot)));
    }

    #[test]
    fn deletes_keys_where_the_card_can() {
        let delete = |status| piv(&mut Script::new(&[("00F6FF82", status)])).delete_key(slot());
        assert!(delete("9000").is_ok());
        assert!(matches!(delete("6A88"), Err(Error::NoSuchKey { .. })));
        assert!(matches!(delete("6982"), Err(Error::NotAuthenticated)));
        assert!(matches!(delete("6D00"), Err(Error::Unsupported { operation: "DELETE KEY" })));
    }

    #[test]
    fn attests() {
        let attest = |answer| piv(&mut Script::new(&[("00F9820000", answer)])).attest(slot());
        assert_eq!(attest("3002 0500 9000").unwrap(), hex("30020500"));
        assert!(matches!(attest("6A80"), Err(Error::NotAttestable { .. })));
        assert!(matches!(attest("6D00"), Err(Error::Unsupported { .. })));
        for lie in ["9000", "3003 0500 9000", "3002 0500 00 9000"] {
            assert!(matches!(attest(lie), Err(Error::Malformed { .. })));
        }
    }

    #[test]
    fn an_empty_slot_has_neither_certificate_nor_key() {
        for (metadata, occupancy) in [("6A88", Occupancy::Empty), ("010111 9000", Occupancy::Used)] {
            let mut card = Script::new(&[(GET_CERTIFICATE, "6A82"), VERSION, ("00F7008200", metadata)]);
            assert_eq!(piv(&mut card).occupancy(slot()).unwrap(), occupancy);
            card.assert_finished();
        }
        let mut card = Script::new(&[(GET_CERTIFICATE, "5303 7001 00 9000")]);
        assert_eq!(piv(&mut card).occupancy(slot()).unwrap(), Occupancy::Used);
    }

    #[test]
    fn old_firmware_can_only_look_empty() {
        for (attestation, occupancy) in [
            ("6A80", Occupancy::LooksEmpty),
            ("6F00", Occupancy::LooksEmpty),
            ("3002 0500 9000", Occupancy::Used),
        ] {
            let mut card =
                Script::new(&[(GET_CERTIFICATE, "6A82"), OLD_VERSION, ("00F9820000", attestation)]);
            assert_eq!(piv(&mut card).occupancy(slot()).unwrap(), occupancy, "{attestation}");
        }
    }

    #[test]
    fn a_card_that_will_not_tell_has_no_empty_slots() {
        let mut card = Script::new(&[(GET_CERTIFICATE, "6A82"), VERSION, ("00F7008200", "6D00")]);
        assert!(matches!(piv(&mut card).occupancy(slot()), Err(Error::Unsupported { .. })));
        let mut card = Script::new(&[(GET_CERTIFICATE, "6A82"), OLD_VERSION, ("00F9820000", "6D00")]);
        assert!(matches!(piv(&mut card).occupancy(slot()), Err(Error::Unsupported { .. })));
    }
}

//! P-256 keys for key agreement: GENERATE, and ECDH by GENERAL AUTHENTICATE (SP 800-73-4 part 2, 3.2.4 and appendix A.5).

use zeroize::Zeroizing;

use super::{
    Error, KeyAlgorithm, P256Point, PinPolicy, Piv, Slot, Status, TouchPolicy,
    apdu::{Command, instruction},
    keys::refuse_attestation_slot,
    refusal, tlv,
};

impl Piv<'_> {
    /// The x coordinate, 32 bytes, of the point that the key in a slot and another point agree on.
    ///
    /// # Errors
    /// [`Error::NotAuthenticated`] for no PIN or no touch, [`Error::NoSuchKey`] for a slot without a P-256 key.
    pub fn agree_p256(&mut self, slot: Slot, point: &P256Point) -> Result<Zeroizing<[u8; 32]>, Error> {
        let mut request = Vec::new();
        tlv::push(&mut request, 0x82, &[]);
        tlv::push(&mut request, 0x85, point);
        let mut template = Vec::new();
        tlv::push(&mut template, 0x7C, &request);
        let command =
            Command::new(instruction::GENERAL_AUTHENTICATE, KeyAlgorithm::P256_BYTE, slot.reference())
                .data(template)
                .expects_data();
        let answer = self.exchange(&command)?;
        match answer.status {
            Status::SuccessfulExecution => {}
            Status::IncorrectData | Status::WrongParameters | Status::ReferencedDataNotFound => {
                return Err(Error::NoSuchKey { slot });
            }
            status => return Err(refusal("GENERAL AUTHENTICATE", status)),
        }
        const WHAT: &str = "shared secret";
        let secret = tlv::only(tlv::only(&answer.data, 0x7C, WHAT)?, 0x82, WHAT)?;
        Ok(Zeroizing::new(secret.try_into().map_err(|_| Error::Malformed { what: WHAT })?))
    }

    /// Makes a new P-256 key in a slot, **destroying the one that is there**; a certificate object stays. Needs
    /// [`Piv::authenticate_management`]. The answer is the public key, known to be on the curve.
    ///
    /// # Errors
    /// [`Error::NotAuthenticated`]; [`Error::Refused`] with `6A80` where the card does not allow a policy.
    pub fn generate_p256(
        &mut self,
        slot: Slot,
        pin: PinPolicy,
        touch: TouchPolicy,
    ) -> Result<P256Point, Error> {
        refuse_attestation_slot(slot)?;
        let mut request = Vec::new();
        tlv::push(&mut request, 0x80, &[KeyAlgorithm::P256_BYTE]);
        tlv::push(&mut request, 0xAA, &[pin as u8]);
        tlv::push(&mut request, 0xAB, &[touch as u8]);
        let mut template = Vec::new();
        tlv::push(&mut template, 0xAC, &request);
        let command =
            Command::new(instruction::GENERATE_ASYMMETRIC, 0, slot.reference()).data(template).expects_data();
        let answer = self.ask("GENERATE ASYMMETRIC KEY PAIR", &command)?;
        point(tlv::only(&answer, 0x7F49, "public key")?)
    }
}

/// The content of a public key template (`86 41 04 …`), if it is an uncompressed point on the curve.
pub(super) fn point(template: &[u8]) -> Result<P256Point, Error> {
    const WHAT: &str = "P-256 point";
    let point = tlv::only(template, 0x86, WHAT)?;
    let point: P256Point = point.try_into().map_err(|_| Error::Malformed { what: WHAT })?;
    p256::PublicKey::from_sec1_bytes(&point).map_err(|_| Error::Malformed { what: WHAT })?;
    Ok(point)
}

#[cfg(test)]
mod tests {
    use p256::elliptic_curve::sec1::ToSec1Point as _;

    use super::*;
    use crate::piv::script::Script;

    fn piv(card: &mut Script) -> Piv<'_> {
        Piv { card, version: None }
    }

    fn slot() -> Slot {
        "95".parse().unwrap()
    }

    fn other_point() -> P256Point {
        let key = p256::SecretKey::from_slice(&[7; 32]).unwrap().public_key();
        key.to_sec1_point(false).as_bytes().try_into().unwrap()
    }

    fn text(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02X}")).collect()
    }

    #[test]
    fn agrees_in_one_apdu_each_way() {
        let command = format!("0087119547 7C45 8200 8541 {} 00", text(&other_point()));
        let answer = format!("7C22 8220 {} 9000", "5A".repeat(32));
        let mut card = Script::new(&[(&command, &answer)]);
        assert_eq!(*piv(&mut card).agree_p256(slot(), &other_point()).unwrap(), [0x5A; 32]);
        card.assert_finished();
    }

    #[test]
    fn refuses_secrets_that_are_none() {
        for lie in [
            "9000".to_owned(),
            "7C00 9000".to_owned(),
            format!("7C21 821F {} 9000", "5A".repeat(31)),
            format!("7C23 8221 {} 9000", "5A".repeat(33)),
            format!("7C22 8120 {} 9000", "5A".repeat(32)),
            format!("7C23 8220 {} 00 9000", "5A".repeat(32)),
        ] {
            let agreed = piv(&mut Script::answers(&[&lie])).agree_p256(slot(), &other_point());
            assert!(matches!(agreed, Err(Error::Malformed { what: "shared secret" })), "{lie}");
        }
    }

    #[test]
    fn refusals_have_their_names() {
        let agree =
            |status| piv(&mut Script::answers(&[status])).agree_p256(slot(), &other_point()).unwrap_err();
        assert!(matches!(agree("6982"), Error::NotAuthenticated));
        for status in ["6A80", "6B00", "6A88"] {
            assert!(matches!(agree(status), Error::NoSuchKey { slot } if slot.to_string() == "95"));
        }
        assert!(matches!(agree("6D00"), Error::Unsupported { .. }));
    }

    #[test]
    fn generates_with_both_policies() {
        let answer = format!("7F4943 8641{} 9000", text(&other_point()));
        let mut card = Script::new(&[("004700950B AC09 800111 AA0102 AB0103 00", &answer)]);
        let made = piv(&mut card).generate_p256(slot(), PinPolicy::Once, TouchPolicy::Cached).unwrap();
        assert_eq!(made, other_point());
        card.assert_finished();
        let mut off_curve = other_point();
        off_curve[64] ^= 1;
        let lie = format!("7F4943 8641{} 9000", text(&off_curve));
        let made =
            piv(&mut Script::answers(&[&lie])).generate_p256(slot(), PinPolicy::Once, TouchPolicy::Cached);
        assert!(matches!(made, Err(Error::Malformed { .. })));
        let forbidden =
            piv(&mut Script::new(&[])).generate_p256(Slot::Attestation, PinPolicy::Once, TouchPolicy::Cached);
        assert!(matches!(forbidden, Err(Error::AttestationSlot)));
    }
}

//! P-256 keys for key agreement: ECDH by GENERAL AUTHENTICATE (SP 800-73-4 part 2, 3.2.4 and appendix A.5).

use zeroize::Zeroizing;

use super::{Error, KeyAlgorithm, P256Point, Piv, Slot};

impl Piv<'_> {
    /// The x coordinate, 32 bytes, of the point that the key in a slot and another point agree on.
    ///
    /// # Errors
    /// [`Error::NotAuthenticated`] for no PIN or no touch, [`Error::NoSuchKey`] for a slot without a P-256 key.
    pub fn agree_p256(&mut self, slot: Slot, point: &P256Point) -> Result<Zeroizing<[u8; 32]>, Error> {
        const WHAT: &str = "shared secret";
        let secret = self.use_private_key(KeyAlgorithm::P256_BYTE, slot, (0x85, point), WHAT)?;
        Ok(Zeroizing::new(secret.as_slice().try_into().map_err(|_| Error::Malformed { what: WHAT })?))
    }
}

#[cfg(test)]
mod tests {
    use p256::elliptic_curve::sec1::ToSec1Point as _;

    use super::*;
    use crate::piv::script::Script;
    use crate::piv::{P256, PinPolicy, TouchPolicy};

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
        let made = piv(&mut card).generate(&P256, slot(), PinPolicy::Once, TouchPolicy::Cached).unwrap();
        assert_eq!(made, other_point());
        card.assert_finished();
        let mut off_curve = other_point();
        off_curve[64] ^= 1;
        let lie = format!("7F4943 8641{} 9000", text(&off_curve));
        let made =
            piv(&mut Script::answers(&[&lie])).generate(&P256, slot(), PinPolicy::Once, TouchPolicy::Cached);
        assert!(matches!(made, Err(Error::Malformed { .. })));
        let forbidden = piv(&mut Script::new(&[])).generate(
            &P256,
            Slot::Attestation,
            PinPolicy::Once,
            TouchPolicy::Cached,
        );
        assert!(matches!(forbidden, Err(Error::AttestationSlot)));
    }
}

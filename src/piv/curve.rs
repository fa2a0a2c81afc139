//! What keys on either curve have in common: GENERATE ASYMMETRIC KEY PAIR, GENERAL AUTHENTICATE and public points
//! (SP 800-73-4 part 2, 3.2.4 and 3.3.2).

use zeroize::Zeroizing;

use super::{
    Error, KeyAlgorithm, PinPolicy, Piv, Slot, Status, TouchPolicy,
    apdu::{Command, instruction},
    keys::refuse_attestation_slot,
    refusal, tlv,
};

/// A curve of the card's; its uncompressed points have `POINT` bytes.
pub struct Curve<const POINT: usize> {
    algorithm: u8,
    has: fn(&[u8; POINT]) -> bool,
    /// What a point is called where it is none.
    what: &'static str,
}

/// For signatures.
pub const P384: Curve<97> = Curve {
    algorithm: KeyAlgorithm::P384_BYTE,
    has: |point| p384::PublicKey::from_sec1_bytes(point).is_ok(),
    what: "P-384 point",
};

/// For key agreement.
pub const P256: Curve<65> = Curve {
    algorithm: KeyAlgorithm::P256_BYTE,
    has: |point| p256::PublicKey::from_sec1_bytes(point).is_ok(),
    what: "P-256 point",
};

impl<const POINT: usize> Curve<POINT> {
    /// The content of a public key template (`86`, length, `04 …`), if it is an uncompressed point on the curve.
    pub(super) fn point(&self, template: &[u8]) -> Result<[u8; POINT], Error> {
        let what = self.what;
        let point = tlv::only(template, 0x86, what)?.try_into().map_err(|_| Error::Malformed { what })?;
        if (self.has)(&point) { Ok(point) } else { Err(Error::Malformed { what }) }
    }
}

impl Piv<'_> {
    /// Makes a new key in a slot, **destroying the one that is there**; a certificate object stays. Needs
    /// [`Piv::authenticate_management`]. The answer is the public key, known to be on the curve.
    ///
    /// # Errors
    /// [`Error::NotAuthenticated`]; [`Error::Refused`] with `6A80` where the card does not allow a policy.
    pub fn generate<const POINT: usize>(
        &mut self,
        curve: &Curve<POINT>,
        slot: Slot,
        pin: PinPolicy,
        touch: TouchPolicy,
    ) -> Result<[u8; POINT], Error> {
        refuse_attestation_slot(slot)?;
        let mut request = Vec::new();
        tlv::push(&mut request, 0x80, &[curve.algorithm]);
        tlv::push(&mut request, 0xAA, &[pin as u8]);
        tlv::push(&mut request, 0xAB, &[touch as u8]);
        let mut template = Vec::new();
        tlv::push(&mut template, 0xAC, &request);
        let command =
            Command::new(instruction::GENERATE_ASYMMETRIC, 0, slot.reference()).data(template).expects_data();
        let answer = self.ask("GENERATE ASYMMETRIC KEY PAIR", &command)?;
        curve.point(tlv::only(&answer, 0x7F49, "public key")?)
    }

    /// What the private key in a slot makes of `input`, which goes under the tag that says what is asked of it.
    pub(super) fn use_private_key(
        &mut self,
        algorithm: u8,
        slot: Slot,
        (tag, input): (u16, &[u8]),
        what: &'static str,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let mut request = Vec::new();
        tlv::push(&mut request, 0x82, &[]);
        tlv::push(&mut request, tag, input);
        let mut template = Vec::new();
        tlv::push(&mut template, 0x7C, &request);
        let command = Command::new(instruction::GENERAL_AUTHENTICATE, algorithm, slot.reference())
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
        let output = tlv::only(tlv::only(&answer.data, 0x7C, what)?, 0x82, what)?;
        Ok(Zeroizing::new(output.to_vec()))
    }
}

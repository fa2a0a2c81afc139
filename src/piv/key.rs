//! A private key in a slot, on either curve: made, used, attested and read back (SP 800-73-4 part 2, 3.2.4 and 3.3.2;
//! Yubico's extensions).

use zeroize::Zeroizing;

use super::{
    CertificateObject, Curve, Error, KeyAlgorithm, METADATA_SINCE, Origin, P256Point, PinPolicy, Piv, Slot,
    Status, TouchPolicy,
    apdu::{Command, instruction},
    attestation::Attestation,
    refusal, refuse_attestation_slot, tlv,
};

/// A key as the card tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyInSlot<const POINT: usize> {
    /// Its public half.
    pub point: [u8; POINT],
    /// When it asks for the PIN.
    pub pin: PinPolicy,
    /// When it asks for a touch.
    pub touch: TouchPolicy,
    /// Where it was made.
    pub origin: Origin,
}

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
        tlv::push(&mut request, 0x80, &[curve.algorithm.byte()]);
        tlv::push(&mut request, 0xAA, &[pin as u8]);
        tlv::push(&mut request, 0xAB, &[touch as u8]);
        let mut template = Vec::new();
        tlv::push(&mut template, 0xAC, &request);
        let command =
            Command::new(instruction::GENERATE_ASYMMETRIC, 0, slot.reference()).data(template).expects_data();
        let answer = self.ask("GENERATE ASYMMETRIC KEY PAIR", &command)?;
        curve.point_in_template(tlv::only(&answer, 0x7F49, "public key")?)
    }

    /// Signs a digest with a P-384 key. The result is r and s, 48 bytes each, left-padded; not normalised to low s.
    ///
    /// # Errors
    /// [`Error::NotAuthenticated`] for no PIN or no touch, [`Error::NoSuchKey`] for a slot without a P-384 key.
    pub fn sign_p384(&mut self, slot: Slot, digest: &[u8; 48]) -> Result<[u8; 96], Error> {
        const WHAT: &str = "signature";
        let signature = self.use_private_key(KeyAlgorithm::P384, slot, (0x81, digest), WHAT)?;
        let signature =
            p384::ecdsa::Signature::from_der(&signature).map_err(|_| Error::Malformed { what: WHAT })?;
        Ok(signature.to_bytes().into())
    }

    /// The x coordinate, 32 bytes, of the point that a P-256 key and another point agree on (appendix A.5).
    ///
    /// # Errors
    /// [`Error::NotAuthenticated`] for no PIN or no touch, [`Error::NoSuchKey`] for a slot without a P-256 key.
    pub fn agree_p256(&mut self, slot: Slot, point: &P256Point) -> Result<Zeroizing<[u8; 32]>, Error> {
        const WHAT: &str = "shared secret";
        let secret = self.use_private_key(KeyAlgorithm::P256, slot, (0x85, point), WHAT)?;
        Ok(Zeroizing::new(secret.as_slice().try_into().map_err(|_| Error::Malformed { what: WHAT })?))
    }

    /// What the private key in a slot makes of `input`, which goes under the tag that says what is asked of it.
    fn use_private_key(
        &mut self,
        algorithm: KeyAlgorithm,
        slot: Slot,
        (tag, input): (u16, &[u8]),
        what: &'static str,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let mut request = Vec::new();
        tlv::push(&mut request, 0x82, &[]);
        tlv::push(&mut request, tag, input);
        let mut template = Vec::new();
        tlv::push(&mut template, 0x7C, &request);
        let command = Command::new(instruction::GENERAL_AUTHENTICATE, algorithm.byte(), slot.reference())
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

    /// The card's statement about a key that it generated: one DER certificate, signed by the key in slot F9
    /// (firmware 4.3 and later). Read it with [`Attestation`].
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

    /// The key on this curve in a slot. Before [`METADATA_SINCE`] the card attests only keys that it generated; an
    /// imported key is told of by the certificate beside it, if that is given.
    ///
    /// # Errors
    /// [`Error::Malformed`] if the card says that there is a key on this curve and shows none.
    pub fn key<const POINT: usize>(
        &mut self,
        curve: &Curve<POINT>,
        slot: Slot,
        certificate: Option<&CertificateObject>,
    ) -> Result<Option<KeyInSlot<POINT>>, Error> {
        let key = |point, pin, touch, origin| KeyInSlot { point, pin, touch, origin };
        match self.metadata(slot) {
            Ok(None) => return Ok(None),
            Ok(Some(found)) => {
                return Ok(found.point(curve)?.map(|point| key(point, found.pin, found.touch, found.origin)));
            }
            Err(Error::Unsupported { .. }) => {}
            Err(error) => return Err(error),
        }
        match self.attest(slot) {
            Ok(der) => {
                let found = Attestation::read(&der)?;
                Ok(found.point(curve).map(|point| key(point, found.pin, found.touch, Origin::Generated)))
            }
            Err(Error::NotAttestable { .. } | Error::Refused { .. }) => Ok(certificate
                .and_then(|object| object.point(curve).zip(object.policies()))
                .map(|(point, (pin, touch))| key(point, pin, touch, Origin::Imported))),
            Err(error) => Err(error),
        }
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

#[cfg(test)]
mod tests;

//! Keys that a card made, with the card's word for it.

use aes::Aes192;
use aes::cipher::{Array, BlockCipherEncrypt as _, KeyInit as _};
use asymmetric_token::PublicKey;
use der::pem::LineEnding;
use der::{Reader as _, SliceReader};
use mock_card::{Attestation, Card, PinPolicy, TouchPolicy, Traits, authorities};
use sha2::{Digest as _, Sha384};

use super::SoftwareKey;

/// The mock's authorities in PEM: both roots, then what stands between.
pub(crate) fn mock_authorities() -> String {
    authorities().iter().map(|authority| pem(&authority.certificate)).collect()
}

pub(crate) fn pem(der: &[u8]) -> String {
    der::pem::encode_string("CERTIFICATE", LineEnding::LF, der).expect("text")
}

/// A card with the management key of the factory.
pub(crate) fn card(firmware: &str, attestation: Option<Attestation>) -> Card {
    let card = Card::new(firmware.parse().expect("firmware"), 12_345_678).expect("a card");
    card.with_traits(Traits { attestation, ..Traits::default() })
}

/// A key in a card, and the chain that says so.
#[derive(Debug)]
pub(crate) struct AttestedKey {
    pub(crate) public: PublicKey,
    pub(crate) chain: Vec<Vec<u8>>,
    point: Vec<u8>,
}

impl AttestedKey {
    pub(crate) fn made(card: &mut Card, slot: u8, pin: PinPolicy, touch: TouchPolicy) -> Self {
        authenticate(card);
        let pin = [PinPolicy::Never, PinPolicy::Once, PinPolicy::Always].iter().position(|one| *one == pin);
        let touch = [TouchPolicy::Never, TouchPolicy::Always, TouchPolicy::Cached]
            .iter()
            .position(|one| *one == touch);
        let policy = |position: Option<usize>| position.expect("a policy") as u8 + 1;
        let parameters = [0xAC, 9, 0x80, 1, 0x14, 0xAA, 1, policy(pin), 0xAB, 1, policy(touch)];
        let answer = sent(card, &[&[0, 0x47, 0, slot, 11][..], &parameters].concat());
        let point = answer[5..].to_vec();
        let public = PublicKey::from_uncompressed(point.as_slice().try_into().expect("97 bytes"));
        let statement = sent(card, &[0, 0xF9, slot, 0, 0, 0, 0]);
        let object = sent(card, &[0, 0xCB, 0x3F, 0xFF, 0, 0, 5, 0x5C, 3, 0x5F, 0xFF, 1, 0, 0]);
        // 53, length, 70, length, certificate, 71 01 00 FE 00
        let f9 = object[8..object.len() - 5].to_vec();
        Self { public: public.expect("a point of the curve"), chain: vec![statement, f9], point }
    }

    /// What the owner of a key in a slot can sign with it: the same statement about another key, in the name of this one.
    pub(crate) fn forge(&self, card: &mut Card, slot: u8, about: &SoftwareKey) -> Self {
        const ECDSA_WITH_SHA384: [u8; 12] = [0x30, 10, 6, 8, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 4, 3, 3];
        let point = about.uncompressed();
        let mut fields =
            elements(elements(&self.chain[0])[0]).into_iter().map(<[u8]>::to_vec).collect::<Vec<_>>();
        fields[2] = ECDSA_WITH_SHA384.to_vec();
        fields[3] = fields[5].clone();
        let at = fields[6].windows(97).position(|window| window == self.point).expect("its own key");
        fields[6][at..at + 97].copy_from_slice(&point);
        let body = sequence(&fields.concat());
        let digest = Sha384::digest(&body);
        let command = [&[0, 0x87, 0x14, slot, 54, 0x7C, 52, 0x82, 0, 0x81, 48][..], &digest].concat();
        let signature = sent(card, &command);
        let signature = [&[0][..], &signature[4..]].concat();
        let bits = [&[3, u8::try_from(signature.len()).expect("short")][..], &signature].concat();
        let forged = sequence(&[body, ECDSA_WITH_SHA384.to_vec(), bits].concat());
        Self {
            public: about.public,
            chain: vec![forged, self.chain[0].clone(), self.chain[1].clone()],
            point,
        }
    }
}

fn sent(card: &mut Card, command: &[u8]) -> Vec<u8> {
    let mut answer = card.transmit(command);
    let mut whole = Vec::new();
    while let [data @ .., 0x61, _] = &answer[..] {
        whole.extend_from_slice(data);
        answer = card.transmit(&[0, 0xC0, 0, 0, 0]);
    }
    whole.extend_from_slice(
        answer.strip_suffix(&[0x90, 0]).unwrap_or_else(|| panic!("{command:02X?}: {answer:02X?}")),
    );
    whole
}

/// With the factory's key (SP 800-73-4 part 2, appendix A.1): AES from firmware 5.7 on, 3DES before.
fn authenticate(card: &mut Card) {
    const DEFAULT: &[u8; 24] = &[1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8];
    sent(card, &[0, 0xA4, 4, 0, 5, 0xA0, 0, 0, 3, 8]);
    let challenge = card.transmit(&[0, 0x87, 0x0A, 0x9B, 4, 0x7C, 2, 0x81, 0]);
    if challenge.ends_with(&[0x90, 0]) {
        let mut block = Array::try_from(&challenge[4..20]).expect("a block");
        Aes192::new(DEFAULT.into()).encrypt_block(&mut block);
        sent(card, &[&[0, 0x87, 0x0A, 0x9B, 20, 0x7C, 18, 0x82, 16][..], &block].concat());
    } else {
        let challenge = sent(card, &[0, 0x87, 3, 0x9B, 4, 0x7C, 2, 0x81, 0]);
        let mut block = Array::try_from(&challenge[4..12]).expect("a block");
        des::TdesEde3::new(DEFAULT.into()).encrypt_block(&mut block);
        sent(card, &[&[0, 0x87, 3, 0x9B, 12, 0x7C, 10, 0x82, 8][..], &block].concat());
    }
}

/// The elements inside a SEQUENCE, whole.
fn elements(sequence: &[u8]) -> Vec<&[u8]> {
    let mut reader = SliceReader::new(sequence).expect("not too long");
    reader
        .sequence(|parts: &mut SliceReader<'_>| {
            let mut all = Vec::new();
            while !parts.is_finished() {
                all.push(parts.tlv_bytes()?);
            }
            der::Result::Ok(all)
        })
        .expect("a sequence")
}

fn sequence(content: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len()).expect("short").to_be_bytes();
    [&[0x30, 0x82, high, low][..], content].concat()
}

//! Cards, keys and bytes for all tests of the applet.

use std::convert::Infallible;

use aes::Aes192;
use cipher::{Array, BlockCipherEncrypt as _, KeyInit as _};
use mock_card::{Card, Firmware, ImportedKey, hex};
use p256::pkcs8::EncodePrivateKey as _;

/// Versions of every generation that is modelled.
pub(crate) const FIRMWARES: [&str; 7] = ["4.3.7", "5.2.7", "5.3.1", "5.4.3", "5.7.1", "5.7.4", "5.7.4-fips"];

/// A card whose random bytes are all 5A.
pub(crate) fn card(firmware: Firmware) -> Card {
    Card::with_random(firmware, 12_345_678, Box::new(|bytes| bytes.fill(0x5A))).unwrap()
}

/// A key whose bytes are always the same, read from PKCS#8.
pub(crate) fn known_key(algorithm: &str) -> ImportedKey {
    let of_25519 = |oid: u8| bytes(&format!("302E 020100 3005 06032B65{oid:02X} 0422 0420 [5A*32]"));
    let der = match algorithm {
        "p256" => {
            p256::SecretKey::from_slice(&[0x5A; 32]).unwrap().to_pkcs8_der().unwrap().as_bytes().to_vec()
        }
        "p384" => {
            p384::SecretKey::from_slice(&[0x5A; 48]).unwrap().to_pkcs8_der().unwrap().as_bytes().to_vec()
        }
        "ed25519" => of_25519(0x70),
        "x25519" => of_25519(0x6E),
        "rsa1024" => {
            let key = rsa::RsaPrivateKey::new_unchecked(&mut Random(3), 1024).unwrap();
            key.to_pkcs8_der().unwrap().as_bytes().to_vec()
        }
        _ => panic!("{algorithm}"),
    };
    ImportedKey::from_pkcs8(&der).unwrap()
}

/// Reads hexadecimal text. `[5A*16]` stands for sixteen bytes 5A.
pub(crate) fn bytes(text: &str) -> Vec<u8> {
    let mut plain = String::new();
    for part in text.split('[') {
        match part.split_once(']') {
            Some((repeated, after)) => {
                let (byte, times) = repeated.split_once('*').unwrap();
                plain.push_str(&byte.repeat(times.parse().unwrap()));
                plain.push_str(after);
            }
            None => plain.push_str(part),
        }
    }
    hex::decode(&plain).unwrap_or_else(|| panic!("not hexadecimal: {text}"))
}

/// Selects the application and authenticates with the management key of a new card, which is 3DES or AES-192.
pub(crate) fn authenticate(card: &mut Card) {
    const DEFAULT: &[u8; 24] = &[1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8];
    assert!(card.transmit(&bytes("00A4040005A000000308")).ends_with(&[0x90, 0]));
    let challenge = card.transmit(&bytes("00870A9B047C028100"));
    let command = if challenge.ends_with(&[0x90, 0]) {
        let mut block = Array::try_from(&challenge[4..20]).unwrap();
        Aes192::new(DEFAULT.into()).encrypt_block(&mut block);
        [bytes("00870A9B147C128210"), block.to_vec()].concat()
    } else {
        let challenge = card.transmit(&bytes("0087039B047C028100"));
        let mut block = Array::try_from(&challenge[4..12]).unwrap();
        des::TdesEde3::new(DEFAULT.into()).encrypt_block(&mut block);
        [bytes("0087039B0C7C0A8208"), block.to_vec()].concat()
    };
    assert_eq!(card.transmit(&command), [0x90, 0]);
}

/// A congruential generator, which is good enough for tests.
pub(crate) struct Random(pub(crate) u64);

impl rand_core::TryRng for Random {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.try_next_u64()? as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Ok(self.0 ^ (self.0 >> 31))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.try_next_u64()?.to_be_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Random {}

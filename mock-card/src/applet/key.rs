//! Private keys on P-256 and P-384: signing and key agreement.

use p256::ecdsa::signature::hazmat::PrehashSigner as _;
use p256::pkcs8::DecodePrivateKey as _;
use serde::{Deserialize, Serialize};

use super::policy::{PinPolicy, TouchPolicy};
use super::status::Status;
use crate::hex;

/// The algorithms a slot can hold: SP 800-78-4, table 6-2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// NIST P-256, identifier 11.
    P256,
    /// NIST P-384, identifier 14.
    P384,
}

impl Algorithm {
    /// Reads the PIV algorithm identifier.
    pub(crate) fn parse(identifier: u8) -> Option<Self> {
        match identifier {
            0x11 => Some(Self::P256),
            0x14 => Some(Self::P384),
            _ => None,
        }
    }

    pub(crate) fn identifier(self) -> u8 {
        match self {
            Self::P256 => 0x11,
            Self::P384 => 0x14,
        }
    }

    /// Bytes in a scalar, a coordinate and the longest digest.
    pub(crate) fn size(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
        }
    }
}

/// A file that holds no key this card can import.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a PKCS#8 private key on P-256 or P-384, in DER or PEM")]
pub struct ImportedKeyError;

/// A private key from outside. It holds the secret in the clear: a mock is no place for a key of worth.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportedKey {
    algorithm: Algorithm,
    #[serde(with = "hex::text")]
    scalar: Vec<u8>,
}

impl std::fmt::Debug for ImportedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImportedKey").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

impl ImportedKey {
    /// Reads PKCS#8 (RFC 5958), DER or PEM; the algorithm is the one the key names.
    ///
    /// # Errors
    /// [`ImportedKeyError`] for anything else, RSA and Ed25519 included.
    pub fn from_pkcs8(file: &[u8]) -> Result<Self, ImportedKeyError> {
        let text = std::str::from_utf8(file).ok().filter(|text| text.contains("-----BEGIN"));
        let p256 = match text {
            Some(pem) => p256::SecretKey::from_pkcs8_pem(pem),
            None => p256::SecretKey::from_pkcs8_der(file),
        };
        if let Ok(key) = p256 {
            return Ok(Self { algorithm: Algorithm::P256, scalar: key.to_bytes().to_vec() });
        }
        match text {
            Some(pem) => p384::SecretKey::from_pkcs8_pem(pem),
            None => p384::SecretKey::from_pkcs8_der(file),
        }
        .map(|key| Self { algorithm: Algorithm::P384, scalar: key.to_bytes().to_vec() })
        .map_err(|_| ImportedKeyError)
    }

    /// A scalar of exactly the curve's size, neither zero nor beyond the order.
    pub(crate) fn from_scalar(algorithm: Algorithm, scalar: &[u8]) -> Option<Self> {
        if scalar.len() != algorithm.size() {
            return None;
        }
        let valid = match algorithm {
            Algorithm::P256 => p256::SecretKey::from_slice(scalar).is_ok(),
            Algorithm::P384 => p384::SecretKey::from_slice(scalar).is_ok(),
        };
        valid.then(|| Self { algorithm, scalar: scalar.to_vec() })
    }

    /// A new key. A random scalar is out of range once in 2^32 tries on P-256, and then drawn again.
    pub(crate) fn generate(algorithm: Algorithm, random: &mut dyn FnMut(&mut [u8])) -> Self {
        let mut scalar = vec![0; algorithm.size()];
        loop {
            random(&mut scalar);
            if let Some(key) = Self::from_scalar(algorithm, &scalar) {
                return key;
            }
        }
    }

    /// The curve.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The public key as an uncompressed point, `04 x y`: 65 or 97 bytes.
    pub fn public_point(&self) -> Vec<u8> {
        match self.secret() {
            Secret::P256(key) => p256::Sec1Point::from(key.public_key()).as_bytes().to_vec(),
            Secret::P384(key) => p384::Sec1Point::from(key.public_key()).as_bytes().to_vec(),
        }
    }

    /// An ECDSA signature in DER over a digest of at most the curve's size; a shorter one counts as an integer
    /// with leading zeros. The nonce comes from RFC 6979, so equal digests give equal signatures.
    pub(crate) fn sign(&self, digest: &[u8]) -> Result<Vec<u8>, Status> {
        let missing = self.algorithm.size().checked_sub(digest.len()).ok_or(Status::WrongData)?;
        let padded = [&vec![0; missing], digest].concat();
        match self.secret() {
            Secret::P256(key) => {
                let signature: Result<p256::ecdsa::DerSignature, _> =
                    p256::ecdsa::SigningKey::from(key).sign_prehash(&padded);
                signature.map(|der| der.as_bytes().to_vec())
            }
            Secret::P384(key) => {
                let signature: Result<p384::ecdsa::DerSignature, _> =
                    p384::ecdsa::SigningKey::from(key).sign_prehash(&padded);
                signature.map(|der| der.as_bytes().to_vec())
            }
        }
        .map_err(|_| Status::WrongData)
    }

    /// The x coordinate of the shared point (SP 800-56A, 5.7.1.2) with a peer's uncompressed point.
    pub(crate) fn agree(&self, point: &[u8]) -> Result<Vec<u8>, Status> {
        if point.first() != Some(&4) {
            return Err(Status::WrongData);
        }
        match self.secret() {
            Secret::P256(key) => p256::PublicKey::from_sec1_bytes(point)
                .map(|peer| key.diffie_hellman(&peer).raw_secret_bytes().to_vec()),
            Secret::P384(key) => p384::PublicKey::from_sec1_bytes(point)
                .map(|peer| key.diffie_hellman(&peer).raw_secret_bytes().to_vec()),
        }
        .map_err(|_| Status::WrongData)
    }

    fn secret(&self) -> Secret {
        match self.algorithm {
            Algorithm::P256 => Secret::P256(p256::SecretKey::from_slice(&self.scalar).expect(CHECKED)),
            Algorithm::P384 => Secret::P384(p384::SecretKey::from_slice(&self.scalar).expect(CHECKED)),
        }
    }

    /// Whether the scalar fits the curve; a state file is written by people too.
    pub(crate) fn is_valid(&self) -> bool {
        Self::from_scalar(self.algorithm, &self.scalar).is_some()
    }
}

const CHECKED: &str = "every way to an ImportedKey checks its scalar";

enum Secret {
    P256(p256::SecretKey),
    P384(p384::SecretKey),
}

/// Where a key came from, as metadata and attestation tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Origin {
    Generated,
    Imported,
}

impl Origin {
    pub(crate) fn byte(self) -> u8 {
        match self {
            Self::Generated => 1,
            Self::Imported => 2,
        }
    }
}

/// A key in its slot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SlotKey {
    #[serde(flatten)]
    pub(crate) private: ImportedKey,
    pub(crate) pin: PinPolicy,
    pub(crate) touch: TouchPolicy,
    pub(crate) origin: Origin,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(algorithm: Algorithm) -> ImportedKey {
        ImportedKey::generate(algorithm, &mut |bytes| bytes.fill(0x5A))
    }

    #[test]
    fn a_short_digest_is_an_integer_with_leading_zeros() {
        let key = key(Algorithm::P384);
        let padded = [vec![0; 16], vec![0x11; 32]].concat();
        assert_eq!(key.sign(&[0x11; 32]), key.sign(&padded));
        assert_eq!(key.sign(&[0x11; 49]), Err(Status::WrongData));
    }

    #[test]
    fn two_keys_agree() {
        for algorithm in [Algorithm::P256, Algorithm::P384] {
            let ours = key(algorithm);
            let theirs = ImportedKey::generate(algorithm, &mut |bytes| bytes.fill(0x33));
            assert_eq!(ours.agree(&theirs.public_point()), theirs.agree(&ours.public_point()));
            let mut off_curve = theirs.public_point();
            off_curve[10] ^= 1;
            assert_eq!(ours.agree(&off_curve), Err(Status::WrongData));
        }
    }

    #[test]
    fn scalars_out_of_range_are_no_keys() {
        assert!(ImportedKey::from_scalar(Algorithm::P256, &[0; 32]).is_none());
        assert!(ImportedKey::from_scalar(Algorithm::P256, &[0xFF; 32]).is_none());
        assert!(ImportedKey::from_scalar(Algorithm::P256, &[1; 31]).is_none());
        assert_eq!(ImportedKey::from_pkcs8(b"nothing"), Err(ImportedKeyError));
    }
}

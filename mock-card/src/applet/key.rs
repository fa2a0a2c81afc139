//! Private keys, and what can be done with them.

mod curve;
mod edwards;
mod modular;
mod pkcs8;

use serde::{Deserialize, Serialize};

use super::policy::{PinPolicy, TouchPolicy};
use super::status::Status;
use super::tlv;
use crate::hex;

/// The algorithms of private keys, by their identifiers: those of SP 800-78-4, table 6-2, and Yubico's own since firmware
/// 5.7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Algorithm {
    /// RSA with 1024 bits.
    Rsa1024 = 0x06,
    /// RSA with 2048 bits.
    Rsa2048 = 0x07,
    /// RSA with 3072 bits.
    Rsa3072 = 0x05,
    /// RSA with 4096 bits.
    Rsa4096 = 0x16,
    /// NIST P-256.
    P256 = 0x11,
    /// NIST P-384.
    P384 = 0x14,
    /// Signatures on Curve25519.
    Ed25519 = 0xE0,
    /// Key agreement on Curve25519.
    X25519 = 0xE1,
}

impl Algorithm {
    /// All algorithms.
    pub const ALL: [Self; 8] = [
        Self::Rsa1024,
        Self::Rsa2048,
        Self::Rsa3072,
        Self::Rsa4096,
        Self::P256,
        Self::P384,
        Self::Ed25519,
        Self::X25519,
    ];
    pub(crate) const RSA: [Self; 4] = [Self::Rsa1024, Self::Rsa2048, Self::Rsa3072, Self::Rsa4096];

    /// Reads the PIV algorithm identifier.
    pub(crate) fn parse(identifier: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.identifier() == identifier)
    }

    /// The PIV algorithm identifier.
    pub fn identifier(self) -> u8 {
        self as u8
    }

    /// The number of bytes in a modulus, or in a scalar and a coordinate.
    pub(crate) fn size(self) -> usize {
        match self {
            Self::Rsa1024 => 128,
            Self::Rsa2048 => 256,
            Self::Rsa3072 => 384,
            Self::Rsa4096 => 512,
            Self::P256 => 32,
            Self::P384 => 48,
            Self::Ed25519 | Self::X25519 => edwards::SIZE,
        }
    }

    pub(crate) fn is_rsa(self) -> bool {
        Self::RSA.contains(&self)
    }

    /// The usual name, such as `rsa2048`, `p384` or `ed25519`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rsa1024 => "rsa1024",
            Self::Rsa2048 => "rsa2048",
            Self::Rsa3072 => "rsa3072",
            Self::Rsa4096 => "rsa4096",
            Self::P256 => "p256",
            Self::P384 => "p384",
            Self::Ed25519 => "ed25519",
            Self::X25519 => "x25519",
        }
    }
}

/// A file has no private key in it that can be imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a PKCS#8 private key in DER or PEM for RSA (1024, 2048, 3072, 4096; exponent 65537), P-256, P-384, Ed25519 or X25519"
)]
pub struct ImportedKeyError;

/// The public half of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKey {
    /// An uncompressed point `04 x y` of 65 or 97 bytes, or the 32 bytes of Curve25519.
    Point(Vec<u8>),
    /// An RSA modulus, which is as long as the key. The exponent is 65537.
    Modulus(Vec<u8>),
}

impl PublicKey {
    /// The form in which GENERATE and GET METADATA answer it: `86 point`, or `81 modulus 82 exponent`.
    pub(crate) fn template(&self) -> Vec<u8> {
        match self {
            Self::Point(point) => tlv::element(&[0x86], point),
            Self::Modulus(modulus) => {
                [tlv::element(&[0x81], modulus), tlv::element(&[0x82], &modular::EXPONENT)].concat()
            }
        }
    }

    /// The point or modulus.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Point(bytes) | Self::Modulus(bytes) => bytes,
        }
    }
}

/// A private key. It keeps its secret in the clear. Do not put a valuable key into a mock.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportedKey {
    algorithm: Algorithm,
    /// A scalar, a seed, or two primes.
    #[serde(with = "hex::text")]
    secret: Vec<u8>,
}

impl std::fmt::Debug for ImportedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImportedKey").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

impl ImportedKey {
    /// Reads a key in PKCS#8 (RFC 5958), in DER or PEM.
    ///
    /// # Errors
    /// [`ImportedKeyError`] if it is no such key, or one that cannot be imported.
    pub fn from_pkcs8(file: &[u8]) -> Result<Self, ImportedKeyError> {
        pkcs8::read(file).ok_or(ImportedKeyError)
    }

    /// Reads the elements of IMPORT ASYMMETRIC KEY: 01 to 05 for RSA, 06 for a scalar, 07 for Ed25519, 08 for X25519.
    pub(crate) fn from_template(algorithm: Algorithm, template: &[(u8, &[u8])]) -> Option<Self> {
        let find = |tag| tlv::find(template, tag);
        match algorithm {
            Algorithm::P256 | Algorithm::P384 => Self::checked(algorithm, find(0x06)?),
            Algorithm::Ed25519 => Self::checked(algorithm, find(0x07)?),
            Algorithm::X25519 => Self::checked(algorithm, find(0x08)?),
            _ => {
                let numbers = [find(1)?, find(2)?, find(3)?, find(4)?, find(5)?];
                let secret = modular::from_numbers(numbers, algorithm.size())?;
                Some(Self { algorithm, secret })
            }
        }
    }

    /// A key with this secret, if the secret fits the algorithm.
    pub(crate) fn checked(algorithm: Algorithm, secret: &[u8]) -> Option<Self> {
        let secret = match algorithm {
            Algorithm::P256 | Algorithm::P384 => curve::checked(algorithm, secret)?,
            Algorithm::Ed25519 | Algorithm::X25519 => {
                (secret.len() == edwards::SIZE).then(|| secret.to_vec())?
            }
            _ => modular::checked(secret, algorithm.size())?,
        };
        Some(Self { algorithm, secret })
    }

    /// A new key.
    pub(crate) fn generate(algorithm: Algorithm, random: &mut dyn FnMut(&mut [u8])) -> Self {
        let secret = match algorithm {
            Algorithm::P256 | Algorithm::P384 => curve::generate(algorithm, random),
            Algorithm::Ed25519 | Algorithm::X25519 => {
                let mut secret = vec![0; edwards::SIZE];
                random(&mut secret);
                secret
            }
            _ => modular::generate(algorithm.size(), random),
        };
        Self { algorithm, secret }
    }

    /// The algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The public half.
    pub fn public_key(&self) -> PublicKey {
        match self.algorithm {
            Algorithm::P256 | Algorithm::P384 => PublicKey::Point(curve::point(self.algorithm, &self.secret)),
            Algorithm::Ed25519 | Algorithm::X25519 => {
                PublicKey::Point(edwards::point(self.algorithm, &self.secret))
            }
            _ => PublicKey::Modulus(modular::modulus(&self.secret)),
        }
    }

    /// The private-key operation on a challenge: ECDSA on a digest, Ed25519 on a message, or the RSA operation, which
    /// both signs a padded block and decrypts.
    pub(crate) fn sign(&self, challenge: &[u8]) -> Result<Vec<u8>, Status> {
        match self.algorithm {
            Algorithm::P256 | Algorithm::P384 => curve::sign(self.algorithm, &self.secret, challenge),
            Algorithm::Ed25519 => Ok(edwards::sign(&self.secret, challenge)),
            Algorithm::X25519 => Err(Status::WrongData),
            _ => modular::power(&self.secret, challenge),
        }
    }

    /// The secret that is agreed on with the owner of a public point.
    pub(crate) fn agree(&self, point: &[u8]) -> Result<Vec<u8>, Status> {
        match self.algorithm {
            Algorithm::P256 | Algorithm::P384 => curve::agree(self.algorithm, &self.secret, point),
            Algorithm::X25519 => edwards::agree(&self.secret, point),
            _ => Err(Status::WrongData),
        }
    }

    /// Whether the secret fits the algorithm. It may come from a file that somebody has edited.
    pub(crate) fn is_valid(&self) -> bool {
        Self::checked(self.algorithm, &self.secret).is_some()
    }
}

/// Whether the card made a key itself, by the number that GET METADATA has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub(crate) enum Origin {
    Generated = 1,
    Imported = 2,
}

/// A key in a slot, with its policies.
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
        for algorithm in [Algorithm::P256, Algorithm::P384, Algorithm::X25519] {
            let ours = key(algorithm);
            let theirs = ImportedKey::generate(algorithm, &mut |bytes| bytes.fill(0x33));
            let secret = ours.agree(theirs.public_key().as_bytes());
            assert!(secret.as_ref().is_ok_and(|secret| secret.len() == algorithm.size()));
            assert_eq!(secret, theirs.agree(ours.public_key().as_bytes()));
        }
    }

    #[test]
    fn points_nobody_should_agree_with() {
        let mut off_curve = key(Algorithm::P256).public_key().as_bytes().to_vec();
        off_curve[10] ^= 1;
        assert_eq!(key(Algorithm::P256).agree(&off_curve), Err(Status::WrongData));
        assert_eq!(key(Algorithm::X25519).agree(&[0; 32]), Err(Status::WrongData));
        assert_eq!(key(Algorithm::Ed25519).agree(&[9; 32]), Err(Status::WrongData));
        assert_eq!(key(Algorithm::X25519).sign(&[9; 32]), Err(Status::WrongData));
    }

    #[test]
    fn secrets_out_of_range_are_no_keys() {
        assert!(ImportedKey::checked(Algorithm::P256, &[0; 32]).is_none());
        assert!(ImportedKey::checked(Algorithm::P256, &[0xFF; 32]).is_none());
        assert!(ImportedKey::checked(Algorithm::P256, &[1; 31]).is_none());
        assert!(ImportedKey::checked(Algorithm::Ed25519, &[1; 33]).is_none());
        assert!(ImportedKey::checked(Algorithm::Rsa1024, &[1; 128]).is_none());
        assert_eq!(ImportedKey::from_pkcs8(b"nothing"), Err(ImportedKeyError));
    }

    #[test]
    fn an_rsa_block_is_as_long_as_the_modulus_and_smaller() {
        let key = key(Algorithm::Rsa1024);
        assert!(key.is_valid());
        assert_eq!(key.sign(&[1; 127]), Err(Status::WrongData));
        assert_eq!(key.sign(&[0xFF; 128]), Err(Status::WrongData));
        let result = key.sign(&[&[0; 127][..], &[2]].concat());
        assert!(result.is_ok_and(|result| result.len() == 128));
    }
}

//! Certificates made by hand: a statement, F9, an authority and a root of software keys, any part of which a test may spoil.
//! Unspoilt, the chain is a good one.

use asymmetric_token::PublicKey;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512};
use sha2::{Digest as _, Sha256, Sha384};

use super::SoftwareKey;

/// Object identifiers, without tag and length.
const EC: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 2, 1];
pub(crate) const P256: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 3, 1, 7];
pub(crate) const P384: &[u8] = &[0x2B, 0x81, 4, 0, 0x22];
pub(crate) const RSA: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 1];
const ECDSA_SHA256: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 4, 3, 2];
const ECDSA_SHA384: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 4, 3, 3];
const RSA_SHA256: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 11];
const RSA_SHA384: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 12];
const RSA_SHA512: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 13];

/// Yubico's arc: 3 is the firmware, 7 the serial number, 8 PIN and touch policy, 9 the form factor.
pub(crate) fn yubico(last: u8, value: &[u8]) -> Vec<u8> {
    extension(&[0x2B, 6, 1, 4, 1, 0x82, 0xC4, 0x0A, 3, last], false, value)
}

/// basicConstraints of an authority with at most so many below it, where that is said.
pub(crate) fn authority(path_length: Option<u8>) -> Vec<u8> {
    let length = path_length.map(|length| vec![2, 1, length]).unwrap_or_default();
    basic_constraints(&element(0x30, &[vec![1, 1, 0xFF], length].concat()))
}

pub(crate) fn basic_constraints(value: &[u8]) -> Vec<u8> {
    extension(&[0x55, 0x1D, 0x13], true, value)
}

/// 5 is keyCertSign, 0 digitalSignature (RFC 5280, 4.2.1.3).
pub(crate) fn key_usage(bit: u8) -> Vec<u8> {
    raw_key_usage(&[3, 2, 7 - bit, 0x80 >> bit])
}

pub(crate) fn raw_key_usage(value: &[u8]) -> Vec<u8> {
    extension(&[0x55, 0x1D, 0x0F], true, value)
}

/// An extension that nobody knows.
pub(crate) fn unknown(critical: bool) -> Vec<u8> {
    extension(&[0x2A, 3], critical, &[])
}

fn extension(id: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if critical { &[1, 1, 0xFF] } else { &[] };
    element(0x30, &[&element(6, id), critical, &element(4, value)].concat())
}

/// What signs a certificate, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signer {
    P256Sha256,
    P256Sha384,
    P384Sha256,
    P384Sha384,
    RsaSha256,
    RsaSha384,
    RsaSha512,
}

/// A key that can sign. EC keys of different seeds are different; RSA keys always are.
pub(crate) struct Key {
    seed: u8,
    signer: Signer,
    rsa: Option<RsaKeyPair>,
}

impl Key {
    pub(crate) fn new(seed: u8, signer: Signer) -> Self {
        let rsa = matches!(signer, Signer::RsaSha256 | Signer::RsaSha384 | Signer::RsaSha512);
        let rsa = rsa.then(|| RsaKeyPair::generate(KeySize::Rsa2048).unwrap());
        Self { seed, signer, rsa }
    }

    fn public_info(&self) -> Vec<u8> {
        match (self.signer, &self.rsa) {
            (_, Some(pair)) => public_info(RSA, None, pair.public_key().as_ref()),
            (Signer::P256Sha256 | Signer::P256Sha384, None) => {
                let point = self.p256().verifying_key().to_sec1_point(false);
                public_info(EC, Some(P256), point.as_bytes())
            }
            _ => public_info(EC, Some(P384), &SoftwareKey::new(self.seed).uncompressed()),
        }
    }

    fn algorithm(&self) -> Vec<u8> {
        let (id, null): (_, &[u8]) = match self.signer {
            Signer::P256Sha256 | Signer::P384Sha256 => (ECDSA_SHA256, &[]),
            Signer::P256Sha384 | Signer::P384Sha384 => (ECDSA_SHA384, &[]),
            Signer::RsaSha256 => (RSA_SHA256, &[5, 0]),
            Signer::RsaSha384 => (RSA_SHA384, &[5, 0]),
            Signer::RsaSha512 => (RSA_SHA512, &[5, 0]),
        };
        element(0x30, &[&element(6, id), null].concat())
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        use p384::ecdsa::signature::hazmat::PrehashSigner as _;
        let hash = match self.signer {
            Signer::P256Sha256 | Signer::P384Sha256 => Sha256::digest(message).to_vec(),
            _ => Sha384::digest(message).to_vec(),
        };
        let padding = match self.signer {
            Signer::P256Sha256 | Signer::P256Sha384 => {
                let signature: p256::ecdsa::Signature = self.p256().sign_prehash(&hash).unwrap();
                return signature.to_der().as_bytes().to_vec();
            }
            Signer::P384Sha256 | Signer::P384Sha384 => {
                let key = p384::ecdsa::SigningKey::from_slice(&[self.seed; 48]).unwrap();
                let signature: p384::ecdsa::Signature = key.sign_prehash(&hash).unwrap();
                return signature.to_der().as_bytes().to_vec();
            }
            Signer::RsaSha256 => &RSA_PKCS1_SHA256,
            Signer::RsaSha384 => &RSA_PKCS1_SHA384,
            Signer::RsaSha512 => &RSA_PKCS1_SHA512,
        };
        let pair = self.rsa.as_ref().unwrap();
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(padding, &SystemRandom::new(), message, &mut signature).unwrap();
        signature
    }

    fn p256(&self) -> p256::ecdsa::SigningKey {
        p256::ecdsa::SigningKey::from_slice(&[self.seed; 32]).unwrap()
    }
}

/// SubjectPublicKeyInfo.
pub(crate) fn public_info(algorithm: &[u8], curve: Option<&[u8]>, key: &[u8]) -> Vec<u8> {
    let parameters = curve.map_or_else(|| vec![5, 0], |curve| element(6, curve));
    let algorithm = element(0x30, &[element(6, algorithm), parameters].concat());
    element(0x30, &[algorithm, element(3, &[&[0], key].concat())].concat())
}

/// One certificate, but for who signs it.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) subject: &'static str,
    pub(crate) issuer: &'static str,
    /// UTCTime.
    pub(crate) validity: [&'static str; 2],
    pub(crate) extensions: Vec<Vec<u8>>,
    /// Instead of its key's own.
    pub(crate) public_info: Option<Vec<u8>>,
    /// Beside the signature, instead of what the signed part says.
    pub(crate) outer_algorithm: Option<Vec<u8>>,
}

impl Part {
    fn new(subject: &'static str, issuer: &'static str, extensions: Vec<Vec<u8>>) -> Self {
        let validity = ["200101000000Z", "491231235959Z"];
        Self { subject, issuer, validity, extensions, public_info: None, outer_algorithm: None }
    }

    fn certificate(&self, own: &Key, by: &Key) -> Vec<u8> {
        let algorithm = by.algorithm();
        let validity = self.validity.map(|time| element(0x17, time.as_bytes())).concat();
        let body = [
            element(0xA0, &[2, 1, 2]),
            vec![2, 1, 1],
            algorithm.clone(),
            name(self.issuer),
            element(0x30, &validity),
            name(self.subject),
            self.public_info.clone().unwrap_or_else(|| own.public_info()),
            element(0xA3, &element(0x30, &self.extensions.concat())),
        ];
        let body = element(0x30, &body.concat());
        let signature = element(3, &[&[0], &by.sign(&body)[..]].concat());
        element(0x30, &[body, self.outer_algorithm.clone().unwrap_or(algorithm), signature].concat())
    }
}

/// The whole chain. Each key signs what stands below it; the root is signed by itself.
pub(crate) struct Crafted {
    pub(crate) statement: Part,
    pub(crate) f9: Part,
    pub(crate) between: Part,
    pub(crate) root: Part,
    pub(crate) f9_key: Key,
    pub(crate) between_key: Key,
    pub(crate) root_key: Key,
}

impl Crafted {
    /// Of a YubiKey with firmware 5.7.4 and the number 12345678; the key asks for a PIN once and always for a touch.
    pub(crate) fn new() -> Self {
        let stated = vec![
            yubico(3, &[5, 7, 4]),
            yubico(7, &[2, 4, 0, 0xBC, 0x61, 0x4E]),
            yubico(8, &[2, 2]),
            yubico(9, &[1]),
        ];
        let key = |seed| Key::new(seed, Signer::P384Sha384);
        Self {
            statement: Part::new("statement", "f9", stated),
            f9: Part::new("f9", "between", vec![authority(Some(0))]),
            between: Part::new("between", "root", vec![authority(Some(1)), key_usage(5)]),
            root: Part::new("root", "root", vec![authority(None), key_usage(5)]),
            f9_key: key(53),
            between_key: key(52),
            root_key: key(51),
        }
    }

    /// One that this changes.
    pub(crate) fn with(change: impl FnOnce(&mut Self)) -> Self {
        let mut crafted = Self::new();
        change(&mut crafted);
        crafted
    }

    /// The key that the statement is about.
    pub(crate) fn public(&self) -> PublicKey {
        SoftwareKey::new(54).public
    }

    /// Statement, F9, and what stands between.
    pub(crate) fn chain(&self) -> Vec<Vec<u8>> {
        let own = Key::new(54, Signer::P384Sha384);
        vec![
            self.statement.certificate(&own, &self.f9_key),
            self.f9.certificate(&self.f9_key, &self.between_key),
            self.between.certificate(&self.between_key, &self.root_key),
        ]
    }

    pub(crate) fn root(&self) -> Vec<u8> {
        self.root.certificate(&self.root_key, &self.root_key)
    }
}

fn name(common_name: &str) -> Vec<u8> {
    let attribute = [&[6, 3, 0x55, 4, 3][..], &element(0x0C, common_name.as_bytes())].concat();
    element(0x30, &element(0x31, &element(0x30, &attribute)))
}

pub(crate) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
    let length = match content.len() {
        0..0x80 => vec![low],
        0x80..0x100 => vec![0x81, low],
        _ => vec![0x82, high, low],
    };
    [&[tag], &length[..], content].concat()
}

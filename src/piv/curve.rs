//! The two curves whose keys are used, and a key's public point as the card and a certificate write it
//! (SP 800-73-4 part 2, 3.3.2; SEC 1, 2.3.3; RFC 5480, 2).

use der::{
    Any,
    asn1::BitString,
    oid::{
        ObjectIdentifier,
        db::rfc5912::{ID_EC_PUBLIC_KEY, SECP_256_R_1, SECP_384_R_1},
    },
};
use p384::elliptic_curve::sec1::ToSec1Point as _;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

use super::{Error, KeyAlgorithm, tlv};

/// An uncompressed P-384 point as SEC 1 writes it: `04`, x, y.
pub type P384Point = [u8; 97];

/// An uncompressed P-256 point as SEC 1 writes it: `04`, x, y.
pub type P256Point = [u8; 65];

/// A curve whose keys a card can hold. Its uncompressed points have `POINT` bytes.
pub struct Curve<const POINT: usize> {
    pub(super) algorithm: KeyAlgorithm,
    name: ObjectIdentifier,
    has: fn(&[u8; POINT]) -> bool,
    generator: fn() -> [u8; POINT],
    /// What a point is called where it is none.
    what: &'static str,
}

/// For signatures.
pub static P384: Curve<97> = Curve {
    algorithm: KeyAlgorithm::P384,
    name: SECP_384_R_1,
    has: |point| p384::PublicKey::from_sec1_bytes(point).is_ok(),
    generator: || {
        let generator = p384::AffinePoint::GENERATOR.to_sec1_point(false);
        generator.as_bytes().try_into().expect("an uncompressed point has this length")
    },
    what: "P-384 point",
};

/// For key agreement.
pub static P256: Curve<65> = Curve {
    algorithm: KeyAlgorithm::P256,
    name: SECP_256_R_1,
    has: |point| p256::PublicKey::from_sec1_bytes(point).is_ok(),
    generator: || {
        let generator = p256::AffinePoint::GENERATOR.to_sec1_point(false);
        generator.as_bytes().try_into().expect("an uncompressed point has this length")
    },
    what: "P-256 point",
};

impl<const POINT: usize> Curve<POINT> {
    /// The content of a public key template (`86`, length, `04 …`), if it is an uncompressed point on the curve.
    pub(super) fn point_in_template(&self, template: &[u8]) -> Result<[u8; POINT], Error> {
        let what = self.what;
        let point = tlv::only(template, 0x86, what)?;
        self.point(point).ok_or(Error::Malformed { what })
    }

    /// The key that a certificate is about, if it is an uncompressed point on the curve.
    pub(super) fn point_in_certificate(&self, info: &SubjectPublicKeyInfoOwned) -> Option<[u8; POINT]> {
        let curve: ObjectIdentifier = info.algorithm.parameters.as_ref()?.decode_as().ok()?;
        let is_ours = info.algorithm.oid == ID_EC_PUBLIC_KEY && curve == self.name;
        self.point(info.subject_public_key.as_bytes()?).filter(|_| is_ours)
    }

    /// The key as it is written in a certificate; `None` if it is no point on the curve.
    pub(super) fn public_key_info(&self, point: &[u8; POINT]) -> Option<SubjectPublicKeyInfoOwned> {
        let algorithm =
            AlgorithmIdentifierOwned { oid: ID_EC_PUBLIC_KEY, parameters: Some(Any::from(self.name)) };
        let subject_public_key = BitString::from_bytes(&self.point(point)?).ok()?;
        Some(SubjectPublicKeyInfoOwned { algorithm, subject_public_key })
    }

    /// A point that is on the curve for certain.
    pub(crate) fn generator(&self) -> [u8; POINT] {
        (self.generator)()
    }

    fn point(&self, bytes: &[u8]) -> Option<[u8; POINT]> {
        bytes.try_into().ok().filter(|point| (self.has)(point))
    }
}

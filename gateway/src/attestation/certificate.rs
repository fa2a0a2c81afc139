//! One X.509 certificate: what the rules for chains need to know of it, and whether another certificate's key signed
//! it.

use std::collections::BTreeSet;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, UnparsedPublicKey,
    VerificationAlgorithm,
};
use der::asn1::ObjectIdentifier;
use der::{Decode as _, Encode as _, Reader as _, SliceReader};
use jiff::Timestamp;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage};
use x509_cert::name::Name;

const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");

const RSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
const RSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.12");
const RSA_SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.13");
const ECDSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const ECDSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");

/// An X.509 certificate that was read and is not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    parsed: x509_cert::Certificate,
    der: Vec<u8>,
    /// The signed bytes as they came: encoding the certificate again need not give the same bytes.
    signed: Vec<u8>,
}

impl Certificate {
    /// Reads one certificate in DER. Nothing may follow it.
    #[must_use]
    pub fn parse(der: &[u8]) -> Option<Self> {
        let parsed = x509_cert::Certificate::from_der(der).ok()?;
        let signed = signed_part(der).ok()?.to_vec();
        // RFC 5280, 4.1.1.2: the two must be the same. What counts is the signed one.
        (parsed.signature_algorithm() == parsed.tbs_certificate().signature()).then(|| Self {
            parsed,
            der: der.to_vec(),
            signed,
        })
    }

    /// All certificates of a PEM text (RFC 7468); `None` if there are none, or if one of them cannot be read.
    #[must_use]
    pub fn parse_pem(pem: &[u8]) -> Option<Vec<Self>> {
        let chain = x509_cert::Certificate::load_pem_chain(pem).ok()?;
        let all: Option<Vec<_>> = chain.iter().map(|one| Self::parse(&one.to_der().ok()?)).collect();
        all.filter(|all| !all.is_empty())
    }

    /// The beginning of the subject, for a sentence.
    #[must_use]
    pub fn subject(&self) -> String {
        shown(self.parsed.tbs_certificate().subject())
    }

    /// The beginning of the issuer, for a sentence.
    #[must_use]
    pub fn issuer(&self) -> String {
        shown(self.parsed.tbs_certificate().issuer())
    }

    /// The whole certificate.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Whether `issuer` issued this certificate, by name and by signature. Whether the issuer was allowed to is not
    /// asked.
    #[must_use]
    pub fn is_issued_by(&self, issuer: &Self) -> bool {
        self.names_as_issuer(issuer) && self.is_signed_by(issuer)
    }

    /// Whether it names `other` as its issuer. The signature is not looked at.
    pub(super) fn names_as_issuer(&self, other: &Self) -> bool {
        self.parsed.tbs_certificate().issuer() == other.parsed.tbs_certificate().subject()
    }

    /// Whether the key in `issuer` made this certificate's signature.
    fn is_signed_by(&self, issuer: &Self) -> bool {
        let info = issuer.parsed.tbs_certificate().subject_public_key_info();
        let (Some(key), Some(signature)) =
            (info.subject_public_key.as_bytes(), self.parsed.signature().as_bytes())
        else {
            return false;
        };
        let curve = info.algorithm.parameters.as_ref().and_then(|curve| curve.decode_as().ok());
        let Some(algorithm) = algorithm(self.parsed.signature_algorithm().oid, info.algorithm.oid, curve)
        else {
            return false;
        };
        UnparsedPublicKey::new(algorithm, key).verify(&self.signed, signature).is_ok()
    }

    pub(super) fn is_valid_at(&self, now: Timestamp) -> bool {
        let validity = self.parsed.tbs_certificate().validity();
        let seconds = |time: x509_cert::time::Time| time.to_unix_duration().as_secs();
        let Ok(now) = u64::try_from(now.as_second()) else { return false };
        (seconds(validity.not_before)..=seconds(validity.not_after)).contains(&now)
    }

    /// Whether it may issue certificates, and with how many authorities between it and the last certificate. `None` if
    /// it does not say (RFC 5280, 4.2.1.9).
    pub(super) fn constraints(&self) -> Option<(bool, Option<u8>)> {
        let value = self.extension(BASIC_CONSTRAINTS)?;
        let constraints = BasicConstraints::from_der(value).ok();
        // What cannot be read allows nothing.
        Some(constraints.map_or((false, None), |found| (found.ca, found.path_len_constraint)))
    }

    /// False if it states what its key may be used for, and issuing certificates is not among that (RFC 5280, 4.2.1.3).
    pub(super) fn may_sign_certificates(&self) -> bool {
        self.extension(KEY_USAGE)
            .is_none_or(|value| KeyUsage::from_der(value).is_ok_and(|usage| usage.key_cert_sign()))
    }

    /// Whether every critical extension is one that these rules observe, and none occurs twice (RFC 5280, 4.2).
    pub(super) fn is_understood(&self) -> bool {
        let known = |one: &Extension| !one.critical || [BASIC_CONSTRAINTS, KEY_USAGE].contains(&one.extn_id);
        // A certificate has room for thousands.
        let mut seen = BTreeSet::new();
        self.extensions().iter().all(|one| known(one) && seen.insert(one.extn_id))
    }

    pub(super) fn extension(&self, id: ObjectIdentifier) -> Option<&[u8]> {
        let found = self.extensions().iter().find(|extension| extension.extn_id == id)?;
        Some(found.extn_value.as_bytes())
    }

    /// The subject's key, if it is an uncompressed point of P-384.
    pub(super) fn p384_point(&self) -> Option<&[u8; 97]> {
        let info = self.parsed.tbs_certificate().subject_public_key_info();
        let curve: ObjectIdentifier = info.algorithm.parameters.as_ref()?.decode_as().ok()?;
        if info.algorithm.oid != EC || curve != P384 {
            return None;
        }
        info.subject_public_key.as_bytes()?.try_into().ok()
    }

    fn extensions(&self) -> &[Extension] {
        self.parsed.tbs_certificate().extensions().map(Vec::as_slice).unwrap_or_default()
    }
}

/// A name has as much room as the whole certificate.
fn shown(name: &Name) -> String {
    name.to_string().chars().take(200).collect()
}

/// RFC 5280, 4.1: the first of the three elements.
fn signed_part(der: &[u8]) -> der::Result<&[u8]> {
    let mut reader = SliceReader::new(der)?;
    reader.sequence(|parts| {
        let signed = parts.tlv_bytes()?;
        parts.tlv_bytes()?;
        parts.tlv_bytes()?;
        Ok(signed)
    })
}

/// SHA-1, and RSA keys below 2048 bits, are not accepted.
fn algorithm(
    signature: ObjectIdentifier,
    key: ObjectIdentifier,
    curve: Option<ObjectIdentifier>,
) -> Option<&'static dyn VerificationAlgorithm> {
    Some(match (signature, key, curve) {
        (RSA_SHA256, RSA, _) => &RSA_PKCS1_2048_8192_SHA256,
        (RSA_SHA384, RSA, _) => &RSA_PKCS1_2048_8192_SHA384,
        (RSA_SHA512, RSA, _) => &RSA_PKCS1_2048_8192_SHA512,
        (ECDSA_SHA256, EC, Some(P256)) => &ECDSA_P256_SHA256_ASN1,
        (ECDSA_SHA384, EC, Some(P256)) => &ECDSA_P256_SHA384_ASN1,
        (ECDSA_SHA256, EC, Some(P384)) => &ECDSA_P384_SHA256_ASN1,
        (ECDSA_SHA384, EC, Some(P384)) => &ECDSA_P384_SHA384_ASN1,
        _ => return None,
    })
}

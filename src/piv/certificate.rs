//! The certificate that stands beside a key in its slot and says what the key is for.
//!
//! X.509 v3 (RFC 5280), signed by a throwaway P-384 key: nobody verifies it, other PIV programs have to be able to read
//! it. So nothing in it is critical, and no extension is of our making. Subject and issuer are `O=yk-cargo, OU=v1,
//! OU=<role>, CN=<label>`, where the role is `sealed` for a key that tokens are sealed to. For all others a
//! SubjectAltName URI is the index URL byte for byte. Yubico's extension 1.3.6.1.4.1.41482.3.8 repeats the policies of
//! the key.

use std::time::{Duration, SystemTime};

use asymmetric_token::Role;
use der::{
    Any, Decode, Encode,
    asn1::{GeneralizedTime, Ia5String, OctetString, Utf8StringRef},
    oid::{
        ObjectIdentifier,
        db::{rfc4519, rfc5280::ID_CE_SUBJECT_ALT_NAME as SUBJECT_ALT_NAME},
    },
};
use p384::ecdsa::{DerSignature, SigningKey};
use x509_cert::{
    Certificate, TbsCertificate,
    attr::AttributeTypeAndValue,
    builder::{Builder, CertificateBuilder, profile::BuilderProfile},
    ext::{
        Extension,
        pkix::{SubjectAltName, name::GeneralName},
    },
    name::{Name, RdnSequence, RelativeDistinguishedName},
    serial_number::SerialNumber,
    spki::SubjectPublicKeyInfoRef,
    time::{Time, Validity},
};
use zeroize::Zeroizing;

use super::{
    Curve, PinPolicy, TouchPolicy,
    attestation::{self, POLICIES},
};

const PRODUCT: &str = "yk-cargo";
const FORMAT: &str = "v1";
/// What a sealing key's certificate has in the place of a signing key's role.
const SEALED: &str = "sealed";
/// RFC 5280, appendix A.1: ub-common-name.
const LONGEST_LABEL: usize = 64;
/// Certificates begin a day early, so that a computer whose clock is slow does not call them "not yet valid".
const BACKDATED: Duration = Duration::from_secs(24 * 60 * 60);

/// What one of our slot certificates says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// What the key is for.
    pub purpose: KeyPurpose,
    /// The person's name for the key, 1 to 64 characters. From a card it may contain anything.
    pub label: String,
}

/// What a key of ours is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPurpose {
    /// Signing tokens for one registry.
    Signing {
        /// What it may sign.
        role: Role,
        /// The registry's index URL. From a card it may be any text.
        index: String,
    },
    /// Opening sealed tokens, for all registries.
    Sealing,
}

impl KeyPurpose {
    fn role(&self) -> &'static str {
        match self {
            KeyPurpose::Signing { role, .. } => role.as_str(),
            KeyPurpose::Sealing => SEALED,
        }
    }

    fn index(&self) -> Option<&str> {
        match self {
            KeyPurpose::Signing { index, .. } => Some(index),
            KeyPurpose::Sealing => None,
        }
    }
}

/// Whose certificate stands in a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlotCertificate {
    /// One of ours.
    Ours(Description),
    /// One of ours, with a format or a role that this version does not know. It is left alone.
    MadeByNewer,
    /// Somebody else's. It is left alone.
    Foreign,
}

/// Why a certificate cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// The label is empty or longer than 64 characters.
    #[error("a key's label has 1 to {LONGEST_LABEL} characters, this has {0}: choose another with --label")]
    Label(usize),
    /// The index URL has characters that no certificate can carry.
    #[error(
        "the index URL has characters outside ASCII: write its host name in the form that starts with xn--"
    )]
    Index,
    /// It would not fit onto the card.
    #[error(
        "the certificate for this key would have {bytes} bytes, more than fits into one object of a YubiKey: the index URL is too long"
    )]
    TooLong {
        /// Of the whole object.
        bytes: usize,
    },
    /// The key is not on the curve.
    #[error("the public key is not a point of its curve")]
    Key,
    /// The system has no random numbers.
    #[error("the system provides no random numbers")]
    Random(#[from] getrandom::Error),
    /// The encoder refused, which only a clock outside the years 1970 to 9999 can cause.
    #[error("the certificate cannot be encoded ({0}): check the computer's clock")]
    Encoding(String),
}

impl Description {
    /// Makes the certificate for a key, about 500 bytes of DER.
    ///
    /// # Errors
    /// [`CertificateError`] for data that do not fit into one.
    pub fn certificate<const POINT: usize>(
        &self,
        curve: &Curve<POINT>,
        key: &[u8; POINT],
        pin: PinPolicy,
        touch: TouchPolicy,
        now: SystemTime,
    ) -> Result<Vec<u8>, CertificateError> {
        let key = curve.public_key_info(key).ok_or(CertificateError::Key)?;
        self.check()?;
        let contents = Contents {
            name: self.name().map_err(encoding)?,
            extensions: self.extensions(pin, touch).map_err(encoding)?,
        };
        let builder =
            CertificateBuilder::new(contents, random_serial()?, validity(now)?, key).map_err(encoding)?;
        let certificate = builder.build::<_, DerSignature>(&throwaway_key()?).map_err(encoding)?;
        certificate.to_der().map_err(encoding)
    }

    fn check(&self) -> Result<(), CertificateError> {
        let length = self.label.chars().count();
        if !(1..=LONGEST_LABEL).contains(&length) {
            return Err(CertificateError::Label(length));
        }
        match self.purpose.index() {
            Some(index) if !index.is_ascii() => Err(CertificateError::Index),
            _ => Ok(()),
        }
    }

    fn name(&self) -> der::Result<Name> {
        let mut name = RdnSequence::default();
        for (attribute, value) in [
            (rfc4519::O, PRODUCT),
            (rfc4519::OU, FORMAT),
            (rfc4519::OU, self.purpose.role()),
            (rfc4519::CN, &self.label),
        ] {
            let value = Any::from(Utf8StringRef::new(value)?);
            let attribute = AttributeTypeAndValue { oid: attribute, value };
            name.push(RelativeDistinguishedName::try_from(vec![attribute])?);
        }
        Name::from_der(&name.to_der()?)
    }

    fn extensions(&self, pin: PinPolicy, touch: TouchPolicy) -> der::Result<Vec<Extension>> {
        let mut extensions = Vec::new();
        if let Some(index) = self.purpose.index() {
            let index = GeneralName::UniformResourceIdentifier(Ia5String::new(index)?);
            extensions.push(not_critical(SUBJECT_ALT_NAME, SubjectAltName(vec![index]).to_der()?)?);
        }
        extensions.push(not_critical(POLICIES, vec![pin as u8, touch as u8])?);
        Ok(extensions)
    }
}

/// Reads the DER certificate of a slot. Never fails: what cannot be understood is [`SlotCertificate::Foreign`].
pub fn read(der: &[u8]) -> SlotCertificate {
    let Ok(certificate) = Certificate::from_der(der) else { return SlotCertificate::Foreign };
    let subject = certificate.tbs_certificate().subject();
    let Some(names) = names(subject) else { return SlotCertificate::Foreign };
    let names: Vec<_> = names.iter().map(|(attribute, value)| (*attribute, value.as_str())).collect();
    match names.as_slice() {
        [(rfc4519::O, PRODUCT), (rfc4519::OU, FORMAT), (rfc4519::OU, role), (rfc4519::CN, label)] => {
            ours(&certificate, role, label)
        }
        [(rfc4519::O, PRODUCT), (rfc4519::OU, format), ..] if is_other_format(format) => {
            SlotCertificate::MadeByNewer
        }
        _ => SlotCertificate::Foreign,
    }
}

/// The key of a DER certificate, if it is on this curve.
pub(super) fn point<const POINT: usize>(der: &[u8], curve: &Curve<POINT>) -> Option<[u8; POINT]> {
    curve.point_in_certificate(Certificate::from_der(der).ok()?.tbs_certificate().subject_public_key_info())
}

/// Both bytes of Yubico's policy extension.
pub(super) fn policies(der: &[u8]) -> Option<(PinPolicy, TouchPolicy)> {
    attestation::policies(&Certificate::from_der(der).ok()?).ok()?
}

fn ours(certificate: &Certificate, role: &str, label: &str) -> SlotCertificate {
    let role = match role.parse() {
        Ok(role) => Some(role),
        Err(_) if role == SEALED => None,
        Err(_) => return SlotCertificate::MadeByNewer,
    };
    let purpose = match (role, index(certificate)) {
        (Some(role), Some(Some(index))) => KeyPurpose::Signing { role, index },
        (None, Some(None)) => KeyPurpose::Sealing,
        _ => return SlotCertificate::Foreign,
    };
    let description = Description { purpose, label: label.to_owned() };
    let tbs = certificate.tbs_certificate();
    if tbs.issuer() == tbs.subject() && description.check().is_ok() {
        SlotCertificate::Ours(description)
    } else {
        SlotCertificate::Foreign
    }
}

/// The one URI of the SubjectAltName; inner `None` without that extension, outer `None` for anything else.
fn index(certificate: &Certificate) -> Option<Option<String>> {
    let Some((_, SubjectAltName(names))) = certificate.tbs_certificate().get_extension().ok()? else {
        return Some(None);
    };
    match names.as_slice() {
        [GeneralName::UniformResourceIdentifier(uri)] => Some(Some(uri.to_string())),
        _ => None,
    }
}

/// The attributes of a name in order; `None` if one of them is not a UTF-8 string of its own.
fn names(name: &Name) -> Option<Vec<(ObjectIdentifier, String)>> {
    name.iter_rdn().map(single_attribute).collect()
}

fn single_attribute(rdn: &RelativeDistinguishedName) -> Option<(ObjectIdentifier, String)> {
    let mut attributes = rdn.iter();
    let (Some(attribute), None) = (attributes.next(), attributes.next()) else { return None };
    let value = attribute.value.decode_as::<Utf8StringRef<'_>>().ok()?;
    Some((attribute.oid, value.as_str().to_owned()))
}

/// `v` and a number, other than ours.
fn is_other_format(format: &str) -> bool {
    let number = format.strip_prefix('v').unwrap_or_default();
    format != FORMAT && !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit())
}

/// Subject, issuer and extensions for the builder, which knows nothing else of them.
struct Contents {
    name: Name,
    extensions: Vec<Extension>,
}

impl BuilderProfile for Contents {
    fn get_issuer(&self, subject: &Name) -> Name {
        subject.clone()
    }

    fn get_subject(&self) -> Name {
        self.name.clone()
    }

    fn build_extensions(
        &self,
        _subject_key: SubjectPublicKeyInfoRef<'_>,
        _issuer_key: SubjectPublicKeyInfoRef<'_>,
        _certificate: &TbsCertificate,
    ) -> x509_cert::builder::Result<Vec<Extension>> {
        Ok(self.extensions.clone())
    }
}

fn not_critical(id: ObjectIdentifier, value: Vec<u8>) -> der::Result<Extension> {
    Ok(Extension { extn_id: id, critical: false, extn_value: OctetString::new(value)? })
}

/// From yesterday until for ever (RFC 5280, 4.1.2.5: no well-defined expiration date).
fn validity(now: SystemTime) -> Result<Validity, CertificateError> {
    let yesterday = now.checked_sub(BACKDATED).ok_or_else(|| encoding("the time is before 1970"))?;
    let not_before = GeneralizedTime::from_system_time(yesterday).map_err(encoding)?;
    Ok(Validity::new(Time::GeneralTime(not_before), Time::INFINITY))
}

/// Sixteen random bytes. The first is neither zero nor negative, so that DER writes exactly these sixteen.
fn random_serial() -> Result<SerialNumber, CertificateError> {
    let mut serial = [0; 16];
    getrandom::fill(&mut serial)?;
    serial[0] = serial[0] & 0x7F | 0x40;
    SerialNumber::new(&serial).map_err(encoding)
}

fn throwaway_key() -> Result<SigningKey, CertificateError> {
    let mut secret = Zeroizing::new([0; 48]);
    getrandom::fill(&mut *secret)?;
    // Not a valid secret once in 2^190 tries.
    SigningKey::from_slice(&*secret).map_err(encoding)
}

fn encoding(cause: impl std::fmt::Display) -> CertificateError {
    CertificateError::Encoding(cause.to_string())
}

#[cfg(test)]
mod tests;

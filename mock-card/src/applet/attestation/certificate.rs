//! X.509 certificates (RFC 5280) in the form of Yubico's, which is not always the form that the standard asks for.

use sha2::{Digest as _, Sha256};

use crate::applet::key::{Algorithm, ImportedKey, PublicKey};
use crate::applet::status::Status;
use crate::applet::tlv::{self, element};

const BOOLEAN_TRUE: [u8; 3] = [0x01, 0x01, 0xFF];
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const NULL: [u8; 2] = [0x05, 0x00];
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTF8_STRING: u8 = 0x0C;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;

/// The content of a certificate.
pub(super) struct Certificate<'a> {
    /// Big-endian bytes of a positive number.
    pub(super) serial_number: &'a [u8],
    /// A Name in DER.
    pub(super) issuer: &'a [u8],
    /// A Validity in DER.
    pub(super) validity: &'a [u8],
    /// A Name in DER.
    pub(super) subject: &'a [u8],
    pub(super) key: &'a ImportedKey,
    /// Extensions in DER, one after the other.
    pub(super) extensions: Vec<u8>,
}

impl Certificate<'_> {
    /// The certificate in DER, signed with RSA or ECDSA over SHA-256. A key for anything else cannot sign one.
    pub(super) fn sign(&self, issuer: &ImportedKey) -> Result<Vec<u8>, Status> {
        let algorithm = signature_algorithm(issuer.algorithm()).ok_or(Status::WrongData)?;
        let mut body = [
            element(&[0xA0], &[INTEGER, 1, 2]),
            integer(self.serial_number),
            algorithm.clone(),
            self.issuer.to_vec(),
            self.validity.to_vec(),
            self.subject.to_vec(),
            public_key_info(self.key),
        ]
        .concat();
        if !self.extensions.is_empty() {
            body.extend(element(&[0xA3], &sequence(&self.extensions)));
        }
        let body = sequence(&body);
        let signature = sign(issuer, &body)?;
        Ok(sequence(&[body, algorithm, bit_string(&signature)].concat()))
    }
}

/// What a statement takes from the certificate of its issuer.
pub(super) struct Issuer {
    /// A Name in DER.
    pub(super) subject: Vec<u8>,
    /// A Validity in DER.
    pub(super) validity: Vec<u8>,
}

impl Issuer {
    /// Reads a certificate in DER.
    pub(super) fn read(certificate: &[u8]) -> Result<Self, Status> {
        let (_, body, _) = tlv::first(tlv::only(certificate, SEQUENCE)?)?;
        let fields = tlv::parse(body)?;
        match fields[..] {
            [
                (0xA0, _),
                (INTEGER, _),
                (SEQUENCE, _),
                (SEQUENCE, _),
                (SEQUENCE, validity),
                (SEQUENCE, subject),
                ..,
            ] => Ok(Self { subject: sequence(subject), validity: sequence(validity) }),
            _ => Err(Status::WrongData),
        }
    }
}

/// A Name that consists of a common name.
pub(super) fn name(common_name: &str) -> Vec<u8> {
    let attribute =
        [object_identifier(&[0x55, 4, 3]), element(&[UTF8_STRING], common_name.as_bytes())].concat();
    sequence(&element(&[SET], &sequence(&attribute)))
}

/// A Validity. Times are written as in `20241201000000Z`; from the year 2050 on they have another type (RFC 5280,
/// 4.1.2.5).
pub(super) fn validity(from: &str, until: &str) -> Vec<u8> {
    let time = |text: &str| match text {
        early if early < "2050" => element(&[UTC_TIME], &early.as_bytes()[2..]),
        late => element(&[GENERALIZED_TIME], late.as_bytes()),
    };
    sequence(&[time(from), time(until)].concat())
}

/// An extension. `identifier` is the object identifier's content in DER.
pub(super) fn extension(identifier: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let critical = if critical { &BOOLEAN_TRUE[..] } else { &[] };
    sequence(&[&object_identifier(identifier), critical, &element(&[OCTET_STRING], value)].concat())
}

/// The extension of an authority that has at most `path_length` others below it.
pub(super) fn basic_constraints(path_length: Option<u8>) -> Vec<u8> {
    let below = path_length.map_or(Vec::new(), |length| vec![INTEGER, 1, length]);
    extension(&[0x55, 0x1D, 0x13], true, &sequence(&[&BOOLEAN_TRUE[..], &below].concat()))
}

/// The extension for digitalSignature, keyCertSign and cRLSign, which Yubico's authorities have.
pub(super) fn key_usage() -> Vec<u8> {
    extension(&[0x55, 0x1D, 0x0F], true, &element(&[BIT_STRING], &[1, 0x86]))
}

pub(super) fn subject_key_identifier(key: &ImportedKey) -> Vec<u8> {
    extension(&[0x55, 0x1D, 0x0E], false, &element(&[OCTET_STRING], &key_identifier(key)))
}

pub(super) fn authority_key_identifier(key: &ImportedKey) -> Vec<u8> {
    extension(&[0x55, 0x1D, 0x23], false, &sequence(&element(&[0x80], &key_identifier(key))))
}

/// A positive INTEGER. A zero byte is put in front where the first bit is set.
pub(super) fn integer(bytes: &[u8]) -> Vec<u8> {
    let digits = &bytes[bytes.iter().take_while(|byte| **byte == 0).count().min(bytes.len() - 1)..];
    let sign: &[u8] = if digits[0] & 0x80 != 0 { &[0] } else { &[] };
    element(&[INTEGER], &[sign, digits].concat())
}

/// The first twenty bytes of SHA-256 over the public key (RFC 7093, method 1).
fn key_identifier(key: &ImportedKey) -> Vec<u8> {
    Sha256::digest(key.public_key().as_bytes())[..20].to_vec()
}

fn public_key_info(key: &ImportedKey) -> Vec<u8> {
    let elliptic_curve = object_identifier(&[0x2A, 0x86, 0x48, 0xCE, 0x3D, 2, 1]);
    let algorithm = match key.algorithm() {
        Algorithm::P256 => {
            [elliptic_curve, object_identifier(&[0x2A, 0x86, 0x48, 0xCE, 0x3D, 3, 1, 7])].concat()
        }
        Algorithm::P384 => [elliptic_curve, object_identifier(&[0x2B, 0x81, 4, 0, 0x22])].concat(),
        Algorithm::Ed25519 => object_identifier(&[0x2B, 0x65, 0x70]),
        Algorithm::X25519 => object_identifier(&[0x2B, 0x65, 0x6E]),
        _ => [object_identifier(&[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 1]), NULL.to_vec()].concat(),
    };
    let key = match key.public_key() {
        PublicKey::Point(point) => point,
        PublicKey::Modulus(modulus) => sequence(&[integer(&modulus), integer(&[1, 0, 1])].concat()),
    };
    sequence(&[sequence(&algorithm), bit_string(&key)].concat())
}

fn signature_algorithm(issuer: Algorithm) -> Option<Vec<u8>> {
    match issuer {
        Algorithm::P256 | Algorithm::P384 => {
            Some(sequence(&object_identifier(&[0x2A, 0x86, 0x48, 0xCE, 0x3D, 4, 3, 2])))
        }
        rsa if rsa.is_rsa() => {
            let identifier = object_identifier(&[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 0x0B]);
            Some(sequence(&[identifier, NULL.to_vec()].concat()))
        }
        _ => None,
    }
}

/// Signs the SHA-256 of `body` by ECDSA or RSASSA-PKCS1-v1_5 (RFC 8017, 8.2.1 and 9.2).
fn sign(issuer: &ImportedKey, body: &[u8]) -> Result<Vec<u8>, Status> {
    const DIGEST_INFO: [u8; 19] =
        [0x30, 0x31, 0x30, 0x0D, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1, 5, 0, 4, 0x20];
    let digest = Sha256::digest(body);
    if !issuer.algorithm().is_rsa() {
        return issuer.sign(&digest);
    }
    let digest_info = [&DIGEST_INFO[..], &digest].concat();
    let padding = vec![0xFF; issuer.algorithm().size() - digest_info.len() - 3];
    issuer.sign(&[&[0, 1], &padding[..], &[0], &digest_info].concat())
}

fn sequence(content: &[u8]) -> Vec<u8> {
    element(&[SEQUENCE], content)
}

fn object_identifier(encoded: &[u8]) -> Vec<u8> {
    element(&[OBJECT_IDENTIFIER], encoded)
}

/// A BIT STRING of whole bytes.
fn bit_string(bytes: &[u8]) -> Vec<u8> {
    element(&[BIT_STRING], &[&[0], bytes].concat())
}

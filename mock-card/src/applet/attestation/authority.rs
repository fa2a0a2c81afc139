//! The mock's own attestation authorities. Their certificates have the form of Yubico's.
//!
//! Their keys are made from their names, so that every process has the same ones and none is stored in the repository.
//! Anybody can make these keys, and that is intended: nobody shall take a statement of a mock for one of a YubiKey.

use std::sync::OnceLock;

use super::certificate::{
    Certificate, authority_key_identifier, basic_constraints, key_usage, name, subject_key_identifier,
    validity,
};
use crate::applet::key::{Algorithm, ImportedKey};
use crate::applet::random::SeededRandom;

/// An authority. No card carries its certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// Its common name.
    pub name: &'static str,
    /// The certificate in DER.
    pub certificate: Vec<u8>,
}

/// An authority with its private key.
pub(super) struct SigningAuthority {
    pub(super) authority: Authority,
    pub(super) key: ImportedKey,
}

/// Every authority: the root of the old chain, then root and both intermediates of the new one.
pub fn authorities() -> Vec<Authority> {
    all().iter().map(|signing| signing.authority.clone()).collect()
}

/// The authority that signs the certificates of attestation keys in the old chain.
pub(super) fn old_root() -> &'static SigningAuthority {
    &all()[0]
}

/// The authority that signs those in the new chain.
pub(super) fn new_intermediate() -> &'static SigningAuthority {
    &all()[3]
}

fn all() -> &'static [SigningAuthority; 4] {
    static ALL: OnceLock<[SigningAuthority; 4]> = OnceLock::new();
    ALL.get_or_init(|| {
        let old = ("20160314000000Z", "20520417000000Z");
        let new = ("20241201000000Z", "99991231235959Z");
        let old_root = issue("Mock PIV Root CA", [10, 451], None, old, Some(1));
        let root = issue("Mock Attestation Root 1", [79, 566], None, new, None);
        let upper = issue("Mock Attestation Intermediate B 1", [306, 118], Some(&root), new, Some(2));
        let lower = issue("Mock PIV Attestation B 1", [219, 1820], Some(&upper), new, Some(1));
        [old_root, root, upper, lower]
    })
}

fn issue(
    common_name: &'static str,
    steps: [u64; 2],
    issuer: Option<&SigningAuthority>,
    (from, until): (&str, &str),
    path_length: Option<u8>,
) -> SigningAuthority {
    let key = key(common_name, steps);
    let signer = issuer.map_or(&key, |issuer| &issuer.key);
    let serial_number = serial_number(common_name, 16);
    let extensions = [
        subject_key_identifier(&key),
        authority_key_identifier(signer),
        basic_constraints(path_length),
        key_usage(),
    ];
    let certificate = Certificate {
        serial_number: &serial_number,
        issuer: &name(issuer.map_or(common_name, |issuer| issuer.authority.name)),
        validity: &validity(from, until),
        subject: &name(common_name),
        key: &key,
        extensions: extensions.concat(),
    };
    let certificate = certificate.sign(signer).expect("authorities have RSA keys");
    SigningAuthority { authority: Authority { name: common_name, certificate }, key }
}

/// A serial number for a certificate: bytes that always come from the same seed.
pub(super) fn serial_number(seed: &str, length: usize) -> Vec<u8> {
    positive(SeededRandom::new(format!("mock-card: {seed}: serial").as_bytes()).bytes(length))
}

/// Changes the first byte so that the number is positive and has no leading zero.
fn positive(mut serial: Vec<u8>) -> Vec<u8> {
    serial[0] = serial[0] & 0x7F | 0x40;
    serial
}

/// An RSA-2048 key. Each prime is `2 * steps` above an odd number that comes from the name. The steps are written down
/// because finding them at every start would take longer than everything else that the mock does.
fn key(common_name: &str, steps: [u64; 2]) -> ImportedKey {
    let primes = ["p", "q"].into_iter().zip(steps).map(|(letter, steps)| {
        let mut prime =
            SeededRandom::new(format!("mock-card: {common_name}: {letter}").as_bytes()).bytes(128);
        prime[0] |= 0xC0;
        prime[127] |= 1;
        add(&mut prime, 2 * steps);
        prime
    });
    let secret: Vec<u8> = primes.flatten().collect();
    ImportedKey::checked(Algorithm::Rsa2048, &secret).expect("two primes with their first two bits set")
}

fn add(number: &mut [u8], addend: u64) {
    let mut carry = addend;
    for byte in number.iter_mut().rev() {
        carry += u64::from(*byte);
        *byte = carry as u8;
        carry >>= 8;
    }
}

//! The mock's own attestation authorities, in the shape of Yubico's.
//!
//! Their keys are made from their names, so that every process knows the same roots and no key lies in the
//! repository. That makes them worthless as authorities, which is the point: nobody may take a mock for a YubiKey.

use std::sync::OnceLock;

use super::certificate::{
    Certificate, authority_key_identifier, basic_constraints, key_usage, name, subject_key_identifier,
    validity,
};
use crate::applet::key::{Algorithm, ImportedKey};
use crate::applet::random::Stretched;

/// The certificate of an authority, which no card carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// Its common name.
    pub name: &'static str,
    /// The certificate in DER.
    pub certificate: Vec<u8>,
}

/// What an issuer needs.
pub(super) struct Issuing {
    pub(super) authority: Authority,
    pub(super) key: ImportedKey,
}

/// Every authority: the root of the old chain, then root and both intermediates of the new one.
pub fn authorities() -> Vec<Authority> {
    all().iter().map(|issuing| issuing.authority.clone()).collect()
}

/// Who signs the attestation certificates of cards of the old generation.
pub(super) fn old_root() -> &'static Issuing {
    &all()[0]
}

/// Who signs those of the new generation.
pub(super) fn new_intermediate() -> &'static Issuing {
    &all()[3]
}

fn all() -> &'static [Issuing; 4] {
    static ALL: OnceLock<[Issuing; 4]> = OnceLock::new();
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
    issuer: Option<&Issuing>,
    (from, until): (&str, &str),
    path_length: Option<u8>,
) -> Issuing {
    let key = key(common_name, steps);
    let signer = issuer.map_or(&key, |issuer| &issuer.key);
    let serial = serial(common_name);
    let extensions = [
        subject_key_identifier(&key),
        authority_key_identifier(signer),
        basic_constraints(path_length),
        key_usage(),
    ];
    let certificate = Certificate {
        serial: &serial,
        issuer: &name(issuer.map_or(common_name, |issuer| issuer.authority.name)),
        validity: &validity(from, until),
        subject: &name(common_name),
        key: &key,
        extensions: extensions.concat(),
    };
    let certificate = certificate.sign(signer).expect("authorities have RSA keys");
    Issuing { authority: Authority { name: common_name, certificate }, key }
}

/// Sixteen bytes, positive.
pub(super) fn serial(seed: &str) -> Vec<u8> {
    positive(Stretched::new(format!("mock-card: {seed}: serial").as_bytes()).bytes(16))
}

/// The same bytes as a positive number of the same length.
pub(super) fn positive(mut serial: Vec<u8>) -> Vec<u8> {
    serial[0] = serial[0] & 0x7F | 0x40;
    serial
}

/// RSA-2048. A prime lies `2 * steps` above the odd number that comes from the name: looking for it at every start
/// would take longer than everything else a mock does.
fn key(common_name: &str, steps: [u64; 2]) -> ImportedKey {
    let primes = ["p", "q"].into_iter().zip(steps).map(|(letter, steps)| {
        let mut prime = Stretched::new(format!("mock-card: {common_name}: {letter}").as_bytes()).bytes(128);
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

//! ECDSA and ECDH on P-256 and P-384. A secret is a big-endian scalar of the curve's size.

use p256::ecdsa::signature::hazmat::PrehashSigner as _;

use super::Algorithm;
use crate::applet::status::Status;

/// The scalar, if it has the curve's size, and is neither zero nor as large as the order.
pub(super) fn checked(algorithm: Algorithm, scalar: &[u8]) -> Option<Vec<u8>> {
    if scalar.len() != algorithm.size() {
        return None;
    }
    let valid = match algorithm {
        Algorithm::P256 => p256::SecretKey::from_slice(scalar).is_ok(),
        _ => p384::SecretKey::from_slice(scalar).is_ok(),
    };
    valid.then(|| scalar.to_vec())
}

/// A random scalar. On P-256, one in 2^32 is out of range; then another is drawn.
pub(super) fn generate(algorithm: Algorithm, random: &mut dyn FnMut(&mut [u8])) -> Vec<u8> {
    let mut scalar = vec![0; algorithm.size()];
    loop {
        random(&mut scalar);
        if let Some(scalar) = checked(algorithm, &scalar) {
            return scalar;
        }
    }
}

/// The uncompressed point, `04 x y`.
pub(super) fn point(algorithm: Algorithm, scalar: &[u8]) -> Vec<u8> {
    match secret(algorithm, scalar) {
        Secret::P256(key) => p256::Sec1Point::from(key.public_key()).as_bytes().to_vec(),
        Secret::P384(key) => p384::Sec1Point::from(key.public_key()).as_bytes().to_vec(),
    }
}

/// An ECDSA signature in DER. A digest that is shorter than the curve's size counts as an integer with leading zeros; a
/// longer one is refused. The nonce is that of RFC 6979, so the same digest always gives the same signature.
pub(super) fn sign(algorithm: Algorithm, scalar: &[u8], digest: &[u8]) -> Result<Vec<u8>, Status> {
    let missing = algorithm.size().checked_sub(digest.len()).ok_or(Status::WrongData)?;
    let padded = [&vec![0; missing], digest].concat();
    match secret(algorithm, scalar) {
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

/// The x coordinate of the point that is agreed on with the owner of an uncompressed point (SP 800-56A, 5.7.1.2).
pub(super) fn agree(algorithm: Algorithm, scalar: &[u8], point: &[u8]) -> Result<Vec<u8>, Status> {
    if point.first() != Some(&4) {
        return Err(Status::WrongData);
    }
    match secret(algorithm, scalar) {
        Secret::P256(key) => p256::PublicKey::from_sec1_bytes(point)
            .map(|peer| key.diffie_hellman(&peer).raw_secret_bytes().to_vec()),
        Secret::P384(key) => p384::PublicKey::from_sec1_bytes(point)
            .map(|peer| key.diffie_hellman(&peer).raw_secret_bytes().to_vec()),
    }
    .map_err(|_| Status::WrongData)
}

enum Secret {
    P256(p256::SecretKey),
    P384(p384::SecretKey),
}

const CHECKED: &str = "every way to a key checks its scalar";

fn secret(algorithm: Algorithm, scalar: &[u8]) -> Secret {
    match algorithm {
        Algorithm::P256 => Secret::P256(p256::SecretKey::from_slice(scalar).expect(CHECKED)),
        _ => Secret::P384(p384::SecretKey::from_slice(scalar).expect(CHECKED)),
    }
}

//! Ed25519 (RFC 8032) and X25519 (RFC 7748). A secret is 32 bytes: the seed, or the scalar before clamping.

use ed25519_dalek::Signer as _;

use super::Algorithm;
use crate::applet::status::Status;

/// The number of bytes in a secret, and in a public key.
pub(super) const SIZE: usize = 32;

const CHECKED: &str = "every way to a key checks its 32 bytes";

/// The public key, 32 bytes.
pub(super) fn point(algorithm: Algorithm, secret: &[u8]) -> Vec<u8> {
    let secret: [u8; SIZE] = secret.try_into().expect(CHECKED);
    match algorithm {
        Algorithm::Ed25519 => {
            ed25519_dalek::SigningKey::from_bytes(&secret).verifying_key().as_bytes().to_vec()
        }
        _ => x25519_dalek::PublicKey::from(&x25519_dalek::StaticSecret::from(secret)).as_bytes().to_vec(),
    }
}

/// A signature of 64 bytes. The card gets the message itself and not its digest.
pub(super) fn sign(seed: &[u8], message: &[u8]) -> Vec<u8> {
    let seed: [u8; SIZE] = seed.try_into().expect(CHECKED);
    ed25519_dalek::SigningKey::from_bytes(&seed).sign(message).to_bytes().to_vec()
}

/// The secret that is agreed on with the owner of a public key. A public key of small order is refused, because the
/// result would not depend on the secret (RFC 7748, section 6.1).
pub(super) fn agree(scalar: &[u8], peer: &[u8]) -> Result<Vec<u8>, Status> {
    let scalar: [u8; SIZE] = scalar.try_into().expect(CHECKED);
    let peer: [u8; SIZE] = peer.try_into().map_err(|_| Status::WrongData)?;
    let shared = x25519_dalek::StaticSecret::from(scalar).diffie_hellman(&peer.into());
    if shared.was_contributory() { Ok(shared.as_bytes().to_vec()) } else { Err(Status::WrongData) }
}

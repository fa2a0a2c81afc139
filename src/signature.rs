//! Whether a P-384 key has signed something. AWS-LC is asked, which takes a quarter of the time that the p384 crate takes.

use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};

/// Whether `signature`, r ‖ s of 96 bytes, is one of this message with SHA-384, by the key with this compressed point of 49 bytes.
pub(crate) fn is_signed(public: &[u8; 49], message: &[u8], signature: &[u8; 96]) -> bool {
    UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, public).verify(message, signature).is_ok()
}

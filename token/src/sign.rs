//! Making a token in two steps, so that the key may sit in a card: [`Prepared`] gives the 48 bytes to sign and takes
//! the signature back.

use p384::ecdsa::Signature;
use p384::ecdsa::signature::hazmat::PrehashVerifier as _;
use sha2::{Digest as _, Sha384};

use crate::claims::Claims;
use crate::enrollment::Enrollment;
use crate::error::Error;
use crate::footer::Footer;
use crate::paserk::PublicKey;
use crate::paseto;

/// A token without its signature.
#[derive(Debug)]
pub struct Prepared {
    public: PublicKey,
    payload: String,
    footer: String,
    signed: Vec<u8>,
    digest: [u8; 48],
}

impl Prepared {
    /// Fixes every byte that will be signed.
    ///
    /// # Errors
    /// [`Error::NotPrintable`], [`Error::CustomTooLong`]; [`Error::KeyMismatch`] if the footer names another key;
    /// [`Error::TooLong`] for a token no verifier would read.
    pub fn new(public: &PublicKey, claims: &Claims, footer: &Footer) -> Result<Self, Error> {
        Self::of(public, claims.to_json()?, footer)
    }

    /// Fixes every byte of an `enroll` token that will be signed.
    ///
    /// # Errors
    /// [`Error::NotPrintable`], [`Error::EnrollmentKeys`], [`Error::KeyMismatch`], [`Error::TooLong`].
    pub fn enrollment(public: &PublicKey, enrollment: &Enrollment, footer: &Footer) -> Result<Self, Error> {
        Self::of(public, enrollment.to_json()?, footer)
    }

    fn of(public: &PublicKey, payload: String, footer: &Footer) -> Result<Self, Error> {
        if footer.key_id != public.id() {
            return Err(Error::KeyMismatch);
        }
        let footer = footer.to_json();
        let bytes = paseto::encode(payload.as_bytes(), &[0; 96], footer.as_bytes()).len();
        if bytes > paseto::MAX_TOKEN_BYTES {
            return Err(Error::TooLong { bytes });
        }
        let signed = paseto::signed_bytes(public.as_bytes(), payload.as_bytes(), footer.as_bytes(), b"");
        let digest = Sha384::digest(&signed).into();
        Ok(Self { public: *public, payload, footer, signed, digest })
    }

    /// SHA-384 of what is signed: the 48 bytes a card takes in GENERAL AUTHENTICATE.
    #[must_use]
    pub fn digest(&self) -> &[u8; 48] {
        &self.digest
    }

    /// The token, from the signature r ‖ s (48 bytes each, left-padded), which is verified with the p384 crate.
    ///
    /// # Errors
    /// As [`finish_with`](Self::finish_with).
    pub fn finish(self, signature: &[u8; 96]) -> Result<String, Error> {
        let (key, digest) = (self.public, self.digest);
        self.finish_with(signature, |_, _, signature| {
            Signature::from_slice(signature)
                .is_ok_and(|signature| key.verifying_key().verify_prehash(&digest, &signature).is_ok())
        })
    }

    /// The token, from the signature r ‖ s, which any implementation of ECDSA over P-384 with SHA-384 may verify.
    ///
    /// The signature is verified first: a card that used another key or a wrong signature fails here, and not at the
    /// registry. s is brought to the lower half of the group order, so that a token has one spelling. `check` gets the
    /// compressed public key, the message (not yet hashed) and r ‖ s as it will be in the token.
    ///
    /// # Errors
    /// [`Error::BadSignature`].
    pub fn finish_with(
        self,
        signature: &[u8; 96],
        check: impl FnOnce(&[u8; 49], &[u8], &[u8; 96]) -> bool,
    ) -> Result<String, Error> {
        let signature = Signature::from_slice(signature).map_err(|_| Error::BadSignature)?.normalize_s();
        let signature = signature.to_bytes().into();
        if !check(self.public.as_bytes(), &self.signed, &signature) {
            return Err(Error::BadSignature);
        }
        Ok(paseto::encode(self.payload.as_bytes(), &signature, self.footer.as_bytes()))
    }
}

//! Reading a token. Verified and unverified contents have different types.

use p384::ecdsa::Signature;
use p384::ecdsa::signature::hazmat::PrehashVerifier as _;
use sha2::{Digest as _, Sha384};

use crate::claims::Claims;
use crate::enrollment::Enrollment;
use crate::error::{Error, Part};
use crate::footer::Footer;
use crate::object::Object;
use crate::paserk::PublicKey;
use crate::paseto::{Frame, signed_bytes};

/// A well-formed token that is not verified. Its footer tells which key to look up.
#[derive(Debug)]
pub struct Untrusted {
    frame: Frame,
    footer: Footer,
}

/// The verified contents of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// What the token states.
    pub claims: Claims,
    /// For which registry, by which key.
    pub footer: Footer,
}

impl Untrusted {
    /// Splits a token and reads its footer, but not its payload.
    ///
    /// # Errors
    /// All of [`Frame::parse`], [`Error::NoFooter`], and every error about the footer.
    pub fn parse(token: &str) -> Result<Self, Error> {
        let frame = Frame::parse(token)?;
        if frame.footer.is_empty() {
            return Err(Error::NoFooter);
        }
        let footer = Footer::of(Object::parse(&frame.footer, Part::Footer)?)?;
        Ok(Self { frame, footer })
    }

    /// Which registry and key the token names. Anybody may have written this.
    #[must_use]
    pub fn footer(&self) -> &Footer {
        &self.footer
    }

    /// The unverified claims, for showing a token to its owner. Never decide anything by them.
    ///
    /// # Errors
    /// Every error about the payload.
    pub fn unverified_claims(&self) -> Result<Claims, Error> {
        Claims::of(Object::parse(&self.frame.payload, Part::Payload)?)
    }

    /// The unverified contents of an `enroll` token.
    ///
    /// # Errors
    /// [`Error::NotEnrollment`], and every error about the payload.
    pub fn unverified_enrollment(&self) -> Result<Enrollment, Error> {
        Enrollment::of(Object::parse(&self.frame.payload, Part::Payload)?)
    }

    /// Verifies with the p384 crate.
    ///
    /// # Errors
    /// [`Error::KeyMismatch`], [`Error::BadSignature`], and every error about the payload.
    pub fn verify(self, key: &PublicKey) -> Result<Verified, Error> {
        self.verify_with(key, |_, signed, signature| {
            Signature::from_slice(signature).is_ok_and(|signature| {
                key.verifying_key().verify_prehash(&Sha384::digest(signed), &signature).is_ok()
            })
        })
    }

    /// Verifies with any implementation of ECDSA over P-384 with SHA-384.
    ///
    /// `check` gets the compressed public key, the message (not yet hashed) and r ‖ s. It must accept s in both
    /// halves of the group order: signers other than [`Prepared`](crate::Prepared) do not normalise it.
    ///
    /// # Errors
    /// As [`verify`](Self::verify).
    pub fn verify_with(
        self,
        key: &PublicKey,
        check: impl FnOnce(&[u8; 49], &[u8], &[u8; 96]) -> bool,
    ) -> Result<Verified, Error> {
        self.is_signed(key, check)?;
        Ok(Verified { claims: self.unverified_claims()?, footer: self.footer })
    }

    /// Verifies an `enroll` token. Any other token is refused.
    ///
    /// # Errors
    /// As [`verify_with`](Self::verify_with), and [`Error::NotEnrollment`].
    pub fn verify_enrollment_with(
        self,
        key: &PublicKey,
        check: impl FnOnce(&[u8; 49], &[u8], &[u8; 96]) -> bool,
    ) -> Result<(Enrollment, Footer), Error> {
        self.is_signed(key, check)?;
        Ok((self.unverified_enrollment()?, self.footer))
    }

    fn is_signed(
        &self,
        key: &PublicKey,
        check: impl FnOnce(&[u8; 49], &[u8], &[u8; 96]) -> bool,
    ) -> Result<(), Error> {
        if self.footer.key_id != key.id() {
            return Err(Error::KeyMismatch);
        }
        let signed = signed_bytes(key.as_bytes(), &self.frame.payload, &self.frame.footer, b"");
        if check(key.as_bytes(), &signed, &self.frame.signature) { Ok(()) } else { Err(Error::BadSignature) }
    }
}

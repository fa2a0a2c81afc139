//! Enrollment by the people themselves: a registry's nonce, and keys that sign it.
//!
//! Who may enroll keys shows an invite, which the administrator gave out for a user, or an endorsement: a signature over
//! the same keys by a publish key that is enrolled already. Each new key signs the nonce and the ids of all keys in the
//! request, so that nobody enrolls a key that is not in their hands, or one out of another's request.
//!
//! Pure: the time and the server's key are arguments. What may be said once is kept by the [store](crate::store).

use asymmetric_token::{Error as TokenError, Footer, KeyId, PublicKey, Untrusted, enrollment};
use jiff::Timestamp;

use crate::attestation::AttestationError;
use crate::keys::{Role, is_signed};
use crate::policy::{self, Refusal};

mod invite;
mod request;

pub use invite::{INVITE_LASTS, InviteCode};
pub use request::{Credential, Request, RequestError, RequestedKey};

/// The longest request, in bytes: four keys with six certificates each fit.
pub const MAX_REQUEST_BYTES: u64 = 256 << 10;

/// Why keys are not enrolled.
#[derive(Debug, thiserror::Error)]
pub enum EnrollmentError {
    /// The request makes no sense.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// A nonce from elsewhere, or one too old.
    #[error(
        "the nonce is not one of this registry's, or older than 10 minutes (it is {now:.0} here); start the enrollment again"
    )]
    Nonce {
        /// The server's time.
        now: Timestamp,
    },
    /// A nonce that did its work.
    #[error("the nonce was used before; start the enrollment again")]
    NonceUsed,
    /// No such invite.
    #[error("this invite is not known here; ask the registry's administrator for a new one")]
    UnknownInvite,
    /// An invite that did its work.
    #[error("this invite was used at {at:.0}; ask the registry's administrator for a new one")]
    UsedInvite {
        /// When.
        at: Timestamp,
    },
    /// An invite that nobody used in time.
    #[error(
        "this invite expired at {at:.0}, and it is {now:.0} here; ask the registry's administrator for a new one"
    )]
    ExpiredInvite {
        /// When.
        at: Timestamp,
        /// The server's time.
        now: Timestamp,
    },
    /// A proof, or the endorsement, is not what it must be.
    #[error("the {whose} does not hold: {reason}")]
    Proof {
        /// `proof of the publish key` and the like, or `endorsement`.
        whose: String,
        /// Why not.
        reason: ProofError,
    },
    /// The endorsing key is not good for that.
    #[error("the endorsement does not count: {0}")]
    Endorser(Refusal),
    /// The attestation of a key, or that it is missing.
    #[error("the {role} key is not enrolled: {reason}")]
    Attestation {
        /// Which key.
        role: Role,
        /// The rule.
        reason: AttestationError,
    },
}

/// What is wrong with a signature over an enrollment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Not an `enroll` token by this key.
    #[error("{0}")]
    Token(#[from] TokenError),
    /// Its time or its URL.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// For another nonce.
    #[error("it was signed for another nonce")]
    Nonce,
    /// For other keys: it may be out of another request.
    #[error("it was signed for other keys")]
    Keys,
    /// For another role.
    #[error("it was signed for another role")]
    Role,
}

/// Verifies that each key of a request signed it.
///
/// # Errors
/// [`EnrollmentError::Proof`].
pub fn prove(request: &Request, rules: &policy::Rules, now: Timestamp) -> Result<(), EnrollmentError> {
    let ids = request.key_ids();
    for key in &request.keys {
        let whose = || format!("proof of the {} key", key.role);
        let consent = Consent { nonce: &request.nonce, role: key.role, keys: &ids };
        consent
            .is_in(&key.proof, &key.public, rules, now)
            .map_err(|reason| EnrollmentError::Proof { whose: whose(), reason })?;
    }
    Ok(())
}

/// Verifies an endorsement of a request by an enrolled key.
///
/// # Errors
/// [`EnrollmentError::Proof`].
pub fn endorse(
    request: &Request,
    token: &str,
    (endorser, role): (&PublicKey, Role),
    rules: &policy::Rules,
    now: Timestamp,
) -> Result<(), EnrollmentError> {
    let ids = request.key_ids();
    Consent { nonce: &request.nonce, role, keys: &ids }
        .is_in(token, endorser, rules, now)
        .map_err(|reason| EnrollmentError::Proof { whose: "endorsement".to_owned(), reason })
}

/// The key that a token says it is by, to look it up.
///
/// # Errors
/// [`EnrollmentError::Proof`].
pub fn endorser(token: &str) -> Result<KeyId, EnrollmentError> {
    let untrusted = Untrusted::parse(token)
        .map_err(|error| EnrollmentError::Proof { whose: "endorsement".to_owned(), reason: error.into() })?;
    Ok(untrusted.footer().key_id)
}

/// What a key has to have signed.
struct Consent<'a> {
    nonce: &'a str,
    role: Role,
    keys: &'a [KeyId],
}

impl Consent<'_> {
    fn is_in(
        &self,
        token: &str,
        key: &PublicKey,
        rules: &policy::Rules,
        now: Timestamp,
    ) -> Result<(), ProofError> {
        let (signed, Footer { url, .. }) = Untrusted::parse(token)?.verify_enrollment_with(key, is_signed)?;
        policy::is_current(signed.issued_at, &url, rules, now)?;
        if signed.challenge != self.nonce {
            return Err(ProofError::Nonce);
        }
        if enrollment::sorted(&signed.keys) != enrollment::sorted(self.keys) {
            return Err(ProofError::Keys);
        }
        if signed.role != self.role {
            return Err(ProofError::Role);
        }
        Ok(())
    }
}

//! Enrollment of keys by their owners: the registry issues a nonce, and the keys sign it.
//!
//! Whoever enrolls keys has to show an invite, which an administrator made for a user, or an endorsement: a signature
//! over the same keys by a publish key that is enrolled already. Each new key signs the nonce and the ids of all keys
//! in the request, so that nobody can enroll a key that they do not have, or one taken from somebody else's request.
//!
//! Nothing here reads or writes anything, and the time is an argument. The [store](crate::store) remembers what was
//! used.

use asymmetric_token::{Error as TokenError, Footer, KeyId, PublicKey, Untrusted, enrollment};
use jiff::Timestamp;

use crate::attestation::AttestationError;
use crate::keys::{Role, is_signed};
use crate::policy::{self, Refusal};

mod invite;
mod request;

pub use invite::{INVITE_LASTS, InviteCode};
pub use request::{Credential, Request, RequestError, RequestedKey};

/// The longest request, in bytes. Four keys with six certificates each fit.
pub const MAX_REQUEST_BYTES: u64 = 256 << 10;

/// Why keys are not enrolled.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "a field's name says what it is")]
pub enum EnrollmentError {
    /// The request is not as documented.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The nonce is not this registry's, or it is too old.
    #[error(
        "the nonce is not from this registry, or is older than 10 minutes (it is {now:.0} here); start the enrollment again"
    )]
    Nonce { now: Timestamp },
    /// The nonce was used before.
    #[error("the nonce was used before; start the enrollment again")]
    NonceUsed,
    /// There is no such invite.
    #[error("this invite is not known here; ask the registry's administrator for a new one")]
    UnknownInvite,
    /// The invite was used before.
    #[error("this invite was used at {at:.0}; ask the registry's administrator for a new one")]
    UsedInvite { at: Timestamp },
    /// The invite was not used in time.
    #[error(
        "this invite expired at {at:.0}, and it is {now:.0} here; ask the registry's administrator for a new one"
    )]
    ExpiredInvite { at: Timestamp, now: Timestamp },
    /// A proof or the endorsement does not hold.
    #[error("the {whose} is not valid: {reason}")]
    Proof {
        /// `proof of the publish key` and the like, or `endorsement`.
        whose: String,
        /// The reason.
        reason: ProofError,
    },
    /// The endorsing key may not endorse.
    #[error("the endorsement does not count: {0}")]
    Endorser(Refusal),
    /// The attestation of a key is missing, or is not accepted.
    #[error("the {role} key is not enrolled: {reason}")]
    Attestation { role: Role, reason: AttestationError },
}

/// Why a signature over an enrollment does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// It is not an `enroll` token by this key.
    #[error("{0}")]
    Token(#[from] TokenError),
    /// Its time or its URL is wrong.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// It is for another nonce.
    #[error("it was signed for another nonce")]
    Nonce,
    /// It is for other keys. It may come from another request.
    #[error("it was signed for other keys")]
    Keys,
    /// It is for another role.
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

/// The id of the key that a token claims to be signed by.
///
/// # Errors
/// [`EnrollmentError::Proof`].
pub fn endorser(token: &str) -> Result<KeyId, EnrollmentError> {
    let untrusted = Untrusted::parse(token)
        .map_err(|error| EnrollmentError::Proof { whose: "endorsement".to_owned(), reason: error.into() })?;
    Ok(untrusted.footer().key_id)
}

/// What a key must have signed.
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

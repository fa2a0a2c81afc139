//! Why an attestation is not accepted.

use super::{Firmware, PinPolicy, TouchPolicy};
use crate::keys::Role;

/// Why an attestation is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "a field's name says what it is")]
pub enum AttestationError {
    /// The registry wants an attestation, and there is none.
    #[error("this registry requires the YubiKey's attestation of the {role} key")]
    Missing { role: Role },
    /// There are too few certificates, or too many.
    #[error("an attestation is 2 to 6 certificates, statement first and then F9; this one has {0}")]
    Length(usize),
    /// One of them is not an X.509 certificate in DER.
    #[error("certificate {position} of the attestation is not an X.509 certificate")]
    Certificate {
        /// Its place in the chain, counted from 1.
        position: usize,
    },
    /// The first certificate does not say what a YubiKey says.
    #[error("the attestation's statement has no usable {0}")]
    Statement(&'static str),
    /// It is about another key than the one that is enrolled.
    #[error("the attestation is about another key")]
    OtherKey,
    /// A signature does not verify.
    #[error("`{subject}` was not signed by `{issuer}`")]
    Signature { subject: String, issuer: String },
    /// The chain does not lead to a trusted root.
    #[error("the attestation leads to `{issuer}`, which is not a root that is trusted here")]
    UnknownIssuer { issuer: String },
    /// An issuer is not a certificate authority.
    #[error("`{subject}` is not a certificate authority, but has issued a certificate")]
    NotAuthority { subject: String },
    /// The F9 certificate has no basicConstraints, as on some keys of the 4 series.
    #[error(
        "the F9 certificate does not say that it may issue (an early YubiKey); this registry does not take such keys"
    )]
    Legacy,
    /// There are more authorities below one than it allows.
    #[error("`{subject}` may not have so many authorities below it")]
    PathLength { subject: String },
    /// A certificate has a critical extension that is not understood.
    #[error("`{subject}` has an unknown critical extension")]
    CriticalExtension { subject: String },
    /// A certificate is not valid yet, or not any more.
    #[error("`{subject}` is not valid at this time")]
    Validity { subject: String },
    /// The firmware is older than this registry wants.
    #[error("the YubiKey has firmware {found}, but this registry requires {minimum} or later")]
    Firmware { found: Firmware, minimum: Firmware },
    /// The key asks for the PIN too rarely.
    #[error("the {role} key has the PIN policy `{found}`, but this registry requires at least `{wanted}`")]
    Pin { role: Role, found: PinPolicy, wanted: PinPolicy },
    /// The key asks for a touch too rarely.
    #[error("the {role} key has the touch policy `{found}`, but this registry requires at least `{wanted}`")]
    Touch { role: Role, found: TouchPolicy, wanted: TouchPolicy },
}

use super::{Firmware, PinPolicy, TouchPolicy};
use crate::keys::Role;

/// Why an attestation is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttestationError {
    /// There is none.
    #[error("this registry wants the YubiKey's attestation of the {role} key")]
    Missing {
        /// Of which key.
        role: Role,
    },
    /// Too few certificates, or too many.
    #[error("an attestation is 2 to 6 certificates, statement first and then F9; this one has {0}")]
    Length(usize),
    /// Not an X.509 certificate in DER.
    #[error("certificate {position} of the attestation is none")]
    Certificate {
        /// From 1.
        position: usize,
    },
    /// The first certificate does not say what a YubiKey says.
    #[error("the attestation's statement has no usable {0}")]
    Statement(&'static str),
    /// About another key than the one that is enrolled.
    #[error("the attestation is about another key")]
    OtherKey,
    /// A signature that does not verify.
    #[error("`{subject}` was not signed by `{issuer}`")]
    Signature {
        /// Whose certificate.
        subject: String,
        /// Whose key should have signed it.
        issuer: String,
    },
    /// Nobody known has issued it.
    #[error("the attestation leads to `{issuer}`, which is no root that is trusted here")]
    UnknownIssuer {
        /// The missing issuer.
        issuer: String,
    },
    /// An issuer that is not an authority.
    #[error("`{subject}` is no certificate authority, and has issued a certificate")]
    NotAuthority {
        /// Whose certificate.
        subject: String,
    },
    /// F9 without basicConstraints, as some keys of the 4 series have it.
    #[error(
        "the F9 certificate does not say that it may issue (an early YubiKey); this registry does not take such keys"
    )]
    Legacy,
    /// More authorities below one than it allows.
    #[error("`{subject}` may not have so many authorities below it")]
    PathLength {
        /// Whose certificate.
        subject: String,
    },
    /// An extension that must be understood, and is not.
    #[error("`{subject}` has a critical extension that is not known here")]
    CriticalExtension {
        /// Whose certificate.
        subject: String,
    },
    /// Not yet or not any more.
    #[error("`{subject}` is not valid at this time")]
    Validity {
        /// Whose certificate.
        subject: String,
    },
    /// Firmware below what this registry wants.
    #[error("the YubiKey has firmware {found}, this registry wants {minimum} or later")]
    Firmware {
        /// The card's.
        found: Firmware,
        /// The least.
        minimum: Firmware,
    },
    /// The key asks for the PIN too rarely.
    #[error("the {role} key has the PIN policy `{found}`, this registry wants at least `{wanted}`")]
    Pin {
        /// Which key.
        role: Role,
        /// The key's policy.
        found: PinPolicy,
        /// The least.
        wanted: PinPolicy,
    },
    /// The key asks for a touch too rarely.
    #[error("the {role} key has the touch policy `{found}`, this registry wants at least `{wanted}`")]
    Touch {
        /// Which key.
        role: Role,
        /// The key's policy.
        found: TouchPolicy,
        /// The least.
        wanted: TouchPolicy,
    },
}

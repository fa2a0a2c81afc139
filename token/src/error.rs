//! Why bytes are not a token, a key or a key id.

use std::fmt;

use crate::role::BadRole;

/// Why bytes are not a token, a key or a key id, or why a token was not accepted.
///
/// Each variant is one cause, so that a registry can name it and a test can match it. None of them holds more of the
/// token than the name of a claim.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The signature does not belong to this key and these bytes.
    #[error("the signature does not verify")]
    BadSignature,
    /// `cksum` is not 64 lower-case hexadecimal digits.
    #[error("`cksum` must be the SHA-256 of the .crate file, as 64 lower-case hexadecimal digits")]
    Checksum,
    /// A crate name that no registry accepts.
    #[error("a crate name is 1 to 64 ASCII letters, digits, `-` or `_`, and begins with a letter or `_`")]
    CrateName,
    /// `custom` is longer than 1 KiB.
    #[error("`custom` may be 1024 bytes at most, this one has {bytes}")]
    CustomTooLong {
        /// Length of the compact JSON.
        bytes: usize,
    },
    /// A name occurs twice in one JSON object, so that two readers could see two different tokens.
    #[error("{name:?} appears twice in one object of the {part}")]
    DuplicateName {
        /// The part of the token.
        part: Part,
        /// The name.
        name: String,
    },
    /// It is an `enroll` token, but one for reading or for a mutation is needed.
    #[error("an `enroll` token is good for enrollment and nothing else")]
    Enrollment,
    /// The keys in an `enroll` token are not 1 to 4 different ids in the order of their texts.
    #[error("an `enroll` token names 1 to 4 different key ids, sorted, in `custom.keys`")]
    EnrollmentKeys,
    /// `iat` is not an RFC 3339 time.
    #[error("`iat` must be an RFC 3339 time with an offset, like 2026-11-20T12:00:00.000000Z")]
    IssuedAt,
    /// `kip` and `kid` name different keys.
    #[error("the footer's `kip` and `kid` differ")]
    KeyIdsDiffer,
    /// Not `k3.pid.` and 44 base64url characters.
    #[error("a key id is `k3.pid.` and 44 base64url characters")]
    KeyIdSyntax,
    /// Not `k3.public.` and 66 base64url characters.
    #[error("a public key is `k3.public.` and 66 base64url characters")]
    KeySyntax,
    /// The 49 bytes are not a point of P-384.
    #[error("the public key is not a point of P-384")]
    KeyOffCurve,
    /// A SEC 1 point that is not in compressed form (49 bytes, beginning with 02 or 03).
    #[error("the public key must be a compressed point: 49 bytes, beginning with 02 or 03")]
    KeyUncompressed,
    /// The footer names another key than the one to verify with.
    #[error("the token was made by another key")]
    KeyMismatch,
    /// A claim is missing that this kind of token needs.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// There is no footer, which every RFC 3231 token has.
    #[error("the token has no footer")]
    NoFooter,
    /// A part is not base64url.
    #[error("the {0} is not base64url")]
    NotBase64(Part),
    /// A part is not one JSON object and nothing else.
    #[error("the {0} is not one JSON object")]
    NotJson(Part),
    /// A part is not UTF-8.
    #[error("the {0} is not UTF-8")]
    NotUtf8(Part),
    /// A part is padded with `=`; PASETO knows no padding.
    #[error("the {0} is padded with `=`")]
    Padded(Part),
    /// `sub` or `challenge` with blanks, control or non-ASCII characters, or empty.
    #[error("`{0}` must be printable ASCII without blanks")]
    NotPrintable(&'static str),
    /// More bytes than [`MAX_TOKEN_BYTES`](crate::MAX_TOKEN_BYTES).
    #[error("the token has {bytes} bytes, but at most 4096 are accepted")]
    TooLong {
        /// Length of the token.
        bytes: usize,
    },
    /// The role in an `enroll` token is not one.
    #[error(transparent)]
    Role(#[from] BadRole),
    /// Something follows the footer.
    #[error("something follows the token's footer")]
    TrailingBytes,
    /// It is another token, but an `enroll` token is needed.
    #[error("not an `enroll` token")]
    NotEnrollment,
    /// The payload has no room for a 96-byte signature.
    #[error("the payload is too short to hold a signature")]
    Truncated,
    /// A claim that does not belong to this kind of token.
    #[error("`{claim}` does not belong in a {kind} token")]
    UnexpectedClaim {
        /// The name.
        claim: &'static str,
        /// `read`, `publish`, `yank`, `unyank` or `owners`.
        kind: &'static str,
    },
    /// A name that RFC 3231 does not define; extensions go into `custom`.
    #[error("unknown name {name:?} in the {part}")]
    UnknownName {
        /// The part of the token.
        part: Part,
        /// The name.
        name: String,
    },
    /// `mutation` is none of publish, yank, unyank, owners.
    #[error("unknown mutation")]
    UnknownMutation,
    /// `v` is set and not 1.
    #[error("`v` must be 1")]
    UnknownVersion,
    /// `vers` is not a SemVer version.
    #[error("`vers` is not a SemVer version")]
    Version,
    /// It is not a v3.public token. It may be a bearer token.
    #[error("not an asymmetric token: it does not begin with `v3.public.`")]
    WrongHeader,
    /// A value of another JSON type than it must be.
    #[error("`{0}` has the wrong type")]
    WrongType(&'static str),
}

/// The two encoded parts of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Claims and signature.
    Payload,
    /// URL and key id.
    Footer,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Payload => "payload",
            Self::Footer => "footer",
        })
    }
}

//! A registry's proof that a version was signed for: `GET {api}/api/v1/crates/{name}/{version}/proof`.
//!
//! The proof comes from somebody who is not trusted. It brings the token that paid for the publish and the key that
//! made it; what it says beside them is compared with what that key has signed. Whether the key may publish this crate
//! is not in it, and cannot be.

use std::fmt::Display;

use asymmetric_token::strict_json::{self, StrictJsonError};
use asymmetric_token::{Checksum, Claims, CrateName, Error as TokenError, Mutation, PublicKey, Untrusted};
use jiff::Timestamp;
use semver::Version;
use serde::Deserialize;
use serde_json::Value;

use crate::enrollment::Role;
use crate::signature::is_signed;
use crate::text::escape;

mod audit;
mod kept;

pub use audit::{Logged, NotLogged};
pub use kept::Kept;

/// The longest proof that is read, in bytes. Most of it are up to 64 entries of an audit log.
pub const LONGEST: u64 = 1 << 20;

/// More certificates than any card's chain has.
const MOST_CERTIFICATES: usize = 8;

/// The only version of a proof that this program knows.
const VERSION: u64 = 1;

/// What a registry hands out; well-formed, and nothing of it verified.
#[derive(Clone, Debug)]
pub struct Proof {
    /// The index URL, byte for byte as cargo has it.
    pub index: String,
    /// The crate.
    pub name: CrateName,
    /// Its version.
    pub version: Version,
    /// SHA-256 of the crate file.
    pub checksum: Checksum,
    /// The key that has signed, if the proof is right.
    pub public: PublicKey,
    /// What the registry lets this key sign.
    pub role: Role,
    /// Certificates about the key, each DER in base64; the key's own is the first.
    pub attestation: Option<Vec<String>>,
    token: String,
    audit: Option<audit::Path>,
}

/// What the key has signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signed {
    /// When, by the clock of the computer that made the token.
    pub at: Timestamp,
}

#[derive(Deserialize)]
struct Wire {
    index: String,
    name: String,
    vers: String,
    cksum: String,
    token: String,
    public: String,
    role: Role,
    attestation: Option<Vec<String>>,
    audit: Option<audit::Path>,
}

impl Proof {
    /// Reads a proof. Names that are not known are left aside.
    ///
    /// # Errors
    /// [`Error::Json`], [`Error::Newer`], [`Error::Field`], [`Error::Shape`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let text = std::str::from_utf8(bytes).map_err(|_| Error::Shape("it is not UTF-8".into()))?;
        let json = strict_json::parse(text).map_err(Error::Json)?;
        match json.get("version").and_then(Value::as_u64) {
            Some(VERSION) => {}
            Some(version) => return Err(Error::Newer { version }),
            None => return Err(Error::Shape("missing field `version`".into())),
        }
        let wire = Wire::deserialize(json).map_err(|error| Error::Shape(error.to_string()))?;
        if wire.attestation.as_ref().is_some_and(|certificates| certificates.len() > MOST_CERTIFICATES) {
            return Err(Error::wrong("attestation", "more certificates than any card has"));
        }
        let wrong = |field| move |error: TokenError| Error::wrong(field, error);
        Ok(Self {
            index: wire.index,
            name: wire.name.parse().map_err(wrong("name"))?,
            version: wire.vers.parse().map_err(|error| Error::wrong("vers", error))?,
            checksum: wire.cksum.parse().map_err(wrong("cksum"))?,
            public: wire.public.parse().map_err(wrong("public"))?,
            role: wire.role,
            attestation: wire.attestation,
            token: wire.token,
            audit: wire.audit,
        })
    }

    /// Whether it is about this version, whatever its file.
    #[must_use]
    pub fn is_about(&self, index: &str, name: &CrateName, version: &Version) -> bool {
        self.index == index && (&self.name, &self.version) == (name, version)
    }

    /// Whether the key signed what the proof says, and nothing else.
    ///
    /// # Errors
    /// [`NotSigned`], with what the token says instead.
    pub fn signed(&self) -> Result<Signed, NotSigned> {
        let verified = Untrusted::parse(&self.token)?.verify_with(&self.public, is_signed)?;
        if verified.footer.url != self.index {
            return Err(NotSigned::Index { signed: verified.footer.url });
        }
        let Claims { mutation: Some(Mutation::Publish { name, version, checksum }), issued_at, .. } =
            &verified.claims
        else {
            let kind = verified.claims.mutation.as_ref().map_or("read", Mutation::kind);
            return Err(NotSigned::Operation { signed: kind });
        };
        if (name, version) != (&self.name, &self.version) {
            return Err(NotSigned::Version { signed: format!("{name} {version}") });
        }
        if *checksum != self.checksum {
            return Err(NotSigned::Checksum { signed: *checksum });
        }
        Ok(Signed { at: *issued_at })
    }

    /// Whether the registry's audit log has this publish, where the proof says so.
    ///
    /// # Errors
    /// [`NotLogged`].
    pub fn logged(&self) -> Option<Result<Logged, NotLogged>> {
        self.audit.as_ref().map(|path| path.follow(self))
    }
}

/// Why a proof cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "a field's name says what it is")]
pub enum Error {
    /// It is not one JSON value, or a name stands twice in it.
    #[error("the proof cannot be read: {}", escape(&.0.to_string()))]
    Json(StrictJsonError),
    /// A later version.
    #[error("the proof has version {version}, which this yk-cargo does not know")]
    Newer { version: u64 },
    /// Something that a proof has is missing, or is another kind of value.
    #[error("the proof is damaged: {}", escape(.0))]
    Shape(String),
    /// A value that cannot be one.
    #[error("the proof is damaged: its `{field}` {}", escape(reason))]
    Field { field: &'static str, reason: String },
}

impl Error {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        matches!(self, Self::Newer { .. }).then_some("update yk-cargo")
    }

    fn wrong(field: &'static str, why: impl Display) -> Self {
        Self::Field { field, reason: format!("is wrong: {why}") }
    }
}

/// Why the key has not signed what the proof says.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "a field's name says what it is")]
pub enum NotSigned {
    /// The token is not one, or another key's.
    #[error("the token does not verify: {}", escape(&.0.to_string()))]
    Token(#[from] TokenError),
    /// The token is for another registry.
    #[error("the token was signed for the registry {}", escape(signed))]
    Index { signed: String },
    /// The token is for something else than a publish.
    #[error("the token was signed for: {signed}")]
    Operation { signed: &'static str },
    /// The token is for another crate or version.
    #[error("the token was signed for {signed}")]
    Version { signed: String },
    /// The token is for another file.
    #[error("the token was signed for a file with checksum {signed}")]
    Checksum { signed: Checksum },
}

#[cfg(test)]
mod tests;

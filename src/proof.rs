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
use serde_json::{Value, json};

use crate::enrollment::{Registry, Role};
use crate::index_url::CRATES_IO;
use crate::signature::is_signed;
use crate::text::{escape, foreign_word};

mod kept;
mod logged;
mod pending;
mod saved;

pub use kept::{Kept, file_name};
pub use logged::{End, Logged, NotLogged, Outcome};
pub use pending::{Pending, PendingProof};
pub use saved::{LONGEST_SAVED, Saved};

/// The longest proof that is read, in bytes: as much as a log proof has room for. Most of it are two entries of the log.
pub const LONGEST: u64 = transparency_log::tlog_proof::MAX_EXTRA_BYTES as u64;

/// More certificates than any card's chain has.
const MOST_CERTIFICATES: usize = 8;

/// More people than approve any crate.
const MOST_APPROVALS: usize = 64;

/// The only version of a proof that this program knows.
const VERSION: u64 = 2;

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
    /// The tokens of people who have approved the same publish, and their keys.
    approvals: Vec<(String, PublicKey)>,
    log: Option<logged::Wire>,
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
    #[serde(default)]
    approvals: Vec<WireApproval>,
    log: Option<logged::Wire>,
}

#[derive(Deserialize)]
struct WireApproval {
    token: String,
    public: String,
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
        if wire.approvals.len() > MOST_APPROVALS {
            return Err(Error::wrong("approvals", "more than any crate needs"));
        }
        let wrong = |field| move |error: TokenError| Error::wrong(field, error);
        let approval = |WireApproval { token, public }| Ok((token, public.parse().map_err(wrong("public"))?));
        Ok(Self {
            approvals: wire.approvals.into_iter().map(approval).collect::<Result<_, Error>>()?,
            index: wire.index,
            name: wire.name.parse().map_err(wrong("name"))?,
            version: wire.vers.parse().map_err(|error| Error::wrong("vers", error))?,
            checksum: wire.cksum.parse().map_err(wrong("cksum"))?,
            public: wire.public.parse().map_err(wrong("public"))?,
            role: wire.role,
            attestation: wire.attestation,
            token: wire.token,
            log: wire.log,
        })
    }

    /// The proof of a publish at a registry that gives none, as it is saved: the token that a key has signed for it.
    #[must_use]
    pub fn unlogged(index: &str, mutation: &Mutation, token: &str, public: &PublicKey) -> Vec<u8> {
        let checksum = match mutation {
            Mutation::Publish { checksum, .. } => checksum.to_string(),
            _ => String::new(),
        };
        let proof = json!({
            "version": VERSION,
            "index": index,
            "name": mutation.name().as_str(),
            "vers": mutation.version().map(Version::to_string),
            "cksum": checksum,
            "token": token,
            "public": public.to_string(),
            "role": Role::Publish.as_str(),
            "attestation": null,
            "log": null,
        });
        format!("{proof}\n").into_bytes()
    }

    /// The command that saves it, once the version is published at this registry.
    #[must_use]
    pub fn save_command(&self, registry: &Registry) -> String {
        let version = format!("{}@{}", self.name, self.version);
        if registry.index == CRATES_IO {
            return format!("yk-cargo proof {}", foreign_word(&version));
        }
        let name = foreign_word(registry.display_name());
        format!("yk-cargo proof {} --registry {name}", foreign_word(&version))
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
        self.signed_by(&self.token, &self.public)
    }

    /// All keys that have signed what the proof says, in no order: the one that published it, and those that approved it. A key may be
    /// there twice.
    ///
    /// # Errors
    /// [`NotSigned`], also if that holds of one approval only.
    pub fn signers(&self) -> Result<Vec<PublicKey>, NotSigned> {
        self.signed()?;
        let mut signers = vec![self.public];
        for (token, public) in &self.approvals {
            self.signed_by(token, public)?;
            signers.push(*public);
        }
        Ok(signers)
    }

    fn signed_by(&self, token: &str, public: &PublicKey) -> Result<Signed, NotSigned> {
        let verified = Untrusted::parse(token)?.verify_with(public, is_signed)?;
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

    /// Where the registry says that its log has this publish, if it says so.
    ///
    /// # Errors
    /// [`NotLogged`]: what stands there is about something else.
    pub fn logged(&self) -> Option<Result<Logged, NotLogged>> {
        self.log.as_ref().map(|log| log.of(self))
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
    /// Not a log proof with the registry's JSON in it.
    #[error("the proof cannot be read: {}", escape(&.0.to_string()))]
    Saved(transparency_log::Error),
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

//! Publishers: machines that may stage versions, which a person then approves. A publisher is known by what an OIDC issuer says
//! of the job that asks. A machine without such an issuer has a key with the role `stage`.
//!
//! Either of them gets a staging token for what it shows, and with that it stages. It never publishes.

mod crates;
mod identity;
mod identity_token;
mod issuers;
mod jwks;
mod pattern;
mod token;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use asymmetric_token::{CrateName, KeyId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use crates::{CratePattern, CratePatterns};
pub use identity::{Claims, Github, Gitlab, Identity, Mismatch};
pub use identity_token::BadIdentityToken;
pub(crate) use identity_token::{IdentityToken, Unverified};
pub(crate) use issuers::Issuers;
pub use issuers::{IssuerError, NoKeys, is_issuer};
pub use jwks::UnusableKey;
pub use pattern::Pattern;
pub use token::{LASTS, PREFIX, StagingToken, StagingTokenHash};

use crate::keys::User;
use crate::policy::Refusal;

/// A machine that may stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publisher {
    /// Its name.
    pub name: PublisherName,
    /// Who it is, and what it may stage.
    pub settings: Settings,
    /// Whose rights and credential its reads have.
    pub reads_as: User,
    /// When it was added.
    pub added: Timestamp,
    /// When it was removed, if it was.
    pub removed: Option<Timestamp>,
}

/// Who a publisher is, and what it may stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The `iss` of its identity tokens, which is the URL below which the issuer's keys are found.
    pub issuer: String,
    /// Their `aud`, if it is not this registry's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// What else they have to say.
    pub identity: Identity,
    /// What it may stage.
    pub crates: CratePatterns,
}

/// The name of a publisher: as that of a user, 1 to 64 ASCII letters, digits, `.`, `_`, `-`, `@` or `+`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PublisherName(Arc<str>);

impl PublisherName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PublisherName {
    type Err = BadPublisherName;

    fn from_str(name: &str) -> Result<Self, BadPublisherName> {
        let user: User = name.parse().map_err(|_| BadPublisherName)?;
        // In the lists a key id stands in the same place.
        if name.starts_with("k3.") { Err(BadPublisherName) } else { Ok(Self(user.as_str().into())) }
    }
}

impl fmt::Display for PublisherName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is not a publisher's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a publisher's name is 1 to 64 ASCII letters, digits, `.`, `_`, `-`, `@` or `+`, and does not begin with `k3.`"
)]
pub struct BadPublisherName;

/// Who holds a staging token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stager {
    /// By what the token is known. What is staged with it is seen with it alone.
    pub token: StagingTokenHash,
    /// Who got it.
    pub holder: Holder,
    /// Whose rights and credential its reads have.
    pub reads_as: User,
    /// What it may stage.
    pub crates: CratePatterns,
    /// Who got it, in the words of its identity token: what people are shown who approve.
    pub identity: Map<String, Value>,
    /// When the token runs out.
    pub expires: Timestamp,
}

/// Who got a staging token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A publisher, for an identity token.
    Publisher(PublisherName),
    /// A machine with this key, for a read token.
    Key(KeyId),
}

impl Stager {
    /// Whether it may stage a version of this crate, which may be a new one here.
    ///
    /// # Errors
    /// [`Refusal::NotStagedBy`], [`Refusal::NewCrate`].
    pub fn may_stage(&self, name: &CrateName, is_new: bool) -> Result<(), Refusal> {
        let (stager, crate_name) = (self.holder.to_string(), name.to_string());
        match (self.crates.fits(name.as_str()), is_new) {
            (false, _) => Err(Refusal::NotStagedBy { stager, name: crate_name }),
            (true, true) if !self.crates.names(name.as_str()) => {
                Err(Refusal::NewCrate { stager, name: crate_name })
            }
            (true, _) => Ok(()),
        }
    }
}

/// Why an identity token gets no staging token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentityError {
    /// It is not good.
    #[error(transparent)]
    Token(#[from] BadIdentityToken),
    /// It is for another registry.
    #[error("the identity token is for `{token}`, but it must be for `{wanted}`")]
    Audience { token: String, wanted: String },
    /// It is of a publisher's repository, and something else does not fit.
    #[error("this job is not the publisher {publisher}: {mismatch}")]
    Mismatch { publisher: String, mismatch: Mismatch },
    /// It is not clear whose it is.
    #[error(
        "both {one} and {other} match this identity: the registry's administrator must remove one of them"
    )]
    Several { one: String, other: String },
}

/// The publisher's name, or the key's id.
impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Publisher(name) => name.fmt(f),
            Self::Key(id) => id.fmt(f),
        }
    }
}

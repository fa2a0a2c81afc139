//! The registry behind the gateway: where crates and their index are. Either the built-in one, or any registry that
//! takes bearer tokens.
//!
//! The gateway has decided everything before it asks here: the token, the role, the claims, the body. What the registry
//! behind decides for itself is what its user may do: it is asked with a credential of that user's own.

mod built_in;
mod remote;

use std::fmt;
use std::pin::Pin;

use asymmetric_token::{Checksum, CrateName, Mutation};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use jiff::Timestamp;
use semver::Version;
use serde::Deserialize;
use tempfile::NamedTempFile;

pub(crate) use built_in::BuiltIn;
pub use remote::RemoteConfigError;
pub(crate) use remote::{Remote, RemoteError};

use crate::keys::User;
use crate::metadata::Metadata;
use crate::policy::Refusal;
use crate::store::{Outcome, Revision, StoreError};

/// What comes of asking, later.
pub(crate) type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, UpstreamError>> + Send + 'a>>;

/// A registry behind the gateway.
///
/// Reads answer with what the reader gets, status and all; a reader without a name is anonymous.
pub(crate) trait Upstream: fmt::Debug + Send + Sync {
    /// One crate's file of the index, by its path there, or 304 if the conditions in the request's header say that the reader has it.
    fn index_file<'a>(
        &'a self,
        reader: Option<&'a Reader>,
        path: &'a str,
        conditions: &'a HeaderMap,
    ) -> Answer<'a, Response>;

    /// One version's crate file.
    fn download<'a>(
        &'a self,
        reader: Option<&'a Reader>,
        name: &'a CrateName,
        version: &'a Version,
    ) -> Answer<'a, Response>;

    /// What `cargo search` shows.
    fn search<'a>(&'a self, reader: Option<&'a Reader>, search: &'a Search) -> Answer<'a, Response>;

    /// Whether a change would be refused, as far as that can be known without trying. Asked before a token is spent.
    fn refuses<'a>(&'a self, user: &'a User, mutation: &'a Mutation) -> Answer<'a, ()>;

    /// Publishes a version.
    fn publish<'a>(&'a self, user: &'a User, publication: Publication) -> Answer<'a, ()>;

    /// Yanks or unyanks a version.
    fn set_yanked<'a>(
        &'a self,
        user: &'a User,
        name: &'a CrateName,
        version: &'a Version,
        yanked: bool,
    ) -> Answer<'a, ()>;

    /// The owners of a crate, as the reader gets them.
    fn owners<'a>(&'a self, user: &'a User, name: &'a CrateName) -> Answer<'a, Response>;

    /// Adds or removes owners of a crate.
    fn change_owners<'a>(
        &'a self,
        user: &'a User,
        name: &'a CrateName,
        change: &'a OwnersChange,
    ) -> Answer<'a, ()>;

    /// What is there of a version, if there is one. This is how an intent without an outcome is settled.
    fn state<'a>(
        &'a self,
        user: &'a User,
        name: &'a CrateName,
        version: &'a Version,
    ) -> Answer<'a, Option<VersionState>>;
}

/// Who reads.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    pub(crate) user: User,
    /// The store's [revision](crate::store::Store::revision) that they were let in at.
    pub(crate) revision: Revision,
}

/// A version about to be published, all of it from the signed crate file.
#[derive(Debug)]
pub(crate) struct Publication {
    /// From its Cargo.toml.
    pub(crate) metadata: Metadata,
    /// The crate file.
    pub(crate) file: NamedTempFile,
    /// The crate file's length in bytes.
    pub(crate) length: u64,
    /// The crate file's SHA-256.
    pub(crate) checksum: Checksum,
    /// When its token was spent.
    pub(crate) time: Timestamp,
}

/// Who becomes or ceases to be an owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnersChange {
    pub(crate) add: bool,
    pub(crate) users: Vec<String>,
}

/// A version in the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct VersionState {
    /// The crate file's SHA-256.
    pub(crate) checksum: Checksum,
    /// Whether it is out of resolution.
    pub(crate) yanked: bool,
}

/// What `cargo search` asks.
#[derive(Debug, Deserialize)]
pub(crate) struct Search {
    #[serde(default)]
    pub(crate) q: String,
    pub(crate) per_page: Option<u32>,
}

/// Why the registry behind did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpstreamError {
    /// This user may not.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Not possible as things stand there: the version exists, or the name is too like another.
    #[error("{0}")]
    Conflict(String),
    /// There is no such thing there.
    #[error("{0}")]
    NotFound(String),
    /// Refused there for another reason, in its own words.
    #[error("{detail}")]
    Denied {
        /// A status that says whose fault it is.
        status: StatusCode,
        /// One sentence.
        detail: String,
    },
    /// The registry behind does not do its part.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl UpstreamError {
    /// Whether it is the user's credential that is wanting, and not the registry.
    pub(crate) fn is_of_one_user(&self) -> bool {
        let Self::Remote(error) = self else { return false };
        matches!(
            error,
            RemoteError::CredentialRefused(_) | RemoteError::NoCredential(_) | RemoteError::Vault(_)
        )
    }

    /// What is on record of a change that met this; `None` if it may have been made all the same.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        match self {
            Self::Remote(error) if error.leaves_open() => None,
            Self::Refused(_) | Self::Conflict(_) | Self::NotFound(_) | Self::Denied { .. } => {
                Some(Outcome::Refused(self.to_string()))
            }
            Self::Remote(_) | Self::Store(_) => Some(Outcome::Failed(self.to_string())),
        }
    }
}

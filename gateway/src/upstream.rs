//! The registry behind the gateway, which has the crates and their index. It is either the built-in one, or any
//! registry that accepts bearer tokens.
//!
//! The gateway has checked everything before it asks here: the token, the role, the claims, the body. The registry
//! behind decides for itself what its user may do, because it is asked with that user's own credential.

mod built_in;
mod remote;

use std::sync::Arc;

use asymmetric_token::{Checksum, CrateName};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use semver::Version;
use serde::Deserialize;
use tempfile::NamedTempFile;

pub(crate) use built_in::BuiltIn;
pub use remote::RemoteConfigError;
pub(crate) use remote::{Remote, RemoteError, Taken};

use crate::index::{RegistryConfig, VersionState};
use crate::keys::User;
use crate::metadata::Metadata;
use crate::policy::Refusal;
use crate::store::{Contents, Outcome, Revision, StoreError};

/// A registry behind the gateway.
#[derive(Debug)]
pub(crate) enum Upstream {
    /// The one in the gateway's own store.
    BuiltIn(BuiltIn),
    /// Another server.
    Remote(Box<Remote>),
}

/// Reads return the whole answer for the reader, including its status. Without a reader they are anonymous. How each makes a change
/// is in [`changes`](crate::changes).
impl Upstream {
    /// A crate's file of the index by its path, or 304 if the reader has it according to the conditions in the
    /// request's header.
    pub(crate) async fn index_file(
        &self,
        reader: Option<&Reader>,
        path: &str,
        conditions: &HeaderMap,
    ) -> Result<Response, UpstreamError> {
        match self {
            Self::BuiltIn(built_in) => built_in.index_file(reader, path, conditions).await,
            Self::Remote(remote) => remote.index_file(reader, path, conditions).await,
        }
    }

    /// One version's crate file.
    pub(crate) async fn download(
        &self,
        reader: Option<&Reader>,
        name: &CrateName,
        version: &Version,
    ) -> Result<Response, UpstreamError> {
        match self {
            Self::BuiltIn(built_in) => built_in.download(name, version).await,
            Self::Remote(remote) => remote.download(reader, name, version).await,
        }
    }

    /// What `cargo search` shows.
    pub(crate) async fn search(
        &self,
        reader: Option<&Reader>,
        search: &Search,
    ) -> Result<Response, UpstreamError> {
        match self {
            Self::BuiltIn(built_in) => built_in.search(search).await,
            Self::Remote(remote) => remote.search(reader, search).await,
        }
    }

    /// Whether a version could be a new one, as far as a reader can see.
    pub(crate) async fn standing(
        &self,
        reader: &Reader,
        name: &CrateName,
        version: &Version,
    ) -> Result<Standing, UpstreamError> {
        match self {
            Self::BuiltIn(built_in) => built_in.standing(name, version).await,
            Self::Remote(remote) => remote.standing(reader, name, version).await,
        }
    }

    /// The state of a version in the index. An intent without an outcome is settled by it.
    pub(crate) async fn state(
        &self,
        user: &User,
        name: &CrateName,
        version: &Version,
    ) -> Result<Option<VersionState>, UpstreamError> {
        match self {
            Self::BuiltIn(built_in) => built_in.state(name, version).await,
            Self::Remote(remote) => remote.state(user, name, version).await,
        }
    }
}

/// What there is of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Not even its crate.
    NewCrate,
    /// Its crate, with other versions.
    NewVersion,
    /// The version.
    Published,
}

/// The user who reads.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    pub(crate) user: User,
    /// The store's [revision](crate::store::Store::revision) at which their token was accepted.
    pub(crate) revision: Revision,
    /// What was told with it of the crates.
    pub(crate) contents: Option<Contents>,
}

/// A version to be published. All of it comes from the signed crate file.
#[derive(Debug)]
pub(crate) struct Publication {
    /// The metadata from its Cargo.toml.
    pub(crate) metadata: Metadata,
    /// The crate file.
    pub(crate) file: NamedTempFile,
    /// The crate file's length in bytes.
    pub(crate) length: u64,
    /// The crate file's SHA-256.
    pub(crate) checksum: Checksum,
}

/// What a change at a registry behind needs: where its API is, and the credential, which a provider may have given for just this one.
#[derive(Debug, Default)]
pub(crate) struct Prepared(Option<(Arc<RegistryConfig>, HeaderValue)>);

/// A change of a crate's owners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnersChange {
    pub(crate) add: bool,
    pub(crate) users: Vec<String>,
}

/// The query of `cargo search`.
#[derive(Debug, Deserialize)]
pub(crate) struct Search {
    #[serde(default)]
    pub(crate) q: String,
    pub(crate) per_page: Option<u32>,
}

/// Why the registry behind did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpstreamError {
    /// The user may not do it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It is not possible in the present state: the version exists, or the name is too similar to another.
    #[error("{0}")]
    Conflict(String),
    /// There is no such crate or version.
    #[error("{0}")]
    NotFound(String),
    /// The registry refuses for another reason.
    #[error("{detail}")]
    Denied {
        /// The status to answer with.
        status: StatusCode,
        /// What it says, in one sentence.
        detail: String,
        /// When to ask again, in the words of the field of that name.
        retry_after: Option<HeaderValue>,
    },
    /// The registry behind cannot be used.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl UpstreamError {
    pub(crate) fn denied(status: StatusCode, detail: impl Into<String>) -> Self {
        Self::Denied { status, detail: detail.into(), retry_after: None }
    }

    /// Whether it is the user's credential that is wanting, and not the registry.
    pub(crate) fn is_of_one_user(&self) -> bool {
        let Self::Remote(error) = self else { return false };
        matches!(
            error,
            RemoteError::CredentialRefused(_)
                | RemoteError::NoCredential(_)
                | RemoteError::Provider { .. }
                | RemoteError::Vault(_)
        )
    }

    /// The outcome of a change that failed with this error; `None` if the change may have been made nevertheless.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        match self {
            Self::Remote(error) if error.leaves_open() => None,
            Self::Store(error) if error.is_in_doubt() => None,
            Self::Refused(_) | Self::Conflict(_) | Self::NotFound(_) | Self::Denied { .. } => {
                Some(Outcome::Refused(self.to_string()))
            }
            Self::Remote(_) | Self::Store(_) => Some(Outcome::Failed(self.to_string())),
        }
    }
}

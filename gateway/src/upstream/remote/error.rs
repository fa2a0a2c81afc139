//! What can go wrong with the registry behind.

use std::error::Error;
use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode};

use crate::credential_provider::ProviderError;
use crate::http_client::{AuthoritiesError, NoAnswer};
use crate::index::Malformed;
use crate::keys::User;
use crate::upstream::UpstreamError;
use crate::vault::VaultError;

/// What is wrong with the registry behind, or between the gateway and it. None of it is the client's fault.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RemoteError {
    /// It cannot be reached, so nothing was sent.
    #[error("the registry behind this gateway cannot be reached")]
    Unreachable(#[source] Box<dyn Error + Send + Sync>),
    /// It did not answer in time.
    #[error(
        "the registry behind this gateway did not answer in time{}",
        if *.change { "; check whether the change was made before you try again" } else { "" }
    )]
    Slow {
        /// Whether a change had been sent.
        change: bool,
    },
    /// The connection broke.
    #[error(
        "the connection to the registry behind this gateway broke{}",
        if *.change { "; check whether the change was made before you try again" } else { "" }
    )]
    Broken {
        /// Whether a change had been sent.
        change: bool,
        /// The cause.
        source: Box<dyn Error + Send + Sync>,
    },
    /// It does not answer as a registry does.
    #[error("the registry behind this gateway does not answer like a registry: {0}")]
    Nonsense(String),
    /// It failed.
    #[error("the registry behind this gateway failed ({status}){detail}")]
    Failed {
        /// Its status.
        status: StatusCode,
        /// What it says, after a colon; or nothing.
        detail: String,
        /// When it wants to be asked again.
        retry_after: Option<HeaderValue>,
    },
    /// It refuses a change for a reason that is between it and the gateway.
    #[error(
        "the registry behind this gateway does not accept this gateway's request ({status}){detail}; nothing was changed"
    )]
    NotDone {
        /// Its status.
        status: StatusCode,
        /// Its words, after a colon, or nothing.
        detail: String,
        /// When it wants to be asked again.
        retry_after: Option<HeaderValue>,
    },
    /// It failed, or did not answer as a registry does, before a change was sent.
    #[error("{0}; nothing was changed")]
    NothingSent(String),
    /// It refuses the user's credential.
    #[error(
        "the registry behind this gateway refuses the credential that the gateway has for {0}; tell its administrator"
    )]
    CredentialRefused(String),
    /// There is no credential for this user.
    #[error("this gateway has no credential for {0} at the registry behind it; tell its administrator")]
    NoCredential(User),
    /// The user's provider gives none.
    #[error(
        "the credential provider that this gateway has for {user} gives no credential for the registry behind it; nothing was \
         changed, so tell its administrator, or try again later"
    )]
    Provider {
        /// Whose.
        user: User,
        /// Why. Several requests may have waited for it.
        source: Arc<ProviderError>,
    },
    /// The credential cannot be opened.
    #[error("this gateway cannot open its credential for the registry behind it; tell its administrator")]
    Vault(#[from] VaultError),
}

impl From<Malformed> for UpstreamError {
    fn from(Malformed(what): Malformed) -> Self {
        RemoteError::Nonsense(what).into()
    }
}

impl RemoteError {
    /// `change` tells whether the request was a change, which may have been made although no answer came.
    pub(super) fn new(no_answer: NoAnswer, change: bool) -> Self {
        match no_answer {
            NoAnswer::Unreachable(error) => Self::Unreachable(error.into()),
            NoAnswer::Silent => Self::Slow { change },
            NoAnswer::Broken(source) => Self::Broken { change, source },
            NoAnswer::Coding(_) => Self::Nonsense(no_answer.to_string()),
        }
    }

    /// Marks an error that occurred before a change was sent, or without one. Such an error leaves nothing open.
    pub(super) fn nothing_sent(error: UpstreamError) -> UpstreamError {
        match error {
            UpstreamError::Remote(error @ (Self::Failed { .. } | Self::Nonsense(_))) => {
                Self::NothingSent(error.to_string()).into()
            }
            other => other,
        }
    }

    /// When the registry behind wants to be asked again, if it said so.
    pub(crate) fn retry_after(&self) -> Option<&HeaderValue> {
        match self {
            Self::Failed { retry_after, .. } | Self::NotDone { retry_after, .. } => retry_after.as_ref(),
            _ => None,
        }
    }

    /// Whether the change may have been made all the same.
    pub(crate) fn leaves_open(&self) -> bool {
        match self {
            Self::Slow { change } | Self::Broken { change, .. } => *change,
            Self::Failed { .. } | Self::Nonsense(_) => true,
            Self::Unreachable(_)
            | Self::NotDone { .. }
            | Self::NothingSent(_)
            | Self::CredentialRefused(_)
            | Self::NoCredential(_)
            | Self::Provider { .. }
            | Self::Vault(_) => false,
        }
    }
}

/// Why a registry cannot be put behind a gateway.
#[derive(Debug, thiserror::Error)]
pub enum RemoteConfigError {
    /// An address is not a usable URL.
    #[error("`{0}` cannot be an address of the registry behind: it must be http:// or https://")]
    Url(String),
    /// The vault cannot be opened.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The certificate authorities cannot be used.
    #[error(transparent)]
    Authorities(#[from] AuthoritiesError),
}

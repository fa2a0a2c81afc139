//! What can be wrong with the registry behind.

use std::error::Error;

use axum::http::{HeaderValue, StatusCode};

use crate::http_client::{AuthoritiesError, NoAnswer};
use crate::index::Malformed;
use crate::keys::User;
use crate::upstream::UpstreamError;
use crate::vault::VaultError;

/// What is wrong between the gateway and the registry behind it. None of it is the fault of whoever asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RemoteError {
    /// It cannot be reached; nothing was sent.
    #[error("the registry behind this gateway cannot be reached")]
    Unreachable(#[source] Box<dyn Error + Send + Sync>),
    /// It did not answer in time.
    #[error(
        "the registry behind this gateway did not answer in time{}",
        if *.change { "; see whether the change was made before you try again" } else { "" }
    )]
    Slow {
        /// Whether a change was on its way.
        change: bool,
    },
    /// The connection broke.
    #[error(
        "the connection to the registry behind this gateway broke{}",
        if *.change { "; see whether the change was made before you try again" } else { "" }
    )]
    Broken {
        /// Whether a change was on its way.
        change: bool,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// It answers, but not what a registry answers.
    #[error("the registry behind this gateway answers nonsense: {0}")]
    Nonsense(String),
    /// It failed.
    #[error("the registry behind this gateway failed ({status}){detail}")]
    Failed {
        /// Its status.
        status: StatusCode,
        /// Its words, after a colon, or nothing.
        detail: String,
        /// When it wants to be asked again.
        retry_after: Option<HeaderValue>,
    },
    /// It refuses a change for a reason that is between it and the gateway.
    #[error(
        "the registry behind this gateway does not do what this gateway asks ({status}){detail}; nothing was changed"
    )]
    NotDone {
        /// Its status.
        status: StatusCode,
        /// Its words, after a colon, or nothing.
        detail: String,
        /// When it wants to be asked again.
        retry_after: Option<HeaderValue>,
    },
    /// It failed or answered nonsense when no change was on its way yet.
    #[error("{0}; nothing was changed")]
    NothingSent(String),
    /// It does not take the user's credential.
    #[error(
        "the registry behind this gateway refuses the credential that this gateway has for {0}; tell its administrator"
    )]
    CredentialRefused(String),
    /// There is no credential for this user.
    #[error("this gateway has no credential of {0} for the registry behind it; tell its administrator")]
    NoCredential(User),
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
    /// `change`: what was asked for may have been done although no answer came.
    pub(super) fn new(no_answer: NoAnswer, change: bool) -> Self {
        match no_answer {
            NoAnswer::Unreachable(error) => Self::Unreachable(error.into()),
            NoAnswer::Silent => Self::Slow { change },
            NoAnswer::Broken(source) => Self::Broken { change, source },
            NoAnswer::Coding(_) => Self::Nonsense(no_answer.to_string()),
        }
    }

    /// What was met before a change was sent, or where there was none to send: it leaves nothing open.
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
            | Self::Vault(_) => false,
        }
    }
}

/// Why a registry cannot be put behind a gateway.
#[derive(Debug, thiserror::Error)]
pub enum RemoteConfigError {
    /// Not a URL that can be one.
    #[error("`{0}` cannot be an address of the registry behind: it must be http:// or https://")]
    Url(String),
    /// The vault.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The certificate authorities.
    #[error(transparent)]
    Authorities(#[from] AuthoritiesError),
}

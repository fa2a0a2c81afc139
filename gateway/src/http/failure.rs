//! Refusals and failures: a status, and one sentence for the person in the form that cargo shows.

use std::error::Error;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::body::BodyError;
use crate::causes::{escaped, shortened, with_causes};
use crate::changes::ChangeError;
use crate::enrollment::EnrollmentError;
use crate::limits::Wait;
use crate::metadata::{MetadataError, PublishJsonError};
use crate::metrics::UpstreamFailure;
use crate::policy::Refusal;
use crate::publishers::{IdentityError, IssuerError};
use crate::staging::KeptError;
use crate::store::{ApprovalError, EnrollError, SpendError, StageError, StoreError};
use crate::upstream::{RemoteError, UpstreamError};

/// When to try a change again that others kept from being made, in seconds.
const OTHERS_RETRY: u64 = 5;
/// When to look at a change of which it is not known whether it was made, in seconds.
const IN_DOUBT_RETRY: u64 = 60;
/// When to ask again while the store's database does not answer, in seconds.
const UNAVAILABLE_RETRY: u64 = 5;

/// Why a request is refused or failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The token is not good, or does not allow the request.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The body was not received.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The JSON part of a publish request is not accepted.
    #[error(transparent)]
    PublishJson(#[from] PublishJsonError),
    /// The crate file is not accepted, or the metadata does not match it.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// Keys are not enrolled.
    #[error(transparent)]
    Enrollment(#[from] EnrollmentError),
    /// An identity token gets no staging token.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Its issuer's key cannot be had.
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    /// There is nothing of that name.
    #[error("{0}")]
    NotFound(String),
    /// The request is malformed.
    #[error("{0}")]
    BadRequest(&'static str),
    /// The name or version is taken.
    #[error("{0}")]
    Conflict(String),
    /// Too many tokens came from that address or for that key.
    #[error("too many tokens from this address or for this key; try again in {} s", whole_seconds(.0.0))]
    TooMany(Wait),
    /// A version is not staged.
    #[error(transparent)]
    Stage(StageError),
    /// The file of a staged version cannot be published.
    #[error(transparent)]
    Kept(KeptError),
    /// The registry behind refuses.
    #[error("{detail}")]
    Denied {
        /// The status to answer with.
        status: StatusCode,
        /// What it says, in one sentence.
        detail: String,
        /// When it wants to be asked again.
        retry_after: Option<HeaderValue>,
    },
    /// The registry behind cannot be used.
    #[error(transparent)]
    Remote(RemoteError),
    /// The store failed before a change, or after it.
    #[error(transparent)]
    Change(ChangeError),
    /// The store's database cannot be asked at present. Nothing is answered from what was known before.
    #[error("the registry's database does not answer; try again in a few seconds")]
    Unavailable(StoreError),
    /// The store's tables have the layout of a newer program.
    #[error("this gateway is older than its database, and has to be upgraded; nothing was changed")]
    Outdated(StoreError),
    /// The store's database did not say what came of a change in it.
    #[error(
        "the registry's database did not say whether this was done, and it will be settled when it does; look in a minute, and \
         try again if it was not"
    )]
    InDoubt(StoreError),
    /// Something failed that is not the client's fault.
    #[error("the registry failed; its log says why")]
    Internal(Box<dyn Error + Send + Sync>),
}

impl Failure {
    pub(super) fn internal(error: impl Error + Send + Sync + 'static) -> Self {
        Self::Internal(Box::new(error))
    }

    /// There is nothing of that name.
    pub(super) fn nothing_here() -> Self {
        Self::NotFound("nothing here".to_owned())
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Refused(refusal) if refusal.is_unauthenticated() => StatusCode::UNAUTHORIZED,
            Self::Refused(_) => StatusCode::FORBIDDEN,
            Self::Enrollment(error) => enrollment_status(error),
            // As for tokens: 401 if another one could help, 403 if it is good and does not suffice.
            Self::Identity(IdentityError::Token(_) | IdentityError::Audience { .. }) => {
                StatusCode::UNAUTHORIZED
            }
            Self::Identity(IdentityError::Mismatch { .. } | IdentityError::Several { .. }) => {
                StatusCode::FORBIDDEN
            }
            Self::Issuer(IssuerError::NoKeys { .. }) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Issuer(_) => StatusCode::UNAUTHORIZED,
            Self::Body(BodyError::TooLarge { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Body(BodyError::Disk(_)) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Body(_) | Self::PublishJson(_) | Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Metadata(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::NotFound(_) | Self::Change(ChangeError::Approval(ApprovalError::Unknown(_))) => {
                StatusCode::NOT_FOUND
            }
            Self::Change(ChangeError::Approval(ApprovalError::NotApprover { .. })) => StatusCode::FORBIDDEN,
            Self::Stage(StageError::Full { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Conflict(_) | Self::Stage(_) | Self::Change(ChangeError::Approval(_)) => {
                StatusCode::CONFLICT
            }
            Self::TooMany(_) | Self::Change(ChangeError::Full(_) | ChangeError::AtOnce(_)) => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Self::Change(
                ChangeError::Unsettled { .. }
                | ChangeError::NotNow(_)
                | ChangeError::PiecesGone
                | ChangeError::InDoubt(_),
            )
            | Self::Unavailable(_)
            | Self::Outdated(_)
            | Self::InDoubt(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Change(error) if is_passing(error) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Denied { status, .. } => *status,
            Self::Remote(RemoteError::Slow { .. }) => StatusCode::GATEWAY_TIMEOUT,
            Self::Remote(_) => StatusCode::BAD_GATEWAY,
            Self::Change(_) | Self::Kept(_) | Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// Whether nothing was changed because the store's database cannot be asked at present.
fn is_passing(error: &ChangeError) -> bool {
    match error {
        ChangeError::NothingChanged(cause) => cause.downcast_ref().is_some_and(is_unavailable),
        ChangeError::NotMade { source, .. } => is_unavailable(source),
        _ => false,
    }
}

/// At present, or until this gateway is upgraded: another one may serve the same store meanwhile.
fn is_unavailable(error: &StoreError) -> bool {
    error.is_passing() || matches!(error, StoreError::Newer { .. })
}

/// As for tokens: 401 if another credential could help, 403 if the credential is good and does not suffice.
fn enrollment_status(error: &EnrollmentError) -> StatusCode {
    match error {
        EnrollmentError::Request(_) => StatusCode::BAD_REQUEST,
        EnrollmentError::Attestation { .. } => StatusCode::FORBIDDEN,
        EnrollmentError::Endorser(refusal) if !refusal.is_unauthenticated() => StatusCode::FORBIDDEN,
        EnrollmentError::Nonce { .. }
        | EnrollmentError::NonceUsed
        | EnrollmentError::UnknownInvite
        | EnrollmentError::UsedInvite { .. }
        | EnrollmentError::ExpiredInvite { .. }
        | EnrollmentError::Proof { .. }
        | EnrollmentError::Endorser(_) => StatusCode::UNAUTHORIZED,
    }
}

impl From<EnrollError> for Failure {
    fn from(error: EnrollError) -> Self {
        match error {
            EnrollError::Refused(error) => Self::Enrollment(error),
            EnrollError::Full(error) => Self::Change(ChangeError::Full(error)),
            EnrollError::Store(error @ (StoreError::KeyKnown { .. } | StoreError::UserRemoved { .. })) => {
                Self::Conflict(error.to_string())
            }
            EnrollError::Store(error) => error.into(),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::PiecesGone => Self::Change(ChangeError::PiecesGone),
            error if error.is_in_doubt() => Self::InDoubt(error),
            error if error.is_passing() => Self::Unavailable(error),
            error @ StoreError::Newer { .. } => Self::Outdated(error),
            error => Self::internal(error),
        }
    }
}

impl From<SpendError> for Failure {
    fn from(error: SpendError) -> Self {
        match error {
            SpendError::Refused(refusal) => Self::Refused(refusal),
            SpendError::Approval(error) => Self::Change(ChangeError::Approval(error)),
            SpendError::Full | SpendError::Share { .. } => Self::Change(ChangeError::Full(error)),
            SpendError::Elsewhere(_) | SpendError::NotAlive => Self::Change(ChangeError::NotNow(error)),
            SpendError::InDoubt { source, .. } => source.into(),
            SpendError::Store(error) => error.into(),
        }
    }
}

impl From<ChangeError> for Failure {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Refused(refusal) => Self::Refused(refusal),
            ChangeError::Upstream(error) => error.into(),
            ChangeError::Panicked(panic) => Self::internal(panic),
            ChangeError::Approval(_)
            | ChangeError::Full(_)
            | ChangeError::AtOnce(_)
            | ChangeError::Unsettled { .. }
            | ChangeError::NotNow(_)
            | ChangeError::PiecesGone
            | ChangeError::NothingChanged(_)
            | ChangeError::InDoubt(_)
            | ChangeError::NotMade { .. }
            | ChangeError::NotOnRecord { .. }
            | ChangeError::IntentLost(_) => Self::Change(error),
        }
    }
}

impl From<ApprovalError> for Failure {
    fn from(error: ApprovalError) -> Self {
        SpendError::from(error).into()
    }
}

impl From<StageError> for Failure {
    fn from(error: StageError) -> Self {
        match error {
            StageError::Refused(refusal) => Self::Refused(refusal),
            StageError::Crates(error) => UpstreamError::from(error).into(),
            StageError::Store(error) => error.into(),
            error => Self::Stage(error),
        }
    }
}

impl From<KeptError> for Failure {
    fn from(error: KeptError) -> Self {
        match error {
            KeptError::Store(error) => error.into(),
            error @ KeptError::Another(_) => Self::Kept(error),
        }
    }
}

impl From<Wait> for Failure {
    fn from(wait: Wait) -> Self {
        Self::TooMany(wait)
    }
}

impl From<UpstreamError> for Failure {
    fn from(error: UpstreamError) -> Self {
        match error {
            UpstreamError::Refused(refusal) => Self::Refused(refusal),
            UpstreamError::Conflict(detail) => Self::Conflict(detail),
            UpstreamError::NotFound(detail) => Self::NotFound(detail),
            UpstreamError::Denied { status, detail, retry_after } => {
                Self::Denied { status, detail, retry_after }
            }
            UpstreamError::Remote(error) => Self::Remote(error),
            UpstreamError::Store(error) => error.into(),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = self.status();
        let detail = escaped(&shortened(self.to_string()));
        match &self {
            Self::Internal(cause) => {
                tracing::error!(cause = %with_causes(cause.as_ref()), "a request failed")
            }
            Self::Unavailable(cause) if cause.is_told() => {
                tracing::info!(cause = %with_causes(cause), "the store's database does not answer");
            }
            Self::Unavailable(cause) | Self::Outdated(cause) | Self::InDoubt(cause) => {
                let hint = cause.hint();
                tracing::error!(cause = %with_causes(cause), hint, "the store's database cannot be used");
            }
            Self::Change(
                cause @ (ChangeError::NothingChanged(_)
                | ChangeError::InDoubt(_)
                | ChangeError::NotMade { .. }
                | ChangeError::NotOnRecord { .. }
                | ChangeError::IntentLost(_)),
            ) => {
                tracing::error!(cause = %with_causes(cause), "a change or its record failed");
            }
            Self::Change(ChangeError::Unsettled { .. }) => {
                tracing::warn!(cause = detail, "a change must wait for the outcome of another one");
            }
            Self::Change(ChangeError::NotNow(_) | ChangeError::PiecesGone) => {
                tracing::warn!(
                    cause = detail,
                    "a change was not made because of another one, or of another gateway"
                );
            }
            Self::Kept(_) => {
                tracing::error!(cause = detail, "the file of a staged version was replaced or is gone")
            }
            Self::Body(BodyError::Disk(cause)) => {
                tracing::error!(cause = %with_causes(cause), "an upload could not be stored");
            }
            Self::Remote(cause) => {
                tracing::error!(cause = %with_causes(cause), "the registry behind cannot be used")
            }
            _ => tracing::info!(status = status.as_u16(), reason = detail, "refused"),
        }
        let body = serde_json::json!({ "errors": [{ "detail": detail }] });
        let fields = [(header::CONTENT_TYPE, "application/json")];
        let mut response = (status, fields, body.to_string()).into_response();
        if let Self::Remote(error) = &self {
            response.extensions_mut().insert(upstream_failure(error));
        }
        let retry_after = match &self {
            Self::TooMany(wait) => Some(whole_seconds(wait.0).into()),
            Self::Change(ChangeError::Full(SpendError::Share { wait, .. })) => {
                Some(whole_seconds(*wait).into())
            }
            Self::Change(ChangeError::Unsettled { retry_after, .. }) => Some((*retry_after).into()),
            Self::Change(ChangeError::AtOnce(_) | ChangeError::NotNow(_) | ChangeError::PiecesGone) => {
                Some(OTHERS_RETRY.into())
            }
            Self::Change(ChangeError::InDoubt(_)) | Self::InDoubt(_) => Some(IN_DOUBT_RETRY.into()),
            Self::Unavailable(_) | Self::Issuer(IssuerError::NoKeys { .. }) => Some(UNAVAILABLE_RETRY.into()),
            Self::Change(error) if is_passing(error) => Some(UNAVAILABLE_RETRY.into()),
            Self::Denied { retry_after, .. } => retry_after.clone(),
            Self::Remote(error) => error.retry_after().cloned(),
            _ => None,
        };
        if let Some(retry_after) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, retry_after);
        }
        response
    }
}

fn upstream_failure(error: &RemoteError) -> UpstreamFailure {
    match error {
        RemoteError::Unreachable(_) => UpstreamFailure::Unreachable,
        RemoteError::Slow { .. } => UpstreamFailure::Slow,
        RemoteError::CredentialRefused(_)
        | RemoteError::NoCredential(_)
        | RemoteError::Provider { .. }
        | RemoteError::Vault(_) => UpstreamFailure::Credential,
        RemoteError::Broken { .. }
        | RemoteError::Nonsense(_)
        | RemoteError::Failed { .. }
        | RemoteError::NotDone { .. }
        | RemoteError::NothingSent(_) => UpstreamFailure::Failed,
    }
}

/// Rounded up, so that the client does not come back too early.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + 1
}

#[cfg(test)]
mod tests {
    use std::io;

    use axum::http::StatusCode;

    use super::{BodyError, Failure};

    #[test]
    fn a_full_disk_is_the_registrys_fault_and_a_short_body_the_clients() {
        let full = BodyError::Disk(io::ErrorKind::StorageFull.into());
        assert_eq!(Failure::Body(full).status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(Failure::Body(BodyError::Ended).status(), StatusCode::BAD_REQUEST);
    }
}

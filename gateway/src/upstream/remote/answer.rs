//! Answers of the registry behind: what of them is passed on to cargo, and what a refusal means.

use std::time::Duration;

use axum::http::{HeaderName, StatusCode, header};
use axum::response::Response;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::Value;
use tokio::time::timeout;

use super::RemoteError;
use super::credentials::Caller;
use crate::http_client;
use crate::upstream::UpstreamError;

/// The fields that cargo uses. All others are dropped, such as Set-Cookie, WWW-Authenticate and hop-by-hop fields. With
/// Cache-Control, a cache in front could give to everybody what one person's token was for (RFC 9111, 3.5).
/// Content-Length is made anew from the body, because it may be wrong beside a Transfer-Encoding (RFC 9112, 6.3).
const PASSED_ON: [HeaderName; 3] = [header::CONTENT_TYPE, header::ETAG, header::LAST_MODIFIED];
/// How much of a refusal is read, in bytes.
const MOST_DETAIL: usize = 64 << 10;
/// How long to wait for the body of a refusal.
const DETAIL_WAITED_FOR: Duration = Duration::from_secs(2);
/// How much of its text is shown, in characters.
const DETAIL_SHOWN: usize = 300;

/// An answer with status, body, and the fields that are passed on.
pub(super) fn passed_on(response: Response) -> Response {
    let (parts, body) = response.into_parts();
    let mut answer = Response::new(body);
    *answer.status_mut() = parts.status;
    for name in PASSED_ON {
        if let Some(value) = parts.headers.get(&name) {
            answer.headers_mut().insert(name, value.clone());
        }
    }
    answer
}

/// The error for an answer other than success.
pub(super) async fn refusal(response: http_client::Response, caller: &Caller<'_>) -> UpstreamError {
    let status = response.status();
    let detail = match timeout(DETAIL_WAITED_FOR, limited(response.into_body(), MOST_DETAIL, false)).await {
        Ok(Ok(body)) => errors_in(&body, caller).unwrap_or_default(),
        Ok(Err(_)) | Err(_) => String::new(),
    };
    let or = |words: &str| if detail.is_empty() { words.to_owned() } else { detail.clone() };
    match status {
        StatusCode::UNAUTHORIZED => {
            let user = caller.user.map_or_else(|| "anonymous readers".to_owned(), ToString::to_string);
            tracing::error!(user, detail, "the registry behind refuses our credential");
            RemoteError::CredentialRefused(user).into()
        }
        StatusCode::NOT_FOUND => UpstreamError::NotFound(or("nothing here")),
        StatusCode::CONFLICT => UpstreamError::Conflict(or("this exists already")),
        StatusCode::FORBIDDEN
        | StatusCode::GONE
        | StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS
        | StatusCode::BAD_REQUEST
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNPROCESSABLE_ENTITY
        | StatusCode::TOO_MANY_REQUESTS => {
            UpstreamError::Denied { status, detail: or("the registry behind this gateway refuses") }
        }
        _ => {
            let detail = if detail.is_empty() { detail } else { format!(": {detail}") };
            RemoteError::Failed { status, detail }.into()
        }
    }
}

/// Receives a body of at most `most` bytes.
pub(super) async fn limited(
    mut incoming: Incoming,
    most: usize,
    change: bool,
) -> Result<Vec<u8>, RemoteError> {
    let mut body = Vec::new();
    while let Some(frame) = incoming.frame().await {
        let piece = frame
            .map_err(|error| RemoteError::Broken { change, source: error.into() })?
            .into_data()
            .unwrap_or_default();
        if body.len() + piece.len() > most {
            return Err(RemoteError::Nonsense(format!("an answer has more than {most} bytes")));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// The details in `{"errors":[{"detail":…}]}`, shortened.
pub(super) fn errors_in(body: &[u8], caller: &Caller<'_>) -> Option<String> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let errors = answer.get("errors")?.as_array()?;
    let details: Vec<_> = errors.iter().filter_map(|error| error.get("detail")?.as_str()).collect();
    let text = caller.without_credential(&details.join("; "));
    let text: String = text.chars().take(DETAIL_SHOWN).collect();
    Some(text).filter(|text| !text.is_empty())
}

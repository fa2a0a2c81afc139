//! Answers of the registry behind: what of them is passed on to cargo, and what a refusal means.

use std::time::Duration;

use axum::body::Body;
use axum::http::response::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use http_body_util::BodyExt as _;
use serde_json::{Map, Value};
use tokio::time::timeout;

use super::RemoteError;
use super::credentials::Caller;
use crate::causes::escaped;
use crate::http_client::{self, AnswerBody};
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
/// The kinds of warnings that cargo shows after a publish, and how many of a kind go on.
const WARNINGS: [&str; 3] = ["invalid_categories", "invalid_badges", "other"];
const MOST_WARNINGS: usize = 20;

/// Status, body and the named fields.
pub(super) fn passed_on(head: &Parts, body: Body) -> Response {
    let mut answer = Response::new(body);
    *answer.status_mut() = head.status;
    for name in PASSED_ON {
        if let Some(value) = head.headers.get(&name) {
            answer.headers_mut().insert(name, value.clone());
        }
    }
    answer
}

/// What an answer other than success to a request that changes nothing means.
pub(super) async fn refusal(response: http_client::Response, caller: &Caller) -> UpstreamError {
    let refused = Refused::new(response, caller).await;
    match refused.status {
        StatusCode::FORBIDDEN
        | StatusCode::GONE
        | StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS
        | StatusCode::BAD_REQUEST
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNPROCESSABLE_ENTITY
        | StatusCode::TOO_MANY_REQUESTS => refused.denied(),
        _ => refused.known(caller).unwrap_or_else(|refused| {
            let Refused { status, detail, retry_after } = refused;
            RemoteError::Failed { status, detail: after_colon(detail), retry_after }.into()
        }),
    }
}

/// What an answer other than success to a change means. With a status of 4xx a server says that it did not do what it was
/// asked (RFC 9110, 15.5), whichever it is; with 501 and 505, that it cannot; with 301, 307 and 308, that the same is to be asked
/// elsewhere (15.4). With 302 or 303 it may show what came of it.
pub(super) async fn refused_change(response: http_client::Response, caller: &Caller) -> UpstreamError {
    let location = response.headers().get(header::LOCATION).and_then(|location| location.to_str().ok());
    let location = location.map(|location| shortened(location, caller)).unwrap_or_default();
    let refused = Refused::new(response, caller).await;
    match refused.status {
        StatusCode::MOVED_PERMANENTLY | StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => {
            let Refused { status, retry_after, .. } = refused;
            let detail = format!(
                ": it leads to `{location}`, where no change is sent; see `api` in the gateway's [upstream]"
            );
            RemoteError::NotDone { status, detail, retry_after }.into()
        }
        // A client would answer these by itself with another request, although the token is spent.
        StatusCode::PROXY_AUTHENTICATION_REQUIRED
        | StatusCode::REQUEST_TIMEOUT
        | StatusCode::EXPECTATION_FAILED
        | StatusCode::MISDIRECTED_REQUEST
        | StatusCode::TOO_EARLY
        | StatusCode::UPGRADE_REQUIRED
        | StatusCode::NOT_IMPLEMENTED
        | StatusCode::HTTP_VERSION_NOT_SUPPORTED => {
            let Refused { status, detail, retry_after } = refused;
            RemoteError::NotDone { status, detail: after_colon(detail), retry_after }.into()
        }
        _ => refused.known(caller).unwrap_or_else(|refused| {
            if refused.status.is_client_error() {
                return refused.denied();
            }
            let Refused { status, detail, retry_after } = refused;
            RemoteError::Failed { status, detail: after_colon(detail), retry_after }.into()
        }),
    }
}

/// An answer other than success.
struct Refused {
    status: StatusCode,
    /// Its words, or nothing.
    detail: String,
    retry_after: Option<HeaderValue>,
}

impl Refused {
    async fn new(response: http_client::Response, caller: &Caller) -> Self {
        let (head, body) = response.into_parts();
        let detail = match timeout(DETAIL_WAITED_FOR, limited(body, MOST_DETAIL, false)).await {
            Ok(Ok(body)) => words_in(&body, caller).unwrap_or_default(),
            Ok(Err(_)) | Err(_) => String::new(),
        };
        Self { status: head.status, detail, retry_after: retry_after(&head.headers) }
    }

    /// The statuses that mean the same whatever was asked.
    fn known(self, caller: &Caller) -> Result<UpstreamError, Self> {
        let or = |words: &str| if self.detail.is_empty() { words.to_owned() } else { self.detail.clone() };
        match self.status {
            StatusCode::UNAUTHORIZED => {
                let user =
                    caller.user.as_ref().map_or_else(|| "anonymous readers".to_owned(), ToString::to_string);
                if caller.may_have_another() {
                    tracing::info!(
                        user,
                        detail = self.detail,
                        "the registry behind requires another credential"
                    );
                } else {
                    tracing::error!(user, detail = self.detail, "the registry behind refuses our credential");
                }
                Ok(RemoteError::CredentialRefused(user).into())
            }
            StatusCode::NOT_FOUND => Ok(UpstreamError::NotFound(or("nothing here"))),
            StatusCode::CONFLICT => Ok(UpstreamError::Conflict(or("this exists already"))),
            _ => Err(self),
        }
    }

    fn denied(self) -> UpstreamError {
        let Self { status, detail, retry_after } = self;
        let detail = match detail.is_empty() {
            true => format!("the registry behind this gateway refuses ({status})"),
            false => detail,
        };
        UpstreamError::Denied { status, detail, retry_after }
    }
}

fn after_colon(detail: String) -> String {
    if detail.is_empty() { detail } else { format!(": {detail}") }
}

/// Seconds or a date (RFC 9110, 10.2.3); neither is longer than that.
fn retry_after(fields: &HeaderMap) -> Option<HeaderValue> {
    let value = fields.get(header::RETRY_AFTER)?;
    value.to_str().ok().filter(|text| text.len() <= 40)?;
    Some(value.clone())
}

/// What a registry says of a change that it made, as far as cargo shows it. Words are shortened, and written so that a
/// terminal does not obey them.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// Lists of sentences, by their kind.
    pub(super) warnings: Option<Value>,
    /// One sentence.
    pub(super) message: Option<String>,
}

impl Said {
    /// From the answer's body: JSON, which may say anything, or nothing.
    ///
    /// # Errors
    /// If it says that the change was not made: what older registries said with 200, and `"ok": false`.
    /// [`RemoteError::Nonsense`] if it is no JSON, which cargo does not take for an answer either: whoever has to log in is
    /// shown a page with 200.
    pub(super) fn of(answer: &[u8], caller: &Caller) -> Result<Self, UpstreamError> {
        let denied = |detail: String| UpstreamError::denied(StatusCode::UNPROCESSABLE_ENTITY, detail);
        if let Some(detail) = errors_in(answer, caller) {
            return Err(denied(detail));
        }
        let answer = match answer.trim_ascii() {
            [] => Value::Null,
            json => serde_json::from_slice(json).map_err(|_| {
                RemoteError::Nonsense("it reports a change as successful, but not in JSON".to_owned())
            })?,
        };
        let message = answer.get("msg").and_then(Value::as_str).map(|words| shown(words, caller));
        let message = message.filter(|message| !message.is_empty());
        if answer.get("ok") == Some(&Value::Bool(false)) {
            let refuses = "the registry behind this gateway says that the change was not made";
            return Err(denied(message.unwrap_or_else(|| refuses.to_owned())));
        }
        let warnings = answer.get("warnings").and_then(Value::as_object);
        Ok(Self { warnings: warnings.map(|warnings| kept_warnings(warnings, caller)), message })
    }
}

fn kept_warnings(warnings: &Map<String, Value>, caller: &Caller) -> Value {
    let kept = WARNINGS.map(|kind| {
        let sentences = warnings.get(kind).and_then(Value::as_array).into_iter().flatten();
        let sentences = sentences.filter_map(Value::as_str).take(MOST_WARNINGS);
        let sentences: Vec<Value> = sentences.map(|words| shown(words, caller).into()).collect();
        (kind.to_owned(), sentences.into())
    });
    Value::Object(kept.into_iter().collect())
}

/// Words of the registry's, for people.
fn shown(words: &str, caller: &Caller) -> String {
    escaped(&shortened(words, caller))
}

/// Receives a body of at most `most` bytes.
pub(super) async fn limited(
    mut incoming: AnswerBody,
    most: usize,
    change: bool,
) -> Result<Vec<u8>, RemoteError> {
    let mut body = Vec::new();
    while let Some(frame) = incoming.frame().await {
        let piece = frame.map_err(|error| RemoteError::new(error, change))?.into_data().unwrap_or_default();
        if body.len() + piece.len() > most {
            return Err(RemoteError::Nonsense(format!("an answer has more than {most} bytes")));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// The words of a refusal: `{"errors":[{"detail":…}]}` as the Cargo book has it, or what registries for more than crates
/// write instead.
fn words_in(body: &[u8], caller: &Caller) -> Option<String> {
    errors_in(body, caller).or_else(|| {
        let answer: Value = serde_json::from_slice(body).ok()?;
        let first = answer.get("errors").and_then(|errors| errors.get(0)).unwrap_or(&answer);
        let words =
            ["detail", "message", "error", "msg"].into_iter().find_map(|name| first.get(name)?.as_str());
        words.map(|words| shortened(words, caller)).filter(|words| !words.is_empty())
    })
}

/// `{"errors":[{"detail":…}]}`, shortened.
fn errors_in(body: &[u8], caller: &Caller) -> Option<String> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let errors = answer.get("errors")?.as_array()?;
    let details: Vec<_> = errors.iter().filter_map(|error| error.get("detail")?.as_str()).collect();
    let text = shortened(&details.join("; "), caller);
    Some(text).filter(|text| !text.is_empty())
}

fn shortened(words: &str, caller: &Caller) -> String {
    caller.without_credential(words).chars().take(DETAIL_SHOWN).collect()
}

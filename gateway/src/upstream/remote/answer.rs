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
    /// [`RemoteError::Nonsense`] if it does not say so clearly, or is no JSON, which cargo does not take for an answer either:
    /// whoever has to log in is shown a page with 200.
    pub(super) fn of(answer: &[u8], caller: &Caller) -> Result<Self, UpstreamError> {
        let nonsense =
            |how: &str| RemoteError::Nonsense(format!("it reports a change as successful, but {how}"));
        let body = answer;
        let answer = match body.trim_ascii() {
            [] => Value::Null,
            json => serde_json::from_slice(json).map_err(|_| nonsense("not in JSON"))?,
        };
        match made(&answer) {
            Some(true) => {}
            Some(false) => {
                let refuses = "the registry behind this gateway says that the change was not made";
                let detail = words_in(body, caller).unwrap_or_else(|| refuses.to_owned());
                return Err(UpstreamError::denied(StatusCode::UNPROCESSABLE_ENTITY, detail));
            }
            None => return Err(nonsense("not whether it was made").into()),
        }
        let message = answer.get("msg").and_then(Value::as_str).map(|words| shown(words, caller));
        let message = message.filter(|message| !message.is_empty());
        let warnings = answer.get("warnings").and_then(Value::as_object);
        Ok(Self { warnings: warnings.map(|warnings| kept_warnings(warnings, caller)), message })
    }
}

/// Whether an answer says that the change was made. `None` if that is not clear.
fn made(answer: &Value) -> Option<bool> {
    // For cargo every list is one of errors, also an empty one (crates-io 0.40, `ApiErrorList`).
    if answer.get("errors").is_some_and(Value::is_array) {
        return Some(false);
    }
    let failed = ["errors", "error"].into_iter().filter_map(|name| answer.get(name));
    let failed = failed.map(|error| match error {
        Value::Null | Value::Bool(false) => Some(true),
        Value::Bool(true) => Some(false),
        Value::String(text) if !text.is_empty() => Some(false),
        Value::Array(list) if !list.is_empty() => Some(false),
        Value::Object(object) if !object.is_empty() => Some(false),
        _ => None,
    });
    let done = ["ok", "success"].into_iter().filter_map(|name| answer.get(name));
    let done = done.map(|done| if done.is_null() { Some(true) } else { done.as_bool() });
    let all: Vec<_> = failed.chain(done).collect();
    if all.contains(&Some(false)) {
        Some(false)
    } else {
        all.into_iter().all(|one| one == Some(true)).then_some(true)
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
        words_of(&answer).map(|words| shortened(words, caller))
    })
}

/// The first words of a refusal, wherever they are.
fn words_of(refusal: &Value) -> Option<&str> {
    const NAMES: [&str; 5] = ["errors", "detail", "message", "error", "msg"];
    match refusal {
        Value::String(words) => Some(words.as_str()).filter(|words| !words.is_empty()),
        Value::Array(list) => list.iter().find_map(words_of),
        Value::Object(object) => NAMES.into_iter().find_map(|name| words_of(object.get(name)?)),
        _ => None,
    }
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

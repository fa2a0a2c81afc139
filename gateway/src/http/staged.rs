//! What machines have staged, as people see it, approve it and reject it. They show an ordinary read token for it, and to approve a
//! version an ordinary publish token.

use std::sync::Arc;

use asymmetric_token::strict_json;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use crate_file::characters::is_hidden;
use serde_json::{Value, json};
use tokio_util::io::ReaderStream;

use super::authorization::{authorize_here, person, spendable_read};
use super::body::RequestBody;
use super::{App, Failure, blocking, json};
use crate::changes::Change;
use crate::keys::User;
use crate::policy::{self, Operation};
use crate::staging::{self, KeptError};
use crate::store::{Approving, Given, Rejection, Seen, Staged, StoreError};

/// The longest reason of a rejection, in bytes.
const MOST_REASON: usize = 500;
/// The longest body with one: each byte of it may be escaped.
const MOST_REJECTION: u64 = 4 << 10;
/// How much of a file is read at once, in bytes: each time, a thread is waited for.
const FROM_DISK: usize = 256 << 10;

/// `GET /api/v1/staged`: what may yet be published, and concerns whoever asks.
pub(super) async fn list(State(app): State<Arc<App>>, request: Parts) -> Result<Response, Failure> {
    let user = person(&app, &request).await?;
    blocking(move || {
        let all = app.store.seen_by(&user, app.staging.approval, app.store.now())?;
        let all: Vec<_> = all.iter().map(|seen| shown(&app, seen)).collect();
        Ok::<_, StoreError>(private(json(&json!({ "staged": all }))))
    })
    .await
}

/// `GET /api/v1/staged/{id}`, whatever has become of it.
pub(super) async fn view(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    request: Parts,
) -> Result<Response, Failure> {
    let user = person(&app, &request).await?;
    answer(&app, number(&id)?, user).await
}

/// `GET /api/v1/staged/{id}/download`: the crate file, as long as it may be published.
pub(super) async fn download(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    request: Parts,
) -> Result<Response, Failure> {
    let user = person(&app, &request).await?;
    let id = number(&id)?;
    let (length, file) = blocking(move || {
        let approving = Approving { stage: id, rule: app.staging.approval };
        let staged = app.store.seen(approving, &user, app.store.now())?.ok_or_else(|| none(id))?.staged;
        if !staged.state.is_alive() {
            let state = staged.state.as_str();
            return Err(Failure::NotFound(format!(
                "the file of {staged} (number {id}) is not kept, because it is {state}"
            )));
        }
        Ok((staged.size, app.store.open_staged_file(&staged)?))
    })
    .await?;
    let fields =
        [(header::CONTENT_TYPE, "application/gzip".to_owned()), (header::CONTENT_LENGTH, length.to_string())];
    let file = ReaderStream::with_capacity(tokio::fs::File::from_std(file), FROM_DISK);
    Ok(private((fields, Body::from_stream(file)).into_response()))
}

/// `PUT /api/v1/staged/{id}/reject`: it is for good, and spends the read token.
pub(super) async fn reject(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    let mut body = RequestBody::new(&app, &parts, body);
    let id = number(&id)?;
    let read = spendable_read(&app, &parts).await?;
    let reason =
        if body.is_empty() { None } else { reason(&body.whole("the reason", MOST_REJECTION).await?)? };
    let (asked, user) = (app.clone(), read.user.clone());
    let rejected = blocking(move || {
        let approving = Approving { stage: id, rule: asked.staging.approval };
        let now = asked.store.now();
        let (key, single_use_key, kept_until) = (read.key, read.single_use_key, read.kept_until);
        asked.store.reject(&Rejection { approving, key, single_use_key, kept_until, reason, now })
    });
    let rejected = rejected.await?;
    app.checkpoints.appended();
    tracing::info!(version = %rejected, id, user = %user, "a staged version is rejected");
    answer(&app, id, user).await
}

/// `PUT /api/v1/staged/{id}/approve`: with a publish token for the very file.
pub(super) async fn approve(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    request: Parts,
) -> Result<Response, Failure> {
    let id = number(&id)?;
    let (user, signed) = authorize_here(&app, &request, Operation::Publish).await?;
    let room = app.changes.room(user.clone())?;
    let turn = app.unpacking.turn(&user).await;
    let approving = Approving { stage: id, rule: app.staging.approval };
    let (asked, mut signed, by) = (app.clone(), signed, user.clone());
    let (signed, publication) = blocking(move || {
        let _turn = turn;
        let staged = asked.store.approvable(approving, &by, signed.now)?;
        let (name, version) = (staged.name.as_str(), staged.version.to_string());
        policy::upload_is_signed(&signed.mutation, name, &version, staged.checksum)?;
        let publication = staging::publication(&asked.store, &staged, &asked.rules.url);
        if let Err(KeptError::Another(_)) = publication {
            // Whoever has rejected it meanwhile has taken the file away.
            asked.store.approvable(approving, &by, asked.store.now())?;
        }
        let publication = publication?;
        signed.now = asked.store.now();
        match asked.store.approve_in_part(&signed, approving)? {
            true => Ok::<_, Failure>((signed, None)),
            false => Ok((signed, Some(publication))),
        }
    })
    .await?;
    let recorded = match publication {
        Some(publication) => {
            let change = Change::Approve(approving, publication.into());
            Some(app.changes.carry_out(room, signed, change).await?.recorded)
        }
        None => {
            app.checkpoints.appended();
            tracing::info!(id, user = %user, "a staged version is approved, and waits for others");
            None
        }
    };
    let mut response = answer(&app, id, user).await?;
    if let Some(Ok(value)) = recorded.map(|recorded| recorded.to_string().try_into()) {
        response.headers_mut().insert("x-audit", value);
    }
    Ok(response)
}

async fn answer(app: &Arc<App>, id: i64, user: User) -> Result<Response, Failure> {
    let app = app.clone();
    blocking(move || {
        let approving = Approving { stage: id, rule: app.staging.approval };
        let seen = app.store.seen(approving, &user, app.store.now())?.ok_or_else(|| none(id))?;
        Ok::<_, Failure>(private(json(&shown(&app, &seen))))
    })
    .await
}

/// A staged version, as the API has it.
fn shown(app: &App, Seen { staged, given, may_approve, is_new }: &Seen) -> Value {
    let Staged { id, name, version, checksum, size, state, staged, expires, words, identity, .. } = staged;
    let approval = |Given { user, key, time, .. }: &Given| json!({ "user": user.as_str(), "key": key.to_string(), "time": format!("{time:.0}") });
    let given: Vec<_> = given.iter().map(approval).collect();
    let mut shown = json!({
        "id": id,
        "name": name.as_str(),
        "vers": version.to_string(),
        "cksum": checksum.to_string(),
        "size": size,
        "state": state.as_str(),
        "staged": format!("{staged:.0}"),
        "expires": format!("{expires:.0}"),
        "new_crate": is_new,
        "stager": identity,
        "approvals": { "needed": app.staging.approval.needed, "given": given },
        "may_approve": may_approve,
    });
    if let Some(words) = words {
        shown["words"] = words.as_str().into();
    }
    shown
}

/// No cache on the way keeps what one person may see.
fn private(mut response: Response) -> Response {
    let fields = response.headers_mut();
    fields.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("private, no-store"));
    response
}

/// Reads `{"reason":"…"}` strictly: one line of characters that are seen.
fn reason(body: &[u8]) -> Result<Option<String>, Failure> {
    let wrong = || {
        Failure::BadRequest(
            "a rejection is `{\"reason\":\"…\"}`: one line of at most 500 bytes, and nothing more",
        )
    };
    let text = std::str::from_utf8(body).map_err(|_| wrong())?;
    let Ok(Value::Object(mut object)) = strict_json::parse(text) else { return Err(wrong()) };
    let reason = object.remove("reason");
    if !object.is_empty() {
        return Err(wrong());
    }
    match reason {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(reason)) if reason.len() <= MOST_REASON && !reason.chars().any(is_hidden) => {
            Ok(Some(reason).filter(|reason| !reason.is_empty()))
        }
        Some(_) => Err(wrong()),
    }
}

/// Reads a number as it is written in a path.
fn number(text: &str) -> Result<i64, Failure> {
    let number = text.parse::<i64>().ok().filter(|number| *number > 0 && number.to_string() == text);
    number.ok_or_else(Failure::nothing_here)
}

fn none(id: i64) -> Failure {
    Failure::NotFound(format!("nothing is staged here under the number {id}"))
}

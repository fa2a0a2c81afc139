//! Publish, yank, unyank, owners: reading cargo's requests, and answering them.

use std::sync::Arc;

use asymmetric_token::{CrateName, strict_json};
use axum::extract::{Path, Request, State};
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use crate_file::characters::is_hidden;
use semver::Version;
use serde_json::{Value, json};

use super::authorization::authorize;
use super::body::RequestBody;
use super::{App, Failure, blocking};
use crate::background;
use crate::causes::shortened;
use crate::changes::{Change, ChangeError};
use crate::config::Owners;
use crate::metadata::{self, Sent};
use crate::policy::{self, Operation, Refusal};
use crate::store::Signed;
use crate::upstream::{OwnersChange, Publication};

/// The longest list of owners, in bytes.
const MAX_OWNERS_BYTES: u64 = 16 << 10;

/// `PUT /api/v1/crates/new`. The body is read only for a token that could publish something.
pub(super) async fn publish(State(app): State<Arc<App>>, request: Request) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    let mut body = RequestBody::new(&app, &parts, body);
    let (signed, publication) = publication(&app, &parts, &mut body).await?;
    let warnings = json!({ "invalid_categories": [], "invalid_badges": [], "other": [] });
    let said = json!({ "warnings": warnings });
    carry_out(&app, signed, Change::Publish(publication.into()), &said).await
}

/// Receives an upload, checks that it is the signed one, and returns what a registry is told of it.
async fn publication(
    app: &Arc<App>,
    request: &Parts,
    body: &mut RequestBody,
) -> Result<(Signed, Publication), Failure> {
    let (user, signed) = authorize(app, request, Operation::Publish).await?;
    // It is read no earlier than the file is unpacked: its bytes are few, and what is made of them can be many times as long.
    let json = body.json(app.max_crate).await?;
    let store = app.store.clone();
    let spool = background::blocking(move || store.upload()).await.map_err(ChangeError::Panicked)?;
    let spool = spool.map_err(|error| ChangeError::NothingChanged(error.into()))?;
    let spooled = body.spool(spool, app.max_crate).await?;
    let turn = app.unpacking.turn(&user).await;
    let (app, mutation) = (app.clone(), signed.mutation.clone());
    let publication = blocking(move || {
        let _turn = turn;
        let (file, length, checksum) = (spooled.file, spooled.length, spooled.checksum);
        let sent = Sent::parse(&json, &app.rules.url)?;
        policy::upload_is_signed(&mutation, sent.name(), sent.version(), checksum)?;
        if !sent.unknown.is_empty() {
            tracing::info!(
                names = shortened(format!("{:?}", sent.unknown)),
                "unknown names in the metadata were dropped"
            );
        }
        let packed = file.reopen().map_err(Failure::internal)?;
        let metadata = metadata::of_upload(packed, length, &sent, &app.rules.url)?;
        metadata.must_not_depend_on(&app.upstream_addresses)?;
        Ok::<_, Failure>(Publication { metadata, file, length, checksum })
    });
    Ok((signed, publication.await?))
}

/// `DELETE /api/v1/crates/{name}/{version}/yank`.
pub(super) async fn yank(
    State(app): State<Arc<App>>,
    Path(path): Path<(String, String)>,
    request: Parts,
) -> Result<Response, Failure> {
    let (name, version) = named_version(&path)?;
    let (_, signed) = authorize(&app, &request, Operation::Yank { name, version: version.clone() }).await?;
    let change = Change::SetYanked { version, yanked: true };
    carry_out(&app, signed, change, &json!({ "ok": true })).await
}

/// `PUT /api/v1/crates/{name}/{version}/unyank`.
pub(super) async fn unyank(
    State(app): State<Arc<App>>,
    Path(path): Path<(String, String)>,
    request: Parts,
) -> Result<Response, Failure> {
    let (name, version) = named_version(&path)?;
    let (_, signed) = authorize(&app, &request, Operation::Unyank { name, version: version.clone() }).await?;
    let change = Change::SetYanked { version, yanked: false };
    carry_out(&app, signed, change, &json!({ "ok": true })).await
}

/// `GET /api/v1/crates/{name}/owners`.
pub(super) async fn list_owners(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    request: Parts,
) -> Result<Response, Failure> {
    let (_, signed) = authorize(&app, &request, owners_of(&name, "GET")?).await?;
    carry_out(&app, signed, Change::ListOwners, &Value::Null).await
}

/// `PUT /api/v1/crates/{name}/owners`, where the configuration allows it.
pub(super) async fn add_owner(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    change_owners(&app, &name, request, true).await
}

/// `DELETE /api/v1/crates/{name}/owners`, where the configuration allows it. `cargo owner --remove … --list` sends it
/// without a body when it means to list; that spends nothing.
pub(super) async fn remove_owner(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    change_owners(&app, &name, request, false).await
}

async fn change_owners(app: &Arc<App>, name: &str, request: Request, add: bool) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    let mut body = RequestBody::new(app, &parts, body);
    let (signed, users) = new_owners(app, name, &parts, &mut body, add).await?;
    let change = Change::Owners(OwnersChange { add, users });
    carry_out(app, signed, change, &json!({ "ok": true, "msg": "owners changed" })).await
}

async fn new_owners(
    app: &Arc<App>,
    name: &str,
    request: &Parts,
    body: &mut RequestBody,
    add: bool,
) -> Result<(Signed, Vec<String>), Failure> {
    let (_, signed) = authorize(app, request, owners_of(name, if add { "PUT" } else { "DELETE" })?).await?;
    if !add && body.is_empty() {
        return Err(Failure::BadRequest("this request names nobody; run `cargo owner --list` on its own"));
    }
    if app.owners == Owners::List {
        return Err(Refusal::OwnersOff.into());
    }
    Ok((signed, users(&body.whole("the list of owners", MAX_OWNERS_BYTES).await?)?))
}

/// Reads `{"users":[…]}` strictly: names of characters that are seen, and nothing else.
fn users(body: &[u8]) -> Result<Vec<String>, Failure> {
    let wrong = || Failure::BadRequest("a change of owners is `{\"users\":[…]}`, and nothing more");
    let text = std::str::from_utf8(body).map_err(|_| wrong())?;
    let Ok(Value::Object(mut object)) = strict_json::parse(text) else { return Err(wrong()) };
    let Some(Value::Array(users)) = object.remove("users") else { return Err(wrong()) };
    let name = |user: Value| match user {
        Value::String(name) if !name.is_empty() && !name.chars().any(is_hidden) => Ok(name),
        _ => Err(wrong()),
    };
    if users.is_empty() || !object.is_empty() {
        return Err(wrong());
    }
    users.into_iter().map(name).collect()
}

/// Carries out a change, and answers as cargo expects. The field `X-Audit` tells where the outcome is in the audit log.
async fn carry_out(app: &App, signed: Signed, change: Change, said: &Value) -> Result<Response, Failure> {
    let made = app.changes.carry_out(signed, change).await?;
    let body = made.said.unwrap_or_else(|| said.to_string().into_bytes());
    let mut response = ([(header::CONTENT_TYPE, "application/json")], body).into_response();
    if let Ok(value) = format!("{} {}", made.recorded.seq, made.recorded.hash).try_into() {
        response.headers_mut().insert("x-audit", value);
    }
    Ok(response)
}

fn named_version((name, version): &(String, String)) -> Result<(CrateName, Version), Failure> {
    let name = name.parse().map_err(|_| Failure::nothing_here())?;
    let version = Version::parse(version).map_err(|_| Failure::nothing_here())?;
    Ok((name, version))
}

fn owners_of(name: &str, method: &'static str) -> Result<Operation, Failure> {
    let name = name.parse().map_err(|_| Failure::nothing_here())?;
    Ok(Operation::Owners { name, method })
}

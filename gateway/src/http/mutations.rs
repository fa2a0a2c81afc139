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

use super::authorization;
use super::body::RequestBody;
use super::staging::{stage, stager};
use super::upload::received;
use super::{App, Failure};
use crate::changes::{Change, Room};
use crate::config::Owners;
use crate::policy::{self, Operation, Refusal};
use crate::store::Signed;
use crate::upstream::OwnersChange;

/// The longest list of owners, in bytes.
const MAX_OWNERS_BYTES: u64 = 16 << 10;

/// `PUT /api/v1/crates/new`. The body is read only for a token that could publish something.
pub(super) async fn publish(State(app): State<Arc<App>>, request: Request) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    let mut body = RequestBody::new(&app, &parts, body);
    if let Some(stager) = stager(&app, &parts).await? {
        return stage(&app, stager, &mut body).await;
    }
    let (room, signed) = authorize(&app, &parts, Operation::Publish).await?;
    let mutation = signed.mutation.clone();
    let publication = received(&app, room.user(), &mut body, move |name, version, checksum| {
        Ok(policy::upload_is_signed(&mutation, name, version, checksum)?)
    })
    .await?;
    let warnings = json!({ "invalid_categories": [], "invalid_badges": [], "other": [] });
    let said = json!({ "warnings": warnings });
    carry_out(&app, (room, signed), Change::Publish(publication.into()), &said).await
}

/// Verifies the request's token, and takes the room of its user for it.
async fn authorize(app: &Arc<App>, request: &Parts, operation: Operation) -> Result<(Room, Signed), Failure> {
    let (user, signed) = authorization::authorize(app, request, operation).await?;
    Ok((app.changes.room(user)?, signed))
}

/// `DELETE /api/v1/crates/{name}/{version}/yank`.
pub(super) async fn yank(
    State(app): State<Arc<App>>,
    Path(path): Path<(String, String)>,
    request: Parts,
) -> Result<Response, Failure> {
    let (name, version) = named_version(&path)?;
    let (room, signed) =
        authorize(&app, &request, Operation::Yank { name, version: version.clone() }).await?;
    let change = Change::SetYanked { version, yanked: true };
    carry_out(&app, (room, signed), change, &json!({ "ok": true })).await
}

/// `PUT /api/v1/crates/{name}/{version}/unyank`.
pub(super) async fn unyank(
    State(app): State<Arc<App>>,
    Path(path): Path<(String, String)>,
    request: Parts,
) -> Result<Response, Failure> {
    let (name, version) = named_version(&path)?;
    let (room, signed) =
        authorize(&app, &request, Operation::Unyank { name, version: version.clone() }).await?;
    let change = Change::SetYanked { version, yanked: false };
    carry_out(&app, (room, signed), change, &json!({ "ok": true })).await
}

/// `GET /api/v1/crates/{name}/owners`.
pub(super) async fn list_owners(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    request: Parts,
) -> Result<Response, Failure> {
    let (room, signed) = authorize(&app, &request, owners_of(&name, "GET")?).await?;
    carry_out(&app, (room, signed), Change::ListOwners, &Value::Null).await
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
    let (room, signed, users) = new_owners(app, name, &parts, &mut body, add).await?;
    let change = Change::Owners(OwnersChange { add, users });
    carry_out(app, (room, signed), change, &json!({ "ok": true, "msg": "owners changed" })).await
}

async fn new_owners(
    app: &Arc<App>,
    name: &str,
    request: &Parts,
    body: &mut RequestBody,
    add: bool,
) -> Result<(Room, Signed, Vec<String>), Failure> {
    let (room, signed) =
        authorize(app, request, owners_of(name, if add { "PUT" } else { "DELETE" })?).await?;
    if !add && body.is_empty() {
        return Err(Failure::BadRequest("this request names nobody; run `cargo owner --list` by itself"));
    }
    if app.owners == Owners::List {
        return Err(Refusal::OwnersOff.into());
    }
    Ok((room, signed, users(&body.whole("the list of owners", MAX_OWNERS_BYTES).await?)?))
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
async fn carry_out(
    app: &App,
    (room, signed): (Room, Signed),
    change: Change,
    said: &Value,
) -> Result<Response, Failure> {
    let made = app.changes.carry_out(room, signed, change).await?;
    let body = made.said.unwrap_or_else(|| said.to_string().into_bytes());
    let mut response = ([(header::CONTENT_TYPE, "application/json")], body).into_response();
    if let Ok(value) = made.recorded.to_string().try_into() {
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

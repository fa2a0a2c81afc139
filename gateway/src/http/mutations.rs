//! Publish, yank, unyank, owners.

use std::fs::File;
use std::sync::Arc;

use asymmetric_token::CrateName;
use axum::extract::{Path, Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use semver::Version;
use serde_json::json;

use super::authorization::{Permit, authorize};
use super::upload::{Spooled, Upload};
use super::{App, Failure, blocking, json};
use crate::crate_file::{self, CrateFile};
use crate::index::Line;
use crate::metadata::{self, MetadataError, Sent};
use crate::policy::{self, Operation, Refusal};
use crate::store::{MutationError, Publication};

/// `PUT /api/v1/crates/new`. The body is read only for a token that could publish something.
pub(super) async fn publish(State(app): State<Arc<App>>, request: Request) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    let mut upload = Upload::new(&parts.headers, body, app.patience);
    let published = publish_upload(&app, &parts.headers, &mut upload).await;
    if published.is_err() {
        upload.discard().await;
    }
    published?;
    Ok(json(&json!({ "warnings": { "invalid_categories": [], "invalid_badges": [], "other": [] } })))
}

/// `DELETE /api/v1/crates/{name}/{version}/yank`.
pub(super) async fn yank(
    State(app): State<Arc<App>>,
    Path(path): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let (name, version) = named_version(&path)?;
    let permit = authorize(&app, &headers, Operation::Yank { name, version }).await?;
    set_yanked(&app, permit, path, true).await
}

/// `PUT /api/v1/crates/{name}/{version}/unyank`.
pub(super) async fn unyank(
    State(app): State<Arc<App>>,
    Path(path): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let (name, version) = named_version(&path)?;
    let permit = authorize(&app, &headers, Operation::Unyank { name, version }).await?;
    set_yanked(&app, permit, path, false).await
}

/// `GET /api/v1/crates/{name}/owners`.
pub(super) async fn list_owners(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let permit = authorize(&app, &headers, owners_of(&name, "GET")?).await?;
    let signed = permit.signed()?;
    let owner = blocking(move || app.store.list_owners(&signed, &name)).await?;
    Ok(json(&json!({ "users": [{ "id": owner.id, "login": owner.name, "name": null }] })))
}

/// `PUT /api/v1/crates/{name}/owners`: nobody may.
pub(super) async fn add_owner(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    let authorized = authorize(&app, &parts.headers, owners_of(&name, "PUT")?).await;
    Upload::new(&parts.headers, body, app.patience).discard().await;
    authorized?;
    Err(Refusal::OwnersOff.into())
}

/// `DELETE /api/v1/crates/{name}/owners`: nobody may. Without a body it is what `cargo owner --remove … --list` sends
/// when it means to list; nothing is used up by that.
pub(super) async fn remove_owner(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    let upload = Upload::new(&parts.headers, body, app.patience);
    let authorized = authorize(&app, &parts.headers, owners_of(&name, "DELETE")?).await;
    let empty = upload.is_empty();
    upload.discard().await;
    authorized?;
    if empty {
        return Err(Failure::BadRequest("this request names nobody; run `cargo owner --list` on its own"));
    }
    Err(Refusal::OwnersOff.into())
}

async fn publish_upload(app: &Arc<App>, headers: &HeaderMap, upload: &mut Upload) -> Result<(), Failure> {
    let permit = authorize(app, headers, Operation::Publish).await?;
    let sent = Sent::parse(&upload.json().await?, &app.rules.url)?;
    let spool = {
        let app = app.clone();
        blocking(move || app.store.upload()).await?
    };
    let spooled = upload.spool(spool, app.max_crate).await?;
    policy::upload_is_signed(&permit.verified.claims, sent.name(), sent.version(), spooled.checksum)?;
    let app = app.clone();
    blocking(move || store_upload(&app, &permit, &sent, spooled)).await
}

/// From an upload that is the signed one to a version in the index.
fn store_upload(app: &App, permit: &Permit, sent: &Sent, spooled: Spooled) -> Result<(), Failure> {
    if !sent.unknown.is_empty() {
        tracing::info!(names = ?sent.unknown, "unknown names in the metadata were dropped");
    }
    if crate_file::is_reserved_name(sent.name()) {
        return Err(Failure::ReservedName(sent.name().to_owned()));
    }
    let packed = File::open(spooled.file.path()).map_err(Failure::internal)?;
    let mut file = CrateFile::open(packed, spooled.length, sent.name(), sent.version())
        .map_err(MetadataError::CrateFile)?;
    let metadata = metadata::rebuild(&mut file, sent, &app.rules.url)?;
    let publication = Publication {
        line: Line::new(&metadata, spooled.checksum),
        description: metadata.description.description.clone(),
        file: spooled.file,
    };
    app.store.publish(&permit.signed()?, publication)?;
    tracing::info!(
        name = metadata.name,
        version = metadata.version,
        cksum = %spooled.checksum,
        key = %permit.key.id(),
        user = %permit.key.user,
        "published"
    );
    Ok(())
}

async fn set_yanked(
    app: &Arc<App>,
    permit: Permit,
    (name, version): (String, String),
    yanked: bool,
) -> Result<Response, Failure> {
    let signed = permit.signed()?;
    let app = app.clone();
    blocking(move || {
        app.store.set_yanked(&signed, &name, &version, yanked)?;
        tracing::info!(name, version, yanked, key = %permit.key.id(), user = %permit.key.user, "changed");
        Ok::<_, MutationError>(())
    })
    .await?;
    Ok(json(&json!({ "ok": true })))
}

fn named_version((name, version): &(String, String)) -> Result<(CrateName, Version), Failure> {
    let nothing = || Failure::NotFound("nothing here".to_owned());
    let name = name.parse().map_err(|_| nothing())?;
    let version = Version::parse(version).map_err(|_| nothing())?;
    Ok((name, version))
}

fn owners_of(name: &str, method: &'static str) -> Result<Operation, Failure> {
    let name = name.parse().map_err(|_| Failure::NotFound("nothing here".to_owned()))?;
    Ok(Operation::Owners { name, method })
}

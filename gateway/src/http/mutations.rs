//! Publish, yank, unyank, owners.

use std::fs::File;
use std::sync::Arc;

use asymmetric_token::{CrateName, Mutation, strict_json};
use axum::extract::{Path, Request, State};
use axum::http::request::Parts;
use axum::response::Response;
use jiff::Timestamp;
use semver::Version;
use serde_json::{Value, json};
use tracing::Instrument as _;

use super::authorization::{Permit, authorize};
use super::reads::nothing_here;
use super::upload::{Spooled, Upload};
use super::{App, Failure, blocking, json};
use crate::config::Owners;
use crate::crate_file::{self, CrateFile};
use crate::metadata::{self, MetadataError, Sent};
use crate::policy::{self, Operation, Refusal};
use crate::settlement;
use crate::store::{Intent, Mark, Outcome, Signed, StoreError};
use crate::upstream::{OwnersChange, Publication, UpstreamError};

/// The longest list of owners, in bytes.
const MAX_OWNERS_BYTES: u64 = 16 << 10;

/// `PUT /api/v1/crates/new`. The body is read only for a token that could publish something.
pub(super) async fn publish(State(app): State<Arc<App>>, request: Request) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    let mut upload = Upload::new(&parts.headers, body, app.patience);
    let published = publish_upload(&app, &parts, &mut upload).await;
    if published.is_err() {
        upload.discard().await;
    }
    let ((), mark) = published?;
    let warnings = json!({ "invalid_categories": [], "invalid_badges": [], "other": [] });
    Ok(audited(json(&json!({ "warnings": warnings })), &mark))
}

/// `DELETE /api/v1/crates/{name}/{version}/yank`.
pub(super) async fn yank(
    State(app): State<Arc<App>>,
    Path(path): Path<(String, String)>,
    request: Parts,
) -> Result<Response, Failure> {
    let (name, version) = named_version(&path)?;
    let operation = Operation::Yank { name: name.clone(), version: version.clone() };
    let permit = authorize(&app, &request, operation).await?;
    set_yanked(&app, permit, name, version, true).await
}

/// `PUT /api/v1/crates/{name}/{version}/unyank`.
pub(super) async fn unyank(
    State(app): State<Arc<App>>,
    Path(path): Path<(String, String)>,
    request: Parts,
) -> Result<Response, Failure> {
    let (name, version) = named_version(&path)?;
    let operation = Operation::Unyank { name: name.clone(), version: version.clone() };
    let permit = authorize(&app, &request, operation).await?;
    set_yanked(&app, permit, name, version, false).await
}

/// `GET /api/v1/crates/{name}/owners`.
pub(super) async fn list_owners(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    request: Parts,
) -> Result<Response, Failure> {
    let permit = authorize(&app, &request, owners_of(&name, "GET")?).await?;
    let name: CrateName = name.parse().map_err(|_| nothing_here())?;
    let (user, upstream) = (permit.key.user.clone(), app.upstream.clone());
    let (response, mark) = change(&app, &permit, async move { upstream.owners(&user, &name).await }).await?;
    Ok(audited(response, &mark))
}

/// `PUT /api/v1/crates/{name}/owners`: only where the configuration allows it.
pub(super) async fn add_owner(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    change_owners(&app, &name, request, true).await
}

/// `DELETE /api/v1/crates/{name}/owners`, likewise. Without a body it is what `cargo owner --remove … --list` sends when it
/// means to list; nothing is used up by that.
pub(super) async fn remove_owner(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    change_owners(&app, &name, request, false).await
}

async fn change_owners(app: &Arc<App>, name: &str, request: Request, add: bool) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    let mut upload = Upload::new(&parts.headers, body, app.patience);
    let changed = new_owners(app, name, &parts, &mut upload, add).await;
    if changed.is_err() {
        upload.discard().await;
    }
    let ((), mark) = changed?;
    Ok(audited(json(&json!({ "ok": true, "msg": "owners changed" })), &mark))
}

async fn new_owners(
    app: &Arc<App>,
    name: &str,
    request: &Parts,
    upload: &mut Upload,
    add: bool,
) -> Result<((), Mark), Failure> {
    let permit = authorize(app, request, owners_of(name, if add { "PUT" } else { "DELETE" })?).await?;
    if !add && upload.is_empty() {
        return Err(Failure::BadRequest("this request names nobody; run `cargo owner --list` on its own"));
    }
    if app.owners == Owners::List {
        return Err(Refusal::OwnersOff.into());
    }
    let users = users(&upload.whole("the list of owners", MAX_OWNERS_BYTES).await?)?;
    let name: CrateName = name.parse().map_err(|_| nothing_here())?;
    let (user, upstream) = (permit.key.user.clone(), app.upstream.clone());
    let owners = OwnersChange { add, users };
    change(app, &permit, async move { upstream.change_owners(&user, &name, &owners).await }).await
}

/// `{"users":[…]}`, read strictly: names without control characters, and nothing else.
fn users(body: &[u8]) -> Result<Vec<String>, Failure> {
    let wrong = || Failure::BadRequest("a change of owners is `{\"users\":[…]}`, and nothing more");
    let text = std::str::from_utf8(body).map_err(|_| wrong())?;
    let Ok(Value::Object(mut object)) = strict_json::parse(text) else { return Err(wrong()) };
    let Some(Value::Array(users)) = object.remove("users") else { return Err(wrong()) };
    let name = |user: Value| match user {
        Value::String(name) if !name.is_empty() && !name.chars().any(char::is_control) => Ok(name),
        _ => Err(wrong()),
    };
    if users.is_empty() || !object.is_empty() {
        return Err(wrong());
    }
    users.into_iter().map(name).collect()
}

async fn publish_upload(app: &Arc<App>, request: &Parts, upload: &mut Upload) -> Result<((), Mark), Failure> {
    let permit = authorize(app, request, Operation::Publish).await?;
    let sent = Sent::parse(&upload.json().await?, &app.rules.url)?;
    let spool = {
        let app = app.clone();
        blocking(move || app.store.upload()).await.map_err(Failure::before_the_change)?
    };
    let spooled = upload.spool(spool, app.max_crate).await?;
    policy::upload_is_signed(&permit.verified.claims, sent.name(), sent.version(), spooled.checksum)?;
    let publication = {
        let app = app.clone();
        blocking(move || publication(&app, &sent, spooled)).await?
    };
    let (user, upstream) = (permit.key.user.clone(), app.upstream.clone());
    change(app, &permit, async move { upstream.publish(&user, publication).await }).await
}

/// From an upload that is the signed one to what a registry is told of it: all of it from the signed file.
fn publication(app: &App, sent: &Sent, spooled: Spooled) -> Result<Publication, Failure> {
    if !sent.unknown.is_empty() {
        tracing::info!(names = ?sent.unknown, "unknown names in the metadata were dropped");
    }
    if crate_file::is_reserved_name(sent.name()) {
        return Err(Failure::ReservedName(sent.name().to_owned()));
    }
    let Spooled { file, length, checksum } = spooled;
    let packed = File::open(file.path()).map_err(Failure::internal)?;
    let mut packed =
        CrateFile::open(packed, length, sent.name(), sent.version()).map_err(MetadataError::CrateFile)?;
    let metadata = metadata::rebuild(&mut packed, sent, &app.rules.url)?;
    metadata.must_not_name(&app.past_the_gateway)?;
    Ok(Publication { metadata, file, length, checksum, time: Timestamp::now() })
}

async fn set_yanked(
    app: &Arc<App>,
    permit: Permit,
    name: CrateName,
    version: Version,
    yanked: bool,
) -> Result<Response, Failure> {
    let (user, upstream) = (permit.key.user.clone(), app.upstream.clone());
    let ((), mark) =
        change(app, &permit, async move { upstream.set_yanked(&user, &name, &version, yanked).await })
            .await?;
    Ok(audited(json(&json!({ "ok": true })), &mark))
}

/// Spends the token, makes the change, and writes down what came of it; also when the client goes away meanwhile. If the
/// answer leaves open what came of it, the index is asked; if that does not tell either, it is settled later.
async fn change<T: Default + Send + 'static>(
    app: &Arc<App>,
    permit: &Permit,
    make: impl Future<Output = Result<T, UpstreamError>> + Send + 'static,
) -> Result<(T, Mark), Failure> {
    let signed = permit.signed()?;
    let task = app.changes.spawn(settled(app.clone(), signed, make).in_current_span());
    task.await.map_err(Failure::internal)?
}

async fn settled<T: Default>(
    app: Arc<App>,
    mut signed: Signed,
    make: impl Future<Output = Result<T, UpstreamError>>,
) -> Result<(T, Mark), Failure> {
    let _turn = app.in_turn.wait(signed.mutation.name().as_str()).await;
    let intent = {
        let app = app.clone();
        let begun = blocking(move || {
            signed.now = Timestamp::now();
            app.store.begin(&signed)
        });
        begun.await.map_err(Failure::before_the_change)?
    };
    let mut made = make.await;
    let mut outcome = match &made {
        Ok(_) => Some(Outcome::Done),
        Err(error) => error.outcome(),
    };
    if let Err(error) = &made
        && may_be_done(&app, &intent, error).await
        && let Ok(Outcome::Done) = settlement::found_out(&app.store, app.upstream.as_ref(), &intent).await
    {
        (made, outcome) = (Ok(T::default()), Some(Outcome::Done));
    }
    let Some(outcome) = outcome else {
        tracing::error!(change = %intent, user = %intent.user, "what becomes of it will be seen later");
        return Err(made.err().map_or_else(nothing_here, Failure::from));
    };
    app.metrics.changed(intent.mutation.kind(), &outcome);
    tracing::info!(change = %intent, ?outcome, user = %intent.user, "settled");
    let change = intent.to_string();
    let recorded = blocking(move || record(&app, &intent, &outcome)).await;
    match (made, recorded) {
        (Ok(made), Ok(mark)) => Ok((made, mark)),
        (Ok(_), Err(cause)) => Err(Failure::not_on_record(change, cause)),
        (Err(refusal), recorded) => {
            if recorded.is_err() {
                tracing::error!(change, "was not made, and that is not on record yet");
            }
            Err(refusal.into())
        }
    }
}

fn record(app: &App, intent: &Intent, outcome: &Outcome) -> Result<Mark, StoreError> {
    let now = Timestamp::now();
    let mark = app.store.settle(intent, outcome, now)?;
    // The change is made and on record; a head that could not be signed is made up for by the next.
    if let Err(error) = app.heads.keep_up(&app.store, now) {
        tracing::error!(%error, "no head of the audit log was signed");
    }
    Ok(mark)
}

/// Whether a change that was not made by the answer's word may be there all the same: the answer left it open; or the
/// version exists because an earlier attempt of the same user came through after it was given up.
async fn may_be_done(app: &Arc<App>, intent: &Intent, error: &UpstreamError) -> bool {
    match (error, &intent.mutation) {
        (UpstreamError::Conflict(_), Mutation::Publish { .. }) => {
            let (app, intent) = (app.clone(), intent.clone());
            // What cannot be seen here is left to the answer's word.
            blocking(move || app.store.was_left_in_doubt(&intent)).await.unwrap_or(false)
        }
        _ => error.outcome().is_none(),
    }
}

/// Says where in the audit log the outcome is.
fn audited(mut response: Response, mark: &Mark) -> Response {
    if let Ok(value) = format!("{} {}", mark.seq, mark.hash).try_into() {
        response.headers_mut().insert("x-audit", value);
    }
    response
}

fn named_version((name, version): &(String, String)) -> Result<(CrateName, Version), Failure> {
    let name = name.parse().map_err(|_| nothing_here())?;
    let version = Version::parse(version).map_err(|_| nothing_here())?;
    Ok((name, version))
}

fn owners_of(name: &str, method: &'static str) -> Result<Operation, Failure> {
    let name = name.parse().map_err(|_| nothing_here())?;
    Ok(Operation::Owners { name, method })
}

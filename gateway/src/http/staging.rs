//! What a machine may do with a staging token: stage versions, and read what the user may read whom its publisher reads as, and the
//! index lines of what this very token has staged.
//!
//! A staged version is in the index for its token alone, so that `cargo publish --workspace` finds the crates that it has uploaded.
//! It is not to be downloaded: cargo keeps what it has downloaded of a version for good, and another file may be staged in its place.

use std::sync::Arc;

use axum::body::Bytes;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use http_body_util::{BodyExt as _, Limited};
use semver::Version;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::authorization::{bare_token, client, is_known};
use super::body::RequestBody;
use super::upload::received;
use super::{App, Failure, blocking, json};
use crate::index::{Line, version_state};
use crate::policy::Refusal;
use crate::publishers::{PREFIX, Stager};
use crate::store::{Deciders, Staged, Staging, StoreError};
use crate::upstream::{Publication, Reader, Standing, UpstreamError};

/// The longest index file to which staged lines are added, in bytes.
const MOST_INDEX: usize = 64 << 20;

/// Who shows a staging token with this request; `None` if it has no token, or another one.
pub(super) async fn stager(app: &Arc<App>, request: &Parts) -> Result<Option<Stager>, Failure> {
    let token = match bare_token(&request.headers) {
        Ok(token) if token.starts_with(PREFIX) => token.to_owned(),
        _ => return Ok(None),
    };
    let known = app.store.in_time(app.store.asked(move |store| store.stager(&token))).await?;
    let Some(stager) = known else {
        app.limits.count(client(request)?.0, None)?;
        return Err(Refusal::StagingToken.into());
    };
    is_known(request);
    Ok(Some(stager))
}

/// The person as whom it reads.
pub(super) async fn reader(app: &App, stager: &Stager) -> Result<Reader, StoreError> {
    let (revision, contents) = app.store.present().await?;
    Ok(Reader { user: stager.reads_as.clone(), revision, contents })
}

/// A file of the index with what the token has staged. It has its own entity tag, and nobody may keep it for others.
pub(super) async fn index_file(
    app: &Arc<App>,
    stager: &Stager,
    path: &str,
    request: &Parts,
) -> Result<Response, Failure> {
    let reader = reader(app, stager).await?;
    let (token, name) = (stager.token, path.rsplit('/').next().unwrap_or_default().to_owned());
    let staged = app.store.asked(move |store| store.staged_lines(token, &name)).await?;
    if staged.is_empty() {
        return Ok(own(app.upstream.index_file(Some(&reader), path, &request.headers).await?));
    }
    let published = match app.upstream.index_file(Some(&reader), path, &HeaderMap::new()).await {
        Ok(response) => whole(response).await?,
        Err(UpstreamError::NotFound(_)) => Bytes::new(),
        Err(error) => return Err(error.into()),
    };
    let lines = with_staged(&published, &staged);
    let tag = format!("\"staged-{}\"", hex(&Sha256::digest(&lines)[..16]));
    let has_it =
        request.headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    if has_it {
        return Ok(own((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response()));
    }
    let fields = [(header::CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()), (header::ETAG, tag)];
    Ok(own((fields, lines).into_response()))
}

/// What was published first: while an approval is carried out, a version can be in both.
fn with_staged(published: &[u8], staged: &[(Version, String)]) -> Vec<u8> {
    let mut lines = published.to_vec();
    if !lines.is_empty() && !lines.ends_with(b"\n") {
        lines.push(b'\n');
    }
    for (version, line) in staged {
        if !matches!(version_state(published, version), Ok(Some(_))) {
            lines.extend_from_slice(line.as_bytes());
            lines.push(b'\n');
        }
    }
    lines
}

async fn whole(response: Response) -> Result<Bytes, Failure> {
    let body = Limited::new(response.into_body(), MOST_INDEX).collect().await;
    Ok(body.map_err(Failure::Internal)?.to_bytes())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An answer that is for one token.
fn own(mut response: Response) -> Response {
    let fields = response.headers_mut();
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    fields.insert(header::VARY, HeaderValue::from_static("authorization"));
    // By a date alone cargo could take the file of another token for this one's.
    fields.remove(header::LAST_MODIFIED);
    response
}

/// Refuses the download of a version that this token has staged.
pub(super) async fn must_be_published(
    app: &Arc<App>,
    stager: &Stager,
    name: &str,
    version: &Version,
) -> Result<(), Failure> {
    let (token, wanted, number) = (stager.token, name.to_owned(), version.clone());
    if !app.store.asked(move |store| store.has_staged(token, &wanted, &number)).await? {
        return Ok(());
    }
    let detail = format!(
        "{name} {version} is staged and not published, so it is not downloaded: publish the crates that depend on it together with \
         it by `cargo publish --workspace`, which builds them from this computer, or one by one with `--no-verify`"
    );
    Err(Failure::Denied { status: StatusCode::FORBIDDEN, detail, retry_after: None })
}

/// `PUT /api/v1/crates/new` with a staging token.
pub(super) async fn stage(
    app: &Arc<App>,
    stager: Stager,
    body: &mut RequestBody,
) -> Result<Response, Failure> {
    let room = app.staging_rooms.enter(stager.reads_as.clone())?;
    let asked = stager.clone();
    let publication = received(app, room.user(), body, move |name, _, _| {
        // Whether it is new is known later; whoever may not stage the crate at all is refused before the file is unpacked.
        let name = name.parse().map_err(|_| Failure::nothing_here())?;
        Ok(asked.may_stage(&name, false)?)
    })
    .await?;
    let Publication { metadata, file, length, checksum } = publication;
    let line = Line::new(&metadata, checksum).to_json();
    let (name, version) = (metadata.name.parse(), metadata.version.parse());
    let (Ok(name), Ok(version)) = (name, version) else { return Err(Failure::nothing_here()) };
    let is_new = match app.upstream.standing(&reader(app, &stager).await?, &name, &version).await? {
        Standing::NewCrate => true,
        Standing::NewVersion => false,
        Standing::Published => {
            return Err(Failure::Conflict(format!(
                "{name} {version} is already published, so it cannot be staged"
            )));
        }
    };
    stager.may_stage(&name, is_new)?;
    let staging = Staging { name, version, checksum, size: length, line, is_new };
    let (asked, rules) = (app.clone(), app.staging);
    let (staged, deciders) = blocking(move || {
        let staged = asked.store.stage(&stager, &staging, file, rules.limits)?;
        let deciders = asked.store.deciders(staged.name.as_str(), rules.approval)?;
        Ok::<_, Failure>((staged, deciders))
    })
    .await?;
    app.checkpoints.appended();
    tracing::info!(version = %staged, id = staged.id, stager = staged.stager, "a version is staged");
    let other = [told(&staged, &deciders, rules.approval.needed)];
    let warnings = json!({ "invalid_categories": [], "invalid_badges": [], "other": other });
    Ok(json(&json!({ "warnings": warnings })))
}

/// What cargo shows before it says that the crate is published.
fn told(staged: &Staged, deciders: &Deciders, needed: u32) -> String {
    let who = match (deciders, needed) {
        (Deciders::Named(names), 1) => format!("{} may approve it", names.join(" or ")),
        (Deciders::Named(names), _) => format!("{needed} of {} must approve it", names.join(", ")),
        (Deciders::Anybody, 1) => "whoever may publish the crate may approve it".to_owned(),
        (Deciders::Anybody, _) => format!("{needed} people who may publish the crate must approve it"),
        (Deciders::Nobody, _) => format!(
            "{needed} people must approve it, and the administrator must first say who may: `registry-gateway approver add {} USER`",
            staged.name
        ),
    };
    format!(
        "{staged} is staged as number {}, and NOT published yet, whatever is said below: {who} until {:.0}, with `yk-cargo stage \
         approve {}@{}`",
        staged.id, staged.expires, staged.name, staged.version
    )
}

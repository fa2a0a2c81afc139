//! The audit log as everybody may check it: checkpoints and hash tiles, and the leaves that readers may have.
//!
//! Source: C2SP tlog-tiles, "Checkpoints" and "Merkle Tree". It is not a public log: the text of most entries is for administrators.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use serde_json::{Value, json};
use transparency_log::Tile;

use super::authorization::may_ask;
use super::{App, Failure, blocking, json};
use crate::audit::{Entry, Kind};
use crate::policy::Rules;
use crate::store::Newest;

/// How many leaves are looked at for one answer.
const LEAVES: u64 = 256;

/// `GET /log/checkpoint`: the newest one, with what witnesses have signed. Everybody may have it and keep it.
pub(super) async fn checkpoint(State(app): State<Arc<App>>) -> Result<Response, Failure> {
    let newest = newest(&app).await?;
    let shown = app.witnesses.shown(&app.store, newest).await?;
    shown.map(text).ok_or_else(Failure::nothing_here)
}

/// `GET /log/key`: the key that has signed it. Nothing proves that it is the right one.
pub(super) async fn key(State(app): State<Arc<App>>) -> Result<Response, Failure> {
    Ok(text(format!("{}\n", newest(&app).await?.key)))
}

/// `GET /log/tile/{level}/{index}`, with `.p/{width}` for a partial one: hashes of the tree of the newest checkpoint. What a path
/// means changes with the generation of the log alone, so only the client itself keeps it.
pub(super) async fn tile(
    State(app): State<Arc<App>>,
    Path(path): Path<String>,
    parts: Parts,
) -> Result<Response, Failure> {
    may_ask(&app, &parts).await?;
    let tile: Tile = path.parse().map_err(|_| Failure::nothing_here())?;
    let is_known = |newest: &Arc<Newest>| tile.is_in(newest.size);
    if !app.checkpoints.known().as_ref().is_some_and(is_known) && !is_known(&newest(&app).await?) {
        return Err(Failure::nothing_here());
    }
    let store = app.store.clone();
    let bytes = blocking(move || store.tile(&tile)).await?;
    let fields = [
        (header::CONTENT_TYPE, "application/octet-stream"),
        (header::CACHE_CONTROL, "private, max-age=31536000, immutable"),
    ];
    Ok((fields, bytes).into_response())
}

/// `GET /log/leaves/{from}`: of 256 leaves those that readers may have.
pub(super) async fn leaves(
    State(app): State<Arc<App>>,
    Path(from): Path<String>,
    parts: Parts,
) -> Result<Response, Failure> {
    may_ask(&app, &parts).await?;
    let first = from.parse::<u64>().ok().filter(|first| first.to_string() == from);
    let first = first.ok_or_else(Failure::nothing_here)?;
    let size = newest(&app).await?.size;
    let end = size.min(first.saturating_add(LEAVES));
    let (asked, now) = (app.clone(), app.store.now());
    let entries = match first < end {
        true => blocking(move || asked.store.audit_entries(first + 1, end)).await?,
        false => Vec::new(),
    };
    let numbered = entries.into_iter().zip(first..);
    let leaves: Vec<_> = numbered.filter_map(|(leaf, index)| shown(index, leaf, &app.rules, now)).collect();
    let mut answer = json(&json!({ "from": first, "size": size, "leaves": leaves }));
    answer.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    Ok(answer)
}

/// What readers get of a leaf: those with intents and outcomes, and of an intent whose token is still good for something the hash.
fn shown(index: u64, leaf: String, rules: &Rules, now: Timestamp) -> Option<Value> {
    let entry = Entry::parse(leaf.as_bytes()).ok()?;
    if !matches!(entry.kind, Kind::Intent | Kind::Outcome) {
        return None;
    }
    if has_live_token(&entry, rules, now) {
        let hash = transparency_log::Hash::leaf(leaf.as_bytes()).ok()?;
        return Some(json!({ "index": index, "hash": hash.to_string() }));
    }
    Some(json!({ "index": index, "leaf": leaf }))
}

/// Whether an entry has a token that could still be used. An owners token is spent once for each HTTP method: until it is too old, the
/// token of a listing could still add an owner.
fn has_live_token(entry: &Entry, rules: &Rules, now: Timestamp) -> bool {
    let is_owners = entry.details.get("mutation").is_some_and(|mutation| mutation == "owners");
    is_owners && now.duration_since(entry.time).unsigned_abs() <= rules.window + rules.skew
}

async fn newest(app: &Arc<App>) -> Result<Arc<Newest>, Failure> {
    app.checkpoints.newest(&app.store).await?.ok_or_else(Failure::nothing_here)
}

fn text(text: String) -> Response {
    let fields = [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
    (fields, text).into_response()
}

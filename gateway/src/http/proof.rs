//! What lets anybody check a publish later: its proof, and the last signed head of the audit log.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::authorization::may_ask;
use super::{App, Failure, blocking, json};
use crate::audit::Entry;
use crate::policy::Rules;
use crate::store::{Record, StoreError};

/// `GET /api/v1/crates/{name}/{version}/proof`: the token that was spent on a version, the key that signed it, and the
/// entries of the audit log from its intent to the next signed head. None of the tokens in them is still good.
pub(super) async fn proof(
    State(app): State<Arc<App>>,
    Path((name, version)): Path<(String, String)>,
    parts: Parts,
) -> Result<Response, Failure> {
    may_ask(&app, &parts).await?;
    blocking(move || {
        let none = || Failure::NotFound(format!("there is no proof of {name} {version} here"));
        let record = app.store.published(Some((&name, &version)))?.pop().ok_or_else(none)?;
        let key = app.store.key(record.key)?.ok_or_else(none)?;
        let attestation = app.store.attestation(record.key)?;
        let attestation =
            attestation.map(|chain| chain.iter().map(|der| STANDARD.encode(der)).collect::<Vec<_>>());
        Ok::<_, Failure>(json(&json!({
            "version": 1,
            "index": app.rules.url,
            "name": record.name,
            "vers": record.version,
            "cksum": record.checksum.to_string(),
            "token": record.token,
            "public": key.public.to_string(),
            "role": key.role.as_str(),
            "attestation": attestation,
            "audit": audit_path(&app, &record, app.store.now())?,
        })))
    })
    .await
}

/// `GET /audit/head`: the last signed head. Everybody may have it and keep it.
pub(super) async fn head(State(app): State<Arc<App>>) -> Result<Response, Failure> {
    let head = blocking(move || app.heads.last(&app.store)).await?.ok_or_else(Failure::nothing_here)?;
    Ok(([(header::CONTENT_TYPE, "application/json")], head).into_response())
}

/// The entries from a publish's intent to the next head. They are sent as they are stored, because their hashes are
/// over those bytes.
fn audit_path(app: &App, record: &Record, now: Timestamp) -> Result<Value, StoreError> {
    let head = app.heads.after(&app.store, record.seq)?;
    let end = head.as_ref().map_or(record.seq, |(seq, _)| *seq);
    let entries = app.store.audit_entries(record.seq, end)?;
    if entries.iter().any(|entry| has_live_token(entry, &app.rules, now)) {
        return Ok(Value::Null);
    }
    let mut entries = entries.into_iter();
    Ok(json!({
        "seq": record.seq,
        "entry": entries.next(),
        "path": entries.collect::<Vec<_>>(),
        "head": head.map(|(_, line)| line),
    }))
}

/// Whether an entry has a token that could still be used. An owners token is spent once for each HTTP method: until it
/// is too old, the token of a listing could still add an owner. An entry that cannot be read counts as having one.
fn has_live_token(entry: &str, rules: &Rules, now: Timestamp) -> bool {
    let Ok(entry) = Entry::parse(entry.as_bytes()) else { return true };
    let is_owners = entry.details.get("mutation").is_some_and(|mutation| mutation == "owners");
    is_owners && now.duration_since(entry.time).unsigned_abs() <= rules.window + rules.skew
}

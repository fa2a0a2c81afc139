//! What anybody can check later: the proof of a publish, and the last signed head of the audit log.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::authorization::may_read;
use super::reads::nothing_here;
use super::{App, Failure, blocking, json};
use crate::store::{Record, StoreError};

/// `GET /api/v1/crates/{name}/{version}/proof`: the token that paid for a version, the key that made it, and the way
/// through the audit log from its entry to the next signed head. Tokens in it are spent.
pub(super) async fn proof(
    State(app): State<Arc<App>>,
    Path((name, version)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    may_read(&app, &headers).await?;
    blocking(move || {
        let none = || Failure::NotFound(format!("there is no proof of {name} {version} here"));
        let record = app.store.published(Some((&name, &version)))?.pop().ok_or_else(none)?;
        let key = app.store.key(record.key)?.ok_or_else(none)?;
        Ok::<_, Failure>(json(&json!({
            "version": 1,
            "index": app.rules.url,
            "name": record.name,
            "vers": record.version,
            "cksum": record.checksum.to_string(),
            "token": record.token,
            "public": key.public.to_string(),
            "role": key.role.as_str(),
            "attestation": null,
            "audit": way(&app, &record)?,
        })))
    })
    .await
}

/// `GET /audit/head`: for everybody, so that anybody can keep it.
pub(super) async fn head(State(app): State<Arc<App>>) -> Result<Response, Failure> {
    let head = blocking(move || app.heads.last()).await?.ok_or_else(nothing_here)?;
    Ok(([(header::CONTENT_TYPE, "application/json")], head).into_response())
}

/// From a publish's entry to the next head. Entries go as they are stored, since their hashes are over those bytes.
fn way(app: &App, record: &Record) -> Result<Value, StoreError> {
    let head = app.heads.after(record.seq)?;
    let end = head.as_ref().map_or(record.seq, |(seq, _)| *seq);
    let mut entries = app.store.audit_entries(record.seq, end)?.into_iter();
    Ok(json!({
        "seq": record.seq,
        "entry": entries.next(),
        "path": entries.collect::<Vec<_>>(),
        "head": head.map(|(_, line)| line),
    }))
}

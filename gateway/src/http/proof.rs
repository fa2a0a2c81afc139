//! What lets anybody check a publish later: its proof.

use std::sync::Arc;

use asymmetric_token::KeyId;
use axum::extract::{Path, State};
use axum::http::request::Parts;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::authorization::may_ask;
use super::{App, Failure, blocking, json};
use crate::store::{Given, Record, Store, StoreError};

/// `GET /api/v1/crates/{name}/{version}/proof`: the token that was spent on a version, the key that signed it, and the leaves of the
/// audit log with its intent and its outcome. That they are in the log, the log's tiles and checkpoints show.
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
        let attestation = attestation(&app.store, record.key)?;
        let approvals = app.store.approvals_beside(record.seq)?;
        let approvals =
            approvals.iter().map(|given| approval(&app.store, given)).collect::<Result<Vec<_>, _>>()?;
        let mut proof = json!({
            "version": 2,
            "index": app.rules.url,
            "name": record.name,
            "vers": record.version,
            "cksum": record.checksum.to_string(),
            "token": record.token,
            "public": key.public.to_string(),
            "role": key.role.as_str(),
            "attestation": attestation,
            "log": in_log(&app.store, &record)?,
        });
        if !approvals.is_empty() {
            proof["approvals"] = approvals.into();
        }
        Ok::<_, Failure>(json(&proof))
    })
    .await
}

/// Another person's token for the same file, with its key, and the leaf that has it.
fn approval(store: &Store, given: &Given) -> Result<Value, StoreError> {
    let key = store.key(given.key)?;
    let key = key.ok_or_else(|| StoreError::Damaged(format!("the key {} of an approval", given.key)))?;
    let seq = u64::try_from(given.seq).unwrap_or_default();
    Ok(json!({
        "token": given.token,
        "public": key.public.to_string(),
        "role": key.role.as_str(),
        "attestation": attestation(store, given.key)?,
        "log": leaf(store, seq)?,
    }))
}

fn attestation(store: &Store, key: KeyId) -> Result<Option<Vec<String>>, StoreError> {
    let chain = store.attestation(key)?;
    Ok(chain.map(|chain| chain.iter().map(|der| STANDARD.encode(der)).collect()))
}

/// The leaves are sent as they are stored, because their hashes are over those bytes.
fn in_log(store: &Store, record: &Record) -> Result<Value, StoreError> {
    let Some(mut log) = leaf(store, record.seq)? else { return Ok(Value::Null) };
    log["outcome"] = leaf(store, record.outcome)?.into();
    Ok(log)
}

fn leaf(store: &Store, seq: u64) -> Result<Option<Value>, StoreError> {
    let leaf = store.audit_entries(seq, seq)?.pop();
    Ok(leaf.map(|leaf| json!({ "index": seq.saturating_sub(1), "leaf": leaf })))
}

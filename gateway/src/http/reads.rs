//! Index, downloads, search, and the page that cargo shows the address of.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio_util::io::ReaderStream;

use super::authorization::may_read;
use super::{App, Failure, blocking, json};
use crate::index;

/// `GET /index/config.json`.
pub(super) async fn config(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Failure> {
    may_read(&app, &headers).await?;
    let mut config = json!({
        "dl": format!("{}/api/v1/crates", app.base_url),
        "api": app.base_url,
        "asymmetric": { "window": app.rules.window.as_secs() },
    });
    if !app.open {
        config["auth-required"] = true.into();
    }
    Ok(json(&config))
}

/// `GET /index/…`: one crate's file, or 304 if the client has it.
pub(super) async fn index(
    State(app): State<Arc<App>>,
    Path(path): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    may_read(&app, &headers).await?;
    let nothing = || Failure::NotFound("nothing here".to_owned());
    let name = path.rsplit('/').next().unwrap_or_default().to_owned();
    if index::path(&name) != path {
        return Err(nothing());
    }
    let file = blocking(move || app.store.index_file(&name)).await?.ok_or_else(nothing)?;
    let tag = entity_tag(&file.lines);
    let modified = http_date(file.changed);
    if client_has_it(&headers, &tag, &modified) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    let mut response =
        ([(header::CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()), (header::ETAG, tag)], file.lines)
            .into_response();
    // A date counts whole seconds: within the second of a change there could be another one.
    if file.changed < Timestamp::now().as_second()
        && let Ok(modified) = modified.try_into()
    {
        response.headers_mut().insert(header::LAST_MODIFIED, modified);
    }
    Ok(response)
}

/// `GET /api/v1/crates/{name}/{version}/download`.
pub(super) async fn download(
    State(app): State<Arc<App>>,
    Path((name, version)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    may_read(&app, &headers).await?;
    let asked = format!("no {name} {version} here");
    let path =
        blocking(move || app.store.published_file(&name, &version)).await?.ok_or(Failure::NotFound(asked))?;
    let file = tokio::fs::File::open(path).await.map_err(Failure::internal)?;
    let length = file.metadata().await.map_err(Failure::internal)?.len();
    let headers =
        [(header::CONTENT_TYPE, "application/gzip".to_owned()), (header::CONTENT_LENGTH, length.to_string())];
    Ok((headers, Body::from_stream(ReaderStream::new(file))).into_response())
}

/// What `cargo search` asks.
#[derive(Debug, Deserialize)]
pub(super) struct Search {
    #[serde(default)]
    q: String,
    per_page: Option<u32>,
}

/// `GET /api/v1/crates?q=…&per_page=…`; at most 100 are given.
pub(super) async fn search(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    query: Result<Query<Search>, QueryRejection>,
) -> Result<Response, Failure> {
    may_read(&app, &headers).await?;
    let Query(Search { q, per_page }) =
        query.map_err(|_| Failure::BadRequest("a search has `q` and `per_page`, a number"))?;
    let limit = per_page.unwrap_or(10).min(100);
    let (found, total) = blocking(move || app.store.search(&q, limit)).await?;
    let crates: Vec<_> = found
        .into_iter()
        .map(|found| {
            json!({
                "name": found.name,
                "max_version": found.max_version.to_string(),
                "description": found.description,
            })
        })
        .collect();
    Ok(json(&json!({ "crates": crates, "meta": { "total": total } })))
}

/// `GET /me`: where cargo sends people who have no credential.
pub(super) async fn me(State(app): State<Arc<App>>) -> Response {
    let text = format!(
        "This registry takes asymmetric tokens (RFC 3231). Cargo makes them with a credential provider and a key\n\
         that is enrolled here; there is no token to copy.\n\n\
         1. yk-cargo enroll {}\n\
         2. Send the `registry-gateway key add …` line it prints to whoever runs this registry.\n",
        app.rules.url
    );
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

fn entity_tag(text: &str) -> String {
    let hash = Sha256::digest(text);
    let hex: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hex}\"")
}

/// RFC 9110, 13.2.2: with If-None-Match, If-Modified-Since does not count. A date is compared as the text that was
/// sent out.
fn client_has_it(headers: &HeaderMap, tag: &str, modified: &str) -> bool {
    match headers.get(header::IF_NONE_MATCH) {
        Some(tags) => tags.to_str().is_ok_and(|tags| {
            tags.split(',')
                .map(|tag| tag.trim().trim_start_matches("W/"))
                .any(|known| known == tag || known == "*")
        }),
        None => headers.get(header::IF_MODIFIED_SINCE).is_some_and(|date| date == modified),
    }
}

fn http_date(second: i64) -> String {
    let time = Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH);
    rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&time).unwrap_or_default()
}

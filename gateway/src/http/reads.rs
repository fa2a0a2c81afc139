//! Index, downloads, search, and the login page whose address cargo shows.

use std::sync::Arc;

use asymmetric_token::CrateName;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::request::Parts;
use axum::http::{Method, header};
use axum::response::{IntoResponse as _, Response};
use semver::Version;
use serde_json::json;

use super::authorization::{may_ask, may_read};
use super::{App, Failure, json, staging};
use crate::challenge::Challenges;
use crate::config::Reads;
use crate::index;
use crate::upstream::Search;

const CONFIG: &str = "config.json";

/// The path within the index that a request asks for, if an index could have it.
pub(super) fn index_path<'a>(app: &App, request: &'a Parts) -> Option<&'a str> {
    let path = request.uri.path().strip_prefix(app.index_path.as_str())?;
    let could_be = path == CONFIG || index::is_path(path);
    let reads = request.method == Method::GET || request.method == Method::HEAD;
    (could_be && reads).then_some(path)
}

/// Answers with a file of the index.
pub(super) async fn index_file(app: &Arc<App>, path: &str, request: &Parts) -> Result<Response, Failure> {
    if path == CONFIG {
        if app.reads != Reads::Bypass && staging::stager(app, request).await?.is_none() {
            may_read(app, request).await?;
        }
        return Ok(json(&config(app)));
    }
    if app.reads != Reads::Bypass
        && let Some(stager) = staging::stager(app, request).await?
    {
        return staging::index_file(app, &stager, path, request).await;
    }
    let reader = may_read(app, request).await?;
    Ok(app.upstream.index_file(reader.as_ref(), path, &request.headers).await?)
}

/// The answer to a request that has no route.
pub(super) async fn nothing() -> Failure {
    Failure::nothing_here()
}

/// `config.json`, which the gateway always makes itself.
fn config(app: &App) -> serde_json::Value {
    let mut config = json!({
        "dl": app.dl,
        "api": app.base_url,
        "asymmetric": { "window": app.rules.window.as_secs() },
    });
    if app.rules.challenges != Challenges::Off {
        config["asymmetric"]["challenges"] = app.rules.challenges.as_str().into();
    }
    if app.reads == Reads::Token {
        config["auth-required"] = true.into();
    }
    config
}

/// `GET /api/v1/crates/{name}/{version}/download`.
pub(super) async fn download(
    State(app): State<Arc<App>>,
    Path((name, version)): Path<(String, String)>,
    request: Parts,
) -> Result<Response, Failure> {
    let stager = if app.reads == Reads::Bypass { None } else { staging::stager(&app, &request).await? };
    let reader = match &stager {
        Some(stager) => Some(staging::reader(&app, stager).await?),
        None => may_read(&app, &request).await?,
    };
    let none = || Failure::NotFound(format!("no {name} {version} here"));
    let name: CrateName = name.parse().map_err(|_| none())?;
    let version = Version::parse(&version).map_err(|_| none())?;
    if let Some(stager) = &stager {
        staging::must_be_published(&app, stager, name.as_str(), &version).await?;
    }
    Ok(app.upstream.download(reader.as_ref(), &name, &version).await?)
}

/// `GET /api/v1/crates?q=…&per_page=…`. At most 100 crates are returned.
pub(super) async fn search(
    State(app): State<Arc<App>>,
    request: Parts,
    query: Result<Query<Search>, QueryRejection>,
) -> Result<Response, Failure> {
    let reader = may_ask(&app, &request).await?;
    let Query(search) =
        query.map_err(|_| Failure::BadRequest("a search takes `q` and the number `per_page`"))?;
    Ok(app.upstream.search(reader.as_ref(), &search).await?)
}

/// `GET /me`: the page to which cargo sends people without a credential.
pub(super) async fn me(State(app): State<Arc<App>>) -> Response {
    let text = format!(
        "This registry takes asymmetric tokens (RFC 3231). Cargo makes them with a credential provider and a key\n\
         that is enrolled here; there is no token to copy.\n\n\
         With an invite of whoever runs this registry:  yk-cargo enroll {index} --invite\n\
         Without one:                                   yk-cargo enroll {index}\n\
         and send them the `registry-gateway key add …` line that it prints.\n",
        index = app.rules.url
    );
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

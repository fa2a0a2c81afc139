//! Staging tokens for machines: what crates.io has under these paths, where `rust-lang/crates-io-auth-action` asks for one in a job and
//! revokes it after that.

use std::sync::Arc;

use asymmetric_token::MAX_TOKEN_BYTES;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::{Map, json};

use super::authorization::{client, verified};
use super::body::RequestBody;
use super::{App, Failure, blocking};
use crate::policy::{self, Operation, Refusal};
use crate::publishers::{
    BadIdentityToken, Holder, IdentityError, IdentityToken, Publisher, StagingToken, Unverified,
};
use crate::store::Exchange;

/// The longest request, in bytes: an identity token, and what JSON adds to it.
const MAX_REQUEST_BYTES: u64 = 20 << 10;
/// How an asymmetric token begins, which no identity token does.
const ASYMMETRIC: &str = "v3.public.";

/// What is exchanged, under the name that crates.io has for it.
#[derive(Deserialize)]
struct Wire {
    jwt: String,
}

/// `POST /api/v1/trusted_publishing/tokens`: a staging token for a job's identity token, or for a read token of a machine's key.
pub(super) async fn exchange(State(app): State<Arc<App>>, request: Request) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    let mut body = RequestBody::of_a_stranger(&app, &parts, body);
    let body = body.whole("a request for a staging token", MAX_REQUEST_BYTES).await?;
    let Ok(Wire { jwt }) = serde_json::from_slice(&body) else {
        return Err(Failure::BadRequest(
            "send {\"jwt\": \"…\"} with an identity token, or with a token of a `stage` key",
        ));
    };
    // A database that does not answer keeps no thread waiting.
    app.store.revision().await?;
    let exchange = if jwt.starts_with(ASYMMETRIC) {
        of_key(&app, jwt, &parts).await?
    } else {
        of_publisher(&app, jwt, &parts).await?
    };
    let (token, expires) = blocking(move || {
        let now = app.store.now();
        let (token, expires) = app.store.issue_staging_token(&exchange, now)?;
        let identity = serde_json::Value::Object(exchange.identity);
        tracing::info!(stager = %exchange.holder, %identity, until = %expires, "a staging token was issued");
        Ok::<_, Failure>((token, expires))
    })
    .await?;
    let answer = json!({ "token": token.as_str(), "expires": format!("{expires:.0}") });
    let fields = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    Ok((fields, answer.to_string()).into_response())
}

/// `DELETE /api/v1/trusted_publishing/tokens`: revokes the staging token that comes with the request.
pub(super) async fn revoke(State(app): State<Arc<App>>, request: Parts) -> Result<Response, Failure> {
    let token = bearer(&request.headers).and_then(StagingToken::parse).ok_or(Refusal::StagingToken)?;
    app.limits.count(client(&request)?.0, None)?;
    app.store.revision().await?;
    let hash = token.hash();
    let is_known = blocking(move || app.store.revoke_staging_token(hash, app.store.now())).await?;
    if is_known { Ok(StatusCode::NO_CONTENT.into_response()) } else { Err(Refusal::StagingToken.into()) }
}

/// With a scheme here, as crates.io has it, and alone everywhere else, as cargo sends it.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

/// A read token of a key with the role `stage`. It is used once.
async fn of_key(app: &Arc<App>, token: String, request: &Parts) -> Result<Exchange, Failure> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(Refusal::Syntax(asymmetric_token::Error::TooLong { bytes: token.len() }).into());
    }
    let (app, client) = (app.clone(), client(request)?);
    blocking(move || {
        let (verified, key) = verified(&app, &token, client, &Operation::Exchange, app.store.now())?;
        let (id, issued) = (key.id(), verified.claims.issued_at);
        let identity = [("key", id.to_string()), ("user", key.user.to_string())];
        Ok::<_, Failure>(Exchange {
            holder: Holder::Key(id),
            identity: identity.into_iter().map(|(name, text)| (name.to_owned(), text.into())).collect(),
            // By what it says, as for mutation tokens: (r, n − s) is another signature for the same.
            single_use_key: json!([id.to_string(), "stage", issued.as_nanosecond().to_string()]).to_string(),
            kept_until: policy::kept_until(&verified.claims),
            kind: "read",
        })
    })
    .await
}

/// An identity token of an issuer that a publisher has. Nothing is asked of any other one.
async fn of_publisher(app: &Arc<App>, token: String, request: &Parts) -> Result<Exchange, Failure> {
    app.limits.count(client(request)?.0, None)?;
    let publishers = app.store.asked(|store| store.publishers()).await?;
    let unverified = Unverified::parse(&token)?;
    let (issuer, audience) = (unverified.issuer.clone(), unverified.audience.clone());
    let is_its = |publisher: &Publisher| publisher.removed.is_none() && publisher.settings.issuer == issuer;
    let publishers: Vec<_> = publishers.into_iter().filter(is_its).collect();
    if publishers.is_empty() {
        return Err(Refusal::NoPublisher.into());
    }
    let key = app.issuers.key(&issuer, &unverified.key_id).await?;
    app.metrics.verification();
    let token = unverified.verify(&key, app.store.now())?;
    let ours = audience_of(&app.base_url);
    let wanted =
        |publisher: &Publisher| publisher.settings.audience.clone().unwrap_or_else(|| ours.to_owned());
    let (for_us, others): (Vec<_>, Vec<_>) =
        publishers.into_iter().partition(|publisher| wanted(publisher) == audience);
    if for_us.is_empty() {
        let wanted = others.first().map(wanted).unwrap_or_default();
        return Err(IdentityError::Audience { token: audience, wanted }.into());
    }
    let publisher = the_one(&for_us, &token)?;
    let mut identity = Map::from_iter([
        ("publisher".to_owned(), publisher.name.as_str().into()),
        ("issuer".to_owned(), issuer.as_str().into()),
    ]);
    identity.extend(publisher.settings.identity.shown(&token.claims, &issuer));
    Ok(Exchange {
        holder: Holder::Publisher(publisher.name.clone()),
        identity,
        single_use_key: token.single_use_key,
        kept_until: token.kept_until,
        kind: "identity",
    })
}

/// The registry's address as crates.io has it as an audience: without a scheme, with port.
fn audience_of(base_url: &str) -> &str {
    base_url.split_once("://").map_or(base_url, |(_, rest)| rest)
}

/// The publisher whose identity this is. Whoever is not of a publisher's repository is not told what would fit.
fn the_one<'a>(publishers: &'a [Publisher], token: &IdentityToken) -> Result<&'a Publisher, Failure> {
    let mut mismatches = Vec::new();
    let mut fitting = Vec::new();
    for publisher in publishers {
        let Publisher { settings, .. } = publisher;
        match settings.identity.check(&token.claims, &settings.issuer) {
            Ok(()) => fitting.push(publisher),
            Err(mismatch) if settings.identity.is_of_the_repository(&token.claims) => {
                mismatches.push((publisher, mismatch));
            }
            Err(_) => {}
        }
    }
    match (&fitting[..], mismatches.into_iter().next()) {
        ([one], _) => Ok(one),
        ([one, other, ..], _) => {
            Err(IdentityError::Several { one: one.name.to_string(), other: other.name.to_string() }.into())
        }
        ([], Some((publisher, mismatch))) => {
            Err(IdentityError::Mismatch { publisher: publisher.name.to_string(), mismatch }.into())
        }
        ([], None) => Err(Refusal::NoPublisher.into()),
    }
}

impl From<BadIdentityToken> for Failure {
    fn from(error: BadIdentityToken) -> Self {
        Self::Identity(error.into())
    }
}

//! Enrollment of keys by their owners.

use std::sync::Arc;

use asymmetric_token::KeyId;
use axum::extract::{Path, Request as HttpRequest, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use serde_json::json;

use super::authorization::{client, who_asks};
use super::body::RequestBody;
use super::{App, Failure, blocking, json};
use crate::attestation::Outcome;
use crate::challenge::ENROLLMENT_VALIDITY;
use crate::enrollment::{self, Credential, EnrollmentError, MAX_REQUEST_BYTES, Request, RequestedKey};
use crate::keys::Role;
use crate::policy::{self, Refusal};
use crate::store::{Enrolled, Enrolling, ProvenKey, Right, StoreError};

/// `GET /api/v1/enroll`: a nonce, and what is required of keys. Anybody may ask.
pub(super) async fn terms(State(app): State<Arc<App>>) -> Result<Response, Failure> {
    let now = app.store.now();
    let nonce =
        app.enrollment_issuer.issue_random(now).ok_or_else(|| Failure::internal(StoreError::Random))?;
    Ok(json(&json!({
        "version": 1,
        "index": app.rules.url,
        "nonce": nonce,
        "expires": now.as_second() + ENROLLMENT_VALIDITY.as_secs() as i64,
        "attestation": app.attestation.mode.as_str(),
        "min-firmware": app.attestation.minimum_firmware.map(|firmware| firmware.to_string()),
        "window": app.rules.window.as_secs(),
        "challenges": app.rules.challenges.as_str(),
    })))
}

/// `GET /api/v1/keys/{id}`: whether a key of the user who asks may sign changes now, and if not, why. Without it a key that an
/// administrator has forgotten or revoked is found out by a change alone, which costs the person PIN and touch.
pub(super) async fn key(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    parts: Parts,
) -> Result<Response, Failure> {
    let user = who_asks(&app, &parts).await?.user;
    let id: KeyId = id.parse().map_err(|_| Failure::nothing_here())?;
    let key = app.store.asked(move |store| store.key(id)).await?;
    let refusal = match key.filter(|key| key.user == user) {
        None => Some(Refusal::UnknownKey(id.to_string())),
        Some(key) => policy::may_change(&key, app.store.now()).err(),
    };
    let refusal = refusal.map(|refusal| refusal.to_string());
    Ok(json(&json!({ "version": 1, "key": id.to_string(), "refusal": refusal })))
}

/// `POST /api/v1/enroll`: enrolls keys, by an invite or an endorsement; or says whether an invite is good, if no keys come
/// with it.
pub(super) async fn enroll(State(app): State<Arc<App>>, request: HttpRequest) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    app.limits.count(client(&parts)?.0, None)?;
    let mut body = RequestBody::of_a_stranger(&app, &parts, body);
    let body = body.whole("an enrollment", MAX_REQUEST_BYTES).await?;
    app.store.revision().await?;
    blocking(move || enroll_keys(&app, &body, app.store.now())).await
}

/// The cheap checks come first: no signature is verified for somebody without an invite or an enrolled key.
fn enroll_keys(app: &App, body: &[u8], now: Timestamp) -> Result<Response, Failure> {
    let request = Request::parse(body).map_err(EnrollmentError::from)?;
    let kept_until =
        app.enrollment_issuer.check(&request.nonce, now).map_err(|_| EnrollmentError::Nonce { now })?;
    if let (Credential::Invite(code), []) = (&request.credential, &request.keys[..]) {
        let user = app.store.invited(&code.hash(), now)?;
        return Ok(json(&json!({ "version": 1, "user": user.as_str() })));
    }
    let right = right(app, &request, now)?;
    enrollment::prove(&request, &app.rules, now)?;
    let outcomes = judge(app, &request.keys, now)?;
    let keys = request.keys.iter().zip(&outcomes).map(|(key, outcome)| {
        let attestation = key.attestation.clone().filter(|_| *outcome != Outcome::Nothing);
        ProvenKey { public: key.public, role: key.role, attestation }
    });
    let enrolled = app.store.enroll(&Enrolling {
        right,
        nonce: (request.nonce.clone(), kept_until),
        label: request.label.clone(),
        keys: keys.collect(),
        now,
    })?;
    let ids: Vec<_> = request.key_ids().iter().map(ToString::to_string).collect();
    tracing::info!(user = %enrolled.user, keys = ?ids, again = enrolled.again, "enrolled");
    let answer = json!({
        "version": 1,
        "user": enrolled.user.as_str(),
        "keys": ids,
        "text": text(app, &enrolled, &request.keys, &outcomes),
    });
    Ok((StatusCode::CREATED, json(&answer)).into_response())
}

fn right(app: &App, request: &Request, now: Timestamp) -> Result<Right, Failure> {
    match &request.credential {
        Credential::Invite(code) => {
            let hash = code.hash();
            if app.store.knows_invite(&hash)? {
                Ok(Right::Invite(hash))
            } else {
                Err(EnrollmentError::UnknownInvite.into())
            }
        }
        Credential::Endorsement(token) => {
            let id = enrollment::endorser(token)?;
            let unknown = || EnrollmentError::Endorser(Refusal::UnknownKey(id.to_string()));
            let key = app.store.key(id)?.ok_or_else(unknown)?;
            enrollment::endorse(request, token, (&key.public, key.role), &app.rules, now)?;
            Ok(Right::Endorsement(id))
        }
    }
}

fn judge(app: &App, keys: &[RequestedKey], now: Timestamp) -> Result<Vec<Outcome>, EnrollmentError> {
    let judged = keys.iter().map(|key| {
        app.attestation
            .judge(key.attestation.as_deref(), &key.public, key.role, now)
            .map_err(|reason| EnrollmentError::Attestation { role: key.role, reason })
    });
    judged.collect()
}

/// What the person is told, one line for each key.
fn text(app: &App, enrolled: &Enrolled, keys: &[RequestedKey], outcomes: &[Outcome]) -> String {
    let user = &enrolled.user;
    let mut lines = vec![match enrolled.again {
        false => format!("enrolled for {user} at {}", app.rules.url),
        true => format!("already enrolled for {user} at {}", app.rules.url),
    }];
    for (key, outcome) in keys.iter().zip(outcomes) {
        let may = match key.role {
            Role::Read => "may read",
            Role::Publish => "may publish",
            Role::Both => "may read and publish",
            Role::Stage => "may stage",
        };
        let attested = match outcome {
            Outcome::Nothing => String::new(),
            Outcome::Attested(statement) => format!("; made on {statement}"),
            Outcome::Doubtful(reason) => format!("; its attestation is kept, but {reason}"),
        };
        lines.push(format!("{} {may}{attested}", key.public.id()));
    }
    lines.join("\n")
}

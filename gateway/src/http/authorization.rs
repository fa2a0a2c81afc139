//! From the `Authorization` header to a verified token that allows the request.
//!
//! The order is: token syntax, key id, signature, then what [`policy::decide`] asks. For a mutation, single use and what
//! the registry behind would refuse are asked before the body is read; both are asked again when it counts.

use std::sync::Arc;

use asymmetric_token::{Error as TokenError, MAX_TOKEN_BYTES, Untrusted, Verified};
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};
use axum::http::{HeaderMap, header};
use jiff::Timestamp;

use super::reads::nothing_here;
use super::{App, Failure, blocking};
use crate::config::Reads;
use crate::keys::{Key, User};
use crate::policy::{self, Operation, Refusal};
use crate::store::Signed;

/// A token that allows the request it came with. Not printable: it is not used up yet.
pub(super) struct Permit {
    pub(super) verified: Verified,
    pub(super) key: Key,
    signed: Option<Signed>,
}

impl Permit {
    /// What is spent on a mutation. A permit for a mutation always has it.
    pub(super) fn signed(&self) -> Result<Signed, Refusal> {
        self.signed.clone().ok_or(Refusal::Kind { token: "read", request: "change anything" })
    }
}

/// Who reads: nobody by name on an open registry, where a token is not even looked at.
pub(super) async fn may_read(app: &Arc<App>, headers: &HeaderMap) -> Result<Option<User>, Failure> {
    match app.reads {
        Reads::Token => {}
        Reads::Open => return Ok(None),
        Reads::Bypass => return Err(nothing_here()),
    }
    Ok(Some(authorize(app, headers, Operation::Read).await?.key.user))
}

/// Verifies the request's token and decides whether it allows the operation now.
pub(super) async fn authorize(
    app: &Arc<App>,
    headers: &HeaderMap,
    operation: Operation,
) -> Result<Permit, Failure> {
    let token = bare_token(headers)?.to_owned();
    let permit = {
        let app = app.clone();
        blocking(move || permit(&app, token, &operation, Timestamp::now())).await?
    };
    if let Some(signed) = &permit.signed {
        app.upstream.refuses(&permit.key.user, &signed.mutation).await?;
    }
    Ok(permit)
}

fn permit(app: &App, token: String, operation: &Operation, now: Timestamp) -> Result<Permit, Failure> {
    let untrusted = Untrusted::parse(&token).map_err(Refusal::Syntax)?;
    let id = untrusted.footer().key_id;
    let key = app.store.key(id)?.ok_or_else(|| Refusal::UnknownKey(id.to_string()))?;
    let verified = untrusted.verify_with(&key.public, is_signed).map_err(|error| match error {
        TokenError::BadSignature => Refusal::Signature,
        other => Refusal::Syntax(other),
    })?;
    policy::decide(&verified, &key, &app.rules, operation, now)?;
    let signed = match (&verified.claims.mutation, policy::single_use_key(&verified, operation)) {
        (Some(mutation), Some(single_use_key)) => {
            if app.store.is_spent(&single_use_key)? {
                return Err(Refusal::Replayed(mutation.kind()).into());
            }
            let kept_until = policy::kept_until(&verified.claims);
            Some(Signed { token, key: id, mutation: mutation.clone(), single_use_key, kept_until, now })
        }
        _ => None,
    };
    Ok(Permit { verified, key, signed })
}

fn is_signed(public: &[u8; 49], message: &[u8], signature: &[u8; 96]) -> bool {
    UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, public).verify(message, signature).is_ok()
}

/// Cargo sends the token alone. `Bearer …` is another credential, and two headers are two readings.
fn bare_token(headers: &HeaderMap) -> Result<&str, Refusal> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or(Refusal::NoToken)?;
    if values.next().is_some() {
        return Err(Refusal::Scheme);
    }
    if value.len() > MAX_TOKEN_BYTES {
        return Err(Refusal::Syntax(TokenError::TooLong { bytes: value.len() }));
    }
    let token = value.to_str().map_err(|_| Refusal::Scheme)?;
    if token.contains(' ') { Err(Refusal::Scheme) } else { Ok(token) }
}

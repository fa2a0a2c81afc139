//! What a key signs to be enrolled at a registry: its role, and the ids of all keys that are enrolled with it.
//!
//! It is a token with `mutation` = `enroll`. It is only read as an [`Enrollment`] and never as
//! [`Claims`](crate::Claims), so that neither can be taken for the other by mistake.
//!
//! ```json
//! {"iat":"…","mutation":"enroll","challenge":"…","custom":{"role":"publish","keys":["k3.pid.…","k3.pid.…"]}}
//! ```
//!
//! Every key of a request signs the ids of all of them, so a proof from one request is worth nothing in another.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::error::Error;
use crate::object::Object;
use crate::paserk::KeyId;
use crate::payload::{is_printable, issued_at_text, take_issued_at, take_printable};
use crate::role::Role;

/// The word in the `mutation` claim.
pub const KIND: &str = "enroll";

/// The most keys that are enrolled at once.
pub const MAX_KEYS: usize = 4;

/// The consent of a key to be enrolled, or of an enrolled key to have others enrolled for the same user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrollment {
    /// `iat`.
    pub issued_at: Timestamp,
    /// The registry's nonce.
    pub challenge: String,
    /// What the signing key may sign.
    pub role: Role,
    /// The 1 to 4 keys of the request in any order. They are written in the order of their texts.
    pub keys: Vec<KeyId>,
}

impl Enrollment {
    pub(crate) fn to_json(&self) -> Result<String, Error> {
        is_printable("challenge", Some(&self.challenge))?;
        if !(1..=MAX_KEYS).contains(&self.keys.len()) {
            return Err(Error::EnrollmentKeys);
        }
        let payload = json!({
            "iat": issued_at_text(&self.issued_at),
            "mutation": KIND,
            "challenge": self.challenge,
            "custom": { "role": self.role.as_str(), "keys": sorted(&self.keys) },
        });
        Ok(payload.to_string())
    }

    pub(crate) fn of(mut payload: Object) -> Result<Self, Error> {
        if payload.take("mutation") != Some(KIND.into()) {
            return Err(Error::NotEnrollment);
        }
        let issued_at = take_issued_at(&mut payload)?;
        let challenge = take_printable(&mut payload, "challenge")?.ok_or(Error::Missing("challenge"))?;
        let mut custom = payload.object("custom")?.ok_or(Error::Missing("custom"))?;
        let role = custom.required("role")?.parse()?;
        let keys = match custom.take("keys") {
            Some(Value::Array(keys)) if (1..=MAX_KEYS).contains(&keys.len()) => keys,
            _ => return Err(Error::EnrollmentKeys),
        };
        let texts = keys.iter().map(|key| key.as_str().ok_or(Error::EnrollmentKeys));
        let texts = texts.collect::<Result<Vec<_>, _>>()?;
        if !texts.is_sorted_by(|a, b| a < b) {
            return Err(Error::EnrollmentKeys);
        }
        payload.is_empty()?;
        custom.is_empty()?;
        let keys = texts.into_iter().map(str::parse).collect::<Result<_, _>>()?;
        Ok(Self { issued_at, challenge, role, keys })
    }
}

/// The texts of key ids, sorted. That is not the order of the ids' bytes.
#[must_use]
pub fn sorted(keys: &[KeyId]) -> Vec<String> {
    let mut texts: Vec<_> = keys.iter().map(KeyId::to_string).collect();
    texts.sort_unstable();
    texts
}

//! What a key signs to be enrolled at a registry: that it is there, for which role, and in which company.
//!
//! It is a token like the others, with `mutation` = `enroll`, and yet none of them: it reads as an [`Enrollment`] only, so
//! that no route which takes [`Claims`](crate::Claims) can take one by mistake, nor the other way round.
//!
//! ```json
//! {"iat":"…","mutation":"enroll","challenge":"…","custom":{"role":"publish","keys":["k3.pid.…","k3.pid.…"]}}
//! ```
//!
//! Every key of a request signs the ids of all of them: a proof taken from one request is worth nothing in another.

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

/// A key's consent to be enrolled, or an enrolled key's to have others enrolled beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrollment {
    /// `iat`.
    pub issued_at: Timestamp,
    /// The registry's nonce.
    pub challenge: String,
    /// What the signing key may sign.
    pub role: Role,
    /// All keys of the request, 1 to 4. In any order; they are written in the order of their texts.
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

/// The texts of key ids in their order, which is not that of the bytes behind them.
#[must_use]
pub fn sorted(keys: &[KeyId]) -> Vec<String> {
    let mut texts: Vec<_> = keys.iter().map(KeyId::to_string).collect();
    texts.sort_unstable();
    texts
}

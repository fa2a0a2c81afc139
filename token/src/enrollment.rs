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
use jiff::fmt::temporal::DateTimePrinter;
use serde_json::{Map, Value, json};

use crate::claims::{Wire, printable};
use crate::{Error, KeyId, Part};

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
    /// What the signing key may sign: `read`, `publish` or `both`.
    pub role: String,
    /// All keys of the request, 1 to 4. In any order; they are written in the order of their texts.
    pub keys: Vec<KeyId>,
}

impl Enrollment {
    pub(crate) fn to_json(&self) -> Result<String, Error> {
        printable("challenge", Some(&self.challenge))?;
        if !(1..=MAX_KEYS).contains(&self.keys.len()) {
            return Err(Error::EnrollmentKeys);
        }
        let payload = json!({
            "iat": DateTimePrinter::new().precision(Some(6)).timestamp_to_string(&self.issued_at),
            "mutation": KIND,
            "challenge": self.challenge,
            "custom": { "role": self.role, "keys": sorted(&self.keys) },
        });
        Ok(payload.to_string())
    }

    pub(crate) fn from_json(object: Map<String, Value>) -> Result<Self, Error> {
        if object.get("mutation").and_then(Value::as_str) != Some(KIND) {
            return Err(Error::NotEnrollment);
        }
        let mut wire = Wire(object);
        wire.0.remove("mutation");
        wire.version()?;
        let issued_at = wire.issued_at()?;
        let challenge = wire.required("challenge")?;
        printable("challenge", Some(&challenge))?;
        let mut custom = match wire.0.remove("custom") {
            Some(Value::Object(custom)) => Wire(custom),
            Some(_) => return Err(Error::WrongType("custom")),
            None => return Err(Error::Missing("custom")),
        };
        let role = custom.required("role")?;
        let keys = match custom.0.remove("keys") {
            Some(Value::Array(keys)) if (1..=MAX_KEYS).contains(&keys.len()) => keys,
            _ => return Err(Error::EnrollmentKeys),
        };
        let texts = keys.iter().map(|key| key.as_str().ok_or(Error::EnrollmentKeys));
        let texts = texts.collect::<Result<Vec<_>, _>>()?;
        if !texts.is_sorted_by(|a, b| a < b) {
            return Err(Error::EnrollmentKeys);
        }
        if let Some(name) = wire.0.into_iter().chain(custom.0).next().map(|(name, _)| name) {
            return Err(Error::UnknownName { part: Part::Payload, name });
        }
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

//! Canonical JSON. A value has one spelling, so that a hash of the bytes is a hash of what they say.
//!
//! As RFC 8785 has it, without fractions: UTF-8; no blanks; names sorted by their bytes (here they are ASCII, where all
//! orders agree); in strings `"`, `\` and the control characters are escaped, in the shortest way (`\n`, otherwise
//! `\u001f`), and nothing else; numbers are integers of at most 2^53 − 1 either side of zero, without sign if they are
//! not negative, without leading zeros, point or exponent.

use serde_json::{Map, Number, Value};

/// The greatest integer that every reader of JSON keeps exactly (RFC 7493, 2.2).
const GREATEST: u64 = (1 << 53) - 1;

/// Writes an object. The strings are as serde_json escapes them, which is the shortest way.
///
/// # Errors
/// [`BadNumber`].
pub fn object(object: &Map<String, Value>) -> Result<String, BadNumber> {
    Ok(Value::Object(sorted(object)?).to_string())
}

/// A number that canonical JSON does not allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the number {0} is not an integer of at most 53 bits")]
pub struct BadNumber(String);

fn sorted(object: &Map<String, Value>) -> Result<Map<String, Value>, BadNumber> {
    let mut fields: Vec<_> = object.iter().collect();
    fields.sort_unstable_by_key(|(name, _)| *name);
    fields.into_iter().map(|(name, value)| Ok((name.clone(), canonical(value)?))).collect()
}

fn canonical(value: &Value) -> Result<Value, BadNumber> {
    Ok(match value {
        Value::Number(number) if !is_plain_integer(number) => return Err(BadNumber(number.to_string())),
        Value::Array(items) => Value::Array(items.iter().map(canonical).collect::<Result<_, _>>()?),
        Value::Object(object) => Value::Object(sorted(object)?),
        plain => plain.clone(),
    })
}

fn is_plain_integer(number: &Number) -> bool {
    let size = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
    size.is_some_and(|size| size <= GREATEST)
}

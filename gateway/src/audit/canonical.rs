//! Canonical JSON. A value has one spelling, so that a hash of the bytes is a hash of what they say.
//!
//! As RFC 8785 has it, without fractions: UTF-8; no blanks; names sorted by their bytes (here they are ASCII, where all
//! orders agree); in strings `"`, `\` and the control characters are escaped, in the shortest way (`\n`, otherwise
//! `\u001f`), and nothing else; numbers are integers of at most 2^53 − 1 either side of zero, without sign if they are
//! not negative, without leading zeros, point or exponent.

use serde_json::{Map, Number, Value};

/// The greatest integer that every reader of JSON keeps exactly (RFC 7493, 2.2).
const GREATEST: u64 = (1 << 53) - 1;

/// Writes an object.
///
/// # Errors
/// [`BadNumber`].
pub fn object(object: &Map<String, Value>) -> Result<String, BadNumber> {
    let mut text = String::new();
    write_object(object, &mut text)?;
    Ok(text)
}

/// A number that canonical JSON does not allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the number {0} is not an integer of at most 53 bits")]
pub struct BadNumber(String);

fn write(value: &Value, text: &mut String) -> Result<(), BadNumber> {
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) if is_plain_integer(number) => text.push_str(&number.to_string()),
        Value::Number(number) => return Err(BadNumber(number.to_string())),
        Value::String(string) => write_string(string, text),
        Value::Array(items) => {
            text.push('[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    text.push(',');
                }
                write(item, text)?;
            }
            text.push(']');
        }
        Value::Object(object) => write_object(object, text)?,
    }
    Ok(())
}

fn write_object(object: &Map<String, Value>, text: &mut String) -> Result<(), BadNumber> {
    let mut fields: Vec<_> = object.iter().collect();
    fields.sort_unstable_by_key(|(name, _)| *name);
    text.push('{');
    for (position, (name, value)) in fields.into_iter().enumerate() {
        if position > 0 {
            text.push(',');
        }
        write_string(name, text);
        text.push(':');
        write(value, text)?;
    }
    text.push('}');
    Ok(())
}

fn is_plain_integer(number: &Number) -> bool {
    let size = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
    size.is_some_and(|size| size <= GREATEST)
}

fn write_string(string: &str, text: &mut String) {
    text.push('"');
    for character in string.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\u{8}' => text.push_str("\\b"),
            '\u{c}' => text.push_str("\\f"),
            '\0'..='\u{1f}' => text.push_str(&format!("\\u{:04x}", u32::from(character))),
            _ => text.push(character),
        }
    }
    text.push('"');
}

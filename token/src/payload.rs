//! What the payloads of claims and of enrollments have in common: a time, an optional version, and texts that the
//! registry chose.

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;

use crate::error::Error;
use crate::object::Object;

/// The text of `iat`: in UTC with six fractional digits.
pub(crate) fn issued_at_text(issued_at: &Timestamp) -> String {
    DateTimePrinter::new().precision(Some(6)).timestamp_to_string(issued_at)
}

/// Takes `iat`, and `v` if it is there.
pub(crate) fn take_issued_at(payload: &mut Object) -> Result<Timestamp, Error> {
    match payload.take("v") {
        Some(version) if version != 1 => return Err(Error::UnknownVersion),
        _ => {}
    }
    rfc3339(&payload.required("iat")?).ok_or(Error::IssuedAt)
}

/// Takes a text that the registry chose.
pub(crate) fn take_printable(payload: &mut Object, claim: &'static str) -> Result<Option<String>, Error> {
    let text = payload.string(claim)?;
    is_printable(claim, text.as_deref())?;
    Ok(text)
}

/// RFC 3231: the subject is "non-whitespace printable ASCII". A challenge has to be the same here.
pub(crate) fn is_printable(claim: &'static str, text: Option<&str>) -> Result<(), Error> {
    match text {
        Some(text) if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Err(Error::NotPrintable(claim))
        }
        _ => Ok(()),
    }
}

/// jiff reads more than RFC 3339 (a date with an offset and no minutes, time-zone annotations, weeks), so the shape
/// is checked first.
fn rfc3339(text: &str) -> Option<Timestamp> {
    let (moment, offset) = match text.strip_suffix('Z') {
        Some(moment) => (moment, "+00:00"),
        None => text.split_at_checked(text.len().checked_sub(6)?)?,
    };
    let (whole, fraction) = moment.split_once('.').unwrap_or((moment, "0"));
    let fits = shaped(whole, "dddd-dd-ddTdd:dd:dd")
        && (1..=9).contains(&fraction.len())
        && fraction.bytes().all(|byte| byte.is_ascii_digit())
        && (shaped(offset, "+dd:dd") || shaped(offset, "-dd:dd"));
    if fits { text.parse().ok() } else { None }
}

/// Whether text has this shape, `d` standing for a decimal digit.
fn shaped(text: &str, shape: &str) -> bool {
    text.len() == shape.len()
        && text.bytes().zip(shape.bytes()).all(|(byte, like)| match like {
            b'd' => byte.is_ascii_digit(),
            _ => byte == like,
        })
}

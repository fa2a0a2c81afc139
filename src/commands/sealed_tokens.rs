//! Sealed tokens and their keys, as `list`, `status` and `doctor` show them. No card is needed.

use std::path::Path;

use jiff::{Timestamp, Unit};
use serde_json::{Value, json};

use crate::card::known::KnownCards;
use crate::enrollment::{Enrollments, SealedToken, SealingKey};
use crate::error::Error;
use crate::sealed_files;
use crate::text::{escape, sentence};

/// The keys that open a token, in the order in which they are tried.
///
/// # Errors
/// The file cannot be used, or is sealed for no key that is known here.
pub(super) fn keys<'a>(
    token: &SealedToken,
    enrollments: &'a Enrollments,
    cargo_home: &Path,
) -> Result<Vec<&'a SealingKey>, Error> {
    let file = sealed_files::load(cargo_home, token)?;
    let keys: Vec<_> = enrollments.sealing_keys.iter().filter(|key| file.is_for(&key.recipient)).collect();
    if keys.is_empty() {
        return Err(Error::SealedForOthers { registry: escape(token.display_name()) });
    }
    Ok(keys)
}

/// Those keys' cards as a person knows them.
pub(super) fn cards_for_display(keys: &[&SealingKey]) -> String {
    KnownCards::sealing(keys.iter().copied()).for_display()
}

/// Whole days since it was sealed; none if the clock went back.
pub(super) fn age_in_days(token: &SealedToken, now: Timestamp) -> i64 {
    now.since((Unit::Hour, token.since)).map_or(0, |span| span.get_hours().into()).max(0) / 24
}

/// `today`, `yesterday`, `12 days ago`
pub(super) fn age(token: &SealedToken, now: Timestamp) -> String {
    match age_in_days(token, now) {
        0 => "today".into(),
        1 => "yesterday".into(),
        days => format!("{days} days ago"),
    }
}

/// Its name, URL, and what opens it.
pub(super) fn text(token: &SealedToken, enrollments: &Enrollments, cargo_home: &Path) -> String {
    let opens = match keys(token, enrollments, cargo_home) {
        Ok(keys) => format!("opens with {}", cards_for_display(&keys)),
        Err(error) => sentence(&error),
    };
    format!(
        "{}  {}\n  bearer token, sealed {}; {opens}",
        escape(token.name.as_deref().unwrap_or("-")),
        escape(&token.index),
        age(token, Timestamp::now())
    )
}

/// What age needs to seal for a key, and to find it.
pub(super) fn key_text(key: &SealingKey) -> String {
    format!(
        "key for sealed tokens  YubiKey {}  {}  firmware {}\n    slot {}  PIN {}, touch {}\n    {}\n    {}",
        key.serial,
        escape(&key.label),
        key.firmware,
        key.slot,
        key.pin,
        key.touch,
        key.recipient,
        key.recipient.identity(key.serial, key.slot)
    )
}

pub(super) fn json(token: &SealedToken, enrollments: &Enrollments, cargo_home: &Path) -> Value {
    let keys = keys(token, enrollments, cargo_home);
    json!({
        "index": token.index,
        "name": token.name,
        "reads": token.reads.as_str(),
        "since": token.since.to_string(),
        "file": sealed_files::path(cargo_home, &token.index).display().to_string(),
        "cards": keys.iter().flatten().map(|key| key.serial.0).collect::<Vec<_>>(),
        "error": keys.as_ref().err().map(|error| sentence(error)),
    })
}

pub(super) fn key_json(key: &SealingKey) -> Value {
    json!({
        "serial": key.serial.0,
        "label": key.label,
        "firmware": key.firmware.to_string(),
        "slot": key.slot.to_string(),
        "pin": key.pin.as_str(),
        "touch": key.touch.as_str(),
        "recipient": key.recipient.to_string(),
        "identity": key.recipient.identity(key.serial, key.slot),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrollment::Reads;

    #[test]
    fn a_day_is_whole() {
        let now: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
        let sealed = |since: &str| {
            age(
                &SealedToken {
                    index: "x:y".parse().unwrap(),
                    name: None,
                    reads: Reads::Open,
                    since: since.parse().unwrap(),
                },
                now,
            )
        };
        assert_eq!(sealed("2026-11-20T13:00:00Z"), "today");
        assert_eq!(sealed("2026-11-19T12:00:01Z"), "today");
        assert_eq!(sealed("2026-11-19T12:00:00Z"), "yesterday");
        assert_eq!(sealed("2025-11-20T12:00:00Z"), "365 days ago");
    }
}

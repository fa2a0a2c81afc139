//! Where the registry's log has a publish, in words.

use serde_json::{Value, json};

use crate::proof::Logged;

/// What is known of an entry's place in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::commands) enum Place {
    /// Nothing, because the log's key is not known.
    KeyUnknown,
    /// The log has the intent, and the outcome that the proof says.
    Shown,
    /// A log proof that was kept shows that the log had the intent.
    KeptProof,
}

/// The size of the smallest tree that has all that a proof says.
pub(in crate::commands) fn end(logged: &Logged) -> u64 {
    last(logged).saturating_add(1)
}

pub(super) fn last(logged: &Logged) -> u64 {
    logged.outcome.map_or(logged.index, |outcome| outcome.index.max(logged.index))
}

/// What the verdict adds; safe to show.
pub(in crate::commands) fn in_words(logged: Option<&Logged>, place: Place) -> String {
    let Some(logged) = logged else { return String::new() };
    let index = logged.index;
    let end = logged.outcome.map_or("no outcome yet", |outcome| outcome.end.as_str());
    match place {
        Place::KeyUnknown => {
            format!("the proof names entry {index} of the log, but the log's key is not in your list")
        }
        Place::Shown => format!("entry {index} of the log ({end})"),
        Place::KeptProof => format!("entry {index} of the log, according to a kept proof ({end})"),
    }
}

/// The same for a program.
pub(in crate::commands) fn json(logged: &Logged, place: Place) -> Value {
    let shown = match place {
        Place::KeyUnknown => "key unknown",
        Place::Shown => "shown",
        Place::KeptProof => "shown by a kept proof",
    };
    json!({ "index": logged.index, "outcome": logged.outcome.map(|outcome| outcome.end.as_str()), "state": shown })
}

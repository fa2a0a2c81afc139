//! Why a registry's log is refused.

use std::path::PathBuf;

use crate::text::{escape, escape_path};

/// Why a log is not the one that is known, or not any more. No message has anything in it that drives a terminal.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "a field's name says what it is")]
pub enum Refused {
    /// Not a checkpoint, or a signature does not hold.
    #[error("the log's checkpoint is refused: {}", escape(&.0.to_string()))]
    Checkpoint(transparency_log::Error),
    /// Of no log of this registry.
    #[error("the checkpoint is that of the log {}", escape(origin))]
    OtherLog { origin: String },
    /// The log was begun anew, or an older one is shown.
    #[error("{}", of_another_generation(*known, *served))]
    OtherGeneration { known: u64, served: u64 },
    /// Not all that are wanted have signed.
    #[error("the log's checkpoint is not signed by {}", escape(&witnesses.join(", ")))]
    NotWitnessed { witnesses: Vec<String> },
    /// It does not continue what was seen.
    #[error("{}: {what}; {}", of_another_tree(*what), evidence(*what, kept_in))]
    Inconsistent {
        what: Inconsistency,
        /// The file with both checkpoints, or why there is none.
        kept_in: Result<PathBuf, String>,
    },
    /// A tile is not of the tree.
    #[error("the log does not show what its checkpoint says: {}", escape(&.0.to_string()))]
    Tiles(transparency_log::Error),
    /// What was kept is none of this log's.
    #[error("{} is no checkpoint of this log ({})", escape_path(file), escape(why))]
    Kept { file: PathBuf, why: String },
    /// What was kept is of this log, by another key than the one that a list names.
    #[error(
        "the keys differ: another key than the one that a list names for the log has signed the checkpoint in {}",
        escape_path(file)
    )]
    OtherKeyKept { file: PathBuf },
    /// An answer that has no end.
    #[error("{}", escape(.0))]
    Endless(String),
    /// The lists contradict each other.
    #[error(transparent)]
    OtherKey(#[from] crate::trust::OtherLogKey),
}

/// How a log differs from what was seen of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Inconsistency {
    /// Fewer entries.
    #[error("it had {kept} entries, and now has {served}")]
    Cut {
        /// The size that was seen.
        kept: u64,
        /// The size that is served.
        served: u64,
    },
    /// As many entries, and other ones.
    #[error("its {size} entries differ from those seen before")]
    Forked {
        /// The size of both.
        size: u64,
    },
    /// More entries, and the first of them are other ones.
    #[error("the first {kept} of its {served} entries are not those seen before")]
    Rewritten {
        /// The size that was seen.
        kept: u64,
        /// The size that is served.
        served: u64,
    },
}

impl Refused {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::OtherGeneration { known, served } if known < served => {
                "ask the registry's administrator why, and which key is theirs; then `yk-cargo audit REGISTRY --remember` accepts it"
            }
            Self::NotWitnessed { .. } => {
                "try again later; if it persists, ask the witnesses and the registry's administrator"
            }
            Self::Kept { .. } => {
                "check the file; if it is damaged, move it away, which loses what it would have shown"
            }
            Self::OtherKeyKept { .. } => {
                "ask the registry's administrator which key is theirs, and find out who put the other one into a list; leave the checkpoint where it is"
            }
            Self::Inconsistent { what: Inconsistency::Cut { .. }, .. } => {
                "do not build from it; try again, and if it persists, ask the registry's administrator"
            }
            Self::Inconsistent { .. } => {
                "do not build from it; show the evidence to the registry's administrator and to its other users"
            }
            _ => "do not build from it; tell the registry's administrator",
        }
    }
}

fn of_another_generation(known: u64, served: u64) -> String {
    if served > known {
        format!(
            "the log was started anew (generation {served}; you know {known}): entries of the earlier one may have been lost"
        )
    } else {
        format!(
            "the registry shows an older log than the one you accepted (generation {served}, not {known})"
        )
    }
}

/// Of fewer entries nobody can tell whether they are those that were there: an honest log that is shown as it was is no contradiction.
fn of_another_tree(what: Inconsistency) -> &'static str {
    match what {
        Inconsistency::Cut { .. } => "the log is older or shorter than the one seen before",
        _ => "the log is not the one that was seen before",
    }
}

fn evidence(what: Inconsistency, kept_in: &Result<PathBuf, String>) -> String {
    match kept_in {
        Ok(file) if matches!(what, Inconsistency::Cut { .. }) => {
            format!("both checkpoints are kept in {}", escape_path(file))
        }
        Ok(file) => format!("both checkpoints are kept as evidence in {}", escape_path(file)),
        Err(why) => format!("the evidence could not be kept: {}", escape(why)),
    }
}

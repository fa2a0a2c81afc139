//! Registries for which only proofs are signed, as `list`, `status` and `doctor` show them, and the proofs that are pending.

use std::path::Path;

use crate::cargo_config::{self, Configuration};
use crate::commands::standing::{Served, Standing};
use crate::enrollment::{Enrollments, Registry};
use crate::error::Error;
use crate::proof::Pending;
use crate::text::{escape, foreign_word};

/// Whether `cargo publish` has a proof signed in this folder.
pub(super) enum Signed {
    /// It has.
    ByPublishing { text: String },
    /// It has not, and what to do.
    ByHand { text: String, next: String },
}

impl Signed {
    /// # Errors
    /// Cargo refuses its configuration.
    pub(super) fn of(
        registry: &Registry,
        enrollments: &Enrollments,
        cargo: &Configuration,
    ) -> Result<Self, cargo_config::Error> {
        let name = escape(registry.display_name());
        let word = foreign_word(registry.display_name());
        let Some(token) = enrollments.sealed(&registry.index) else {
            return Ok(Self::ByHand {
                text: format!("no token of `{name}` is sealed, so `cargo publish` signs no proof"),
                next: format!("yk-cargo seal {word}"),
            });
        };
        Ok(match Served::from(token).standing(enrollments, cargo)? {
            Standing::Asked { text } => Self::ByPublishing {
                text: format!("{text}, and publishing signs a proof (but not with `--token`)"),
            },
            Standing::Doubtful { text, next } | Standing::NotAsked { text, next } => {
                Self::ByHand { text: format!("`cargo publish` may sign no proof: {text}"), next }
            }
        })
    }
}

/// A line for each pending proof, with the command that saves it.
///
/// # Errors
/// They cannot be read.
pub(super) fn pending(cargo_home: &Path, enrollments: &Enrollments) -> Result<Vec<String>, Error> {
    let pending = Pending::in_cargo_home(cargo_home).all()?;
    let mut lines: Vec<_> = pending
        .iter()
        .map(|pending| {
            let proof = &pending.proof;
            let command = match enrollments.registry(&proof.index) {
                Some(registry) => proof.save_command(registry),
                None => "its registry is no longer enrolled".to_owned(),
            };
            format!(
                "the proof of {} {} is pending; after it is published: {command}",
                proof.name, proof.version
            )
        })
        .collect();
    lines.dedup();
    Ok(lines)
}

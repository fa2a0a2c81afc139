//! Changes of the built-in registry. Each is one transaction, with the outcome of its intent.

use jiff::Timestamp;
use tempfile::NamedTempFile;

use super::crates::{CratesError, owner, publishable, unpublished, yankable};
use super::intent::Intent;
use super::ledger::{self, Outcome};
use super::names::fold;
use super::sql::{Sql, values};
use super::{Store, search, staged};
use crate::audit::Point;
use crate::index::Line;

impl Store {
    /// Publishes a version: its file first, then its row, and in the same transaction the outcome of its intent. Whoever
    /// publishes a crate first owns it. Returns where the audit log has the outcome.
    ///
    /// # Errors
    /// [`Refusal::NotOwner`], [`CratesError::NameTaken`], [`CratesError::VersionExists`]; [`StoreError::Settled`] if the intent
    /// has an outcome already. Nothing is changed then, and the intent is as it was.
    pub(crate) fn publish(
        &self,
        intent: &Intent,
        line: &Line,
        description: Option<&str>,
        file: NamedTempFile,
        now: Timestamp,
    ) -> Result<Point, CratesError> {
        let (user, name, version) = (&intent.user, line.name.as_str(), line.vers.as_str());
        let kept = self.ready(file, &line.cksum)?;
        let may_be_left = kept.may_be_left();
        let foreseen = |ahead: &Sql<'_>| {
            ledger::is_open(ahead, intent)?;
            staged::is_approver(ahead, name, user)?;
            let core = publishable(ahead, user, name, version)?;
            search::highest(ahead, &fold(name))?;
            Ok::<_, CratesError>(staged::is_there(ahead, &fold(name), &core)?)
        };
        let published = self.write_foreseen(foreseen, |transaction| {
            ledger::must_be_open(transaction, intent)?;
            // Who approves for the owner of a crate was made an approver of it.
            let core = match staged::is_approver(transaction, name, user)?
                && ledger::is_approval(transaction, intent)?
            {
                true => unpublished(transaction, name, version)?,
                false => publishable(transaction, user, name, version)?,
            };
            transaction.run(
                "INSERT INTO crate (folded, name, owner, description, changed)
                 SELECT ?1, ?2, user.id, ?4, ?5 FROM user WHERE user.name = ?3
                 ON CONFLICT (folded)
                 DO UPDATE SET description = ?4, changed = ?5, revision = crate.revision + 1",
                values![&fold(name), name, user.as_str(), description, now.as_second()],
            )?;
            transaction.run(
                "INSERT INTO version (crate, version, core, line) VALUES (?, ?, ?, ?)",
                values![&fold(name), version, &core, &line.to_json()],
            )?;
            search::offer_described(transaction, &fold(name), version, description)?;
            self.keep(transaction, kept, name, version)?;
            let is_this =
                intent.mutation.checksum().is_some_and(|checksum| checksum.to_string() == line.cksum);
            Ok(ledger::settle_open(transaction, intent, &Outcome::Done, is_this, now)?)
        });
        if may_be_left && published.is_err() {
            self.give_up(&line.cksum);
        }
        published
    }

    /// Yanks or unyanks a version for its owner, and settles the intent of it in the same transaction. If it is so already,
    /// that is no error. Returns where the audit log has the outcome.
    ///
    /// # Errors
    /// [`CratesError::NotFound`], [`Refusal::NotOwner`]; [`StoreError::Settled`] if the intent has an outcome already. Nothing
    /// is changed then, and the intent is as it was.
    pub(crate) fn set_yanked(
        &self,
        intent: &Intent,
        version: &str,
        yanked: bool,
        now: Timestamp,
    ) -> Result<Point, CratesError> {
        let (user, name) = (&intent.user, intent.mutation.name().as_str());
        let foreseen = |ahead: &Sql<'_>| {
            ledger::is_open(ahead, intent)?;
            search::highest(ahead, &fold(name))?;
            owner(ahead, name)?;
            yankable(ahead, user, name, version)
        };
        self.write_foreseen(foreseen, |transaction| {
            ledger::must_be_open(transaction, intent)?;
            let (id, mut line) = yankable(transaction, user, name, version)?;
            line.yanked = yanked;
            let update = "UPDATE version SET line = ? WHERE id = ?";
            transaction.run(update, values![&line.to_json(), id])?;
            transaction.run(
                "UPDATE crate SET changed = ?, revision = revision + 1 WHERE folded = ?",
                values![now.as_second(), &fold(name)],
            )?;
            let note = if yanked { search::withdraw } else { search::offer };
            note(transaction, &fold(name), version)?;
            Ok(ledger::settle_open(transaction, intent, &Outcome::Done, false, now)?)
        })
    }
}

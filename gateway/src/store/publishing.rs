//! Changes of the built-in registry. Each is one transaction, with the outcome of its intent.

use jiff::Timestamp;
use tempfile::NamedTempFile;

use super::crates::{CratesError, publishable, yankable};
use super::ledger::{self, Intent, Outcome};
use super::names::fold;
use super::sql::values;
use super::{Store, search};
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
        let kept = self.sent(file, &line.cksum)?;
        let published = self.write(|transaction| {
            ledger::must_be_open(transaction, intent)?;
            let core = publishable(transaction, user, name, version)?;
            transaction.execute(
                "INSERT INTO crate (folded, name, owner, description, changed)
                 SELECT ?1, ?2, user.id, ?4, ?5 FROM user WHERE user.name = ?3
                 ON CONFLICT (folded)
                 DO UPDATE SET description = ?4, changed = ?5, revision = crate.revision + 1",
                values![&fold(name), name, user.as_str(), description, now.as_second()],
            )?;
            transaction.execute(
                "INSERT INTO version (crate, version, core, line) VALUES (?, ?, ?, ?)",
                values![&fold(name), version, &core, &line.to_json()],
            )?;
            search::offer(transaction, &fold(name), version)?;
            self.keep(transaction, kept, name, version)?;
            Ok(ledger::settle(transaction, intent, &Outcome::Done, now)?)
        });
        if published.is_err() {
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
        self.write(|transaction| {
            ledger::must_be_open(transaction, intent)?;
            let (id, mut line) = yankable(transaction, user, name, version)?;
            line.yanked = yanked;
            let update = "UPDATE version SET line = ? WHERE id = ?";
            transaction.execute(update, values![&line.to_json(), id])?;
            transaction.execute(
                "UPDATE crate SET changed = ?, revision = revision + 1 WHERE folded = ?",
                values![now.as_second(), &fold(name)],
            )?;
            let note = if yanked { search::withdraw } else { search::offer };
            note(transaction, &fold(name), version)?;
            Ok(ledger::settle(transaction, intent, &Outcome::Done, now)?)
        })
    }
}

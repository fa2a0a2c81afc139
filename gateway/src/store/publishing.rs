//! Changes of the built-in registry. Each is one transaction: the token is spent, the change is made or refused, and what came of it
//! is on record.

use tempfile::NamedTempFile;

use super::crate_files::{Sending, Sent};
use super::crates::{
    CratesError, Owner, changeable, owner, owner_of, publishable, unpublished, version_line, yankable,
};
use super::intent::Intent;
use super::ledger::{self, Outcome};
use super::names::fold;
use super::spent::{self, Signed, SpendError};
use super::sql::{Sql, values};
use super::staged::Approving;
use super::{Store, StoreError, search, staged};
use crate::audit::Point;
use crate::index::{Line, pubtime};
use crate::keys::User;

/// A version that is to be published here.
pub(crate) struct NewVersion {
    line: Line,
    description: Option<String>,
    /// Until it is ready.
    received: Option<NamedTempFile>,
    /// Until it is kept.
    ready: Option<Sent>,
}

impl NewVersion {
    /// With its line of the index, what searches show of it, and its file.
    pub(crate) fn new(line: Line, description: Option<&str>, file: NamedTempFile) -> Self {
        Self { line, description: description.map(ToOwned::to_owned), received: Some(file), ready: None }
    }

    /// Does what takes time and that others need not wait for: brings the file to disk, or to where the database is.
    ///
    /// # Errors
    /// [`StoreError::File`], [`StoreError::Database`].
    pub(crate) fn make_ready(&mut self, store: &Store) -> Result<(), StoreError> {
        if let Some(upload) = self.received.take() {
            self.ready = Some(store.ready(upload, &self.line.cksum)?);
        }
        Ok(())
    }
}

/// What came of a token that is spent. It is on record.
#[derive(Debug)]
pub(crate) struct Settled<T> {
    pub(crate) intent: Intent,
    /// What was asked for, or why it was refused.
    pub(crate) made: Result<T, CratesError>,
    /// The place of the outcome in the audit log.
    pub(crate) recorded: Point,
}

impl<T> Settled<T> {
    pub(crate) fn map<U>(self, told: impl FnOnce(T) -> U) -> Settled<U> {
        let Self { intent, made, recorded } = self;
        Settled { intent, made: made.map(told), recorded }
    }
}

/// What the audit log says of a change that was made here, or refused.
impl<T> From<&Result<T, CratesError>> for Outcome {
    fn from(made: &Result<T, CratesError>) -> Self {
        match made {
            Ok(_) => Self::Done,
            Err(refused) => Self::Refused(refused.to_string()),
        }
    }
}

impl Store {
    /// Whether a user could spend a token on a change here, as things stand, and if so, whether the change is refused.
    ///
    /// # Errors
    /// As [`is_unspent`](Self::is_unspent).
    pub(crate) fn could_change(
        &self,
        user: &User,
        signed: &Signed,
    ) -> Result<Result<(), CratesError>, SpendError> {
        self.reader()?.at_once(|reader| {
            spent::is_unspent(reader, signed)?;
            Ok(changeable(reader, user, &signed.mutation))
        })
    }

    /// Publishes a version. Whoever publishes a crate first owns it. Refused with [`Refusal::NotOwner`](crate::policy::Refusal::NotOwner),
    /// [`CratesError::NameTaken`], [`CratesError::VersionExists`].
    ///
    /// # Errors
    /// Those of [`begin`](Self::begin), [`SpendError::Elsewhere`], [`SpendError::Approval`]; nothing is written then. After
    /// [`SpendError::is_passing`] the same may be tried again.
    pub(crate) fn publish(
        &self,
        signed: &Signed,
        approving: Option<Approving>,
        new: &mut NewVersion,
    ) -> Result<Settled<()>, SpendError> {
        new.make_ready(self)?;
        let NewVersion { line, description, ready, .. } = new;
        line.pubtime = Some(pubtime(signed.now));
        let line = &*line;
        let (name, version, description) = (line.name.as_str(), line.vers.as_str(), description.as_deref());
        let foreseen = |ahead: &Sql<'_>| {
            owner(ahead, name)?;
            let core = unpublished(ahead, name, version)?;
            search::highest(ahead, &fold(name))?;
            Ok::<_, CratesError>(staged::is_there(ahead, &fold(name), &core)?)
        };
        let published = self.settle_at_once(signed, approving, foreseen, |transaction, intent| {
            // Who approves for the owner of a crate was made an approver of it.
            let core = match approving.is_some() && staged::is_approver(transaction, name, &intent.user)? {
                true => unpublished(transaction, name, version)?,
                false => publishable(transaction, &intent.user, name, version)?,
            };
            transaction.run(
                "INSERT INTO crate (folded, name, owner, description, changed)
                 SELECT ?1, ?2, user.id, ?4, ?5 FROM user WHERE user.name = ?3
                 ON CONFLICT (folded)
                 DO UPDATE SET description = ?4, changed = ?5, revision = crate.revision + 1",
                values![&fold(name), name, intent.user.as_str(), description, intent.time.as_second()],
            )?;
            transaction.run(
                "INSERT INTO version (crate, version, core, line) VALUES (?, ?, ?, ?)",
                values![&fold(name), version, &core, &line.to_json()],
            )?;
            search::offer_described(transaction, &fold(name), version, description)?;
            let ready = ready.take().expect("whoever has kept it does not try again");
            Ok(self.keep(transaction, ready, name, version)?)
        });
        Ok(published?.map(|sending| drop(sending.map(Sending::kept))))
    }

    /// Yanks or unyanks a version for its owner. If it is so already, that is no error. Refused with [`CratesError::NotFound`],
    /// [`Refusal::NotOwner`](crate::policy::Refusal::NotOwner).
    ///
    /// # Errors
    /// Those of [`begin`](Self::begin), [`SpendError::Elsewhere`]; nothing is written then.
    pub(crate) fn set_yanked(
        &self,
        signed: &Signed,
        version: &str,
        yanked: bool,
    ) -> Result<Settled<()>, SpendError> {
        let name = signed.mutation.name().as_str();
        let foreseen = |ahead: &Sql<'_>| {
            search::highest(ahead, &fold(name))?;
            owner(ahead, name)?;
            version_line(ahead, name, version)
        };
        self.settle_at_once(signed, None, foreseen, |transaction, intent| {
            let (id, mut line) = yankable(transaction, &intent.user, name, version)?;
            line.yanked = yanked;
            let update = "UPDATE version SET line = ? WHERE id = ?";
            transaction.run(update, values![&line.to_json(), id])?;
            transaction.run(
                "UPDATE crate SET changed = ?, revision = revision + 1 WHERE folded = ?",
                values![intent.time.as_second(), &fold(name)],
            )?;
            let note = if yanked { search::withdraw } else { search::offer };
            Ok(note(transaction, &fold(name), version)?)
        })
    }

    /// Tells a crate's owner, for which a token is spent. Refused with [`CratesError::NotFound`].
    ///
    /// # Errors
    /// Those of [`begin`](Self::begin), [`SpendError::Elsewhere`]; nothing is written then.
    pub(crate) fn list_owners(&self, signed: &Signed) -> Result<Settled<Owner>, SpendError> {
        let name = signed.mutation.name().as_str();
        let owner = |sql: &Sql<'_>| owner_of(sql, name);
        self.settle_at_once(signed, None, owner, |transaction, _| owner(transaction))
    }

    /// Spends a token on a change of this store, makes it, and writes down the outcome. Whatever is refused is so before anything is
    /// written for it.
    fn settle_at_once<T, F, E>(
        &self,
        signed: &Signed,
        approving: Option<Approving>,
        foreseen: impl FnOnce(&Sql<'_>) -> Result<F, E>,
        make: impl FnOnce(&Sql<'_>, &Intent) -> Result<T, CratesError>,
    ) -> Result<Settled<T>, SpendError> {
        let name = signed.mutation.name();
        let foreseen = |ahead: &Sql<'_>| {
            self.has_turn(ahead, name)?;
            Ok::<_, StoreError>(foreseen(ahead).ok())
        };
        self.spend_on(signed, approving, foreseen, |transaction, intent| {
            if !self.has_turn(transaction, name)? {
                return Err(SpendError::Elsewhere(name.clone()));
            }
            let made = match make(transaction, intent) {
                Err(CratesError::Store(error)) => return Err(error.into()),
                made => made,
            };
            let outcome = Outcome::from(&made);
            let recorded = ledger::conclude(transaction, intent, &outcome, made.is_ok(), intent.time)?;
            Ok(Settled { intent: intent.clone(), made, recorded })
        })
    }
}

//! Outcomes that are known but not on record, because the store failed between a change and its outcome. They are
//! written before the next token is spent, or within a minute. If the server ends before that, the intent stays open,
//! and the registry behind is asked for its outcome after the next start.

use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::intent::Intent;
use super::ledger::{self, Outcome};
use super::sql::Sql;
use super::{Store, StoreError};
use crate::audit::Hash;

/// The outcomes, in the order in which they became known.
#[derive(Debug, Default)]
pub(super) struct Unrecorded(Mutex<Vec<(Intent, Outcome)>>);

impl Unrecorded {
    pub(super) fn remember(&self, intent: &Intent, outcome: &Outcome) {
        self.list().push((intent.clone(), outcome.clone()));
    }

    /// Writes all of them, and returns the hashes of their intents. They have to be forgotten once that is committed. An intent
    /// that the log has lost has no outcome.
    fn write(&self, transaction: &Sql<'_>, now: Timestamp) -> Result<Vec<Hash>, StoreError> {
        let list = self.list().clone();
        for (intent, outcome) in &list {
            match ledger::answered(transaction, intent, outcome, now) {
                Err(StoreError::IntentLost(change)) => tracing::error!(
                    change,
                    ?outcome,
                    user = %intent.user,
                    "the audit log lost its end, and with it a change whose outcome is recorded only here"
                ),
                answered => drop(answered?),
            }
        }
        Ok(list.into_iter().map(|(intent, _)| intent.hash).collect())
    }

    fn forget(&self, written: &[Hash]) {
        self.list().retain(|(intent, _)| !written.contains(&intent.hash));
    }

    fn knows(&self, intent: &Intent) -> bool {
        self.list().iter().any(|(known, _)| known.hash == intent.hash)
    }

    fn list(&self) -> MutexGuard<'_, Vec<(Intent, Outcome)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// Keeps an outcome until [`record_known`](Self::record_known) writes it.
    pub(crate) fn know(&self, intent: &Intent, outcome: &Outcome) {
        self.unrecorded.remember(intent, outcome);
    }

    /// Writes the outcomes that are known and not on record.
    ///
    /// # Errors
    /// [`StoreError::Database`]; they are kept then.
    pub(crate) fn record_known(&self, now: Timestamp) -> Result<(), StoreError> {
        if self.unrecorded.list().is_empty() {
            return Ok(());
        }
        let written = self.write(|transaction| self.unrecorded.write(transaction, now))?;
        self.unrecorded.forget(&written);
        Ok(())
    }

    /// Whether the outcome of an intent is neither on record nor known.
    pub(crate) fn is_in_doubt(&self, intent: &Intent) -> Result<bool, StoreError> {
        Ok(!self.unrecorded.knows(intent) && ledger::is_open(&self.reader()?, intent)?)
    }

    /// The same, when the transaction that began it has ended, for which a shared store is waited for.
    pub(crate) fn is_left_in_doubt(&self, intent: &Intent) -> Result<bool, StoreError> {
        if !self.is_shared() || self.unrecorded.knows(intent) {
            return self.is_in_doubt(intent);
        }
        self.write(|transaction| ledger::is_open(transaction, intent))
    }
}

#[cfg(test)]
mod tests {
    use asymmetric_token::{Mutation, PublicKey};

    use super::*;
    use crate::keys::{NewKey, Role};
    use crate::store::Signed;

    fn outcomes(store: &Store) -> usize {
        store
            .audit_entries(1, 99)
            .unwrap()
            .iter()
            .filter(|entry| entry.contains(r#""outcome":"done""#))
            .count()
    }

    /// A commit that failed may have reached the disk; its outcome is not written twice, and keeps nobody from going on.
    #[test]
    fn what_is_on_record_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let key = p384::ecdsa::SigningKey::from_slice(&[1; 48]).unwrap();
        let public = PublicKey::from_sec1(key.verifying_key().to_sec1_point(true).as_bytes()).unwrap();
        let user = "alice".parse().unwrap();
        let new = NewKey { public, user, role: Role::Both, label: None, subject: None, expires: None };
        let now = Timestamp::UNIX_EPOCH;
        store.add_key(new, now).unwrap();
        let begin = |single_use_key: &str| {
            let mutation = Mutation::Owners { name: "hello".parse().unwrap() };
            let (token, single_use_key) = (String::new(), single_use_key.to_owned());
            let (key, kept_until) = (public.id(), Timestamp::MAX);
            store
                .begin(&Signed { token, key, mutation, single_use_key, challenge: None, kept_until, now })
                .unwrap()
        };
        let first = begin("one");
        store.settle(&first, &Outcome::Done, now).unwrap();
        store.unrecorded.remember(&first, &Outcome::Done);
        let second = begin("two");
        assert!(store.unrecorded.list().is_empty());
        store.unrecorded.remember(&first, &Outcome::Done);
        store.unrecorded.remember(&second, &Outcome::Done);
        store.record_known(now).unwrap();
        assert!(store.unrecorded.list().is_empty());
        assert_eq!(outcomes(&store), 2);
    }
}

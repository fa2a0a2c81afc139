//! Intents without an outcome, left by a crash or by an answer that did not tell it. The registry behind is asked what
//! became of them.

use std::time::Duration;

use asymmetric_token::Mutation;
use jiff::{SignedDuration, Timestamp};

use super::Changes;
use crate::store::{INTERRUPTED, Intent, Outcome, StoreError};
use crate::upstream::UpstreamError;

/// The recorded outcome of a change of owners that was not answered.
const UNKNOWN: &str = "interrupted; see who the owners are";

/// The age at which an open intent counts as abandoned. The registry behind may still be working on a younger one,
/// although the gateway has given up waiting.
const ABANDONED: SignedDuration = SignedDuration::from_mins(10);
/// The time between two looks at the open intents.
const PAUSE: Duration = Duration::from_secs(60);

/// Why an intent cannot be settled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettlementError {
    /// The registry behind does not tell its outcome.
    #[error("the outcome of {intent} cannot be found out")]
    Upstream {
        /// The intent in words.
        intent: String,
        /// The cause.
        source: UpstreamError,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Changes {
    /// Settles every open intent that was begun before this time, each in its crate's turn. Whoever has the turn is
    /// working on an intent of his own, and settles it himself.
    ///
    /// An intent whose outcome only the credential of its user could tell stays open if that credential is no longer
    /// good. It holds up nobody else.
    ///
    /// # Errors
    /// [`SettlementError::Upstream`] with the first intent whose outcome the registry behind does not tell, after all
    /// were tried; [`SettlementError::Store`] at once.
    pub(crate) async fn settle(&self, before: Timestamp) -> Result<(), SettlementError> {
        self.store.record_known(Timestamp::now())?;
        let mut unsettled = Ok(());
        for intent in self.store.open_intents()?.into_iter().filter(|intent| intent.time < before) {
            let _turn = self.in_turn.wait(intent.mutation.name().as_str()).await;
            if !self.store.is_in_doubt(&intent)? {
                continue;
            }
            match self.found_out(&intent).await {
                Ok(outcome) => {
                    tracing::warn!(change = %intent, ?outcome, "an intent that was left open is settled");
                    self.store.settle(&intent, &outcome, Timestamp::now())?;
                }
                Err(error) if error.is_of_one_user() => {
                    tracing::error!(change = %intent, user = %intent.user, %error, "an intent stays open");
                }
                Err(source) => {
                    let error = SettlementError::Upstream { intent: intent.to_string(), source };
                    unsettled = unsettled.and(Err(error));
                }
            }
        }
        unsettled
    }

    /// Settles abandoned intents while the gateway runs. It never ends.
    pub(crate) async fn keep_settling(&self) {
        loop {
            tokio::time::sleep(PAUSE).await;
            if let Err(error) = self.settle_abandoned(Timestamp::now()).await {
                tracing::error!(%error, "not all open intents are settled");
            }
        }
    }

    async fn settle_abandoned(&self, now: Timestamp) -> Result<(), SettlementError> {
        self.settle(now - ABANDONED).await
    }

    /// The outcome of a change, judged by the present state of the index. A version is published by one token: if
    /// another one is on record for it, this one did nothing.
    pub(super) async fn found_out(&self, intent: &Intent) -> Result<Outcome, UpstreamError> {
        let (name, version) = (intent.mutation.name(), intent.mutation.version());
        let state = match version {
            Some(version) => self.upstream.state(&intent.user, name, version).await?,
            None => None,
        };
        let done = match &intent.mutation {
            Mutation::Publish { name, version, checksum } => {
                state.is_some_and(|state| state.checksum == *checksum)
                    && self.store.published(Some((name.as_str(), &version.to_string())))?.is_empty()
            }
            Mutation::Yank { .. } => state.is_some_and(|state| state.yanked),
            Mutation::Unyank { .. } => state.is_some_and(|state| !state.yanked),
            // The token does not say who was to be added or removed.
            Mutation::Owners { .. } => return Ok(Outcome::Failed(UNKNOWN.to_owned())),
        };
        Ok(if done { Outcome::Done } else { Outcome::Failed(INTERRUPTED.to_owned()) })
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;

    use super::*;
    use crate::keys::{NewKey, Role};
    use crate::metrics::Metrics;
    use crate::store::{Heads, Signed, Store};
    use crate::upstream::{BuiltIn, Upstream};

    /// Of a registry with a store of its own in this folder.
    fn changes(folder: &tempfile::TempDir) -> (Arc<Store>, Arc<Changes>) {
        let store = Arc::new(Store::open(folder.path()).unwrap());
        let heads = Heads::open(&store, "sparse+http://127.0.0.1/", Timestamp::UNIX_EPOCH).unwrap();
        let upstream = Upstream::BuiltIn(BuiltIn::new(store.clone()));
        let changes =
            Changes::new(store.clone(), Arc::new(heads), Arc::new(upstream), Arc::new(Metrics::new()));
        (store, changes)
    }

    /// One that is not done at the registry.
    fn begun(store: &Store) -> Intent {
        begun_with(
            store,
            Mutation::Yank { name: "hello".parse().unwrap(), version: "1.0.0".parse().unwrap() },
        )
    }

    fn begun_with(store: &Store, mutation: Mutation) -> Intent {
        let key = p384::ecdsa::SigningKey::from_slice(&[1; 48]).unwrap();
        let point = key.verifying_key().to_sec1_point(true);
        let public = asymmetric_token::PublicKey::from_sec1(point.as_bytes()).unwrap();
        let user = "alice".parse().unwrap();
        let new = NewKey { public, user, role: Role::Both, label: None, subject: None, expires: None };
        store.add_key(new, Timestamp::UNIX_EPOCH).unwrap();
        let signed = Signed {
            token: String::new(),
            key: public.id(),
            mutation,
            single_use_key: "one".to_owned(),
            challenge: None,
            kept_until: Timestamp::MAX,
            now: Timestamp::UNIX_EPOCH,
        };
        store.begin(&signed).unwrap()
    }

    /// However old it is: its upload may have taken all the time there is, before it was begun.
    #[tokio::test]
    async fn a_change_under_way_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (store, changes) = changes(&folder);
        let intent = begun(&store);
        let turn = changes.in_turn.wait("hello").await;
        let mut settling = pin!(changes.settle(Timestamp::MAX));
        let early = tokio::time::timeout(Duration::from_millis(200), &mut settling).await;
        assert!(early.is_err(), "it waits for the turn");
        store.settle(&intent, &Outcome::Done, Timestamp::now()).unwrap();
        drop(turn);
        settling.await.unwrap();
        assert!(store.open_intents().unwrap().is_empty());
        assert_eq!(outcomes(&store), ["done"]);
    }

    fn outcomes(store: &Store) -> Vec<String> {
        let entries = store.audit_entries(1, 99).unwrap();
        let word = |entry: &String| {
            let entry: serde_json::Value = serde_json::from_str(entry).unwrap();
            entry["outcome"].as_str().map(ToOwned::to_owned)
        };
        entries.iter().filter_map(word).collect()
    }

    /// The registry behind may still be at work on what is younger.
    #[tokio::test]
    async fn a_change_is_abandoned_after_ten_minutes() {
        let folder = tempfile::tempdir().unwrap();
        let (store, changes) = changes(&folder);
        let intent = begun(&store);
        let ten_minutes = intent.time + SignedDuration::from_mins(10);
        let a_year_before = intent.time - SignedDuration::from_hours(24 * 365);
        for now in [a_year_before, intent.time, ten_minutes] {
            changes.settle_abandoned(now).await.unwrap();
            assert_eq!(store.open_intents().unwrap(), std::slice::from_ref(&intent), "at {now}");
        }
        let later = ten_minutes + SignedDuration::from_micros(1);
        changes.settle_abandoned(later).await.unwrap();
        assert_eq!(store.open_intents().unwrap(), []);
        assert_eq!(outcomes(&store), ["failed"]);
    }

    /// Nobody is asked for what is known, however young it is: the answer could only be worse.
    #[tokio::test]
    async fn a_known_outcome_is_written_down_when_that_works_again() {
        let folder = tempfile::tempdir().unwrap();
        let (store, changes) = changes(&folder);
        let intent = begun_with(&store, Mutation::Owners { name: "hello".parse().unwrap() });
        let database = rusqlite::Connection::open(folder.path().join("registry.db")).unwrap();
        let full = "CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'full'); END";
        database.execute_batch(full).unwrap();
        assert!(store.settle(&intent, &Outcome::Done, intent.time).is_err());
        assert!(!store.is_in_doubt(&intent).unwrap());
        for now in [intent.time, Timestamp::MAX] {
            assert!(changes.settle_abandoned(now).await.is_err());
        }
        database.execute_batch("DROP TRIGGER full").unwrap();
        for _ in 0..2 {
            changes.settle_abandoned(intent.time).await.unwrap();
            assert_eq!(outcomes(&store), ["done"]);
        }
        assert_eq!(store.open_intents().unwrap(), []);
    }
}

//! Intents without an outcome, left by a crash or by an answer that did not tell it. The registry behind is asked what
//! became of them, while the gateway serves.
//!
//! What an earlier run left, and what could not be settled when it was abandoned, is decided by the present state of the
//! crate. So a change of that crate waits until it is settled, and is refused if that takes too long or fails. Its token is
//! not spent then.

use std::collections::{BTreeMap, HashSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use asymmetric_token::Mutation;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::OwnedMutexGuard;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::{ChangeError, Changes};
use crate::background::{Panicked, blocking};
use crate::causes::{escaped, with_causes};
use crate::store::{INTERRUPTED, Intent, Keeper, OpenChange, Outcome, Signed, StoreError};
use crate::upstream::{RemoteError, Upstream, UpstreamError};

/// The recorded outcome of a change of owners that was not answered.
const UNKNOWN: &str = "interrupted; see who the owners are";

/// The age at which an open intent counts as abandoned. The registry behind may still be working on a younger one,
/// although the gateway has given up waiting.
const ABANDONED: SignedDuration = SignedDuration::from_mins(10);
/// The time between two looks at the open intents.
const PAUSE: Duration = Duration::from_secs(60);
/// The time after the first look, if it did not settle everything. It is doubled after each further one, up to [`PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Crates that are asked about at once.
const AT_ONCE: usize = 8;
/// The time for one crate.
const DEADLINE: Duration = Duration::from_secs(60);
/// When to try a change again that waits for the outcome of another one, in seconds.
const UNSETTLED_RETRY: u64 = 60;
/// How long a change waits for what was left open of its crate.
const WAITED_FOR: Duration = Duration::from_secs(10);

/// Why not everything is settled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettlementError {
    /// The registry behind does not tell what came of some intents.
    #[error("changes whose outcome cannot be determined yet: {count}; the first is {intent}")]
    Upstream {
        /// How many.
        count: usize,
        /// One of them in words.
        intent: String,
        /// Why that is so of this one.
        source: Box<UpstreamError>,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An intent whose outcome was asked for in vain.
#[derive(Debug)]
struct StillOpen {
    intent: Intent,
    error: UpstreamError,
}

impl Changes {
    /// Takes up what an earlier run left open in a folder. Changes of these crates wait from now on. What gateways leave that share
    /// a store is looked for before each change.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn take_up(&self) -> Result<(), StoreError> {
        if !self.store.is_shared() {
            self.store.open_intents()?.into_iter().for_each(|intent| self.left_open.add(intent));
        }
        Ok(())
    }

    /// Settles what gateways that ended left open in their own store, in one transaction: with a thousand of them, a
    /// commit for each would take a thousand times as long as the disk. What cannot be told is asked for again later.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn settle_together(&self, now: Timestamp) -> Result<(), StoreError> {
        let mut published = HashSet::new();
        let mut settled = Vec::new();
        for OpenChange { intent, .. } in self.store.orphans()? {
            let Ok(mut outcome) = self.found_out(&intent).await else { continue };
            // One token publishes a version, and what is told above does not know of the others yet.
            if let (Outcome::Done, Mutation::Publish { name, version, .. }) = (&outcome, &intent.mutation)
                && !published.insert((name.clone(), version.clone()))
            {
                outcome = Outcome::Failed(INTERRUPTED.to_owned());
            }
            tracing::warn!(change = %intent, ?outcome, "settled an intent that was left open");
            self.store.know(&intent, &outcome);
            settled.push(intent);
        }
        self.store.record_known(now)?;
        for intent in &settled {
            self.left_open.remove(intent);
        }
        Ok(())
    }

    /// Settles what is left open or abandoned, while the gateway runs. It never ends.
    pub(crate) async fn keep_settling(self: Arc<Self>) {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.settle(self.store.now()).await {
                Ok(()) => pause = PAUSE,
                Err(error) => tracing::error!(
                    error = escaped(&with_causes(&error)),
                    "some changes are still open; see `registry-gateway change list`"
                ),
            }
            if timeout(pause, self.something_is_left()).await.is_ok() {
                sleep(FIRST_PAUSE).await;
                pause = FIRST_PAUSE;
            }
            pause = PAUSE.min(pause * 2);
        }
    }

    async fn something_is_left(&self) {
        tokio::select! {
            () = self.left_open.one_is_left() => {}
            () = self.store.something_is_left_over() => {}
        }
    }

    /// Settles every intent that is left open or abandoned, each in its crate's turn, several crates at a time. Whoever has
    /// the turn is working on an intent of his own, and settles it himself.
    ///
    /// # Errors
    /// [`SettlementError::Upstream`] if the registry behind does not tell some outcomes, after all were asked for;
    /// [`SettlementError::Store`].
    pub(crate) async fn settle(self: &Arc<Self>, now: Timestamp) -> Result<(), SettlementError> {
        let mut asking = JoinSet::new();
        let mut open = Vec::new();
        for intents in self.to_be_settled(now).await? {
            if asking.len() == AT_ONCE
                && let Some(Ok(asked)) = asking.join_next().await
            {
                open.append(&mut asked?);
            }
            asking.spawn(self.clone().settle_crate(intents));
        }
        while let Some(asked) = asking.join_next().await {
            // A panic is reported by its hook; what was asked for then is asked for again.
            open.append(&mut asked.unwrap_or_else(|_| Ok(Vec::new()))?);
        }
        open.sort_by_key(|open| open.intent.seq);
        let count = open.len();
        let failed = |StillOpen { intent, error }| {
            let (intent, source) = (intent.to_string(), Box::new(error));
            Err(SettlementError::Upstream { count, intent, source })
        };
        open.into_iter().next().map_or(Ok(()), failed)
    }

    /// By their crates.
    async fn to_be_settled(self: &Arc<Self>, now: Timestamp) -> Result<Vec<Vec<Intent>>, StoreError> {
        let changes = self.clone();
        let intents = blocking(move || {
            changes.store.record_known(changes.store.now())?;
            changes.store.bury()?;
            if let Err(error) = changes.store.remove_leftovers() {
                tracing::warn!(
                    error = escaped(&with_causes(&error)),
                    "pieces that were sent in vain are not removed yet"
                );
            }
            changes.store.open_changes()
        });
        let Ok(open) = intents.await else { return Ok(Vec::new()) };
        let open = open?;
        let mut crates = BTreeMap::<_, Vec<_>>::new();
        // A change that is made in one transaction has no open intent, whatever came of it; others may have settled the rest.
        for intent in self.left_open.all() {
            if !open.iter().any(|open| open.intent == intent) {
                crates.entry(intent.mutation.name().as_str().to_owned()).or_default().push(intent);
            }
        }
        for OpenChange { intent, keeper, .. } in open {
            let is_due = match keeper {
                Keeper::This => intent.time < now - ABANDONED || self.left_open.has(&intent),
                Keeper::Another(_) => false,
                Keeper::Nobody { age } => self.is_left_alone(age).is_none(),
            };
            if is_due {
                crates.entry(intent.mutation.name().as_str().to_owned()).or_default().push(intent);
            }
        }
        Ok(crates.into_values().collect())
    }

    async fn settle_crate(self: Arc<Self>, intents: Vec<Intent>) -> Result<Vec<StillOpen>, StoreError> {
        let until = Instant::now() + DEADLINE;
        let Some(first) = intents.first() else { return Ok(Vec::new()) };
        let turn = timeout_at(until, self.in_turn.wait(first.mutation.name().as_str())).await;
        // Somebody is at work there. The intent may be theirs.
        if turn.is_err() {
            return Ok(Vec::new());
        }
        // Whoever waits for this turn is told what it is for.
        intents.iter().for_each(|intent| self.left_open.add(intent.clone()));
        self.ask_about(intents, until).await
    }

    /// The turn of a crate in this process, with everything settled that was left open of it. What other gateways have left of a crate
    /// here is found where it is changed.
    ///
    /// # Errors
    /// [`ChangeError::Unsettled`], [`ChangeError::NothingChanged`].
    pub(super) async fn settled_turn(&self, signed: &Signed) -> Result<OwnedMutexGuard<()>, ChangeError> {
        let name = signed.mutation.name();
        let until = Instant::now() + WAITED_FOR;
        let mut waiting = pin!(self.in_turn.wait(name.as_str()));
        let turn = match timeout_at(until, &mut waiting).await {
            Ok(turn) => turn,
            Err(_) => match self.left_open.of(name).into_iter().next() {
                Some(intent) => return Err(StillOpen { intent, error: silent() }.into()),
                // Others make changes, one after the other.
                None => waiting.await,
            },
        };
        let is_here = matches!(*self.upstream, Upstream::BuiltIn(_));
        if !is_here || !self.left_open.of(name).is_empty() {
            self.is_settled(signed, until).await?;
        }
        Ok(turn)
    }

    /// Settles everything that was left open of a crate, whose turn the caller has in this process.
    ///
    /// # Errors
    /// [`ChangeError::Unsettled`], [`ChangeError::NothingChanged`].
    pub(super) async fn is_settled(&self, signed: &Signed, until: Instant) -> Result<(), ChangeError> {
        let failed = |error: StoreError| ChangeError::NothingChanged(error.into());
        let name = signed.mutation.name();
        let mut intents = self.left_open.of(name);
        for OpenChange { intent, keeper, .. } in self.orphans().await? {
            if intent.mutation.name() != name {
                continue;
            }
            if let Keeper::Nobody { age } = keeper
                && let Some(wait) = self.is_left_alone(age)
            {
                return Err(left_alone(&intent, wait, self.store.now()));
            }
            if !intents.contains(&intent) {
                intents.push(intent);
            }
        }
        if intents.is_empty() {
            return Ok(());
        }
        let open = self.ask_about(intents, until).await.map_err(failed)?;
        let key = signed.key;
        let key = self.store.asked(move |store| store.key(key)).await.map_err(failed)?;
        let user = key.map(|key| key.user);
        // For want of one person's credential nobody else has to wait.
        let holds_up = |open: &StillOpen| {
            !open.error.is_of_one_user() || user.as_ref().is_none_or(|user| *user == open.intent.user)
        };
        open.into_iter().find(holds_up).map_or(Ok(()), |open| Err(open.into()))
    }

    /// What gateways have left open that share this store and have ended.
    async fn orphans(&self) -> Result<Vec<OpenChange>, ChangeError> {
        if !self.store.is_shared() {
            return Ok(Vec::new());
        }
        let store = self.store.clone();
        let orphans = blocking(move || store.orphans()).await?;
        orphans.map_err(|error| ChangeError::NothingChanged(error.into()))
    }

    /// How much longer nobody settles a change whose gateway has ended. A registry behind may still be working on it; the
    /// built-in one makes a change and settles it in one transaction.
    fn is_left_alone(&self, age: SignedDuration) -> Option<SignedDuration> {
        match &*self.upstream {
            Upstream::BuiltIn(_) => None,
            Upstream::Remote(_) => Some(ABANDONED - age).filter(|wait| wait.is_positive()),
        }
    }

    /// Asks what came of some intents of a crate, whose turn the caller has, and settles them. Those of which it was not told
    /// until then are returned, and stay open.
    async fn ask_about(&self, intents: Vec<Intent>, until: Instant) -> Result<Vec<StillOpen>, StoreError> {
        let mut open = Vec::new();
        for intent in intents {
            let asked = intent.clone();
            let store = self.store.clone();
            let is_open = blocking(move || store.is_left_in_doubt(&asked)).await;
            if !is_open.unwrap_or_else(Panicked::resume)? {
                if self.left_open.remove(&intent) {
                    self.tell(intent).await;
                }
                continue;
            }
            let asked = timeout_at(until, self.found_out(&intent)).await;
            match asked.unwrap_or_else(|_| Err(silent())) {
                Ok(outcome) => self.write_down(intent, outcome).await?,
                Err(error) => {
                    self.stays_open(&intent, &error).await;
                    self.left_open.add(intent.clone());
                    open.push(StillOpen { intent, error });
                }
            }
        }
        Ok(open)
    }

    /// Logs what came of a change that was left open and is not any more.
    async fn tell(&self, intent: Intent) {
        let asked = intent.clone();
        match self.store.asked(move |store| store.outcome(&asked)).await {
            Ok(Some((outcome, _))) => self.note(&intent, &outcome),
            Err(StoreError::IntentLost(_)) => tracing::warn!(
                change = %intent,
                user = %intent.user,
                "it is not in the audit log: it was not committed, or a restore has taken it away"
            ),
            // It is looked for in the log when somebody asks.
            Ok(None) | Err(_) => {}
        }
    }

    async fn write_down(&self, intent: Intent, outcome: Outcome) -> Result<(), StoreError> {
        tracing::warn!(change = %intent, ?outcome, "settled an intent that was left open");
        let (store, settled) = (self.store.clone(), intent.clone());
        let written = blocking(move || match store.settle(&settled, &outcome, store.now()) {
            // An administrator was quicker, or the outcome is kept until it can be written.
            Err(_) if !store.is_in_doubt(&settled)? => Ok(()),
            written => written.map(drop),
        });
        // A panic is reported by its hook, and the intent stays open.
        if let Ok(written) = written.await {
            written?;
            self.left_open.remove(&intent);
        }
        Ok(())
    }

    /// Notes why an intent is open, for administrators.
    pub(super) async fn stays_open(&self, intent: &Intent, error: &UpstreamError) {
        let (store, intent, why) = (self.store.clone(), intent.clone(), escaped(&with_causes(error)));
        if let Ok(Err(error)) = blocking(move || store.stays_open(&intent, &why)).await {
            tracing::error!(%error, "cannot record why a change is open");
        }
    }

    /// The outcome of a change: what is on record of it, else judged by the present state of the index. A version is published
    /// by one token: if another one is on record for it, this one did nothing.
    pub(super) async fn found_out(&self, intent: &Intent) -> Result<Outcome, UpstreamError> {
        // The built-in registry's commit may have come through although nobody heard of it.
        let asked = intent.clone();
        if let Some((recorded, _)) = self.store.asked(move |store| store.outcome(&asked)).await? {
            return Ok(recorded);
        }
        let (name, version) = (intent.mutation.name(), intent.mutation.version());
        let state = match version {
            Some(version) => self.upstream.state(&intent.user, name, version).await?,
            None => None,
        };
        let done = match &intent.mutation {
            Mutation::Publish { name, version, checksum } => {
                let (name, version) = (name.to_string(), version.to_string());
                state.is_some_and(|state| state.checksum == *checksum)
                    && !self.store.asked(move |store| store.is_published(&name, &version)).await?
            }
            Mutation::Yank { .. } => state.is_some_and(|state| state.yanked),
            Mutation::Unyank { .. } => state.is_some_and(|state| !state.yanked),
            // The token does not say who was to be added or removed.
            Mutation::Owners { .. } => return Ok(Outcome::Failed(UNKNOWN.to_owned())),
        };
        Ok(if done { Outcome::Done } else { Outcome::Failed(INTERRUPTED.to_owned()) })
    }
}

/// What is said of a registry that does not answer.
fn silent() -> UpstreamError {
    RemoteError::Slow { change: false }.into()
}

impl From<StillOpen> for ChangeError {
    fn from(open: StillOpen) -> Self {
        unsettled(&open.intent, open.error.to_string(), UNSETTLED_RETRY)
    }
}

/// A change whose gateway has ended, and that the registry behind may still be working on for so long.
fn left_alone(intent: &Intent, wait: SignedDuration, now: Timestamp) -> ChangeError {
    let until = now + wait;
    let why = format!(
        "the gateway that made it has ended, and the registry behind is given until {until:.0} before it is asked"
    );
    unsettled(intent, why, wait.as_secs().unsigned_abs() + 1)
}

fn unsettled(intent: &Intent, why: String, retry_after: u64) -> ChangeError {
    let (change, name) = (intent.to_string(), intent.mutation.name().clone());
    ChangeError::Unsettled { change, name, seq: intent.seq, why, retry_after }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;

    use super::*;
    use crate::keys::{NewKey, Role};
    use crate::metrics::Metrics;
    use crate::store::{Checkpoints, Signed, Store};
    use crate::upstream::{BuiltIn, Upstream};

    /// Of a registry with a store of its own in this folder.
    fn changes(folder: &tempfile::TempDir) -> (Arc<Store>, Arc<Changes>) {
        let store = Arc::new(Store::open(folder.path()).unwrap());
        let checkpoints = Checkpoints::open(&store, "sparse+http://127.0.0.1/").unwrap();
        let upstream = Upstream::BuiltIn(BuiltIn::new(store.clone()));
        let changes =
            Changes::new(store.clone(), Arc::new(checkpoints), Arc::new(upstream), Arc::new(Metrics::new()));
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
            changes.settle(now).await.unwrap();
            assert_eq!(store.open_intents().unwrap(), std::slice::from_ref(&intent), "at {now}");
        }
        let later = ten_minutes + SignedDuration::from_micros(1);
        changes.settle(later).await.unwrap();
        assert_eq!(store.open_intents().unwrap(), []);
        assert_eq!(outcomes(&store), ["failed"]);
    }

    /// A commit that was not answered may have come through.
    #[tokio::test]
    async fn what_is_on_record_is_found_out_there() {
        let folder = tempfile::tempdir().unwrap();
        let (store, changes) = changes(&folder);
        let intent = begun(&store);
        assert_eq!(changes.found_out(&intent).await.unwrap(), Outcome::Failed(INTERRUPTED.to_owned()));
        store.settle(&intent, &Outcome::Done, Timestamp::now()).unwrap();
        assert_eq!(changes.found_out(&intent).await.unwrap(), Outcome::Done);
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
            assert!(changes.settle(now).await.is_err());
        }
        database.execute_batch("DROP TRIGGER full").unwrap();
        for _ in 0..2 {
            changes.settle(intent.time).await.unwrap();
            assert_eq!(outcomes(&store), ["done"]);
        }
        assert_eq!(store.open_intents().unwrap(), []);
    }
}

//! Changes whose outcome is not on record: why that is so, and the word of an administrator on what came of one.

use asymmetric_token::Mutation;
use jiff::Timestamp;

use super::intent::Intent;
use super::ledger::{self, Outcome};
use super::sql::values;
use super::{Keeper, Store, StoreError, audit, crates, gateways};

/// The recorded reason of a change that an administrator says was not made.
const DECIDED: &str = "an administrator decided that it was not made";

/// A change without an outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenChange {
    /// What is or was about to be done.
    pub intent: Intent,
    /// Why its outcome is not known. `None` if nobody has looked yet: it is under way, or the gateway ended during it.
    pub why: Option<String>,
    /// Who is at work on it.
    pub keeper: Keeper,
}

/// What an administrator says of an open change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It was made.
    Done,
    /// It was not.
    NotDone,
}

/// Why a change is not settled by hand.
#[derive(Debug, thiserror::Error)]
pub enum DecisionError {
    /// There is no open change of this number.
    #[error("{0} is not the number of a change whose outcome is unknown")]
    NotOpen(i64),
    /// A gateway that runs is at work on it.
    #[error("{0} is in progress at a gateway that serves this store")]
    UnderWay(String),
    /// Another token published that version.
    #[error("{change} was not done: another token is recorded for that version")]
    Published {
        /// The change in words.
        change: String,
        /// Its number.
        seq: i64,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl DecisionError {
    /// What to do next, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotOpen(_) => Some("see `registry-gateway change list`".to_owned()),
            Self::UnderWay(_) => {
                Some("wait until `registry-gateway change list` says why it is open".to_owned())
            }
            Self::Published { seq, .. } => {
                Some(format!("run `registry-gateway change settle {seq} --not-done`"))
            }
            Self::Store(error) => error.hint(),
        }
    }
}

impl Store {
    /// Changes without an outcome, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Damaged`].
    pub fn open_changes(&self) -> Result<Vec<OpenChange>, StoreError> {
        let mut keepers = self.keepers()?;
        self.reader()?.all(
            "SELECT open_intent.seq, entry, why FROM open_intent JOIN audit ON audit.seq = open_intent.seq
             LEFT JOIN open_reason ON open_reason.seq = open_intent.seq ORDER BY open_intent.seq",
            values![],
            |row| {
                let intent = ledger::intent(row.get(0)?, row.get(1)?)?;
                // One that was begun just now is of somebody who lives.
                let keeper = keepers.remove(&intent.seq).unwrap_or(Keeper::This);
                Ok(OpenChange { intent, why: row.get(2)?, keeper })
            },
        )
    }

    /// Changes without an outcome, begun by gateways that have ended, oldest first. In a folder there is one gateway, and
    /// these are all that are there when it starts.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Damaged`].
    pub(crate) fn orphans(&self) -> Result<Vec<OpenChange>, StoreError> {
        let is_of_nobody = |keeper: &Keeper| matches!(keeper, Keeper::Nobody { .. });
        if self.is_shared() && !self.keepers()?.values().any(is_of_nobody) {
            return Ok(Vec::new());
        }
        let mut open = self.open_changes()?;
        open.retain(|open| !self.is_shared() || is_of_nobody(&open.keeper));
        Ok(open)
    }

    /// Intents without an outcome, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Damaged`].
    pub fn open_intents(&self) -> Result<Vec<Intent>, StoreError> {
        Ok(self.open_changes()?.into_iter().map(|open| open.intent).collect())
    }

    /// Notes why a change is open. Others may change the crate meanwhile.
    pub(crate) fn stays_open(&self, intent: &Intent, why: &str) -> Result<(), StoreError> {
        let sql = "INSERT INTO open_reason (seq, why) SELECT seq, ?2 FROM open_intent WHERE seq = ?1
                   ON CONFLICT (seq) DO UPDATE SET why = excluded.why WHERE open_reason.why <> excluded.why";
        self.write(|transaction| {
            if !ledger::is_open(transaction, intent)? {
                return Ok(());
            }
            if transaction.is_postgres() {
                gateways::release_turn(transaction, intent.seq)?;
            }
            transaction.execute(sql, values![intent.seq, why]).map(drop)
        })
    }

    /// Whether a publish of this version is on record.
    pub(crate) fn is_published(&self, name: &str, version: &str) -> Result<bool, StoreError> {
        crates::is_on_record(&self.reader()?, name, version)
    }

    /// Settles an open change as an administrator says, and logs that they said so. A gateway may serve the store meanwhile.
    ///
    /// # Errors
    /// [`DecisionError`]; nothing is written then.
    pub fn decide(&self, seq: i64, decision: Decision, now: Timestamp) -> Result<Intent, DecisionError> {
        let open = self.open_changes()?.into_iter().find(|open| open.intent.seq == seq);
        let OpenChange { intent, why, keeper } = open.ok_or(DecisionError::NotOpen(seq))?;
        // Of a change that it has given up a gateway has said why. On others it may be at work, so it may not run.
        let _nobody_serves = match (why, keeper) {
            (Some(_), _) | (None, Keeper::Nobody { .. }) => None,
            (None, keeper) if self.is_shared() || keeper != Keeper::This => {
                return Err(DecisionError::UnderWay(intent.to_string()));
            }
            (None, _) => self.lock().map_err(|error| match error {
                StoreError::Served { .. } => DecisionError::UnderWay(intent.to_string()),
                error => error.into(),
            })?,
        };
        let (outcome, word) = match decision {
            Decision::Done => (Outcome::Done, "done"),
            Decision::NotDone => (Outcome::Failed(DECIDED.to_owned()), "not done"),
        };
        self.write(|transaction| {
            if !ledger::is_open(transaction, &intent)? {
                return Err(DecisionError::NotOpen(seq));
            }
            if decision == Decision::Done
                && let Mutation::Publish { name, version, .. } = &intent.mutation
                && crates::is_on_record(transaction, name.as_str(), &version.to_string())?
            {
                return Err(DecisionError::Published { change: intent.to_string(), seq });
            }
            let more = [("change", seq.to_string()), ("decision", word.to_owned())];
            audit::note(transaction, now, "settle-change", &intent.user, &more)?;
            ledger::settle(transaction, &intent, &outcome, now)?;
            Ok(())
        })?;
        Ok(intent)
    }
}

//! One change of a crate, from a token to a record. The token is spent, the change is made, its outcome is found out,
//! and the outcome is written down. In this order a crash, a full disk or a silent registry loses neither a change nor
//! its record. The built-in registry makes a change and writes its outcome down in one transaction.
//!
//! Changes of one crate take turns, and of each user one stands in line: whoever may change nothing of a crate, which a registry
//! behind says only when it is asked, cannot put more than that before its owners. A change goes on when the client that asked
//! for it has gone.

mod left_open;
mod room;
mod settlement;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use asymmetric_token::{CrateName, Mutation};
use semver::Version;
use tokio::time::{Instant, sleep};
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::audit::Point;
use crate::background::Panicked;
use crate::in_turn::InTurn;
use crate::keys::User;
use crate::metrics::Metrics;
use crate::policy::Refusal;
use crate::store::{
    ApprovalError, Approving, Checkpoints, DEAD_AFTER, Intent, Outcome, Signed, SpendError, Store, StoreError,
};
use crate::upstream::{Accepted, OwnersChange, Prepared, Publication, Upstream, UpstreamError};
use left_open::LeftOpen;
use room::AT_ONCE;
pub(crate) use room::{Room, Rooms};

/// How long a change waits for one of the same crate that another gateway makes. If that one has died, it counts as dead before.
const FOR_OTHERS: Duration = Duration::from_secs(2 * DEAD_AFTER.as_secs());
/// The time after which it is looked whether that gateway is ready. It is doubled after each look, up to [`LAST_LOOK`].
const FIRST_LOOK: Duration = Duration::from_millis(10);
const LAST_LOOK: Duration = Duration::from_millis(500);

/// The changes of one registry.
#[derive(Debug)]
pub(crate) struct Changes {
    store: Arc<Store>,
    checkpoints: Arc<Checkpoints>,
    upstream: Arc<Upstream>,
    metrics: Arc<Metrics>,
    rooms: Rooms,
    /// By user and crate.
    of_users: InTurn,
    /// By crate.
    in_turn: InTurn,
    left_open: LeftOpen,
    under_way: TaskTracker,
}

/// What to do for a token, beyond what the token says.
#[derive(Debug)]
pub(crate) enum Change {
    /// A new version.
    Publish(Box<Publication>),
    /// A version that was staged, and that this token is the last to approve.
    Approve(Approving, Box<Publication>),
    /// A version is yanked or unyanked.
    SetYanked { version: Version, yanked: bool },
    /// Owners are added or removed.
    Owners(OwnersChange),
    /// The owners are listed. That changes nothing, but cargo sends the same token for it.
    ListOwners,
}

impl Change {
    /// The staged version that it publishes, if it does.
    fn approves(&self) -> Option<Approving> {
        if let Self::Approve(approving, _) = self { Some(*approving) } else { None }
    }
}

/// A change that was made and is on record.
#[derive(Debug)]
pub(crate) struct Made {
    /// What the registry behind said that cargo shows: a crate's owners, warnings, or a sentence, in JSON.
    pub(crate) said: Option<Vec<u8>>,
    /// Where the audit log has its outcome.
    pub(crate) recorded: Point,
}

/// Why a change is not made, or not on record.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeError {
    /// The token may not be spent.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// As many requests of this user are under way as there may be.
    #[error(
        "{AT_ONCE} requests of {0} that change something are under way here already; this token is not spent, so try again \
         when they have ended"
    )]
    AtOnce(User),
    /// A staged version is not approved.
    #[error(transparent)]
    Approval(ApprovalError),
    /// As many tokens were spent lately as the store can remember, by all or by this user.
    #[error(transparent)]
    Full(SpendError),
    /// It is not known what came of an earlier change of the crate.
    #[error(
        "{name} cannot be changed now, because it is not known whether {change} was made: {why}; this token is not spent, so \
         try again in a minute, and if it stays so, have the administrator look at the registry behind this gateway and run \
         `registry-gateway change settle {seq} --done`, or `--not-done`"
    )]
    Unsettled {
        /// The crate.
        name: CrateName,
        /// The earlier change in words.
        change: String,
        /// The place of its intent in the audit log.
        seq: i64,
        /// Why it is not known.
        why: String,
        /// When to try again, in seconds.
        retry_after: u64,
    },
    /// Another gateway changes the crate, or this one counts as dead.
    #[error(transparent)]
    NotNow(SpendError),
    /// Another gateway has settled the intent.
    #[error(
        "{0} was not carried out, because this gateway was silent for so long that another one took it for dead; run the \
         command again"
    )]
    TakenOver(String),
    /// Another attempt with the same file took away what was sent.
    #[error(
        "{0} was not carried out, because another attempt with the same file was given up during the upload; run the command \
         again"
    )]
    PiecesGone(String),
    /// The store failed before anything was changed.
    #[error(
        "the registry failed before anything was changed; its log says why; try again when that is fixed"
    )]
    NothingChanged(#[source] Box<dyn Error + Send + Sync>),
    /// The store did not say whether the token was spent. Nothing was changed.
    #[error(
        "nothing was changed, but the registry's database did not say whether this token was spent; what was begun will be \
         settled, so try again in a minute"
    )]
    InDoubt(#[source] StoreError),
    /// The registry behind did not make the change, or its answer left that open.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// The store failed, and with it the change that was to be made in it.
    #[error(
        "{change} was not carried out, because the registry failed; its log says why, so run the command again when that \
         is fixed"
    )]
    NotMade { change: String, source: StoreError },
    /// The store failed after the change.
    #[error(
        "{change} was carried out; that is not in the audit log yet, and will be written there as soon as it can be: there \
         is nothing to do, so do not run the command again"
    )]
    NotOnRecord { change: String, source: Box<dyn Error + Send + Sync> },
    /// The change was made, and a restore of the store has taken away what it began with.
    #[error(
        "{0} was carried out; it is not in the audit log and will not be, because the registry's database was restored to what \
         it was before: do not run the command again, and tell the registry's administrator"
    )]
    IntentLost(String),
    /// A thread of this program panicked.
    #[error(transparent)]
    Panicked(#[from] Panicked),
}

impl Changes {
    pub(crate) fn new(
        store: Arc<Store>,
        checkpoints: Arc<Checkpoints>,
        upstream: Arc<Upstream>,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            checkpoints,
            upstream,
            metrics,
            rooms: Rooms::default(),
            of_users: InTurn::default(),
            in_turn: InTurn::default(),
            left_open: LeftOpen::default(),
            under_way: TaskTracker::new(),
        })
    }

    /// Leave for a request of this user's to change something.
    ///
    /// # Errors
    /// [`ChangeError::AtOnce`].
    pub(crate) fn room(&self, user: User) -> Result<Room, ChangeError> {
        self.rooms.enter(user)
    }

    /// Carries out a change, also if the caller stops waiting for it.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub(crate) async fn carry_out(
        self: &Arc<Self>,
        room: Room,
        signed: Signed,
        change: Change,
    ) -> Result<Made, ChangeError> {
        self.under_way
            .spawn(self.clone().carried_out(room, signed, change).in_current_span())
            .await
            .map_err(Panicked::from)?
    }

    /// Waits for the changes that are under way. No more may come.
    pub(crate) async fn end(&self) {
        self.under_way.close();
        self.under_way.wait().await;
    }

    async fn carried_out(
        self: Arc<Self>,
        room: Room,
        signed: Signed,
        change: Change,
    ) -> Result<Made, ChangeError> {
        let _own_turn = self.of_users.wait(&format!("{} {}", room.user(), signed.mutation.name())).await;
        let _turn = match change {
            Change::ListOwners => self.in_turn.wait(signed.mutation.name().as_str()).await,
            _ => self.settled_turn(&signed).await?,
        };
        let (intent, prepared) = match change {
            Change::ListOwners => {
                let prepared = self.upstream.prepare(room.user(), &signed.mutation).await?;
                (self.spend(signed, Store::begin).await?, prepared)
            }
            _ => self.begun_in_turn(room.user(), signed, change.approves()).await?,
        };
        let mut made = self.make(&intent, prepared, change).await;
        if let Err(error) = &made
            && self.may_be_made(&intent, error).await
            && let Ok(Outcome::Done) = self.found_out(&intent).await
        {
            made = Ok(Accepted::Open(None));
        }
        match made {
            Ok(Accepted::Settled(recorded)) => {
                self.note(&intent, &Outcome::Done);
                self.checkpoints.appended();
                Ok(Made { said: None, recorded })
            }
            Ok(Accepted::Open(said)) => {
                let change = intent.to_string();
                let recorded = self.record(intent, Outcome::Done).await;
                let recorded = recorded.map_err(|source| match source.downcast_ref() {
                    Some(StoreError::IntentLost(_)) => ChangeError::IntentLost(change),
                    _ => ChangeError::NotOnRecord { change, source },
                })?;
                Ok(Made { said, recorded })
            }
            Err(error) => {
                let change = intent.to_string();
                match error.outcome() {
                    None => {
                        tracing::error!(change, user = %intent.user, "it is unknown whether the change was made");
                        // A registry behind is given its time; this store is asked before the crate is changed again.
                        if let UpstreamError::Store(_) = error {
                            self.left_open.leave(intent.clone());
                        }
                        self.stays_open(&intent, &error).await;
                    }
                    Some(outcome) => {
                        if self.record(intent, outcome).await.is_err() {
                            tracing::error!(change, "a change was not made, and that is not recorded yet");
                        }
                    }
                }
                Err(match error {
                    UpstreamError::Store(StoreError::Settled(change)) => ChangeError::TakenOver(change),
                    UpstreamError::Store(StoreError::PiecesGone) => ChangeError::PiecesGone(change),
                    UpstreamError::Store(source) if !source.is_in_doubt() => {
                        ChangeError::NotMade { change, source }
                    }
                    error => error.into(),
                })
            }
        }
    }

    /// Spends the token in the turn of its crate, which the caller has in this process. Gateways that serve the same store wait
    /// for each other, and for what one of them has left when it died.
    async fn begun_in_turn(
        &self,
        user: &User,
        signed: Signed,
        approving: Option<Approving>,
    ) -> Result<(Intent, Prepared), ChangeError> {
        let (until, mut pause) = (Instant::now() + FOR_OTHERS, FIRST_LOOK);
        loop {
            // A credential may not outlive the waiting.
            let prepared = self.upstream.prepare(user, &signed.mutation).await?;
            let begin = move |store: &Store, signed: &Signed| store.begin_in_turn(signed, approving);
            match self.spend(signed.clone(), begin).await {
                Err(ChangeError::NotNow(_)) if Instant::now() < until => sleep(pause).await,
                begun => return Ok((begun?, prepared)),
            }
            pause = LAST_LOOK.min(pause * 2);
            self.is_settled(&signed, until).await?;
        }
    }

    /// Spends the token. It is spent at the present time, which may be long after the request came: an upload takes its
    /// time.
    async fn spend(
        &self,
        mut signed: Signed,
        begin: impl FnOnce(&Store, &Signed) -> Result<Intent, SpendError> + Send + 'static,
    ) -> Result<Intent, ChangeError> {
        let begun = self.store.work(move |store| {
            signed.now = store.now();
            begin(store, &signed)
        });
        let begun = begun.await.map_err(|panic| ChangeError::NothingChanged(panic.into()))?;
        begun.map_err(|error| match error {
            SpendError::Refused(refusal) => ChangeError::Refused(refusal),
            SpendError::Approval(error) => ChangeError::Approval(error),
            SpendError::Full | SpendError::Share { .. } => ChangeError::Full(error),
            SpendError::InDoubt { intent, source } => {
                self.left_open.leave(*intent);
                ChangeError::InDoubt(source)
            }
            SpendError::Elsewhere(_) | SpendError::NotAlive => ChangeError::NotNow(error),
            SpendError::Store(error) => ChangeError::NothingChanged(error.into()),
        })
    }

    async fn make(
        &self,
        intent: &Intent,
        prepared: Prepared,
        change: Change,
    ) -> Result<Accepted, UpstreamError> {
        match change {
            Change::Publish(publication) | Change::Approve(_, publication) => {
                self.upstream.publish(intent, prepared, *publication).await
            }
            Change::SetYanked { version, yanked } => {
                self.upstream.set_yanked(intent, prepared, &version, yanked).await
            }
            Change::Owners(owners) => self.upstream.change_owners(intent, prepared, &owners).await,
            Change::ListOwners => {
                let owners = self.upstream.owners(&intent.user, intent.mutation.name()).await?;
                Ok(Accepted::Open(Some(owners)))
            }
        }
    }

    /// Whether a change may have been made although the answer does not say so. Either the answer left it open, or the
    /// version exists because an earlier attempt of the same user came through after it was given up.
    async fn may_be_made(&self, intent: &Intent, error: &UpstreamError) -> bool {
        match (error, &intent.mutation) {
            (UpstreamError::Conflict(_), Mutation::Publish { .. }) => {
                let intent = intent.clone();
                // If the store cannot tell, the answer counts.
                matches!(self.store.work(move |store| store.was_left_in_doubt(&intent)).await, Ok(Ok(true)))
            }
            _ => error.outcome().is_none(),
        }
    }

    /// Writes down the outcome of a change.
    async fn record(&self, intent: Intent, outcome: Outcome) -> Result<Point, Box<dyn Error + Send + Sync>> {
        self.note(&intent, &outcome);
        let recorded = self.store.work(move |store| store.answered(&intent, &outcome, store.now())).await??;
        self.checkpoints.appended();
        Ok(recorded)
    }

    /// Counts and logs the outcome of a change.
    fn note(&self, intent: &Intent, outcome: &Outcome) {
        self.metrics.changed(intent.mutation.kind(), outcome);
        tracing::info!(change = %intent, ?outcome, user = %intent.user, "settled");
    }
}

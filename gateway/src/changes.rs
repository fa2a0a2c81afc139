//! One change of a crate, from a token to a record. The token is spent, the change is made, its outcome is found out,
//! and the outcome is written down. In this order a crash, a full disk or a silent registry loses neither a change nor
//! its record. The built-in registry makes a change and writes its outcome down in one transaction.
//!
//! Changes of one crate take turns. A change goes on when the client that asked for it has gone.

mod left_open;
mod settlement;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use asymmetric_token::{CrateName, Mutation};
use semver::Version;
use tokio::sync::OwnedMutexGuard;
use tokio::task::JoinError;
use tokio::time::{Instant, sleep};
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::audit::Point;
use crate::background::blocking;
use crate::in_turn::InTurn;
use crate::metrics::Metrics;
use crate::policy::Refusal;
use crate::store::{DEAD_AFTER, Heads, Intent, Outcome, Signed, SpendError, Store, StoreError};
use crate::upstream::{Accepted, OwnersChange, Publication, Upstream, UpstreamError};
use left_open::LeftOpen;

/// How long a change waits for one of the same crate that another gateway makes. If that one has died, it counts as dead before.
const FOR_OTHERS: Duration = Duration::from_secs(2 * DEAD_AFTER.as_secs());
/// The time after which it is looked whether that gateway is ready. It is doubled after each look, up to [`LAST_LOOK`].
const FIRST_LOOK: Duration = Duration::from_millis(10);
const LAST_LOOK: Duration = Duration::from_millis(500);

/// The changes of one registry.
#[derive(Debug)]
pub(crate) struct Changes {
    store: Arc<Store>,
    heads: Arc<Heads>,
    upstream: Arc<Upstream>,
    metrics: Arc<Metrics>,
    in_turn: InTurn,
    left_open: LeftOpen,
    under_way: TaskTracker,
}

/// What to do for a token, beyond what the token says.
#[derive(Debug)]
pub(crate) enum Change {
    /// A new version.
    Publish(Box<Publication>),
    /// A version is yanked or unyanked.
    SetYanked { version: Version, yanked: bool },
    /// Owners are added or removed.
    Owners(OwnersChange),
    /// The owners are listed. That changes nothing, but cargo sends the same token for it.
    ListOwners,
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
    /// As many tokens were spent lately as the store can remember.
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
        "the registry failed before anything was changed; its log says why, so try again when it is mended"
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
        "{change} was not carried out, because the registry failed; its log says why, so run the command again when it is \
         mended"
    )]
    NotMade { change: String, source: StoreError },
    /// The store failed after the change.
    #[error(
        "{change} was carried out; that is not in the audit log yet, and will be written there as soon as it can be: there \
         is nothing to do, so do not run the command again"
    )]
    NotOnRecord { change: String, source: Box<dyn Error + Send + Sync> },
    /// A thread of this program panicked.
    #[error(transparent)]
    Panicked(#[from] JoinError),
}

impl Changes {
    pub(crate) fn new(
        store: Arc<Store>,
        heads: Arc<Heads>,
        upstream: Arc<Upstream>,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        let (in_turn, left_open) = (InTurn::default(), LeftOpen::default());
        Arc::new(Self { store, heads, upstream, metrics, in_turn, left_open, under_way: TaskTracker::new() })
    }

    /// Carries out a change, also if the caller stops waiting for it.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub(crate) async fn carry_out(
        self: &Arc<Self>,
        signed: Signed,
        change: Change,
    ) -> Result<Made, ChangeError> {
        self.under_way.spawn(self.clone().carried_out(signed, change).in_current_span()).await?
    }

    /// Waits for the changes that are under way. No more may come.
    pub(crate) async fn end(&self) {
        self.under_way.close();
        self.under_way.wait().await;
    }

    async fn carried_out(self: Arc<Self>, signed: Signed, change: Change) -> Result<Made, ChangeError> {
        let (_turn, intent) = match change {
            Change::ListOwners => {
                let turn = self.in_turn.wait(signed.mutation.name().as_str()).await;
                (turn, self.spend(signed, Store::begin).await?)
            }
            _ => self.begun_in_turn(signed).await?,
        };
        let mut made = self.make(&intent, change).await;
        if let Err(error) = &made
            && self.may_be_made(&intent, error).await
            && let Ok(Outcome::Done) = self.found_out(&intent).await
        {
            made = Ok(Accepted::Open(None));
        }
        match made {
            Ok(Accepted::Settled(recorded)) => {
                self.note(&intent, &Outcome::Done);
                self.keep_up_heads().await;
                Ok(Made { said: None, recorded })
            }
            Ok(Accepted::Open(said)) => {
                let change = intent.to_string();
                let recorded = self.record(intent, Outcome::Done).await;
                let recorded = recorded.map_err(|source| ChangeError::NotOnRecord { change, source })?;
                Ok(Made { said, recorded })
            }
            Err(error) => {
                let change = intent.to_string();
                match error.outcome() {
                    None => {
                        tracing::error!(change, user = %intent.user, "it is not known whether the change was made");
                        self.stays_open(&intent, &error).await;
                    }
                    Some(outcome) => {
                        if self.record(intent, outcome).await.is_err() {
                            tracing::error!(change, "a change was not made, and that is not on record yet");
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

    /// Spends the token in the turn of its crate, with everything settled that was left open of it. Gateways that serve the same
    /// store wait for each other, and for what one of them has left when it died.
    async fn begun_in_turn(&self, signed: Signed) -> Result<(OwnedMutexGuard<()>, Intent), ChangeError> {
        let turn = self.settled_turn(&signed).await?;
        let (until, mut pause) = (Instant::now() + FOR_OTHERS, FIRST_LOOK);
        loop {
            match self.spend(signed.clone(), Store::begin_in_turn).await {
                Err(ChangeError::NotNow(_)) if Instant::now() < until => sleep(pause).await,
                begun => return Ok((turn, begun?)),
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
        begin: fn(&Store, &Signed) -> Result<Intent, SpendError>,
    ) -> Result<Intent, ChangeError> {
        let store = self.store.clone();
        let begun = blocking(move || {
            signed.now = store.now();
            begin(&store, &signed)
        });
        let begun = begun.await.map_err(|panic| ChangeError::NothingChanged(panic.into()))?;
        begun.map_err(|error| match error {
            SpendError::Refused(refusal) => ChangeError::Refused(refusal),
            SpendError::Full => ChangeError::Full(error),
            SpendError::Store(error) if error.is_in_doubt() => ChangeError::InDoubt(error),
            SpendError::Elsewhere(_) | SpendError::NotAlive => ChangeError::NotNow(error),
            SpendError::Store(error) => ChangeError::NothingChanged(error.into()),
        })
    }

    async fn make(&self, intent: &Intent, change: Change) -> Result<Accepted, UpstreamError> {
        match change {
            Change::Publish(publication) => self.upstream.publish(intent, *publication).await,
            Change::SetYanked { version, yanked } => self.upstream.set_yanked(intent, &version, yanked).await,
            Change::Owners(owners) => self.upstream.change_owners(intent, &owners).await,
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
                let (store, intent) = (self.store.clone(), intent.clone());
                // If the store cannot tell, the answer counts.
                matches!(blocking(move || store.was_left_in_doubt(&intent)).await, Ok(Ok(true)))
            }
            _ => error.outcome().is_none(),
        }
    }

    /// Writes down the outcome of a change.
    async fn record(&self, intent: Intent, outcome: Outcome) -> Result<Point, Box<dyn Error + Send + Sync>> {
        self.note(&intent, &outcome);
        let store = self.store.clone();
        let recorded = blocking(move || store.answered(&intent, &outcome, store.now())).await??;
        self.keep_up_heads().await;
        Ok(recorded)
    }

    /// Counts and logs the outcome of a change.
    fn note(&self, intent: &Intent, outcome: &Outcome) {
        self.metrics.changed(intent.mutation.kind(), outcome);
        tracing::info!(change = %intent, ?outcome, user = %intent.user, "settled");
    }

    /// What was settled is on record. If no head can be signed now, the next one signs for its entry too.
    async fn keep_up_heads(&self) {
        let (store, heads) = (self.store.clone(), self.heads.clone());
        if let Ok(Err(error)) = blocking(move || heads.keep_up(&store, store.now())).await {
            tracing::error!(%error, "the head of the audit log could not be signed");
        }
    }
}

//! One change of a crate, from a token to a record. The token is spent, the change is made, its outcome is found out,
//! and the outcome is written down. In this order a crash, a full disk or a silent registry [behind] loses neither a change nor
//! its record. In the built-in registry, which is [here], all of that is one transaction.
//!
//! Changes of one crate take turns, and of each user one stands in line: whoever may change nothing of a crate, which a registry
//! behind says only when it is asked, cannot put more than that before its owners. A change goes on when the client that asked
//! for it has gone.

mod behind;
mod here;
mod left_open;
mod room;
mod settlement;
mod waiting;

use std::error::Error;
use std::sync::Arc;

use asymmetric_token::CrateName;
use semver::Version;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::audit::Point;
use crate::background::Panicked;
use crate::in_turn::InTurn;
use crate::keys::User;
use crate::metrics::Metrics;
use crate::policy::Refusal;
use crate::store::{
    ApprovalError, Approving, Checkpoints, Intent, Outcome, Signed, SpendError, Store, StoreError,
};
use crate::upstream::{OwnersChange, Publication, Upstream, UpstreamError};
use left_open::LeftOpen;
use room::AT_ONCE;
pub(crate) use room::{Room, Rooms};

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
    /// Another attempt with the same file took away what was sent.
    #[error(
        "nothing was changed, because another attempt with the same file was given up during the upload; run the command again"
    )]
    PiecesGone,
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
    /// What was received could not be sent to the registry behind.
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
        match &*self.upstream {
            Upstream::BuiltIn(_) => self.made_here(signed, change).await,
            Upstream::Remote(remote) => self.made_behind(remote, room.user(), signed, change).await,
        }
    }

    /// Counts and logs the outcome of a change that is on record.
    fn note(&self, intent: &Intent, outcome: &Outcome) {
        self.metrics.changed(intent.mutation.kind(), outcome);
        tracing::info!(change = %intent, ?outcome, user = %intent.user, "settled");
    }
}

/// Why a token was not spent. Whether it was may also be in doubt, of which the caller knows more.
impl From<SpendError> for ChangeError {
    fn from(error: SpendError) -> Self {
        match error {
            SpendError::Refused(refusal) => Self::Refused(refusal),
            SpendError::Approval(error) => Self::Approval(error),
            SpendError::Full | SpendError::Share { .. } => Self::Full(error),
            SpendError::Elsewhere(_) | SpendError::NotAlive => Self::NotNow(error),
            SpendError::Store(StoreError::PiecesGone) => Self::PiecesGone,
            SpendError::InDoubt { source, .. } => Self::InDoubt(source),
            SpendError::Store(error) => Self::NothingChanged(error.into()),
        }
    }
}

//! Intents that a crash left without an outcome: the registry behind is asked what became of them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use asymmetric_token::Mutation;
use jiff::{SignedDuration, Timestamp};

use crate::store::{Intent, Outcome, Store, StoreError};
use crate::upstream::{Upstream, UpstreamError};

/// Why an intent cannot be settled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettlementError {
    /// The registry behind does not tell.
    #[error("what became of {intent} cannot be found out")]
    Upstream {
        /// The intent, in words.
        intent: String,
        /// Why.
        source: UpstreamError,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Settles every open intent that was begun before this time.
pub(crate) async fn settle(
    store: &Store,
    upstream: &dyn Upstream,
    before: Timestamp,
) -> Result<(), SettlementError> {
    for intent in store.open_intents()?.into_iter().filter(|intent| intent.time < before) {
        let outcome = found_out(store, upstream, &intent)
            .await
            .map_err(|source| SettlementError::Upstream { intent: intent.to_string(), source })?;
        tracing::warn!(change = %intent, ?outcome, "was under way when the gateway ended");
        store.settle(&intent, &outcome, Timestamp::now())?;
    }
    Ok(())
}

/// How old an open intent is before it is taken for abandoned. No change takes as long.
const ABANDONED: SignedDuration = SignedDuration::from_mins(10);
/// Between two looks.
const PAUSE: Duration = Duration::from_secs(60);

/// Settles, while a gateway runs, what the registry behind left open. Never ends.
pub(crate) async fn keep_settling(store: Arc<Store>, upstream: Arc<dyn Upstream>) {
    loop {
        tokio::time::sleep(PAUSE).await;
        if let Err(error) = settle(&store, upstream.as_ref(), Timestamp::now() - ABANDONED).await {
            tracing::error!(%error, "still open");
        }
    }
}

/// What became of a change, by what is there now. A version is published by one token: if another is on record for it, this
/// one did nothing.
pub(crate) async fn found_out(
    store: &Store,
    upstream: &dyn Upstream,
    intent: &Intent,
) -> Result<Outcome, UpstreamError> {
    let (name, version) = (intent.mutation.name(), intent.mutation.version());
    let state = match version {
        Some(version) => upstream.state(&intent.user, name, version).await?,
        None => None,
    };
    let done = match &intent.mutation {
        Mutation::Publish { name, version, checksum } => {
            state.is_some_and(|state| state.checksum == *checksum)
                && store.published(Some((name.as_str(), &version.to_string())))?.is_empty()
        }
        Mutation::Yank { .. } => state.is_some_and(|state| state.yanked),
        Mutation::Unyank { .. } => state.is_some_and(|state| !state.yanked),
        Mutation::Owners { .. } => false,
    };
    Ok(if done { Outcome::Done } else { Outcome::Failed("interrupted".to_owned()) })
}

impl fmt::Display for Intent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mutation = &self.mutation;
        write!(f, "the {} of {}", mutation.kind(), mutation.name())?;
        match mutation.version() {
            Some(version) => write!(f, " {version}"),
            None => Ok(()),
        }
    }
}

//! Intents that a crash left without an outcome: the registry behind is asked what became of them.

use std::fmt;

use asymmetric_token::Mutation;
use jiff::Timestamp;

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

/// Settles every open intent.
pub(crate) async fn settle_all(store: &Store, upstream: &dyn Upstream) -> Result<(), SettlementError> {
    for intent in store.open_intents()? {
        let outcome = found_out(upstream, &intent)
            .await
            .map_err(|source| SettlementError::Upstream { intent: intent.to_string(), source })?;
        tracing::warn!(change = %intent, ?outcome, "was under way when the gateway ended");
        store.settle(&intent, &outcome, Timestamp::now())?;
    }
    Ok(())
}

/// What became of a change, by what is there now.
pub(crate) async fn found_out(upstream: &dyn Upstream, intent: &Intent) -> Result<Outcome, UpstreamError> {
    let (name, version) = (intent.mutation.name(), intent.mutation.version());
    let state = match version {
        Some(version) => upstream.state(&intent.user, name, version).await?,
        None => None,
    };
    let done = match &intent.mutation {
        Mutation::Publish { checksum, .. } => state.is_some_and(|state| state.checksum == *checksum),
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

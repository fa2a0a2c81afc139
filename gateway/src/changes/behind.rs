//! Changes of a registry behind. The token is spent first, and what comes of it is written down when the registry has answered.

use std::error::Error;

use asymmetric_token::Mutation;

use super::waiting::Waiting;
use super::{Change, ChangeError, Changes, Made};
use crate::audit::Point;
use crate::keys::User;
use crate::store::{Approving, Intent, Outcome, Signed, SpendError, Store, StoreError};
use crate::upstream::{Prepared, Remote, UpstreamError};

impl Changes {
    /// Spends the token, has the registry make the change, and writes down what came of it.
    pub(super) async fn made_behind(
        &self,
        remote: &Remote,
        user: &User,
        signed: Signed,
        change: Change,
    ) -> Result<Made, ChangeError> {
        let (intent, prepared) = match change {
            Change::ListOwners => {
                let prepared = remote.prepare(user, &signed.mutation).await?;
                (self.spend(signed, Store::begin).await?, prepared)
            }
            _ => self.begun_in_turn(remote, user, signed, change.approves()).await?,
        };
        let mut made = make(remote, &intent, prepared, change).await;
        if let Err(error) = &made
            && self.may_be_made(&intent, error).await
            && let Ok(Outcome::Done) = self.found_out(&intent).await
        {
            made = Ok(None);
        }
        let change = intent.to_string();
        match made {
            Ok(said) => {
                let recorded = self.record(intent, Outcome::Done).await;
                let recorded = recorded.map_err(|source| match source.downcast_ref() {
                    Some(StoreError::IntentLost(_)) => ChangeError::IntentLost(change),
                    _ => ChangeError::NotOnRecord { change, source },
                })?;
                Ok(Made { said, recorded })
            }
            Err(error) => {
                match error.outcome() {
                    None => {
                        tracing::error!(change, user = %intent.user, "it is unknown whether the change was made");
                        self.stays_open(&intent, &error).await;
                    }
                    Some(outcome) => {
                        if self.record(intent, outcome).await.is_err() {
                            tracing::error!(change, "a change was not made, and that is not recorded yet");
                        }
                    }
                }
                Err(match error {
                    UpstreamError::Store(source) => ChangeError::NotMade { change, source },
                    error => error.into(),
                })
            }
        }
    }

    /// Spends the token in the turn of its crate, which the caller has in this process. Gateways that serve the same store wait
    /// for each other, and for what one of them has left when it died.
    async fn begun_in_turn(
        &self,
        remote: &Remote,
        user: &User,
        signed: Signed,
        approving: Option<Approving>,
    ) -> Result<(Intent, Prepared), ChangeError> {
        let mut waiting = Waiting::begin();
        loop {
            // A credential may not outlive the waiting.
            let prepared = remote.prepare(user, &signed.mutation).await?;
            let begin = move |store: &Store, signed: &Signed| store.begin_in_turn(signed, approving);
            match self.spend(signed.clone(), begin).await {
                Err(ChangeError::NotNow(_)) if !waiting.is_over() => {
                    self.wait_for_others(&mut waiting, &signed).await?;
                }
                begun => return Ok((begun?, prepared)),
            }
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
        begun.map_err(|error| {
            if let SpendError::InDoubt { intent, .. } = &error {
                self.left_open.leave((**intent).clone());
            }
            error.into()
        })
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
}

impl Change {
    /// The staged version that it publishes, if it does.
    fn approves(&self) -> Option<Approving> {
        if let Self::Approve(approving, _) = self { Some(*approving) } else { None }
    }
}

/// Has a change made, which is what this intent is about. Returns what the registry said that cargo shows, in JSON.
async fn make(
    remote: &Remote,
    intent: &Intent,
    prepared: Prepared,
    change: Change,
) -> Result<Option<Vec<u8>>, UpstreamError> {
    let (user, name) = (&intent.user, intent.mutation.name());
    let said = match change {
        Change::Publish(publication) | Change::Approve(_, publication) => {
            remote.publish(user, prepared, *publication).await?
        }
        Change::SetYanked { version, yanked } => {
            remote.set_yanked(user, prepared, name, &version, yanked).await?;
            None
        }
        Change::Owners(owners) => remote.change_owners(user, prepared, name, &owners).await?,
        Change::ListOwners => return remote.owners(user, name).await.map(Some),
    };
    Ok(said.map(|said| said.to_string().into_bytes()))
}

//! Changes of the built-in registry.

use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{Change, ChangeError, Changes, FIRST_LOOK, FOR_OTHERS, LAST_LOOK, Made};
use crate::index::Line;
use crate::policy::Refusal;
use crate::store::{Approving, NewVersion, Outcome, Owner, Settled, Signed, SpendError, Store};
use crate::upstream::{Publication, UpstreamError};

/// A change, as the store takes it.
enum Here {
    Publish(Option<Approving>, Box<NewVersion>),
    SetYanked { version: String, yanked: bool },
    ListOwners,
}

impl Changes {
    /// Spends the token, makes the change, and writes down what came of it.
    pub(super) async fn made_here(&self, signed: Signed, change: Change) -> Result<Made, ChangeError> {
        let change = Here::of(change)?;
        match self.settled_here(signed, change).await? {
            Ok(Settled { intent, made, recorded }) => {
                let outcome = match &made {
                    Ok(_) => Outcome::Done,
                    Err(refused) => Outcome::Refused(refused.to_string()),
                };
                self.note(&intent, &outcome);
                self.checkpoints.appended();
                Ok(Made { said: made.map_err(UpstreamError::from)?, recorded })
            }
            Err(SpendError::InDoubt { intent, source }) => {
                let asked = intent.clone();
                if let Ok(Some((Outcome::Done, recorded))) =
                    self.store.asked(move |store| store.outcome(&asked)).await
                {
                    self.note(&intent, &Outcome::Done);
                    self.checkpoints.appended();
                    return Ok(Made { said: None, recorded });
                }
                tracing::error!(change = %intent, user = %intent.user, "it is unknown whether the change was made");
                self.left_open.leave(*intent);
                Err(UpstreamError::Store(source).into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A gateway that counts as dead waits until it counts as alive, and all wait for an earlier program that makes a change in steps, and
    /// for what it has left when it died.
    async fn settled_here(
        &self,
        signed: Signed,
        mut change: Here,
    ) -> Result<Result<Settled<Option<Vec<u8>>>, SpendError>, ChangeError> {
        let (until, mut pause) = (Instant::now() + FOR_OTHERS, FIRST_LOOK);
        loop {
            let spent = signed.clone();
            let tried = self.store.work(move |store| (change.settle(store, spent), change)).await;
            let settled;
            (settled, change) = tried.map_err(|panic| ChangeError::NothingChanged(panic.into()))?;
            match settled {
                Err(error) if error.is_passing() && Instant::now() < until => sleep(pause).await,
                settled => return Ok(settled),
            }
            pause = LAST_LOOK.min(pause * 2);
            self.is_settled(&signed, until).await?;
        }
    }
}

impl Here {
    fn of(change: Change) -> Result<Self, Refusal> {
        let publish = |approving, publication: Publication| {
            let Publication { metadata, file, checksum, .. } = publication;
            let line = Line::new(&metadata, checksum);
            let version = NewVersion::new(line, metadata.description.in_lists(), file);
            Self::Publish(approving, version.into())
        };
        Ok(match change {
            Change::Publish(publication) => publish(None, *publication),
            Change::Approve(approving, publication) => publish(Some(approving), *publication),
            Change::SetYanked { version, yanked } => Self::SetYanked { version: version.to_string(), yanked },
            Change::ListOwners => Self::ListOwners,
            // Whoever publishes a crate first owns it for good.
            Change::Owners(_) => return Err(Refusal::OwnersOff),
        })
    }

    /// The token is spent at the present time, which may be long after the request came: an upload takes its time. Returns what
    /// cargo shows.
    fn settle(&mut self, store: &Store, mut signed: Signed) -> Result<Settled<Option<Vec<u8>>>, SpendError> {
        signed.now = store.now();
        match self {
            Self::Publish(approving, version) => {
                Ok(store.publish(&signed, *approving, version)?.map(|()| None))
            }
            Self::SetYanked { version, yanked } => {
                Ok(store.set_yanked(&signed, version, *yanked)?.map(|()| None))
            }
            Self::ListOwners => Ok(store.list_owners(&signed)?.map(|owner| Some(listed(&owner)))),
        }
    }
}

/// In the JSON of the Cargo book, "Registry Web API".
fn listed(owner: &Owner) -> Vec<u8> {
    let users = json!([{ "id": owner.id, "login": owner.name, "name": null }]);
    json!({ "users": users }).to_string().into_bytes()
}

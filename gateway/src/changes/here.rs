//! Changes of the built-in registry.

use serde_json::json;

use super::waiting::Waiting;
use super::{Change, ChangeError, Changes, Made};
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
        let Settled { intent, made, recorded } = self.settled_here(signed, change).await?;
        self.note(&intent, &Outcome::from(&made));
        self.checkpoints.appended();
        Ok(Made { said: made.map_err(UpstreamError::from)?, recorded })
    }

    /// A gateway that counts as dead waits until it counts as alive, and all wait for an earlier program that makes a change in steps, and
    /// for what it has left when it died.
    async fn settled_here(
        &self,
        signed: Signed,
        mut change: Here,
    ) -> Result<Settled<Option<Vec<u8>>>, ChangeError> {
        let mut waiting = Waiting::begin();
        loop {
            let spent = signed.clone();
            let tried = self.store.work(move |store| (change.settle(store, spent), change)).await;
            let settled;
            (settled, change) = tried.map_err(|panic| ChangeError::NothingChanged(panic.into()))?;
            match settled {
                Err(error) if error.is_passing() && !waiting.is_over() => {
                    self.wait_for_others(&mut waiting, &signed).await?;
                }
                Err(SpendError::InDoubt { intent, source }) => {
                    tracing::error!(change = %intent, user = %intent.user, "it is unknown whether the change was made");
                    self.left_open.leave(*intent);
                    return Err(UpstreamError::Store(source).into());
                }
                settled => return Ok(settled?),
            }
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
        if let Self::Publish(_, version) = self {
            version.make_ready(store)?;
        }
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

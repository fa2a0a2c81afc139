//! Who may have an upload unpacked now. While one is looked through, some 10 MB are held for it: of its paths, its `Cargo.toml` and
//! its readme. That is before its token is spent, so that one token can be sent many times at once.

use std::sync::Arc;

use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

use crate::in_turn::InTurn;
use crate::keys::User;

/// As many as can be worked on at once, and one of each user, who may have many keys: so nobody waits for all uploads of somebody else.
#[derive(Debug)]
pub(crate) struct Unpacking {
    users: InTurn,
    room: Arc<Semaphore>,
}

/// Leave to unpack, as long as it is held: by the work itself, which goes on when nobody waits for its answer any more.
pub(crate) struct Turn {
    _user: OwnedMutexGuard<()>,
    _room: Option<OwnedSemaphorePermit>,
}

impl Unpacking {
    pub(crate) fn new(at_once: usize) -> Self {
        Self { users: InTurn::default(), room: Arc::new(Semaphore::new(at_once)) }
    }

    /// Waits until an upload of this user's may be unpacked.
    pub(crate) async fn turn(&self, user: &User) -> Turn {
        let user = self.users.wait(user.as_str()).await;
        // It is never closed.
        Turn { _user: user, _room: self.room.clone().acquire_owned().await.ok() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        /// All come to their turn, never more than there is room for, and never two of one user.
        #[test]
        fn all_have_their_turn(uploads in prop::collection::vec((0_usize..5, 0_usize..4), 0..60), at_once in 1_usize..4) {
            let (unpacking, now) = (Arc::new(Unpacking::new(at_once)), Arc::new(<[AtomicUsize; 6]>::default()));
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
            runtime.block_on(async {
                let tasks: Vec<_> = uploads.into_iter().map(|(user, length)| {
                    let (unpacking, now) = (unpacking.clone(), now.clone());
                    tokio::spawn(async move {
                        let name: User = user.to_string().parse().unwrap();
                        let _turn = unpacking.turn(&name).await;
                        assert!(now[5].fetch_add(1, Ordering::SeqCst) < at_once);
                        assert_eq!(now[user].fetch_add(1, Ordering::SeqCst), 0);
                        for _ in 0..length {
                            tokio::task::yield_now().await;
                        }
                        now[user].fetch_sub(1, Ordering::SeqCst);
                        now[5].fetch_sub(1, Ordering::SeqCst);
                    })
                }).collect();
                for task in tasks {
                    task.await.unwrap();
                }
            });
        }
    }
}

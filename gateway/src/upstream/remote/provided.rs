//! What a user's credential provider has given, kept as long as it says.
//!
//! A credential is renewed a minute before its end. Of a short life a quarter is left then, and for a change a half: an upload takes its
//! time. One program runs for a user at a time. Reads that wait for it take what it gives, also an error; nobody waits longer than it
//! may take.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use asymmetric_token::Mutation;
use axum::http::HeaderValue;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Mutex as Turn, Semaphore};
use tokio::time::timeout;

use crate::credential_provider::{Given, Lasts, Provider, ProviderError};

/// How long before its end a credential is renewed.
const BEFORE_ITS_END: SignedDuration = SignedDuration::from_secs(60);
/// How many providers run at once, whoever's they are.
const AT_ONCE: usize = 8;

static RUNNING: Semaphore = Semaphore::const_new(AT_ONCE);

/// One user's provider.
pub(super) struct Provided {
    provider: Provider,
    /// The row of the store that named it. Setting it again makes another one.
    sealed: Vec<u8>,
    /// How long it may take.
    deadline: Duration,
    kept: Mutex<Kept>,
    turn: Turn<()>,
}

#[derive(Default)]
struct Kept {
    /// What is good for everything, and what is good for reads.
    all: Option<Fresh>,
    reads: Option<Fresh>,
    /// When it gave nothing for reads.
    failed: Option<(Instant, Arc<ProviderError>)>,
}

struct Fresh {
    credential: HeaderValue,
    lasts: Lasts,
    since: Timestamp,
}

impl Provided {
    pub(super) fn new(provider: Provider, sealed: Vec<u8>, deadline: Duration) -> Arc<Self> {
        Arc::new(Self { provider, sealed, deadline, kept: Mutex::default(), turn: Turn::default() })
    }

    pub(super) fn is_of(&self, sealed: &[u8]) -> bool {
        self.sealed == sealed
    }

    /// A credential for reads, or for a change, and how long it is good.
    pub(super) async fn credential(
        &self,
        index: &str,
        change: Option<&Mutation>,
    ) -> Result<(HeaderValue, Lasts), Arc<ProviderError>> {
        let asked = Instant::now();
        if let Some(credential) = self.kept().fresh(change.is_some(), Timestamp::now()) {
            return Ok(credential);
        }
        let too_late = |_| Arc::new(ProviderError::TooLate(self.deadline));
        let _turn = timeout(self.deadline, self.turn.lock()).await.map_err(too_late)?;
        {
            let kept = self.kept();
            if let Some(credential) = kept.fresh(change.is_some(), Timestamp::now()) {
                return Ok(credential);
            }
            if let Some((at, error)) = &kept.failed
                && change.is_none()
                && *at > asked
            {
                return Err(error.clone());
            }
        }
        let _running = timeout(self.deadline, RUNNING.acquire()).await.map_err(too_late)?;
        match self.provider.ask(index, change, self.deadline).await {
            Ok(given) => {
                let credential = (given.credential.clone(), given.lasts);
                self.kept().keep(given, change.is_some(), Timestamp::now());
                Ok(credential)
            }
            Err(error) => {
                let error = Arc::new(error);
                if change.is_none() {
                    self.kept().failed = Some((Instant::now(), error.clone()));
                }
                Err(error)
            }
        }
    }

    /// The registry does not take a credential any more.
    pub(super) fn forget(&self, credential: &HeaderValue) {
        let mut kept = self.kept();
        let Kept { all, reads, .. } = &mut *kept;
        for fresh in [all, reads] {
            if fresh.as_ref().is_some_and(|fresh| fresh.credential == *credential) {
                *fresh = None;
            }
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn fresh(&self, change: bool, now: Timestamp) -> Option<(HeaderValue, Lasts)> {
        let reads = self.reads.as_ref().filter(|_| !change);
        let fresh = self.all.iter().chain(reads).find(|fresh| fresh.is_good(change, now));
        fresh.map(|fresh| (fresh.credential.clone(), fresh.lasts))
    }

    fn keep(&mut self, given: Given, change: bool, now: Timestamp) {
        let Given { credential, lasts, for_all } = given;
        let fresh = Some(Fresh { credential, lasts, since: now });
        match (lasts, for_all, change) {
            (Lasts::Once, _, _) | (_, false, true) => {}
            (_, true, _) => self.all = fresh,
            (_, false, false) => self.reads = fresh,
        }
    }
}

impl Fresh {
    fn is_good(&self, change: bool, now: Timestamp) -> bool {
        match self.lasts {
            Lasts::Once => false,
            Lasts::Session => true,
            Lasts::Until(end) => {
                let part = end.duration_since(self.since) / if change { 2 } else { 4 };
                end.duration_since(now) > part.min(BEFORE_ITS_END)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan as _;

    use super::*;

    fn given(lasts: Lasts, for_all: bool) -> Given {
        Given { credential: HeaderValue::from_static("s3cret"), lasts, for_all }
    }

    #[test]
    fn is_renewed_before_its_end() {
        let start: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
        let good = |life: i64, change, after: i64| {
            let mut kept = Kept::default();
            kept.keep(given(Lasts::Until(start + life.seconds()), true), false, start);
            kept.fresh(change, start + after.seconds()).is_some()
        };
        assert!(good(3600, false, 3539) && !good(3600, false, 3540));
        assert!(good(3600, true, 3539) && !good(3600, true, 3540));
        assert!(good(40, false, 29) && !good(40, false, 30));
        assert!(good(40, true, 19) && !good(40, true, 20));
        assert!(!good(3600, false, 4000));
    }

    #[test]
    fn is_kept_for_what_it_is_good_for() {
        let now = Timestamp::now();
        let after = |lasts, for_all, change| {
            let mut kept = Kept::default();
            kept.keep(given(lasts, for_all), change, now);
            [false, true].map(|change| kept.fresh(change, now).is_some())
        };
        assert_eq!(after(Lasts::Session, true, false), [true, true]);
        assert_eq!(after(Lasts::Session, true, true), [true, true]);
        assert_eq!(after(Lasts::Session, false, false), [true, false]);
        assert_eq!(after(Lasts::Session, false, true), [false, false]);
        assert_eq!(after(Lasts::Once, true, false), [false, false]);
    }
}

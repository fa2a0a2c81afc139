//! Looking at several cards at once.

use std::{
    panic::resume_unwind,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, channel},
    },
    time::Instant,
};

use super::{
    AfterReset, Caught, Error, ReaderName, Readers, Terms, caught,
    session::{self, Progress},
    worker::Worker,
};
use crate::piv::Piv;

/// Looks that have begun. When this is dropped, nobody waits any more for those that are not done.
pub(crate) struct Looks<'a, T, E> {
    readers: &'a Readers,
    answers: Receiver<(usize, Caught<Result<T, E>>)>,
    unanswered: Vec<Option<(ReaderName, Worker)>>,
    is_awaited: Arc<AtomicBool>,
}

impl<'a, T: Send + 'static, E: From<Error> + Send + 'static> Looks<'a, T, E> {
    pub(super) fn begin(
        readers: &'a Readers,
        names: &[ReaderName],
        work: impl FnMut(&mut Piv<'_>) -> Result<T, E> + Clone + Send + 'static,
    ) -> Result<Self, Error> {
        let patience = readers.deadlines.connect;
        let terms = Terms { limit: patience, after_reset: AfterReset::Repeat };
        let (tell, answers) = channel();
        let is_awaited = Arc::new(AtomicBool::new(true));
        let mut unanswered = Vec::with_capacity(names.len());
        for (position, name) in names.iter().enumerate() {
            let (mut work, tell, reader) = (work.clone(), tell.clone(), name.clone());
            let progress = Awaited(Arc::clone(&is_awaited));
            let worker = readers.worker();
            worker.submit(move |service| {
                let answer = caught(|| session::run(service, &reader, patience, terms, &mut work, &progress));
                let _ = tell.send((position, answer));
            })?;
            unanswered.push(Some((name.clone(), worker)));
        }
        Ok(Self { readers, answers, unanswered, is_awaited })
    }

    /// The next card that has answered, in whichever order they do; `None` if none does until then, or all have.
    pub(crate) fn next_until(&mut self, until: Instant) -> Option<(ReaderName, Result<T, E>)> {
        self.unanswered().next()?;
        let left = until.saturating_duration_since(Instant::now());
        let (position, answer) = self.answers.recv_timeout(left).ok()?;
        let (name, worker) = self.unanswered.get_mut(position)?.take()?;
        self.readers.is_idle(worker);
        Some((name, answer.unwrap_or_else(|panic| resume_unwind(panic))))
    }

    /// Those that have not answered, in the order in which they were given.
    pub(crate) fn unanswered(&self) -> impl Iterator<Item = &ReaderName> {
        self.unanswered.iter().flatten().map(|(name, _)| name)
    }

    /// Says of each of these that it is waited for.
    pub(crate) fn tell(&self) {
        self.unanswered().for_each(self.readers.waiting);
    }
}

impl<T, E> Drop for Looks<'_, T, E> {
    fn drop(&mut self) {
        self.is_awaited.store(false, Ordering::Relaxed);
        for (_, worker) in self.unanswered.drain(..).flatten() {
            worker.abandon();
        }
    }
}

/// Whether somebody still waits for the answer.
struct Awaited(Arc<AtomicBool>);

impl Progress for Awaited {
    fn connecting(&self) -> Result<(), Error> {
        if self.0.load(Ordering::Relaxed) { Ok(()) } else { Err(Error::Stopped) }
    }

    fn begun(&self) -> Result<(), Error> {
        self.connecting()
    }
}

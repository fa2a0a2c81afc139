//! A limit for how long the other end of a connection may be silent.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

/// A time limit that begins anew with each event. No timer runs while nothing is waited for.
#[derive(Debug)]
pub(crate) struct Patience {
    limit: Duration,
    running: Option<Pin<Box<Sleep>>>,
}

/// Nothing happened for too long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Silent;

impl Patience {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, running: None }
    }

    /// Passes on what was polled, or [`Silent`] once it has been pending for longer than the limit.
    pub(crate) fn poll<T>(&mut self, context: &mut Context<'_>, polled: Poll<T>) -> Poll<Result<T, Silent>> {
        match polled {
            Poll::Ready(ready) => {
                self.running = None;
                Poll::Ready(Ok(ready))
            }
            Poll::Pending => {
                let running = self.running.get_or_insert_with(|| Box::pin(sleep(self.limit)));
                running.as_mut().poll(context).map(|()| Err(Silent))
            }
        }
    }
}

//! Work that may block on the disk, the database or a processor.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, PoisonError};

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Semaphore;
use tokio::task::{JoinError, block_in_place, spawn_blocking};
use tracing::Span;

/// How many of the threads that serve may be busy with [`soon`] at once. Where many publish, the others go on serving who reads.
static HERE: Semaphore = Semaphore::const_new(1);

/// The work panicked. The hook for panics has reported it.
#[derive(thiserror::Error)]
#[error("a thread of this program panicked")]
pub(crate) struct Panicked(Mutex<Box<dyn Any + Send>>);

/// Runs work on a thread other than those that serve. What it logs belongs to the same request. It goes on if nobody waits for it
/// any more.
///
/// # Errors
/// If the work panicked.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Panicked> {
    let request = Span::current();
    Ok(spawn_blocking(move || request.in_scope(work)).await?)
}

/// Runs work that computes, or waits for this computer's disk only: on this thread, whose other tasks go to another meanwhile. To wake a
/// thread for the work, and this one for the answer, costs a few microseconds on idle processors and milliseconds on busy ones.
///
/// # Errors
/// If the work panicked.
pub(crate) async fn soon<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Panicked> {
    match HERE.try_acquire() {
        Ok(_here) if Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread => {
            block_in_place(|| catch_unwind(AssertUnwindSafe(work))).map_err(Panicked::with)
        }
        _ => blocking(work).await,
    }
}

impl Panicked {
    fn with(payload: Box<dyn Any + Send>) -> Self {
        Self(Mutex::new(payload))
    }

    /// Panics here too.
    pub(crate) fn resume<T>(self) -> T {
        resume_unwind(self.0.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}

impl From<JoinError> for Panicked {
    fn from(error: JoinError) -> Self {
        Self::with(error.try_into_panic().unwrap_or_else(|ended| Box::new(ended.to_string())))
    }
}

impl std::fmt::Debug for Panicked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Panicked(..)")
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Builder;

    use super::*;

    #[test]
    fn a_panic_is_an_error_wherever_the_work_ran() {
        for runtime in [
            Builder::new_multi_thread().worker_threads(1).build().unwrap(),
            Builder::new_current_thread().build().unwrap(),
        ] {
            runtime.block_on(async {
                let failed = tokio::spawn(soon(|| -> u8 { panic!("as it is to be") })).await.unwrap();
                let payload = catch_unwind(AssertUnwindSafe(|| failed.unwrap_or_else(Panicked::resume)));
                assert_eq!(payload.unwrap_err().downcast_ref(), Some(&"as it is to be"));
                assert_eq!(tokio::spawn(soon(|| 7)).await.unwrap().unwrap(), 7);
            });
        }
    }

    /// A thread that serves does the work, and others serve meanwhile.
    #[test]
    fn whoever_has_work_here_keeps_nobody_waiting() {
        let runtime = Builder::new_multi_thread().worker_threads(1).build().unwrap();
        runtime.block_on(async {
            let (send, receive) = std::sync::mpsc::channel();
            let working = tokio::spawn(soon(move || receive.recv()));
            tokio::spawn(async move { send.send(()) }).await.unwrap().unwrap();
            assert_eq!(working.await.unwrap().unwrap(), Ok(()));
        });
    }
}

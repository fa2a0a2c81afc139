//! Work that may wait for the disk or for the database, away from the threads that serve.

use tokio::task::{JoinError, spawn_blocking};
use tracing::Span;

/// Runs it on a thread of its own. What it logs belongs to the same request.
///
/// # Errors
/// If it panicked.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    let request = Span::current();
    spawn_blocking(move || request.in_scope(work)).await
}

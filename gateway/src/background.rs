//! Work that may block on the disk or the database. It runs on threads other than those that serve.

use tokio::task::{JoinError, spawn_blocking};
use tracing::Span;

/// Runs work that may block. What it logs belongs to the same request.
///
/// # Errors
/// If the work panicked.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    let request = Span::current();
    spawn_blocking(move || request.in_scope(work)).await
}

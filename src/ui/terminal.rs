//! The controlling terminal: the only way to ask while cargo owns stdin and stdout.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(super) use unix::Terminal;
#[cfg(unix)]
pub use unix::restore;
#[cfg(windows)]
pub(super) use windows::Terminal;
#[cfg(windows)]
pub use windows::restore;

/// Where a question would go.
pub(super) enum Found {
    /// To a person.
    Ours(Terminal),
    /// There is a terminal, but this process is in its background: a question would stop the process.
    #[cfg(unix)]
    Background,
    /// Nowhere.
    Nothing,
}

//! The one program that we may have running for us: the PIN command, or pinentry.
//!
//! It is a child of a process that may have to exit at any moment, because cargo is gone; then nobody would be left to
//! end it, and a window would go on asking for a PIN that nobody waits for.

use std::process::Child;
use std::sync::{Mutex, PoisonError};

static RUNNING: Mutex<Option<u32>> = Mutex::new(None);

/// A running child. Dropped, it is killed if it still runs.
pub(crate) struct Owned(pub(crate) Child);

impl Owned {
    /// Takes it over.
    pub(crate) fn new(child: Child) -> Self {
        *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) = Some(child.id());
        Self(child)
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // Before it is waited for: afterwards its number may be somebody else's.
        RUNNING.lock().unwrap_or_else(PoisonError::into_inner).take();
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Ends the child, if there is one. For whoever is about to end this process.
pub(crate) fn end() {
    let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner).take();
    #[cfg(unix)]
    if let Some(child) = running.and_then(|id| rustix::process::Pid::from_raw(id as i32)) {
        let _ = rustix::process::kill_process(child, rustix::process::Signal::TERM);
    }
    #[cfg(not(unix))]
    let _ = running;
}

//! The one program that we may have running for us: the PIN command, or pinentry.
//!
//! It is a child of a process that may have to exit at any moment, because cargo is gone; then nobody would be left to
//! end it, and a window would go on asking for a PIN that nobody waits for.

use std::io;
use std::process::{Child, Command};
use std::sync::{Mutex, MutexGuard, PoisonError};

static RUNNING: Mutex<Running> = Mutex::new(Running::Nothing);

enum Running {
    Nothing,
    Child(u32),
    /// This process is about to end: nothing is started any more.
    Over,
}

/// A running child. Dropped, it is killed if it still runs.
pub(crate) struct Owned(pub(crate) Child);

impl Owned {
    /// Starts it. There is no moment at which it runs and [`end`] does not know of it.
    ///
    /// # Errors
    /// Those of [`Command::spawn`]; [`io::ErrorKind::Interrupted`] after [`end`].
    pub(crate) fn spawn(command: &mut Command) -> io::Result<Self> {
        let mut running = running();
        if matches!(*running, Running::Over) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let child = command.spawn()?;
        *running = Running::Child(child.id());
        Ok(Self(child))
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // Before it is waited for: afterwards its number may be somebody else's.
        let mut running = running();
        if let Running::Child(_) = *running {
            *running = Running::Nothing;
        }
        drop(running);
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Ends the child, if there is one, and starts no other: this process is about to end.
pub(crate) fn end() {
    let running = std::mem::replace(&mut *running(), Running::Over);
    #[cfg(unix)]
    if let Running::Child(id) = running
        && let Some(child) = rustix::process::Pid::from_raw(id as i32)
    {
        let _ = rustix::process::kill_process(child, rustix::process::Signal::TERM);
    }
    #[cfg(not(unix))]
    let _ = running;
}

fn running() -> MutexGuard<'static, Running> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

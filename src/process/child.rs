//! The one program that we may have running for us: the PIN command, or pinentry.
//!
//! It is a child of a process that may have to exit at any moment, because cargo is gone; then nobody would be left to
//! end it, and a window would go on asking for a PIN that nobody waits for.

use std::io;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

static RUNNING: Mutex<Running> = Mutex::new(Running::Nothing);

enum Running {
    Nothing,
    Child(Arc<Mutex<Child>>),
    /// This process is about to end: nothing is started any more.
    Over,
}

/// A running child. Dropped, it is killed if it still runs.
pub(crate) struct Owned(Arc<Mutex<Child>>);

impl Owned {
    /// Starts it. There is no moment at which it runs and [`end`] does not know of it.
    ///
    /// # Errors
    /// Those of [`Command::spawn`]; [`io::ErrorKind::Interrupted`] after [`end`].
    pub(crate) fn spawn(command: &mut Command) -> io::Result<Self> {
        let mut running = locked(&RUNNING);
        if matches!(*running, Running::Over) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let child = Arc::new(Mutex::new(command.spawn()?));
        *running = Running::Child(Arc::clone(&child));
        Ok(Self(child))
    }

    /// The child, for a moment: while it is held, [`end`] waits.
    pub(crate) fn child(&self) -> MutexGuard<'_, Child> {
        locked(&self.0)
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // Before it is waited for: afterwards its number may be somebody else's.
        let mut running = locked(&RUNNING);
        if let Running::Child(_) = *running {
            *running = Running::Nothing;
        }
        drop(running);
        let mut child = self.child();
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Ends the child, if there is one, and starts no other: this process is about to end.
pub(crate) fn end() {
    let running = std::mem::replace(&mut *locked(&RUNNING), Running::Over);
    if let Running::Child(child) = running {
        ask_to_end(&mut locked(&child));
    }
}

/// It may have a terminal to put right.
#[cfg(unix)]
fn ask_to_end(child: &mut Child) {
    if let Some(child) = rustix::process::Pid::from_raw(child.id() as i32) {
        let _ = rustix::process::kill_process(child, rustix::process::Signal::TERM);
    }
}

/// Windows has no way to ask.
#[cfg(not(unix))]
fn ask_to_end(child: &mut Child) {
    let _ = child.kill();
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

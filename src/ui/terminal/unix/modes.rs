//! The terminal's modes while something secret is typed, and as they were before.

use std::fs::File;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::sys::signal::{SigSet, SigmaskHow, Signal as Blocked};
use rustix::io::Errno;
use rustix::process::Signal;
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcdrain, tcgetattr, tcsetattr,
};

use super::line::Key;

/// The terminal whose modes are to be put back.
static HIDDEN: Mutex<Option<Before>> = Mutex::new(None);

struct Before {
    tty: File,
    modes: Termios,
    /// The prompt's.
    hidden: LocalModes,
}

/// No echo, no signals from keys, and no editing by the terminal, until this is dropped.
pub(super) struct Hidden {
    keys: Termios,
}

impl Hidden {
    /// What was typed ahead is dropped: it was not meant for this prompt. In the background, the job is stopped by this.
    pub(super) fn begin(tty: &File) -> io::Result<Self> {
        let mut before = before();
        let modes = tcgetattr(tty)?;
        let mut hidden = modes.clone();
        let off = LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG;
        hidden.local_modes.remove(off | LocalModes::IEXTEN);
        hidden.special_codes[SpecialCodeIndex::VMIN] = 1;
        hidden.special_codes[SpecialCodeIndex::VTIME] = 0;
        let tty_of_before = tty.try_clone()?;
        tcsetattr(tty, OptionalActions::Flush, &hidden)?;
        let hidden = hidden.local_modes;
        *before = Some(Before { tty: tty_of_before, modes: modes.clone(), hidden });
        Ok(Self { keys: modes })
    }

    /// What this byte does on this terminal.
    pub(super) fn key(&self, byte: u8) -> Key {
        // A key without a function has the code 0 (`_POSIX_VDISABLE`).
        let is = |index| byte != 0 && self.keys.special_codes[index] == byte;
        if matches!(byte, b'\n' | b'\r') {
            Key::EndOfLine
        } else if is(SpecialCodeIndex::VSUSP) {
            Key::Sends(Signal::TSTP)
        } else if is(SpecialCodeIndex::VINTR) {
            Key::Sends(Signal::INT)
        } else if is(SpecialCodeIndex::VQUIT) {
            Key::Sends(Signal::QUIT)
        } else if is(SpecialCodeIndex::VEOF) {
            Key::EndOfFile
        } else if is(SpecialCodeIndex::VKILL) || is(SpecialCodeIndex::VWERASE) {
            Key::EraseAll
        } else if is(SpecialCodeIndex::VERASE) || matches!(byte, 0x08 | 0x7F) {
            Key::Erase
        } else {
            Key::Letter
        }
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        put_back(OptionalActions::Now);
    }
}

fn before() -> MutexGuard<'static, Option<Before>> {
    HIDDEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Puts the terminal's modes back if a prompt had changed them, before the process ends or stops. The part of a secret
/// that was typed and not read yet is dropped, or the shell would read it.
pub fn restore() {
    put_back(OptionalActions::Flush);
}

/// A second caller waits until this is done, because the process may end then. It works in the background too, where
/// setting the modes would stop the process unless `SIGTTOU` is blocked. If the modes are no longer the prompt's, a shell
/// has set its own since, and they stay.
fn put_back(actions: OptionalActions) {
    let mut before = before();
    let Some(Before { tty, modes, hidden }) = before.take() else { return };
    let mut stops = SigSet::empty();
    stops.add(Blocked::SIGTTOU);
    let mask = stops.thread_swap_mask(SigmaskHow::SIG_BLOCK);
    if tcgetattr(&tty).is_ok_and(|now| now.local_modes == hidden) {
        let _ = tcsetattr(&tty, actions, &modes);
    }
    if let Ok(mask) = mask {
        let _ = mask.thread_set_mask();
    }
}

/// Stops the job, as the background's access to the terminal does, until it is in the foreground or a signal came. An error
/// where nobody could bring it there.
pub(super) fn wait_for_foreground(tty: &File) -> io::Result<()> {
    match tcdrain(tty) {
        // The signal that continues the job may come while the terminal is drained (`tcdrain(3)`).
        Err(Errno::INTR) => Ok(()),
        drained => Ok(drained?),
    }
}

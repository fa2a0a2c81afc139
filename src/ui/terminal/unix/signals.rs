//! Signals while questions are asked, and after.

use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{Signal, getpgid, getpgrp, getpid, getppid, kill_process};
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
use signal_hook::iterator::Signals;
use signal_hook::low_level::{emulate_default_handler, pipe};

use super::modes::restore;

/// What the handlers tell whoever asks a question: a byte for each signal.
static TOLD: OnceLock<Told> = OnceLock::new();

/// Whether somebody asks, who stops when that is wanted. If nobody does, the process stops at once.
static ASKING: AtomicBool = AtomicBool::new(false);

pub(super) struct Told {
    /// The process is to stop, and has not yet.
    pub(super) stop: UnixStream,
    /// The process was continued.
    pub(super) continued: UnixStream,
}

/// Lives as long as a question.
pub(super) struct Asking;

impl Asking {
    pub(super) fn begin() -> io::Result<(Self, &'static Told)> {
        let told = match TOLD.get() {
            Some(told) => told,
            None => {
                let told = Told { stop: tells(SIGTSTP)?, continued: tells(SIGCONT)? };
                // Behind the others, so that a byte is there when it hears of a signal.
                let signals = Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP])?;
                let told = TOLD.get_or_init(|| told);
                heed_from_now_on(signals, told);
                told
            }
        };
        ASKING.store(true, Ordering::SeqCst);
        Ok((Self, told))
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        ASKING.store(false, Ordering::SeqCst);
        // What came when the question was just answered.
        if TOLD.get().is_some_and(|told| take(&told.stop)) {
            stop();
        }
    }
}

/// Whether there is a byte; all are taken.
pub(super) fn take(mut stream: &UnixStream) -> bool {
    let mut any = false;
    while let Ok(1..) = stream.read(&mut [0; 64]) {
        any = true;
    }
    any
}

/// Whether the program that started us is in our job, as cargo is, so that a shell waits for that program and not for us.
pub(super) fn parent_is_in_our_job() -> bool {
    getppid().is_some_and(|parent| getpgid(Some(parent)).is_ok_and(|job| job == getpgrp()))
}

/// Stops this process. `SIGTSTP` itself is handled here; `SIGTTIN` stops too, and neither does where nobody could continue us
/// (POSIX, "orphaned process group").
pub(super) fn stop() {
    let _ = kill_process(getpid(), Signal::TTIN);
}

fn tells(signal: i32) -> io::Result<UnixStream> {
    let (receiver, sender) = UnixStream::pair()?;
    receiver.set_nonblocking(true)?;
    pipe::register(signal, sender)?;
    Ok(receiver)
}

/// Whoever ends us, the terminal's modes are put back first. Whoever takes the byte of a stop is the one that stops: this thread may
/// hear of it long after a question has.
fn heed_from_now_on(mut signals: Signals, told: &'static Told) {
    std::thread::spawn(move || {
        for signal in signals.forever() {
            if signal != SIGTSTP {
                restore();
                let _ = emulate_default_handler(signal);
            } else if !ASKING.load(Ordering::SeqCst) && take(&told.stop) {
                stop();
            }
        }
    });
}

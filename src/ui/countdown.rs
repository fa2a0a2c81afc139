//! A line that counts the seconds while a person is waited for.

use std::io::Write as _;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Ui, wipe};

const STEP: Duration = Duration::from_secs(1);

/// Counts until it is dropped; then the line is gone.
#[derive(Debug)]
pub struct Countdown {
    ticking: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Countdown {
    /// Where stderr is no terminal, the text is said once.
    pub(super) fn begin(ui: Ui, text: String, from: Duration) -> Self {
        if !ui.wipe_line {
            ui.say(text);
            return Self { ticking: None };
        }
        let (stop, stopped) = mpsc::channel();
        let until = Instant::now() + from;
        let thread = std::thread::spawn(move || {
            loop {
                let left = until.saturating_duration_since(Instant::now());
                rewrite(&format!("{text} ({} s left)", left.as_secs_f32().ceil()));
                if stopped.recv_timeout(STEP) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        });
        Self { ticking: Some((stop, thread)) }
    }
}

impl Drop for Countdown {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.ticking.take() {
            drop(stop);
            let _ = thread.join();
            rewrite("");
        }
    }
}

/// A failure to write is ignored: if stderr is gone, nobody can be told.
pub(super) fn rewrite(line: &str) {
    let mut stderr = std::io::stderr().lock();
    let _ = write!(stderr, "{}{line}", wipe()).and_then(|()| stderr.flush());
}

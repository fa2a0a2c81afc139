//! Says that the key blinks: at once where it surely does, a little later where a recent touch may still count.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use crate::piv::{Serial, TouchPolicy};
use crate::ui::Ui;

/// Lives while the card works; dropped, it says nothing any more.
pub(super) struct TouchNotice {
    _answered: Option<mpsc::Sender<()>>,
}

impl TouchNotice {
    /// `delay` is for a cached touch: a key that still counts the last one answers before.
    pub(super) fn begin(ui: Ui, serial: Serial, policy: TouchPolicy, delay: Duration) -> Self {
        let text = format!("touch YubiKey {serial} now (it blinks)");
        let answered = match policy {
            TouchPolicy::Never => None,
            TouchPolicy::Always => {
                ui.say(text);
                None
            }
            TouchPolicy::Cached => {
                let (sender, answered) = mpsc::channel::<()>();
                std::thread::spawn(move || {
                    if answered.recv_timeout(delay) == Err(RecvTimeoutError::Timeout) {
                        ui.say(text);
                    }
                });
                Some(sender)
            }
        };
        Self { _answered: answered }
    }
}

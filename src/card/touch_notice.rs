//! Says that the key blinks: at once where it surely does, a little later where a recent touch may still count. A key that
//! is believed to ask for no touch, and does not answer, is named too: the belief comes from a file.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use crate::piv::{Serial, TouchPolicy};
use crate::ui::Ui;

/// Longer than a card takes for a signature.
const UNEXPECTED: Duration = Duration::from_secs(1);

/// Lives while the card works; dropped, it says nothing any more.
pub(super) struct TouchNotice {
    _answered: Option<mpsc::Sender<()>>,
}

impl TouchNotice {
    /// `delay` is for a cached touch: a key that still counts the last one answers before.
    pub(super) fn begin(ui: Ui, serial: Serial, policy: TouchPolicy, delay: Duration) -> Self {
        let text = format!("touch YubiKey {serial} now (it blinks)");
        let (text, delay) = match policy {
            TouchPolicy::Always => {
                ui.say(text);
                return Self { _answered: None };
            }
            TouchPolicy::Cached => (text, delay),
            TouchPolicy::Never => {
                (format!("YubiKey {serial} does not answer yet: touch it if it blinks"), UNEXPECTED)
            }
        };
        let (sender, answered) = mpsc::channel::<()>();
        std::thread::spawn(move || {
            if answered.recv_timeout(delay) == Err(RecvTimeoutError::Timeout) {
                ui.say(text);
            }
        });
        Self { _answered: Some(sender) }
    }
}

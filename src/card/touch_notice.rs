//! Says that the key blinks: at once where it surely does, a little later where a recent touch may still count. A key that
//! is believed to ask for no touch, and does not answer, is named too: the belief comes from a file.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use super::announcement::Announcement;
use super::touch_program::TouchProgram;
use crate::piv::{Serial, TouchPolicy};
use crate::settings::Settings;
use crate::ui::Ui;

/// Longer than a card takes for a signature.
const UNEXPECTED: Duration = Duration::from_secs(1);

/// How a person is told, for one use of a key.
#[derive(Clone, Debug)]
pub(crate) struct Telling {
    pub(crate) ui: Ui,
    /// For a cached touch: a key that still counts the last one answers before.
    pub(crate) delay: Duration,
    /// Whether the terminal's bell rings.
    pub(crate) bell: bool,
    pub(crate) program: TouchProgram,
}

impl Telling {
    /// As the person has set it.
    pub(super) fn by(settings: &Settings, ui: Ui) -> Self {
        let program = TouchProgram::new(&settings.touch.notify);
        Self { ui, delay: settings.touch_notice(), bell: settings.touch.bell, program }
    }

    fn tell(&self, text: &str, serial: Serial, announcement: Option<&Announcement>) {
        self.ui.touch(text, self.bell);
        if let Some(announcement) = announcement {
            self.program.start(self.ui, serial, announcement);
        }
    }
}

/// Lives while the card works; dropped, it says nothing any more.
pub(super) struct TouchNotice {
    _answered: Option<mpsc::Sender<()>>,
}

impl TouchNotice {
    pub(super) fn begin(
        telling: &Telling,
        serial: Serial,
        policy: TouchPolicy,
        announcement: Option<&Announcement>,
    ) -> Self {
        let text = format!("touch YubiKey {serial} now (it blinks)");
        let (text, delay) = match policy {
            TouchPolicy::Always => {
                telling.tell(&text, serial, announcement);
                return Self { _answered: None };
            }
            TouchPolicy::Cached => (text, telling.delay),
            TouchPolicy::Never => {
                (format!("YubiKey {serial} does not answer yet: touch it if it blinks"), UNEXPECTED)
            }
        };
        let (sender, answered) = mpsc::channel::<()>();
        let (telling, announcement) = (telling.clone(), announcement.cloned());
        std::thread::spawn(move || {
            if answered.recv_timeout(delay) == Err(RecvTimeoutError::Timeout) {
                telling.tell(&text, serial, announcement.as_ref());
            }
        });
        Self { _answered: Some(sender) }
    }
}

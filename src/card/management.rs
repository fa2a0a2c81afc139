//! Authenticating with the management key, while the person is told to touch the card if it asks for that.

use std::time::{Duration, Instant};

use super::touch_notice::{Telling, TouchNotice};
use super::touch_program::TouchProgram;
use crate::error::Error;
use crate::piv::{self, ManagementKey, Piv, Serial, TouchPolicy};
use crate::ui::Ui;

/// A wrong management key is refused within milliseconds; for a touch a card waits about 15 seconds.
const REFUSED_WITHIN: Duration = Duration::from_secs(2);

/// What a card's management key may ask of the person.
#[derive(Clone, Copy)]
pub(super) struct Management {
    pub(super) ui: Ui,
    pub(super) serial: Serial,
    /// `None` on firmware that does not tell.
    pub(super) touch: Option<TouchPolicy>,
    /// How long a touch is not mentioned that may not be asked for.
    pub(super) touch_notice: Duration,
    /// Whether the card lies on an NFC reader.
    pub(super) contactless: bool,
}

impl Management {
    /// Authenticates, with a touch if the card asks for one.
    ///
    /// # Errors
    /// [`piv::Error::WrongManagementKey`], [`Error::ManagementKeyNotTouched`], [`Error::NoTouchOverNfc`].
    pub(super) fn authenticate(&self, piv: &mut Piv<'_>, key: &ManagementKey) -> Result<(), Error> {
        let (serial, touch) = (self.serial, self.touch.unwrap_or(TouchPolicy::Cached));
        let shown = if self.contactless { TouchPolicy::Never } else { touch };
        // Whoever changes a card sits before it.
        let (ui, delay, program) = (self.ui, self.touch_notice, TouchProgram::default());
        let telling = Telling { ui, delay, bell: false, program };
        let notice = TouchNotice::begin(&telling, serial, shown, None);
        let started = Instant::now();
        let result = piv.authenticate_management(key);
        drop(notice);
        match result {
            Err(piv::Error::WrongManagementKey) if touch != TouchPolicy::Never => Err(match self.touch {
                Some(_) if self.contactless => Error::NoTouchOverNfc { serial },
                _ if started.elapsed() > REFUSED_WITHIN => Error::ManagementKeyNotTouched { serial },
                _ => piv::Error::WrongManagementKey.into(),
            }),
            result => Ok(result?),
        }
    }
}

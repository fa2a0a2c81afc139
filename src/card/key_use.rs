//! Using a private key on a card once: its PIN, its touch, and what stands in the way.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::card::known::KnownCards;
use crate::card::pin_source::{PinSource, Why};
use crate::error::Error;
use crate::piv::pin::Pin;
use crate::piv::{self, Missing, PinPolicy, PinState, Piv, Serial, TouchPolicy};
use crate::reader;
use crate::settings::Settings;
use crate::ui::Ui;

mod touch_notice;

use touch_notice::TouchNotice;

/// A key, and what it asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PrivateKey {
    pub(crate) serial: Serial,
    pub(crate) pin: PinPolicy,
    pub(crate) touch: TouchPolicy,
}

/// What keeps a key from being used. It takes a person to remove it, whom nobody asks while the card is held.
#[derive(Clone, Debug)]
pub(crate) enum Obstacle {
    NeedsPin { serial: Serial, tries: u8, why: Why },
    WrongPin { tries: u8 },
    NotTouched { serial: Serial },
    OtherCard { found: Vec<Serial> },
}

impl PrivateKey {
    /// `None` when the key will not ask for a PIN any more.
    pub(crate) fn satisfy_pin_policy(
        &self,
        piv: &mut Piv<'_>,
        pin: Option<&Pin>,
    ) -> Result<Option<Obstacle>, Error> {
        if self.pin == PinPolicy::Never {
            return Ok(None);
        }
        if let Some(pin) = pin {
            return match piv.verify_pin(pin) {
                Ok(()) => Ok(None),
                Err(piv::Error::WrongPin { tries }) => Ok(Some(Obstacle::WrongPin { tries })),
                Err(error) => Err(error.into()),
            };
        }
        let once = matches!(self.pin, PinPolicy::Once | PinPolicy::MatchOnce);
        let why = if once { Why::NotVerified } else { Why::EveryTime };
        let needs_pin = |tries| Ok(Some(Obstacle::NeedsPin { serial: self.serial, tries, why }));
        match piv.pin_state()? {
            PinState::Verified if once => Ok(None),
            // The state does not help, and the tries are not told while it is set.
            PinState::Verified => needs_pin(u8::MAX),
            PinState::Tries(tries) => needs_pin(tries),
            PinState::Blocked => Err(piv::Error::PinBlocked.into()),
        }
    }

    /// The one operation with the key, while the person is told to touch it.
    pub(crate) fn operate<T>(
        &self,
        piv: &mut Piv<'_>,
        pin: Option<&Pin>,
        announcing: TouchAnnouncement,
        operation: impl FnOnce(&mut Piv<'_>) -> Result<T, piv::Error>,
    ) -> Result<Result<T, Obstacle>, Error> {
        let notice = TouchNotice::begin(announcing.ui, self.serial, self.touch, announcing.delay);
        let started = Instant::now();
        let result = operation(piv);
        drop(notice);
        match result {
            Ok(result) => Ok(Ok(result)),
            Err(piv::Error::NotAuthenticated) => self.refusal(piv, pin, started.elapsed()).map(Err),
            Err(piv::Error::Transport(error)) if gave_up(&error) && self.touch != TouchPolicy::Never => {
                Ok(Err(Obstacle::NotTouched { serial: self.serial }))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// `6982` means "no PIN" or "no touch"; the time it took and the PIN's state tell which.
    fn refusal(&self, piv: &mut Piv<'_>, pin: Option<&Pin>, elapsed: Duration) -> Result<Obstacle, Error> {
        let pin_given = pin.is_some()
            || self.pin == PinPolicy::Never
            || matches!(piv.pin_state(), Ok(PinState::Verified));
        match Missing::after(elapsed, pin_given) {
            // A key that never asks for a touch has no reason that a person could do something about.
            Missing::Touch if self.touch != TouchPolicy::Never => {
                Ok(Obstacle::NotTouched { serial: self.serial })
            }
            _ => Err(piv::Error::NotAuthenticated.into()),
        }
    }
}

/// Windows answers like this, with no status word, when the time for a touch is over.
fn gave_up(error: &piv::TransportError) -> bool {
    matches!(error.cause(), Some(reader::Error::Other { code: reader::COMM_DATA_LOST, .. }))
}

/// How a person is told that the key blinks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TouchAnnouncement {
    pub(crate) ui: Ui,
    /// How long a key whose touch is cached may take before that.
    pub(crate) delay: Duration,
}

/// Gets obstacles out of the way, one attempt after the other.
pub(crate) struct Attempts<'a> {
    pins: PinSource<'a>,
    ui: Ui,
    pin: Option<Arc<Pin>>,
    touch_again: bool,
}

impl<'a> Attempts<'a> {
    /// Asks for PINs in the documented order, and remembers across keys what was tried.
    pub(crate) fn new(settings: &'a Settings, ui: Ui) -> Self {
        Self { pins: PinSource::new(settings, ui), ui, pin: None, touch_again: true }
    }

    /// The next use of a key begins.
    pub(crate) fn begin(&mut self) {
        self.pin = None;
        self.touch_again = true;
    }

    /// The PIN for the next attempt, if one was given.
    pub(crate) fn pin(&self) -> Option<Arc<Pin>> {
        self.pin.clone()
    }

    /// Returns if another attempt makes sense.
    ///
    /// # Errors
    /// What stood in the way, if nobody can do anything about it.
    pub(crate) fn overcome(&mut self, obstacle: Obstacle, wanted: &KnownCards) -> Result<(), Error> {
        match obstacle {
            Obstacle::NeedsPin { serial, tries, why } => {
                self.pin = Some(Arc::new(self.pins.pin(serial, tries, why)?));
            }
            Obstacle::WrongPin { tries } => {
                self.pin = None;
                self.pins.was_wrong(tries)?;
            }
            Obstacle::NotTouched { .. } if self.touch_again && self.pins.somebody_is_there() => {
                self.touch_again = false;
                self.ui.warn("it was not touched in time; once more");
            }
            Obstacle::NotTouched { serial } => return Err(Error::NotTouched { serial }),
            Obstacle::OtherCard { found } => return Err(wanted.wrong_card(&found)),
        }
        Ok(())
    }
}

//! The one road to a key that is used: the card is identified, the person told, the PIN given, the key touched.
//!
//! Nobody is asked for anything while the card is held: a transaction that needs something of a person ends with an
//! [`Obstacle`], and begins anew when that is out of the way. With the PIN verified already it is one transaction of four
//! APDUs: SELECT, GET SERIAL, VERIFY query, GENERAL AUTHENTICATE.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::access::Access;
use super::find;
use super::known::{Identity, KnownCards};
use super::pin_source::{PinSource, Why};
use crate::error::Error;
use crate::piv::pin::Pin;
use crate::piv::{self, Missing, PinPolicy, PinState, Piv, Serial, TouchPolicy, Version};
use crate::reader::{self, AfterReset, ReaderName, Terms};
use crate::ui::Ui;

mod touch_notice;

use touch_notice::TouchNotice;

/// A key on a known card, as its enrollment describes it.
#[derive(Clone, Debug)]
pub(crate) struct PrivateKey<K> {
    pub(crate) serial: Serial,
    /// A YubiKey's firmware cannot be changed: what was read when the key was made still holds.
    pub(crate) firmware: Version,
    pub(crate) pin: PinPolicy,
    pub(crate) touch: TouchPolicy,
    /// What the person reads before the key is used; `None` for what needs nobody.
    pub(crate) announcement: Option<String>,
    /// What the operation has to know of the key.
    pub(crate) key: K,
}

/// Uses keys, and remembers across them which PINs were tried.
pub(crate) struct KeyUse<'a> {
    access: Access<'a>,
    pins: PinSource<'a>,
}

impl<'a> KeyUse<'a> {
    pub(crate) fn new(access: Access<'a>) -> Self {
        Self { access, pins: PinSource::new(access.settings, access.ui) }
    }

    /// Finds one of the cards, whose key will be used for one thing.
    ///
    /// # Errors
    /// [`Error::NoCard`], [`Error::WrongCard`], [`Error::Reader`].
    pub(crate) fn begin<K>(
        &mut self,
        cards: KnownCards,
        keys: Vec<PrivateKey<K>>,
    ) -> Result<Attempts<'_, 'a, K>, Error> {
        let reader = find::reader(self.access, &cards)?;
        let Self { access, pins } = self;
        Ok(Attempts {
            access: *access,
            pins,
            reader,
            cards,
            keys,
            announce: true,
            pin: None,
            touch_again: true,
        })
    }
}

/// One use of a key, until it succeeds or nobody can do anything about what is in its way.
pub(crate) struct Attempts<'u, 'a, K> {
    access: Access<'a>,
    pins: &'u mut PinSource<'a>,
    reader: ReaderName,
    cards: KnownCards,
    keys: Vec<PrivateKey<K>>,
    announce: bool,
    pin: Option<Arc<Pin>>,
    touch_again: bool,
}

impl<K: Clone + Send + 'static> Attempts<'_, '_, K> {
    /// One transaction, and what is needed of a person after it; `None` if that makes another attempt worth while. The operation
    /// sees the key of the card that is there. It may run twice, when somebody resets the card in between.
    ///
    /// # Errors
    /// [`Error::KeyGone`], what stood in the way, and those of the operation.
    pub(crate) fn next<T: Send + 'static>(
        &mut self,
        operation: impl FnMut(&mut Piv<'_>, &K) -> Result<T, Error> + Send + 'static,
    ) -> Result<Option<T>, Error> {
        let Access { readers, settings, ui } = self.access;
        let mut transaction = Transaction {
            cards: self.cards.clone(),
            keys: self.keys.clone(),
            pin: self.pin.clone(),
            announce: std::mem::take(&mut self.announce),
            ui,
            touch_notice: settings.touch_notice(),
            operation,
        };
        let terms = Terms { limit: readers.deadlines().touch, after_reset: AfterReset::Repeat };
        match readers.with_card(&self.reader, terms, move |piv| transaction.run(piv))? {
            Ok(result) => Ok(Some(result)),
            Err(obstacle) => self.overcome(obstacle).map(|()| None),
        }
    }

    /// Returns if another attempt makes sense.
    fn overcome(&mut self, obstacle: Obstacle) -> Result<(), Error> {
        match obstacle {
            Obstacle::NeedsPin { serial, tries, why } => {
                let key = self.keys.iter().find(|key| key.serial == serial);
                let purpose = key.and_then(|key| key.announcement.as_deref());
                self.pin = Some(Arc::new(self.pins.pin(serial, tries, why, purpose)?));
            }
            Obstacle::WrongPin { tries } => {
                self.pin = None;
                self.pins.was_wrong(tries)?;
            }
            Obstacle::NotTouched { .. } if self.touch_again && self.pins.somebody_is_there() => {
                self.touch_again = false;
                self.access.ui.aloud().warn("it was not touched in time; once more");
            }
            Obstacle::NotTouched { serial } => return Err(Error::NotTouched { serial }),
            Obstacle::OtherCard { found } => return Err(self.cards.wrong_card(&found)),
        }
        Ok(())
    }
}

/// What keeps a key from being used. It takes a person to remove it, whom nobody asks while the card is held.
#[derive(Clone, Debug)]
pub(crate) enum Obstacle {
    NeedsPin { serial: Serial, tries: u8, why: Why },
    WrongPin { tries: u8 },
    NotTouched { serial: Serial },
    OtherCard { found: Vec<Serial> },
}

/// What one transaction does with a card: identify it, satisfy the key's PIN policy, use the key.
pub(crate) struct Transaction<K, O> {
    pub(crate) cards: KnownCards,
    pub(crate) keys: Vec<PrivateKey<K>>,
    pub(crate) pin: Option<Arc<Pin>>,
    /// Whether the person is still to be told what for.
    pub(crate) announce: bool,
    pub(crate) ui: Ui,
    /// How long a key whose touch is cached may take before it is said to blink.
    pub(crate) touch_notice: Duration,
    pub(crate) operation: O,
}

impl<K: Clone, T, O: FnMut(&mut Piv<'_>, &K) -> Result<T, Error>> Transaction<K, O> {
    pub(crate) fn run(&mut self, piv: &mut Piv<'_>) -> Result<Result<T, Obstacle>, Error> {
        let found = match self.cards.identify(piv)? {
            Identity::Known(serial) => Some(serial),
            Identity::Other(found) => found,
        };
        let Some(key) = self.keys.iter().find(|key| Some(key.serial) == found).cloned() else {
            return Ok(Err(Obstacle::OtherCard { found: Vec::from_iter(found) }));
        };
        piv.assume_version(key.firmware);
        if std::mem::take(&mut self.announce)
            && let Some(announcement) = &key.announcement
        {
            self.ui.aloud().say(announcement);
        }
        match key.satisfy_pin_policy(piv, self.pin.as_deref())? {
            Some(obstacle) => Ok(Err(obstacle)),
            None => self.operate(piv, &key),
        }
    }

    /// The one operation with the key, while the person is told to touch it.
    fn operate(&mut self, piv: &mut Piv<'_>, key: &PrivateKey<K>) -> Result<Result<T, Obstacle>, Error> {
        let notice = TouchNotice::begin(self.ui.aloud(), key.serial, key.touch, self.touch_notice);
        let started = Instant::now();
        let result = (self.operation)(piv, &key.key);
        drop(notice);
        match result {
            Ok(result) => Ok(Ok(result)),
            Err(Error::Piv(piv::Error::NotAuthenticated)) => {
                key.refusal(piv, self.pin.is_some(), started.elapsed()).map(Err)
            }
            Err(Error::Piv(piv::Error::Transport(error)))
                if gave_up(&error) && key.touch != TouchPolicy::Never =>
            {
                Ok(Err(Obstacle::NotTouched { serial: key.serial }))
            }
            Err(Error::Piv(piv::Error::NoSuchKey { slot })) => {
                Err(Error::KeyGone { serial: key.serial, slot })
            }
            Err(error) => Err(error),
        }
    }
}

impl<K> PrivateKey<K> {
    /// `None` when the key will not ask for a PIN any more.
    fn satisfy_pin_policy(&self, piv: &mut Piv<'_>, pin: Option<&Pin>) -> Result<Option<Obstacle>, Error> {
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

    /// `6982` means "no PIN" or "no touch"; the time it took and the PIN's state tell which.
    fn refusal(&self, piv: &mut Piv<'_>, pin_given: bool, elapsed: Duration) -> Result<Obstacle, Error> {
        let pin_given =
            pin_given || self.pin == PinPolicy::Never || matches!(piv.pin_state(), Ok(PinState::Verified));
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

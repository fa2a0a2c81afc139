//! The one road to a key that is used: the card is identified, the person told, the PIN given, the key touched.
//!
//! Nobody is asked for anything while the card is held: a transaction that needs something of a person ends with an
//! [`Obstacle`], and begins anew when that is out of the way. With the PIN verified already it is one transaction of four
//! APDUs: SELECT, GET SERIAL, VERIFY query, GENERAL AUTHENTICATE.

use std::sync::Arc;

use super::access::Access;
use super::announcement::Announcement;
use super::find;
use super::known::{Identity, KnownCards};
use super::pin_source::{PinSource, Why};
use super::touch_notice::{Telling, TouchNotice};
use crate::error::Error;
use crate::piv::pin::Pin;
use crate::piv::{self, PinPolicy, PinState, Piv, Serial, Slot, TouchPolicy, Version};
use crate::reader::{self, AfterReset, Powered, ReaderName, Terms};

/// A key on a known card, as its enrollment describes it.
#[derive(Clone, Debug)]
pub(crate) struct PrivateKey<K> {
    pub(crate) serial: Serial,
    /// A YubiKey's firmware cannot be changed: what was read when the key was made still holds.
    pub(crate) firmware: Version,
    pub(crate) pin: PinPolicy,
    pub(crate) touch: TouchPolicy,
    /// What the key is used for; `None` if nobody has to know.
    pub(crate) announcement: Option<Announcement>,
    /// Whether the card still has it, without a PIN.
    pub(crate) is_there: fn(&mut Piv<'_>, &K) -> Result<bool, Error>,
    /// Where it is.
    pub(crate) slot: Slot,
    /// What it means that the key is no longer there.
    pub(crate) gone: fn(Serial, Slot) -> Error,
    /// What the operation has to know of the key.
    pub(crate) key: K,
}

/// Uses keys, and remembers across them which PINs were tried.
pub(crate) struct KeyUse<'a> {
    access: Access<'a>,
    pins: PinSource<'a>,
    /// Whether a card is kept from being powered down between two uses, and which one is.
    keeps_power: bool,
    powered: Option<(ReaderName, Powered)>,
}

impl<'a> KeyUse<'a> {
    pub(crate) fn new(access: Access<'a>) -> Self {
        let pins = PinSource::new(access.settings, access.ui);
        Self { access, pins, keeps_power: false, powered: None }
    }

    /// The same, for several uses one after the other: the card does not forget the PIN between them, however long they are apart.
    pub(crate) fn keeping_power(self) -> Self {
        Self { keeps_power: true, ..self }
    }

    /// Finds one of the cards, to use its key for one thing.
    ///
    /// # Errors
    /// [`Error::NoCard`], [`Error::WrongCard`], [`Error::Reader`].
    pub(crate) fn begin<K>(
        &mut self,
        cards: KnownCards,
        keys: Vec<PrivateKey<K>>,
    ) -> Result<Attempts<'_, 'a, K>, Error> {
        let reader = find::reader_with(self.access, &cards)?;
        if self.keeps_power && self.powered.as_ref().is_none_or(|(powered, _)| *powered != reader) {
            self.powered = Some((reader.clone(), self.access.readers.keep_powered(&reader)));
        }
        let Self { access, pins, .. } = self;
        Ok(Attempts {
            access: *access,
            pins,
            reader,
            cards,
            keys,
            announce: true,
            telling: Telling::by(access.settings, access.ui.aloud()),
            pin: None,
            touch_again: true,
            used: None,
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
    telling: Telling,
    pin: Option<Arc<Pin>>,
    touch_again: bool,
    /// The card whose key was used last.
    used: Option<Serial>,
}

impl<K: Clone + Send + 'static> Attempts<'_, '_, K> {
    /// Makes one attempt, in one transaction. The operation gets the key of the card that is there; it runs a second
    /// time if somebody resets the card in between. `None` means that an obstacle was there and is out of the way: try
    /// again.
    ///
    /// A card that is of no use, because its PIN is blocked or its key is gone, makes place for another one that is plugged in.
    ///
    /// # Errors
    /// What stood in the way, and those of the operation.
    pub(crate) fn next<T: Send + 'static>(
        &mut self,
        operation: impl FnMut(&mut Piv<'_>, &K) -> Result<T, Error> + Send + 'static,
    ) -> Result<Option<T>, Error> {
        let readers = self.access.readers;
        let mut transaction = Transaction {
            cards: self.cards.clone(),
            keys: self.keys.clone(),
            pin: self.pin.clone(),
            announce: std::mem::take(&mut self.announce),
            telling: self.telling.clone(),
            contactless: self.reader.is_contactless(),
            operation,
        };
        let terms = Terms { limit: readers.deadlines().touch, after_reset: AfterReset::Repeat };
        let attempt = match readers.with_card(&self.reader, terms, move |piv| transaction.run(piv)) {
            Ok(Ok((serial, result))) => {
                self.used = Some(serial);
                return Ok(Some(result));
            }
            Ok(Err(obstacle)) => self.overcome(obstacle),
            Err(error) => Err(error),
        };
        match attempt {
            Ok(()) => Ok(None),
            Err(error) => match error.of_no_use() {
                Some(serial) => self.take_another(serial, error).map(|()| None),
                None => Err(error),
            },
        }
    }

    /// What the key gave is wrong: goes on with another card.
    ///
    /// # Errors
    /// The error itself, if there is no other card.
    pub(crate) fn was_wrong(&mut self, error: Error) -> Result<(), Error> {
        match self.used.take() {
            Some(serial) => self.take_another(serial, error),
            None => Err(error),
        }
    }

    /// Goes on with another card, if one is plugged in, and says why.
    fn take_another(&mut self, serial: Serial, error: Error) -> Result<(), Error> {
        let others = self.cards.without(serial);
        if others.is_empty() {
            return Err(error);
        }
        let Some((spare, reader)) = find::present(self.access, &others) else {
            return Err(Error::UseAnother { error: Box::new(error), others: others.for_display() });
        };
        self.access.ui.warn(format_args!("{error}; continuing with YubiKey {spare}"));
        // The PIN command is asked for one PIN of each card.
        *self.pins = PinSource::new(self.access.settings, self.access.ui);
        (self.reader, self.cards) = (reader, others);
        (self.announce, self.pin, self.touch_again) = (true, None, true);
        Ok(())
    }

    /// Returns if another attempt makes sense.
    fn overcome(&mut self, obstacle: Obstacle) -> Result<(), Error> {
        match obstacle {
            Obstacle::NeedsPin { serial, tries, why } => {
                let key = self.keys.iter().find(|key| key.serial == serial);
                let purpose = key.and_then(|key| key.announcement.as_ref()).map(|use_| use_.text.as_str());
                self.pin = Some(Arc::new(self.pins.pin(serial, tries, why, purpose)?));
            }
            Obstacle::WrongPin { tries } => {
                self.pin = None;
                self.pins.was_wrong(tries)?;
            }
            Obstacle::NotTouched { .. } if self.touch_again && self.pins.somebody_is_there() => {
                self.touch_again = false;
                self.access.ui.aloud().warn("it was not touched in time; asking once more");
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
    /// Whether the person has still to be told what the key is used for.
    pub(crate) announce: bool,
    /// How the person is told of that, and of a touch.
    pub(crate) telling: Telling,
    /// Whether the card lies on an NFC reader.
    pub(crate) contactless: bool,
    pub(crate) operation: O,
}

impl<K: Clone, T, O: FnMut(&mut Piv<'_>, &K) -> Result<T, Error>> Transaction<K, O> {
    /// The result comes with the card that gave it.
    pub(crate) fn run(&mut self, piv: &mut Piv<'_>) -> Result<Result<(Serial, T), Obstacle>, Error> {
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
            self.telling.ui.say(&announcement.text);
            if (key.pin, key.touch) == (PinPolicy::Never, TouchPolicy::Never) {
                // By the person's choice, or because another program has changed the enrollment.
                self.telling.ui.warn("according to its enrollment, this key asks for neither PIN nor touch");
            }
        }
        match key.satisfy_pin_policy(piv, self.pin.as_deref())? {
            // After a reset of PIV the card has another PIN, and the key is gone: that is what is wrong then.
            Some(Obstacle::WrongPin { .. }) if !(key.is_there)(piv, &key.key)? => {
                Err((key.gone)(key.serial, key.slot))
            }
            Some(obstacle) => Ok(Err(obstacle)),
            None => Ok(self.operate(piv, &key)?.map(|result| (key.serial, result))),
        }
    }

    /// The one operation with the key, while the person is told to touch it.
    fn operate(&mut self, piv: &mut Piv<'_>, key: &PrivateKey<K>) -> Result<Result<T, Obstacle>, Error> {
        let touch = if self.contactless { TouchPolicy::Never } else { key.touch };
        let notice = TouchNotice::begin(&self.telling, key.serial, touch, key.announcement.as_ref());
        let result = (self.operation)(piv, &key.key);
        drop(notice);
        match result {
            Ok(result) => Ok(Ok(result)),
            Err(Error::Piv(piv::Error::NotAuthenticated)) => {
                key.refusal(piv, self.pin.is_some(), self.contactless).map(Err)
            }
            Err(Error::Piv(piv::Error::Transport(error)))
                if gave_up(&error) && key.touch != TouchPolicy::Never =>
            {
                Ok(Err(Obstacle::NotTouched { serial: key.serial }))
            }
            Err(Error::Piv(piv::Error::NoSuchKey { slot })) => Err((key.gone)(key.serial, slot)),
            Err(error) => Err(error),
        }
    }
}

impl<K> PrivateKey<K> {
    /// Verifies the PIN if the key wants one. `None` means that the key will not ask for it any more.
    fn satisfy_pin_policy(&self, piv: &mut Piv<'_>, pin: Option<&Pin>) -> Result<Option<Obstacle>, Error> {
        if self.pin == PinPolicy::Never {
            return Ok(None);
        }
        let serial = self.serial;
        if let Some(pin) = pin {
            return match piv.verify_pin(pin) {
                Ok(()) => Ok(None),
                Err(piv::Error::WrongPin { tries }) => Ok(Some(Obstacle::WrongPin { tries })),
                Err(piv::Error::PinBlocked) => Err(Error::PinBlocked { serial }),
                Err(error) => Err(error.into()),
            };
        }
        let once = matches!(self.pin, PinPolicy::Once | PinPolicy::MatchOnce);
        let why = if once { Why::NotVerified } else { Why::EveryTime };
        let needs_pin = |tries| Ok(Some(Obstacle::NeedsPin { serial, tries, why }));
        match piv.pin_state()? {
            PinState::Verified if once => Ok(None),
            // This key wants the PIN each time, and a card in this state does not tell how many tries are left.
            PinState::Verified => needs_pin(u8::MAX),
            PinState::Tries(tries) => needs_pin(tries),
            PinState::Blocked => Err(Error::PinBlocked { serial }),
        }
    }

    /// `6982` means "no PIN" or "no touch". The PIN's state tells which; the time that it took does not, since a card may
    /// wait for a touch before it refuses for want of a PIN (go-piv issue 42).
    fn refusal(&self, piv: &mut Piv<'_>, pin_given: bool, contactless: bool) -> Result<Obstacle, Error> {
        let serial = self.serial;
        if self.pin != PinPolicy::Never && !pin_given {
            match piv.pin_state()? {
                PinState::Verified => {}
                PinState::Tries(tries) => {
                    return Ok(Obstacle::NeedsPin { serial, tries, why: Why::NotVerified });
                }
                PinState::Blocked => return Err(Error::PinBlocked { serial }),
            }
        }
        match self.touch {
            TouchPolicy::Never => Err(Error::AsksMore { serial }),
            _ if contactless => Err(Error::NoTouchOverNfc { serial }),
            _ => Ok(Obstacle::NotTouched { serial }),
        }
    }
}

/// Whether this is how Windows says that the time for a touch is over: it gives no status word then.
fn gave_up(error: &piv::TransportError) -> bool {
    matches!(error.cause(), Some(reader::Error::Other { code: reader::COMM_DATA_LOST, .. }))
}

//! One token from whichever enrolled card is plugged in.
//!
//! The order is what makes it safe and short: the card is identified before it sees a PIN, the person is asked before
//! the transaction that needs the answer, and the time of the token is taken when everything else is ready. With the
//! PIN already verified this is one transaction of four APDUs: SELECT, GET SERIAL, VERIFY query, GENERAL AUTHENTICATE.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use asymmetric_token::{Claims, Footer, Mutation, Prepared};
use jiff::Timestamp;

use crate::enrollment::{Card, ChallengeSource, Key, Registry};
use crate::error::Error;
use crate::pin::Pin;
use crate::pin_source::PinSource;
use crate::piv::{self, Missing, PinPolicy, PinState, Piv, Serial, TouchPolicy};
use crate::reader::{AfterReset, ReaderName, Readers, Terms};
use crate::settings::Settings;
use crate::ui::{Ui, escape};

/// A key whose touch is cached may answer at once; a notice before this would cry wolf.
const CACHED_TOUCH_NOTICE: Duration = Duration::from_millis(300);

/// Signs for enrolled registries.
pub struct Signer<'a> {
    readers: &'a Readers,
    pins: PinSource<'a>,
    ui: Ui,
}

/// A token, verified with the enrolled key.
#[derive(Debug)]
pub struct SignedToken {
    /// Ready to send. No secret after its window, but good for its purpose until then.
    pub token: String,
    /// Its `iat`.
    pub issued_at: Timestamp,
}

impl<'a> Signer<'a> {
    /// A signer that asks for PINs in the documented order.
    #[must_use]
    pub fn new(readers: &'a Readers, settings: &'a Settings, ui: Ui) -> Self {
        Self { readers, pins: PinSource::new(settings, ui), ui }
    }

    /// Signs a read token, or a token for one mutation.
    ///
    /// # Errors
    /// [`Error`]: no card, not the enrolled one, no PIN, no touch, a card that lies.
    pub fn sign(&mut self, registry: &Registry, mutation: Option<Mutation>) -> Result<SignedToken, Error> {
        if mutation.is_some() && registry.challenge != ChallengeSource::None {
            return Err(Error::ChallengeNeeded { registry: escape(registry.display_name()) });
        }
        if !registry.cards.iter().any(|card| card.key(mutation.is_some()).is_some()) {
            return Err(Error::no_key(registry, mutation.is_some()));
        }
        let reader = self.reader_with(registry)?;
        let mut pin = None;
        let mut announce = true;
        loop {
            let mut work = Work {
                registry: registry.clone(),
                mutation: mutation.clone(),
                pin: pin.take(),
                announce: std::mem::take(&mut announce),
                ui: self.ui,
            };
            match self.readers.with_card(&reader, self.terms(), move |piv| work.run(piv))? {
                Attempt::Signed { prepared, signature, issued_at } => {
                    let token = prepared.finish(&signature).map_err(Error::CardSignature)?;
                    return Ok(SignedToken { token, issued_at });
                }
                Attempt::NeedsPin { serial, tries } => pin = Some(self.pins.pin(serial, tries)?),
                Attempt::WrongPin { tries } => self.pins.was_wrong(tries)?,
                Attempt::OtherCard { found } => return Err(Error::wrong_card(registry, &[found])),
            }
        }
    }

    /// The reader with the enrolled card that comes first in file order. A single reader is taken unseen: the
    /// transaction itself identifies the card.
    fn reader_with(&self, registry: &Registry) -> Result<ReaderName, Error> {
        let mut readers = self.readers.yubikeys()?;
        if readers.is_empty() && self.ui.is_interactive() {
            self.ui.say(format_args!("plug in {}", registry.cards_for_display()));
            readers = self.readers.wait_for_insertion(&[])?;
        }
        if readers.len() > 1 {
            return self.first_in_file_order(readers, registry);
        }
        readers.pop().ok_or_else(|| Error::NoCard { wanted: registry.cards_for_display() })
    }

    /// The enrolled card that a signature would be asked of.
    ///
    /// # Errors
    /// [`Error::NoCard`], [`Error::WrongCard`], [`Error::Reader`].
    pub fn find_card(&self, registry: &Registry) -> Result<Serial, Error> {
        let serial = self.serial_of(&self.reader_with(registry)?)?;
        if registry.card(serial).is_some() { Ok(serial) } else { Err(Error::wrong_card(registry, &[serial])) }
    }

    fn serial_of(&self, reader: &ReaderName) -> Result<Serial, Error> {
        self.readers.with_card(reader, self.terms(), |piv| Ok(piv.serial()?))
    }

    /// Signing changes nothing on the card, so it may be done again after somebody's reset.
    fn terms(&self) -> Terms {
        Terms { limit: self.readers.deadlines().touch, after_reset: AfterReset::Repeat }
    }

    fn first_in_file_order(
        &self,
        readers: Vec<ReaderName>,
        registry: &Registry,
    ) -> Result<ReaderName, Error> {
        let mut plugged_in = Vec::new();
        let mut failure = None;
        for reader in readers {
            match self.serial_of(&reader) {
                Ok(serial) => plugged_in.push((serial, reader)),
                Err(error) => failure = Some(error),
            }
        }
        let position = |serial: Serial| registry.cards.iter().position(|card| card.serial == serial);
        let first = plugged_in
            .iter()
            .filter_map(|(serial, reader)| Some((position(*serial)?, reader)))
            .min_by_key(|(position, _)| *position);
        match (first, failure) {
            (Some((_, reader)), _) => Ok(reader.clone()),
            (None, Some(error)) => Err(error),
            (None, None) => {
                let found: Vec<_> = plugged_in.iter().map(|(serial, _)| *serial).collect();
                Err(Error::wrong_card(registry, &found))
            }
        }
    }
}

/// What one transaction does. It may run twice, when somebody resets the card in between.
struct Work {
    registry: Registry,
    mutation: Option<Mutation>,
    pin: Option<Pin>,
    announce: bool,
    ui: Ui,
}

enum Attempt {
    Signed { prepared: Box<Prepared>, signature: [u8; 96], issued_at: Timestamp },
    NeedsPin { serial: Serial, tries: u8 },
    WrongPin { tries: u8 },
    OtherCard { found: Serial },
}

impl Work {
    fn run(&mut self, piv: &mut Piv<'_>) -> Result<Attempt, Error> {
        let serial = piv.serial()?;
        let Some(card) = self.registry.card(serial).cloned() else {
            return Ok(Attempt::OtherCard { found: serial });
        };
        // A YubiKey's firmware cannot be changed: what was read at enrolment still holds.
        piv.assume_version(card.firmware);
        let mutation = self.mutation.is_some();
        let key = *card.key(mutation).ok_or_else(|| Error::no_key(&self.registry, mutation))?;
        if std::mem::take(&mut self.announce) && (mutation || asks_for_something(&key)) {
            self.ui.say(format_args!(
                "signing {} with YubiKey {serial} ({})",
                self.statement(),
                escape(&card.label)
            ));
        }
        if let Some(outcome) = self.satisfy_pin_policy(piv, &card, &key)? {
            return Ok(outcome);
        }
        self.sign(piv, &card, &key)
    }

    /// `None` when the key will not ask for a PIN any more.
    fn satisfy_pin_policy(
        &self,
        piv: &mut Piv<'_>,
        card: &Card,
        key: &Key,
    ) -> Result<Option<Attempt>, Error> {
        if key.pin == PinPolicy::Never {
            return Ok(None);
        }
        if let Some(pin) = &self.pin {
            return match piv.verify_pin(pin) {
                Ok(()) => Ok(None),
                Err(piv::Error::WrongPin { tries }) => Ok(Some(Attempt::WrongPin { tries })),
                Err(error) => Err(error.into()),
            };
        }
        match piv.pin_state()? {
            PinState::Verified if key.pin == PinPolicy::Once => Ok(None),
            // Policy "always": the state does not help, and the tries are not told while it is set.
            PinState::Verified => Ok(Some(Attempt::NeedsPin { serial: card.serial, tries: u8::MAX })),
            PinState::Tries(tries) => Ok(Some(Attempt::NeedsPin { serial: card.serial, tries })),
            PinState::Blocked => Err(piv::Error::PinBlocked.into()),
        }
    }

    fn sign(&self, piv: &mut Piv<'_>, card: &Card, key: &Key) -> Result<Attempt, Error> {
        let issued_at = Timestamp::now();
        let mut claims = match &self.mutation {
            Some(mutation) => Claims::mutate(issued_at, mutation.clone()),
            None => Claims::read(issued_at),
        };
        claims.subject.clone_from(&self.registry.subject);
        let footer = Footer {
            field: self.registry.key_id,
            ..Footer::new(self.registry.index.clone(), key.public.id())
        };
        let prepared = Prepared::new(&key.public, &claims, &footer)?;
        let notice = TouchNotice::begin(self.ui, card.serial, key.touch);
        let started = Instant::now();
        let signature = piv.sign_p384(key.slot, prepared.digest());
        drop(notice);
        match signature {
            Ok(signature) => Ok(Attempt::Signed { prepared: Box::new(prepared), signature, issued_at }),
            Err(piv::Error::NotAuthenticated) => Err(self.refusal(piv, card, key, started.elapsed())),
            Err(piv::Error::NoSuchKey { slot }) => Err(Error::KeyGone { serial: card.serial, slot }),
            Err(error) => Err(error.into()),
        }
    }

    /// `6982` means "no PIN" or "no touch"; the time it took and the PIN's state tell which.
    fn refusal(&self, piv: &mut Piv<'_>, card: &Card, key: &Key, elapsed: Duration) -> Error {
        let pin_given = self.pin.is_some()
            || key.pin == PinPolicy::Never
            || matches!(piv.pin_state(), Ok(PinState::Verified));
        match Missing::after(elapsed, pin_given) {
            Missing::Touch => Error::NotTouched { serial: card.serial },
            Missing::Pin => piv::Error::NotAuthenticated.into(),
        }
    }

    fn statement(&self) -> String {
        let registry = escape(self.registry.display_name());
        match &self.mutation {
            None => format!("a read token for `{registry}`"),
            Some(mutation) => {
                let version = mutation.version().map(|version| format!(" {version}")).unwrap_or_default();
                let kind =
                    if mutation.version().is_some() { mutation.kind() } else { "a request about the owners" };
                format!("{kind} of `{}{version}` for `{registry}`", mutation.name())
            }
        }
    }
}

fn asks_for_something(key: &Key) -> bool {
    key.pin != PinPolicy::Never || key.touch != TouchPolicy::Never
}

/// Says that the key blinks: at once where it surely does, a little later where a recent touch may still count.
struct TouchNotice {
    _answered: Option<mpsc::Sender<()>>,
}

impl TouchNotice {
    fn begin(ui: Ui, serial: Serial, policy: TouchPolicy) -> Self {
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
                    if answered.recv_timeout(CACHED_TOUCH_NOTICE) == Err(RecvTimeoutError::Timeout) {
                        ui.say(text);
                    }
                });
                Some(sender)
            }
        };
        Self { _answered: answered }
    }
}

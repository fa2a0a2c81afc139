//! A mock as a test starts and controls it.

use std::iter;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::applet::firmware::Firmware;
use crate::applet::key::ImportedKey;
use crate::applet::policy::{PinPolicy, TouchPolicy};
use crate::applet::traits::Traits;
use crate::event::{Event, Hold};
use crate::fault::Fault;
use crate::pcscd::{Condition, ControlError, Daemon};
use crate::settings::{CardSettings, Import, Settings, StartError, Touch};
use crate::trace::Entry;

/// A running mock: a daemon with one card or several. It ends when it is dropped, together with what [`MockCard::on`]
/// gave.
///
/// Its methods panic where an event is impossible at the moment, as in `plug` for a YubiKey that is plugged in: the
/// test itself is wrong then. [`MockCard::daemon`] has the same with errors.
pub struct MockCard {
    daemon: Arc<Daemon>,
    /// The card that is controlled; the first one if there is no number.
    serial: Option<u32>,
}

impl MockCard {
    /// A YubiKey 5 with firmware 5.7.4 and serial number 12345678. Its PIN, PUK and management key are those of a new
    /// card.
    pub fn builder() -> Builder {
        Builder { settings: Settings::default(), card: CardSettings::default(), others: Vec::new() }
    }

    /// The value for `PCSCLITE_CSOCK_NAME`.
    pub fn socket(&self) -> &Path {
        self.daemon.socket()
    }

    /// The daemon, whose methods return errors.
    pub fn daemon(&self) -> &Daemon {
        &self.daemon
    }

    /// The same mock with controls that mean the card with this serial number. Without a number they mean the first
    /// card; but a touch is for the card that waits for one, and a release for the card that is held.
    pub fn on(&self, serial: u32) -> Self {
        Self { daemon: Arc::clone(&self.daemon), serial: Some(serial) }
    }

    /// Lets an event happen.
    pub fn cause(&self, event: Event) {
        expect(self.daemon.cause(event, self.serial));
    }

    /// [`Event::Touch`].
    pub fn touch(&self) {
        self.cause(Event::Touch);
    }

    /// [`Event::Unplug`].
    pub fn unplug(&self) {
        self.cause(Event::Unplug);
    }

    /// [`Event::Plug`].
    pub fn plug(&self) {
        self.cause(Event::Plug);
    }

    /// [`Event::Remove`].
    pub fn remove(&self) {
        self.cause(Event::Remove);
    }

    /// [`Event::Insert`].
    pub fn insert(&self) {
        self.cause(Event::Insert);
    }

    /// [`Event::Reset`].
    pub fn reset(&self) {
        self.cause(Event::Reset);
    }

    /// [`Event::PowerOff`].
    pub fn power_off(&self) {
        self.cause(Event::PowerOff);
    }

    /// [`Event::Hold`] with [`Hold::Exclusive`].
    pub fn hold_exclusive(&self) {
        self.cause(Event::Hold(Hold::Exclusive));
    }

    /// [`Event::Hold`] with [`Hold::Transaction`].
    pub fn hold_transaction(&self) {
        self.cause(Event::Hold(Hold::Transaction));
    }

    /// [`Event::Release`].
    pub fn release(&self) {
        self.cause(Event::Release);
    }

    /// Injects a fault.
    pub fn inject(&self, fault: Fault) {
        expect(self.daemon.inject(fault, self.serial));
    }

    /// Ends all faults, of every card.
    pub fn clear_faults(&self) {
        self.daemon.clear_faults();
    }

    /// The number of PIN tries that are left.
    pub fn pin_tries(&self) -> u8 {
        expect(self.daemon.pin_tries(self.serial))
    }

    /// Sets the number of PIN tries that are left. 0 blocks the PIN.
    pub fn set_pin_tries(&self, left: u8) {
        expect(self.daemon.set_pin_tries(left, self.serial));
    }

    /// Waits for [`Condition::TouchWanted`]. `false` if it does not hold within this time.
    pub fn wait_touch(&self, at_most: Duration) -> bool {
        self.daemon.wait_until(Condition::TouchWanted, at_most)
    }

    /// Waits for [`Condition::Idle`]. `false` if it does not hold within this time.
    pub fn wait_idle(&self, at_most: Duration) -> bool {
        self.daemon.wait_until(Condition::Idle, at_most)
    }

    /// Waits for [`Condition::Blocked`]. `false` if it does not hold within this time.
    pub fn wait_blocked(&self, count: usize, at_most: Duration) -> bool {
        self.daemon.wait_until(Condition::Blocked(count), at_most)
    }

    /// Waits for [`Condition::Apdus`]. `false` if it does not hold within this time.
    pub fn wait_apdus(&self, count: usize, at_most: Duration) -> bool {
        self.daemon.wait_until(Condition::Apdus(count), at_most)
    }

    /// What has been recorded since the start, or since the last [`MockCard::clear_trace`]: the newest 65,536 entries.
    pub fn trace(&self) -> Vec<Entry> {
        self.daemon.trace()
    }

    /// Forgets what has been recorded.
    pub fn clear_trace(&self) {
        self.daemon.clear_trace();
    }
}

fn expect<T>(result: Result<T, ControlError>) -> T {
    result.unwrap_or_else(|error| panic!("mock card: {error}"))
}

/// The settings of a mock that is to be started.
#[derive(Clone, Debug)]
pub struct Builder {
    settings: Settings,
    card: CardSettings,
    others: Vec<CardSettings>,
}

impl Builder {
    /// The serial number.
    pub fn serial(mut self, serial: u32) -> Self {
        self.card.serial = serial;
        self
    }

    /// The firmware version, such as `Firmware::new(5, 4, 3)`.
    pub fn firmware(mut self, firmware: Firmware) -> Self {
        self.card.firmware = firmware;
        self
    }

    /// What is special about the card.
    pub fn traits(mut self, traits: Traits) -> Self {
        self.card.traits = traits;
        self
    }

    /// The PIN, 6 to 8 characters.
    pub fn pin(mut self, pin: &str) -> Self {
        self.card.pin = Some(pin.to_owned());
        self
    }

    /// The PUK, 6 to 8 characters.
    pub fn puk(mut self, puk: &str) -> Self {
        self.card.puk = Some(puk.to_owned());
        self
    }

    /// The management key, 24 bytes: AES-192 from firmware 5.7 on, 3DES before.
    pub fn management_key(mut self, key: &[u8]) -> Self {
        self.card.management_key = Some(key.to_vec());
        self
    }

    /// Who touches the card.
    pub fn touch(mut self, touch: Touch) -> Self {
        self.card.touch = touch;
        self
    }

    /// How long the card waits for a touch. A real one waits 15 s.
    pub fn touch_timeout(mut self, timeout: Duration) -> Self {
        self.card.touch_timeout = timeout;
        self
    }

    /// Puts a private key into a slot.
    pub fn import(mut self, slot: u8, key: ImportedKey, pin: PinPolicy, touch: TouchPolicy) -> Self {
        self.card.imports.push(Import { slot, key, pin, touch });
        self
    }

    /// Keeps the card's memory in a file, with every secret in the clear.
    pub fn state(mut self, path: impl Into<PathBuf>) -> Self {
        self.card.state = Some(path.into());
        self
    }

    /// The name of the reader.
    pub fn reader(mut self, name: &str) -> Self {
        self.card.reader = Some(name.to_owned());
        self
    }

    /// The answer to reset, 2 to 33 bytes.
    pub fn atr(mut self, atr: &[u8]) -> Self {
        self.card.atr = Some(atr.to_vec());
        self
    }

    /// Powers the card down this long after the last client has closed it.
    pub fn idle_off(mut self, after: Duration) -> Self {
        self.card.idle_off = Some(after);
        self
    }

    /// Adds a reader with another card. No two cards may have the same serial number.
    pub fn another_card(mut self, card: CardSettings) -> Self {
        self.others.push(card);
        self
    }

    /// The path of the socket.
    pub fn socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.socket = Some(path.into());
        self
    }

    /// Writes the trace to a file, too, as JSON lines.
    pub fn trace_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.trace_file = Some(path.into());
        self
    }

    /// Shows PINs and keys in the trace.
    pub fn trace_secrets(mut self) -> Self {
        self.settings.trace_secrets = true;
        self
    }

    /// Starts the daemon.
    ///
    /// # Errors
    /// [`StartError`]. Nothing is left behind then.
    pub fn start(self) -> Result<MockCard, StartError> {
        let cards = iter::once(self.card).chain(self.others).collect();
        let settings = Settings { cards, ..self.settings };
        Ok(MockCard { daemon: Arc::new(Daemon::start(&settings)?), serial: None })
    }
}

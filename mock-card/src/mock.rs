//! Cards and their daemon in a few words: what a test starts.

mod one_card;

use std::iter;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::applet::firmware::Firmware;
use crate::applet::key::ImportedKey;
use crate::applet::policy::{PinPolicy, TouchPolicy};
use crate::applet::traits::Traits;
use crate::fault::Fault;
use crate::pcscd::{Condition, Daemon};
use crate::settings::{CardSettings, Import, Settings, StartError, Touch};
use crate::trace::Entry;
pub use one_card::OneCard;

/// A running mock, mostly with one card. Dropping it closes every connection and takes the socket away.
///
/// The control methods panic where the card is in no state for them, say on `plug` while it is plugged in: in
/// a test that is a mistake of the test. [`MockCard::daemon`] has the same with errors.
pub struct MockCard {
    daemon: Daemon,
}

impl MockCard {
    /// Starts from a YubiKey 5 with firmware 5.7.4, serial number 12345678 and default PIN, PUK and keys.
    pub fn builder() -> Builder {
        Builder { settings: Settings::default(), card: CardSettings::default(), others: Vec::new() }
    }

    /// The value for `PCSCLITE_CSOCK_NAME`.
    pub fn socket(&self) -> &Path {
        self.daemon.socket()
    }

    /// The daemon behind it.
    pub fn daemon(&self) -> &Daemon {
        &self.daemon
    }

    /// The controls of one of several cards. Those of the mock itself mean the first, except that a touch goes
    /// to the card that blinks and a release to the one that is held.
    pub fn on(&self, serial: u32) -> OneCard<'_> {
        OneCard::new(&self.daemon, Some(serial))
    }

    fn any(&self) -> OneCard<'_> {
        OneCard::new(&self.daemon, None)
    }

    /// A finger: for the command that waits, else for the next one.
    pub fn touch(&self) {
        self.any().touch();
    }

    /// Pulls the YubiKey: card and reader vanish together.
    pub fn unplug(&self) {
        self.any().unplug();
    }

    /// Puts it back.
    pub fn plug(&self) {
        self.any().plug();
    }

    /// Takes the card out of its reader.
    pub fn remove(&self) {
        self.any().remove();
    }

    /// Puts it back in.
    pub fn insert(&self) {
        self.any().insert();
    }

    /// Another program resets the card.
    pub fn reset(&self) {
        self.any().reset();
    }

    /// The card loses power until somebody connects.
    pub fn power_off(&self) {
        self.any().power_off();
    }

    /// Another program has the card for itself alone.
    pub fn hold_exclusive(&self) {
        self.any().hold_exclusive();
    }

    /// Another program is in a transaction.
    pub fn hold_transaction(&self) {
        self.any().hold_transaction();
    }

    /// The other program is done.
    pub fn release(&self) {
        self.any().release();
    }

    /// Lets something go wrong, with the card or with the whole daemon.
    pub fn fault(&self, fault: Fault) {
        self.any().fault(fault);
    }

    /// Nothing goes wrong any more, with no card.
    pub fn clear_faults(&self) {
        self.daemon.clear_faults();
    }

    /// Waits until a command wants a touch; `false` when time was up before.
    pub fn wait_touch(&self, at_most: Duration) -> bool {
        self.daemon.wait_until(Condition::TouchWanted, at_most)
    }

    /// Waits until no client has the card open.
    pub fn wait_idle(&self, at_most: Duration) -> bool {
        self.daemon.wait_until(Condition::Idle, at_most)
    }

    /// Waits until this many calls wait for another program's transaction, or for a busy card.
    pub fn wait_blocked(&self, count: usize, at_most: Duration) -> bool {
        self.daemon.wait_until(Condition::Blocked(count), at_most)
    }

    /// Waits until the trace holds this many answered commands.
    pub fn wait_apdus(&self, count: usize, at_most: Duration) -> bool {
        self.daemon.wait_until(Condition::Apdus(count), at_most)
    }

    /// PIN tries left.
    pub fn pin_tries(&self) -> u8 {
        self.any().pin_tries()
    }

    /// Sets the PIN tries left; 0 blocks the PIN.
    pub fn set_pin_tries(&self, left: u8) {
        self.any().set_pin_tries(left);
    }

    /// What happened since the start or the last [`MockCard::clear_trace`].
    pub fn trace(&self) -> Vec<Entry> {
        self.daemon.trace()
    }

    /// Forgets what is recorded.
    pub fn clear_trace(&self) {
        self.daemon.clear_trace();
    }
}

/// Says what kind of card to start.
#[derive(Clone, Debug)]
pub struct Builder {
    settings: Settings,
    card: CardSettings,
    others: Vec<CardSettings>,
}

impl Builder {
    /// The number by which clients tell keys apart.
    pub fn serial(mut self, serial: u32) -> Self {
        self.card.serial = serial;
        self
    }

    /// The version, say `Firmware::new(5, 4, 3)`.
    pub fn firmware(mut self, firmware: Firmware) -> Self {
        self.card.firmware = firmware;
        self
    }

    /// What makes it different from others of that version: attestation, PIN complexity, and more.
    pub fn traits(mut self, traits: Traits) -> Self {
        self.card.traits = traits;
        self
    }

    /// 6 to 8 characters.
    pub fn pin(mut self, pin: &str) -> Self {
        self.card.pin = Some(pin.to_owned());
        self
    }

    /// 6 to 8 characters.
    pub fn puk(mut self, puk: &str) -> Self {
        self.card.puk = Some(puk.to_owned());
        self
    }

    /// 24 bytes, AES-192 from firmware 5.7, 3DES before.
    pub fn management_key(mut self, key: &[u8]) -> Self {
        self.card.management_key = Some(key.to_vec());
        self
    }

    /// Who touches the card.
    pub fn touch(mut self, touch: Touch) -> Self {
        self.card.touch = touch;
        self
    }

    /// How long it waits for a touch; 15 s on a real key.
    pub fn touch_timeout(mut self, timeout: Duration) -> Self {
        self.card.touch_timeout = timeout;
        self
    }

    /// Puts a private key into a slot.
    pub fn import(mut self, slot: u8, key: ImportedKey, pin: PinPolicy, touch: TouchPolicy) -> Self {
        self.card.imports.push(Import { slot, key, pin, touch });
        self
    }

    /// Keeps the card's memory in a file, every secret in the clear.
    pub fn state(mut self, path: impl Into<PathBuf>) -> Self {
        self.card.state = Some(path.into());
        self
    }

    /// The reader's name.
    pub fn reader(mut self, name: &str) -> Self {
        self.card.reader = Some(name.to_owned());
        self
    }

    /// Powers the card down this long after its last user left.
    pub fn idle_off(mut self, after: Duration) -> Self {
        self.card.idle_off = Some(after);
        self
    }

    /// A reader more, with a card of its own; serial numbers differ.
    pub fn another_card(mut self, card: CardSettings) -> Self {
        self.others.push(card);
        self
    }

    /// Where the socket shall be.
    pub fn socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.socket = Some(path.into());
        self
    }

    /// Writes the trace as JSON lines, too.
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
    /// [`StartError`], with nothing left behind.
    pub fn start(self) -> Result<MockCard, StartError> {
        let cards = iter::once(self.card).chain(self.others).collect();
        let settings = Settings { cards, ..self.settings };
        Ok(MockCard { daemon: Daemon::start(&settings)? })
    }
}

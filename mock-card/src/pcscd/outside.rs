//! What happens to the cards from outside PC/SC: a finger, a hand that pulls, another program.

use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use serde_json::json;

use super::armed::Armed;
use super::busy::Busy;
use super::code::{Disposition, ShareMode, protocol};
use super::reader::Reader;
use super::{Daemon, State};
use crate::fault::Fault;
use crate::settings::Touch;
use crate::trace::Entry;

/// How another program gets in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// It has opened the card for itself alone.
    Exclusive,
    /// It is in the middle of a transaction.
    Transaction,
}

/// Something a test waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// A command waits for a finger.
    TouchWanted,
    /// No client has a card open.
    Idle,
    /// At least this many calls wait for another program's transaction, or for a card that is busy.
    Blocked(usize),
    /// The trace holds this many answered commands.
    Apdus(usize),
}

/// Why something could not be done to a card.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutsideError {
    /// No card has this number.
    #[error("there is no card {0}")]
    UnknownCard(u32),
    /// It is there already.
    #[error("the reader is plugged in already")]
    Plugged,
    /// Nothing to unplug, insert into or reset.
    #[error("the reader is unplugged")]
    Unplugged,
    /// It is in already.
    #[error("the card is in the reader already")]
    Inserted,
    /// Nothing to remove or reset.
    #[error("the card is not in the reader")]
    Removed,
    /// Other programs hold it open, exclusively or in a transaction.
    #[error("the card is in use")]
    InUse,
    /// Nothing to release.
    #[error("the card is not held")]
    NotHeld,
    /// Settings say that nobody touches it.
    #[error("this card is never touched")]
    NeverTouched,
}

impl Daemon {
    /// A finger: for the command that waits, else for the next one.
    ///
    /// # Errors
    /// [`OutsideError::NeverTouched`], [`OutsideError::UnknownCard`].
    pub fn touch(&self, serial: Option<u32>) -> Result<(), OutsideError> {
        self.with(|state| {
            let blinking = state.readers.iter().position(Reader::wants_touch);
            let reader = match (serial, blinking) {
                (None, Some(blinking)) => blinking,
                _ => state.find(serial)?,
            };
            if state.readers[reader].hand == Touch::Never {
                return Err(OutsideError::NeverTouched);
            }
            if state.readers[reader].wants_touch() {
                state.give_touch(reader);
            } else {
                state.readers[reader].touched_ahead = true;
            }
            Ok(())
        })
    }

    /// Pulls the YubiKey out of its port.
    ///
    /// # Errors
    /// [`OutsideError::Unplugged`], [`OutsideError::UnknownCard`].
    pub fn unplug(&self, serial: Option<u32>) -> Result<(), OutsideError> {
        self.with(|state| {
            let index = state.find_plugged(serial)?;
            state.unplug(index);
            Ok(())
        })
    }

    /// Puts it back.
    ///
    /// # Errors
    /// [`OutsideError::Plugged`], [`OutsideError::UnknownCard`].
    pub fn plug(&self, serial: Option<u32>) -> Result<(), OutsideError> {
        self.with(|state| {
            let index = state.find(serial)?;
            if state.readers[index].is_plugged() {
                return Err(OutsideError::Plugged);
            }
            state.readers[index].plug();
            state.count_reader_event();
            state.note(index, "plug");
            Ok(())
        })
    }

    /// Takes the card out of its reader, as with a YubiKey on an NFC reader.
    ///
    /// # Errors
    /// [`OutsideError::Removed`], [`OutsideError::Unplugged`], [`OutsideError::UnknownCard`].
    pub fn remove(&self, serial: Option<u32>) -> Result<(), OutsideError> {
        self.with_card(serial, "remove", Reader::remove)
    }

    /// Puts it back in.
    ///
    /// # Errors
    /// [`OutsideError::Inserted`], [`OutsideError::Unplugged`], [`OutsideError::UnknownCard`].
    pub fn insert(&self, serial: Option<u32>) -> Result<(), OutsideError> {
        self.with(|state| {
            let index = state.find_plugged(serial)?;
            if state.readers[index].is_inserted() {
                return Err(OutsideError::Inserted);
            }
            state.readers[index].insert();
            state.note(index, "insert");
            Ok(())
        })
    }

    /// Another program resets the card.
    ///
    /// # Errors
    /// [`OutsideError::Removed`], [`OutsideError::Unplugged`], [`OutsideError::UnknownCard`].
    pub fn reset(&self, serial: Option<u32>) -> Result<(), OutsideError> {
        self.with_card(serial, "reset", Reader::reset)
    }

    /// The card loses power until somebody connects.
    ///
    /// # Errors
    /// [`OutsideError::Removed`], [`OutsideError::Unplugged`], [`OutsideError::UnknownCard`].
    pub fn power_off(&self, serial: Option<u32>) -> Result<(), OutsideError> {
        self.with_card(serial, "power-off", Reader::power_off)
    }

    /// Another program holds the card until [`Daemon::release`].
    ///
    /// # Errors
    /// [`OutsideError::InUse`] and those of [`Daemon::remove`].
    pub fn hold(&self, how: Hold, serial: Option<u32>) -> Result<(), OutsideError> {
        self.with(|state| {
            let index = state.find_inserted(serial)?;
            if state.strangers.contains_key(&index) {
                return Err(OutsideError::InUse);
            }
            let (id, now) = (state.new_number(), state.now());
            let reader = &mut state.readers[index];
            let mode = if how == Hold::Exclusive { ShareMode::Exclusive } else { ShareMode::Shared };
            reader.connect(id, mode, protocol::T1, now).map_err(|_| OutsideError::InUse)?;
            if how == Hold::Transaction {
                reader.begin(id).map_err(|_| OutsideError::InUse)?;
            }
            state.strangers.insert(index, id);
            Ok(())
        })
    }

    /// The other program is done and leaves the card as it is.
    ///
    /// # Errors
    /// [`OutsideError::NotHeld`], [`OutsideError::UnknownCard`].
    pub fn release(&self, serial: Option<u32>) -> Result<(), OutsideError> {
        self.with(|state| {
            let index = match serial {
                Some(_) => state.find(serial)?,
                None => state.strangers.keys().copied().min().ok_or(OutsideError::NotHeld)?,
            };
            let id = state.strangers.remove(&index).ok_or(OutsideError::NotHeld)?;
            let now = state.now();
            // Leaving a card never waits.
            let _ = state.readers[index].disconnect(id, Disposition::Leave, now);
            Ok(())
        })
    }

    /// PIN tries left.
    ///
    /// # Errors
    /// [`OutsideError::UnknownCard`].
    pub fn pin_tries(&self, serial: Option<u32>) -> Result<u8, OutsideError> {
        let state = self.shared.lock();
        Ok(state.readers[state.find(serial)?].card.pin_tries())
    }

    /// Sets the PIN tries left; 0 blocks the PIN.
    ///
    /// # Errors
    /// [`OutsideError::UnknownCard`].
    pub fn set_pin_tries(&self, left: u8, serial: Option<u32>) -> Result<(), OutsideError> {
        self.with(|state| {
            let index = state.find(serial)?;
            state.readers[index].card.set_pin_tries(left);
            Ok(())
        })
    }

    /// Lets something go wrong. `serial` does not matter for what concerns the whole daemon.
    ///
    /// # Errors
    /// [`OutsideError::UnknownCard`]; for [`Fault::CardMute`] also those of [`Daemon::remove`].
    pub fn fault(&self, fault: Fault, serial: Option<u32>) -> Result<(), OutsideError> {
        self.with(|state| {
            match fault {
                Fault::Refuse => state.refusing = true,
                Fault::DaemonGone => self.shared.go_down(state),
                Fault::CardMute => {
                    let index = state.find_inserted(serial)?;
                    state.readers[index].remove();
                    state.readers[index].insert_mute();
                }
                of_card => {
                    let index = state.find(serial)?;
                    state.readers[index].armed.arm(of_card);
                }
            }
            Ok(())
        })
    }

    /// Nothing goes wrong any more. What has happened stays so.
    pub fn clear_faults(&self) {
        let mut state = self.shared.lock();
        state.refusing = false;
        state.readers.iter_mut().for_each(|reader| reader.armed = Armed::default());
        self.shared.commit(state);
    }

    /// Waits until the condition holds; `false` when time was up before.
    pub fn wait_until(&self, condition: Condition, at_most: Duration) -> bool {
        let deadline = Instant::now() + at_most;
        let mut state = self.shared.lock();
        loop {
            if state.meets(condition) {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || state.stopping {
                return false;
            }
            // A call that becomes blocked signals nobody, or two of them would keep waking each other.
            state = self.shared.wait(state, left.min(super::GLANCE));
        }
    }

    /// Everything recorded since the start or the last [`Daemon::clear_trace`].
    pub fn trace(&self) -> Vec<Entry> {
        self.shared.lock().recorder.entries().to_vec()
    }

    /// Forgets what is recorded; a trace file keeps it.
    pub fn clear_trace(&self) {
        self.shared.lock().recorder.clear();
    }

    /// Lines about what happens from now on, each beginning with `event `.
    pub fn events(&self) -> Receiver<String> {
        let (sender, receiver) = mpsc::channel();
        self.shared.lock().listeners.push(sender);
        receiver
    }

    /// Where everything stands, as one line of JSON.
    pub fn describe(&self) -> String {
        let state = self.shared.lock();
        let cards: Vec<_> = state.readers.iter().map(describe).collect();
        json!({ "clients": state.connections.len(), "blocked": state.blocked, "apdus": state.recorder.apdus(), "cards": cards })
            .to_string()
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> Result<T, OutsideError>) -> Result<T, OutsideError> {
        let mut state = self.shared.lock();
        let result = act(&mut state);
        self.shared.commit(state);
        result
    }

    fn with_card(
        &self,
        serial: Option<u32>,
        call: &'static str,
        act: fn(&mut Reader),
    ) -> Result<(), OutsideError> {
        self.with(|state| {
            let index = state.find_inserted(serial)?;
            act(&mut state.readers[index]);
            state.note(index, call);
            Ok(())
        })
    }
}

impl State {
    /// The card with this number, else the first.
    fn find(&self, serial: Option<u32>) -> Result<usize, OutsideError> {
        let wanted = |reader: &Reader| serial.is_none_or(|serial| reader.card.serial() == serial);
        self.readers.iter().position(wanted).ok_or(OutsideError::UnknownCard(serial.unwrap_or_default()))
    }

    fn find_plugged(&self, serial: Option<u32>) -> Result<usize, OutsideError> {
        let index = self.find(serial)?;
        if self.readers[index].is_plugged() { Ok(index) } else { Err(OutsideError::Unplugged) }
    }

    fn find_inserted(&self, serial: Option<u32>) -> Result<usize, OutsideError> {
        let index = self.find_plugged(serial)?;
        if self.readers[index].is_inserted() { Ok(index) } else { Err(OutsideError::Removed) }
    }

    pub(super) fn unplug(&mut self, reader: usize) {
        self.readers[reader].unplug();
        self.strangers.remove(&reader);
        self.count_reader_event();
        self.note(reader, "unplug");
    }

    /// Kept in 1 to 7FFF: clients put it into the upper half of a state.
    fn count_reader_event(&mut self) {
        self.reader_events = self.reader_events % 0x7FFF + 1;
    }

    pub(super) fn note(&mut self, reader: usize, call: &'static str) {
        let serial = self.readers[reader].card.serial();
        self.record(Entry { serial, ..Entry::of(call) });
    }

    fn meets(&self, condition: Condition) -> bool {
        match condition {
            Condition::TouchWanted => self.readers.iter().any(Reader::wants_touch),
            Condition::Idle => {
                let strangers = self.strangers.len();
                self.readers.iter().map(Reader::open_handles).sum::<usize>() == strangers
            }
            Condition::Blocked(wanted) => self.blocked >= wanted,
            Condition::Apdus(wanted) => self.recorder.apdus() >= wanted,
        }
    }
}

fn describe(reader: &Reader) -> serde_json::Value {
    json!({
        "reader": reader.name,
        "serial": reader.card.serial(),
        "plugged": reader.is_plugged(),
        "inserted": reader.is_inserted(),
        "handles": reader.open_handles(),
        "busy": reader.busy.is_some(),
        "locked": reader.lock_owner().is_some(),
        "touch-wanted": reader.busy.filter(Busy::wants_touch).and_then(|busy| busy.blinking).map(|slot| format!("{slot:02X}")),
        "pin-tries": reader.card.pin_tries(),
    })
}

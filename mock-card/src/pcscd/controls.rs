//! The controls of a test: events at the cards, injected faults, and what has happened.

use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use serde_json::json;

use super::busy::Busy;
use super::code::{Disposition, ShareMode, protocol};
use super::injected::InjectedFaults;
use super::reader::Reader;
use super::{Daemon, Shared, State};
use crate::event::{Event, Hold};
use crate::fault::Fault;
use crate::hex;
use crate::settings::Touch;
use crate::trace::Entry;

/// Something that a test waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// A command waits for a touch.
    TouchWanted,
    /// No client has a card open.
    Idle,
    /// At least this many calls wait for another program's transaction, or for a card that is busy.
    Blocked(usize),
    /// The trace has at least this many commands that the card answered.
    Apdus(usize),
}

/// Why an event cannot happen, or a fault cannot be injected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// No card has this serial number.
    #[error("there is no card {0}")]
    UnknownCard(u32),
    /// The YubiKey is in its port already.
    #[error("the reader is already plugged in")]
    Plugged,
    /// The YubiKey is not in its port.
    #[error("the reader is unplugged")]
    Unplugged,
    /// The card is in its reader already.
    #[error("the card is already in the reader")]
    Inserted,
    /// The card is not in its reader.
    #[error("the card is not in the reader")]
    Removed,
    /// A client has it open, exclusively or in a transaction.
    #[error("the card is in use")]
    InUse,
    /// No other program holds the card.
    #[error("the card is not held")]
    NotHeld,
    /// The settings of this card say that nobody touches it.
    #[error("this card is never touched")]
    NeverTouched,
}

impl Daemon {
    /// Lets an event happen to the card with this serial number. Without one, it happens to the first card; but a touch
    /// to the card that waits for one, and a release to the card that is held.
    ///
    /// # Errors
    /// [`ControlError`] if the event is impossible at the moment, or there is no such card.
    pub fn cause(&self, event: Event, serial: Option<u32>) -> Result<(), ControlError> {
        self.with(|state| {
            let reader = match (event, serial) {
                (Event::DaemonGone, _) => 0,
                (Event::Touch, None) => state.touch_wanted_by().map_or_else(|| state.find(None), Ok)?,
                (Event::Release, None) => state.held_by_other_program().ok_or(ControlError::NotHeld)?,
                _ => state.find(serial)?,
            };
            self.shared.cause(state, reader, event)
        })
    }

    /// Injects a fault into the card with this serial number, or the first one. Which card it is does not matter for a
    /// fault of the whole daemon.
    ///
    /// # Errors
    /// [`ControlError::UnknownCard`].
    pub fn inject(&self, fault: Fault, serial: Option<u32>) -> Result<(), ControlError> {
        self.with(|state| {
            match fault {
                Fault::Refuse => state.refuses_connections = true,
                _ => {
                    let reader = state.find(serial)?;
                    state.readers[reader].injected.add(fault);
                }
            }
            Ok(())
        })
    }

    /// Ends all faults, whether they have occurred or not. What they have done stays.
    pub fn clear_faults(&self) {
        let mut state = self.shared.lock();
        state.refuses_connections = false;
        state.readers.iter_mut().for_each(|reader| reader.injected = InjectedFaults::default());
        self.shared.commit(state);
    }

    /// The number of PIN tries that are left.
    ///
    /// # Errors
    /// [`ControlError::UnknownCard`].
    pub fn pin_tries(&self, serial: Option<u32>) -> Result<u8, ControlError> {
        let state = self.shared.lock();
        Ok(state.readers[state.find(serial)?].card.pin_tries())
    }

    /// Sets the number of PIN tries that are left. 0 blocks the PIN.
    ///
    /// # Errors
    /// [`ControlError::UnknownCard`].
    pub fn set_pin_tries(&self, left: u8, serial: Option<u32>) -> Result<(), ControlError> {
        self.with(|state| {
            let reader = state.find(serial)?;
            state.readers[reader].card.set_pin_tries(left);
            Ok(())
        })
    }

    /// Waits until a condition holds. `false` if it does not within this time.
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
            // A call that begins to wait notifies nobody, because two of them would keep waking each other.
            state = self.shared.wait_at_most(state, left.min(super::CLIENT_CHECK_INTERVAL));
        }
    }

    /// What has been recorded since the start, or since the last [`Daemon::clear_trace`]: the newest 65,536 entries.
    pub fn trace(&self) -> Vec<Entry> {
        self.shared.lock().recorder.entries()
    }

    /// Forgets what has been recorded. A trace file keeps it.
    pub fn clear_trace(&self) {
        self.shared.lock().recorder.clear();
    }

    /// Lines about what happens from now on. Each begins with `event `.
    pub fn events(&self) -> Receiver<String> {
        let (sender, receiver) = mpsc::channel();
        self.shared.lock().event_listeners.push(sender);
        receiver
    }

    /// The state of everything, as one line of JSON.
    pub fn describe(&self) -> String {
        let state = self.shared.lock();
        let cards: Vec<_> = state.readers.iter().map(describe).collect();
        json!({ "clients": state.connections.len(), "blocked": state.blocked, "apdus": state.recorder.apdus(), "cards": cards })
            .to_string()
    }

    fn with(&self, act: impl FnOnce(&mut State) -> Result<(), ControlError>) -> Result<(), ControlError> {
        let mut state = self.shared.lock();
        let result = act(&mut state);
        self.shared.commit(state);
        result
    }
}

impl Shared {
    /// Lets an event happen to the card in a reader.
    pub(super) fn cause(&self, state: &mut State, reader: usize, event: Event) -> Result<(), ControlError> {
        match event {
            Event::Touch => return state.touch(reader),
            Event::Plug => state.plug(reader)?,
            Event::Hold(hold) => return state.hold(reader, hold),
            Event::Release => return state.release(reader),
            Event::DaemonGone => {
                self.shut_down(state);
                return Ok(());
            }
            Event::Unplug => state.unplug(reader)?,
            Event::Insert => {
                let reader = state.plugged(reader)?;
                if reader.is_inserted() {
                    return Err(ControlError::Inserted);
                }
                reader.insert();
            }
            Event::Remove => state.inserted(reader)?.remove(),
            Event::InsertUnresponsive => {
                let reader = state.inserted(reader)?;
                reader.remove();
                reader.insert_unresponsive();
            }
            Event::Reset => state.inserted(reader)?.reset(),
            Event::PowerOff => state.inserted(reader)?.power_off(),
        }
        state.record_event(reader, event);
        Ok(())
    }
}

impl State {
    fn touch(&mut self, reader: usize) -> Result<(), ControlError> {
        if self.readers[reader].touch == Touch::Never {
            return Err(ControlError::NeverTouched);
        }
        if self.readers[reader].wants_touch() {
            self.give_touch(reader);
        } else {
            self.readers[reader].touched_in_advance = true;
        }
        Ok(())
    }

    fn plug(&mut self, reader: usize) -> Result<(), ControlError> {
        if self.readers[reader].is_plugged() {
            return Err(ControlError::Plugged);
        }
        self.readers[reader].plug();
        self.count_reader_event();
        Ok(())
    }

    fn unplug(&mut self, reader: usize) -> Result<(), ControlError> {
        self.plugged(reader)?.unplug();
        self.other_program.remove(&reader);
        self.count_reader_event();
        Ok(())
    }

    fn hold(&mut self, index: usize, hold: Hold) -> Result<(), ControlError> {
        self.inserted(index)?;
        if self.other_program.contains_key(&index) {
            return Err(ControlError::InUse);
        }
        let (id, now) = (self.new_number(), self.now());
        let reader = &mut self.readers[index];
        let mode = if hold == Hold::Exclusive { ShareMode::Exclusive } else { ShareMode::Shared };
        reader.connect(id, mode, protocol::T1, now).map_err(|_| ControlError::InUse)?;
        if hold == Hold::Transaction {
            reader.begin(id).map_err(|_| ControlError::InUse)?;
        }
        self.other_program.insert(index, id);
        Ok(())
    }

    fn release(&mut self, reader: usize) -> Result<(), ControlError> {
        let id = self.other_program.remove(&reader).ok_or(ControlError::NotHeld)?;
        let now = self.now();
        // Leaving the card as it is never has to wait.
        let _ = self.readers[reader].disconnect(id, Disposition::Leave, now);
        Ok(())
    }

    /// The card with this serial number, or the first one.
    fn find(&self, serial: Option<u32>) -> Result<usize, ControlError> {
        let wanted = |reader: &Reader| serial.is_none_or(|serial| reader.card.serial() == serial);
        self.readers.iter().position(wanted).ok_or(ControlError::UnknownCard(serial.unwrap_or_default()))
    }

    fn touch_wanted_by(&self) -> Option<usize> {
        self.readers.iter().position(Reader::wants_touch)
    }

    fn held_by_other_program(&self) -> Option<usize> {
        self.other_program.keys().copied().min()
    }

    /// A reader that is there.
    fn plugged(&mut self, reader: usize) -> Result<&mut Reader, ControlError> {
        let reader = &mut self.readers[reader];
        if reader.is_plugged() { Ok(reader) } else { Err(ControlError::Unplugged) }
    }

    /// A reader with a card in it.
    fn inserted(&mut self, reader: usize) -> Result<&mut Reader, ControlError> {
        let reader = self.plugged(reader)?;
        if reader.is_inserted() { Ok(reader) } else { Err(ControlError::Removed) }
    }

    /// The count stays in 1 to 7FFF, because clients put it into the upper half of a reader's state.
    fn count_reader_event(&mut self) {
        self.reader_events = self.reader_events % 0x7FFF + 1;
    }

    fn record_event(&mut self, reader: usize, event: Event) {
        let call = match event {
            Event::Plug => "plug",
            Event::Unplug => "unplug",
            Event::Insert => "insert",
            Event::Remove => "remove",
            Event::Reset => "reset",
            Event::PowerOff => "power-off",
            Event::InsertUnresponsive => "mute",
            Event::Touch | Event::Hold(_) | Event::Release | Event::DaemonGone => return,
        };
        let serial = self.readers[reader].card.serial();
        self.record(Entry { serial, ..Entry::of(call) });
    }

    fn meets(&self, condition: Condition) -> bool {
        match condition {
            Condition::TouchWanted => self.touch_wanted_by().is_some(),
            Condition::Idle => {
                let open: usize = self.readers.iter().map(Reader::open_handles).sum();
                open == self.other_program.len()
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
        "atr": hex::encode(&reader.atr),
        "plugged": reader.is_plugged(),
        "inserted": reader.is_inserted(),
        "handles": reader.open_handles(),
        "busy": reader.busy.is_some(),
        "locked": reader.lock_owner().is_some(),
        "touch-wanted": reader.busy.filter(Busy::wants_touch).and_then(|busy| busy.touch_slot).map(|slot| format!("{slot:02X}")),
        "pin-tries": reader.card.pin_tries(),
    })
}

//! What becomes of a reader and its card: pulled, taken out, reset, without power.

use super::{Event, Reader, Refusal, Sharing};
use crate::pcscd::code::{Code, Disposition, protocol};

impl Reader {
    /// The whole YubiKey is pulled: reader and card vanish together, handles are forgotten.
    pub(crate) fn unplug(&mut self) {
        self.lose_power();
        self.fail_command(Code::ReaderUnavailable);
        self.plugged = false;
        self.sharing = Sharing::Open(0);
        self.lock = None;
        self.handles.clear();
        self.idle_since = None;
    }

    /// The YubiKey comes back, as a new reader with a counter of its own.
    pub(crate) fn plug(&mut self) {
        self.plugged = true;
        self.inserted = true;
        self.mute = false;
        self.powered = true;
        self.event_counter = 0;
    }

    /// The card leaves the reader.
    pub(crate) fn remove(&mut self) {
        self.lose_power();
        self.fail_command(Code::NoSmartcard);
        self.inserted = false;
        self.lock = None;
        self.event_counter = self.event_counter.wrapping_add(1);
        self.handles.values_mut().for_each(|handle| handle.event = Some(Event::Removed));
    }

    /// A card comes into the reader. Old handles stay as they are until they reconnect.
    pub(crate) fn insert(&mut self) {
        self.inserted = true;
        self.mute = false;
        self.powered = true;
        self.event_counter = self.event_counter.wrapping_add(1);
    }

    /// The same, but its contacts do not meet the reader's.
    pub(crate) fn insert_mute(&mut self) {
        self.insert();
        self.mute = true;
    }

    /// Another program resets the card. A command in progress fails.
    pub(crate) fn reset(&mut self) {
        self.fail_command(Code::NotTransacted);
        self.dispose(Disposition::Reset);
    }

    /// The card is powered down until the next connect.
    pub(crate) fn power_off(&mut self) {
        self.fail_command(Code::NotTransacted);
        self.dispose(Disposition::Unpower);
    }

    pub(super) fn dispose(&mut self, disposition: Disposition) {
        if !matches!(disposition, Disposition::Reset | Disposition::Unpower) {
            return;
        }
        self.lose_power();
        self.powered = disposition == Disposition::Reset;
        // The last event counts, and also one that met no card: a reset hides a removal.
        self.handles.values_mut().for_each(|handle| handle.event = Some(Event::Reset));
    }

    /// As [`Self::dispose`], for calls that keep the handle: the card is powered again at once.
    pub(super) fn reset_if(&mut self, disposition: Disposition) -> Result<(), Refusal> {
        self.require_idle_for(disposition)?;
        self.dispose(disposition);
        self.powered = self.powered || disposition != Disposition::Leave && self.inserted;
        Ok(())
    }

    pub(super) fn lose_power(&mut self) {
        self.card.power_cycle();
        self.protocol = protocol::NONE;
    }

    fn fail_command(&mut self, code: Code) {
        if let Some(busy) = &mut self.busy {
            busy.fail(code);
        }
    }
}

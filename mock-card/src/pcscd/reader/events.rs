//! What happens to a reader and its card: unplugged, removed, reset, powered off.

use super::{PendingEvent, Reader, Refusal, Sharing};
use crate::pcscd::code::{Code, Disposition, protocol};

impl Reader {
    /// Takes reader and card away. All handles become invalid.
    pub(crate) fn unplug(&mut self) {
        self.lose_power();
        self.fail_command(Code::READER_UNAVAILABLE);
        self.plugged = false;
        self.sharing = Sharing::Open(0);
        self.lock = None;
        self.handles.clear();
        self.idle_since = None;
    }

    /// Brings reader and card back. It counts as a new reader, so its event counter begins again.
    pub(crate) fn plug(&mut self) {
        self.plugged = true;
        self.inserted = true;
        self.is_responsive = true;
        self.powered = true;
        self.event_counter = 0;
    }

    /// Takes the card out of the reader.
    pub(crate) fn remove(&mut self) {
        self.lose_power();
        self.fail_command(Code::NO_SMARTCARD);
        self.inserted = false;
        self.lock = None;
        self.event_counter = self.event_counter.wrapping_add(1);
        self.handles.values_mut().for_each(|handle| handle.pending_event = Some(PendingEvent::Removed));
    }

    /// Puts the card into the reader. Handles from before stay invalid until they reconnect.
    pub(crate) fn insert(&mut self) {
        self.inserted = true;
        self.is_responsive = true;
        self.powered = true;
        self.event_counter = self.event_counter.wrapping_add(1);
    }

    /// The same, but the card does not answer to power.
    pub(crate) fn insert_unresponsive(&mut self) {
        self.insert();
        self.is_responsive = false;
    }

    /// Resets the card, as by another program. A command in progress fails.
    pub(crate) fn reset(&mut self) {
        self.fail_command(Code::NOT_TRANSACTED);
        self.dispose(Disposition::Reset);
    }

    /// Switches the card off until the next connect. A command in progress fails.
    pub(crate) fn power_off(&mut self) {
        self.fail_command(Code::NOT_TRANSACTED);
        self.dispose(Disposition::Unpower);
    }

    /// What a disposition does to the card.
    pub(super) fn dispose(&mut self, disposition: Disposition) {
        if !matches!(disposition, Disposition::Reset | Disposition::Unpower) {
            return;
        }
        self.lose_power();
        self.powered = disposition == Disposition::Reset;
        // The last event counts, as in the real daemon: a reset hides a removal that came before it.
        self.handles.values_mut().for_each(|handle| handle.pending_event = Some(PendingEvent::Reset));
    }

    /// The same for calls that keep their handle: the card gets power again at once.
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

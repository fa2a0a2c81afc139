//! A reader with its card: sharing, transactions, protocol, reset and removal.
//!
//! The rules and the order in which they are checked are those of pcsc-lite (`winscard.c`, `readerfactory.c`). Nothing
//! here waits. Where the real daemon waits, the result is [`Refusal::Wait`].

mod events;

use std::collections::BTreeMap;
use std::time::Duration;

use super::busy::Busy;
use super::code::{Code, Disposition, ShareMode, protocol};
use super::injected::InjectedFaults;
use super::wire::{READER_RECORD, ReaderRecord};
use crate::applet::Card;
use crate::settings::Touch;
use crate::trace::Redactor;

/// A card handle, unique in the daemon.
pub(crate) type HandleId = u32;

/// Why a call cannot be carried out now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The result of the call.
    Code(Code),
    /// The call has to wait for another program's transaction, or for a card that is busy.
    Wait,
}

impl From<Code> for Refusal {
    fn from(code: Code) -> Self {
        Self::Code(code)
    }
}

/// A reader and its card.
pub(crate) struct Reader {
    pub(crate) name: String,
    pub(crate) card: Card,
    pub(crate) redactor: Redactor,
    /// Who touches the card.
    pub(crate) touch: Touch,
    pub(crate) touch_timeout: Duration,
    /// A command that takes time. The card does nothing else meanwhile.
    pub(crate) busy: Option<Busy>,
    pub(crate) injected: InjectedFaults,
    /// Whether the card was touched before a command needed it.
    pub(crate) touched_in_advance: bool,
    pub(crate) state_file: Option<std::path::PathBuf>,
    /// The answer to reset.
    pub(crate) atr: Vec<u8>,
    /// How long after the last handle is closed the card is powered down. The real daemon does that after 5 s.
    pub(crate) idle_off: Option<Duration>,
    idle_since: Option<Duration>,
    plugged: bool,
    inserted: bool,
    /// Whether the card answers to power.
    is_responsive: bool,
    powered: bool,
    event_counter: u16,
    protocol: u32,
    sharing: Sharing,
    lock: Option<Lock>,
    handles: BTreeMap<HandleId, Handle>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sharing {
    Open(i32),
    Exclusive,
}

#[derive(Clone, Copy, Debug)]
struct Lock {
    owner: HandleId,
    count: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Handle {
    pending_event: Option<PendingEvent>,
}

/// What has happened to the card since the handle was connected, and what the next call on it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PendingEvent {
    Reset,
    Removed,
}

impl Reader {
    pub(crate) fn new(name: String, card: Card, touch: Touch, touch_timeout: Duration) -> Self {
        Self {
            name,
            atr: card.answer_to_reset().to_vec(),
            card,
            redactor: Redactor::default(),
            touch,
            touch_timeout,
            busy: None,
            injected: InjectedFaults::default(),
            touched_in_advance: false,
            state_file: None,
            idle_off: None,
            idle_since: None,
            plugged: true,
            inserted: true,
            is_responsive: true,
            powered: true,
            event_counter: 0,
            protocol: protocol::NONE,
            sharing: Sharing::Open(0),
            lock: None,
            handles: BTreeMap::new(),
        }
    }

    /// SCardConnect with a new handle. The result is the protocol in use.
    pub(crate) fn connect(
        &mut self,
        id: HandleId,
        mode: ShareMode,
        mask: u32,
        now: Duration,
    ) -> Result<u32, Refusal> {
        if self.sharing == Sharing::Exclusive {
            return Err(Code::SHARING_VIOLATION.into());
        }
        if self.lock.is_some() {
            return Err(Refusal::Wait);
        }
        if mode != ShareMode::Direct {
            self.power_up(now)?;
        }
        self.choose_protocol(mode, mask)?;
        self.sharing = match (mode, self.sharing) {
            (ShareMode::Exclusive, Sharing::Open(0)) => {
                self.lock = Some(Lock { owner: id, count: 1 });
                Sharing::Exclusive
            }
            (ShareMode::Exclusive, _) => return Err(Code::SHARING_VIOLATION.into()),
            (_, Sharing::Open(count)) => Sharing::Open(count + 1),
            (_, Sharing::Exclusive) => return Err(Code::SHARING_VIOLATION.into()),
        };
        self.handles.insert(id, Handle::default());
        self.idle_since = None;
        Ok(self.protocol)
    }

    /// SCardReconnect. `initialization` is what is done to the card first.
    pub(crate) fn reconnect(
        &mut self,
        id: HandleId,
        mode: ShareMode,
        mask: u32,
        initialization: Disposition,
    ) -> Result<u32, Refusal> {
        self.require_handle(id)?;
        self.require_unlocked_by_others(id)?;
        self.reset_if(initialization)?;
        self.require_card()?;
        self.require_responsive(Code::UNRESPONSIVE_CARD)?;
        self.choose_protocol(mode, mask)?;
        match (mode, self.sharing) {
            (ShareMode::Exclusive, Sharing::Exclusive) => {}
            (ShareMode::Exclusive, Sharing::Open(1)) => {
                self.sharing = Sharing::Exclusive;
                self.lock = Some(Lock { owner: id, count: 1 });
            }
            (ShareMode::Exclusive, Sharing::Open(_)) => return Err(Code::SHARING_VIOLATION.into()),
            // The handle keeps the lock here, as in the real daemon. Others wait until it ends or disconnects.
            (_, Sharing::Exclusive) => self.sharing = Sharing::Open(1),
            (_, Sharing::Open(_)) => {}
        }
        self.handles.insert(id, Handle::default());
        Ok(self.protocol)
    }

    /// SCardDisconnect. It succeeds, too, if the reader is gone.
    pub(crate) fn disconnect(
        &mut self,
        id: HandleId,
        disposition: Disposition,
        now: Duration,
    ) -> Result<(), Refusal> {
        if !self.handles.contains_key(&id) {
            return Ok(());
        }
        if disposition != Disposition::Leave && self.is_locked_by_other(id) {
            return Err(Refusal::Wait);
        }
        self.require_idle_for(disposition)?;
        self.close(id, now);
        self.dispose(disposition);
        Ok(())
    }

    /// Closes the handle of a client that is gone, or that released its context with the handle open. If it held the
    /// lock, the card is reset, unless an event is pending for the handle. The result is what was done to the card.
    pub(crate) fn abandon(&mut self, id: HandleId, now: Duration) -> Result<Disposition, Refusal> {
        let Some(handle) = self.handles.get(&id) else { return Ok(Disposition::Leave) };
        let held = self.lock.is_some_and(|lock| lock.owner == id);
        let disposition =
            if held && handle.pending_event.is_none() { Disposition::Reset } else { Disposition::Leave };
        self.disconnect(id, disposition, now).map(|()| disposition)
    }

    /// SCardBeginTransaction. A handle may begin several transactions, one in the other.
    pub(crate) fn begin(&mut self, id: HandleId) -> Result<(), Refusal> {
        self.require_handle(id)?;
        self.require_no_event(id)?;
        match &mut self.lock {
            None => self.lock = Some(Lock { owner: id, count: 1 }),
            Some(lock) if lock.owner == id => lock.count += 1,
            Some(_) => return Err(Refusal::Wait),
        }
        Ok(())
    }

    /// The handle that has a transaction or an exclusive connection.
    pub(crate) fn lock_owner(&self) -> Option<HandleId> {
        self.lock.map(|lock| lock.owner)
    }

    /// SCardEndTransaction.
    pub(crate) fn end(&mut self, id: HandleId, disposition: Disposition) -> Result<(), Refusal> {
        self.require_handle(id)?;
        self.require_no_event(id)?;
        if disposition != Disposition::Leave {
            self.require_unlocked_by_others(id)?;
        }
        self.reset_if(disposition)?;
        let unlocked = self.unlock(id);
        // Readers cannot eject cards any more. The transaction ends all the same (`IFDControl_v2`).
        if disposition == Disposition::Eject {
            return Err(Code::UNSUPPORTED_FEATURE.into());
        }
        unlocked
    }

    fn unlock(&mut self, id: HandleId) -> Result<(), Refusal> {
        match &mut self.lock {
            None => Err(Code::NOT_TRANSACTED.into()),
            Some(lock) if lock.owner != id => Err(Code::SHARING_VIOLATION.into()),
            Some(lock) if lock.count > 1 => {
                lock.count -= 1;
                Ok(())
            }
            // An exclusive connection itself counts once, and ends with its handle only.
            Some(_) if self.sharing == Sharing::Exclusive => Err(Code::NOT_TRANSACTED.into()),
            Some(_) => {
                self.lock = None;
                Ok(())
            }
        }
    }

    /// Whether a command may go to the card. `sent` is the protocol that the client names.
    pub(crate) fn check_transmit(&self, id: HandleId, sent: u32) -> Result<(), Refusal> {
        self.require_handle(id)?;
        self.require_unlocked_by_others(id)?;
        self.require_no_event(id)?;
        self.require_card()?;
        let any = [protocol::RAW, protocol::ANY_OLD].contains(&sent);
        if !any && sent != self.protocol {
            return Err(Code::PROTOCOL_MISMATCH.into());
        }
        self.require_idle()
    }

    /// Whether a command from a virtual reader may go to the card. There is no handle here: the real daemon behind that
    /// reader shares the card between its clients.
    pub(crate) fn check_link(&self) -> Result<(), Refusal> {
        if self.has_responsive_card() { self.require_idle() } else { Err(Code::NO_SMARTCARD.into()) }
    }

    /// Whether SCardStatus, SCardGetAttrib and SCardSetAttrib are answered.
    pub(crate) fn check_status(&self, id: HandleId) -> Result<(), Refusal> {
        self.require_handle(id)?;
        self.require_unlocked_by_others(id)?;
        self.require_no_event(id)
    }

    /// Whether SCardControl is answered. It speaks to the reader, so events of the card do not matter.
    pub(crate) fn check_control(&self, id: HandleId) -> Result<(), Refusal> {
        self.require_handle(id)?;
        self.require_unlocked_by_others(id)
    }

    /// The reader's record in the list for clients. There is none while it is unplugged.
    pub(crate) fn record(&self) -> Option<[u8; READER_RECORD]> {
        const ABSENT: u32 = 0x02;
        const PRESENT: u32 = 0x04;
        const SWALLOWED: u32 = 0x08;
        const POWERED_NEGOTIABLE: u32 = 0x30;
        if !self.plugged {
            return None;
        }
        let state = match (self.inserted, self.powered) {
            (false, _) => ABSENT,
            _ if !self.is_responsive => PRESENT | SWALLOWED,
            (true, false) => PRESENT,
            (true, true) => PRESENT | POWERED_NEGOTIABLE,
        };
        let record = ReaderRecord {
            name: &self.name,
            event_counter: u32::from(self.event_counter),
            state,
            sharing: match self.sharing {
                Sharing::Open(count) => count,
                Sharing::Exclusive => -1,
            },
            atr: if self.inserted && self.is_responsive { &self.atr } else { &[] },
            protocol: self.protocol,
        };
        Some(record.encode())
    }

    /// Whether the card waits for a touch.
    pub(crate) fn wants_touch(&self) -> bool {
        self.busy.as_ref().is_some_and(Busy::wants_touch)
    }

    pub(crate) fn is_plugged(&self) -> bool {
        self.plugged
    }

    pub(crate) fn is_inserted(&self) -> bool {
        self.inserted
    }

    /// Whether there is a card, and it answers to power.
    pub(crate) fn has_responsive_card(&self) -> bool {
        self.plugged && self.inserted && self.is_responsive
    }

    /// The number of open handles.
    pub(crate) fn open_handles(&self) -> usize {
        self.handles.len()
    }

    fn power_up(&mut self, now: Duration) -> Result<(), Refusal> {
        self.require_card()?;
        self.require_responsive(Code::UNPOWERED_CARD)?;
        let idle = self.idle_since.map(|since| now.saturating_sub(since));
        if idle.zip(self.idle_off).is_some_and(|(idle, limit)| idle >= limit) {
            self.lose_power();
        }
        self.powered = true;
        Ok(())
    }

    /// Sets the protocol. The raw protocol can be chosen at any time, and then counts for all handles. Of the others,
    /// the first connection after power-up chooses one, and it stays. "Any" can be named by that first connection only.
    fn choose_protocol(&mut self, mode: ShareMode, mask: u32) -> Result<(), Refusal> {
        if mask & protocol::RAW != 0 {
            self.protocol = protocol::RAW;
            return Ok(());
        }
        if mode == ShareMode::Direct {
            return Ok(());
        }
        let fits = match self.protocol {
            protocol::NONE => mask & (protocol::T1 | protocol::ANY_OLD) != 0,
            active => mask & active != 0,
        };
        if !fits {
            return Err(Code::PROTOCOL_MISMATCH.into());
        }
        if self.protocol == protocol::NONE {
            self.protocol = protocol::T1;
        }
        Ok(())
    }

    fn close(&mut self, id: HandleId, now: Duration) {
        self.handles.remove(&id);
        self.sharing = match self.sharing {
            Sharing::Exclusive => Sharing::Open(0),
            Sharing::Open(count) => Sharing::Open((count - 1).max(0)),
        };
        if self.lock.is_some_and(|lock| lock.owner == id) {
            self.lock = None;
        }
        if self.handles.is_empty() {
            self.idle_since = Some(now);
        }
    }

    fn is_locked_by_other(&self, id: HandleId) -> bool {
        self.lock.is_some_and(|lock| lock.owner != id)
    }

    /// Handles of a reader that was unplugged are not known any more.
    fn require_handle(&self, id: HandleId) -> Result<(), Refusal> {
        if self.handles.contains_key(&id) { Ok(()) } else { Err(Code::INVALID_VALUE.into()) }
    }

    fn require_unlocked_by_others(&self, id: HandleId) -> Result<(), Refusal> {
        if self.is_locked_by_other(id) { Err(Code::SHARING_VIOLATION.into()) } else { Ok(()) }
    }

    fn require_no_event(&self, id: HandleId) -> Result<(), Refusal> {
        match self.handles.get(&id).and_then(|handle| handle.pending_event) {
            None => Ok(()),
            Some(PendingEvent::Reset) => Err(Code::RESET_CARD.into()),
            Some(PendingEvent::Removed) => Err(Code::REMOVED_CARD.into()),
        }
    }

    fn require_card(&self) -> Result<(), Refusal> {
        if self.inserted { Ok(()) } else { Err(Code::NO_SMARTCARD.into()) }
    }

    fn require_responsive(&self, otherwise: Code) -> Result<(), Refusal> {
        if self.is_responsive { Ok(()) } else { Err(otherwise.into()) }
    }

    fn require_idle(&self) -> Result<(), Refusal> {
        if self.busy.is_some() { Err(Refusal::Wait) } else { Ok(()) }
    }

    /// A reset has to wait until the card has finished its command.
    fn require_idle_for(&self, disposition: Disposition) -> Result<(), Refusal> {
        match disposition {
            Disposition::Reset | Disposition::Unpower => self.require_idle(),
            Disposition::Leave | Disposition::Eject => Ok(()),
        }
    }
}

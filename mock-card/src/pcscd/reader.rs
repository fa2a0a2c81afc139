//! One reader with its card: sharing, transactions, protocol, reset and removal.
//!
//! The rules and the order of the checks are those of pcsc-lite (`winscard.c`, `readerfactory.c`); a first
//! hit decides. Nothing here blocks: where the real daemon waits, the answer is [`Refusal::Wait`].

mod fate;

use std::collections::BTreeMap;
use std::time::Duration;

use super::armed::Armed;
use super::busy::Busy;
use super::code::{Code, Disposition, ShareMode, protocol};
use super::wire::{READER_RECORD, ReaderRecord};
use crate::applet::Card;
use crate::settings::Touch;
use crate::trace::Redactor;

/// A card handle, unique in the daemon.
pub(crate) type HandleId = u32;

/// ATR of a YubiKey 5 over USB: T=1, historical bytes `YubiKey`.
pub(crate) const ATR: [u8; 23] = [
    0x3B, 0xFD, 0x13, 0x00, 0x00, 0x81, 0x31, 0xFE, 0x15, 0x80, 0x73, 0xC0, 0x21, 0xC0, 0x57, 0x59, 0x75,
    0x62, 0x69, 0x4B, 0x65, 0x79, 0x40,
];

/// Why a call does not go through now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The answer to give.
    Code(Code),
    /// The call waits in the daemon until another program, or a finger, is done.
    Wait,
}

impl From<Code> for Refusal {
    fn from(code: Code) -> Self {
        Self::Code(code)
    }
}

/// A reader and what is in it.
pub(crate) struct Reader {
    pub(crate) name: String,
    pub(crate) card: Card,
    pub(crate) redactor: Redactor,
    /// Who touches it.
    pub(crate) hand: Touch,
    pub(crate) touch_timeout: Duration,
    /// The command that takes time; the card does nothing else meanwhile.
    pub(crate) busy: Option<Busy>,
    /// What is to go wrong.
    pub(crate) armed: Armed,
    /// A finger that came before it was asked for.
    pub(crate) touched_ahead: bool,
    pub(crate) state_file: Option<std::path::PathBuf>,
    idle_off: Option<Duration>,
    idle_since: Option<Duration>,
    plugged: bool,
    inserted: bool,
    /// It is in, but does not answer to power.
    mute: bool,
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
    event: Option<Event>,
}

/// What happened to the card since the handle was last connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Reset,
    Removed,
}

impl Reader {
    pub(crate) fn new(name: String, card: Card, hand: Touch, touch_timeout: Duration) -> Self {
        Self {
            name,
            card,
            redactor: Redactor::default(),
            hand,
            touch_timeout,
            busy: None,
            armed: Armed::default(),
            touched_ahead: false,
            state_file: None,
            idle_off: None,
            idle_since: None,
            plugged: true,
            inserted: true,
            mute: false,
            powered: true,
            event_counter: 0,
            protocol: protocol::NONE,
            sharing: Sharing::Open(0),
            lock: None,
            handles: BTreeMap::new(),
        }
    }

    /// Powers the card down this long after the last handle was closed; the real daemon does so after 5 s.
    pub(crate) fn power_off_when_idle(&mut self, after: Option<Duration>) {
        self.idle_off = after;
    }

    /// SCardConnect by a new handle; the protocol in use.
    pub(crate) fn connect(
        &mut self,
        id: HandleId,
        mode: ShareMode,
        mask: u32,
        now: Duration,
    ) -> Result<u32, Refusal> {
        if self.sharing == Sharing::Exclusive {
            return Err(Code::SharingViolation.into());
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
            (ShareMode::Exclusive, _) => return Err(Code::SharingViolation.into()),
            (_, Sharing::Open(count)) => Sharing::Open(count + 1),
            (_, Sharing::Exclusive) => return Err(Code::SharingViolation.into()),
        };
        self.handles.insert(id, Handle::default());
        self.idle_since = None;
        Ok(self.protocol)
    }

    /// SCardReconnect. `initialization` is what happens to the card first.
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
        self.require_voice(Code::UnresponsiveCard)?;
        self.choose_protocol(mode, mask)?;
        match (mode, self.sharing) {
            (ShareMode::Exclusive, Sharing::Exclusive) => {}
            (ShareMode::Exclusive, Sharing::Open(1)) => {
                self.sharing = Sharing::Exclusive;
                self.lock = Some(Lock { owner: id, count: 1 });
            }
            (ShareMode::Exclusive, Sharing::Open(_)) => return Err(Code::SharingViolation.into()),
            // The real daemon leaves the lock with the handle here; others wait until it ends or disconnects.
            (_, Sharing::Exclusive) => self.sharing = Sharing::Open(1),
            (_, Sharing::Open(_)) => {}
        }
        self.handles.insert(id, Handle::default());
        Ok(self.protocol)
    }

    /// SCardDisconnect. A reader that is gone is success.
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

    /// The client vanished, or released its context with the handle open. A lock it held costs a reset, unless
    /// the handle had learnt of one already. Returns what was done to the card.
    pub(crate) fn abandon(&mut self, id: HandleId, now: Duration) -> Result<Disposition, Refusal> {
        let Some(handle) = self.handles.get(&id) else { return Ok(Disposition::Leave) };
        let held = self.lock.is_some_and(|lock| lock.owner == id);
        let disposition =
            if held && handle.event.is_none() { Disposition::Reset } else { Disposition::Leave };
        self.disconnect(id, disposition, now).map(|()| disposition)
    }

    /// SCardBeginTransaction. Transactions of one handle nest.
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

    /// Whose transaction or exclusive connection it is.
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
        // No reader of today throws cards out; the transaction is over all the same (`IFDControl_v2`).
        if disposition == Disposition::Eject {
            return Err(Code::UnsupportedFeature.into());
        }
        unlocked
    }

    fn unlock(&mut self, id: HandleId) -> Result<(), Refusal> {
        match &mut self.lock {
            None => Err(Code::NotTransacted.into()),
            Some(lock) if lock.owner != id => Err(Code::SharingViolation.into()),
            Some(lock) if lock.count > 1 => {
                lock.count -= 1;
                Ok(())
            }
            // In exclusive mode the last count belongs to the mode, and only the handle's end frees it.
            Some(_) if self.sharing == Sharing::Exclusive => Err(Code::NotTransacted.into()),
            Some(_) => {
                self.lock = None;
                Ok(())
            }
        }
    }

    /// Whether a command may go to the card. `sent` is the protocol the client names.
    pub(crate) fn check_transmit(&self, id: HandleId, sent: u32) -> Result<(), Refusal> {
        self.require_handle(id)?;
        self.require_unlocked_by_others(id)?;
        self.require_no_event(id)?;
        self.require_card()?;
        let any = [protocol::RAW, protocol::ANY_OLD].contains(&sent);
        if !any && sent != self.protocol {
            return Err(Code::ProtocolMismatch.into());
        }
        self.require_idle()
    }

    /// A command over a link, which has no handle: the daemon at its other end asks whose turn it is.
    pub(crate) fn check_link(&self) -> Result<(), Refusal> {
        if self.is_there() { self.require_idle() } else { Err(Code::NoSmartcard.into()) }
    }

    /// SCardStatus, SCardGetAttrib, SCardSetAttrib.
    pub(crate) fn check_status(&self, id: HandleId) -> Result<(), Refusal> {
        self.require_handle(id)?;
        self.require_unlocked_by_others(id)?;
        self.require_no_event(id)
    }

    /// SCardControl speaks to the reader, so the card's events do not matter.
    pub(crate) fn check_control(&self, id: HandleId) -> Result<(), Refusal> {
        self.require_handle(id)?;
        self.require_unlocked_by_others(id)
    }

    /// The record for clients, or nothing while the reader is unplugged.
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
            _ if self.mute => PRESENT | SWALLOWED,
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
            atr: if self.inserted && !self.mute { &ATR } else { &[] },
            protocol: self.protocol,
        };
        Some(record.encode())
    }

    /// Whether its light blinks.
    pub(crate) fn wants_touch(&self) -> bool {
        self.busy.as_ref().is_some_and(Busy::wants_touch)
    }

    pub(crate) fn is_plugged(&self) -> bool {
        self.plugged
    }

    pub(crate) fn is_inserted(&self) -> bool {
        self.inserted
    }

    /// Whether there is a card that answers to power.
    pub(crate) fn is_there(&self) -> bool {
        self.plugged && self.inserted && !self.mute
    }

    /// Handles that are open.
    pub(crate) fn open_handles(&self) -> usize {
        self.handles.len()
    }

    fn power_up(&mut self, now: Duration) -> Result<(), Refusal> {
        self.require_card()?;
        self.require_voice(Code::UnpoweredCard)?;
        let idle = self.idle_since.map(|since| now.saturating_sub(since));
        if idle.zip(self.idle_off).is_some_and(|(idle, limit)| idle >= limit) {
            self.lose_power();
        }
        self.powered = true;
        Ok(())
    }

    /// Raw is for everybody, at once. The others are chosen by the first connection after power-up and then
    /// kept; "any" means something only to that one.
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
            return Err(Code::ProtocolMismatch.into());
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

    /// A handle of a reader that was pulled is known to nobody.
    fn require_handle(&self, id: HandleId) -> Result<(), Refusal> {
        if self.handles.contains_key(&id) { Ok(()) } else { Err(Code::InvalidValue.into()) }
    }

    fn require_unlocked_by_others(&self, id: HandleId) -> Result<(), Refusal> {
        if self.is_locked_by_other(id) { Err(Code::SharingViolation.into()) } else { Ok(()) }
    }

    fn require_no_event(&self, id: HandleId) -> Result<(), Refusal> {
        match self.handles.get(&id).and_then(|handle| handle.event) {
            None => Ok(()),
            Some(Event::Reset) => Err(Code::ResetCard.into()),
            Some(Event::Removed) => Err(Code::RemovedCard.into()),
        }
    }

    fn require_card(&self) -> Result<(), Refusal> {
        if self.inserted { Ok(()) } else { Err(Code::NoSmartcard.into()) }
    }

    fn require_voice(&self, otherwise: Code) -> Result<(), Refusal> {
        if self.mute { Err(otherwise.into()) } else { Ok(()) }
    }

    fn require_idle(&self) -> Result<(), Refusal> {
        if self.busy.is_some() { Err(Refusal::Wait) } else { Ok(()) }
    }

    /// A reset waits until the card has finished its command.
    fn require_idle_for(&self, disposition: Disposition) -> Result<(), Refusal> {
        match disposition {
            Disposition::Reset | Disposition::Unpower => self.require_idle(),
            Disposition::Leave | Disposition::Eject => Ok(()),
        }
    }
}

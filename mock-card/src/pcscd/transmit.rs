//! SCardTransmit: a command to a card and its answer, with the wait for a touch and the effects of injected faults.

use std::mem;
use std::os::fd::AsFd;
use std::sync::MutexGuard;
use std::time::Duration;

use super::busy::{Busy, Ending};
use super::code::{Code, rv};
use super::injected::{Effects, InjectedTouch};
use super::reader::{Reader, Refusal};
use super::session::Session;
use super::waiting::ConnectionId;
use super::wire::Message;
use super::{Disconnected, Shared, State};
use crate::applet::Exchange;
use crate::applet::instruction::Instruction;
use crate::settings::Touch;
use crate::trace::{Entry, Shown};

/// Where a command comes from.
pub(super) struct Origin<'a, S> {
    /// The number of the connection in the trace; 0 for a virtual reader.
    pub(super) conn: ConnectionId,
    /// The command is given up if this is disconnected while it waits for its turn.
    pub(super) client: &'a S,
    /// The size of the client's buffer.
    pub(super) room: usize,
}

/// Why a client gets no answer to its command.
pub(super) struct TransmitError {
    pub(super) code: Code,
    /// The size of the buffer that the client would have needed.
    pub(super) needed: usize,
}

impl Session {
    pub(super) fn transmit(&mut self, message: &Message) -> Result<Vec<u8>, Disconnected> {
        let (handle, reader) = self.card_of(message)?;
        let (sent_protocol, room) = (message.word(4), message.word(24) as usize);
        let origin = Origin { conn: self.id, client: &*self.stream, room };
        let may = |reader: &Reader| reader.check_transmit(handle, sent_protocol);
        Ok(match self.shared.exchange(reader, &origin, &message.payload, may)? {
            Ok(answer) => message.reply(&[(24, answer.len() as u32), (28, 0)], &answer),
            Err(error) => message.reply(&[(24, error.needed as u32), (28, error.code.0)], &[]),
        })
    }
}

impl Shared {
    /// Sends one command to a card, once it `may` go there. Other clients are served meanwhile.
    pub(super) fn exchange<S: AsFd>(
        &self,
        reader: usize,
        origin: &Origin<'_, S>,
        command: &[u8],
        may: impl Fn(&Reader) -> Result<(), Refusal>,
    ) -> Result<Result<Vec<u8>, TransmitError>, Disconnected> {
        let mut state = self.lock();
        let allowed = loop {
            match may(&state.readers[reader]) {
                Ok(()) => break Ok(()),
                Err(Refusal::Code(code)) => break Err(code),
                Err(Refusal::Wait) => state = self.wait_for_change(state, origin.client)?,
            }
        };
        let mut effects = Effects::default();
        let answer = match allowed {
            Ok(()) => {
                effects = state.readers[reader].injected.next_transmit();
                let (again, answer) = self.exchange_with(&effects, state, reader, command, may);
                state = again;
                answer
            }
            Err(code) => Err(code),
        };
        let fits = answer.as_ref().map_or(true, |answer| answer.len() <= origin.room);
        let result = match &answer {
            Err(code) => Err(*code),
            Ok(_) if !fits => Err(Code::INSUFFICIENT_BUFFER),
            Ok(_) => Ok(()),
        };
        let entry =
            Entry { conn: origin.conn, fault: !effects.is_none(), rv: rv(&result), ..Entry::of("transmit") };
        state.record_transmit(reader, command, answer.as_deref().ok(), entry);
        for event in effects.after() {
            let _ = self.cause(&mut state, reader, event);
        }
        let is_stopping = state.stopping;
        self.commit(state);
        if is_stopping {
            return Err(Disconnected);
        }
        let needed = answer.as_ref().map_or(0, Vec::len);
        Ok(answer.and_then(|answer| result.map(|()| answer)).map_err(|code| TransmitError { code, needed }))
    }

    fn exchange_with<'a>(
        &'a self,
        effects: &Effects,
        mut state: MutexGuard<'a, State>,
        reader: usize,
        command: &[u8],
        may: impl Fn(&Reader) -> Result<(), Refusal>,
    ) -> (MutexGuard<'a, State>, Result<Vec<u8>, Code>) {
        for event in effects.before() {
            let _ = self.cause(&mut state, reader, event);
        }
        if state.stopping {
            return (state, Err(Code::READER_UNAVAILABLE));
        }
        if let Err(Refusal::Code(code)) = may(&state.readers[reader]) {
            return (state, Err(code));
        }
        if !effects.delay().is_zero() {
            let deadline = state.now().saturating_add(effects.delay());
            state.readers[reader].busy = Some(Busy::taking_its_time(deadline));
            let (again, ending) = self.wait_while_busy(state, reader, None);
            state = again;
            if let Ending::Failed(code) = ending {
                return (state, Err(code));
            }
        }
        if let Some(instead) = effects.instead() {
            return (state, instead);
        }
        let (state, answer) = self.carry_out(state, reader, command);
        (state, effects.alter(answer))
    }

    fn carry_out<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        reader: usize,
        command: &[u8],
    ) -> (MutexGuard<'a, State>, Result<Vec<u8>, Code>) {
        let now = state.now();
        let exchange = match &mut state.readers[reader] {
            endless if endless.injected.is_endless => Exchange::Answer(endless_answer()),
            full if full.injected.is_full => exchange_on_full_card(full, command, now),
            usual => usual.card.exchange(command, now),
        };
        match exchange {
            Exchange::Answer(answer) => (state, Ok(answer)),
            Exchange::TouchWanted { slot } => self.wait_for_touch(state, reader, slot),
        }
    }

    /// Waits until the card is touched. Only this client waits, and others that want the same card.
    fn wait_for_touch<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        reader: usize,
        slot: u8,
    ) -> (MutexGuard<'a, State>, Result<Vec<u8>, Code>) {
        let (serial, now) = (state.readers[reader].card.serial(), state.now());
        let touch = state.readers[reader].touch_at(now);
        let deadline = now.saturating_add(state.readers[reader].touch_timeout);
        state.readers[reader].busy = Some(Busy::waiting_for_touch(slot, deadline));
        state.send_event(&format!("touch-wanted {serial} {slot:02X}"));
        let (mut state, ending) = self.wait_while_busy(state, reader, touch);
        let (now, card) = (state.now(), &mut state.readers[reader].card);
        let answer = match ending {
            Ending::Touched => Ok(card.finish(true, now)),
            Ending::TimedOut => Ok(card.finish(false, now)),
            Ending::Failed(code) => Err(code),
        };
        state.send_event(&format!("touch-done {serial} {slot:02X} {}", ending.word()));
        (state, answer)
    }

    /// Waits until the card is done. At the time `touch` the mock touches it.
    fn wait_while_busy<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        reader: usize,
        touch: Option<Duration>,
    ) -> (MutexGuard<'a, State>, Ending) {
        self.changed.notify_all();
        let ending = loop {
            let now = state.now();
            let Some(busy) = state.readers[reader].busy else { break Ending::Failed(Code::NOT_TRANSACTED) };
            match busy.ending(now) {
                Some(ending) => break ending,
                None if state.stopping => break Ending::Failed(Code::READER_UNAVAILABLE),
                None if touch.is_some_and(|at| at <= now) => state.give_touch(reader),
                None => {
                    let until = touch.map_or(busy.deadline, |at| at.min(busy.deadline));
                    state = self.wait_at_most(state, until.saturating_sub(now));
                }
            }
        };
        state.readers[reader].busy = None;
        (state, ending)
    }
}

/// 255 bytes, and the status word that says that as many follow (ISO/IEC 7816-4, 5.3.4).
fn endless_answer() -> Vec<u8> {
    [&[0; 255][..], &[0x61, 0xFF]].concat()
}

/// Lets the card carry the command out. If it takes up more memory then, that is undone.
fn exchange_on_full_card(reader: &mut Reader, command: &[u8], now: Duration) -> Exchange {
    const MEMORY_FULL: [u8; 2] = [0x6A, 0x84];
    let instruction = command.get(1).and_then(|byte| Instruction::parse(*byte));
    if !instruction.is_some_and(Instruction::stores) {
        return reader.card.exchange(command, now);
    }
    let before = reader.card.save();
    let exchange = reader.card.exchange(command, now);
    if reader.card.save().len() > before.len() {
        reader.card.restore(&before).expect("the card wrote it");
        return Exchange::Answer(MEMORY_FULL.to_vec());
    }
    exchange
}

impl Reader {
    /// When the mock touches the card by itself, if the card needs a touch at the time `now`.
    fn touch_at(&mut self, now: Duration) -> Option<Duration> {
        match (self.injected.touch, self.touch) {
            (Some(InjectedTouch::Never), _) | (None, Touch::Never) => None,
            (Some(InjectedTouch::Late(delay)), _) => Some(now.saturating_add(delay)),
            (None, Touch::Auto) => Some(now),
            (None, Touch::Manual) => mem::take(&mut self.touched_in_advance).then_some(now),
        }
    }
}

impl State {
    /// Touches a card that waits for it.
    pub(super) fn give_touch(&mut self, reader: usize) {
        let reader = &mut self.readers[reader];
        let Some(busy) = &mut reader.busy else { return };
        busy.touch();
        let entry = Entry {
            serial: reader.card.serial(),
            slot: busy.touch_slot.map(|slot| format!("{slot:02X}")),
            ..Entry::of("touch")
        };
        self.record(entry);
    }

    fn record_transmit(&mut self, reader: usize, command: &[u8], answer: Option<&[u8]>, entry: Entry) {
        let redacted = self.readers[reader].redactor.show(command, answer);
        let shown = if self.recorder.with_secrets { Shown::whole(command, answer) } else { redacted };
        self.record(Entry {
            serial: self.readers[reader].card.serial(),
            ins: shown.ins,
            apdu: Some(shown.apdu),
            redacted: shown.redacted,
            answer: shown.answer,
            ..entry
        });
    }
}

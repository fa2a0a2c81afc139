//! One command to a card and its answer: whose turn it is, the finger, and what goes wrong on purpose.

use std::mem;
use std::os::fd::AsFd;
use std::sync::MutexGuard;
use std::time::Duration;

use super::armed::Strike;
use super::busy::{Busy, Ending};
use super::code::{Code, rv};
use super::reader::{Reader, Refusal};
use super::session::Session;
use super::waiting::ConnectionId;
use super::wire::Message;
use super::{Gone, Shared, State};
use crate::applet::Exchange;
use crate::applet::instruction::Instruction;
use crate::fault::Blow;
use crate::settings::Touch;
use crate::trace::{Entry, Shown};

/// Where a command comes from.
pub(super) struct Origin<'a, S> {
    /// As the trace counts, 0 for a link that is no connection of ours.
    pub(super) conn: ConnectionId,
    /// Looked at while the command waits for its turn.
    pub(super) client: &'a S,
    /// The longest answer that the client takes.
    pub(super) room: usize,
}

/// A command that brought its client no answer.
pub(super) struct Unanswered {
    pub(super) code: Code,
    /// Bytes that the client should have had room for.
    pub(super) wanted: usize,
}

impl Session {
    pub(super) fn transmit(&mut self, message: &Message) -> Result<Vec<u8>, Gone> {
        let (handle, reader) = self.card_of(message)?;
        let (sent_protocol, room) = (message.word(4), message.word(24) as usize);
        let origin = Origin { conn: self.id, client: &*self.stream, room };
        let may = |reader: &Reader| reader.check_transmit(handle, sent_protocol);
        Ok(match self.shared.exchange(reader, &origin, &message.payload, may)? {
            Ok(answer) => message.reply(&[(24, answer.len() as u32), (28, 0)], &answer),
            Err(none) => message.reply(&[(24, none.wanted as u32), (28, none.code.number())], &[]),
        })
    }
}

impl Shared {
    /// One command, once it `may` go to the card. Everybody else is served meanwhile.
    pub(super) fn exchange<S: AsFd>(
        &self,
        reader: usize,
        origin: &Origin<'_, S>,
        command: &[u8],
        may: impl Fn(&Reader) -> Result<(), Refusal>,
    ) -> Result<Result<Vec<u8>, Unanswered>, Gone> {
        let mut state = self.lock();
        let allowed = loop {
            match may(&state.readers[reader]) {
                Ok(()) => break Ok(()),
                Err(Refusal::Code(code)) => break Err(code),
                Err(Refusal::Wait) => state = self.pause(state, origin.client)?,
            }
        };
        let mut strike = Strike::default();
        let answer = match allowed {
            Ok(()) => {
                strike = state.readers[reader].armed.next_transmit();
                let (again, answer) = self.exchange_under(state, reader, command, &strike, may);
                state = again;
                answer
            }
            Err(code) => Err(code),
        };
        let fits = answer.as_ref().map_or(true, |answer| answer.len() <= origin.room);
        let result = match &answer {
            Err(code) => Err(*code),
            Ok(_) if !fits => Err(Code::InsufficientBuffer),
            Ok(_) => Ok(()),
        };
        let entry =
            Entry { conn: origin.conn, fault: !strike.is_none(), rv: rv(&result), ..Entry::of("transmit") };
        state.record_transmit(reader, command, answer.as_deref().ok(), entry);
        for blow in strike.after() {
            self.strike(&mut state, reader, blow);
        }
        let gone = state.stopping;
        self.commit(state);
        if gone {
            return Err(Gone);
        }
        let wanted = answer.as_ref().map_or(0, Vec::len);
        Ok(answer.and_then(|answer| result.map(|()| answer)).map_err(|code| Unanswered { code, wanted }))
    }

    fn exchange_under<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        reader: usize,
        command: &[u8],
        strike: &Strike,
        may: impl Fn(&Reader) -> Result<(), Refusal>,
    ) -> (MutexGuard<'a, State>, Result<Vec<u8>, Code>) {
        for blow in strike.before() {
            self.strike(&mut state, reader, blow);
        }
        if state.stopping {
            return (state, Err(Code::ReaderUnavailable));
        }
        if let Err(Refusal::Code(code)) = may(&state.readers[reader]) {
            return (state, Err(code));
        }
        if !strike.delay().is_zero() {
            let deadline = state.now().saturating_add(strike.delay());
            state.readers[reader].busy = Some(Busy::working(deadline));
            let (again, ending) = self.wait_while_busy(state, reader, None);
            state = again;
            if let Ending::Failed(code) = ending {
                return (state, Err(code));
            }
        }
        if let Some(instead) = strike.instead() {
            return (state, instead);
        }
        let (state, answer) = self.carry_out(state, reader, command);
        (state, strike.spoil(answer))
    }

    fn carry_out<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        reader: usize,
        command: &[u8],
    ) -> (MutexGuard<'a, State>, Result<Vec<u8>, Code>) {
        let now = state.now();
        let exchange = match &mut state.readers[reader] {
            endless if endless.armed.endless => Exchange::Answer(more_and_more()),
            full if full.armed.full => exchange_on_full_card(full, command, now),
            usual => usual.card.exchange(command, now),
        };
        match exchange {
            Exchange::Answer(answer) => (state, Ok(answer)),
            Exchange::TouchWanted { slot } => self.wait_for_touch(state, reader, slot),
        }
    }

    /// Only the client that wants the touch waits, and the card with it.
    fn wait_for_touch<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        reader: usize,
        slot: u8,
    ) -> (MutexGuard<'a, State>, Result<Vec<u8>, Code>) {
        let (serial, now) = (state.readers[reader].card.serial(), state.now());
        let finger = state.readers[reader].finger_at(now);
        let deadline = now.saturating_add(state.readers[reader].touch_timeout);
        state.readers[reader].busy = Some(Busy::blinking(slot, deadline));
        state.tell(&format!("touch-wanted {serial} {slot:02X}"));
        let (mut state, ending) = self.wait_while_busy(state, reader, finger);
        let (now, card) = (state.now(), &mut state.readers[reader].card);
        let answer = match ending {
            Ending::Touched => Ok(card.finish(true, now)),
            Ending::TimedOut => Ok(card.finish(false, now)),
            Ending::Failed(code) => Err(code),
        };
        state.tell(&format!("touch-done {serial} {slot:02X} {}", ending.word()));
        (state, answer)
    }

    /// Until the card is done. A `finger` comes by itself at its time, if that is before the end.
    fn wait_while_busy<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        reader: usize,
        finger: Option<Duration>,
    ) -> (MutexGuard<'a, State>, Ending) {
        self.changed.notify_all();
        let ending = loop {
            let now = state.now();
            let Some(busy) = state.readers[reader].busy else { break Ending::Failed(Code::NotTransacted) };
            match busy.ending(now) {
                Some(ending) => break ending,
                None if state.stopping => break Ending::Failed(Code::ReaderUnavailable),
                None if finger.is_some_and(|at| at <= now) => state.give_touch(reader),
                None => {
                    let until = finger.map_or(busy.deadline, |at| at.min(busy.deadline));
                    state = self.wait(state, until.saturating_sub(now));
                }
            }
        };
        state.readers[reader].busy = None;
        (state, ending)
    }

    /// Who hits a card that is gone already hits nothing.
    fn strike(&self, state: &mut State, reader: usize, blow: Blow) {
        match blow {
            Blow::Unplug if state.readers[reader].is_plugged() => state.unplug(reader),
            Blow::Remove if state.readers[reader].is_inserted() => {
                state.readers[reader].remove();
                state.note(reader, "remove");
            }
            Blow::Reset => {
                state.readers[reader].reset();
                state.note(reader, "reset");
            }
            Blow::PowerOff => {
                state.readers[reader].power_off();
                state.note(reader, "power-off");
            }
            Blow::DaemonGone => self.go_down(state),
            Blow::Unplug | Blow::Remove => {}
        }
    }
}

/// 255 bytes, and as many more to be fetched (ISO/IEC 7816-4, 5.3.4).
fn more_and_more() -> Vec<u8> {
    [&[0; 255][..], &[0x61, 0xFF]].concat()
}

/// The card carries the command out. If it needs more memory afterwards, that is taken back.
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
    /// When a finger comes by itself for a touch that is wanted at `now`.
    fn finger_at(&mut self, now: Duration) -> Option<Duration> {
        match (self.armed.finger, self.hand) {
            (Some(played), _) => played.map(|delay| now.saturating_add(delay)),
            (None, Touch::Auto) => Some(now),
            (None, Touch::Manual) => mem::take(&mut self.touched_ahead).then_some(now),
            (None, Touch::Never) => None,
        }
    }
}

impl State {
    /// A finger comes to a card whose light blinks.
    pub(super) fn give_touch(&mut self, reader: usize) {
        let reader = &mut self.readers[reader];
        let Some(busy) = &mut reader.busy else { return };
        busy.touch();
        let entry = Entry {
            serial: reader.card.serial(),
            slot: busy.blinking.map(|slot| format!("{slot:02X}")),
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

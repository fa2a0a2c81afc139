//! The calls on a card. Each is read from a message, carried out by the [`Reader`](super::reader::Reader), and
//! answered.
//!
//! The offsets are those of the structures in pcsc-lite's `winscard_msg.h`.

use std::time::Duration;

use super::code::{Code, Disposition, ShareMode, protocol, rv};
use super::reader::{HandleId, Reader, Refusal};
use super::session::{OpenHandle, Session};
use super::wire::{LONGEST_ATTRIBUTE, Message, READER_NAME};
use super::{Disconnected, State};
use crate::trace::Entry;

impl Session {
    pub(super) fn connect(&mut self, message: &Message) -> Result<Vec<u8>, Disconnected> {
        let context = message.word(0);
        let name = reader_name(&message.body[4..4 + READER_NAME]);
        let (share, mask) = (message.word(132), message.word(136));
        let entry = Entry { share: Some(share), ..Entry::of("connect") };
        let known_context = self.contexts.contains(&context);
        let named = self.shared.lock().reader_named(&name);
        let mut injected = None;
        let result = self.perform(entry, named, |state| {
            let mode = ShareMode::parse(share);
            if mode != Ok(ShareMode::Direct) && mask & protocol::KNOWN == 0 {
                return Err(Code::PROTOCOL_MISMATCH.into());
            }
            let mode = mode?;
            if !known_context {
                return Err(Code::INVALID_VALUE.into());
            }
            let reader = state.reader_named(&name).ok_or(Code::UNKNOWN_READER)?;
            // A connect that waits for its turn is tried several times, and counts once.
            (*injected.get_or_insert_with(|| state.readers[reader].injected.next_connect()))?;
            let (handle, now) = (state.new_number(), state.now());
            let protocol = state.readers[reader].connect(handle, mode, mask, now)?;
            Ok((handle, reader, protocol))
        })?;
        if let Ok((handle, reader, _)) = result {
            self.handles.insert(handle, OpenHandle { context, reader });
        }
        let (handle, _, protocol) = result.unwrap_or_default();
        Ok(message.reply(&[(140, handle), (144, protocol), (148, rv(&result))], &[]))
    }

    pub(super) fn reconnect(&mut self, message: &Message) -> Result<Vec<u8>, Disconnected> {
        let (handle, reader) = self.card_of(message)?;
        let (share, mask, initialization) = (message.word(4), message.word(8), message.word(12));
        let entry = Entry { share: Some(share), disposition: Some(initialization), ..Entry::of("reconnect") };
        let result = self.perform(entry, Some(reader), |state| {
            let initialization = match Disposition::parse(initialization)? {
                Disposition::Eject => return Err(Code::INVALID_VALUE.into()),
                other => other,
            };
            let mode = ShareMode::parse(share)?;
            if mode != ShareMode::Direct && mask & protocol::KNOWN == 0 {
                return Err(Code::PROTOCOL_MISMATCH.into());
            }
            state.readers[reader].reconnect(handle, mode, mask, initialization)
        })?;
        Ok(message.reply(&[(16, result.unwrap_or_default()), (20, rv(&result))], &[]))
    }

    pub(super) fn disconnect(&mut self, message: &Message) -> Result<Vec<u8>, Disconnected> {
        let (handle, reader) = self.card_of(message)?;
        let disposition = message.word(4);
        let entry = Entry { disposition: Some(disposition), ..Entry::of("disconnect") };
        let result = self.perform(entry, Some(reader), |state| {
            let now = state.now();
            state.readers[reader].disconnect(handle, Disposition::parse(disposition)?, now)
        })?;
        if result.is_ok() {
            self.handles.remove(&handle);
        }
        Ok(message.reply(&[(8, rv(&result))], &[]))
    }

    /// Waits here until the transaction of another client is over; the library would only come again.
    ///
    /// SCardBeginTransaction. If another handle of the same connection has a transaction, waiting would never end,
    /// because its end would come over the connection that waits. Then the answer is that of the real daemon, after the
    /// same pause.
    pub(super) fn begin_transaction(&mut self, message: &Message) -> Result<Vec<u8>, Disconnected> {
        const PAUSE: Duration = Duration::from_millis(100);
        let (handle, reader) = self.card_of(message)?;
        let own: Vec<HandleId> = self.handles.keys().copied().collect();
        let result = self.perform(Entry::of("begintransaction"), Some(reader), |state| {
            let begun = state.readers[reader].begin(handle);
            let owner = state.readers[reader].lock_owner();
            match begun {
                Err(Refusal::Wait) if owner.is_some_and(|owner| own.contains(&owner)) => {
                    Err(Code::SHARING_VIOLATION.into())
                }
                other => other,
            }
        })?;
        if result == Err(Code::SHARING_VIOLATION) {
            std::thread::sleep(PAUSE);
        }
        Ok(message.reply(&[(4, rv(&result))], &[]))
    }

    pub(super) fn end_transaction(&mut self, message: &Message) -> Result<Vec<u8>, Disconnected> {
        let (handle, reader) = self.card_of(message)?;
        let disposition = message.word(4);
        let entry = Entry { disposition: Some(disposition), ..Entry::of("endtransaction") };
        let result = self.perform(entry, Some(reader), |state| {
            state.readers[reader].end(handle, Disposition::parse(disposition)?)
        })?;
        Ok(message.reply(&[(8, rv(&result))], &[]))
    }

    /// SCardControl. Only the question for features is known, and there are none (PC/SC part 10, 2.2).
    pub(super) fn control(&mut self, message: &Message) -> Result<Vec<u8>, Disconnected> {
        const GET_FEATURE_REQUEST: u32 = 0x4200_0D48;
        let (handle, reader) = self.card_of(message)?;
        let control_code = message.word(4);
        let result = self.perform(Entry::of("control"), Some(reader), |state| {
            state.readers[reader].check_control(handle)?;
            if control_code == GET_FEATURE_REQUEST { Ok(()) } else { Err(Code::UNSUPPORTED_FEATURE.into()) }
        })?;
        Ok(message.reply(&[(16, 0), (20, rv(&result))], &[]))
    }

    /// SCardStatus. State and answer to reset are in the reader list, which the client has; here only the result
    /// counts.
    pub(super) fn status(&mut self, message: &Message) -> Result<Vec<u8>, Disconnected> {
        let (handle, reader) = self.card_of(message)?;
        let result = self
            .perform(Entry::of("status"), Some(reader), |state| state.readers[reader].check_status(handle))?;
        Ok(message.reply(&[(4, rv(&result))], &[]))
    }

    pub(super) fn get_attribute(&mut self, message: &Message) -> Result<Vec<u8>, Disconnected> {
        let (handle, reader) = self.card_of(message)?;
        let (attribute, room) = (message.word(4), message.word(272) as usize);
        if room > LONGEST_ATTRIBUTE {
            return Err(Disconnected);
        }
        let result = self.perform(Entry::of("getattrib"), Some(reader), |state| {
            state.readers[reader].check_status(handle)?;
            let value =
                attribute_value(attribute, &state.readers[reader]).ok_or(Code::UNSUPPORTED_FEATURE)?;
            if value.len() > room { Err(Code::INSUFFICIENT_BUFFER.into()) } else { Ok(value) }
        })?;
        let value = result.as_deref().unwrap_or_default();
        let mut reply = message.reply(&[(272, value.len() as u32), (276, rv(&result))], &[]);
        reply[8..8 + value.len()].copy_from_slice(value);
        Ok(reply)
    }

    /// SCardSetAttrib. There is nothing to set in the reader of a YubiKey. Its driver answers NOT_TRANSACTED, as for
    /// any failure.
    pub(super) fn set_attribute(&mut self, message: &Message) -> Result<Vec<u8>, Disconnected> {
        let (handle, reader) = self.card_of(message)?;
        if message.word(272) as usize > LONGEST_ATTRIBUTE {
            return Err(Disconnected);
        }
        let result = self.perform(Entry::of("setattrib"), Some(reader), |state| {
            state.readers[reader].check_status(handle)?;
            Err::<(), _>(Code::NOT_TRANSACTED.into())
        })?;
        Ok(message.reply(&[(276, rv(&result))], &[]))
    }

    /// The handle at the beginning of every call on a card, and its reader. A client that names a handle that is not
    /// its own is disconnected.
    pub(super) fn card_of(&self, message: &Message) -> Result<(HandleId, usize), Disconnected> {
        let handle = message.word(0);
        self.handles.get(&handle).map(|owned| (handle, owned.reader)).ok_or(Disconnected)
    }

    /// Tries a call until it has a result, and records it.
    fn perform<T>(
        &self,
        entry: Entry,
        reader: Option<usize>,
        mut attempt: impl FnMut(&mut State) -> Result<T, Refusal>,
    ) -> Result<Result<T, Code>, Disconnected> {
        let mut state = self.shared.lock();
        let result = loop {
            match attempt(&mut state) {
                Ok(value) => break Ok(value),
                Err(Refusal::Code(code)) => break Err(code),
                Err(Refusal::Wait) => state = self.shared.wait_for_change(state, &self.stream)?,
            }
        };
        let serial = reader.map_or(0, |reader| state.readers[reader].card.serial());
        state.record(Entry { conn: self.id, serial, rv: rv(&result), ..entry });
        self.shared.commit(state);
        Ok(result)
    }
}

/// The text up to the NUL. A name that is not UTF-8 is that of no reader here.
fn reader_name(field: &[u8]) -> String {
    let length = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..length]).into_owned()
}

/// The value of an attribute: the vendor, the answer to reset, or the friendly name, which has two numbers.
fn attribute_value(attribute: u32, reader: &Reader) -> Option<Vec<u8>> {
    let text = |text: &str| [text.as_bytes(), &[0]].concat();
    match attribute {
        0x0001_0100 => Some(text("Yubico")),
        0x0009_0303 => Some(reader.atr.clone()),
        0x7FFF_0003 | 0x7FFF_0005 => Some(text(&reader.name)),
        _ => None,
    }
}

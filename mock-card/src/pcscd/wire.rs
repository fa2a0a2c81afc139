//! The messages between libpcsclite and its daemon (pcsc-lite, `winscard_msg.h`).
//!
//! A request is a header with the size of the body and the command, then the body, and for two commands a payload. A
//! reply is the same body with the results filled in, without a header. All numbers have 32 bits in native byte order.

use std::io::{self, Read};

/// `MAX_BUFFER_SIZE_EXTENDED`: the number of bytes in the longest command or answer.
pub(crate) const LONGEST_APDU: usize = 65_548;
/// `MAX_BUFFER_SIZE`: the number of bytes in the longest attribute.
pub(crate) const LONGEST_ATTRIBUTE: usize = 264;
/// `MAX_READERNAME`: the number of bytes for a name, with the NUL at its end.
pub(crate) const READER_NAME: usize = 128;
/// `MAX_ATR_SIZE`.
pub(crate) const LONGEST_ATR: usize = 33;
/// `PCSCLITE_MAX_READERS_CONTEXTS`: the number of records in the reader list.
pub(crate) const READER_SLOTS: usize = 16;
/// `sizeof(READER_STATE)`.
pub(crate) const READER_RECORD: usize = 184;

/// The commands that clients send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    EstablishContext,
    ReleaseContext,
    Connect,
    Reconnect,
    Disconnect,
    BeginTransaction,
    EndTransaction,
    Transmit,
    Control,
    Status,
    Cancel,
    GetAttribute,
    SetAttribute,
    Version,
    ReadersState,
    WaitReaderStateChange,
    StopWaiting,
    ReaderEvents,
    ReadersStateSize,
    ReadersStateArray,
}

impl Command {
    /// The command with this number, and the number of bytes in its body. The real daemon does not check the size of
    /// commands that have none.
    fn parse(number: u32) -> Option<(Self, Option<usize>)> {
        Some(match number {
            0x01 => (Self::EstablishContext, Some(12)),
            0x02 => (Self::ReleaseContext, Some(8)),
            0x04 => (Self::Connect, Some(152)),
            0x05 => (Self::Reconnect, Some(24)),
            0x06 => (Self::Disconnect, Some(12)),
            0x07 => (Self::BeginTransaction, Some(8)),
            0x08 => (Self::EndTransaction, Some(12)),
            0x09 => (Self::Transmit, Some(32)),
            0x0A => (Self::Control, Some(24)),
            0x0B => (Self::Status, Some(8)),
            0x0D => (Self::Cancel, Some(8)),
            0x0F => (Self::GetAttribute, Some(280)),
            0x10 => (Self::SetAttribute, Some(280)),
            0x11 => (Self::Version, Some(12)),
            0x12 => (Self::ReadersState, None),
            0x13 => (Self::WaitReaderStateChange, None),
            0x14 => (Self::StopWaiting, None),
            0x15 => (Self::ReaderEvents, None),
            0x16 => (Self::ReadersStateSize, None),
            0x17 => (Self::ReadersStateArray, None),
            _ => return None,
        })
    }

    /// The offset of the payload's length in the body, for commands with a payload.
    fn payload_length_at(self) -> Option<usize> {
        match self {
            Self::Transmit => Some(12),
            Self::Control => Some(8),
            _ => None,
        }
    }
}

/// A message for which the connection is closed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    #[error("the client is gone")]
    Closed(#[from] io::Error),
    #[error("command {0:#x} is not known")]
    UnknownCommand(u32),
    #[error("{command:?} with a body of {size} bytes")]
    BodySize { command: Command, size: usize },
    #[error("{0:?} with a length beyond its limit")]
    TooLong(Command),
}

/// A request. Its reply has the same body.
pub(crate) struct Message {
    pub(crate) command: Command,
    pub(crate) body: Vec<u8>,
    pub(crate) payload: Vec<u8>,
}

impl Message {
    /// Waits for a request and reads it.
    pub(crate) fn read(stream: &mut impl Read) -> Result<Self, WireError> {
        let mut header = [0; 8];
        stream.read_exact(&mut header)?;
        let size = word(&header, 0) as usize;
        let number = word(&header, 4);
        let (command, body_size) = Command::parse(number).ok_or(WireError::UnknownCommand(number))?;
        let Some(expected) = body_size else {
            return Ok(Self { command, body: Vec::new(), payload: Vec::new() });
        };
        if size != expected {
            return Err(WireError::BodySize { command, size });
        }
        let mut body = vec![0; size];
        stream.read_exact(&mut body)?;
        let length = command.payload_length_at().map_or(0, |offset| word(&body, offset) as usize);
        if length > LONGEST_APDU {
            return Err(WireError::TooLong(command));
        }
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload)?;
        Ok(Self { command, body, payload })
    }

    /// The number at an offset of the body, which has to lie within it.
    pub(crate) fn word(&self, offset: usize) -> u32 {
        word(&self.body, offset)
    }

    /// The reply: the body with the results at their offsets, then a payload.
    pub(crate) fn reply(&self, results: &[(usize, u32)], payload: &[u8]) -> Vec<u8> {
        let mut bytes = self.body.clone();
        for (offset, value) in results {
            put_word(&mut bytes, *offset, *value);
        }
        bytes.extend_from_slice(payload);
        bytes
    }
}

/// The number at an offset, in native byte order.
pub(crate) fn word(bytes: &[u8], offset: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[offset..offset + 4]);
    u32::from_ne_bytes(number)
}

/// Writes a number at an offset, in native byte order.
pub(crate) fn put_word(bytes: &mut [u8], offset: usize, value: u32) {
    bytes[offset..offset + 4].copy_from_slice(&value.to_ne_bytes());
}

/// Two numbers. Messages to waiting clients and answers about reader events have this form.
pub(crate) fn pair(first: u32, second: u32) -> [u8; 8] {
    let mut bytes = [0; 8];
    put_word(&mut bytes, 0, first);
    put_word(&mut bytes, 4, second);
    bytes
}

/// A record of the reader list (`READER_STATE`).
pub(crate) struct ReaderRecord<'a> {
    pub(crate) name: &'a str,
    pub(crate) event_counter: u32,
    pub(crate) state: u32,
    pub(crate) sharing: i32,
    pub(crate) atr: &'a [u8],
    pub(crate) protocol: u32,
}

impl ReaderRecord<'_> {
    pub(crate) fn encode(&self) -> [u8; READER_RECORD] {
        let mut bytes = [0; READER_RECORD];
        let name = self.name.as_bytes();
        let length = name.len().min(READER_NAME - 1);
        bytes[..length].copy_from_slice(&name[..length]);
        put_word(&mut bytes, 128, self.event_counter);
        put_word(&mut bytes, 132, self.state);
        put_word(&mut bytes, 136, self.sharing as u32);
        let atr = &self.atr[..self.atr.len().min(LONGEST_ATR)];
        bytes[140..140 + atr.len()].copy_from_slice(atr);
        put_word(&mut bytes, 176, atr.len() as u32);
        put_word(&mut bytes, 180, self.protocol);
        bytes
    }
}

//! What happened, call by call: for tests to ask, and as JSON lines for people.
//!
//! PINs, keys, agreed secrets and the printed-information object (where a PIN-protected management key lives)
//! are left out, and their bytes counted, unless secrets are asked for.

mod redaction;

use std::fs::File;
use std::io::Write as _;
use std::time::Duration;

use serde::Serialize;

pub(crate) use redaction::Redactor;

use crate::applet::instruction::Instruction;
use crate::hex;

/// One call, or one thing done to the card from outside. Fields that make no sense for a call are absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Counts from 1 and never again, also across [`clear`](crate::MockCard::clear_trace).
    pub n: u64,
    /// Microseconds since the daemon started.
    pub us: u64,
    /// The connection (one per PC/SC context) in order of arrival, from 1; 0 for what came from outside.
    pub conn: u64,
    /// The card's serial number, 0 where a call has no card.
    pub serial: u32,
    /// The PC/SC function without `SCard` in lower case; or `touch`, `insert`, `remove`, `plug`, `unplug`.
    pub call: &'static str,
    /// Of `connect` and `reconnect`: 1 exclusive, 2 shared, 3 direct.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<u32>,
    /// Of `disconnect`, `endtransaction` and `reconnect`: 0 leave, 1 reset, 2 unpower, 3 eject.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disposition: Option<u32>,
    /// Whether the client went away without the call, so that the daemon did it.
    #[serde(skip_serializing_if = "is_false")]
    pub implicit: bool,
    /// Of `touch`: the slot whose key wanted it, as in `9C`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slot: Option<String>,
    /// Of `transmit`: the instruction's name, or its two digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ins: Option<String>,
    /// Of `transmit`: the command in hexadecimal, without what is redacted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apdu: Option<String>,
    /// How many secret bytes were left out of command and answer.
    #[serde(skip_serializing_if = "is_zero")]
    pub redacted: usize,
    /// Of `transmit`: data and status word in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// Of `transmit`: whether a fault played a part in it.
    #[serde(skip_serializing_if = "is_false")]
    pub fault: bool,
    /// The PC/SC result, 0 for success.
    pub rv: u32,
}

impl Entry {
    /// An entry for a call; the recorder fills in number and time.
    pub(crate) fn of(call: &'static str) -> Self {
        Self { call, ..Self::default() }
    }

    /// Whether this is a command that the card answered.
    pub fn is_apdu(&self) -> bool {
        self.call == "transmit" && self.rv == 0
    }

    /// The status word of an answered command.
    pub fn status_word(&self) -> Option<u16> {
        let answer = self.answer.as_deref()?;
        u16::from_str_radix(answer.get(answer.len().checked_sub(4)?..)?, 16).ok()
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero(value: &usize) -> bool {
    *value == 0
}

/// Keeps the entries, and writes them to a file if there is one.
pub(crate) struct Recorder {
    entries: Vec<Entry>,
    next: u64,
    file: Option<File>,
    pub(crate) with_secrets: bool,
}

impl Recorder {
    pub(crate) fn new(file: Option<File>, with_secrets: bool) -> Self {
        Self { entries: Vec::new(), next: 1, file, with_secrets }
    }

    pub(crate) fn record(&mut self, at: Duration, entry: Entry) {
        let entry = Entry { n: self.next, us: at.as_micros() as u64, ..entry };
        self.next += 1;
        if let Some(file) = &mut self.file
            && let Ok(mut line) = serde_json::to_vec(&entry)
        {
            line.push(b'\n');
            // A full disk must not change what the clients see.
            let _ = file.write_all(&line);
        }
        self.entries.push(entry);
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(crate) fn apdus(&self) -> usize {
        self.entries.iter().filter(|entry| entry.is_apdu()).count()
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }
}

/// The fields of a `transmit` that depend on its bytes.
pub(crate) struct Shown {
    pub(crate) ins: Option<String>,
    pub(crate) apdu: String,
    pub(crate) answer: Option<String>,
    pub(crate) redacted: usize,
}

impl Shown {
    pub(crate) fn whole(command: &[u8], answer: Option<&[u8]>) -> Self {
        Self {
            ins: command.get(1).map(|_| name(command)),
            apdu: hex::encode(command),
            answer: answer.map(hex::encode),
            redacted: 0,
        }
    }
}

/// The name of a command's instruction, or its two digits.
fn name(command: &[u8]) -> String {
    let byte = command.get(1).copied().unwrap_or_default();
    Instruction::parse(byte)
        .map_or_else(|| format!("{byte:02X}"), |instruction| instruction.name().to_owned())
}

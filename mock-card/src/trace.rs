//! The trace: every call of every client, for tests to look at, and as JSON lines for people.
//!
//! Secrets are left out, and their bytes are counted, unless the settings want them: PINs, keys, agreed secrets, and
//! the printed-information object, which may have a management key in it.

mod redaction;

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write as _;
use std::time::Duration;

use serde::Serialize;

pub(crate) use redaction::Redactor;

use crate::applet::instruction::Instruction;
use crate::hex;

/// How many entries are kept in memory: more than a test looks at, and no more than some 30 MB of a daemon that runs for weeks.
const KEPT: usize = 1 << 16;

/// A call, or an event that happened to the card. Fields that a call does not have are absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The number of the entry. It counts from 1 and goes on when the trace [is cleared](crate::MockCard::clear_trace).
    pub n: u64,
    /// The time since the daemon started, in microseconds.
    pub us: u64,
    /// The number of the connection, which counts from 1; libpcsclite makes one for each context. 0 for an event.
    pub conn: u64,
    /// The serial number of the card; 0 for a call without one.
    pub serial: u32,
    /// The PC/SC function without `SCard`, in lower case; or an event, such as `touch` or `unplug`.
    pub call: &'static str,
    /// The share mode of `connect` and `reconnect`: 1 exclusive, 2 shared, 3 direct.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<u32>,
    /// The disposition of `disconnect`, `endtransaction` and `reconnect`: 0 leave, 1 reset, 2 unpower, 3 eject.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disposition: Option<u32>,
    /// Whether the daemon made the call for a client that was gone.
    #[serde(skip_serializing_if = "is_false")]
    pub implicit: bool,
    /// The slot of the key that needed a `touch`, as in `9C`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slot: Option<String>,
    /// The name of the instruction in a `transmit`, or its two digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ins: Option<String>,
    /// The command in a `transmit`, in hexadecimal, without the secret bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apdu: Option<String>,
    /// The number of secret bytes that were left out of command and answer.
    #[serde(skip_serializing_if = "is_zero")]
    pub redacted: usize,
    /// The answer to a `transmit`: data and status word in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// Whether an injected fault had an effect on a `transmit`.
    #[serde(skip_serializing_if = "is_false")]
    pub fault: bool,
    /// The PC/SC result, 0 for success.
    pub rv: u32,
}

impl Entry {
    /// An entry for a call. The recorder adds number and time.
    pub(crate) fn of(call: &'static str) -> Self {
        Self { call, ..Self::default() }
    }

    /// Whether it is a command that the card answered.
    pub fn is_apdu(&self) -> bool {
        self.call == "transmit" && self.rv == 0
    }

    /// The status word of the answer, if there is one.
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

/// Keeps the newest entries, and also writes all of them to a file if the settings name one.
pub(crate) struct Recorder {
    entries: VecDeque<Entry>,
    /// How many commands the card has answered since the trace was cleared.
    apdus: usize,
    next: u64,
    file: Option<File>,
    pub(crate) with_secrets: bool,
}

impl Recorder {
    pub(crate) fn new(file: Option<File>, with_secrets: bool) -> Self {
        Self { entries: VecDeque::new(), apdus: 0, next: 1, file, with_secrets }
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
        self.apdus += usize::from(entry.is_apdu());
        if self.entries.len() == KEPT {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.entries.iter().cloned().collect()
    }

    pub(crate) fn apdus(&self) -> usize {
        self.apdus
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.apdus = 0;
    }
}

/// The fields of a `transmit` that depend on the bytes of command and answer.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_entries_are_kept_and_all_commands_counted() {
        let mut recorder = Recorder::new(None, false);
        for _ in 0..KEPT + 3 {
            recorder.record(Duration::ZERO, Entry::of("transmit"));
        }
        let entries = recorder.entries();
        assert_eq!((entries.len(), entries[0].n, recorder.apdus()), (KEPT, 4, KEPT + 3));
        recorder.clear();
        assert_eq!((recorder.entries().len(), recorder.apdus()), (0, 0));
    }
}

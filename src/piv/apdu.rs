//! Short command APDUs, command chaining and GET RESPONSE (ISO/IEC 7816-4, 5.1 and 5.3; SP 800-73-4 part 2, 3.1.2).
//!
//! The only place that logs what goes over the wire, and it leaves out whatever is secret.

use zeroize::Zeroizing;

use super::{Error, KeyAlgorithm, Status, Transmit};

/// Data bytes that one short command carries.
const PART: usize = 255;
/// More than the largest object of any card; an answer that grows past it is a card that never ends.
const LONGEST_ANSWER: usize = 64 * 1024;
const CHAINED: u8 = 0x10;

pub(crate) mod instruction {
    pub(crate) const VERIFY: u8 = 0x20;
    pub(crate) const CHANGE_REFERENCE_DATA: u8 = 0x24;
    pub(crate) const RESET_RETRY_COUNTER: u8 = 0x2C;
    pub(crate) const GENERATE_ASYMMETRIC: u8 = 0x47;
    pub(crate) const GENERAL_AUTHENTICATE: u8 = 0x87;
    pub(crate) const SELECT: u8 = 0xA4;
    pub(crate) const GET_RESPONSE: u8 = 0xC0;
    pub(crate) const GET_DATA: u8 = 0xCB;
    pub(crate) const PUT_DATA: u8 = 0xDB;
    pub(crate) const GET_METADATA: u8 = 0xF7;
    pub(crate) const GET_SERIAL: u8 = 0xF8;
    pub(crate) const ATTEST: u8 = 0xF9;
    pub(crate) const GET_VERSION: u8 = 0xFD;
    pub(crate) const IMPORT_KEY: u8 = 0xFE;
    pub(crate) const SET_MANAGEMENT_KEY: u8 = 0xFF;
}

/// P2 of commands about the management key.
pub(crate) const MANAGEMENT_KEY: u8 = 0x9B;
/// The object "Printed Information", in which a PIN-protected management key is kept.
pub(crate) const PRINTED_INFORMATION: [u8; 3] = [0x5F, 0xC1, 0x09];

/// A command of any length; its data is wiped when dropped.
pub(crate) struct Command {
    instruction: u8,
    p1: u8,
    p2: u8,
    data: Zeroizing<Vec<u8>>,
    expects_data: bool,
}

impl Command {
    /// Without data, and without an answer beyond the status (case 1).
    pub(crate) fn new(instruction: u8, p1: u8, p2: u8) -> Command {
        Command { instruction, p1, p2, data: Zeroizing::default(), expects_data: false }
    }

    pub(crate) fn data(mut self, data: impl Into<Zeroizing<Vec<u8>>>) -> Command {
        self.data = data.into();
        self
    }

    /// Adds Le = 00, "as much as there is": YubiKeys answer without it, strict cards do not.
    pub(crate) fn expects_data(mut self) -> Command {
        self.expects_data = true;
        self
    }

    /// The APDUs on the wire: all but the last say that more follows, and only the last has Le.
    fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        let count = self.data.len().div_ceil(PART).max(1);
        (0..count).map(move |i| {
            let rest = &self.data[i * PART..];
            let last = i + 1 == count;
            let class = if last { 0 } else { CHAINED };
            Part {
                header: [class, self.instruction, self.p1, self.p2],
                data: &rest[..rest.len().min(PART)],
                le: (last && self.expects_data).then_some(0),
            }
        })
    }

    fn carries_a_secret(&self) -> bool {
        use instruction::*;
        match self.instruction {
            VERIFY | CHANGE_REFERENCE_DATA | RESET_RETRY_COUNTER | IMPORT_KEY | SET_MANAGEMENT_KEY => true,
            GENERAL_AUTHENTICATE => self.p2 == MANAGEMENT_KEY,
            PUT_DATA => self.names_printed_information(),
            _ => false,
        }
    }

    fn asks_for_a_secret(&self) -> bool {
        match self.instruction {
            instruction::GET_DATA => self.names_printed_information(),
            // With P-256 nothing is signed here: the answer is what two keys agree on.
            instruction::GENERAL_AUTHENTICATE => {
                self.p2 == MANAGEMENT_KEY || self.p1 == KeyAlgorithm::P256.byte()
            }
            _ => false,
        }
    }

    fn names_printed_information(&self) -> bool {
        self.data.get(2..5) == Some(&PRINTED_INFORMATION)
    }
}

/// What the card said to a whole command; wiped when dropped.
pub(crate) struct Answer {
    pub(crate) data: Zeroizing<Vec<u8>>,
    pub(crate) status: Status,
}

/// Sends a command in as many parts as it needs, and collects the answer.
///
/// # Errors
/// [`Error::Transport`]; [`Error::Malformed`] for an answer without a status word or without an end. A status
/// other than success is no error here.
pub(crate) fn exchange(card: &mut dyn Transmit, command: &Command) -> Result<Answer, Error> {
    let mut wire = Wire { card, command };
    let mut parts = command.parts().peekable();
    while let Some(part) = parts.next() {
        let answer = wire.send_part(&part)?;
        let more_follows = parts.peek().is_some();
        if !more_follows || answer.status != Status::SuccessfulExecution {
            return wire.collect(answer);
        }
        if !answer.data.is_empty() {
            return Err(Error::Malformed { what: "answer to a part of a command" });
        }
    }
    unreachable!("a command has at least one part")
}

struct Part<'a> {
    header: [u8; 4],
    data: &'a [u8],
    le: Option<u8>,
}

struct Wire<'a> {
    card: &'a mut dyn Transmit,
    command: &'a Command,
}

impl Wire<'_> {
    /// Sends one APDU; once more with the right Le if the card names it (`6Cxx`).
    fn send_part(&mut self, part: &Part<'_>) -> Result<Answer, Error> {
        let answer = self.send(part)?;
        match answer.status {
            Status::WrongLe(le) if part.le.is_some() => {
                self.send(&Part { header: part.header, data: part.data, le: Some(le) })
            }
            _ => Ok(answer),
        }
    }

    /// Fetches what is left after `61xx`.
    fn collect(&mut self, first: Answer) -> Result<Answer, Error> {
        let mut whole = first;
        while let Status::MoreData(left) = whole.status {
            let header = [0, instruction::GET_RESPONSE, 0, 0];
            let next = self.send_part(&Part { header, data: &[], le: Some(left) })?;
            if next.data.is_empty() && matches!(next.status, Status::MoreData(_)) {
                return Err(Error::Malformed { what: "answer in parts, one of them empty" });
            }
            if whole.data.len() + next.data.len() > LONGEST_ANSWER {
                return Err(Error::Malformed { what: "answer without an end" });
            }
            whole.data.extend_from_slice(&next.data);
            whole.status = next.status;
        }
        Ok(whole)
    }

    fn send(&mut self, part: &Part<'_>) -> Result<Answer, Error> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(4 + 1 + PART + 1));
        bytes.extend(part.header);
        if let length @ 1.. = part.data.len() {
            bytes.push(u8::try_from(length).expect("a part has at most 255 bytes"));
            bytes.extend_from_slice(part.data);
        }
        bytes.extend(part.le);
        log_command(&bytes, self.command.carries_a_secret());

        let mut data = Zeroizing::new(self.card.transmit(&bytes)?);
        let &[.., sw1, sw2] = data.as_slice() else {
            return Err(Error::Malformed { what: "answer without a status word" });
        };
        let end = data.len() - 2;
        data.truncate(end);
        let word = u16::from_be_bytes([sw1, sw2]);
        log_answer(&data, word, self.command.asks_for_a_secret());
        Ok(Answer { data, status: word.into() })
    }
}

const LOG: &str = "yk_cargo::apdu";

fn log_command(bytes: &[u8], secret: bool) {
    if secret {
        log::trace!(target: LOG, "> {} [{} bytes not shown]", Hex(&bytes[..4]), bytes.len() - 4);
    } else {
        log::trace!(target: LOG, "> {}", Hex(bytes));
    }
}

fn log_answer(data: &[u8], word: u16, secret: bool) {
    if secret {
        log::trace!(target: LOG, "< [{} bytes not shown] {word:04X}", data.len());
    } else {
        log::trace!(target: LOG, "< {}{word:04X}", Hex(data));
    }
}

struct Hex<'a>(&'a [u8]);

impl std::fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::piv::script::{Script, hex};

    fn answer(script: &[(&str, &str)], command: &Command) -> Result<Answer, Error> {
        let mut script = Script::new(script);
        let answer = exchange(&mut script, command);
        script.assert_finished();
        answer
    }

    #[test]
    fn builds_the_four_cases() {
        let ok = "9000";
        answer(&[("00F6FF82", ok)], &Command::new(0xF6, 0xFF, 0x82)).unwrap();
        answer(&[("00FD000000", ok)], &Command::new(0xFD, 0, 0).expects_data()).unwrap();
        answer(&[("00DB3FFF020102", ok)], &Command::new(0xDB, 0x3F, 0xFF).data(vec![1, 2])).unwrap();
        let case_4 = Command::new(0xCB, 0x3F, 0xFF).data(vec![1, 2]).expects_data();
        answer(&[("00CB3FFF02010200", ok)], &case_4).unwrap();
    }

    #[test]
    fn chains_after_255_bytes() {
        let data: Vec<u8> = (0..=255).chain(0..=254).collect();
        let text: String = data.iter().map(|byte| format!("{byte:02X}")).collect();
        let (first, rest) = text.split_at(510);
        let (second, third) = rest.split_at(510);
        let script = [
            (format!("10DB3FFFFF{first}"), "9000"),
            (format!("10DB3FFFFF{second}"), "9000"),
            (format!("00DB3FFF01{third}00"), "0102 9000"),
        ];
        let script: Vec<_> = script.iter().map(|(command, answer)| (command.as_str(), *answer)).collect();
        let command = Command::new(0xDB, 0x3F, 0xFF).data(data).expects_data();
        assert_eq!(*answer(&script, &command).unwrap().data, [1, 2]);
    }

    #[test]
    fn does_not_chain_255_bytes() {
        let text = format!("00DB3FFFFF{}", "AA".repeat(255));
        answer(&[(&text, "9000")], &Command::new(0xDB, 0x3F, 0xFF).data(vec![0xAA; 255])).unwrap();
    }

    #[test]
    fn stops_a_chain_that_the_card_refuses() {
        let first = format!("10DB3FFFFF{}", "AA".repeat(255));
        let command = Command::new(0xDB, 0x3F, 0xFF).data(vec![0xAA; 300]);
        assert_eq!(answer(&[(&first, "6A84")], &command).unwrap().status, Status::NotEnoughMemory);
        assert!(matches!(answer(&[(&first, "01 9000")], &command), Err(Error::Malformed { .. })));
    }

    #[test]
    fn collects_an_answer_in_parts() {
        let script = [("00F9820000", "0102 6104"), ("00C0000004", "0304 6100"), ("00C0000000", "05 9000")];
        let whole = answer(&script, &Command::new(0xF9, 0x82, 0).expects_data()).unwrap();
        assert_eq!(
            (whole.data.as_slice(), whole.status),
            (&[1, 2, 3, 4, 5][..], Status::SuccessfulExecution)
        );
    }

    #[test]
    fn takes_the_right_le_once() {
        let command = Command::new(0xFD, 0, 0).expects_data();
        let whole = answer(&[("00FD000000", "6C03"), ("00FD000003", "050704 9000")], &command).unwrap();
        assert_eq!(*whole.data, [5, 7, 4]);
        let stubborn = answer(&[("00FD000000", "6C03"), ("00FD000003", "6C03")], &command).unwrap();
        assert_eq!(stubborn.status, Status::WrongLe(3));
        let without_le = answer(&[("00F6FF82", "6C03")], &Command::new(0xF6, 0xFF, 0x82)).unwrap();
        assert_eq!(without_le.status, Status::WrongLe(3));
    }

    #[test]
    fn refuses_an_answer_without_status() {
        for bad in ["", "90"] {
            let result = answer(&[("00F6FF82", bad)], &Command::new(0xF6, 0xFF, 0x82));
            assert!(matches!(result, Err(Error::Malformed { .. })));
        }
    }

    #[test]
    fn ends_with_a_card_that_never_does() {
        struct Endless(&'static str);
        impl Transmit for Endless {
            fn transmit(&mut self, _: &[u8]) -> Result<Vec<u8>, crate::piv::TransportError> {
                Ok(hex(self.0))
            }
        }
        let command = Command::new(0xF9, 0x82, 0).expects_data();
        for lie in ["6100", "00 6100"] {
            assert!(matches!(exchange(&mut Endless(lie), &command), Err(Error::Malformed { .. })), "{lie}");
        }
    }

    thread_local! {
        static LOGGED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    }

    /// The one logger of this test binary; each test runs in a thread of its own.
    struct Kept;

    impl log::Log for Kept {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }

        fn log(&self, record: &log::Record<'_>) {
            let line = format!("{} {}", record.target(), record.args());
            LOGGED.with_borrow_mut(|lines| lines.push(line));
        }

        fn flush(&self) {}
    }

    #[test]
    fn logs_no_secret() {
        log::set_logger(&Kept).unwrap();
        log::set_max_level(log::LevelFilter::Trace);
        let secret = [0xC0, 0xFF, 0xEE, 0xC0, 0xFF, 0xEE];
        let printed_information = [&[0x5C, 3], &PRINTED_INFORMATION[..]].concat();
        let ok = "9000";
        let long = [&printed_information[..], &secret.repeat(60)].concat();
        for (command, answers) in [
            (Command::new(0x20, 0, 0x80).data(secret.to_vec()), vec![ok]),
            (Command::new(0x24, 0, 0x80).data(secret.to_vec()), vec![ok]),
            (Command::new(0x2C, 0, 0x80).data(secret.to_vec()), vec![ok]),
            (Command::new(0x87, 0x0A, 0x9B).data(secret.to_vec()).expects_data(), vec!["C0FFEE 9000"]),
            (Command::new(0x87, 0x11, 0x95).data(vec![4]).expects_data(), vec!["7C05 8203 C0FFEE 9000"]),
            (Command::new(0xFE, 0x14, 0x82).data(secret.to_vec()), vec![ok]),
            (Command::new(0xFF, 0xFF, 0xFF).data(secret.to_vec()), vec![ok]),
            (Command::new(0xDB, 0x3F, 0xFF).data(long), vec![ok, ok]),
            (
                Command::new(0xCB, 0x3F, 0xFF).data(printed_information).expects_data(),
                vec!["C0FFEE 6103", "C0FFEE 9000"],
            ),
        ] {
            exchange(&mut Script::answers(&answers), &command).unwrap();
        }
        let shown = Command::new(0xCB, 0x3F, 0xFF).data(vec![0x5C, 3, 0x5F, 0xC1, 0x0D]).expects_data();
        exchange(&mut Script::answers(&["53020A0B 9000"]), &shown).unwrap();

        let kept = LOGGED.take();
        let leaked: Vec<_> = kept.iter().filter(|line| line.contains("C0FFEE")).collect();
        assert!(leaked.is_empty(), "{leaked:?}");
        for expected in [
            "yk_cargo::apdu > 00200080 [7 bytes not shown]",
            "yk_cargo::apdu < [3 bytes not shown] 6103",
            "yk_cargo::apdu > 00CB3FFF055C035FC10D00",
            "yk_cargo::apdu < 53020A0B9000",
        ] {
            assert!(kept.iter().any(|line| line == expected), "{expected} is not in {kept:?}");
        }
    }
}

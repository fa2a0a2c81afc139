//! Which bytes of a command and its answer are secret. In doubt, bytes are left out.

use super::Shown;
use crate::hex;

/// Follows the commands to one card, because all parts of a chain are secret if one is, and so are all parts of an
/// answer.
#[derive(Default)]
pub(crate) struct Redactor {
    /// The chain that is not complete yet: its instruction and parameters, and what in it is secret.
    chain: Option<([u8; 3], Secrecy)>,
    /// Whether the next GET RESPONSE asks for the rest of a secret answer.
    answer_goes_on: bool,
}

#[derive(Clone, Copy, Default)]
struct Secrecy {
    data: bool,
    answer: bool,
}

/// The tag list of the printed-information object.
const PRINTED_INFORMATION: [u8; 5] = [0x5C, 3, 0x5F, 0xC1, 9];

impl Redactor {
    /// Command and answer without their secrets. There is no `answer` if the card gave none.
    pub(crate) fn show(&mut self, command: &[u8], answer: Option<&[u8]>) -> Shown {
        let secrecy = self.judge(command);
        let mut shown = Shown::whole(command, answer);
        if secrecy.data {
            let (header, data) = split_data(command);
            shown.apdu = hex::encode(header);
            shown.redacted += data;
        }
        let Some(answer) = answer else { return shown };
        let status = answer.len().saturating_sub(2);
        if secrecy.answer && status > 0 {
            shown.answer = Some(hex::encode(&answer[status..]));
            shown.redacted += status;
        }
        self.answer_goes_on = secrecy.answer && answer.get(status) == Some(&0x61);
        shown
    }

    /// What is secret in a command. The first part of a chain decides for all of it, and a command that interrupts a
    /// chain begins anew.
    fn judge(&mut self, command: &[u8]) -> Secrecy {
        let [class, ins, p1, p2, ..] = *command else { return Secrecy::default() };
        let secrecy = match self.chain.take() {
            Some((chain, secrecy)) if chain == [ins, p1, p2] => secrecy,
            _ => self.judge_first(command),
        };
        self.chain = (class & 0x10 != 0).then_some(([ins, p1, p2], secrecy));
        secrecy
    }

    fn judge_first(&self, command: &[u8]) -> Secrecy {
        let [_, ins, _, slot, ..] = command else { return Secrecy::default() };
        let data = &command[split_data(command).0.len()..];
        match ins {
            // VERIFY, CHANGE REFERENCE DATA, RESET RETRY COUNTER, IMPORT, SET MANAGEMENT KEY
            0x20 | 0x24 | 0x2C | 0xFE | 0xFF => Secrecy { data: true, answer: false },
            0xDB => Secrecy { data: may_name_printed_information(data), answer: false },
            0xCB => Secrecy { data: false, answer: may_name_printed_information(data) },
            // The result is a signature or an agreed secret, and only the latter must not be shown.
            0x87 if *slot != 0x9B => Secrecy { data: false, answer: may_be_key_agreement(data) },
            0xC0 => Secrecy { data: false, answer: self.answer_goes_on },
            _ => Secrecy::default(),
        }
    }
}

/// The first part of a chain may end within the tag list.
fn may_name_printed_information(data: &[u8]) -> bool {
    data.starts_with(&PRINTED_INFORMATION) || PRINTED_INFORMATION.starts_with(data)
}

/// Whether the authentication template has anything but a challenge to sign (tag 81) at its beginning.
fn may_be_key_agreement(data: &[u8]) -> bool {
    !matches!(data, [0x7C, 0..=0x7F, 0x82, 0, 0x81, ..] | [0x7C, 0..=0x7F, 0x81, ..])
}

/// The header with the length field, and the number of bytes after it.
fn split_data(command: &[u8]) -> (&[u8], usize) {
    let header = match command {
        [_, _, _, _, 0, _, _, ..] => 7,
        _ => command.len().min(5),
    };
    (&command[..header], command.len() - header)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(redactor: &mut Redactor, command: &str, answer: &str) -> (String, Option<String>, usize) {
        let shown = redactor.show(&hex::decode(command).unwrap(), Some(&hex::decode(answer).unwrap()));
        (shown.apdu, shown.answer, shown.redacted)
    }

    #[test]
    fn pins_and_keys_are_left_out() {
        let redactor = &mut Redactor::default();
        let verify = show(redactor, "0020008008 313233343536FFFF", "9000");
        assert_eq!(verify, ("0020008008".to_owned(), Some("9000".to_owned()), 8));
        let import = show(redactor, "00FE149C 000004 06020102", "9000");
        assert_eq!(import, ("00FE149C000004".to_owned(), Some("9000".to_owned()), 4));
        let query = show(redactor, "00200080", "63C3");
        assert_eq!(query, ("00200080".to_owned(), Some("63C3".to_owned()), 0));
    }

    #[test]
    fn a_signature_is_shown_and_an_agreed_secret_is_not() {
        let redactor = &mut Redactor::default();
        assert_eq!(show(redactor, "0087149C 06 7C0482008100", "7C0082009000").2, 0);
        let agreed = show(redactor, "0087119D 06 7C0482008500", "7C03820101 9000");
        assert_eq!(agreed.1.as_deref(), Some("9000"));
        assert_eq!(agreed.2, 5);
    }

    #[test]
    fn secrecy_follows_chains_and_long_answers() {
        let redactor = &mut Redactor::default();
        assert_eq!(show(redactor, "10DB3FFF 04 5C035FC1", "9000").2, 4);
        assert_eq!(show(redactor, "00DB3FFF 05 0953020102", "9000").2, 5);
        assert_eq!(show(redactor, "00CB3FFF 05 5C035FC109 01", "53 6101").2, 1);
        assert_eq!(show(redactor, "00C00000", "02 6101").2, 1);
        assert_eq!(show(redactor, "00C00000", "03 9000").2, 1);
        assert_eq!(show(redactor, "00CB3FFF 05 5C035FC105", "53 9000").2, 0);
    }

    #[test]
    fn a_pin_that_breaks_into_a_chain_is_left_out() {
        let redactor = &mut Redactor::default();
        assert_eq!(show(redactor, "10DB3FFF 05 5C035FC105", "9000").2, 0);
        assert_eq!(show(redactor, "0020008008 313233343536FFFF", "9000").2, 8);
    }

    #[test]
    fn a_signature_in_two_parts_is_shown() {
        let redactor = &mut Redactor::default();
        assert_eq!(show(redactor, "1087149C 06 7C3482008130", "9000").2, 0);
        assert_eq!(show(redactor, "0087149C 02 1111", "7C0082009000").2, 0);
    }
}

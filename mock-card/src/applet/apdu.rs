//! Command APDUs, short and extended: ISO/IEC 7816-3 section 12.1.

use super::status::Status;

/// A command APDU as the client sent it, or as the parts of a chain add up to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CommandApdu {
    pub(crate) class: u8,
    pub(crate) ins: u8,
    pub(crate) p1: u8,
    pub(crate) p2: u8,
    pub(crate) data: Vec<u8>,
    /// The most data bytes that one answer may have (Le).
    pub(crate) longest_answer: usize,
}

impl CommandApdu {
    /// Bit 5 of the class: more parts follow (ISO/IEC 7816-4 section 5.3.3).
    pub(crate) const CHAINING: u8 = 0x10;

    /// Reads all seven cases of the standard. Where Le is missing, the answer may be as long as the form allows:
    /// YubiKeys answer so, and clients rely on it.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Status> {
        let [class, ins, p1, p2, body @ ..] = bytes else { return Err(Status::WrongLength) };
        let (data, longest_answer) = match body {
            [] => (&[][..], SHORT),
            [le] => (&[][..], short(*le)),
            [0, high, low] => (&[][..], extended(*high, *low)),
            [0, high, low, rest @ ..] => {
                let (data, le) = split(rest, usize::from(u16::from_be_bytes([*high, *low])))?;
                match le {
                    [] => (data, EXTENDED),
                    [high, low] => (data, extended(*high, *low)),
                    _ => return Err(Status::WrongLength),
                }
            }
            [lc, rest @ ..] => {
                let (data, le) = split(rest, usize::from(*lc))?;
                match le {
                    [] => (data, SHORT),
                    [le] => (data, short(*le)),
                    _ => return Err(Status::WrongLength),
                }
            }
        };
        Ok(Self { class: *class, ins: *ins, p1: *p1, p2: *p2, data: data.to_vec(), longest_answer })
    }

    pub(crate) fn is_chained(&self) -> bool {
        self.class & Self::CHAINING != 0
    }

    /// Whether `next` is a further part of the same chain.
    pub(crate) fn continues(&self, next: &Self) -> bool {
        (self.ins, self.p1, self.p2) == (next.ins, next.p1, next.p2)
    }
}

const SHORT: usize = 256;
const EXTENDED: usize = 65_536;

fn short(le: u8) -> usize {
    if le == 0 { SHORT } else { usize::from(le) }
}

fn extended(high: u8, low: u8) -> usize {
    let le = usize::from(u16::from_be_bytes([high, low]));
    if le == 0 { EXTENDED } else { le }
}

fn split(rest: &[u8], length: usize) -> Result<(&[u8], &[u8]), Status> {
    if length == 0 {
        return Err(Status::WrongLength);
    }
    rest.split_at_checked(length).ok_or(Status::WrongLength)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(hex: &str) -> Result<(Vec<u8>, usize), Status> {
        CommandApdu::parse(&crate::hex::decode(hex).unwrap())
            .map(|command| (command.data, command.longest_answer))
    }

    #[test]
    fn all_seven_cases() {
        assert_eq!(parsed("00F7009B"), Ok((vec![], 256)));
        assert_eq!(parsed("00F7009B00"), Ok((vec![], 256)));
        assert_eq!(parsed("00CB3FFF08"), Ok((vec![], 8)));
        assert_eq!(parsed("00CB3FFF 03 5C017E"), Ok((vec![0x5C, 1, 0x7E], 256)));
        assert_eq!(parsed("00CB3FFF 03 5C017E 08"), Ok((vec![0x5C, 1, 0x7E], 8)));
        assert_eq!(parsed("00CB3FFF 000000"), Ok((vec![], 65_536)));
        assert_eq!(parsed("00CB3FFF 000003 5C017E"), Ok((vec![0x5C, 1, 0x7E], 65_536)));
        assert_eq!(parsed("00CB3FFF 000003 5C017E 0100"), Ok((vec![0x5C, 1, 0x7E], 256)));
    }

    #[test]
    fn lengths_that_do_not_add_up() {
        for wrong in [
            "",
            "00",
            "00CB3F",
            "00CB3FFF 04 5C017E",
            "00CB3FFF 03 5C017E 0000",
            "00CB3FFF 0000",
            "00CB3FFF 000000 01",
            "00CB3FFF 000004 5C017E",
            "00CB3FFF 000003 5C017E 00",
            "00CB3FFF 000003 5C017E 000000",
        ] {
            assert_eq!(parsed(wrong), Err(Status::WrongLength), "{wrong}");
        }
    }
}

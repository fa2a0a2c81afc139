//! What goes wrong, when a test wants it to: the vocabulary, and how control lines spell it.

use std::time::Duration;

/// Something that goes wrong with one card, or with the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Strikes once, at the `nth` command from now on that would have gone to the card; 1 is the next.
    Transmit {
        /// Counts from 1.
        nth: usize,
        /// What happens to it.
        mishap: Mishap,
    },
    /// The `nth` SCardConnect from now on fails once with this PC/SC result.
    Connect {
        /// Counts from 1.
        nth: usize,
        /// Not 0, say `0x8010_006A` where polkit would refuse.
        rv: u32,
    },
    /// What would take up more of the card's memory is answered 6A84 (SP 800-73-4 part 2, 3.3.2), until
    /// cleared.
    CardFull,
    /// The card never stops talking: every answer is 255 zero bytes and says that more follow (61FF), until cleared.
    Endless,
    /// Nobody touches the card, whatever its settings say, until cleared. The controls still can.
    TouchNever,
    /// A finger comes this long after it is wanted, or too late, until cleared.
    TouchLate(Duration),
    /// The card was badly inserted and does not answer to power, until it is taken out and put back.
    CardMute,
    /// Every new connection is closed unread, as where polkit keeps a user from the daemon, until cleared.
    Refuse,
    /// The daemon dies at once and takes its socket with it.
    DaemonGone,
}

/// What happens to one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// The card does not see it; SCardTransmit returns this, not 0.
    Fail(u32),
    /// The card carries it out, but SCardTransmit returns this, not 0.
    LoseAnswer(u32),
    /// The card does not see it; the answer is this status word.
    StatusWord(u16),
    /// Only so many bytes of the answer arrive.
    Truncate(usize),
    /// So many bytes, all zero, come before the answer's status word. More than the client has room for does not
    /// arrive at all.
    Pad(usize),
    /// All bits of the answer's byte at this offset are flipped. An answer that short stays as it is.
    Corrupt(usize),
    /// The card takes this long before it begins.
    Delay(Duration),
    /// The card is hit before it sees the command.
    Before(Blow),
    /// The card is hit once it has carried out the command. The answer still arrives, but not from a daemon
    /// that is gone.
    After(Blow),
}

/// Something done to the card from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blow {
    /// The YubiKey is pulled out of its port.
    Unplug,
    /// The card is taken out of its reader.
    Remove,
    /// Another program resets the card.
    Reset,
    /// The card loses power.
    PowerOff,
    /// The daemon dies.
    DaemonGone,
}

/// The words after `fault` that mean no fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write fault {0}")]
pub(crate) struct Usage(&'static str);

impl Fault {
    /// Reads a fault off the front of a control line's words; the others are left over.
    pub(crate) fn parse<'a, 'b>(words: &'a [&'b str]) -> Result<(Self, &'a [&'b str]), Usage> {
        Ok(match words {
            ["transmit", nth, rest @ ..] => {
                let (mishap, rest) = Mishap::parse(rest)?;
                (Self::Transmit { nth: counted(nth)?, mishap }, rest)
            }
            ["connect", nth, "rv", rv, rest @ ..] => {
                (Self::Connect { nth: counted(nth)?, rv: result(rv)? }, rest)
            }
            ["touch", "never", rest @ ..] => (Self::TouchNever, rest),
            ["touch", "late", delay, rest @ ..] => (Self::TouchLate(seconds(delay)?), rest),
            ["full", rest @ ..] => (Self::CardFull, rest),
            ["endless", rest @ ..] => (Self::Endless, rest),
            ["mute", rest @ ..] => (Self::CardMute, rest),
            ["refuse", rest @ ..] => (Self::Refuse, rest),
            ["gone", rest @ ..] => (Self::DaemonGone, rest),
            _ => {
                return Err(Usage(
                    "transmit N …, connect N rv CODE, touch never, touch late SECONDS, full, endless, mute, refuse or gone",
                ));
            }
        })
    }
}

impl Mishap {
    fn parse<'a, 'b>(words: &'a [&'b str]) -> Result<(Self, &'a [&'b str]), Usage> {
        const USAGE: Usage = Usage(
            "transmit N rv CODE, lose CODE, sw XXXX, truncate BYTES, pad BYTES, corrupt OFFSET, delay SECONDS, before BLOW or after BLOW",
        );
        let [what, value, rest @ ..] = words else { return Err(USAGE) };
        let mishap = match *what {
            "rv" => Self::Fail(result(value)?),
            "lose" => Self::LoseAnswer(result(value)?),
            "sw" => Self::StatusWord(u16::from_str_radix(value, 16).map_err(|_| USAGE)?),
            "truncate" => Self::Truncate(value.parse().map_err(|_| USAGE)?),
            "pad" => Self::Pad(value.parse().map_err(|_| USAGE)?),
            "corrupt" => Self::Corrupt(value.parse().map_err(|_| USAGE)?),
            "delay" => Self::Delay(seconds(value)?),
            "before" => Self::Before(Blow::parse(value)?),
            "after" => Self::After(Blow::parse(value)?),
            _ => return Err(USAGE),
        };
        Ok((mishap, rest))
    }
}

impl Blow {
    fn parse(word: &str) -> Result<Self, Usage> {
        match word {
            "unplug" => Ok(Self::Unplug),
            "remove" => Ok(Self::Remove),
            "reset" => Ok(Self::Reset),
            "power-off" => Ok(Self::PowerOff),
            "gone" => Ok(Self::DaemonGone),
            _ => Err(Usage("… before or after unplug, remove, reset, power-off or gone")),
        }
    }
}

fn counted(word: &str) -> Result<usize, Usage> {
    word.parse().ok().filter(|nth| *nth > 0).ok_or(Usage("transmit N or connect N, N from 1, the next"))
}

/// A PC/SC result in hexadecimal. Success is no fault.
fn result(word: &str) -> Result<u32, Usage> {
    let digits = word.trim_start_matches("0x");
    u32::from_str_radix(digits, 16)
        .ok()
        .filter(|rv| *rv != 0)
        .ok_or(Usage("… with a PC/SC result in hexadecimal, as in 80100017"))
}

fn seconds(word: &str) -> Result<Duration, Usage> {
    let seconds: Option<f64> = word.parse().ok();
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or(Usage("… with a number of seconds"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Option<(Fault, usize)> {
        let words: Vec<&str> = line.split_whitespace().collect();
        Fault::parse(&words).ok().map(|(fault, rest)| (fault, rest.len()))
    }

    #[test]
    fn every_fault_has_a_spelling() {
        let transmit = |mishap| Fault::Transmit { nth: 2, mishap };
        for (line, fault) in [
            ("transmit 2 rv 80100017", transmit(Mishap::Fail(0x8010_0017))),
            ("transmit 2 rv 0x80100016", transmit(Mishap::Fail(0x8010_0016))),
            ("transmit 2 lose 80100069", transmit(Mishap::LoseAnswer(0x8010_0069))),
            ("transmit 2 sw 6F00", transmit(Mishap::StatusWord(0x6F00))),
            ("transmit 2 truncate 1", transmit(Mishap::Truncate(1))),
            ("transmit 2 pad 300", transmit(Mishap::Pad(300))),
            ("transmit 2 corrupt 0", transmit(Mishap::Corrupt(0))),
            ("transmit 2 delay 0.5", transmit(Mishap::Delay(Duration::from_millis(500)))),
            ("transmit 2 before unplug", transmit(Mishap::Before(Blow::Unplug))),
            ("transmit 2 before remove", transmit(Mishap::Before(Blow::Remove))),
            ("transmit 2 after reset", transmit(Mishap::After(Blow::Reset))),
            ("transmit 2 after power-off", transmit(Mishap::After(Blow::PowerOff))),
            ("transmit 2 after gone", transmit(Mishap::After(Blow::DaemonGone))),
            ("connect 2 rv 8010006A", Fault::Connect { nth: 2, rv: 0x8010_006A }),
            ("touch never", Fault::TouchNever),
            ("touch late 2", Fault::TouchLate(Duration::from_secs(2))),
            ("full", Fault::CardFull),
            ("endless", Fault::Endless),
            ("mute", Fault::CardMute),
            ("refuse", Fault::Refuse),
            ("gone", Fault::DaemonGone),
        ] {
            assert_eq!(parsed(line), Some((fault, 0)), "{line}");
            assert_eq!(parsed(&format!("{line} 12345678")), Some((fault, 1)), "{line}, with a serial number");
        }
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for line in [
            "",
            "transmit",
            "transmit 0 rv 80100017",
            "transmit 1 rv 0",
            "transmit 1 rv unplugged",
            "transmit 1 sw 10000",
            "transmit 1 delay -1",
            "transmit 1 delay NaN",
            "transmit 1 before lunch",
            "transmit 1 explode 1",
            "connect 1 sw 6F00",
            "touch maybe",
            "empty",
        ] {
            assert_eq!(parsed(line), None, "{line}");
        }
    }
}

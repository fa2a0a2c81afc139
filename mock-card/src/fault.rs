//! Faults that a test injects, and how control lines spell them.

use std::time::Duration;

use crate::event::Event;

/// A fault to be injected into a card or the daemon. The first two occur once; the others last until the faults are
/// cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An effect on one command.
    Transmit {
        /// Which one: 1 is the next command that would go to the card.
        nth: usize,
        /// What happens to it.
        effect: Effect,
    },
    /// A failure of one SCardConnect.
    Connect {
        /// Which one: 1 is the next.
        nth: usize,
        /// The PC/SC result, which must not be 0; `0x8010_006A` where polkit refuses.
        rv: u32,
    },
    /// Commands that would take up more of the card's memory are answered 6A84 (SP 800-73-4 part 2, 3.3.1).
    CardFull,
    /// Every answer is 255 zero bytes and says that more follow (61FF).
    Endless,
    /// Nobody touches the card, whatever its settings say. [`Event::Touch`] still does.
    TouchNever,
    /// Somebody touches the card this long after it is needed. That may be too late.
    TouchLate(Duration),
    /// New connections are closed before they are read, as where polkit keeps a user from the daemon.
    Refuse,
}

/// What a fault does to a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The command does not reach the card. SCardTransmit returns this value, which must not be 0.
    Fail(u32),
    /// The card carries the command out, but SCardTransmit returns this value, which must not be 0.
    LoseAnswer(u32),
    /// The command does not reach the card. The answer is this status word.
    StatusWord(u16),
    /// Only this many bytes of the answer arrive.
    Truncate(usize),
    /// This many zero bytes are put before the status word of the answer. An answer that is longer than the client's
    /// buffer does not arrive.
    Pad(usize),
    /// All bits of the answer's byte at this offset are flipped. A shorter answer stays as it is.
    Corrupt(usize),
    /// The card begins this much later.
    Delay(Duration),
    /// An event happens before the card sees the command. An event that is impossible at that moment does nothing.
    Before(Event),
    /// An event happens after the card has carried the command out. The answer still arrives, but not from a daemon
    /// that is gone.
    After(Event),
}

/// Words that are no fault, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write fault {0}")]
pub(crate) struct FaultUsage(String);

impl Fault {
    /// Reads a fault from the beginning of a control line's words. The words after it are left over.
    pub(crate) fn parse<'a, 'b>(words: &'a [&'b str]) -> Result<(Self, &'a [&'b str]), FaultUsage> {
        Ok(match words {
            ["transmit", nth, rest @ ..] => {
                let (effect, rest) = Effect::parse(rest)?;
                (Self::Transmit { nth: ordinal(nth)?, effect }, rest)
            }
            ["connect", nth, "rv", rv, rest @ ..] => {
                (Self::Connect { nth: ordinal(nth)?, rv: result(rv)? }, rest)
            }
            ["touch", "never", rest @ ..] => (Self::TouchNever, rest),
            ["touch", "late", delay, rest @ ..] => (Self::TouchLate(seconds(delay)?), rest),
            ["full", rest @ ..] => (Self::CardFull, rest),
            ["endless", rest @ ..] => (Self::Endless, rest),
            ["refuse", rest @ ..] => (Self::Refuse, rest),
            _ => {
                return Err(usage(
                    "transmit N …, connect N rv CODE, touch never, touch late SECONDS, full, endless, mute, refuse or gone",
                ));
            }
        })
    }
}

impl Effect {
    fn parse<'a, 'b>(words: &'a [&'b str]) -> Result<(Self, &'a [&'b str]), FaultUsage> {
        let [what, value, rest @ ..] = words else { return Err(Self::usage()) };
        let number = || value.parse().map_err(|_| Self::usage());
        let effect = match *what {
            "rv" => Self::Fail(result(value)?),
            "lose" => Self::LoseAnswer(result(value)?),
            "sw" if value.len() == 4 => {
                Self::StatusWord(u16::from_str_radix(value, 16).map_err(|_| Self::usage())?)
            }
            "truncate" => Self::Truncate(number()?),
            "pad" => Self::Pad(number()?),
            "corrupt" => Self::Corrupt(number()?),
            "delay" => Self::Delay(seconds(value)?),
            "before" => return event(&words[1..]).map(|(event, rest)| (Self::Before(event), rest)),
            "after" => return event(&words[1..]).map(|(event, rest)| (Self::After(event), rest)),
            _ => return Err(Self::usage()),
        };
        Ok((effect, rest))
    }

    fn usage() -> FaultUsage {
        usage(
            "transmit N rv CODE, lose CODE, sw XXXX, truncate BYTES, pad BYTES, corrupt OFFSET, delay SECONDS, before EVENT or after EVENT",
        )
    }
}

fn usage(text: &str) -> FaultUsage {
    FaultUsage(text.to_owned())
}

fn event<'a, 'b>(words: &'a [&'b str]) -> Result<(Event, &'a [&'b str]), FaultUsage> {
    Event::parse(words)
        .map_err(|_| usage(&format!("… with an event after before or after: {}", Event::WORDS)))
}

fn ordinal(word: &str) -> Result<usize, FaultUsage> {
    let number = word.parse().ok().filter(|nth| *nth > 0);
    number.ok_or_else(|| usage("transmit N or connect N, where N is 1 for the next"))
}

/// A PC/SC result in hexadecimal. Success is no fault.
fn result(word: &str) -> Result<u32, FaultUsage> {
    let digits = word.trim_start_matches("0x");
    let number = u32::from_str_radix(digits, 16).ok().filter(|rv| *rv != 0);
    number.ok_or_else(|| usage("… with a PC/SC result in hexadecimal, as in 80100017"))
}

fn seconds(word: &str) -> Result<Duration, FaultUsage> {
    let seconds: Option<f64> = word.parse().ok();
    let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration.ok_or_else(|| usage("… with a number of seconds"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Hold;

    fn parsed(line: &str) -> Option<(Fault, usize)> {
        let words: Vec<&str> = line.split_whitespace().collect();
        Fault::parse(&words).ok().map(|(fault, rest)| (fault, rest.len()))
    }

    #[test]
    fn every_fault_has_a_spelling() {
        let transmit = |effect| Fault::Transmit { nth: 2, effect };
        for (line, fault) in [
            ("transmit 2 rv 80100017", transmit(Effect::Fail(0x8010_0017))),
            ("transmit 2 rv 0x80100016", transmit(Effect::Fail(0x8010_0016))),
            ("transmit 2 lose 80100069", transmit(Effect::LoseAnswer(0x8010_0069))),
            ("transmit 2 sw 6F00", transmit(Effect::StatusWord(0x6F00))),
            ("transmit 2 truncate 1", transmit(Effect::Truncate(1))),
            ("transmit 2 pad 300", transmit(Effect::Pad(300))),
            ("transmit 2 corrupt 0", transmit(Effect::Corrupt(0))),
            ("transmit 2 delay 0.5", transmit(Effect::Delay(Duration::from_millis(500)))),
            ("transmit 2 before unplug", transmit(Effect::Before(Event::Unplug))),
            ("transmit 2 before remove", transmit(Effect::Before(Event::Remove))),
            ("transmit 2 after reset", transmit(Effect::After(Event::Reset))),
            ("transmit 2 after power-off", transmit(Effect::After(Event::PowerOff))),
            ("transmit 2 after hold transaction", transmit(Effect::After(Event::Hold(Hold::Transaction)))),
            ("transmit 2 after gone", transmit(Effect::After(Event::DaemonGone))),
            ("connect 2 rv 8010006A", Fault::Connect { nth: 2, rv: 0x8010_006A }),
            ("touch never", Fault::TouchNever),
            ("touch late 2", Fault::TouchLate(Duration::from_secs(2))),
            ("full", Fault::CardFull),
            ("endless", Fault::Endless),
            ("refuse", Fault::Refuse),
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

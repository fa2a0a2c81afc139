//! The faults that wait for their moment at one card.

use std::time::Duration;

use super::code::Code;
use crate::fault::{Blow, Fault, Mishap};

/// Faults that strike once count down; the others stay until they are cleared.
#[derive(Debug, Default)]
pub(crate) struct Armed {
    transmits: Vec<(usize, Mishap)>,
    connects: Vec<(usize, Code)>,
    pub(crate) full: bool,
    pub(crate) endless: bool,
    /// When a finger comes once it is wanted; `Some(None)` is never.
    pub(crate) finger: Option<Option<Duration>>,
}

/// What happens to the command at hand.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Strike(Vec<Mishap>);

impl Armed {
    /// Those of a daemon are not a card's to keep.
    pub(crate) fn arm(&mut self, fault: Fault) {
        match fault {
            Fault::Transmit { nth, mishap } => self.transmits.push((nth, mishap)),
            Fault::Connect { nth, rv } => self.connects.push((nth, Code::Played(rv))),
            Fault::CardFull => self.full = true,
            Fault::Endless => self.endless = true,
            Fault::TouchNever => self.finger = Some(None),
            Fault::TouchLate(delay) => self.finger = Some(Some(delay)),
            Fault::CardMute | Fault::Refuse | Fault::DaemonGone => {}
        }
    }

    /// A command is about to go to the card.
    pub(crate) fn next_transmit(&mut self) -> Strike {
        Strike(due(&mut self.transmits))
    }

    /// A client connects.
    pub(crate) fn next_connect(&mut self) -> Result<(), Code> {
        due(&mut self.connects).first().map_or(Ok(()), |code| Err(*code))
    }
}

/// Counts down, and takes out what has come to its end.
fn due<T>(waiting: &mut Vec<(usize, T)>) -> Vec<T> {
    waiting.iter_mut().for_each(|(left, _)| *left = left.saturating_sub(1));
    waiting.extract_if(.., |(left, _)| *left == 0).map(|(_, what)| what).collect()
}

impl Strike {
    pub(crate) fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn before(&self) -> impl Iterator<Item = Blow> {
        self.0.iter().filter_map(|mishap| match mishap {
            Mishap::Before(blow) => Some(*blow),
            _ => None,
        })
    }

    pub(crate) fn after(&self) -> impl Iterator<Item = Blow> {
        self.0.iter().filter_map(|mishap| match mishap {
            Mishap::After(blow) => Some(*blow),
            _ => None,
        })
    }

    pub(crate) fn delay(&self) -> Duration {
        let delays = self.0.iter().filter_map(|mishap| match mishap {
            Mishap::Delay(delay) => Some(*delay),
            _ => None,
        });
        delays.fold(Duration::ZERO, Duration::saturating_add)
    }

    /// The answer that comes in the card's place.
    pub(crate) fn instead(&self) -> Option<Result<Vec<u8>, Code>> {
        self.0.iter().find_map(|mishap| match mishap {
            Mishap::Fail(rv) => Some(Err(Code::Played(*rv))),
            Mishap::StatusWord(status) => Some(Ok(status.to_be_bytes().to_vec())),
            _ => None,
        })
    }

    /// What becomes of the card's answer on its way.
    pub(crate) fn spoil(&self, answer: Result<Vec<u8>, Code>) -> Result<Vec<u8>, Code> {
        let mut answer = answer?;
        for mishap in &self.0 {
            match mishap {
                Mishap::LoseAnswer(rv) => return Err(Code::Played(*rv)),
                Mishap::Truncate(length) => answer.truncate(*length),
                Mishap::Pad(length) => {
                    let end = answer.len().saturating_sub(2);
                    answer.splice(end..end, std::iter::repeat_n(0, *length));
                }
                Mishap::Corrupt(offset) => {
                    if let Some(byte) = answer.get_mut(*offset) {
                        *byte = !*byte;
                    }
                }
                _ => {}
            }
        }
        Ok(answer)
    }
}

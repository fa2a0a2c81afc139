//! The faults that were injected into one card and have not occurred yet.

use std::time::Duration;

use super::code::Code;
use crate::event::Event;
use crate::fault::{Effect, Fault};

/// Faults that occur once are counted down. The others last until they are cleared.
#[derive(Debug, Default)]
pub(crate) struct InjectedFaults {
    transmits: Vec<(usize, Effect)>,
    connects: Vec<(usize, Code)>,
    pub(crate) is_full: bool,
    pub(crate) is_endless: bool,
    pub(crate) touch: Option<InjectedTouch>,
}

/// How the card is touched instead of as its settings say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InjectedTouch {
    Never,
    /// This long after it is needed.
    Late(Duration),
}

/// The effects that are due for one command.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Effects(Vec<Effect>);

impl InjectedFaults {
    /// Adds a fault. One that concerns the whole daemon is not kept here.
    pub(crate) fn add(&mut self, fault: Fault) {
        match fault {
            Fault::Transmit { nth, effect } => self.transmits.push((nth, effect)),
            Fault::Connect { nth, rv } => self.connects.push((nth, Code(rv))),
            Fault::CardFull => self.is_full = true,
            Fault::Endless => self.is_endless = true,
            Fault::TouchNever => self.touch = Some(InjectedTouch::Never),
            Fault::TouchLate(delay) => self.touch = Some(InjectedTouch::Late(delay)),
            Fault::Refuse => {}
        }
    }

    /// The effects on a command that is about to go to the card.
    pub(crate) fn next_transmit(&mut self) -> Effects {
        Effects(take_due(&mut self.transmits))
    }

    /// Whether a client that connects is let through.
    pub(crate) fn next_connect(&mut self) -> Result<(), Code> {
        take_due(&mut self.connects).first().map_or(Ok(()), |code| Err(*code))
    }
}

/// Counts down by one, and takes out what is due.
fn take_due<T>(waiting: &mut Vec<(usize, T)>) -> Vec<T> {
    waiting.iter_mut().for_each(|(left, _)| *left = left.saturating_sub(1));
    waiting.extract_if(.., |(left, _)| *left == 0).map(|(_, what)| what).collect()
}

impl Effects {
    pub(crate) fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// The events that happen before the card sees the command.
    pub(crate) fn before(&self) -> impl Iterator<Item = Event> {
        self.0.iter().filter_map(|effect| match effect {
            Effect::Before(event) => Some(*event),
            _ => None,
        })
    }

    /// The events that happen after the card has carried the command out.
    pub(crate) fn after(&self) -> impl Iterator<Item = Event> {
        self.0.iter().filter_map(|effect| match effect {
            Effect::After(event) => Some(*event),
            _ => None,
        })
    }

    /// How much later the card begins.
    pub(crate) fn delay(&self) -> Duration {
        let delays = self.0.iter().filter_map(|effect| match effect {
            Effect::Delay(delay) => Some(*delay),
            _ => None,
        });
        delays.fold(Duration::ZERO, Duration::saturating_add)
    }

    /// What the client gets if the command is not to reach the card.
    pub(crate) fn instead(&self) -> Option<Result<Vec<u8>, Code>> {
        self.0.iter().find_map(|effect| match effect {
            Effect::Fail(rv) => Some(Err(Code(*rv))),
            Effect::StatusWord(status) => Some(Ok(status.to_be_bytes().to_vec())),
            _ => None,
        })
    }

    /// What the client gets in place of the card's answer.
    pub(crate) fn alter(&self, answer: Result<Vec<u8>, Code>) -> Result<Vec<u8>, Code> {
        let mut answer = answer?;
        for effect in &self.0 {
            match effect {
                Effect::LoseAnswer(rv) => return Err(Code(*rv)),
                Effect::Truncate(length) => answer.truncate(*length),
                Effect::Pad(length) => {
                    let end = answer.len().saturating_sub(2);
                    answer.splice(end..end, std::iter::repeat_n(0, *length));
                }
                Effect::Corrupt(offset) => {
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

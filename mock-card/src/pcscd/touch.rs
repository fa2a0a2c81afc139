//! A command that waits for a finger.

use std::time::Duration;

use super::code::Code;

/// The wait: since the light began to blink, until a finger, the timeout, or the loss of the card.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TouchWait {
    pub(crate) slot: u8,
    pub(crate) deadline: Duration,
    ending: Option<Ending>,
}

/// How the wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Touched,
    TimedOut,
    /// The exchange failed under the card's feet.
    Failed(Code),
}

impl TouchWait {
    pub(crate) fn new(slot: u8, deadline: Duration) -> Self {
        Self { slot, deadline, ending: None }
    }

    /// A finger comes. The first ending counts.
    pub(crate) fn give(&mut self) {
        self.ending.get_or_insert(Ending::Touched);
    }

    pub(crate) fn fail(&mut self, code: Code) {
        self.ending.get_or_insert(Ending::Failed(code));
    }

    /// The ending, once there is one.
    pub(crate) fn ending(&self, now: Duration) -> Option<Ending> {
        self.ending.or((now >= self.deadline).then_some(Ending::TimedOut))
    }

    /// Whether a finger would still help.
    pub(crate) fn is_open(&self) -> bool {
        self.ending.is_none()
    }
}

impl Ending {
    /// The word of the `touch-done` event.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Touched => "touched",
            Self::TimedOut => "timeout",
            Self::Failed(_) => "failed",
        }
    }
}

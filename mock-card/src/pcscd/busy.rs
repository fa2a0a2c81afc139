//! A card that is in the middle of a command: it waits for a finger, or takes its time.

use std::time::Duration;

use super::code::Code;

/// Since the command began, until a finger, the end of the time, or the loss of the card.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Busy {
    /// The slot whose light blinks; `None` while nobody is asked for a touch.
    pub(crate) blinking: Option<u8>,
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

impl Busy {
    pub(crate) fn blinking(slot: u8, deadline: Duration) -> Self {
        Self { blinking: Some(slot), deadline, ending: None }
    }

    pub(crate) fn working(deadline: Duration) -> Self {
        Self { blinking: None, deadline, ending: None }
    }

    /// A finger comes. The first ending counts.
    pub(crate) fn touch(&mut self) {
        self.ending.get_or_insert(Ending::Touched);
    }

    pub(crate) fn fail(&mut self, code: Code) {
        self.ending.get_or_insert(Ending::Failed(code));
    }

    /// The ending, once there is one.
    pub(crate) fn ending(&self, now: Duration) -> Option<Ending> {
        self.ending.or((now >= self.deadline).then_some(Ending::TimedOut))
    }

    /// Whether a finger would help.
    pub(crate) fn wants_touch(&self) -> bool {
        self.blinking.is_some() && self.ending.is_none()
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

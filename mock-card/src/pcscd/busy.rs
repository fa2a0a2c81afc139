//! A card that is in the middle of a command: it waits for a touch, or takes its time.

use std::time::Duration;

use super::code::Code;

/// The state of a command that takes time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Busy {
    /// The slot whose key needs a touch. `None` while the card only takes its time.
    pub(crate) touch_slot: Option<u8>,
    /// When the card is done, or gives up waiting for a touch.
    pub(crate) deadline: Duration,
    ending: Option<Ending>,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Touched,
    TimedOut,
    /// The card was lost during the command.
    Failed(Code),
}

impl Busy {
    pub(crate) fn waiting_for_touch(slot: u8, deadline: Duration) -> Self {
        Self { touch_slot: Some(slot), deadline, ending: None }
    }

    pub(crate) fn taking_its_time(deadline: Duration) -> Self {
        Self { touch_slot: None, deadline, ending: None }
    }

    /// The card is touched. If it has an ending already, that one counts.
    pub(crate) fn touch(&mut self) {
        self.ending.get_or_insert(Ending::Touched);
    }

    /// The card is lost. If it has an ending already, that one counts.
    pub(crate) fn fail(&mut self, code: Code) {
        self.ending.get_or_insert(Ending::Failed(code));
    }

    /// The ending, if there is one by now.
    pub(crate) fn ending(&self, now: Duration) -> Option<Ending> {
        self.ending.or((now >= self.deadline).then_some(Ending::TimedOut))
    }

    /// Whether a touch would end it.
    pub(crate) fn wants_touch(&self) -> bool {
        self.touch_slot.is_some() && self.ending.is_none()
    }
}

impl Ending {
    /// The word for it in the event `touch-done`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Touched => "touched",
            Self::TimedOut => "timeout",
            Self::Failed(_) => "failed",
        }
    }
}

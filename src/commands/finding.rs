//! What `doctor` and `verify` say: one thing that was looked at, and how it stands.

use anstyle::Style;
use serde_json::{Value, json};

use super::{BAD, GOOD, WARNING, print, print_styled};
use crate::error::Error;

/// One thing that was looked at.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) check: &'static str,
    pub(super) verdict: Verdict,
    /// One sentence, safe to show.
    pub(super) text: String,
    /// One command line that fixes it; for what no command can fix, what to do.
    pub(super) next: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Ok,
    /// It could not be looked at, or is as it is.
    Note,
    Warning,
    Failed,
}

impl Finding {
    pub(super) fn print(&self) -> Result<(), Error> {
        let style = match self.verdict {
            Verdict::Ok => GOOD,
            Verdict::Note => Style::new(),
            Verdict::Warning => WARNING,
            Verdict::Failed => BAD,
        };
        let word = self.verdict.as_str();
        let indent = 9 - word.len();
        print_styled(style, word, format_args!("{:indent$}{}: {}", "", self.check, self.text))?;
        self.next.iter().try_for_each(|next| print(format_args!("{:9}next: {next}", "")))
    }

    pub(super) fn json(&self) -> Value {
        json!({ "check": self.check, "result": self.verdict.as_str(), "text": self.text, "next": self.next })
    }
}

impl Verdict {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

//! What `doctor` and `verify` say: one thing that was looked at, and how it stands.

use serde_json::{Value, json};

/// One thing that was looked at.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) check: &'static str,
    pub(super) verdict: Verdict,
    /// One sentence, safe to show.
    pub(super) text: String,
    /// One command line that mends it; for what no command can mend, what to do.
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
    pub(super) fn line(&self) -> String {
        let next = self.next.as_ref().map(|next| format!("\n{:9}next: {next}", "")).unwrap_or_default();
        format!("{:<9}{}: {}{next}", self.verdict.as_str(), self.check, self.text)
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

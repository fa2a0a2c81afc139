//! An error for a line of the log or of a report.

use std::error::Error;

/// What went wrong, and because of what, in one line.
pub(crate) fn with_causes(mut error: &dyn Error) -> String {
    let mut text = error.to_string();
    while let Some(cause) = error.source() {
        text.push_str(&format!(": {cause}"));
        error = cause;
    }
    text
}

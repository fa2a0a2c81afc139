//! An error in one line, for the log or a report.

use std::error::Error;

/// The error, followed by its causes.
pub(crate) fn with_causes(mut error: &dyn Error) -> String {
    let mut text = error.to_string();
    while let Some(cause) = error.source() {
        text.push_str(&format!(": {cause}"));
        error = cause;
    }
    text
}

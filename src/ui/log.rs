//! `YK_CARGO_LOG`: what this program does, for whoever looks for a mistake.
//!
//! Only what this program itself logs is shown, whatever the variable asks for: a library's trace shows HTTP header
//! fields, and so a token.

use env_logger::Logger;
use log::{Log, Metadata, Record};

/// The beginning of every target of ours.
const OURS: &str = "yk_cargo";

/// Logs to stderr what the variable asks for.
pub fn init() {
    let logger = env_logger::Builder::from_env("YK_CARGO_LOG").build();
    log::set_max_level(logger.filter());
    // It fails only if there is a logger already.
    let _ = log::set_boxed_logger(Box::new(Ours(logger)));
}

struct Ours(Logger);

impl Log for Ours {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_ours(metadata.target()) && self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if is_ours(record.target()) {
            self.0.log(record);
        }
    }

    fn flush(&self) {
        self.0.flush();
    }
}

fn is_ours(target: &str) -> bool {
    target.strip_prefix(OURS).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_of_libraries_are_not_ours() {
        assert!(is_ours("yk_cargo") && is_ours("yk_cargo::apdu"));
        assert!(!is_ours("ureq_proto::util") && !is_ours("yk_cargo_evil") && !is_ours(""));
    }
}

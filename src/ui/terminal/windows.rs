//! The console.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::time::Duration;

use zeroize::Zeroizing;

use super::Found;
use crate::ui::AskError;

/// `CONIN$` and `CONOUT$`. Reading them cannot be given a deadline.
pub(in crate::ui) struct Terminal {
    input: File,
    output: File,
}

impl Terminal {
    pub(in crate::ui) fn find() -> Found {
        let open = |name| OpenOptions::new().read(true).write(true).open(name).ok();
        match open("CONIN$").zip(open("CONOUT$")) {
            Some((input, output)) => Found::Ours(Self { input, output }),
            None => Found::Nothing,
        }
    }

    pub(in crate::ui) fn say(&mut self, line: &str) {
        let _ = writeln!(self.output, "\r{line}");
    }

    pub(in crate::ui) fn ask(&mut self, prompt: &str, _: Duration) -> Result<String, AskError> {
        write!(self.output, "\r{prompt}").map_err(AskError::Terminal)?;
        let mut line = String::new();
        match BufReader::new(&self.input).read_line(&mut line).map_err(AskError::Terminal)? {
            0 => Err(AskError::Nothing),
            _ => Ok(line.trim_end().to_owned()),
        }
    }

    pub(in crate::ui) fn ask_hidden(
        &mut self,
        prompt: &str,
        _: Duration,
    ) -> Result<Zeroizing<String>, AskError> {
        rpassword::prompt_password(prompt).map(Zeroizing::new).map_err(AskError::Terminal)
    }
}

/// The console restores its own mode when a read ends.
pub fn restore() {}

//! The console.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, IsTerminal as _, Write as _};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use zeroize::Zeroizing;

use super::Found;
use crate::ui::AskError;

/// `CONIN$` and `CONOUT$`.
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
        let _ = self.write(&format!("\r{line}\n"));
    }

    /// What goes to a file is taken for text in the console's code page, which all have ASCII in common. The standard library knows
    /// better, where standard error is the console.
    fn write(&mut self, text: &str) -> io::Result<()> {
        let mut stderr = io::stderr().lock();
        if stderr.is_terminal() {
            return stderr.write_all(text.as_bytes());
        }
        self.output.write_all(text.replace(|letter: char| !letter.is_ascii(), "?").as_bytes())
    }

    pub(in crate::ui) fn ask(&mut self, prompt: &str, deadline: Duration) -> Result<String, AskError> {
        self.write(&format!("\r{prompt}")).map_err(AskError::Terminal)?;
        let input = self.input.try_clone().map_err(AskError::Terminal)?;
        let line = within(deadline, move || {
            let mut line = String::new();
            BufReader::new(input).read_line(&mut line).map(|length| (length > 0).then_some(line))
        })?;
        line.map(|line| line.trim_end().to_owned()).ok_or(AskError::Nothing)
    }

    pub(in crate::ui) fn ask_hidden(
        &mut self,
        prompt: &str,
        deadline: Duration,
    ) -> Result<Zeroizing<String>, AskError> {
        self.write(&format!("\r{prompt}")).map_err(AskError::Terminal)?;
        within(deadline, || rpassword::read_password().map(Zeroizing::new))
    }
}

/// A console is read by a thread of its own, since no read of it can be given a deadline. After the deadline it goes on reading, until
/// this process ends.
fn within<T: Send + 'static>(
    deadline: Duration,
    read: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, AskError> {
    let (answer, answered) = mpsc::channel();
    std::thread::spawn(move || answer.send(read()));
    match answered.recv_timeout(deadline) {
        Ok(answer) => answer.map_err(AskError::Terminal),
        Err(RecvTimeoutError::Timeout) => Err(AskError::TooLate(deadline)),
        Err(RecvTimeoutError::Disconnected) => Err(AskError::Nothing),
    }
}

/// Whoever reads the console next sets its mode: cmd.exe and PowerShell do, before each line.
pub fn restore() {}

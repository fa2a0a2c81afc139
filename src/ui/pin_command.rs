//! `YK_CARGO_PIN_COMMAND`: a program that knows the PIN, for machines where nobody can be asked.
//!
//! It is split at blanks and run without a shell; the first line of its stdout is the PIN. It gets the card's number
//! in `YK_CARGO_SERIAL`. A status other than zero means that it declined.

use std::io::{self, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use crate::child_process::Owned;
use crate::piv::Serial;

/// The environment variable with the command.
pub const VARIABLE: &str = "YK_CARGO_PIN_COMMAND";

/// A PIN of 8 bytes and anything that might be typed by mistake.
const LONGEST_LINE: usize = 256;

/// Runs the command and gives the first line of what it prints.
///
/// # Errors
/// [`PinCommandError`]. None of them carries anything the command printed.
pub fn run(command: &str, serial: Serial, deadline: Duration) -> Result<Zeroizing<String>, PinCommandError> {
    let mut words = command.split_whitespace();
    let program = words.next().ok_or(PinCommandError::Empty)?;
    let mut command = Command::new(program);
    command.args(words).env("YK_CARGO_SERIAL", serial.to_string());
    let mut child = Owned::spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()))
        .map_err(|source| PinCommandError::Start { program: program.to_owned(), source })?;
    let stdout = child.0.stdout.take();
    let (sender, line) = mpsc::channel();
    std::thread::spawn(move || {
        let _ = sender.send(stdout.and_then(|stdout| first_line(stdout).ok()));
    });
    let started = Instant::now();
    let line = line.recv_timeout(deadline);
    let status = end(&mut child.0, deadline.saturating_sub(started.elapsed()));
    let (Ok(line), Some(status)) = (line, status) else {
        return Err(PinCommandError::TooLate(deadline));
    };
    if !status.success() {
        return Err(PinCommandError::Declined { status });
    }
    line.ok_or(PinCommandError::Unreadable)
}

/// What follows the first line is read and dropped: a program must not fail for having more to say.
fn first_line(mut stdout: impl Read) -> io::Result<Zeroizing<String>> {
    let mut start = Zeroizing::new([0; LONGEST_LINE]);
    let mut length = 0;
    while length < LONGEST_LINE {
        match stdout.read(&mut start[length..])? {
            0 => break,
            more => length += more,
        }
    }
    io::copy(&mut stdout, &mut io::sink())?;
    let text = std::str::from_utf8(&start[..length]).unwrap_or_default();
    Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()))
}

/// The child's status, unless it outlives the time left.
fn end(child: &mut Child, time_left: Duration) -> Option<ExitStatus> {
    let started = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if started.elapsed() < time_left => std::thread::sleep(Duration::from_millis(2)),
            _ => break,
        }
    }
    None
}

/// Why the PIN command gave no PIN.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PinCommandError {
    /// It ended with a status other than zero.
    #[error("the PIN command declined ({status})")]
    Declined {
        /// Its status.
        status: ExitStatus,
    },
    /// The variable is set, to nothing.
    #[error("{VARIABLE} is empty")]
    Empty,
    /// It could not be started.
    #[error("cannot run the PIN command `{}`", super::escape(program))]
    Start {
        /// Its first word.
        program: String,
        /// Why.
        source: std::io::Error,
    },
    /// It did not end in time, and was killed.
    #[error("the PIN command gave no answer within {} seconds", .0.as_secs())]
    TooLate(Duration),
    /// What it printed is not text.
    #[error("the PIN command's answer cannot be read")]
    Unreadable,
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn ask(command: &str) -> Result<Zeroizing<String>, PinCommandError> {
        run(command, Serial(123), Duration::from_secs(60))
    }

    #[test]
    fn the_first_line_is_the_pin() {
        assert_eq!(*ask("printf 654321\\r\\nmore\\n").unwrap(), "654321");
        assert_eq!(*ask("seq 100000 200000").unwrap(), "100000", "it may say more than a pipe holds");
        assert_eq!(*ask("printenv YK_CARGO_SERIAL").unwrap(), "123");
        assert_eq!(*ask("echo $HOME;x").unwrap(), "$HOME;x", "no shell");
    }

    #[test]
    fn no_pin_is_an_error() {
        assert!(matches!(ask("  "), Err(PinCommandError::Empty)));
        assert!(matches!(ask("false"), Err(PinCommandError::Declined { .. })));
        assert!(matches!(ask("/no/such/program"), Err(PinCommandError::Start { .. })));
        let late = run("sleep 60", Serial(1), Duration::ZERO);
        assert!(matches!(late, Err(PinCommandError::TooLate(_))), "{late:?}");
    }
}

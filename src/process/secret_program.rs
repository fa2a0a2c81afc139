//! A program that prints a secret: the PIN command, and the command for the management key.
//!
//! It is split into words and run without a shell. The first line of its standard output is the secret; a status other
//! than zero means that it declined. A line and an exit are enough: a child that it leaves behind, with the same standard
//! output open, is not waited for.

use std::fmt;
use std::io::{self, Read as _};
use std::process::{ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::child::Owned;
use super::{UnclosedQuote, words};
use crate::text::escape;

/// A management key has 64 hexadecimal digits and a PIN 8 bytes; in bytes, with the end of the line.
const LONGEST_LINE: usize = 256;

/// After this long without output it is checked whether the program still runs. What it had written when it ended is read after
/// as long again: it may have written and ended just before the check.
const A_WHILE: Duration = Duration::from_millis(250);

/// The environment variable with the PIN command, for machines where nobody can be asked.
pub const PIN_COMMAND: &str = "YK_CARGO_PIN_COMMAND";

/// What a program is run for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secret {
    /// A card's PIN.
    Pin,
    /// A card's management key, in hexadecimal.
    ManagementKey,
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pin => "the PIN command",
            Self::ManagementKey => "the command for the management key",
        })
    }
}

/// Which program, and for what.
#[derive(Clone, Copy, Debug)]
pub struct SecretProgram<'a> {
    /// What it prints.
    pub prints: Secret,
    /// The program and its arguments, separated by blanks; one that has blanks stands in double quotes.
    pub command: &'a str,
    /// Further environment variables, none of them secret.
    pub variables: &'a [(&'a str, String)],
}

impl SecretProgram<'_> {
    /// Runs the program and gives the first line of what it prints, without its end.
    ///
    /// # Errors
    /// [`Error`]. None of them carries anything the program printed.
    pub fn first_line(&self, deadline: Duration) -> Result<Zeroizing<String>, Error> {
        let secret = self.prints;
        let until = Instant::now() + deadline;
        let words = words(self.command).map_err(|UnclosedQuote| Error::Unclosed { program: secret })?;
        let has_blanks = words.len() > 1;
        let mut words = words.into_iter();
        let name = words.next().ok_or(Error::Empty { program: secret })?;
        let mut command = Command::new(&name);
        command.args(words).envs(self.variables.iter().map(|(name, value)| (name, value)));
        let child = Owned::spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()))
            .map_err(|source| Error::Start { program: secret, name, has_blanks, source })?;
        let too_late = || Error::TooLate { program: secret, limit: deadline };
        let pieces = begin_reading(child.child().stdout.take());
        let mut line = Zeroizing::new(Vec::with_capacity(2 * LONGEST_LINE));
        let mut has_ended = false;
        loop {
            match pieces.recv_timeout(A_WHILE.min(until.saturating_duration_since(Instant::now()))) {
                Ok(piece) => line.extend_from_slice(&piece),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) if has_ended => break,
                Err(RecvTimeoutError::Timeout) if matches!(child.child().try_wait(), Ok(Some(_))) => {
                    has_ended = true;
                }
                Err(RecvTimeoutError::Timeout) if Instant::now() >= until => return Err(too_late()),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
        let is_too_long = line.len() >= LONGEST_LINE;
        // What has said too much may go on for ever. It may also be about to decline.
        let until = if is_too_long { until.min(Instant::now() + A_WHILE) } else { until };
        match end(&child, until) {
            Some(status) if !status.success() => return Err(Error::Declined { program: secret, status }),
            _ if is_too_long => return Err(Error::Unreadable { program: secret }),
            Some(_) => {}
            None => return Err(too_late()),
        }
        while line.last() == Some(&b'\r') {
            line.pop();
        }
        utf8(line).ok_or(Error::NotUtf8 { program: secret })
    }
}

/// A secret's bytes as text, without copying them; `None` if they are not UTF-8.
pub(crate) fn utf8(mut bytes: Zeroizing<Vec<u8>>) -> Option<Zeroizing<String>> {
    let text = String::from_utf8(std::mem::take(&mut *bytes));
    text.map(Zeroizing::new).map_err(|error| drop(Zeroizing::new(error.into_bytes()))).ok()
}

/// The pieces of the first line. What follows is read and dropped: a program must not fail for having more to say.
fn begin_reading(stdout: Option<ChildStdout>) -> Receiver<Zeroizing<Vec<u8>>> {
    let (sender, pieces) = mpsc::channel();
    std::thread::spawn(move || {
        let Some(mut stdout) = stdout else { return };
        // On the heap: to drop an array that was moved leaves its bytes where it was before.
        let mut buffer = Zeroizing::new(vec![0; LONGEST_LINE]);
        let mut length = 0;
        while length < LONGEST_LINE {
            let Ok(more @ 1..) = stdout.read(&mut buffer[length..]) else { return };
            let piece = &buffer[length..length + more];
            let end = piece.iter().position(|byte| *byte == b'\n');
            let _ = sender.send(Zeroizing::new(piece[..end.unwrap_or(more)].to_vec()));
            length += more;
            if end.is_some() {
                break;
            }
        }
        drop((sender, buffer));
        let _ = io::copy(&mut stdout, &mut io::sink());
    });
    pieces
}

/// The child's status, unless it outlives the deadline.
fn end(child: &Owned, until: Instant) -> Option<ExitStatus> {
    loop {
        let status = child.child().try_wait();
        match status {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < until => std::thread::sleep(Duration::from_millis(2)),
            _ => return None,
        }
    }
}

/// Why a program gave no secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "a field's name says what it is")]
pub enum Error {
    /// It ended with a status other than zero.
    #[error("{program} declined ({status})")]
    Declined { program: Secret, status: ExitStatus },
    /// No program was named.
    #[error("{program} is empty")]
    Empty { program: Secret },
    /// It could not be started.
    #[error("cannot run {program} `{}`", escape(name))]
    Start {
        /// What it is run for.
        program: Secret,
        /// The first word of the command.
        name: String,
        /// More words follow.
        has_blanks: bool,
        /// Why.
        source: io::Error,
    },
    /// A double quote begins in the command, and does not end.
    #[error("{program} has a double quote that is not closed")]
    Unclosed { program: Secret },
    /// It did not end in time, and was killed.
    #[error("{program} gave no answer within {} seconds", limit.as_secs())]
    TooLate { program: Secret, limit: Duration },
    /// Letters outside ASCII in another encoding.
    #[error("the answer of {program} is not in UTF-8")]
    NotUtf8 { program: Secret },
    /// Its first line is too long.
    #[error("the answer of {program} cannot be read: its first line is too long")]
    Unreadable { program: Secret },
}

impl Error {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        if let Self::Start { has_blanks: true, source, .. } = self
            && source.kind() == io::ErrorKind::NotFound
        {
            return "if the program's path has blanks, put double quotes around the path";
        }
        if let Self::Unclosed { .. } = self {
            return "put a double quote before and after each word that has blanks, and none elsewhere";
        }
        let (Self::Declined { program, .. }
        | Self::Empty { program }
        | Self::NotUtf8 { program }
        | Self::Start { program, .. }
        | Self::TooLate { program, .. }
        | Self::Unclosed { program }
        | Self::Unreadable { program }) = self;
        match program {
            Secret::Pin => {
                "YK_CARGO_PIN_COMMAND names a program that prints only the PIN, in UTF-8; unset it to be asked at the terminal"
            }
            Secret::ManagementKey => {
                "run it by itself to see why; it must print the key in hexadecimal, and nothing else"
            }
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn ask(command: &str) -> Result<Zeroizing<String>, Error> {
        ask_within(command, Duration::from_secs(60))
    }

    fn ask_within(command: &str, deadline: Duration) -> Result<Zeroizing<String>, Error> {
        let variables = [("YK_CARGO_SERIAL", "123".to_owned())];
        SecretProgram { prints: Secret::Pin, command, variables: &variables }.first_line(deadline)
    }

    #[test]
    fn the_first_line_is_the_secret() {
        assert_eq!(*ask("printf 654321\\r\\nmore\\n").unwrap(), "654321");
        assert_eq!(*ask("printf 654321").unwrap(), "654321");
        assert_eq!(*ask("seq 100000 200000").unwrap(), "100000", "it may say more than a pipe holds");
        assert_eq!(*ask("printenv YK_CARGO_SERIAL").unwrap(), "123");
        assert_eq!(*ask("echo $HOME;x").unwrap(), "$HOME;x", "no shell");
        assert_eq!(*ask("true").unwrap(), "");
    }

    #[test]
    fn no_secret_is_an_error() {
        assert!(matches!(ask("  "), Err(Error::Empty { .. })));
        assert!(matches!(ask("false"), Err(Error::Declined { .. })));
        assert!(matches!(ask("/no/such/program"), Err(Error::Start { has_blanks: false, .. })));
        assert!(matches!(ask("cat \"/no/such"), Err(Error::Unclosed { .. })));
        let unquoted = ask(r"C:\it's\my pass.exe").unwrap_err();
        assert_eq!(unquoted.to_string(), r"cannot run the PIN command `C:\it's\my`");
        assert_eq!(unquoted.hint(), "if the program's path has blanks, put double quotes around the path");
        assert!(matches!(ask("printf \\377\\n"), Err(Error::NotUtf8 { .. })));
        for without_end in ["printf %0256d 1", "cat /dev/zero"] {
            assert!(matches!(ask(without_end), Err(Error::Unreadable { .. })));
        }
        let late = ask_within("sleep 60", Duration::ZERO);
        assert!(matches!(late, Err(Error::TooLate { .. })), "{late:?}");
    }

    #[test]
    fn a_child_that_is_left_behind_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        for end in ["", "\\n"] {
            let script = folder.path().join("pin.sh");
            std::fs::write(&script, format!("sleep 600 &\necho $! > $1\nprintf '654321{end}'\n")).unwrap();
            let pid = folder.path().join("pid");
            let command = format!("sh {} {}", script.display(), pid.display());
            assert_eq!(*ask(&command).unwrap(), "654321");
            let pid = std::fs::read_to_string(&pid).unwrap().trim().parse().unwrap();
            let pid = rustix::process::Pid::from_raw(pid).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        }
    }
}

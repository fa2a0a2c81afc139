//! pinentry: a window, or somebody else's terminal, for programs that have none of their own.
//!
//! It speaks the Assuan protocol on its standard input and output (libassuan manual, "Client Responses"; pinentry
//! manual, "Protocol"): lines of at most 1000 bytes, `%` escapes, `D` with the PIN before the final `OK`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::PathBuf;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use crate::process::child::Owned;

const LONGEST_LINE: u64 = 1000;
/// Answers before one that counts; a real pinentry gives a few status lines.
const MOST_LINES: usize = 100;
const CANCELED: u16 = 99;
const TIMEOUT: u16 = 62;

/// A pinentry program that somebody would see.
#[derive(Clone, Debug)]
pub struct Pinentry {
    program: PathBuf,
}

impl Pinentry {
    /// The program that was set, or else `pinentry`, where there is a display or GnuPG's terminal for it to appear on.
    #[must_use]
    pub fn find(setting: Option<&str>) -> Option<Self> {
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        match setting {
            Some("") => None,
            Some(program) => Some(Self { program: program.into() }),
            None => {
                let somewhere = ["DISPLAY", "WAYLAND_DISPLAY", "GPG_TTY"].into_iter().any(is_set);
                let path = std::env::var_os("PATH").filter(|_| somewhere)?;
                let program = std::env::split_paths(&path).map(|folder| folder.join("pinentry"));
                program.into_iter().find(|file| file.is_file()).map(|program| Self { program })
            }
        }
    }

    /// Asks for a PIN. `mistake` is what was wrong with the last one. The program sees our environment, and so display
    /// and language.
    ///
    /// # Errors
    /// [`PinentryError`]. None of them carries what was entered.
    pub fn ask(
        &self,
        description: &str,
        mistake: Option<&str>,
        limit: Duration,
    ) -> Result<Zeroizing<String>, PinentryError> {
        let mut dialogue = Dialogue::begin(&self.program, limit)?;
        dialogue.answer()?;
        dialogue.set_up()?;
        dialogue.command(&format!("SETDESC {}", escaped(description)))?;
        dialogue.command("SETPROMPT PIN:")?;
        if let Some(mistake) = mistake {
            dialogue.command(&format!("SETERROR {}", escaped(mistake)))?;
        }
        let pin = dialogue.command("GETPIN")?;
        // It ends by itself then; what it says to that does not matter any more.
        let _ = dialogue.send("BYE");
        Ok(pin)
    }
}

/// A running program. It is killed if it is still there in the end.
struct Dialogue {
    _child: Owned,
    input: ChildStdin,
    lines: Receiver<Zeroizing<Vec<u8>>>,
    limit: Duration,
    until: Instant,
}

impl Dialogue {
    fn begin(program: &PathBuf, limit: Duration) -> Result<Self, PinentryError> {
        let mut child = Owned::spawn(Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()))
            .map_err(|source| PinentryError::Start { program: program.clone(), source })?;
        let pipes = child.0.stdin.take().zip(child.0.stdout.take());
        let (input, output) = pipes.ok_or(PinentryError::Gone)?;
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || read_lines(output, |line| sender.send(line).is_ok()));
        Ok(Self { _child: child, input, lines, limit, until: Instant::now() + limit })
    }

    /// Whatever it does not know of this, it can do without.
    fn set_up(&mut self) -> Result<(), PinentryError> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let options = [
            ("ttyname", variable("GPG_TTY")),
            ("ttytype", variable("TERM")),
            ("lc-ctype", variable("LC_ALL").or_else(|| variable("LC_CTYPE")).or_else(|| variable("LANG"))),
            ("display", variable("DISPLAY")),
        ];
        for (option, value) in options {
            if let Some(value) = value {
                self.try_command(&format!("OPTION {option}={}", escaped(&value)))?;
            }
        }
        self.try_command(&format!("SETTIMEOUT {}", self.limit.as_secs()))?;
        self.try_command("SETTITLE yk-cargo")
    }

    fn try_command(&mut self, command: &str) -> Result<(), PinentryError> {
        match self.command(command) {
            Ok(_) | Err(PinentryError::Refused { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn command(&mut self, command: &str) -> Result<Zeroizing<String>, PinentryError> {
        self.send(command)?;
        self.answer()
    }

    fn send(&mut self, command: &str) -> Result<(), PinentryError> {
        writeln!(self.input, "{command}").and_then(|()| self.input.flush()).map_err(|_| PinentryError::Gone)
    }

    /// The data before the next `OK`.
    fn answer(&mut self) -> Result<Zeroizing<String>, PinentryError> {
        let mut data = Zeroizing::new(String::with_capacity(LONGEST_LINE as usize));
        for _ in 0..MOST_LINES {
            let left = self.until.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).map_err(|error| match error {
                mpsc::RecvTimeoutError::Timeout => PinentryError::TooLate(self.limit),
                mpsc::RecvTimeoutError::Disconnected => PinentryError::Gone,
            })?;
            let line = std::str::from_utf8(&line).map_err(|_| PinentryError::NotAssuan)?;
            match line.split_once(' ').unwrap_or((line, "")) {
                ("OK", _) => return Ok(data),
                ("ERR", error) => return Err(self.refusal(error)),
                ("D", more) => unescape(more, &mut data)?,
                ("S" | "#" | "", _) => {}
                _ if line.starts_with('#') => {}
                _ => return Err(PinentryError::NotAssuan),
            }
        }
        Err(PinentryError::NotAssuan)
    }

    /// The low 16 bits are the reason, the high ones name the program (libgpg-error).
    fn refusal(&self, error: &str) -> PinentryError {
        let number = error.split(' ').next().and_then(|number| number.parse::<u32>().ok());
        match number.map(|number| number as u16) {
            Some(CANCELED) => PinentryError::Canceled,
            Some(TIMEOUT) => PinentryError::TooLate(self.limit),
            _ => PinentryError::Refused { reason: crate::text::escape(error) },
        }
    }
}

fn read_lines(output: ChildStdout, mut took: impl FnMut(Zeroizing<Vec<u8>>) -> bool) {
    let mut output = BufReader::new(output);
    loop {
        let mut line = Zeroizing::new(Vec::with_capacity(LONGEST_LINE as usize + 1));
        match output.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line) {
            // A line that does not end is no line.
            Ok(1..) if line.pop() == Some(b'\n') && took(line) => {}
            _ => return,
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn unescape(text: &str, into: &mut Zeroizing<String>) -> Result<(), PinentryError> {
    let mut rest = text;
    while let Some((plain, escape)) = rest.split_once('%') {
        let code = escape.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let code = code.filter(u8::is_ascii).ok_or(PinentryError::NotAssuan)?;
        into.push_str(plain);
        into.push(char::from(code));
        rest = &escape[2..];
    }
    into.push_str(rest);
    Ok(())
}

/// Why pinentry gave no PIN.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PinentryError {
    /// The person closed it.
    #[error("the PIN was not entered: pinentry was cancelled")]
    Canceled,
    /// It ended in the middle.
    #[error("pinentry ended without an answer")]
    Gone,
    /// It says something else.
    #[error("pinentry does not speak its protocol")]
    NotAssuan,
    /// It cannot ask.
    #[error("pinentry cannot ask: {reason}")]
    Refused {
        /// In its words, escaped.
        reason: String,
    },
    /// It could not be started.
    #[error("cannot run pinentry, `{}`", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Nobody entered anything in time.
    #[error("nobody entered the PIN within {} seconds", .0.as_secs())]
    TooLate(Duration),
}

impl PinentryError {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        "run the command in a terminal, or name another program: pinentry = \"…\" in $CARGO_HOME/yk-cargo/config.toml"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_go_both_ways() {
        assert_eq!(escaped("100%\nsure"), "100%25%0Asure");
        let mut text = Zeroizing::new(String::new());
        unescape("12%2534%0a5", &mut text).unwrap();
        assert_eq!(*text, "12%34\n5");
        for wrong in ["%", "%2", "%zz", "%ff", "%é"] {
            assert!(matches!(unescape(wrong, &mut text), Err(PinentryError::NotAssuan)), "{wrong}");
        }
    }

    #[test]
    fn an_empty_setting_is_for_none() {
        assert!(Pinentry::find(Some("")).is_none());
        assert!(Pinentry::find(Some("pinentry-x")).is_some());
    }
}

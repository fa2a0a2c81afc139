//! pinentry asks for the PIN in a window, or on GnuPG's terminal, where this program has no terminal of its own.
//!
//! It speaks the Assuan protocol on its standard input and output (libassuan manual, "Client Responses"; pinentry
//! manual, "Protocol"): lines of at most 1000 bytes, `%` escapes, `D` with the PIN before the final `OK`.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use zeroize::{Zeroize as _, Zeroizing};

use crate::process::child::Owned;
use crate::process::secret_program::utf8;

/// Of either side, in bytes, with its end.
const LONGEST_LINE: usize = 1000;
/// What is kept of what was entered, in bytes; no PIN is longer.
const LONGEST_DATA: usize = 1000;
/// Answers before one that counts; a real pinentry gives a few status lines.
const MOST_LINES: usize = 100;
const CANCELED: u16 = 99;
const TIMEOUT: u16 = 62;

/// A pinentry program that has somewhere to appear.
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
        dialogue.command("SETPROMPT PIV PIN:")?;
        if let Some(mistake) = mistake {
            dialogue.command(&format!("SETERROR {}", escaped(mistake)))?;
        }
        let pin = utf8(dialogue.command("GETPIN")?);
        // It ends by itself then; what it says to that does not matter any more.
        let _ = dialogue.send("BYE");
        pin.ok_or(PinentryError::NotUtf8)
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
        let child = Owned::spawn(Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()))
            .map_err(|source| PinentryError::Start { program: program.clone(), source })?;
        let input = child.child().stdin.take();
        let output = child.child().stdout.take();
        let pipes = input.zip(output);
        let (input, output) = pipes.ok_or(PinentryError::Gone)?;
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || read_lines(output, |line| sender.send(line).is_ok()));
        Ok(Self { _child: child, input, lines, limit, until: Instant::now() + limit })
    }

    /// Tells it about the surroundings. What it does not understand it can do without.
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

    fn command(&mut self, command: &str) -> Result<Zeroizing<Vec<u8>>, PinentryError> {
        self.send(command)?;
        self.answer()
    }

    fn send(&mut self, command: &str) -> Result<(), PinentryError> {
        writeln!(self.input, "{command}").and_then(|()| self.input.flush()).map_err(|_| PinentryError::Gone)
    }

    /// The data before the next `OK`.
    fn answer(&mut self) -> Result<Zeroizing<Vec<u8>>, PinentryError> {
        let mut data = Zeroizing::new(Vec::with_capacity(LONGEST_DATA));
        for _ in 0..MOST_LINES {
            let left = self.until.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).map_err(|error| match error {
                mpsc::RecvTimeoutError::Timeout => PinentryError::TooLate(self.limit),
                mpsc::RecvTimeoutError::Disconnected => PinentryError::Gone,
            })?;
            let end = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
            match (&line[..end], line.get(end + 1..).unwrap_or_default()) {
                (b"OK", _) => return Ok(data),
                (b"ERR", error) => return Err(self.refusal(&String::from_utf8_lossy(error))),
                (b"D", more) => unescape(more, &mut data)?,
                (b"S" | b"", _) => {}
                _ if line.starts_with(b"#") => {}
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

fn read_lines(mut output: ChildStdout, mut took: impl FnMut(Zeroizing<Vec<u8>>) -> bool) {
    let mut buffer = Zeroizing::new(vec![0; LONGEST_LINE]);
    let mut length = 0;
    // A line that does not end is no line.
    while let Ok(more @ 1..) = output.read(&mut buffer[length..]) {
        length += more;
        while let Some(end) = buffer[..length].iter().position(|byte| *byte == b'\n') {
            if !took(Zeroizing::new(buffer[..end].to_vec())) {
                return;
            }
            buffer.copy_within(end + 1..length, 0);
            buffer[length - end - 1..length].zeroize();
            length -= end + 1;
        }
    }
}

/// The whole line has to be short enough: a text is cut where it would not be.
fn escaped(text: &str) -> String {
    const LONGEST: usize = LONGEST_LINE - 100;
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            _ if safe.len() >= LONGEST => return safe + "…",
            '%' => safe.push_str("%25"),
            '\r' => safe.push_str("%0D"),
            '\n' => safe.push_str("%0A"),
            _ => safe.push(character),
        }
    }
    safe
}

/// Every byte may come as `%` and two hexadecimal digits.
fn unescape(text: &[u8], into: &mut Zeroizing<Vec<u8>>) -> Result<(), PinentryError> {
    let mut rest = text;
    while let [first, more @ ..] = rest {
        let (byte, more) = match (*first, more) {
            (b'%', [high, low, more @ ..]) => (digit(*high)? << 4 | digit(*low)?, more),
            (b'%', _) => return Err(PinentryError::NotAssuan),
            (byte, more) => (byte, more),
        };
        if into.len() == LONGEST_DATA {
            return Err(PinentryError::NotAssuan);
        }
        into.push(byte);
        rest = more;
    }
    Ok(())
}

fn digit(character: u8) -> Result<u8, PinentryError> {
    let value = char::from(character).to_digit(16).ok_or(PinentryError::NotAssuan)?;
    Ok(value as u8)
}

/// Why pinentry gave no PIN.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "a field's name says what it is")]
pub enum PinentryError {
    /// The person closed it.
    #[error("the PIN was not entered: pinentry was cancelled")]
    Canceled,
    /// It ended in the middle.
    #[error("pinentry ended without an answer")]
    Gone,
    /// Letters outside ASCII in another encoding.
    #[error("what was entered in pinentry is not in UTF-8; it was not sent to the card")]
    NotUtf8,
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
    Start { program: PathBuf, source: std::io::Error },
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
        let unescaped = |text: &[u8]| {
            let mut bytes = Zeroizing::new(Vec::new());
            unescape(text, &mut bytes).map(|()| bytes.to_vec())
        };
        assert_eq!(unescaped(b"12%2534%0a5").unwrap(), b"12%34\n5");
        assert_eq!(unescaped(b"z%C3%bcrich1").unwrap(), "zürich1".as_bytes());
        assert_eq!(unescaped(b"z%fcrich1").unwrap(), unescaped(b"z\xfcrich1").unwrap());
        for wrong in ["%", "%2", "%zz", "%é", "%+1"] {
            assert!(matches!(unescaped(wrong.as_bytes()), Err(PinentryError::NotAssuan)), "{wrong}");
        }
    }

    #[test]
    fn a_line_is_never_too_long() {
        for text in ["x".repeat(2000), "%".repeat(2000), "ü".repeat(2000)] {
            assert!(format!("SETDESC {}\n", escaped(&text)).len() <= LONGEST_LINE);
        }
    }

    #[test]
    fn an_empty_setting_is_for_none() {
        assert!(Pinentry::find(Some("")).is_none());
        assert!(Pinentry::find(Some("pinentry-x")).is_some());
    }
}

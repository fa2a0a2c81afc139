//! `/dev/tty`, and questions that survive job control.
//!
//! Cargo and this program are one job. When it is stopped or interrupted, cargo stops or ends at once, and the shell takes the
//! terminal back without waiting for this program, which is not its child. Whatever is to be put right on the terminal comes too
//! late then: a background process that sets terminal modes is stopped for it (POSIX, "General Terminal Interface", 11.1.4).
//! So while something secret is typed the keys for stop and interrupt send no signals. They are read here, the terminal is put
//! right, and then the whole job gets its signal. For signals that come by another way, and for a shell that took the terminal
//! because somebody else stopped or ended cargo, the modes are put back from the background, if they still are the prompt's.
//! A shell that takes them over before that, as zsh may when the whole job is ended from outside, has keys without signals then.
//!
//! Nobody puts them right after SIGKILL. A second process that waits for the end of this one would cost one for each question, would be
//! ended with the job, and would have to be quicker than the shell, which hears of the end at the same moment.

mod line;
mod modes;
mod signals;

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Signal, getpgrp, kill_current_process_group};
use rustix::termios::tcgetpgrp;
use zeroize::Zeroizing;

use super::Found;
use crate::ui::AskError;
use line::{Key, Line};
use modes::Hidden;
pub use modes::restore;
use signals::{Asking, Told, take};

/// How often it is looked whether the terminal is still ours.
const LOOK: Duration = Duration::from_millis(50);

/// How long the effect of a signal is waited for.
const EFFECT: Duration = Duration::from_millis(500);

/// The controlling terminal, while this process is in its foreground.
pub(in crate::ui) struct Terminal(File);

/// A terminal on which something is asked.
struct Question<'a> {
    tty: &'a File,
    told: &'static Told,
}

/// How a question ended.
enum Read {
    Line(Line),
    /// The job was stopped or continued, or has lost the terminal.
    Disturbed(Disturbance),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disturbance {
    /// The process is to stop.
    Stop,
    /// A key was typed that sends this to the whole job.
    Key(Signal),
    Continued,
    TerminalLost,
}

impl Terminal {
    pub(in crate::ui) fn find() -> Found {
        match OpenOptions::new().read(true).write(true).open("/dev/tty").map(Self) {
            Ok(terminal) if terminal.is_ours().unwrap_or(false) => Found::Ours(terminal),
            Ok(_) => Found::Background,
            Err(_) => Found::Nothing,
        }
    }

    /// Nobody can be told if the terminal is gone, so a failure to write is let pass.
    pub(in crate::ui) fn say(&mut self, line: &str) {
        let _ = self.0.write_all(format!("\r\x1b[K{line}\n").as_bytes());
    }

    pub(in crate::ui) fn ask(&mut self, prompt: &str, deadline: Duration) -> Result<String, AskError> {
        let line = self.answer(deadline, |question, until| {
            question.show(prompt)?;
            question.shown_line(until)
        })?;
        Ok(line.lossy())
    }

    pub(in crate::ui) fn ask_hidden(
        &mut self,
        prompt: &str,
        deadline: Duration,
    ) -> Result<Zeroizing<String>, AskError> {
        let line = self.answer(deadline, |question, until| {
            let hidden = Hidden::begin(question.tty)?;
            question.show(prompt)?;
            let read = question.hidden_line(&hidden, until);
            if !matches!(read, Ok(Read::Line(_))) {
                restore();
            }
            read
        })?;
        line.text().ok_or(AskError::NotUtf8)
    }

    /// Asks until there is an answer. If the process was stopped meanwhile, the person has the whole time again.
    fn answer(
        &self,
        deadline: Duration,
        mut ask: impl FnMut(&Question<'_>, Instant) -> io::Result<Read>,
    ) -> Result<Line, AskError> {
        let mut asked = || {
            let (_asking, told) = Asking::begin()?;
            let question = Question { tty: &self.0, told };
            take(&told.continued);
            loop {
                match ask(&question, Instant::now() + deadline) {
                    Ok(Read::Line(line)) => return Ok(line),
                    Ok(Read::Disturbed(disturbance)) => question.give_way(disturbance)?,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                        question.give_way(Disturbance::Continued)?;
                    }
                    Err(error) => return Err(error),
                }
                take(&told.stop);
                take(&told.continued);
            }
        };
        asked().map_err(|error: io::Error| match error.kind() {
            io::ErrorKind::TimedOut => AskError::TooLate(deadline),
            io::ErrorKind::UnexpectedEof => AskError::Nothing,
            _ => AskError::Terminal(error),
        })
    }

    fn is_ours(&self) -> io::Result<bool> {
        is_in_foreground(&self.0)
    }
}

impl Question<'_> {
    fn show(&self, prompt: &str) -> io::Result<()> {
        self.write(&format!("\r\x1b[K{prompt}"))
    }

    /// A line that the terminal echoes and lets its person edit.
    fn shown_line(&self, until: Instant) -> io::Result<Read> {
        let mut line = Line::default();
        loop {
            if let Some(disturbance) = self.wait_for_input(until)? {
                return Ok(Read::Disturbed(disturbance));
            }
            let mut bytes = Zeroizing::new([0; line::LONGEST]);
            let length = {
                let mut tty = self.tty;
                tty.read(&mut bytes[..])?
            };
            bytes[..length].iter().filter(|byte| **byte != b'\n').for_each(|byte| line.push(*byte));
            match bytes[..length].last() {
                None if line.is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
                Some(byte) if *byte != b'\n' && length == line::LONGEST => {}
                _ => return Ok(Read::Line(line)),
            }
        }
    }

    /// A line that is edited here, and shown nowhere.
    fn hidden_line(&self, hidden: &Hidden, until: Instant) -> io::Result<Read> {
        let mut line = Line::default();
        loop {
            if let Some(disturbance) = self.wait_for_input(until)? {
                return Ok(Read::Disturbed(disturbance));
            }
            let mut byte = Zeroizing::new([0]);
            let mut tty = self.tty;
            if tty.read(&mut byte[..])? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match hidden.key(byte[0]) {
                Key::Letter => line.push(byte[0]),
                Key::Erase => line.erase(),
                Key::EraseAll => line.clear(),
                Key::EndOfFile if line.is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
                Key::EndOfFile | Key::EndOfLine => {
                    self.write("\n")?;
                    return Ok(Read::Line(line));
                }
                Key::Sends(signal) => {
                    self.write("\n")?;
                    return Ok(Read::Disturbed(Disturbance::Key(signal)));
                }
            }
        }
    }

    /// Until something was typed, or there is something else to be done first.
    fn wait_for_input(&self, until: Instant) -> io::Result<Option<Disturbance>> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let input = self.poll(left.min(LOOK))?;
            if take(&self.told.continued) {
                return Ok(Some(Disturbance::Continued));
            }
            if take(&self.told.stop) {
                return Ok(Some(Disturbance::Stop));
            }
            if !is_in_foreground(self.tty)? {
                return Ok(Some(Disturbance::TerminalLost));
            }
            if input {
                return Ok(None);
            }
        }
    }

    /// Returns when the question can be asked again. The terminal's modes have been put back.
    fn give_way(&self, disturbance: Disturbance) -> io::Result<()> {
        match disturbance {
            Disturbance::Key(signal) => {
                kill_current_process_group(signal)?;
                if signal == Signal::TSTP {
                    self.stop()?;
                } else {
                    // It ends us.
                    self.has_effect()?;
                }
            }
            Disturbance::Stop => self.stop()?,
            Disturbance::Continued | Disturbance::TerminalLost => {}
        }
        while !is_in_foreground(self.tty)? {
            modes::wait_for_foreground(self.tty)?;
        }
        Ok(())
    }

    /// Until we were continued, the shell has the terminal, or it turns out that nobody stops us.
    ///
    /// If the shell waits for cargo and not for us, it may continue the job before we are stopped, and would not do so a second
    /// time. So we leave it to the terminal to stop us, when the shell has it.
    fn stop(&self) -> io::Result<()> {
        if signals::parent_is_in_our_job() && self.has_effect()? {
            return Ok(());
        }
        signals::stop();
        self.has_effect().map(drop)
    }

    fn has_effect(&self) -> io::Result<bool> {
        let until = Instant::now() + EFFECT;
        while Instant::now() < until {
            wait(&mut [PollFd::new(&self.told.continued, PollFlags::IN)], LOOK)?;
            if take(&self.told.continued) || !is_in_foreground(self.tty)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether something was typed. A signal ends the wait.
    fn poll(&self, timeout: Duration) -> io::Result<bool> {
        let Told { stop, continued } = self.told;
        let mut polled = [
            PollFd::new(self.tty, PollFlags::IN),
            PollFd::new(stop, PollFlags::IN),
            PollFd::new(continued, PollFlags::IN),
        ];
        wait(&mut polled, timeout)?;
        Ok(!polled[0].revents().is_empty())
    }

    fn write(&self, text: &str) -> io::Result<()> {
        let mut tty = self.tty;
        tty.write_all(text.as_bytes())
    }
}

fn wait(polled: &mut [PollFd<'_>], timeout: Duration) -> io::Result<()> {
    match poll(polled, Timespec::try_from(timeout).ok().as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn is_in_foreground(tty: &File) -> io::Result<bool> {
    Ok(tcgetpgrp(tty)? == getpgrp())
}

//! The controlling terminal: the only way to ask while cargo owns stdin and stdout.

#[cfg(unix)]
pub(super) use unix::Terminal;
#[cfg(unix)]
pub use unix::restore;
#[cfg(windows)]
pub(super) use windows::Terminal;
#[cfg(windows)]
pub use windows::restore;

#[cfg(unix)]
mod unix {
    use std::fs::{File, OpenOptions};
    use std::io::{self, Read as _, Write as _};
    use std::sync::{Mutex, MutexGuard, Once, PoisonError};
    use std::time::{Duration, Instant};

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::io::Errno;
    use rustix::process::getpgrp;
    use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};
    use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
    use signal_hook::iterator::Signals;
    use zeroize::Zeroizing;

    use crate::ui::AskError;

    /// Longest line that is read; what goes beyond is thrown away.
    const LONGEST_LINE: usize = 256;

    /// The terminal with its echo off, and how it was before.
    static HIDDEN: Mutex<Option<Hidden>> = Mutex::new(None);

    struct Hidden {
        tty: File,
        before: Termios,
        hidden: Termios,
    }

    /// `/dev/tty`, while this process is in its foreground: in the background a question would stop the process.
    pub(in crate::ui) struct Terminal(File);

    impl Terminal {
        pub(in crate::ui) fn open() -> Option<Self> {
            let tty = OpenOptions::new().read(true).write(true).open("/dev/tty").ok()?;
            (tcgetpgrp(&tty).ok()? == getpgrp()).then_some(Self(tty))
        }

        pub(in crate::ui) fn ask(&mut self, prompt: &str, deadline: Duration) -> Result<String, AskError> {
            self.prompt(prompt)?;
            self.line(deadline).map(|line| line.to_string())
        }

        pub(in crate::ui) fn ask_hidden(
            &mut self,
            prompt: &str,
            deadline: Duration,
        ) -> Result<Zeroizing<String>, AskError> {
            let _echo_again = self.hide().map_err(AskError::Terminal)?;
            self.prompt(prompt)?;
            self.line(deadline)
        }

        fn prompt(&mut self, prompt: &str) -> Result<(), AskError> {
            write!(self.0, "\r\x1b[K{prompt}").and_then(|()| self.0.flush()).map_err(AskError::Terminal)
        }

        /// Echo off; what was typed ahead is dropped, it was not meant for this prompt.
        fn hide(&self) -> io::Result<EchoAgain> {
            restore_on_signals()?;
            let before = tcgetattr(&self.0)?;
            let mut hidden = before.clone();
            hidden.local_modes.remove(LocalModes::ECHO);
            hidden.local_modes.insert(LocalModes::ECHONL);
            tcsetattr(&self.0, OptionalActions::Flush, &hidden)?;
            *state() = Some(Hidden { tty: self.0.try_clone()?, before, hidden });
            Ok(EchoAgain)
        }

        fn wait_for_input(&self, deadline: Duration) -> Result<(), AskError> {
            let until = Instant::now() + deadline;
            loop {
                let left = until.saturating_duration_since(Instant::now());
                let timeout = Timespec::try_from(left).ok();
                match poll(&mut [PollFd::new(&self.0, PollFlags::IN)], timeout.as_ref()) {
                    Ok(0) => return Err(AskError::TooLate(deadline)),
                    Ok(_) => return Ok(()),
                    // A signal that ends us does so from its own thread.
                    Err(Errno::INTR) => {}
                    Err(error) => return Err(AskError::Terminal(error.into())),
                }
            }
        }

        fn line(&mut self, deadline: Duration) -> Result<Zeroizing<String>, AskError> {
            self.wait_for_input(deadline)?;
            let mut line = Zeroizing::new([0; LONGEST_LINE]);
            let length = self.0.read(&mut line[..]).map_err(AskError::Terminal)?;
            let mut rest = line[..length].last().copied();
            while length == LONGEST_LINE && rest != Some(b'\n') {
                let mut byte = Zeroizing::new([0]);
                rest = (self.0.read(&mut byte[..]).map_err(AskError::Terminal)? == 1).then(|| byte[0]);
                if rest.is_none() {
                    break;
                }
            }
            let text = std::str::from_utf8(&line[..length]).map_err(|_| AskError::Nothing)?;
            if text.is_empty() {
                return Err(AskError::Nothing);
            }
            Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
        }
    }

    struct EchoAgain;

    impl Drop for EchoAgain {
        fn drop(&mut self) {
            restore();
        }
    }

    fn state() -> MutexGuard<'static, Option<Hidden>> {
        HIDDEN.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the terminal echo again, if a prompt had turned that off. For whoever is about to end the process.
    pub fn restore() {
        if let Some(Hidden { tty, before, .. }) = state().take() {
            let _ = tcsetattr(&tty, OptionalActions::Now, &before);
        }
    }

    /// Ctrl-Z: the shell gets its echo back while we are stopped, and the prompt hides again when it goes on.
    fn stop() {
        if let Some(Hidden { tty, before, .. }) = &*state() {
            let _ = tcsetattr(tty, OptionalActions::Now, before);
        }
        let _ = signal_hook::low_level::emulate_default_handler(SIGTSTP);
        if let Some(Hidden { tty, hidden, .. }) = &*state() {
            let _ = tcsetattr(tty, OptionalActions::Now, hidden);
        }
    }

    /// Ctrl-C at the prompt reaches cargo and us at once; whoever ends us, the terminal must echo again.
    fn restore_on_signals() -> io::Result<()> {
        static STARTED: Once = Once::new();
        let mut result = Ok(());
        STARTED.call_once(|| match Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP]) {
            Ok(mut signals) => {
                std::thread::spawn(move || {
                    for signal in signals.forever() {
                        if signal == SIGTSTP {
                            stop();
                        } else {
                            restore();
                            let _ = signal_hook::low_level::emulate_default_handler(signal);
                        }
                    }
                });
            }
            Err(error) => result = Err(error),
        });
        result
    }
}

#[cfg(windows)]
mod windows {
    use std::fs::{File, OpenOptions};
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::time::Duration;

    use zeroize::Zeroizing;

    use crate::ui::AskError;

    /// `CONIN$` and `CONOUT$`. Reading them cannot be given a deadline.
    pub(in crate::ui) struct Terminal {
        input: File,
        output: File,
    }

    impl Terminal {
        pub(in crate::ui) fn open() -> Option<Self> {
            let open = |name| OpenOptions::new().read(true).write(true).open(name).ok();
            Some(Self { input: open("CONIN$")?, output: open("CONOUT$")? })
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
}

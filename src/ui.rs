//! Everything a person sees or is asked, in one place.
//!
//! Text goes to stderr, questions to the controlling terminal; stdout belongs to data and to cargo's protocol. Cargo
//! leaves half-drawn progress bars behind, so a line on a terminal begins by wiping what stands there. Foreign text has been
//! escaped where it came in; whatever was forgotten is tamed here, in messages and questions alike.

use std::fmt::{self, Display};
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use anstream::ColorChoice;
use anstream::adapter::strip_str;
use anstyle::{AnsiColor, Style};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::text::fitted::{columns, fitted};
use crate::text::{causes, tame};

mod countdown;
pub mod log;
pub mod pinentry;
mod progress;
mod terminal;

pub use countdown::Countdown;
pub use progress::Progress;
pub use terminal::restore as restore_terminal;
use terminal::{Found, Terminal};

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const NOTE: Style = AnsiColor::Green.on_default().bold();
const TOUCH: Style = AnsiColor::Yellow.on_default().bold().invert();
const HINT: Style = AnsiColor::Cyan.on_default().bold();

/// Whether messages are coloured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Color {
    /// As the terminal and the environment have it (NO_COLOR, CLICOLOR_FORCE).
    #[default]
    Auto,
    /// Always, even if stderr is a file.
    Always,
    /// Never.
    Never,
}

/// Applies the person's setting, which wins over the environment (no-color.org).
pub fn color(color: Color) {
    match color {
        Color::Auto => {}
        Color::Always => ColorChoice::Always.write_global(),
        Color::Never => ColorChoice::Never.write_global(),
    }
}

/// The way to the person, if there is one.
#[derive(Clone, Copy, Debug)]
pub struct Ui {
    wipe_line: bool,
    may_ask: bool,
    aloud: bool,
}

/// Why a question would reach nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nobody {
    /// There is a terminal, but its foreground belongs to another job: a question would stop this one.
    InForeground,
    /// There is no terminal, or it was said that nothing be asked.
    AtATerminal,
}

impl Display for Nobody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InForeground => "this runs in the background of its terminal, where it cannot ask for it",
            Self::AtATerminal => "there is no terminal to ask for it",
        })
    }
}

impl Ui {
    /// Speaks on stderr, and asks on the controlling terminal.
    #[must_use]
    pub fn asking() -> Self {
        Self { wipe_line: std::io::stderr().is_terminal(), may_ask: true, aloud: false }
    }

    /// Speaks on stderr, and asks nothing.
    #[must_use]
    pub fn silent() -> Self {
        Self { may_ask: false, ..Self::asking() }
    }

    /// Speaks on the controlling terminal too, where stderr is kept by somebody else: what a person has to do at once must
    /// reach them where they were asked.
    #[must_use]
    pub fn aloud(self) -> Self {
        Self { aloud: true, ..self }
    }

    /// Whether a question would reach somebody: there is a controlling terminal and we are in its foreground.
    #[must_use]
    pub fn is_interactive(&self) -> bool {
        self.terminal().is_ok()
    }

    /// Why a question would reach nobody, where that is so.
    #[must_use]
    pub fn nobody(&self) -> Nobody {
        match self.terminal() {
            Err(AskError::InBackground) => Nobody::InForeground,
            _ => Nobody::AtATerminal,
        }
    }

    /// A plain line.
    pub fn say(&self, text: impl Display) {
        self.line(format_args!("{}", self.fitted(text, 0)));
    }

    /// The line that wants a touch: it stands out, and may ring.
    pub fn touch(&self, text: &str, bell: bool) {
        self.line(format_args!("{TOUCH}{}{TOUCH:#}", tame(text)));
        if bell && self.wipe_line {
            let _ = std::io::stderr().write_all(b"\x07");
        }
    }

    /// Says what is waited for, and on a terminal how many seconds are left, until it is dropped.
    #[must_use]
    pub fn count_down(&self, text: String, from: Duration) -> Countdown {
        Countdown::begin(*self, tame(text), from)
    }

    /// Shows how much of `total` is done, once that has taken a second, until it is dropped.
    #[must_use]
    pub fn progress(&self, text: String, total: usize) -> Progress {
        Progress::begin(*self, tame(text), total)
    }

    /// `note: …`
    pub fn note(&self, text: impl Display) {
        self.line(format_args!("{NOTE}note{NOTE:#}: {}", self.fitted(text, 6)));
    }

    /// `warning: …`
    pub fn warn(&self, text: impl Display) {
        self.line(format_args!("{WARNING}warning{WARNING:#}: {}", self.fitted(text, 9)));
    }

    /// `error: …`, one `caused by: …` for each source, `hint: …`.
    pub fn error(&self, error: &dyn std::error::Error, hint: Option<&str>) {
        self.line(format_args!("{ERROR}error{ERROR:#}: {}", self.fitted(error, 7)));
        for cause in causes(error) {
            self.line(format_args!("{ERROR}caused by{ERROR:#}: {}", self.fitted(cause, 11)));
        }
        if let Some(hint) = hint {
            self.line(format_args!("{HINT}hint{HINT:#}: {}", self.fitted(hint, 6)));
        }
    }

    /// Asks for something secret, without echo.
    ///
    /// # Errors
    /// [`AskError`].
    pub fn ask_hidden(&self, prompt: &str, deadline: Duration) -> Result<Zeroizing<String>, AskError> {
        self.terminal()?.ask_hidden(&tame(prompt), deadline)
    }

    /// Asks for a line.
    ///
    /// # Errors
    /// [`AskError`].
    pub fn ask(&self, prompt: &str, deadline: Duration) -> Result<String, AskError> {
        self.terminal()?.ask(&tame(prompt), deadline)
    }

    /// Asks a question whose answer is no unless it is `y` or `yes`.
    ///
    /// # Errors
    /// [`AskError`].
    pub fn confirm(&self, question: &str, deadline: Duration) -> Result<bool, AskError> {
        let answer = self.ask(&format!("{question} [y/N] "), deadline)?;
        Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
    }

    /// Asks a question whose answer is yes unless it is `n` or `no`: for what is usual, and easily taken back.
    ///
    /// # Errors
    /// [`AskError`].
    pub fn agree(&self, question: &str, deadline: Duration) -> Result<bool, AskError> {
        let answer = self.ask(&format!("{question} [Y/n] "), deadline)?;
        Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "" | "y" | "yes"))
    }

    /// Asks for a typed `yes`, for what cannot be undone.
    ///
    /// # Errors
    /// [`AskError`].
    pub fn typed_yes(&self, question: &str, deadline: Duration) -> Result<bool, AskError> {
        Ok(self.ask(&format!("{question} Type yes to go on: "), deadline)?.trim() == "yes")
    }

    /// Asks for one of several things, by number.
    ///
    /// # Errors
    /// [`AskError`].
    pub fn choose(&self, question: &str, choices: &[String], deadline: Duration) -> Result<usize, AskError> {
        for (number, choice) in (1..).zip(choices) {
            self.say(format_args!("{number:>3}  {choice}"));
        }
        loop {
            let answer = self.ask(&format!("{question} [1-{}] ", choices.len()), deadline)?;
            match answer.trim().parse() {
                Ok(number) if (1..=choices.len()).contains(&number) => return Ok(number - 1),
                _ => {}
            }
        }
    }

    fn terminal(&self) -> Result<Terminal, AskError> {
        if !self.may_ask {
            return Err(AskError::NobodyThere);
        }
        match Terminal::find() {
            Found::Ours(terminal) => Ok(terminal),
            #[cfg(unix)]
            Found::Background => Err(AskError::InBackground),
            Found::Nothing => Err(AskError::NobodyThere),
        }
    }

    /// Safe to show, and broken between words after what `begun` columns of the row have already.
    fn fitted(&self, text: impl Display, begun: usize) -> String {
        fitted(&tame(text), begun, self.wipe_line.then(|| columns(std::io::stderr())).flatten())
    }

    /// A failure to write is ignored: if stderr is gone, nobody can be told.
    fn line(&self, text: fmt::Arguments<'_>) {
        let wipe = if self.wipe_line { wipe() } else { String::new() };
        let _ = writeln!(anstream::stderr().lock(), "{wipe}{text}");
        if self.aloud
            && !self.wipe_line
            && let Ok(mut terminal) = self.terminal()
        {
            terminal.say(&strip_str(&text.to_string()).to_string());
        }
    }
}

/// What clears the row of a terminal. A Windows console heeds escape sequences only once a program has told it to.
fn wipe() -> String {
    if cfg!(windows) {
        let columns = columns(std::io::stderr()).unwrap_or(80);
        format!("\r{:1$}\r", "", columns - 1)
    } else {
        "\r\x1b[K".to_owned()
    }
}

impl AskError {
    /// Whether it reached nobody.
    #[must_use]
    pub fn is_for_nobody(&self) -> bool {
        matches!(self, Self::NobodyThere | Self::InBackground)
    }
}

/// Shells start a job in the foreground unless `&` ends the line; programs that give a command a job of its own do not.
pub(crate) const FOREGROUND: &str = "bring it to the foreground with `fg`; if another program runs cargo, have it keep cargo in the foreground, as `timeout --foreground` does";

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// There is a terminal, but its foreground belongs to another job.
    #[error("this runs in the background of its terminal, where it cannot ask anything")]
    InBackground,
    /// No terminal, or it was said that nothing be asked.
    #[error("there is no terminal to ask on")]
    NobodyThere,
    /// Letters outside ASCII, from a terminal that does not use UTF-8.
    #[error("what was typed is not in UTF-8: this terminal uses another encoding")]
    NotUtf8,
    /// End of input.
    #[error("nothing was entered")]
    Nothing,
    /// Nobody answered in time.
    #[error("nobody answered within {} seconds", .0.as_secs())]
    TooLate(Duration),
    /// The terminal failed.
    #[error("the terminal failed")]
    Terminal(#[source] std::io::Error),
}

impl AskError {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        const YES: &str = "or add --yes if its --help lists it";
        match self {
            Self::NobodyThere => Some(format!("run the command in a terminal, {YES}")),
            Self::InBackground => Some(format!("{FOREGROUND}; {YES}")),
            Self::NotUtf8 => Some("use a terminal whose encoding is UTF-8".into()),
            _ => None,
        }
    }
}

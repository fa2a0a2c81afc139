//! `$CARGO_HOME/yk-cargo/config.toml`: for how long things are waited for, and who asks for the PIN.
//!
//! ```toml
//! pinentry = "pinentry-gnome3" # any program that speaks the protocol; "" for none
//! touch-notice = 300           # milliseconds before a key with a cached touch is said to blink
//! color = "auto"               # or always, never
//!
//! [touch]
//! notify = ["notify-send", "yk-cargo"] # told what wants a touch; nothing without
//! bell = true                          # false without
//!
//! [wait] # seconds
//! connect = 25 # more than another cargo waits for its touch
//! insertion = 30
//! touch = 20
//! pin-prompt = 300
//! pin-command = 60
//! network = 10
//! ```

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::folder;
use crate::reader::Deadlines;
use crate::text::escape_path;
use crate::ui::Color;

/// A key whose touch is cached may answer at once; a notice before this would cry wolf.
const TOUCH_NOTICE: Duration = Duration::from_millis(300);

/// What a person may set.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// The program that asks for a PIN where there is no terminal; `None` looks for `pinentry`, empty is for none.
    pub pinentry: Option<String>,
    touch_notice: Option<u32>,
    /// Whether messages are coloured.
    #[serde(default)]
    pub color: Color,
    /// How a person is told of a touch, besides the line on the terminal.
    #[serde(default)]
    pub touch: Touch,
    /// Deadlines.
    #[serde(default)]
    pub wait: Wait,
    /// Cargo's home, where these settings come from and the network's are.
    #[serde(skip)]
    pub cargo_home: PathBuf,
}

/// How a person is told of a touch.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Touch {
    /// The touch notice program and its arguments; nothing for none.
    pub notify: Vec<String>,
    /// Whether the terminal's bell rings.
    pub bell: bool,
}

/// Deadlines, in whole seconds.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Wait {
    connect: u32,
    insertion: u32,
    touch: u32,
    pin_prompt: u32,
    pin_command: u32,
    network: u32,
}

impl Default for Wait {
    fn default() -> Self {
        Self { connect: 25, insertion: 30, touch: 20, pin_prompt: 300, pin_command: 60, network: 10 }
    }
}

impl Wait {
    /// How long a card is waited for.
    #[must_use]
    pub fn deadlines(&self) -> Deadlines {
        let [connect, insertion, touch] = [self.connect, self.insertion, self.touch].map(seconds);
        Deadlines { connect, insertion, touch }
    }

    /// Until a question on the terminal is answered.
    #[must_use]
    pub fn pin_prompt(&self) -> Duration {
        seconds(self.pin_prompt)
    }

    /// Until a registry has answered, unless cargo has a timeout of its own.
    #[must_use]
    pub fn network(&self) -> Duration {
        seconds(self.network)
    }

    /// Until the PIN command, or pinentry, has answered.
    #[must_use]
    pub fn pin_command(&self) -> Duration {
        seconds(self.pin_command)
    }
}

impl Settings {
    /// How long a key whose touch is cached may take before it is said to blink.
    #[must_use]
    pub fn touch_notice(&self) -> Duration {
        self.touch_notice.map_or(TOUCH_NOTICE, |milliseconds| Duration::from_millis(milliseconds.into()))
    }

    /// Reads the settings; a missing file means the defaults.
    ///
    /// # Errors
    /// [`Error`].
    pub fn load(cargo_home: &Path) -> Result<Self, Error> {
        let path = path(cargo_home);
        let settings = match folder::read(&path)? {
            Some(text) => toml_edit::de::from_str(&text).map_err(|error| {
                let start = error.span().unwrap_or_default().start;
                let line = 1 + text.bytes().take(start).filter(|byte| *byte == b'\n').count();
                Error::Content { path, line, reason: error.message().to_owned() }
            })?,
            None => Self::default(),
        };
        Ok(Self { cargo_home: cargo_home.to_owned(), ..settings })
    }

    /// What holds for whoever has set nothing.
    pub(crate) fn defaults(cargo_home: &Path) -> Self {
        Self { cargo_home: cargo_home.to_owned(), ..Self::default() }
    }

    /// Where they are, for people.
    pub(crate) fn shown_path(&self) -> String {
        escape_path(&path(&self.cargo_home))
    }
}

fn path(cargo_home: &Path) -> PathBuf {
    folder::in_cargo_home(cargo_home).join("config.toml")
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "a field's name says what it is")]
pub enum Error {
    /// The file cannot be read, or others may write it: it names a program that is run and asked for the PIN.
    #[error(transparent)]
    Folder(#[from] folder::Error),
    /// The file is read, but cannot be used.
    #[error("cannot use the settings in {}, line {line}: {reason}", path.display())]
    Content { path: PathBuf, line: usize, reason: String },
}

impl Error {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Folder(error) => error.hint(),
            Self::Content { .. } => "fix the file, or remove it to use the defaults".into(),
        }
    }
}

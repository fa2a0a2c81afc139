//! `$CARGO_HOME/yk-cargo/config.toml`: for how long things are waited for.
//!
//! ```toml
//! [wait] # seconds
//! connect = 25 # more than another cargo waits for its touch
//! insertion = 30
//! touch = 20
//! pin-prompt = 300
//! pin-command = 60
//! ```

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::enrollment;
use crate::reader::Deadlines;

/// What a person may set.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Deadlines.
    #[serde(default)]
    pub wait: Wait,
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
}

impl Default for Wait {
    fn default() -> Self {
        Self { connect: 25, insertion: 30, touch: 20, pin_prompt: 300, pin_command: 60 }
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

    /// Until the PIN command has answered.
    #[must_use]
    pub fn pin_command(&self) -> Duration {
        seconds(self.pin_command)
    }
}

impl Settings {
    /// Reads the settings; a missing file means the defaults.
    ///
    /// # Errors
    /// [`Error`].
    pub fn load(cargo_home: &Path) -> Result<Self, Error> {
        let path = enrollment::directory(cargo_home).join("config.toml");
        match std::fs::read_to_string(&path) {
            Ok(text) => toml_edit::de::from_str(&text)
                .map_err(|error| Error { path, reason: error.message().to_owned() }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(Error { path, reason: error.to_string() }),
        }
    }
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}

/// The settings cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the settings in {}: {reason}", path.display())]
pub struct Error {
    path: PathBuf,
    reason: String,
}

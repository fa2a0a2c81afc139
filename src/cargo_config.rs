//! Cargo's configuration, as cargo reads it, and what of it is the person's own.
//!
//! There is one reader, [`CargoConfig::read`]. It goes by the rules of cargo 1.95: every level, what files include, the
//! environment. Each value keeps its place, because a registry's name is what the person's own configuration says: a
//! project's `.cargo/config.toml` comes with the project, and where it disagrees, the person is told and nothing is done
//! (Cargo reference, "Configuration", hierarchical structure).

use std::fmt;
use std::path::{Path, PathBuf};

use crate::index_url::{self, IndexUrl};

mod aliases;
mod configuration;
pub mod credentials;
mod edit;
mod environment;
mod error;
mod files;
mod origin;
mod providers;
mod sources;
mod transport;
mod value;

pub use configuration::{Configuration, Scope};
pub use edit::{ProviderChange, our_command};
pub use environment::{Environment, registry_variable};
pub use error::{Error, IncludeProblem};
pub use origin::{Clash, Located, Origin, Owner};
pub use providers::{DecidedBy, Provider, Providers};
pub use transport::Detour;

use configuration::Reading;

/// Where configuration is looked for.
pub struct CargoConfig {
    home: PathBuf,
    working_directory: PathBuf,
    environment: Environment,
}

/// What cargo calls crates.io.
pub const CRATES_IO_NAME: &str = "crates-io";

/// A registry as a person's own configuration knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfiguredRegistry {
    /// As cargo passes it on.
    pub index: IndexUrl,
    /// Its name, if it has one.
    pub name: Option<String>,
}

impl ConfiguredRegistry {
    /// crates.io.
    #[must_use]
    pub fn crates_io() -> Self {
        Self { index: IndexUrl::crates_io(), name: Some(CRATES_IO_NAME.to_owned()) }
    }

    /// Whether it is crates.io, which cargo configures in a place of its own.
    #[must_use]
    pub fn is_crates_io(&self) -> bool {
        self.index.is_crates_io()
    }

    /// Its name, or its URL if it has none; escaped.
    #[must_use]
    pub fn shown(&self) -> String {
        crate::text::escape(self.name.as_deref().unwrap_or(&self.index))
    }
}

impl CargoConfig {
    /// The configuration in this cargo home, seen from this working directory, with the environment of this process.
    #[must_use]
    pub fn new(home: PathBuf, working_directory: PathBuf) -> Self {
        Self { home, working_directory, environment: environment::of_this_process() }
    }

    /// The same, with another environment.
    #[must_use]
    pub fn with_environment(self, environment: Environment) -> Self {
        Self { environment, ..self }
    }

    /// Cargo's home.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Reads everything that cargo would read now.
    ///
    /// # Errors
    /// Whatever makes cargo refuse it: [`Error::Io`], [`Error::Toml`], [`Error::Include`], [`Error::Merge`],
    /// [`Error::Shape`].
    pub fn read(&self) -> Result<Configuration, Error> {
        let environment = self.environment.clone();
        Configuration::read(&self.home, &self.working_directory, environment, Reading::Everything)
    }

    /// Everything that cargo would read in another folder, a project's.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_in(&self, folder: &Path) -> Result<Configuration, Error> {
        Configuration::read(&self.home, folder, self.environment.clone(), Reading::Everything)
    }

    /// What [`read`](Self::read) does, without any project's files: for what is the person's alone.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_own(&self) -> Result<Configuration, Error> {
        let environment = self.environment.clone();
        Configuration::read(&self.home, &self.working_directory, environment, Reading::OwnOnly)
    }

    /// The registry that a person means by a name or an index URL.
    ///
    /// # Errors
    /// As [`Configuration::resolve`], and unreadable configuration.
    pub fn resolve(&self, name_or_url: &str) -> Result<ConfiguredRegistry, Error> {
        self.read()?.resolve(name_or_url)
    }

    /// The same, and crates.io too.
    ///
    /// # Errors
    /// As [`Configuration::resolve_any`], and unreadable configuration.
    pub fn resolve_any(&self, name_or_url: &str) -> Result<ConfiguredRegistry, Error> {
        self.read()?.resolve_any(name_or_url)
    }
}

/// Without the environment's secrets.
impl fmt::Debug for CargoConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CargoConfig").field("home", &self.home).finish_non_exhaustive()
    }
}

/// Parses a URL as a person typed it.
///
/// # Errors
/// [`Error::IndexUrl`].
pub fn index_url(text: &str) -> Result<IndexUrl, Error> {
    text.parse().map_err(|problem| Error::IndexUrl { index: index_url::without_password(text), problem })
}

/// The file that is running.
fn this_program() -> PathBuf {
    std::env::current_exe().unwrap_or_else(|_| PathBuf::from(providers::OUR_NAME))
}

#[cfg(test)]
mod tests;

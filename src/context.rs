//! What a command needs of its surroundings: cargo's configuration and the person's settings.

use std::path::PathBuf;

use crate::cargo_config::{self, CargoConfig, ConfiguredRegistry};
use crate::enrollment::{Enrollments, Registry, SealedToken};
use crate::error::Error;
use crate::settings::{self, Settings};
use crate::ui;

/// What most commands need of their surroundings.
#[derive(Debug)]
pub struct Context {
    /// Cargo's home and configuration.
    pub cargo: CargoConfig,
    /// The person's settings.
    pub settings: Settings,
}

impl Context {
    /// Reads them, as the environment and the working directory say.
    ///
    /// # Errors
    /// There is no home, or the settings cannot be used.
    pub fn load() -> Result<Self, Error> {
        let (home, here) = places()?;
        Self::at(home, here)
    }

    /// The same with the default settings, and the reason, if the person's cannot be used.
    ///
    /// # Errors
    /// There is no home.
    pub fn load_without_mistakes() -> Result<(Self, Option<settings::Error>), Error> {
        let (home, here) = places()?;
        let (settings, mistake) = match Settings::load(&home) {
            Ok(settings) => (settings, None),
            Err(error) => (Settings::defaults(&home), Some(error)),
        };
        Ok((Self::with(settings, home, here), mistake))
    }

    /// With this cargo home, seen from this working directory.
    pub(crate) fn at(home: PathBuf, here: PathBuf) -> Result<Self, Error> {
        Ok(Self::with(Settings::load(&home)?, home, here))
    }

    fn with(settings: Settings, home: PathBuf, here: PathBuf) -> Self {
        ui::color(settings.color);
        Self { cargo: CargoConfig::new(home, here), settings }
    }

    /// The registry that a person means by an index URL or a name, crates.io too. A name is what the person's own
    /// configuration says; what only a project says counts where it is the URL of something enrolled or sealed.
    pub(crate) fn registry(
        &self,
        name_or_url: &str,
        enrollments: &Enrollments,
    ) -> Result<ConfiguredRegistry, Error> {
        // So lock files write the URL of a git index.
        let name_or_url = name_or_url.strip_prefix("registry+").unwrap_or(name_or_url);
        match self.cargo.resolve_any(name_or_url) {
            Err(cargo_config::Error::OnlyInProject { name, index, .. }) if enrollments.know(&index) => {
                Ok(ConfiguredRegistry { index, name: Some(name) })
            }
            Err(cargo_config::Error::NoSparsePrefix { index }) if enrollments.know(&index) => {
                Ok(ConfiguredRegistry { index, name: None })
            }
            resolved => Ok(resolved?),
        }
    }

    /// The enrollment that a person means by an index URL or a name. The name in cargo's configuration counts, and where
    /// it has gone from there, the one it was enrolled under.
    pub(crate) fn enrolled<'a>(
        &self,
        enrollments: &'a Enrollments,
        name_or_url: &str,
    ) -> Result<&'a Registry, Error> {
        let known = |index: &str| enrollments.registry(index);
        match self.known(enrollments, name_or_url, known, || enrollments.named(name_or_url))? {
            Some(registry) => Ok(registry),
            None if name_or_url == cargo_config::CRATES_IO_NAME => Err(cargo_config::Error::CratesIo.into()),
            None => Err(Error::NotEnrolled { registry: name_or_url.to_owned() }),
        }
    }

    /// The same for a sealed token.
    pub(crate) fn sealed<'a>(
        &self,
        enrollments: &'a Enrollments,
        name_or_url: &str,
    ) -> Result<&'a SealedToken, Error> {
        let named = || enrollments.sealed.iter().find(|token| token.name.as_deref() == Some(name_or_url));
        let found = self.known(enrollments, name_or_url, |index| enrollments.sealed(index), named)?;
        found.ok_or_else(|| Error::NotSealed { registry: name_or_url.to_owned() })
    }

    fn known<T>(
        &self,
        enrollments: &Enrollments,
        name_or_url: &str,
        known: impl Fn(&str) -> Option<T>,
        named: impl Fn() -> Option<T>,
    ) -> Result<Option<T>, Error> {
        if let Some(found) = known(name_or_url) {
            return Ok(Some(found));
        }
        match self.registry(name_or_url, enrollments) {
            Ok(configured) => Ok(known(&configured.index)),
            Err(error @ Error::CargoConfig(cargo_config::Error::UnknownRegistry { .. })) => match named() {
                None if error.hint().is_some_and(|hint| hint.starts_with("did you mean")) => Err(error),
                found => Ok(found),
            },
            Err(error) => Err(error),
        }
    }
}

/// Cargo's home, and the working directory.
fn places() -> Result<(PathBuf, PathBuf), Error> {
    let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
    let home = home::cargo_home_with_cwd(&here).map_err(Error::Stdio)?;
    Ok((home, here))
}

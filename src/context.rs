//! What a command needs of its surroundings: cargo's configuration and the person's settings.

use std::path::PathBuf;

use crate::cargo_config::{self, CargoConfig};
use crate::enrollment::{Enrollments, Registry};
use crate::error::Error;
use crate::settings::Settings;
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
        let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
        let home = home::cargo_home_with_cwd(&here).map_err(Error::Stdio)?;
        Self::at(home, here)
    }

    /// With this cargo home, seen from this working directory.
    pub(crate) fn at(home: PathBuf, here: PathBuf) -> Result<Self, Error> {
        let settings = Settings::load(&home)?;
        ui::color(settings.color);
        Ok(Self { cargo: CargoConfig::new(home, here), settings })
    }

    /// The enrollment that a person means by an index URL or a name. The name in cargo's configuration counts, and where
    /// it has gone from there, the one it was enrolled under.
    pub(crate) fn enrolled<'a>(
        &self,
        enrollments: &'a Enrollments,
        name_or_url: &str,
    ) -> Result<&'a Registry, Error> {
        if let Some(registry) = enrollments.registry(name_or_url) {
            return Ok(registry);
        }
        let found = match self.cargo.resolve(name_or_url) {
            Ok(configured) => enrollments.registry(&configured.index),
            Err(cargo_config::Error::UnknownRegistry { .. }) => enrollments.named(name_or_url),
            Err(error) => return Err(error.into()),
        };
        found.ok_or_else(|| Error::NotEnrolled { registry: name_or_url.to_owned() })
    }
}

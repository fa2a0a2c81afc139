//! The rules as an administrator writes them, in the configuration file's `[attestation]`. The one part of this that
//! reads files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Firmware, Mode, Requirement, Rules, TrustError};

/// What to ask of attestations.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// Whether they are asked for.
    pub policy: Mode,
    /// PEM files with more certificates to believe, beside Yubico's: those that issued themselves are roots, the others
    /// stand below them.
    pub roots: Vec<PathBuf>,
    /// The least firmware.
    pub minimum_firmware: Option<Firmware>,
    /// Whether to take early keys whose attestation certificate does not say that it may issue.
    pub allow_legacy_devices: bool,
    /// The least that a read key has to ask for.
    pub read: Option<Requirement>,
    /// The least that a key which may publish has to ask for.
    pub publish: Option<Requirement>,
}

/// A file of certificates that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There are no certificates in it.
    #[error("{} cannot be believed", path.display())]
    Certificates {
        /// Which.
        path: PathBuf,
        /// Why.
        source: TrustError,
    },
}

impl Settings {
    /// Takes the files from this folder, if their paths are not absolute.
    pub fn relative_to(&mut self, folder: &Path) {
        for path in &mut self.roots {
            *path = folder.join(&*path);
        }
    }

    /// The rules, with the certificates out of the files.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub fn rules(&self) -> Result<Rules, SettingsError> {
        let mut rules =
            Rules { mode: self.policy, minimum_firmware: self.minimum_firmware, ..Rules::default() };
        rules.read = self.read.unwrap_or(rules.read);
        rules.publish = self.publish.unwrap_or(rules.publish);
        rules.trust.legacy_devices = self.allow_legacy_devices;
        for path in &self.roots {
            let pem = fs::read(path).map_err(|source| SettingsError::File { path: path.clone(), source })?;
            rules
                .trust
                .add_pem(&pem)
                .map_err(|source| SettingsError::Certificates { path: path.clone(), source })?;
        }
        Ok(rules)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attestation::{PinPolicy, TouchPolicy};

    #[test]
    fn as_an_administrator_writes_it() {
        let settings: Settings = toml::from_str(
            "policy = \"require\"\nminimum-firmware = \"5.7.0\"\nallow-legacy-devices = true\n\
             [publish]\npin = \"always\"\ntouch = \"always\"\n",
        )
        .unwrap();
        let rules = settings.rules().unwrap();
        assert_eq!((rules.mode, rules.minimum_firmware), (Mode::Require, Some(Firmware([5, 7, 0]))));
        assert!(rules.trust.legacy_devices);
        let strict = Requirement { pin: PinPolicy::Always, touch: TouchPolicy::Always };
        assert_eq!(rules.publish, strict);
        assert_eq!(rules.read, Rules::default().read);
        for wrong in
            ["policy = \"maybe\"", "minimum-firmware = \"5\"", "polcy = \"off\"", "[read]\npin = \"once\""]
        {
            assert!(toml::from_str::<Settings>(wrong).is_err(), "{wrong}");
        }
        let missing = Settings { roots: vec!["nowhere.pem".into()], ..Settings::default() };
        assert!(matches!(missing.rules(), Err(SettingsError::File { .. })));
        let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/data/yubico/README.md");
        let none = Settings { roots: vec![readme.into()], ..Settings::default() };
        assert!(matches!(none.rules(), Err(SettingsError::Certificates { .. })));
    }
}

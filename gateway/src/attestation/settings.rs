//! The rules as an administrator writes them, in `[attestation]` of the configuration file. The certificates they name
//! are read here.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Firmware, Mode, Requirement, Rules, TrustError};

/// What is asked of attestations.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// Whether attestations are asked for.
    pub policy: Mode,
    /// PEM files with certificates to trust beside Yubico's. Self-issued ones become roots; the others help to find a
    /// way to a root.
    pub roots: Vec<PathBuf>,
    /// The oldest firmware that is accepted.
    pub minimum_firmware: Option<Firmware>,
    /// Whether to take early keys whose attestation certificate does not say that it may issue.
    pub allow_legacy_devices: bool,
    /// The least that a read key has to ask for.
    pub read: Option<Requirement>,
    /// The least that a key which may publish has to ask for.
    pub publish: Option<Requirement>,
}

/// Why a file of certificates cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "a field's name says what it is")]
pub enum SettingsError {
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    File { path: PathBuf, source: io::Error },
    /// It does not hold certificates.
    #[error("the certificates in {} cannot be used", path.display())]
    Certificates { path: PathBuf, source: TrustError },
}

impl Settings {
    /// Makes the files' paths relative to this folder, unless they are absolute.
    pub fn relative_to(&mut self, folder: &Path) {
        for path in &mut self.roots {
            *path = folder.join(&*path);
        }
    }

    /// Reads the files, and returns the rules.
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

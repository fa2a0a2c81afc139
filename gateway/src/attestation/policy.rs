//! What a registry asks of attestations.

use serde::Deserialize;

use asymmetric_token::PublicKey;
use jiff::Timestamp;

use super::{AttestationError, Firmware, PinPolicy, Statement, TouchPolicy, Trust, read, verify};
use crate::keys::Role;

/// Whether attestations are looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Attestations are neither wanted nor kept.
    #[default]
    Off,
    /// An attestation of the key is kept. The person is told whether it verifies, but the key is enrolled either way.
    Record,
    /// A key is enrolled only with an attestation that verifies and meets the rules.
    Require,
}

impl Mode {
    /// The word for it on the command line and in the protocol.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Record => "record",
            Self::Require => "require",
        }
    }
}

impl std::str::FromStr for Mode {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        [Self::Off, Self::Record, Self::Require]
            .into_iter()
            .find(|mode| mode.as_str() == word)
            .ok_or("the attestation policy is `off`, `record` or `require`")
    }
}

/// The least that a key has to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Requirement {
    /// How often it asks for the PIN, at least.
    pub pin: PinPolicy,
    /// How often it asks for a touch, at least.
    pub touch: TouchPolicy,
}

/// What has to hold where [`Mode::Require`] is set.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Whether these rules apply.
    pub mode: Mode,
    /// The trusted certificates.
    pub trust: Trust,
    /// The oldest firmware that is accepted. Keys of firmware before 5.7.0 can be extracted in a laboratory
    /// (YSA-2024-03).
    pub minimum_firmware: Option<Firmware>,
    /// For read keys. By default nothing is required.
    pub read: Requirement,
    /// For keys that may publish. By default they ask for the PIN once a session, and for a touch unless there was one
    /// within 15 seconds.
    pub publish: Requirement,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            mode: Mode::Off,
            trust: Trust::yubico(),
            minimum_firmware: None,
            read: Requirement { pin: PinPolicy::Never, touch: TouchPolicy::Never },
            publish: Requirement { pin: PinPolicy::Once, touch: TouchPolicy::Cached },
        }
    }
}

/// What is kept of an attestation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing: there is no attestation, or none is wanted.
    Nothing,
    /// It verifies and meets the rules.
    Attested(Statement),
    /// It is about this key, but it does not verify or does not meet the rules.
    Doubtful(AttestationError),
}

impl Rules {
    /// Judges the chain that came with a key, if one came.
    ///
    /// # Errors
    /// With [`Mode::Require`], whatever is missing or wrong. With [`Mode::Record`], a chain that is about another key
    /// or cannot be read.
    pub fn judge(
        &self,
        chain: Option<&[Vec<u8>]>,
        key: &PublicKey,
        role: Role,
        now: Timestamp,
    ) -> Result<Outcome, AttestationError> {
        match (self.mode, chain) {
            (Mode::Off, _) | (Mode::Record, None) => Ok(Outcome::Nothing),
            (Mode::Require, None) => Err(AttestationError::Missing { role }),
            (Mode::Record, Some(chain)) => {
                read(chain, key)?;
                Ok(self.hold(chain, key, role, now).map_or_else(Outcome::Doubtful, Outcome::Attested))
            }
            (Mode::Require, Some(chain)) => self.hold(chain, key, role, now).map(Outcome::Attested),
        }
    }

    fn hold(
        &self,
        chain: &[Vec<u8>],
        key: &PublicKey,
        role: Role,
        now: Timestamp,
    ) -> Result<Statement, AttestationError> {
        let statement = verify(chain, key, &self.trust, now)?;
        if let Some(minimum) = self.minimum_firmware.filter(|minimum| statement.firmware < *minimum) {
            return Err(AttestationError::Firmware { found: statement.firmware, minimum });
        }
        let wanted = if role.may_mutate() { self.publish } else { self.read };
        if statement.pin < wanted.pin {
            return Err(AttestationError::Pin { role, found: statement.pin, wanted: wanted.pin });
        }
        if statement.touch < wanted.touch {
            return Err(AttestationError::Touch { role, found: statement.touch, wanted: wanted.touch });
        }
        Ok(statement)
    }
}

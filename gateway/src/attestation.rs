//! PIV attestation: a YubiKey's own statement that it made a key, and how that key may be used.
//!
//! A card signs the statement with the key of its slot F9, whose certificate it carries. From there a chain leads to a
//! root of Yubico's. Up to firmware 5.7.3 the root issued F9 itself; from 5.7.4 on there are two levels between them,
//! which the card does not carry.
//!
//! ```text
//! statement <- F9 <- Yubico PIV Root CA
//! statement <- F9 <- Yubico PIV Attestation B 1 <- Yubico Attestation Intermediate B 1 <- Yubico Attestation Root 1
//! ```
//!
//! A true statement says where a key is, not whose it is. Apart from [`Settings`], nothing here reads or writes files,
//! and the time is an argument.
//!
//! Source: Yubico, "PIV attestation"; RFC 5280, section 6, as far as it applies.

use std::fmt;

use asymmetric_token::PublicKey;
use jiff::Timestamp;
use serde::Deserialize;

mod certificate;
mod error;
mod key_policies;
mod policy;
mod settings;
mod statement;
mod trust;

pub use certificate::Certificate;
pub use error::AttestationError;
pub use key_policies::{PinPolicy, TouchPolicy};
pub use policy::{Mode, Outcome, Requirement, Rules};
pub use settings::{Settings, SettingsError};
pub use statement::Statement;
pub use trust::{Trust, TrustError};

/// The most certificates in a chain. Yubico's longest chain has five, of which a card sends two.
pub const MAX_CHAIN: usize = 6;

/// Firmware, such as 5.7.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Firmware(pub [u8; 3]);

impl fmt::Display for Firmware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.0;
        write!(f, "{major}.{minor}.{patch}")
    }
}

impl std::str::FromStr for Firmware {
    type Err = BadFirmware;

    fn from_str(text: &str) -> Result<Self, BadFirmware> {
        let mut parts = text.split('.').map(|part| part.parse().map_err(|_| BadFirmware));
        let mut next = || parts.next().unwrap_or(Err(BadFirmware));
        let firmware = Self([next()?, next()?, next()?]);
        if parts.next().is_some() { Err(BadFirmware) } else { Ok(firmware) }
    }
}

impl TryFrom<String> for Firmware {
    type Error = BadFirmware;

    fn try_from(text: String) -> Result<Self, BadFirmware> {
        text.parse()
    }
}

/// The text is not a firmware version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a firmware version has three numbers, such as 5.7.0")]
pub struct BadFirmware;

/// Reads a chain (the statement, the F9 certificate, and perhaps the certificates above it, each in DER) and returns
/// what it states about `key`. Nothing is verified.
///
/// # Errors
/// [`AttestationError::Length`], [`AttestationError::Certificate`], [`AttestationError::Statement`],
/// [`AttestationError::OtherKey`].
pub fn read(chain: &[Vec<u8>], key: &PublicKey) -> Result<(Statement, Vec<Certificate>), AttestationError> {
    if !(2..=MAX_CHAIN).contains(&chain.len()) {
        return Err(AttestationError::Length(chain.len()));
    }
    let certificates = chain
        .iter()
        .enumerate()
        .map(|(position, der)| {
            Certificate::parse(der).ok_or(AttestationError::Certificate { position: position + 1 })
        })
        .collect::<Result<Vec<_>, _>>()?;
    let statement = Statement::read(&certificates[0])?;
    if statement.key != *key {
        return Err(AttestationError::OtherKey);
    }
    Ok((statement, certificates))
}

/// Verifies a chain up to a trusted root, and returns what it states about `key`.
///
/// # Errors
/// Those of [`read`], and the first rule of the chain that does not hold.
pub fn verify(
    chain: &[Vec<u8>],
    key: &PublicKey,
    trust: &Trust,
    now: Timestamp,
) -> Result<Statement, AttestationError> {
    let (statement, certificates) = read(chain, key)?;
    trust.accepts(&certificates, now)?;
    Ok(statement)
}

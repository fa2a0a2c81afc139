//! Cargo's request: one line of JSON. What it names comes from whoever wrote the manifest, so it is checked here.
//!
//! The messages are those of `cargo-credential`, which borrow their strings: from a `Value` they can, whatever escapes
//! the line holds.

use std::str::FromStr;

use asymmetric_token::Mutation;
use cargo_credential::{CredentialRequest, Operation, PROTOCOL_VERSION_1};
use serde::Deserialize as _;
use serde::de::Error as _;
use serde_json::Value;

/// Reads a line.
pub(super) fn json(line: &[u8]) -> Result<Value, Error> {
    serde_json::from_slice(line).map_err(Error::NotJson)
}

/// What cargo asks for, in the one version of the protocol that there is.
pub(super) fn read(value: &Value) -> Result<CredentialRequest<'_>, Error> {
    // Serde would take a number for the name that has this place in the list.
    for tag in ["kind", "operation"] {
        if value.get(tag).is_some_and(|name| !name.is_string()) {
            return Err(Error::NotUnderstood(serde_json::Error::custom(format!("`{tag}` is not text"))));
        }
    }
    let request = CredentialRequest::deserialize(value).map_err(Error::NotUnderstood)?;
    if request.v == PROTOCOL_VERSION_1 { Ok(request) } else { Err(Error::Version(request.v)) }
}

/// What cargo wants to change; `None` for a read.
pub(super) fn mutation(operation: &Operation<'_>) -> Result<Option<Mutation>, Error> {
    Ok(Some(match operation {
        Operation::Read => return Ok(None),
        Operation::Publish { name, vers, cksum } => {
            Mutation::Publish { name: valid(name)?, version: version(vers)?, checksum: valid(cksum)? }
        }
        Operation::Yank { name, vers } => Mutation::Yank { name: valid(name)?, version: version(vers)? },
        Operation::Unyank { name, vers } => Mutation::Unyank { name: valid(name)?, version: version(vers)? },
        Operation::Owners { name } => Mutation::Owners { name: valid(name)? },
        _ => return Err(Error::UnknownOperation),
    }))
}

fn valid<T: FromStr<Err = asymmetric_token::Error>>(text: &str) -> Result<T, Error> {
    text.parse().map_err(Error::NoCrate)
}

fn version(text: &str) -> Result<semver::Version, Error> {
    text.parse().map_err(|_| Error::NoCrate(asymmetric_token::Error::Version))
}

/// Why a request is not answered.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("cargo's request is not JSON: {0}")]
    NotJson(serde_json::Error),
    #[error("cannot understand cargo's request: {0}")]
    NotUnderstood(serde_json::Error),
    #[error("cargo uses version {0} of the protocol, but yk-cargo supports version 1")]
    Version(u32),
    /// A name, a version or a checksum that is none.
    #[error(transparent)]
    NoCrate(asymmetric_token::Error),
    /// One that a later cargo has.
    #[error("cargo asks for an operation that yk-cargo does not know")]
    UnknownOperation,
}

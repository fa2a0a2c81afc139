//! How the names and versions of crates are compared.

use semver::Version;

use super::{StoreError, parsed};

/// A name as it is compared. Names that a person could confuse become equal.
pub(super) fn fold(name: &str) -> String {
    name.to_lowercase().replace('-', "_")
}

/// Build metadata plays no part in SemVer's precedence, so versions that differ only in it count as one.
pub(super) fn without_build(version: &str) -> Result<String, StoreError> {
    let mut version: Version = parsed(version)?;
    version.build = semver::BuildMetadata::EMPTY;
    Ok(version.to_string())
}

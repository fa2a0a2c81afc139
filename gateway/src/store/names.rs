//! How the names and versions of crates are compared.

use semver::Version;

use super::{StoreError, parsed};
pub(super) use crate::crate_names::fold;

/// Build metadata plays no part in SemVer's precedence, so versions that differ only in it count as one.
pub(super) fn without_build(version: &str) -> Result<String, StoreError> {
    let mut version: Version = parsed(version)?;
    version.build = semver::BuildMetadata::EMPTY;
    Ok(version.to_string())
}

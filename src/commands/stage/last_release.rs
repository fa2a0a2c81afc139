//! The release that a staged version is compared with, from the registry's index and its downloads.

use asymmetric_token::{Checksum, CrateName};
use semver::{Version, VersionReq};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::candidate::Contents;
use super::session::Session;
use crate::commands::verify::fetch::Remote;
use crate::error::Error;
use crate::text::sentence;

/// A release, and what is in it.
pub(super) struct Release {
    pub(super) version: Version,
    pub(super) file: Vec<u8>,
    pub(super) contents: Contents,
}

/// What a staged version is compared with.
pub(super) enum Last {
    /// This one.
    Release(Box<Release>),
    /// There is none.
    None,
    /// There is one that cannot be compared with. Why is safe to show.
    Unknown(String),
}

impl Last {
    /// Finds the release before a version.
    pub(super) fn before(
        session: &mut Session<'_>,
        name: &CrateName,
        version: &Version,
    ) -> Result<Self, Error> {
        let remote = session.published()?;
        let index_file = match remote.index_file(name) {
            Ok(index_file) => index_file,
            Err(error) => return Ok(Self::Unknown(sentence(&error))),
        };
        let Some(line) = before(releases(&index_file), version) else { return Ok(Self::None) };
        let file = match remote.crate_file(name, &line.version, line.checksum) {
            Ok(file) => file,
            Err(error) => return Ok(Self::Unknown(sentence(&error))),
        };
        if Checksum(Sha256::digest(&file).into()) != line.checksum {
            return Ok(Self::Unknown(format!(
                "the registry's file of {name} {} does not match its index",
                line.version
            )));
        }
        Ok(match Contents::read(&file, name.as_str(), &line.version, &session.registry.index) {
            Ok(contents) => Self::Release(Box::new(Release { version: line.version, file, contents })),
            Err(why) => Self::Unknown(format!("{name} {} cannot be read: {why}", line.version)),
        })
    }
}

/// Whether a version is published that a requirement takes.
pub(super) fn is_satisfied(
    remote: &Remote<'_>,
    name: &CrateName,
    requirement: &VersionReq,
) -> Result<bool, Error> {
    let releases = releases(&remote.index_file(name)?);
    Ok(releases.iter().any(|release| !release.yanked && requirement.matches(&release.version)))
}

struct Line {
    version: Version,
    checksum: Checksum,
    yanked: bool,
}

#[derive(Deserialize)]
struct Wire {
    vers: Version,
    cksum: String,
    #[serde(default)]
    yanked: bool,
}

/// Lines that are none of an index are passed over, as cargo does.
fn releases(index_file: &[u8]) -> Vec<Line> {
    let lines = index_file.split(|byte| *byte == b'\n');
    let read = |line| {
        let wire: Wire = serde_json::from_slice(line).ok()?;
        Some(Line { version: wire.vers, checksum: wire.cksum.parse().ok()?, yanked: wire.yanked })
    };
    lines.filter_map(read).collect()
}

/// The highest one below a version, one that is not yanked rather than one that is; else the lowest one above it.
fn before(releases: Vec<Line>, version: &Version) -> Option<Line> {
    let (below, above): (Vec<_>, Vec<_>) = releases
        .into_iter()
        .filter(|release| release.version != *version)
        .partition(|release| release.version < *version);
    let below = below.into_iter().max_by_key(|release| (!release.yanked, release.version.clone()));
    below.or_else(|| above.into_iter().min_by_key(|release| release.version.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_before_is_compared_with() {
        let line = |vers, yanked| {
            format!("{{\"vers\":\"{vers}\",\"cksum\":\"{}\",\"yanked\":{yanked}}}\n", "ab".repeat(32))
        };
        let file = [
            line("0.9.0", false),
            line("1.0.0", false),
            "nonsense\n".into(),
            line("1.1.0", true),
            line("2.0.0", false),
        ]
        .concat();
        let before = |version: &str| {
            before(releases(file.as_bytes()), &version.parse().unwrap()).map(|line| line.version.to_string())
        };
        assert_eq!(before("1.2.0").unwrap(), "1.0.0");
        assert_eq!(before("0.1.0").unwrap(), "0.9.0");
        assert_eq!(before("3.0.0").unwrap(), "2.0.0");
        assert!(super::before(Vec::new(), &Version::new(1, 0, 0)).is_none());
    }
}

//! Reading index files of other registries.

use std::borrow::Cow;

use asymmetric_token::Checksum;
use semver::Version;
use serde::Deserialize;

use super::{IndexUrls, Malformed};

/// A version in an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct VersionState {
    /// The crate file's SHA-256.
    pub(crate) checksum: Checksum,
    /// Whether it is out of resolution.
    pub(crate) yanked: bool,
}

/// What a line says of a version's state. The rest of it is read and not kept: as values in memory a line would be many times
/// as long.
#[derive(Deserialize)]
struct StateLine<'a> {
    #[serde(borrow)]
    vers: Option<Cow<'a, str>>,
    #[serde(borrow)]
    cksum: Option<Cow<'a, str>>,
    yanked: Option<bool>,
}

/// What a line says of the registries that a version's dependencies come from.
#[derive(Deserialize)]
struct DependingLine<'a> {
    #[serde(borrow)]
    vers: Option<Cow<'a, str>>,
    #[serde(borrow)]
    deps: Vec<Dependency<'a>>,
}

/// What a line says of the time of publishing.
#[derive(Deserialize)]
struct DatedLine<'a> {
    #[serde(borrow)]
    vers: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pubtime: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Dependency<'a> {
    #[serde(borrow)]
    registry: Option<Cow<'a, str>>,
}

/// What an index file says of a version. Versions with different build metadata are different here. Lines that cannot be
/// read do not matter to versions that are in others, as with cargo; they may be of one that is not.
pub(crate) fn version_state(file: &[u8], version: &Version) -> Result<Option<VersionState>, Malformed> {
    let malformed = || Malformed("a line of its index cannot be read".to_owned());
    let (wanted, mut is_whole) = (version.to_string(), true);
    for line in lines(file) {
        let Ok(StateLine { vers, cksum, yanked }) = serde_json::from_slice(line) else {
            is_whole = false;
            continue;
        };
        if vers.as_deref() != Some(&wanted) {
            continue;
        }
        let checksum = cksum.and_then(|text| text.parse().ok()).ok_or_else(malformed)?;
        return Ok(Some(VersionState { checksum, yanked: yanked.unwrap_or(false) }));
    }
    if is_whole { Ok(None) } else { Err(malformed()) }
}

/// The versions in an index file with a dependency on this registry.
pub(crate) fn depending_on(file: &[u8], registry: &IndexUrls) -> impl Iterator<Item = String> {
    lines(file).filter_map(|line| {
        let DependingLine { vers, deps } = serde_json::from_slice(line).ok()?;
        let mut urls = deps.iter().filter_map(|dependency| dependency.registry.as_deref());
        urls.any(|url| registry.have(url)).then(|| vers.as_deref().unwrap_or("?").to_owned())
    })
}

/// The versions in an index file of which it does not say when they were published.
pub(crate) fn without_pubtime(file: &[u8]) -> impl Iterator<Item = String> {
    lines(file).filter_map(|line| {
        let DatedLine { vers, pubtime } = serde_json::from_slice(line).ok()?;
        pubtime.is_none().then(|| vers.as_deref().unwrap_or("?").to_owned())
    })
}

fn lines(file: &[u8]) -> impl Iterator<Item = &[u8]> {
    file.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty())
}

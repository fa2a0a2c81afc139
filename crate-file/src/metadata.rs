//! The metadata of a version: read from the Cargo.toml in the crate file, and compared with what cargo sent.
//!
//! A publish token signs the checksum of the crate file, and nothing of the JSON beside it. Dependencies are resolved
//! by the JSON, though: whoever can add one to it can run code on the computers of all who use the crate. So the JSON
//! is only compared, and everything that is kept comes from the signed bytes.
//!
//! Source: the Cargo book, "Registry Web API", publish; the manifest as `cargo package` normalises it.

mod compare;
mod manifest;
mod older_cargo;
mod publish_json;
mod rebuilt_json;

use std::collections::BTreeMap;
use std::fmt;
use std::io::{Read, Seek};

use cargo_platform::Platform;

use crate::{CrateFile, CrateFileError, is_reserved_name, nesting};

pub use compare::Difference;
pub(crate) use compare::{described, shown, shown_json};
use manifest::Manifest;
pub use manifest::ManifestError;
pub use publish_json::{MAX_BYTES as MAX_JSON_BYTES, PublishJsonError, Sent};

/// How cargo names crates.io in a publish request and in an index.
pub const CRATES_IO: &str = "https://github.com/rust-lang/crates.io-index";

/// And the URL of its sparse index.
pub(crate) const CRATES_IO_SPARSE: &str = "sparse+https://index.crates.io/";

/// Everything a registry is told about a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// `package.name`.
    pub name: String,
    /// `package.version`, as written.
    pub version: String,
    /// All dependencies. They are sorted, so that two lists of the same dependencies are equal.
    pub dependencies: Vec<Dependency>,
    /// `[features]`, with the values as written.
    pub features: BTreeMap<String, Vec<String>>,
    /// `package.links`.
    pub links: Option<String>,
    /// `package.rust-version`, as written.
    pub rust_version: Option<String>,
    /// What is only for people.
    pub description: Description,
}

/// The part of the metadata that is only for people, and not for resolution.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// `package.authors`.
    pub authors: Vec<String>,
    /// `package.description`.
    pub description: Option<String>,
    /// `package.documentation`.
    pub documentation: Option<String>,
    /// `package.homepage`.
    pub homepage: Option<String>,
    /// The text of the readme.
    pub readme: Option<String>,
    /// `package.readme`.
    pub readme_file: Option<String>,
    /// `package.keywords`.
    pub keywords: Vec<String>,
    /// `package.categories`.
    pub categories: Vec<String>,
    /// `package.license`.
    pub license: Option<String>,
    /// `package.license-file`.
    pub license_file: Option<String>,
    /// `package.repository`.
    pub repository: Option<String>,
    /// `[badges]`.
    pub badges: BTreeMap<String, BTreeMap<String, String>>,
}

impl Description {
    /// As much of the description as a list of crates shows: its first 1,000 characters. A whole one has up to a megabyte.
    #[must_use]
    pub fn in_lists(&self) -> Option<&str> {
        self.description.as_deref().map(in_lists)
    }
}

/// The first 1,000 characters of a description.
#[must_use]
pub fn in_lists(description: &str) -> &str {
    let end = description.char_indices().nth(1000).map_or(description.len(), |(end, _)| end);
    &description[..end]
}

/// One dependency. The same crate may be there more than once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dependency {
    /// The crate's own name.
    pub name: String,
    /// Its name in the manifest, if `package` names the crate there.
    pub rename: Option<String>,
    /// The version requirement in semver's spelling.
    pub requirement: String,
    /// Its features as written, in order.
    pub features: Vec<String>,
    /// Whether a feature turns it on.
    pub optional: bool,
    /// Whether its default features are wanted.
    pub default_features: bool,
    /// The platforms it is for, in cargo's spelling.
    pub target: Option<String>,
    /// What it is for.
    pub kind: Kind,
    /// Where it comes from.
    pub registry: Registry,
}

/// What a dependency is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The crate itself.
    Normal,
    /// Tests and examples.
    Dev,
    /// The build script.
    Build,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Normal => "normal",
            Self::Dev => "dev",
            Self::Build => "build",
        })
    }
}

/// Where a dependency comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Registry {
    /// This registry.
    Same,
    /// crates.io.
    CratesIo,
    /// Another registry, by its index URL.
    Other(String),
}

/// Why an upload's metadata is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    /// The crate file is not accepted.
    #[error(transparent)]
    CrateFile(#[from] CrateFileError),
    /// Its Cargo.toml is not accepted.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Windows takes the crate's name for a device.
    #[error("`{0}` cannot be a crate's name: Windows reserves it")]
    ReservedName(String),
    /// Its description has a character that no text of PostgreSQL can have.
    #[error("the description has the character U+0000, which not every database can keep: take it out")]
    NulInDescription,
    /// A dependency would lead cargo past the gateway.
    #[error(
        "`{0}` depends on the registry behind this gateway by that one's own address, {1}; use this registry's"
    )]
    PastTheGateway(String, String),
    /// Cargo.toml speaks of something else than what was signed.
    #[error("the Cargo.toml in the crate file is that of {name} {version}")]
    Another {
        /// Its name, as it may be shown.
        name: String,
        /// Its version, likewise.
        version: String,
    },
    /// What cargo sent differs from the crate file.
    #[error("{0}: the metadata cargo sent does not match the Cargo.toml you signed")]
    Difference(#[from] Difference),
}

/// Reads the metadata of an upload from its crate file, which has this length in bytes, and compares it with what was
/// sent.
///
/// # Errors
/// [`MetadataError`].
pub fn of_upload<R: Read + Seek>(
    file: R,
    length: u64,
    sent: &Sent,
    index_url: &str,
) -> Result<Metadata, MetadataError> {
    if is_reserved_name(sent.name()) {
        return Err(MetadataError::ReservedName(sent.name().to_owned()));
    }
    let mut file = CrateFile::open(file, length, sent.name(), sent.version())?;
    let metadata = rebuild(&mut file, sent, index_url)?;
    match &metadata.description.description {
        Some(description) if description.contains('\0') => Err(MetadataError::NulInDescription),
        _ => Ok(metadata),
    }
}

/// The metadata of a signed crate file without the readme's text, where nothing was sent to compare it with. `name` and
/// `version` are the signed ones, `index_url` is that of the registry it was signed for.
///
/// # Errors
/// [`MetadataError`]; [`MetadataError::Another`] if the Cargo.toml is that of another crate or version.
pub fn of_signed<R: Read + Seek>(
    file: R,
    length: u64,
    name: &str,
    version: &str,
    index_url: &str,
) -> Result<Metadata, MetadataError> {
    let file = CrateFile::open(file, length, name, version)?;
    let metadata = manifest::read(file.manifest(), index_url)?.metadata;
    if (metadata.name.as_str(), metadata.version.as_str()) != (name, version) {
        return Err(MetadataError::Another {
            name: shown(&metadata.name),
            version: shown(&metadata.version),
        });
    }
    Ok(metadata)
}

/// Reads the metadata of a crate file, and compares it with what was sent. `index_url` is the registry's own.
///
/// # Errors
/// [`MetadataError`].
pub fn rebuild<R: Read + Seek>(
    file: &mut CrateFile<R>,
    sent: &Sent,
    index_url: &str,
) -> Result<Metadata, MetadataError> {
    let mut rebuilt = read(file, index_url)?;
    let described = &mut rebuilt.metadata.description;
    if described.readme_file.is_none()
        && let Some(path) = older_cargo::found_readme(&sent.metadata.description, rebuilt.has_readme_key)
        && let Some(text) = file.text(path)?
    {
        described.readme_file = Some(path.to_owned());
        described.readme = Some(text);
    }
    let signed = rebuilt.metadata;
    if sent.metadata != signed {
        compare::compare(&older_cargo::as_newer(sent.metadata.clone(), &signed), &signed)?;
    }
    Ok(signed)
}

/// Reads the metadata of a crate file. `index_url` is the registry's own.
///
/// # Errors
/// [`MetadataError`].
pub fn of_file<R: Read + Seek>(file: &mut CrateFile<R>, index_url: &str) -> Result<Metadata, MetadataError> {
    Ok(read(file, index_url)?.metadata)
}

/// Reads the Cargo.toml, and the readme that it names.
fn read<R: Read + Seek>(file: &mut CrateFile<R>, index_url: &str) -> Result<Manifest, MetadataError> {
    let mut manifest = manifest::read(file.manifest(), index_url)?;
    if let Some(path) = manifest.metadata.description.readme_file.clone() {
        let text = file.text(&without_dots(&path))?.ok_or(ManifestError::NoReadme(path))?;
        manifest.metadata.description.readme = Some(text);
    }
    Ok(manifest)
}

impl Metadata {
    /// Refuses dependencies on the registry behind the gateway by one of its own index URLs, which `is_behind` knows.
    ///
    /// # Errors
    /// [`MetadataError::PastTheGateway`].
    pub fn must_not_depend_on(&self, is_behind: impl Fn(&str) -> bool) -> Result<(), MetadataError> {
        for dependency in &self.dependencies {
            if let Registry::Other(url) = &dependency.registry
                && is_behind(url)
            {
                return Err(MetadataError::PastTheGateway(dependency.name.clone(), url.clone()));
            }
        }
        Ok(())
    }
}

/// A manifest may have `./README.md`, where the archive has `README.md`.
fn without_dots(path: &str) -> String {
    path.split('/').filter(|part| *part != ".").collect::<Vec<_>>().join("/")
}

/// A version requirement in semver's spelling, in which `1` and `^1` are the same.
pub(crate) fn requirement(text: &str) -> Option<String> {
    semver::VersionReq::parse(text).ok().map(|requirement| requirement.to_string())
}

/// A platform in cargo's spelling. If this program cannot parse it, its blanks outside quotes are removed, unless they
/// matter.
pub(crate) fn target(text: &str) -> Result<String, nesting::TooDeep> {
    nesting::of_platform(text)?;
    if let Ok(platform) = text.parse::<Platform>() {
        return Ok(platform.to_string());
    }
    let mut quoted = false;
    let is_kept = |c: &char| {
        quoted ^= *c == '"';
        quoted || !c.is_whitespace()
    };
    let without: String = text.chars().filter(is_kept).collect();
    // If it can be parsed without its blanks, they mattered.
    Ok(if without.parse::<Platform>().is_ok() { text.to_owned() } else { without })
}

/// crates.io, seen from a registry, which may be crates.io itself.
pub(crate) fn crates_io(index_url: &str) -> Registry {
    if matches!(index_url, CRATES_IO | CRATES_IO_SPARSE) { Registry::Same } else { Registry::CratesIo }
}

fn registry(url: Option<&str>, absent: Registry, index_url: &str) -> Registry {
    match url {
        None => absent,
        Some(url) if url == index_url => Registry::Same,
        Some(CRATES_IO) => crates_io(index_url),
        Some(url) => Registry::Other(url.to_owned()),
    }
}

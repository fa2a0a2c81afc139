//! The Cargo.toml of a crate file, as `cargo package` writes it.
//!
//! Every dependency in it is on a registry, because paths, git and workspace inheritance were resolved when the crate
//! was packaged. What cannot be in such a manifest is refused and not ignored.

use std::collections::BTreeMap;

use asymmetric_token::CrateName;
use toml::{Table, Value};

use super::publish_json::MAX_BYTES;
use super::{Dependency, Description, Kind, Metadata};
use crate::nesting::{self, NotRead};

/// Why a Cargo.toml is not one that cargo packaged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// It is not TOML.
    #[error("the Cargo.toml in the crate file is not TOML: {0}")]
    Syntax(String),
    /// It is nested too deep.
    #[error(
        "the Cargo.toml in the crate file, or a platform in it, is nested deeper than {} levels",
        nesting::MOST
    )]
    TooDeep,
    /// It has more than is worth keeping.
    #[error("the Cargo.toml in the crate file has {0}")]
    TooMuch(&'static str),
    /// A field is missing.
    #[error("the Cargo.toml in the crate file has no `{0}`")]
    Missing(&'static str),
    /// A field has another type than it must have.
    #[error("`{0}` in the crate file's Cargo.toml has the wrong type")]
    WrongType(String),
    /// It has a key that `cargo package` removes or spells otherwise.
    #[error("`{0}` in the crate file's Cargo.toml: a manifest that cargo packaged has no such key")]
    NotPackaged(String),
    /// It has artifact dependencies, which only nightly cargo knows.
    #[error("`{0}` in the crate file's Cargo.toml: artifact dependencies are not supported")]
    Artifact(String),
    /// A dependency has both `default-features` and `default_features`.
    #[error("`{0}` in the crate file's Cargo.toml has both `default-features` and `default_features`")]
    DefaultFeaturesTwice(String),
    /// A dependency has a name that no crate can have.
    #[error("`{0}` in the crate file's Cargo.toml cannot be a dependency's name")]
    DependencyName(String),
    /// A version requirement cannot be read.
    #[error("`{0}` in the crate file's Cargo.toml has no valid version requirement")]
    Requirement(String),
    /// The readme that it names is not in the crate file.
    #[error("the crate file has no `{0}`, which its Cargo.toml names as the readme")]
    NoReadme(String),
}

/// The tables of dependencies.
const KINDS: [(&str, Kind); 3] =
    [("dependencies", Kind::Normal), ("dev-dependencies", Kind::Dev), ("build-dependencies", Kind::Build)];

/// A manifest that was read.
pub(super) struct Manifest {
    /// All of the metadata, except for the readme's text.
    pub(super) metadata: Metadata,
    /// Whether it has a `readme`, which may also be `false`.
    pub(super) has_readme_key: bool,
}

/// Reads the text of a Cargo.toml.
pub(super) fn read(text: &str, index_url: &str) -> Result<Manifest, ManifestError> {
    nesting::of_toml(text).map_err(|error| match error {
        NotRead::TooDeep(_) => ManifestError::TooDeep,
        NotRead::TooMany => ManifestError::TooMuch("more than 65,536 names and values"),
        NotRead::Syntax(reason) => ManifestError::Syntax(reason),
    })?;
    let manifest: Table =
        text.parse().map_err(|error: toml::de::Error| ManifestError::Syntax(error.message().to_owned()))?;
    refuse(&manifest, "", &["project", "workspace", "patch", "replace", "cargo-features"])?;
    let package = table(&manifest, "package")?.ok_or(ManifestError::Missing("package"))?;
    let package = Fields { table: package, at: "package" };
    let metadata = Metadata {
        name: package.string("name")?.ok_or(ManifestError::Missing("package.name"))?,
        version: package.string("version")?.ok_or(ManifestError::Missing("package.version"))?,
        dependencies: dependencies(&manifest, index_url)?,
        features: features(&manifest)?,
        links: package.string("links")?,
        rust_version: package.string("rust-version")?,
        description: Description {
            authors: package.strings("authors")?,
            description: package.string("description")?,
            documentation: package.string("documentation")?,
            homepage: package.string("homepage")?,
            readme: None,
            readme_file: readme_file(&package)?,
            keywords: package.strings("keywords")?,
            categories: package.strings("categories")?,
            license: package.string("license")?,
            license_file: package.string("license-file")?,
            repository: package.string("repository")?,
            badges: badges(&manifest)?,
        },
    };
    Ok(Manifest { metadata, has_readme_key: package.table.contains_key("readme") })
}

/// Cargo writes `readme = false` where there is no readme.
fn readme_file(package: &Fields<'_>) -> Result<Option<String>, ManifestError> {
    match package.table.get("readme") {
        Some(Value::Boolean(false)) => Ok(None),
        _ => package.string("readme"),
    }
}

fn features(manifest: &Table) -> Result<BTreeMap<String, Vec<String>>, ManifestError> {
    let Some(features) = table(manifest, "features")? else { return Ok(BTreeMap::new()) };
    let fields = Fields { table: features, at: "features" };
    features.keys().map(|name| Ok((name.clone(), fields.strings(name)?))).collect()
}

fn badges(manifest: &Table) -> Result<BTreeMap<String, BTreeMap<String, String>>, ManifestError> {
    let Some(badges) = table(manifest, "badges")? else { return Ok(BTreeMap::new()) };
    let attributes = |(name, badge): (&String, &Value)| {
        let wrong = || ManifestError::WrongType(format!("badges.{name}"));
        let badge = badge.as_table().ok_or_else(wrong)?;
        let attribute =
            |(key, value): (&String, &Value)| Ok((key.clone(), value.as_str().ok_or_else(wrong)?.to_owned()));
        Ok((name.clone(), badge.iter().map(attribute).collect::<Result<_, _>>()?))
    };
    badges.iter().map(attributes).collect()
}

fn dependencies(manifest: &Table, index_url: &str) -> Result<Vec<Dependency>, ManifestError> {
    let mut all = Vec::new();
    dependencies_of(manifest, None, index_url, &mut all)?;
    if let Some(targets) = table(manifest, "target")? {
        // In a manifest a platform stands once for all of its dependencies; in the request, and here, with each of them.
        let mut bytes = 0;
        for (platform, tables) in targets {
            let tables =
                tables.as_table().ok_or_else(|| ManifestError::WrongType(format!("target.{platform}")))?;
            let platform = super::target(platform).map_err(|_| ManifestError::TooDeep)?;
            let number = KINDS.iter().filter_map(|(name, _)| tables.get(*name)?.as_table()).map(Table::len);
            bytes += platform.len() * number.sum::<usize>();
            if bytes > MAX_BYTES {
                return Err(ManifestError::TooMuch("more platforms than a publish request has room for"));
            }
            dependencies_of(tables, Some(&platform), index_url, &mut all)?;
        }
    }
    all.sort();
    Ok(all)
}

/// Reads the three tables of dependencies, at the top level or of one platform, which is in cargo's spelling.
fn dependencies_of(
    tables: &Table,
    platform: Option<&str>,
    index_url: &str,
    all: &mut Vec<Dependency>,
) -> Result<(), ManifestError> {
    refuse(tables, "", &["dev_dependencies", "build_dependencies"])?;
    for (name, kind) in KINDS {
        for (key, value) in table(tables, name)?.into_iter().flatten() {
            all.push(dependency(key, value, kind, platform, index_url)?);
        }
    }
    Ok(())
}

fn dependency(
    key: &str,
    value: &Value,
    kind: Kind,
    platform: Option<&str>,
    index_url: &str,
) -> Result<Dependency, ManifestError> {
    let short;
    let table = match value {
        Value::String(version) => {
            short = Table::from_iter([("version".to_owned(), Value::String(version.clone()))]);
            &short
        }
        Value::Table(table) => table,
        _ => return Err(ManifestError::WrongType(key.to_owned())),
    };
    refuse(table, key, &["path", "git", "branch", "tag", "rev", "registry", "base", "workspace", "public"])?;
    if let Some(field) = ["artifact", "lib", "target"].iter().find(|field| table.contains_key(**field)) {
        return Err(ManifestError::Artifact(format!("{key}.{field}")));
    }
    let fields = Fields { table, at: key };
    let package = fields.string("package")?;
    for name in [Some(key), package.as_deref()].into_iter().flatten() {
        if name.parse::<CrateName>().is_err() {
            return Err(ManifestError::DependencyName(name.to_owned()));
        }
    }
    let written = fields.string("version")?;
    Ok(Dependency {
        requirement: super::requirement(written.as_deref().unwrap_or("*"))
            .ok_or_else(|| ManifestError::Requirement(key.to_owned()))?,
        rename: package.is_some().then(|| key.to_owned()),
        name: package.unwrap_or_else(|| key.to_owned()),
        features: fields.strings("features")?,
        optional: fields.boolean("optional")?.unwrap_or(false),
        default_features: default_features(&fields)?,
        target: platform.map(str::to_owned),
        kind,
        registry: super::registry(
            fields.string("registry-index")?.as_deref(),
            super::crates_io(index_url),
            index_url,
        ),
    })
}

/// Up to edition 2021, cargo leaves the old spelling in the packaged manifest.
fn default_features(fields: &Fields<'_>) -> Result<bool, ManifestError> {
    match (fields.boolean("default-features")?, fields.boolean("default_features")?) {
        (Some(_), Some(_)) => Err(ManifestError::DefaultFeaturesTwice(fields.at.to_owned())),
        (new, old) => Ok(new.or(old).unwrap_or(true)),
    }
}

fn refuse(table: &Table, at: &str, keys: &[&str]) -> Result<(), ManifestError> {
    match keys.iter().find(|key| table.contains_key(**key)) {
        Some(key) if at.is_empty() => Err(ManifestError::NotPackaged((*key).to_owned())),
        Some(key) => Err(ManifestError::NotPackaged(format!("{at}.{key}"))),
        None => Ok(()),
    }
}

fn table<'a>(parent: &'a Table, name: &str) -> Result<Option<&'a Table>, ManifestError> {
    match parent.get(name) {
        None => Ok(None),
        Some(Value::Table(table)) => Ok(Some(table)),
        Some(_) => Err(ManifestError::WrongType(name.to_owned())),
    }
}

/// A table whose fields are read one by one, each with its type.
struct Fields<'a> {
    table: &'a Table,
    at: &'a str,
}

impl Fields<'_> {
    fn string(&self, name: &str) -> Result<Option<String>, ManifestError> {
        match self.table.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(self.wrong(name)),
        }
    }

    fn boolean(&self, name: &str) -> Result<Option<bool>, ManifestError> {
        match self.table.get(name) {
            None => Ok(None),
            Some(Value::Boolean(value)) => Ok(Some(*value)),
            Some(_) => Err(self.wrong(name)),
        }
    }

    fn strings(&self, name: &str) -> Result<Vec<String>, ManifestError> {
        let array = match self.table.get(name) {
            None => return Ok(Vec::new()),
            Some(Value::Array(array)) => array,
            Some(_) => return Err(self.wrong(name)),
        };
        array.iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(|| self.wrong(name))).collect()
    }

    fn wrong(&self, name: &str) -> ManifestError {
        ManifestError::WrongType(format!("{}.{name}", self.at))
    }
}

//! The JSON part of a publish request, read strictly.
//!
//! Other readers of the same bytes may take the last of two equal names, or ignore case, so such names are refused. An
//! unknown name is dropped at the top level, where a newer cargo may have added it, and refused in a dependency, where
//! it could change resolution.

use std::collections::{BTreeMap, HashSet};

use asymmetric_token::strict_json;
use semver::Version;
use serde_json::{Map, Value};

use super::{Dependency, Description, Kind, Metadata, Registry};
use crate::nesting;

/// The longest JSON part, in bytes. It contains the readme.
pub const MAX_BYTES: usize = 2 << 20;
const MAX_DEPTH: usize = 16;

/// What cargo sent. It is only good for comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub(super) metadata: Metadata,
    /// Top-level names that were dropped.
    pub unknown: Vec<String>,
}

/// Why the JSON part is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishJsonError {
    /// It is not UTF-8.
    #[error("the metadata is not UTF-8")]
    NotUtf8,
    /// It is not JSON, something follows it, or a name occurs twice.
    #[error("the metadata: {0}")]
    Json(strict_json::StrictJsonError),
    /// It is not an object.
    #[error("the metadata is not a JSON object")]
    NotAnObject,
    /// It is nested too deep.
    #[error("the metadata is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// It has too many names and values.
    #[error("the metadata has more than {} names and values", nesting::MOST_VALUES)]
    TooMany,
    /// A platform is nested too deep.
    #[error("a `target` in the metadata is nested deeper than {} levels", nesting::MOST)]
    TargetTooDeep,
    /// Two names differ in case only.
    #[error("`{0}` appears twice in one object of the metadata, in different case")]
    CaseTwin(String),
    /// A field is missing.
    #[error("`{0}` is missing in the metadata")]
    Missing(&'static str),
    /// A field has another type than it must have.
    #[error("`{0}` in the metadata has the wrong type")]
    WrongType(String),
    /// A dependency has an unknown name, which could change resolution.
    #[error("a dependency in the metadata has the unknown field `{0}`")]
    UnknownInDependency(String),
    /// There are artifact dependencies, which only nightly cargo knows.
    #[error("a dependency in the metadata has `{0}`: artifact dependencies are not supported")]
    Artifact(&'static str),
    /// A version or a version requirement cannot be read.
    #[error("`{0}` in the metadata is not a SemVer version or requirement")]
    Version(&'static str),
}

impl Sent {
    /// Reads the JSON part of a publish request to the registry with this index URL.
    ///
    /// # Errors
    /// [`PublishJsonError`]; each variant is one rule.
    pub fn parse(json: &[u8], index_url: &str) -> Result<Self, PublishJsonError> {
        let text = std::str::from_utf8(json).map_err(|_| PublishJsonError::NotUtf8)?;
        if !nesting::has_few_values(text) {
            return Err(PublishJsonError::TooMany);
        }
        let value = strict_json::parse(text).map_err(PublishJsonError::Json)?;
        not_deeper(&value, MAX_DEPTH)?;
        let Value::Object(object) = value else { return Err(PublishJsonError::NotAnObject) };
        no_case_twins(&object)?;
        let mut fields = Fields(object);
        let version: String = fields.required("vers")?;
        Version::parse(&version).map_err(|_| PublishJsonError::Version("vers"))?;
        let metadata = Metadata {
            name: fields.required("name")?,
            version,
            dependencies: dependencies(&mut fields, index_url)?,
            features: lists(&mut fields, "features")?,
            links: fields.string("links")?,
            rust_version: fields.string("rust_version")?,
            description: Description {
                authors: fields.strings("authors")?,
                description: fields.string("description")?,
                documentation: fields.string("documentation")?,
                homepage: fields.string("homepage")?,
                readme: fields.string("readme")?,
                readme_file: fields.string("readme_file")?,
                keywords: fields.strings("keywords")?,
                categories: fields.strings("categories")?,
                license: fields.string("license")?,
                license_file: fields.string("license_file")?,
                repository: fields.string("repository")?,
                badges: badges(&mut fields)?,
            },
        };
        Ok(Self { metadata, unknown: fields.0.into_iter().map(|(name, _)| name).collect() })
    }

    /// The crate's name, as sent.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.metadata.name
    }

    /// The version, as sent.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.metadata.version
    }
}

fn dependencies(fields: &mut Fields, index_url: &str) -> Result<Vec<Dependency>, PublishJsonError> {
    let mut all = Vec::new();
    for item in fields.array("deps")? {
        let Value::Object(object) = item else { return Err(PublishJsonError::WrongType("deps".to_owned())) };
        all.push(dependency(object, index_url)?);
    }
    all.sort();
    Ok(all)
}

fn dependency(object: Map<String, Value>, index_url: &str) -> Result<Dependency, PublishJsonError> {
    no_case_twins(&object)?;
    let mut fields = Fields(object);
    for artifact in ["artifact", "bindep_target", "lib"] {
        match fields.0.remove(artifact) {
            None | Some(Value::Null | Value::Bool(false)) => {}
            Some(_) => return Err(PublishJsonError::Artifact(artifact)),
        }
    }
    let written: String = fields.required("version_req")?;
    let dependency = Dependency {
        name: fields.required("name")?,
        rename: fields.string("explicit_name_in_toml")?,
        requirement: super::requirement(&written).ok_or(PublishJsonError::Version("version_req"))?,
        features: fields.strings("features")?,
        optional: fields.boolean("optional")?.unwrap_or(false),
        default_features: fields.boolean("default_features")?.unwrap_or(true),
        target: fields
            .string("target")?
            .map(|target| super::target(&target))
            .transpose()
            .map_err(|_| PublishJsonError::TargetTooDeep)?,
        kind: kind(&mut fields)?,
        registry: super::registry(fields.string("registry")?.as_deref(), Registry::Same, index_url),
    };
    match fields.0.into_iter().next() {
        Some((name, _)) => Err(PublishJsonError::UnknownInDependency(name)),
        None => Ok(dependency),
    }
}

fn kind(fields: &mut Fields) -> Result<Kind, PublishJsonError> {
    match fields.string("kind")?.as_deref() {
        None | Some("normal") => Ok(Kind::Normal),
        Some("dev") => Ok(Kind::Dev),
        Some("build") => Ok(Kind::Build),
        Some(_) => Err(PublishJsonError::WrongType("kind".to_owned())),
    }
}

fn lists(fields: &mut Fields, name: &str) -> Result<BTreeMap<String, Vec<String>>, PublishJsonError> {
    let mut lists = Fields(fields.object(name)?);
    let names: Vec<String> = lists.0.keys().cloned().collect();
    names.into_iter().map(|name| Ok((name.clone(), lists.strings(&name)?))).collect()
}

fn badges(fields: &mut Fields) -> Result<BTreeMap<String, BTreeMap<String, String>>, PublishJsonError> {
    let mut badges = Fields(fields.object("badges")?);
    let names: Vec<String> = badges.0.keys().cloned().collect();
    let mut all = BTreeMap::new();
    for name in names {
        let mut attributes = BTreeMap::new();
        for (key, value) in badges.object(&name)? {
            let Value::String(text) = value else {
                return Err(PublishJsonError::WrongType("badges".to_owned()));
            };
            attributes.insert(key, text);
        }
        all.insert(name, attributes);
    }
    Ok(all)
}

fn not_deeper(value: &Value, levels: usize) -> Result<(), PublishJsonError> {
    let levels = levels.checked_sub(1).ok_or(PublishJsonError::TooDeep)?;
    match value {
        Value::Array(items) => items.iter().try_for_each(|item| not_deeper(item, levels)),
        Value::Object(object) => object.values().try_for_each(|item| not_deeper(item, levels)),
        _ => Ok(()),
    }
}

/// Refuses names that differ in case only. It is for objects whose names are fields: those in `features` and `badges`
/// are the author's own.
fn no_case_twins(object: &Map<String, Value>) -> Result<(), PublishJsonError> {
    let mut seen = HashSet::new();
    match object.keys().find(|name| !seen.insert(name.to_lowercase())) {
        Some(twin) => Err(PublishJsonError::CaseTwin(twin.clone())),
        None => Ok(()),
    }
}

/// A JSON object whose fields are taken out one by one. A field that is null is absent.
struct Fields(Map<String, Value>);

impl Fields {
    fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null())
    }

    fn string(&mut self, name: &str) -> Result<Option<String>, PublishJsonError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(PublishJsonError::WrongType(name.to_owned())),
        }
    }

    fn required(&mut self, name: &'static str) -> Result<String, PublishJsonError> {
        self.string(name)?.ok_or(PublishJsonError::Missing(name))
    }

    fn boolean(&mut self, name: &str) -> Result<Option<bool>, PublishJsonError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(value)),
            Some(_) => Err(PublishJsonError::WrongType(name.to_owned())),
        }
    }

    fn array(&mut self, name: &str) -> Result<Vec<Value>, PublishJsonError> {
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => Ok(items),
            Some(_) => Err(PublishJsonError::WrongType(name.to_owned())),
        }
    }

    fn strings(&mut self, name: &str) -> Result<Vec<String>, PublishJsonError> {
        let text = |item| match item {
            Value::String(text) => Ok(text),
            _ => Err(PublishJsonError::WrongType(name.to_owned())),
        };
        self.array(name)?.into_iter().map(text).collect()
    }

    fn object(&mut self, name: &str) -> Result<Map<String, Value>, PublishJsonError> {
        match self.take(name) {
            None => Ok(Map::new()),
            Some(Value::Object(object)) => Ok(object),
            Some(_) => Err(PublishJsonError::WrongType(name.to_owned())),
        }
    }
}

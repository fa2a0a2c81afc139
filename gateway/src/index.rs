//! The sparse index: the path of a crate's file, the lines in it, and `config.json`.
//!
//! Source: the Cargo book, "Registry Index". A line is made from the metadata that was rebuilt from the crate file,
//! never from what the client sent. For a renamed dependency the fields are the other way round than in a publish
//! request: `name` is the new name and `package` the crate.

mod lines;
mod registry_config;

use std::collections::BTreeMap;

use asymmetric_token::Checksum;
use serde::{Deserialize, Serialize};

use crate::metadata::{CRATES_IO, Dependency, Metadata, Registry};
pub(crate) use lines::{VersionState, depending_on, version_state};
pub(crate) use registry_config::{RegistryConfig, folder};

/// What is wrong in another registry's index.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Malformed(pub(crate) String);

/// One version of a crate, as cargo resolves it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The crate.
    pub name: String,
    /// The version, with build metadata.
    pub vers: String,
    deps: Vec<LineDependency>,
    /// SHA-256 of the crate file, in hexadecimal.
    pub cksum: String,
    features: BTreeMap<String, Vec<String>>,
    /// Features with values that cargo before 1.60 cannot read.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    features2: BTreeMap<String, Vec<String>>,
    /// Whether it is out of resolution.
    pub yanked: bool,
    links: Option<String>,
    rust_version: Option<String>,
    /// 2 if there is `features2`, so that an older cargo ignores the line.
    v: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct LineDependency {
    name: String,
    req: String,
    features: Vec<String>,
    optional: bool,
    default_features: bool,
    target: Option<String>,
    kind: String,
    registry: Option<String>,
    package: Option<String>,
}

impl Line {
    /// The line of a version that is being published.
    #[must_use]
    pub fn new(metadata: &Metadata, checksum: Checksum) -> Self {
        let (features2, features): (BTreeMap<_, _>, BTreeMap<_, _>) =
            metadata.features.clone().into_iter().partition(|(_, values)| values.iter().any(|v| is_new(v)));
        Self {
            name: metadata.name.clone(),
            vers: metadata.version.clone(),
            deps: metadata.dependencies.iter().map(LineDependency::from).collect(),
            cksum: checksum.to_string(),
            features,
            v: if features2.is_empty() { 1 } else { 2 },
            features2,
            yanked: false,
            links: metadata.links.clone(),
            rust_version: metadata.rust_version.clone(),
        }
    }

    pub(crate) fn from_json(json: &str) -> serde_json::Result<Self> {
        serde_json::from_str(json)
    }

    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a struct of strings serialises")
    }
}

impl From<&Dependency> for LineDependency {
    fn from(dependency: &Dependency) -> Self {
        let (name, package) = match &dependency.rename {
            Some(rename) => (rename.clone(), Some(dependency.name.clone())),
            None => (dependency.name.clone(), None),
        };
        Self {
            name,
            req: dependency.requirement.clone(),
            features: dependency.features.clone(),
            optional: dependency.optional,
            default_features: dependency.default_features,
            target: dependency.target.clone(),
            kind: dependency.kind.to_string(),
            registry: match &dependency.registry {
                Registry::Same => None,
                Registry::CratesIo => Some(CRATES_IO.to_owned()),
                Registry::Other(url) => Some(url.clone()),
            },
            package,
        }
    }
}

/// The path of a crate's file below the index URL: `1/a`, `2/ab`, `3/a/abc`, `ab/cd/abcdef`, in lower case.
#[must_use]
pub fn path(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    format!("{}/{name}", prefix(&name))
}

/// Whether a crate's file could have this path, which is ASCII.
pub(crate) fn is_path(path: &str) -> bool {
    path.rsplit_once('/').is_some_and(|(folder, name)| {
        folder == prefix(name) && !name.bytes().any(|byte| byte.is_ascii_uppercase())
    })
}

/// The folder of a crate's file in the case of the name: `1`, `2`, `3/a`, `ab/cd`.
pub(crate) fn prefix(name: &str) -> String {
    match name.len() {
        0..=2 => name.len().to_string(),
        3 => format!("3/{}", &name[..1]),
        _ => format!("{}/{}", &name[..2], &name[2..4]),
    }
}

/// Whether cargo before 1.60 cannot read a feature's value: `dep:name` and `name?/feature`.
fn is_new(value: &str) -> bool {
    value.starts_with("dep:") || value.contains("?/")
}

#[cfg(test)]
mod tests {
    use super::{is_path, path};

    #[test]
    fn paths_follow_the_length_of_the_name_in_lower_case() {
        for (name, expected) in [
            ("a", "1/a"),
            ("Ab", "2/ab"),
            ("aBc", "3/a/abc"),
            ("a_bc", "a_/bc/a_bc"),
            ("Hello-x", "he/ll/hello-x"),
        ] {
            assert_eq!(path(name), expected);
            assert!(is_path(expected));
        }
        for other in ["a", "1/ab", "2/Ab", "3/b/abc", "a_/bc/a_bd/a_bc", "he/ll/Hello-x", "he/lo/hello-x", ""]
        {
            assert!(!is_path(other), "{other}");
        }
    }
}

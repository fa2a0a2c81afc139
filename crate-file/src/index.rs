//! The sparse index: where a crate's file is, and what its lines say.
//!
//! Source: the Cargo book, "Registry Index". A line is made from the metadata that was rebuilt from the crate file,
//! never from what the client sent. A renamed dependency is the other way round here than in a publish request:
//! `name` is the new name and `package` the crate.

mod served;

use std::collections::BTreeMap;

use asymmetric_token::{Checksum, strict_json};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::metadata::{CRATES_IO, Dependency, Metadata, Registry, shown_json};
pub use served::{NotServed, Served, checksum, served};

/// The first thing in which a line of an index is not what the signed file says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` is {found} in the index and {signed} by the signed crate file")]
pub struct Mismatch {
    /// The field, by its name in the index.
    pub field: String,
    /// What the index has, as it may be shown.
    pub found: String,
    /// What follows from the file, likewise.
    pub signed: String,
}

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
    /// Features that cargo before 1.60 cannot read.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    features2: BTreeMap<String, Vec<String>>,
    /// Whether it is out of resolution.
    pub yanked: bool,
    links: Option<String>,
    rust_version: Option<String>,
    /// When it was published, as `2026-11-30T22:00:00Z`. It is not in the file: only the registry knows it. Versions that were
    /// published before lines had it have none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pubtime: Option<String>,
    /// 2 if there is `features2`, so that an older cargo passes the line over.
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
            pubtime: None,
        }
    }

    /// Reads a line that [`to_json`](Self::to_json) wrote.
    ///
    /// # Errors
    /// If it is not one.
    pub fn from_json(json: &str) -> serde_json::Result<Self> {
        serde_json::from_str(json)
    }

    /// Compares a line as it is stored with this one, which is made from the signed file, value for value.
    ///
    /// # Errors
    /// [`Mismatch`] with the first field that differs, also if it should not be there.
    pub fn is(&self, stored: &str) -> Result<(), Mismatch> {
        let signed = serde_json::to_value(self).expect("a struct of strings serialises");
        let (Ok(found), Value::Object(signed)) = (strict_json::parse(stored), signed) else {
            let (found, signed) = ("not JSON with each name once".to_owned(), "one line".to_owned());
            return Err(Mismatch { field: "line".to_owned(), found, signed });
        };
        let none = Map::new();
        let found = found.as_object().unwrap_or(&none);
        let differs = |field: &&String| found.get(*field) != signed.get(*field);
        let Some(field) = signed.keys().chain(found.keys()).find(differs) else { return Ok(()) };
        let text = |object: &Map<String, Value>| match object.get(field) {
            Some(value) => shown_json(value),
            None => "absent".to_owned(),
        };
        Err(Mismatch { field: field.clone(), found: text(found), signed: text(&signed) })
    }

    /// The line, without a line break.
    ///
    /// # Panics
    /// Never: a struct of strings serialises.
    #[must_use]
    pub fn to_json(&self) -> String {
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

/// Whether a crate's file could have this path, of ASCII characters.
#[must_use]
pub fn is_path(path: &str) -> bool {
    path.rsplit_once('/').is_some_and(|(folder, name)| {
        folder == prefix(name) && !name.bytes().any(|byte| byte.is_ascii_uppercase())
    })
}

/// The folder of a crate's file: `1`, `2`, `3/a`, `ab/cd`, in the case of the name.
#[must_use]
pub fn prefix(name: &str) -> String {
    match name.len() {
        0..=2 => name.len().to_string(),
        3 => format!("3/{}", &name[..1]),
        _ => format!("{}/{}", &name[..2], &name[2..4]),
    }
}

/// `dep:name` and `name?/feature` came with cargo 1.60.
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

//! Looking for versions of given crates in the log that were not signed by given keys.
//!
//! An entry's own word for who signed counts for nothing: the token in it has to be signed by one of the keys, for this version and
//! checksum.

use std::collections::BTreeMap;
use std::fmt;

use asymmetric_token::{CrateName, Mutation, PublicKey, Untrusted};
use jiff::Timestamp;
use serde_json::Value;

use super::{Entry, Kind};

/// What is looked for.
#[derive(Debug)]
pub struct Watch {
    crates: Vec<String>,
    keys: Vec<PublicKey>,
    /// Publishes of these crates without an outcome so far, by the number of their intent.
    open: BTreeMap<u64, Sighting>,
    found: Vec<Sighting>,
    versions: usize,
}

/// A publish that is not as expected. Displays as one line, in which what strangers wrote is escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The number of its intent.
    pub seq: u64,
    time: Timestamp,
    name: String,
    version: String,
    user: String,
    key: String,
    /// Whether the token is by one of the keys, and for this version.
    is_expected: bool,
    is_done: bool,
}

impl Sighting {
    /// Whether it has no outcome.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.is_done
    }
}

impl fmt::Display for Sighting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seq, time, .. } = self;
        let [name, version, user, key] =
            [&self.name, &self.version, &self.user, &self.key].map(|text| text.escape_debug().to_string());
        let what = match (self.is_expected, self.is_done) {
            (false, true) => "UNEXPECTED KEY",
            (false, false) => "UNEXPECTED KEY, NO OUTCOME",
            (true, _) => "NO OUTCOME",
        };
        write!(f, "{what}  {name} {version} by {user} with {key} at {time:.0}, entry {seq}")
    }
}

/// The name by which a registry tells crates apart: `Foo-bar` and `foo_bar` are one.
fn folded(name: &str) -> String {
    name.to_lowercase().replace('-', "_")
}

impl Watch {
    /// For versions of these crates that are not by these keys.
    #[must_use]
    pub fn new(crates: &[CrateName], keys: &[PublicKey]) -> Self {
        let crates = crates.iter().map(|name| folded(name.as_str())).collect();
        Self { crates, keys: keys.to_vec(), open: BTreeMap::new(), found: Vec::new(), versions: 0 }
    }

    /// Looks at the next entry.
    pub fn look(&mut self, entry: &Entry) {
        match entry.kind {
            Kind::Intent if text(entry, "mutation") == "publish" => {
                if self.crates.contains(&folded(text(entry, "name"))) {
                    self.open.insert(entry.seq, self.sighting(entry));
                }
            }
            Kind::Outcome => {
                let intent = entry.details.get("intent").and_then(Value::as_u64);
                let Some(publish) = intent.and_then(|intent| self.open.remove(&intent)) else { return };
                if text(entry, "outcome") != "done" {
                    return;
                }
                self.versions += 1;
                if !publish.is_expected {
                    self.found.push(Sighting { is_done: true, ..publish });
                }
            }
            Kind::Intent | Kind::Key | Kind::Admin | Kind::Stage => {}
        }
    }

    /// How many versions the crates got, and which publishes are not as expected: in the order of the log.
    #[must_use]
    pub fn end(self) -> (usize, Vec<Sighting>) {
        let mut found: Vec<_> = self.found.into_iter().chain(self.open.into_values()).collect();
        found.sort_by_key(|sighting| sighting.seq);
        (self.versions, found)
    }

    fn sighting(&self, entry: &Entry) -> Sighting {
        let [name, version, user, key] =
            ["name", "vers", "user", "key"].map(|name| text(entry, name).to_owned());
        Sighting {
            seq: entry.seq,
            time: entry.time,
            is_expected: self.keys.iter().any(|key| is_signed_by(entry, key)),
            name,
            version,
            user,
            key,
            is_done: false,
        }
    }
}

/// Whether the token of an intent is by this key, for the version that the entry names.
fn is_signed_by(entry: &Entry, key: &PublicKey) -> bool {
    let Ok(token) = Untrusted::parse(text(entry, "token")) else { return false };
    let Ok(verified) = token.verify(key) else { return false };
    match &verified.claims.mutation {
        Some(Mutation::Publish { name, version, checksum }) => {
            let said = [text(entry, "name"), text(entry, "vers"), text(entry, "cksum")];
            said == [name.as_str(), &version.to_string(), &checksum.to_string()]
        }
        _ => false,
    }
}

/// A field of an entry; empty if it is missing.
fn text<'a>(entry: &'a Entry, name: &str) -> &'a str {
    entry.details.get(name).and_then(Value::as_str).unwrap_or_default()
}

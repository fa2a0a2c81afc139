//! One `signers.toml`, as it is read.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use asymmetric_token::{CrateName, PublicKey};
use crate_file::characters::is_hidden;
use crate_file::nesting;
use semver::Version;
use serde::Deserialize;
use toml_edit::DocumentMut;

use super::entry::{Entry, Scope, canonical};
use super::log::{Log, Logs};
use super::place::{Place, place};
use super::rotation::{Rotation, Stated, Statement};
use crate::enrollment::Problem;
use crate::enrollment::document::document;
use crate::folder;
use crate::text::{escape, escape_path};

/// The only version that is written and read.
pub(super) const VERSION: i64 = 2;

/// The longest list of a project that is read, in bytes.
const LONGEST: u64 = 4 << 20;

/// The most statements of new keys in a list, each of which costs two signatures to verify.
const MOST_ROTATIONS: usize = 256;

/// The most places for proofs in a list, each of which may be asked for each package.
const MOST_PLACES: usize = 16;

/// What a list is called, wherever it is.
const FILE: &str = "signers.toml";

/// A list of keys and of what they may sign.
#[derive(Clone, Debug, Default)]
pub struct List {
    pub(super) keys: Vec<Key>,
    /// By index URL.
    registries: HashMap<String, Entries>,
    pub(super) rotations: Vec<Stated>,
    places: Vec<Place>,
    logs: Box<Logs>,
}

/// `[[key]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// What it is called in this list: 1 to 64 visible characters.
    pub name: String,
    /// The key.
    pub public: PublicKey,
}

/// The entries of one registry.
#[derive(Clone, Debug, Default)]
struct Entries {
    /// By canonical name.
    exact: HashMap<String, Entry>,
    /// The longest beginning first.
    patterns: Vec<(String, Entry)>,
}

/// The person's own list, whether it is there or not.
#[must_use]
pub fn path(cargo_home: &Path) -> PathBuf {
    folder::in_cargo_home(cargo_home).join(FILE)
}

impl List {
    /// Reads the person's own list; a missing one names nobody.
    ///
    /// # Errors
    /// [`Error::Folder`], [`Error::Content`].
    pub fn load(cargo_home: &Path) -> Result<Self, Error> {
        let path = path(cargo_home);
        let Some(text) = folder::read(&path)? else { return Ok(Self::default()) };
        Self::parse(&text).map_err(|problem| Error::Content { path, problem })
    }

    /// Reads the list of the project in a folder, which anybody may have written; a missing one names nobody.
    ///
    /// # Errors
    /// [`Error::Project`], [`Error::ProjectContent`].
    pub fn load_projects(project: &Path) -> Result<Self, Error> {
        let path = project.join(FILE);
        let text = folder::read_foreign_up_to(&path, LONGEST)
            .and_then(|bytes| String::from_utf8(bytes).map_err(io::Error::other));
        match text {
            Ok(text) => Self::parse(&text).map_err(|problem| Error::ProjectContent { path, problem }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(Error::Project { path, source }),
        }
    }

    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        nesting::of_toml(text).map_err(|error| Problem::Toml(error.to_string()))?;
        Self::from_document(document(Some(text), VERSION)?)
    }

    pub(super) fn from_document(document: DocumentMut) -> Result<Self, Problem> {
        let wire: Wire =
            toml_edit::de::from_document(document).map_err(|error| Problem::Toml(escape(error.message())))?;
        let mut list = Self::default();
        for WireKey { name, public } in wire.key {
            let public = public.parse().map_err(wrong("public"))?;
            list.add_key(Key { name, public })?;
        }
        for entry in wire.signer {
            let entry = list.entry_of(entry)?;
            list.add_entry(entry)?;
        }
        if wire.proofs.len() > MOST_PLACES {
            let reason = format!("stands there more than {MOST_PLACES} times");
            return Err(Problem::Value { key: "[[proofs]]", reason });
        }
        for WirePlace { index, url } in wire.proofs {
            list.places.push(place(index, &url)?);
        }
        for WireWitness { name, vkey } in wire.witness {
            fits(&name)?;
            list.logs.add_witness(name, &vkey)?;
        }
        for WireLog { index, vkey, witnesses } in wire.log {
            list.logs.add(index, &vkey, &witnesses)?;
        }
        if wire.rotation.len() > MOST_ROTATIONS {
            let reason = format!("stands there more than {MOST_ROTATIONS} times");
            return Err(Problem::Value { key: "[[rotation]]", reason });
        }
        let stated = |wire| Rotation::try_from(wire).map(Stated::from);
        list.rotations = wire.rotation.into_iter().map(stated).collect::<Result<_, _>>()?;
        Ok(list)
    }

    /// The most specific entry about a crate.
    #[must_use]
    pub fn entry(&self, index: &str, name: &CrateName) -> Option<&Entry> {
        let entries = self.registries.get(index)?;
        let name = canonical(name.as_str());
        let pattern = || entries.patterns.iter().find(|(beginning, _)| name.starts_with(beginning));
        entries.exact.get(&name).or_else(|| pattern().map(|(_, entry)| entry))
    }

    /// Where proofs of a registry lie that gives none, in the order of the list.
    pub fn places<'a>(&'a self, index: &'a str) -> impl Iterator<Item = &'a Place> {
        self.places.iter().filter(move |place| place.index == index)
    }

    /// The newest generation of a registry's log that is listed.
    #[must_use]
    pub fn log(&self, index: &str) -> Option<&Log> {
        self.logs.newest(index)
    }

    /// One generation of a registry's log.
    #[must_use]
    pub fn log_of_generation(&self, index: &str, generation: u64) -> Option<&Log> {
        self.logs.of_generation(index, generation)
    }

    /// What a key is called.
    #[must_use]
    pub fn name_of(&self, key: &PublicKey) -> Option<&str> {
        self.keys.iter().find(|known| known.public == *key).map(|known| known.name.as_str())
    }

    /// The key with this name.
    #[must_use]
    pub fn key(&self, name: &str) -> Option<&PublicKey> {
        self.keys.iter().find(|known| known.name == name).map(|known| &known.public)
    }

    /// The statements about a crate that lead to a key, whoever has signed them.
    pub(super) fn rotations_to<'a>(
        &'a self,
        index: &'a str,
        name: &'a CrateName,
        key: &'a PublicKey,
    ) -> impl Iterator<Item = &'a Stated> {
        let to = self.rotations.iter().filter(move |stated| stated.rotation.to == *key);
        to.filter(move |stated| stated.rotation.is_about(index, name))
    }

    fn add_key(&mut self, key: Key) -> Result<(), Problem> {
        fits(&key.name)?;
        if self.key(&key.name).is_some() {
            return Err(Problem::Duplicate(escape(&key.name)));
        }
        self.keys.push(key);
        Ok(())
    }

    fn entry_of(&self, wire: WireEntry) -> Result<Entry, Problem> {
        let named = |name: &String| {
            let unknown = || Problem::Value {
                key: "signers",
                reason: format!("names `{}`, and there is no [[key]] of that name", escape(name)),
            };
            self.key(name).copied().ok_or_else(unknown)
        };
        let unsigned = wire.unsigned.into_iter().map(|unsigned| {
            let version = unsigned.version.parse::<Version>().map_err(wrong("version"))?;
            Ok((version, unsigned.cksum.parse().map_err(wrong("cksum"))?))
        });
        let entry = Entry {
            scope: scope(&wire.scope)?,
            signers: wire.signers.iter().map(named).collect::<Result<_, _>>()?,
            unsigned: unsigned.collect::<Result<_, Problem>>()?,
            index: wire.index,
            approvals: wire.approvals,
            require: wire.require,
        };
        if entry.approvals != 1 && !(1..=entry.signers.len()).contains(&entry.approvals) {
            let reason = "is from 1 to the number of signers that are named";
            return Err(Problem::Value { key: "approvals", reason: reason.into() });
        }
        if matches!(entry.scope, Scope::One(_)) && !entry.require {
            let reason = "is for patterns: a crate with an entry of its own is signed; list the versions that are not in `unsigned`";
            return Err(Problem::Value { key: "require", reason: reason.into() });
        }
        Ok(entry)
    }

    fn add_entry(&mut self, entry: Entry) -> Result<(), Problem> {
        let entries = self.registries.entry(entry.index.clone()).or_default();
        let name = match &entry.scope {
            Scope::One(name) if !entries.exact.contains_key(name) => name.clone(),
            Scope::Beginning(beginning) if entries.patterns.iter().all(|(other, _)| other != beginning) => {
                let at = entries.patterns.partition_point(|(other, _)| other.len() > beginning.len());
                entries.patterns.insert(at, (beginning.clone(), entry));
                return Ok(());
            }
            Scope::One(name) => return Err(Problem::Duplicate(name.clone())),
            Scope::Beginning(beginning) => return Err(Problem::Duplicate(format!("{beginning}*"))),
        };
        entries.exact.insert(name, entry);
        Ok(())
    }
}

/// Whether something can be called so.
fn fits(name: &str) -> Result<(), Problem> {
    if (1..=64).contains(&name.chars().count()) && !name.chars().any(is_hidden) && name.trim() == name {
        return Ok(());
    }
    let reason = "has 1 to 64 characters, none of which is invisible, and no blank at either end".into();
    Err(Problem::Value { key: "name", reason })
}

fn scope(text: &str) -> Result<Scope, Problem> {
    text.parse().map_err(|reason| Problem::Value { key: "crate", reason })
}

fn wrong<E: std::fmt::Display>(key: &'static str) -> impl Fn(E) -> Problem {
    move |error| Problem::Value { key, reason: format!("is wrong: {}", escape(&error.to_string())) }
}

/// A misspelt demand is none, so nothing that is not known is passed over.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    #[serde(rename = "version")]
    _version: i64,
    #[serde(default)]
    key: Vec<WireKey>,
    #[serde(default)]
    signer: Vec<WireEntry>,
    #[serde(default)]
    rotation: Vec<WireRotation>,
    #[serde(default)]
    log: Vec<WireLog>,
    #[serde(default)]
    witness: Vec<WireWitness>,
    #[serde(default)]
    proofs: Vec<WirePlace>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WirePlace {
    index: String,
    url: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireKey {
    name: String,
    public: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireEntry {
    index: String,
    #[serde(rename = "crate")]
    scope: String,
    #[serde(default)]
    signers: Vec<String>,
    #[serde(default = "one")]
    approvals: usize,
    #[serde(default = "always")]
    require: bool,
    #[serde(default)]
    unsigned: Vec<WireUnsigned>,
}

fn one() -> usize {
    1
}

fn always() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireUnsigned {
    version: String,
    cksum: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireLog {
    index: String,
    vkey: String,
    #[serde(default)]
    witnesses: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireWitness {
    name: String,
    vkey: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireRotation {
    index: String,
    #[serde(rename = "crate")]
    scope: String,
    from: String,
    to: String,
    statement: String,
}

impl TryFrom<WireRotation> for Rotation {
    type Error = Problem;

    fn try_from(wire: WireRotation) -> Result<Self, Problem> {
        let damaged =
            || Problem::Value { key: "statement", reason: "is wrong: it is no pair of signatures".into() };
        Ok(Self {
            scope: scope(&wire.scope)?,
            index: wire.index,
            written: wire.scope,
            from: wire.from.parse().map_err(wrong("from"))?,
            to: wire.to.parse().map_err(wrong("to"))?,
            statement: Statement::parse(&wire.statement).ok_or_else(damaged)?,
        })
    }
}

/// Why a list cannot be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "a field's name says what it is")]
pub enum Error {
    /// The person's own file or its permissions.
    #[error(transparent)]
    Folder(#[from] folder::Error),
    /// The person's own file is read, but cannot be used.
    #[error("{} {problem}", path.display())]
    Content { path: PathBuf, problem: Problem },
    /// A project's file.
    #[error("cannot read {}", escape_path(path))]
    Project { path: PathBuf, source: io::Error },
    /// A project's file is read, but cannot be used.
    #[error("{} {problem}", escape_path(path))]
    ProjectContent { path: PathBuf, problem: Problem },
}

impl Error {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Folder(error) => error.hint(),
            Self::Content { problem: Problem::Newer { .. }, .. }
            | Self::ProjectContent { problem: Problem::Newer { .. }, .. } => {
                "update yk-cargo to the version that wrote it, or a later one".into()
            }
            Self::Content { path, .. } => {
                format!("fix it, or move {} away; then no key is trusted yet", path.display())
            }
            Self::Project { .. } | Self::ProjectContent { .. } => {
                "ask the project's maintainers to fix it; with --key no project's list is read".into()
            }
        }
    }
}

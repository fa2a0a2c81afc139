//! The files of cargo's configuration: which there are from a folder, and what they include.
//!
//! Cargo looks into `.cargo` of the working directory and of every folder above it, then into its home, for `config` or
//! else `config.toml`; for tokens also into `credentials` or else `credentials.toml` in its home (cargo 1.95,
//! `util/context/mod.rs`). A file counts more than what it includes, a later include more than an earlier one.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fmt::Display;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate_file::nesting;
use toml_edit::DocumentMut;
use zeroize::Zeroizing;

use super::Error;
use super::error::IncludeProblem;
use super::origin::{Clash, Origin, Owner};
use super::value::{Kind, Value};
use crate::folder;

/// More files than this are not one configuration: cargo itself would read them for ever.
const MOST_INCLUDED: usize = 256;

/// One file, as it is written, without what it includes.
pub(super) struct Statement {
    pub(super) file: PathBuf,
    pub(super) owner: Owner,
    pub(super) is_credentials: bool,
    pub(super) values: Value,
}

/// A file with what it includes.
pub(super) struct Tree {
    pub(super) merged: Value,
    /// What counts more comes first.
    pub(super) statements: Vec<Statement>,
}

/// The configuration files that cargo reads from this folder, the one that counts most first.
pub(super) fn levels(home: &Path, here: &Path) -> Vec<(PathBuf, Owner)> {
    let mut levels = Vec::new();
    let mut home_was_there = false;
    for directory in here.ancestors().map(|ancestor| ancestor.join(".cargo")) {
        let is_home = same_directory(&directory, home);
        home_was_there |= is_home;
        let owner = if is_home { Owner::Home } else { Owner::Project };
        levels.extend(existing(&directory, "config").map(|file| (file, owner)));
    }
    if !home_was_there {
        levels.extend(existing(home, "config").map(|file| (file, Owner::Home)));
    }
    levels
}

/// The file of this name, or else the one with `.toml` behind it; cargo prefers the old name where both exist.
pub(super) fn existing(directory: &Path, name: &str) -> Option<PathBuf> {
    let [old, new] = [directory.join(name), directory.join(format!("{name}.toml"))];
    let is_old = fs::metadata(&old).is_ok_and(|found| !found.is_file() || fs::File::open(&old).is_ok());
    if is_old { Some(old) } else { new.exists().then_some(new) }
}

/// The same; if neither exists, the path with `.toml`.
pub(super) fn existing_or_new(directory: &Path, name: &str) -> PathBuf {
    existing(directory, name).unwrap_or_else(|| directory.join(format!("{name}.toml")))
}

fn same_directory(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}

/// Reads a file and what it includes.
///
/// # Errors
/// Whatever makes cargo refuse the file.
pub(super) fn tree(file: &Path, owner: Owner, is_credentials: bool) -> Result<Tree, Error> {
    include(file, owner, is_credentials, &mut HashSet::new())
}

fn include(
    file: &Path,
    owner: Owner,
    is_credentials: bool,
    seen: &mut HashSet<PathBuf>,
) -> Result<Tree, Error> {
    let problem = |problem| Error::Include { file: file.to_owned(), problem };
    // Cargo takes each file once, so that neither a cycle nor a file that two others include is read for ever.
    if !seen.insert(file.to_owned()) {
        return Err(problem(IncludeProblem::Again));
    }
    if seen.len() > MOST_INCLUDED {
        return Err(problem(IncludeProblem::TooMany));
    }
    let origin = Origin::File { path: file.to_owned(), owner };
    let values = Value::read(parse(file, &read(file)?)?, &origin)?;
    let mut merged = Value::table(origin);
    let mut statements = Vec::new();
    for path in includes(&values, file)? {
        let tree = include(&path, owner, is_credentials, seen)?;
        merged.merge(tree.merged, true)?;
        statements.splice(0..0, tree.statements);
    }
    merged.merge(without_include(values.clone()), true)?;
    statements.insert(0, Statement { file: file.to_owned(), owner, is_credentials, values });
    Ok(Tree { merged, statements })
}

fn without_include(mut values: Value) -> Value {
    if let Kind::Table(table) = &mut values.kind {
        table.remove("include");
    }
    values
}

/// `include = ["PATH", { path = "PATH", optional = true }]`, relative to the file that says so.
fn includes(values: &Value, file: &Path) -> Result<Vec<PathBuf>, Error> {
    let Some(include) = values.at(&["include"])? else { return Ok(Vec::new()) };
    let shape = |value: &Value| value.shape(&["include"], "a list of paths");
    let mut paths = Vec::new();
    for entry in include.list().ok_or_else(|| shape(include))? {
        let (path, optional) = match &entry.kind {
            Kind::Text(path) => (path.as_str(), false),
            Kind::Table(table) => {
                let path = table.get("path").and_then(Value::text).ok_or_else(|| shape(entry))?;
                match table.get("optional").map(|optional| &optional.kind) {
                    None => (path, false),
                    Some(Kind::Boolean(optional)) => (path, *optional),
                    Some(_) => return Err(shape(entry)),
                }
            }
            _ => return Err(shape(entry)),
        };
        let problem = |problem| Error::Include { file: file.to_owned(), problem };
        if Path::new(path).extension() != Some(OsStr::new("toml")) {
            return Err(problem(IncludeProblem::NotToml { path: path.to_owned() }));
        }
        if path.contains(['*', '?', '[', ']', '{', '}']) {
            return Err(problem(IncludeProblem::Pattern { path: path.to_owned() }));
        }
        let path = file.parent().unwrap_or(file).join(path);
        if !optional || path.exists() {
            paths.push(path);
        }
    }
    Ok(paths)
}

/// The text, which may have tokens in it.
pub(super) fn read(file: &Path) -> Result<Zeroizing<String>, Error> {
    let io = |source| Error::Io { action: "read", file: file.to_owned(), source };
    folder::read_foreign(file).map(Zeroizing::new).map_err(io)
}

/// The same; empty if there is no file.
pub(super) fn read_if_there(file: &Path) -> Result<Zeroizing<String>, Error> {
    match read(file) {
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(Zeroizing::default()),
        text => text,
    }
}

pub(super) fn parse(file: &Path, text: &str) -> Result<DocumentMut, Error> {
    let not_toml = |reason: &dyn Display| Error::Toml { file: file.to_owned(), reason: reason.to_string() };
    // It may be a stranger's, and the parser has no bound for brackets and dotted keys together.
    nesting::of_toml(text).map_err(|error| not_toml(&error))?;
    text.parse().map_err(|error: toml_edit::TomlError| not_toml(&error.message()))
}

impl From<Clash> for Error {
    fn from(clash: Clash) -> Self {
        Self::Merge(Box::new(clash))
    }
}

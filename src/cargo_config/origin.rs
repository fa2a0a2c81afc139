//! Where a value of cargo's configuration is written, and whose that place is.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::text::{escape, escape_path, foreign_word};

/// Where a value is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In a file.
    File {
        /// As cargo came upon it.
        path: PathBuf,
        /// Whose it is.
        owner: Owner,
    },
    /// In an environment variable of this name.
    Variable(String),
}

/// Whose a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The person's: it is in cargo's home, or included from there.
    Home,
    /// A project's, and with it perhaps in version control.
    Project,
}

/// A value and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located<T> {
    /// What cargo makes of what is written.
    pub value: T,
    /// Where it is written.
    pub origin: Origin,
}

/// Two places that cargo cannot merge: a list or a table, and something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clash {
    /// The key.
    pub key: String,
    /// One place.
    pub one: Origin,
    /// The other.
    pub other: Origin,
}

impl Origin {
    /// Whether a project says so, and not the person.
    #[must_use]
    pub fn is_projects(&self) -> bool {
        matches!(self, Self::File { owner: Owner::Project, .. })
    }

    /// The name, if it is a variable.
    #[must_use]
    pub fn variable(&self) -> Option<&str> {
        match self {
            Self::Variable(name) => Some(name),
            Self::File { .. } => None,
        }
    }

    /// As one word of a shell's command.
    #[must_use]
    pub fn word(&self) -> String {
        match self {
            Self::File { path, .. } => foreign_word(&path.display().to_string()),
            Self::Variable(name) => foreign_word(name),
        }
    }

    /// Where relative paths start: at the folder above the one with the file (cargo 1.95, `Definition::root`).
    #[must_use]
    pub fn root<'a>(&'a self, here: &'a Path) -> &'a Path {
        match self {
            Self::File { path, .. } => path.parent().and_then(Path::parent).unwrap_or(here),
            Self::Variable(_) => here,
        }
    }
}

/// Escaped, for a message.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, .. } => f.write_str(&escape_path(path)),
            Self::Variable(name) => f.write_str(&escape(name)),
        }
    }
}

impl<T> Located<T> {
    pub(super) fn map<U>(self, change: impl FnOnce(T) -> U) -> Located<U> {
        Located { value: change(self.value), origin: self.origin }
    }
}

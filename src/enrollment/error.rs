//! Why the enrollments cannot be used, and what to do then.

use std::path::PathBuf;

use crate::folder;

/// Why the enrollments cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "a field's name says what it is")]
pub enum Error {
    /// The file cannot be read, written or trusted.
    #[error(transparent)]
    Folder(#[from] folder::Error),
    /// The file is read, but cannot be used.
    #[error("{} {problem}", path.display())]
    Content { path: PathBuf, problem: Problem },
}

/// What is wrong with the text of the file.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "a field's name says what it is")]
pub enum Problem {
    /// Two entries for one URL.
    #[error("has two entries for {0}")]
    Duplicate(String),
    /// A later yk-cargo wrote it.
    #[error("has version {version}, which a newer yk-cargo wrote")]
    Newer { version: i64 },
    /// No version, or an older one.
    #[error("does not begin with `version = {version}`")]
    NoVersion { version: i64 },
    /// Not TOML, or of another shape.
    #[error("is damaged: {0}")]
    Toml(String),
    /// A value that makes no sense.
    #[error("is damaged: `{key}` {reason}")]
    Value { key: &'static str, reason: String },
}

impl Error {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Folder(error) => error.hint(),
            Self::Content { problem: Problem::Newer { .. }, .. } => {
                "update yk-cargo to the version that wrote it, or a later one".into()
            }
            Self::Content { path, .. } => format!(
                "fix it, or move {} away and run `yk-cargo enroll REGISTRY --existing`: the keys are still on the card",
                path.display()
            ),
        }
    }
}

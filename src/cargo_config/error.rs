//! Why cargo's configuration does not help, and what to do then.

use std::io;
use std::path::PathBuf;

use super::origin::{Clash, Origin};
use crate::folder;
use crate::index_url::{self, IndexUrl};
use crate::text::{escape, escape_path, sentence};

/// Why cargo's configuration does not tell which registry is meant, or cannot be changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "a field's name says what it is")]
pub enum Error {
    /// Another program is configured to give a registry's tokens.
    #[error(
        "cargo asks `{}` for the tokens of `{}` and does not read this one",
        escape(provider),
        escape(name)
    )]
    AsksAnother { name: String, provider: String },
    /// Somebody else has changed a file meanwhile.
    #[error("{} was changed in the meantime", escape_path(file))]
    Changed { file: PathBuf },
    /// The credentials name a provider too.
    #[error(
        "{} has a `credential-provider` for `{}`, which cargo confuses with the one in config.toml",
        escape_path(file),
        escape(name)
    )]
    CredentialsNameAProvider { file: PathBuf, name: String },
    /// crates.io takes bearer tokens only.
    #[error("crates.io takes only bearer tokens, not signed ones")]
    CratesIo,
    /// What a file includes.
    #[error("cargo does not accept {}: {problem}", escape_path(file))]
    Include {
        /// The file that includes, or is included.
        file: PathBuf,
        /// What is wrong.
        problem: IncludeProblem,
    },
    /// Cargo would not take this index URL.
    #[error("`{}` is not an index URL: {problem}", escape(index))]
    IndexUrl {
        /// The URL, without its password if it had one.
        index: String,
        /// Why not.
        problem: index_url::Error,
    },
    /// A file that cannot be written.
    #[error(transparent)]
    Folder(#[from] folder::Error),
    /// A file cannot be read or written.
    #[error("cannot {action} {}", escape_path(file))]
    Io {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Two places that cargo cannot merge.
    #[error("`{}` is a list or a table in one of these places and something else in the other, so cargo refuses both: {}, {}", escape(&.0.key), .0.one, .0.other)]
    Merge(Box<Clash>),
    /// A URL without a name cannot be configured.
    #[error(
        "this registry has no name in cargo's configuration, so no credential provider can be set for it"
    )]
    NoName,
    /// A credential provider without a program.
    #[error("`{}` in {origin} names no program, so cargo refuses it", escape(key))]
    NoProgram { key: String, origin: Origin },
    /// A URL of a git index, or of a sparse one without its prefix.
    #[error(
        "`{}` is not an index URL: a sparse index is written sparse+http…; for a git index give its name in cargo's configuration",
        escape(index)
    )]
    NoSparsePrefix { index: IndexUrl },
    /// A file that is not simply the person's own.
    #[error("{} {problem}", escape_path(file))]
    NotOurs { file: PathBuf, problem: &'static str },
    /// A project gives a name that is nothing to the person.
    #[error(
        "your own configuration does not have `{}`; {origin} says that it is\n    {}",
        escape(name),
        escape(index)
    )]
    OnlyInProject { name: String, origin: Origin, index: IndexUrl },
    /// A project gives the name another URL than the person's own configuration.
    #[error(
        "{origin} says that registry `{}` is\n    {}\nbut your own configuration says that it is\n    {}",
        escape(name),
        escape(theirs),
        escape(own)
    )]
    ProjectDisagrees { name: String, own: IndexUrl, origin: Box<Origin>, theirs: IndexUrl },
    /// Cargo no longer takes another index for crates.io.
    #[error("{origin} sets `index` for crates.io, which cargo refuses")]
    RegistryIndex { origin: Origin },
    /// One index URL has several names.
    #[error("{} have the same index URL, so cargo refuses to use either", list(names))]
    SeveralNames { names: Vec<String> },
    /// A value of another type than cargo wants.
    #[error("`{}` in {origin} is not {wanted}", escape(key))]
    Shape {
        /// The key.
        key: String,
        /// Where it is.
        origin: Origin,
        /// What cargo wants.
        wanted: &'static str,
    },
    /// Not TOML.
    #[error("{} is not TOML: {}", escape_path(file), escape(reason))]
    Toml { file: PathBuf, reason: String },
    /// Nobody knows this name.
    #[error("no registry `{}` in $CARGO_HOME/config.toml or the environment", escape(name))]
    UnknownRegistry {
        name: String,
        /// The name of the person's own that is most like it.
        like: Option<String>,
    },
}

/// Why cargo does not take what a file includes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "a field's name says what it is")]
pub enum IncludeProblem {
    /// Cargo reads each file once.
    #[error("it is included twice, or includes itself")]
    Again,
    /// The path has another end than `.toml`.
    #[error("it includes `{}`, which does not end in `.toml`", escape(path))]
    NotToml { path: String },
    /// The path is a pattern.
    #[error("it includes `{}`, and cargo accepts no patterns", escape(path))]
    Pattern { path: String },
    /// There are too many files.
    #[error("it includes too many files")]
    TooMany,
}

fn list(names: &[String]) -> String {
    names.iter().map(|name| format!("`{}`", escape(name))).collect::<Vec<_>>().join(" and ")
}

impl Error {
    /// What went wrong and what to do next, in one line.
    #[must_use]
    pub fn with_hint(&self) -> String {
        let sentence = sentence(self);
        match self.hint() {
            Some(hint) => format!("{sentence}; {hint}"),
            None => sentence,
        }
    }

    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::CratesIo => {
                "`yk-cargo seal crates-io` seals its bearer token to the card; with --proofs a key signs proofs of what you publish there".into()
            }
            Self::ProjectDisagrees { .. } => {
                "leave the project's folder, or, if you trust it, give the index URL instead of the name".into()
            }
            Self::UnknownRegistry { like: Some(like), .. } => format!("did you mean `{}`?", escape(like)),
            Self::UnknownRegistry { name, like: None } => format!(
                "add `[registries.{0}]` with its `index` to $CARGO_HOME/config.toml, or give the index URL (sparse+https://…/)",
                escape(name)
            ),
            Self::NoName => {
                "add `[registries.NAME]` with its `index` to $CARGO_HOME/config.toml first".into()
            }
            Self::AsksAnother { name, .. } => format!(
                "revoke it and remove it; or, to seal it anyway: yk-cargo migrate --registry {}",
                crate::text::foreign_word(name)
            ),
            Self::Changed { .. } => "the token is sealed, but the plaintext one is still there: run the command again".into(),
            Self::CredentialsNameAProvider { .. } => "remove that line first".into(),
            Self::NotOurs { .. } => {
                "make it a file that you own and can write to; or seal the token with `yk-cargo seal REGISTRY`, and remove it from that file yourself".into()
            }
            Self::Toml { .. } | Self::Shape { .. } | Self::NoProgram { .. } => "fix it; cargo cannot read it either".into(),
            Self::Include { .. } => "check `include` in that file".into(),
            Self::Merge(_) => "write it the same way in both".into(),
            Self::RegistryIndex { .. } | Self::SeveralNames { .. } => "remove one of them".into(),
            Self::OnlyInProject { name, .. } => format!(
                "if you trust it, add `[registries.{}]` with this `index` to $CARGO_HOME/config.toml; in a terminal, `yk-cargo enroll` and `yk-cargo seal` offer to do that",
                escape(name)
            ),
            Self::IndexUrl { .. } | Self::NoSparsePrefix { .. } => "copy it from your registry's documentation: sparse+https://…/".into(),
            Self::Folder(error) => error.hint(),
            Self::Io { .. } => return None,
        })
    }
}

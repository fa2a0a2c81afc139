//! Why cargo's configuration does not help, and what to do then.

use std::io;
use std::path::PathBuf;

use crate::folder;
use crate::index_url::{self, IndexUrl};

/// Why cargo's configuration does not tell which registry is meant, or cannot be changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another program is configured to give a registry's tokens.
    #[error(
        "cargo asks `{}` for the tokens of `{}`, and does not read this one",
        crate::text::escape(provider),
        crate::text::escape(name)
    )]
    AsksAnother {
        /// The registry's name.
        name: String,
        /// The provider, as it is written.
        provider: String,
    },
    /// Somebody else has changed a file meanwhile.
    #[error("{} was changed meanwhile", file.display())]
    Changed {
        /// The file.
        file: PathBuf,
    },
    /// The credentials name a provider too.
    #[error(
        "{} has a `credential-provider` for `{}`, which cargo mixes up with the one in config.toml",
        file.display(), crate::text::escape(name)
    )]
    CredentialsNameAProvider {
        /// The file.
        file: PathBuf,
        /// The registry's name.
        name: String,
    },
    /// crates.io takes bearer tokens only.
    #[error("crates.io takes bearer tokens only, no asymmetric ones")]
    CratesIo,
    /// Files include files without end.
    #[error("{} includes files that include files, too deep", file.display())]
    DeepInclude {
        /// The file at which it was given up.
        file: PathBuf,
    },
    /// Cargo would not take this index URL.
    #[error("`{}` is no index URL: {problem}", crate::text::escape(index))]
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
    #[error("cannot {action} {}", file.display())]
    Io {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A URL without a name cannot be configured.
    #[error(
        "this registry has no name in cargo's configuration, so no credential provider can be set for it"
    )]
    NoName,
    /// A URL of a git index, or of a sparse one without its prefix.
    #[error(
        "`{}` is no index URL: a sparse index is written sparse+http…; for a git index give its name in cargo's configuration",
        crate::text::escape(index)
    )]
    NoSparsePrefix {
        /// The URL.
        index: IndexUrl,
    },
    /// A file that is not simply the person's own.
    #[error("{} {problem}", file.display())]
    NotOurs {
        /// The file.
        file: PathBuf,
        /// What it is.
        problem: &'static str,
    },
    /// A project gives the name another URL than the person's own configuration.
    #[error(
        "{} says that registry `{}` is\n    {}\nbut your own configuration says that it is\n    {}",
        file.display(), crate::text::escape(name), crate::text::escape(theirs),
        own.as_deref().map_or_else(|| "(not configured)".into(), crate::text::escape)
    )]
    ProjectDisagrees {
        /// The name.
        name: String,
        /// The person's URL.
        own: Option<String>,
        /// The project's file.
        file: PathBuf,
        /// The project's URL.
        theirs: String,
    },
    /// `registries` is no table.
    #[error("`registries` in {} is not a table", file.display())]
    Shape {
        /// The file.
        file: PathBuf,
    },
    /// Not TOML.
    #[error("{} is not TOML: {reason}", file.display())]
    Toml {
        /// The file.
        file: PathBuf,
        /// Why.
        reason: String,
    },
    /// Nobody knows this name.
    #[error("no registry `{}` in $CARGO_HOME/config.toml or the environment", crate::text::escape(name))]
    UnknownRegistry {
        /// The name.
        name: String,
    },
}

impl Error {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::CratesIo => {
                "keep its bearer token sealed to the card instead: yk-cargo seal crates-io".into()
            }
            Self::ProjectDisagrees { .. } => {
                "leave the project's folder, or give the index URL instead of the name if you trust it".into()
            }
            Self::UnknownRegistry { name } => format!(
                "add `[registries.{0}]` with its `index` to $CARGO_HOME/config.toml, or give the index URL (sparse+https://…/)",
                crate::text::escape(name)
            ),
            Self::NoName => {
                "add `[registries.NAME]` with its `index` to $CARGO_HOME/config.toml first".into()
            }
            Self::AsksAnother { name, .. } => format!(
                "revoke it and remove it; or, to have it sealed all the same: yk-cargo migrate --registry {}",
                crate::text::foreign_word(name)
            ),
            Self::Changed { .. } => "the token is sealed and still there in clear: run it again".into(),
            Self::CredentialsNameAProvider { .. } => "remove that line first".into(),
            Self::NotOurs { .. } => {
                "make it a file of your own that you may write; or seal the token with `yk-cargo seal REGISTRY`, and remove it there yourself".into()
            }
            Self::Toml { .. } | Self::Shape { .. } => "mend the file; cargo cannot read it either".into(),
            Self::DeepInclude { .. } => "look at `include` in that file".into(),
            Self::IndexUrl { .. } | Self::NoSparsePrefix { .. } => "copy it from your registry's documentation: sparse+https://…/".into(),
            Self::Folder(error) => error.hint(),
            Self::Io { .. } => return None,
        })
    }
}

//! `verify`: whether a version, or every package of a lock file, is one that somebody trusted has signed.
//!
//! The registry's word counts for nothing in it: a file has the checksum or not, a key has signed it or not, and whether the key is
//! trusted is the person's to say.

use std::path::PathBuf;

use asymmetric_token::{CrateName, PublicKey};
use clap::Args;
use crate_file::characters::is_hidden;
use semver::Version;

use crate::commands::arguments::name_and_version;
use crate::commands::candidates;
use crate::context::Context;
use crate::error::Error;
use crate::proof::Proof;
use crate::text::escape;
use crate::trust::Trust;

mod deep;
mod elsewhere;
mod evidence;
pub(super) mod fetch;
mod filled;
mod found;
pub(super) mod in_log;
mod judgement;
mod lock;
pub(super) mod log;
mod parallel;
pub(super) mod patience;
pub(super) mod place;
mod report;
mod verdict;
pub(super) mod version;

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// The crate and its version.
    #[arg(value_name = "NAME@VERS", value_parser = name_and_version, required_unless_present_any = ["proof", "lock"])]
    pub version: Option<(CrateName, Version)>,
    /// Check every package of a lock file instead. Without --deep only proofs are downloaded.
    #[arg(
        long,
        value_name = "Cargo.lock",
        num_args = 0..=1,
        default_missing_value = "Cargo.lock",
        conflicts_with_all = ["version", "registry", "crate_file", "proof"]
    )]
    pub lock: Option<PathBuf>,
    /// The registry's name in cargo's configuration, or its index URL: it is asked for the proof.
    #[arg(long, required_unless_present_any = ["proof", "lock"], add = candidates::registries())]
    pub registry: Option<String>,
    /// The crate file. [default: download it from the registry]
    #[arg(long = "crate", value_name = "FILE.crate")]
    pub crate_file: Option<PathBuf>,
    /// A proof in a file; the registry is not asked for one.
    #[arg(long, value_name = "FILE", conflicts_with = "lock")]
    pub proof: Option<PathBuf>,
    /// Look for proofs in this folder first, where --save-proofs has put them.
    #[arg(long, value_name = "DIR", requires = "lock")]
    pub proofs: Option<PathBuf>,
    /// Keep every valid proof in this folder, to commit it with the lock file.
    #[arg(long, value_name = "DIR", requires = "lock")]
    pub save_proofs: Option<PathBuf>,
    /// Ask no registry: only kept proofs count.
    #[arg(long, requires = "lock")]
    pub offline: bool,
    /// Also download each signed file, and compare what the registry's index says of it.
    #[arg(long, requires = "lock", conflicts_with = "offline")]
    pub deep: bool,
    /// A key that you trust; may be given more than once. Then no other key is trusted, and your list says only which crates must be signed.
    #[arg(long, value_name = "K3PUBLIC")]
    pub key: Vec<PublicKey>,
    /// Record new keys in $CARGO_HOME/yk-cargo/signers.toml, each for its crates, after asking.
    #[arg(long, conflicts_with = "key")]
    pub remember: bool,
    /// Do not ask.
    #[arg(long, requires = "remember")]
    pub yes: bool,
    /// One JSON object on stdout.
    #[arg(long)]
    pub json: bool,
}

/// Runs `yk-cargo verify`.
///
/// # Errors
/// [`Error::NotProven`] or [`Error::NotTrusted`] if something does not hold; what is to be verified cannot be had or read.
pub fn run(arguments: &Verify, context: &Context) -> Result<(), Error> {
    match &arguments.lock {
        Some(lock) => lock::run(lock, arguments, context),
        None => version::run(arguments, context),
    }
}

impl Verify {
    /// Where checkpoints of logs are kept, and whether their keys are.
    fn keeping<'a>(&'a self, context: &'a Context) -> log::Keeping<'a> {
        log::Keeping {
            context,
            proofs: self.proofs.as_deref(),
            save: self.save_proofs.as_deref(),
            remember: self.remember,
            yes: self.yes,
        }
    }
}

/// Who has signed.
struct Signer {
    key: PublicKey,
    /// Whose key it is, as the registry's log says in the proof.
    user: Option<String>,
    source: Source,
}

/// Where a proof is from.
#[derive(Clone, PartialEq, Eq)]
enum Source {
    /// The registry gave it in this run.
    Registry,
    /// It was in a folder, and may be anybody's.
    Kept,
    /// It was at this URL, which the person's own list names for a registry that gives none.
    Listed(String),
    /// The same, but a project's list or a manifest names the URL: it is anybody's.
    Strangers(String),
}

impl Source {
    /// Whether a key may be recorded that is known from there. Whoever can write into a folder, or has a URL of their own asked, is not to
    /// have their key offered.
    fn may_be_recorded(&self) -> bool {
        matches!(self, Self::Registry | Self::Listed(_))
    }

    /// The URL, where it is not the registry's.
    fn url(&self) -> Option<&str> {
        match self {
            Self::Registry | Self::Kept => None,
            Self::Listed(url) | Self::Strangers(url) => Some(url),
        }
    }

    /// What is said of a key from there that cannot be recorded.
    fn why_not_recorded(&self) -> Option<&'static str> {
        match self {
            Self::Registry | Self::Listed(_) => None,
            Self::Kept => Some(
                "a key that only a kept proof names is not recorded: the registry must confirm it in the same run",
            ),
            Self::Strangers(_) => Some(
                "a key is not recorded if only the project or the crate says where its proof is: add that place to `[[proofs]]` in your own list, or add the key itself",
            ),
        }
    }
}

impl Signer {
    fn of(proof: &Proof, user: Option<String>, source: Source) -> Self {
        Self { key: proof.public, user: user.filter(|user| !user.is_empty()), source }
    }

    /// As the person's own list calls them; or the registry; or else by the key's id. Safe to show.
    fn in_words(&self, trust: &Trust) -> String {
        if let Some(name) = trust.own_name_of(&self.key) {
            return escape(name);
        }
        let says = match self.source {
            Source::Registry => "according to the registry",
            Source::Kept => "according to a kept proof",
            Source::Listed(_) | Source::Strangers(_) => "according to its proof",
        };
        match &self.user {
            Some(user) if trust.is_of_another(user, &self.key) => {
                format!("{0} ({says}, and not the {0} of your list)", escape(user))
            }
            Some(user) => format!("{} ({says})", escape(user)),
            None => self.key.id().to_string(),
        }
    }

    /// What a key may be called that is recorded: its owner's name at the registry, or else the beginning of the key's id.
    fn suggested_name(&self) -> String {
        let is_name = |user: &&String| {
            (1..=40).contains(&user.chars().count()) && !user.chars().any(is_hidden) && user.trim() == *user
        };
        let of_key = || self.key.id().to_string().chars().take(16).collect();
        self.user.as_ref().filter(is_name).cloned().unwrap_or_else(of_key)
    }
}

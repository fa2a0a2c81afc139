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
use crate::context::Context;
use crate::error::Error;
use crate::proof::{Logged, Proof};
use crate::text::escape;
use crate::trust::Trust;

mod evidence;
mod fetch;
mod judgement;
mod lock;
mod parallel;
mod report;
mod verdict;
mod version;

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// The crate and its version.
    #[arg(value_name = "NAME@VERS", value_parser = name_and_version, required_unless_present_any = ["proof", "lock"])]
    pub version: Option<(CrateName, Version)>,
    /// Every package of a lock file instead. Nothing is downloaded but proofs.
    #[arg(
        long,
        value_name = "Cargo.lock",
        num_args = 0..=1,
        default_missing_value = "Cargo.lock",
        conflicts_with_all = ["version", "registry", "crate_file", "proof"]
    )]
    pub lock: Option<PathBuf>,
    /// The registry's name in cargo's configuration, or its index URL: it is asked for the proof.
    #[arg(long, required_unless_present_any = ["proof", "lock"])]
    pub registry: Option<String>,
    /// The crate file. [default: download it from the registry]
    #[arg(long = "crate", value_name = "FILE.crate")]
    pub crate_file: Option<PathBuf>,
    /// A proof that was kept; the registry is not asked.
    #[arg(long, value_name = "FILE", requires = "crate_file")]
    pub proof: Option<PathBuf>,
    /// Look here for proofs first, a folder that --save-proofs has filled.
    #[arg(long, value_name = "DIR", requires = "lock")]
    pub proofs: Option<PathBuf>,
    /// Keep every good proof here, to be committed with the lock file.
    #[arg(long, value_name = "DIR", requires = "lock")]
    pub save_proofs: Option<PathBuf>,
    /// Ask no registry: only proofs that are kept count.
    #[arg(long, requires = "lock")]
    pub offline: bool,
    /// A key that you trust; may be given more than once. No other key is trusted then, and your list says only which crates are signed.
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

/// Who has signed.
struct Signer {
    key: PublicKey,
    /// Whose key it is, as the registry's log says in the proof.
    user: Option<String>,
    source: Source,
}

/// Where a proof is from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// The registry gave it in this run.
    Registry,
    /// It was in a folder, and may be anybody's.
    Kept,
}

impl Signer {
    fn of(proof: &Proof, logged: Option<&Logged>, source: Source) -> Self {
        let user = logged.map(|logged| logged.user.clone()).filter(|user| !user.is_empty());
        Self { key: proof.public, user, source }
    }

    /// As the person's own list calls them; or the registry; or else by the key's id. Safe to show.
    fn in_words(&self, trust: &Trust) -> String {
        if let Some(name) = trust.own_name_of(&self.key) {
            return escape(name);
        }
        let says = match self.source {
            Source::Registry => "says the registry",
            Source::Kept => "says a kept proof",
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

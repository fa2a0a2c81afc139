//! `stage`: versions that a machine has uploaded, and that nobody has published yet. They are looked at, approved or rejected.
//!
//! An approval is an ordinary publish token. What it is signed for is the file that was downloaded, shown and hashed here.

use asymmetric_token::CrateName;
use clap::{Args, Subcommand};
use semver::Version;

use crate::commands::arguments::name_and_version;
use crate::context::Context;
use crate::error::Error;

mod approve;
mod candidate;
mod changes;
mod diff;
mod download;
mod last_release;
mod list;
mod new_key;
mod order;
mod pager;
mod push;
mod reject;
mod session;
mod shown;
mod view;

/// Arguments of `stage`.
#[derive(Debug, Args)]
pub struct Stage {
    /// What to do.
    #[command(subcommand)]
    pub command: StageCommand,
}

/// What to do with staged versions.
#[derive(Debug, Subcommand)]
pub enum StageCommand {
    /// List what is staged, and what waits for you.
    List(list::List),
    /// Show where a version comes from, and what is new in it.
    View(view::View),
    /// Show what is new in its files, in a pager.
    Diff(diff::Diff),
    /// Save its crate file.
    Download(download::Download),
    /// Approve versions: each needs a touch, and one PIN is enough for all.
    Approve(approve::Approve),
    /// Reject versions for good.
    Reject(reject::Reject),
    /// Make a key file for a machine that stages versions.
    NewKey(new_key::NewKey),
    /// Stage crate files with the staging token of cargo's configuration, as a machine does.
    Push(push::Push),
}

/// Where versions are staged.
#[derive(Debug, Args)]
pub struct At {
    /// The registry's name in cargo's configuration, or its index URL. [default: the only one that is enrolled, or cargo's default]
    #[arg(long)]
    pub registry: Option<String>,
}

/// A staged version, as a person names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// By its number at the registry.
    Id(u64),
    /// By crate and version.
    Version(CrateName, Version),
}

fn which(text: &str) -> Result<Which, String> {
    match text.parse() {
        Ok(id) => Ok(Which::Id(id)),
        Err(_) => name_and_version(text).map(|(name, version)| Which::Version(name, version)),
    }
}

/// Runs `yk-cargo stage`.
///
/// # Errors
/// Those of what is to be done.
pub fn run(arguments: &Stage, context: &Context) -> Result<(), Error> {
    match &arguments.command {
        StageCommand::List(arguments) => list::run(arguments, context),
        StageCommand::View(arguments) => view::run(arguments, context),
        StageCommand::Diff(arguments) => diff::run(arguments, context),
        StageCommand::Download(arguments) => download::run(arguments, context),
        StageCommand::Approve(arguments) => approve::run(arguments, context),
        StageCommand::Reject(arguments) => reject::run(arguments, context),
        StageCommand::NewKey(arguments) => new_key::run(arguments),
        StageCommand::Push(arguments) => push::run(arguments, context),
    }
}

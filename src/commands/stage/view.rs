//! `stage view`: where a version is from, and what is new in it.

use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;

use super::last_release::Last;
use super::session::Session;
use super::{At, Which, shown, which};
use crate::commands::sign;
use crate::commands::{print, print_json};
use crate::context::Context;
use crate::error::Error;

/// Arguments of `stage view`.
#[derive(Debug, Args)]
pub struct View {
    /// The version, or its number at the registry.
    #[arg(value_name = "NAME@VERS|NUMBER", value_parser = which)]
    pub which: Which,
    /// Where.
    #[command(flatten)]
    pub at: At,
    /// Compare with a git repository, file for file, at the commit that the crate file names.
    #[arg(long, value_name = "DIR", conflicts_with = "json")]
    pub source: Option<PathBuf>,
    /// The cargo that packaged the crate, split at spaces: it makes Cargo.toml again from the one in git.
    #[arg(long, value_name = "PROGRAM", requires = "source")]
    pub cargo: Option<String>,
    /// One JSON object on stdout.
    #[arg(long)]
    pub json: bool,
}

/// Runs `yk-cargo stage view`.
///
/// # Errors
/// [`Error::NotTheStaged`]; the registry cannot be asked, or refuses; the file is not what the repository has.
pub(super) fn run(arguments: &View, context: &Context) -> Result<(), Error> {
    Session::with(&arguments.at, context, |session| {
        let stage = session.find(&arguments.which)?;
        let candidate = session.candidate(stage)?;
        let (name, version) = (&candidate.stage.name, &candidate.stage.version);
        let last = Last::before(session, name, version)?;
        if arguments.json {
            return print_json(&shown::whole_json(&candidate, &last));
        }
        print(shown::whole(&candidate, &last, session.registry.display_name(), Timestamp::now()))?;
        if let Some(repository) = &arguments.source {
            sign::show_source(
                &candidate.file,
                (name, version),
                repository,
                arguments.cargo.as_deref(),
                context,
            )?;
        }
        shown::next(&candidate.stage, session.registry.display_name()).into_iter().try_for_each(print)
    })
}

//! `stage download`: the crate file of a staged version, to be looked at by other means.

use std::io;
use std::path::PathBuf;

use clap::Args;

use super::session::Session;
use super::{At, Which, which};
use crate::context::Context;
use crate::error::Error;
use crate::folder;
use crate::text::escape_path;
use crate::ui::Ui;

/// Arguments of `stage download`.
#[derive(Debug, Args)]
pub struct Download {
    /// The version, or its number at the registry.
    #[arg(value_name = "NAME@VERS|NUMBER", value_parser = which)]
    pub which: Which,
    /// Where.
    #[command(flatten)]
    pub at: At,
    /// The file to write. [default: NAME-VERS.crate in this folder]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Overwrite an existing file.
    #[arg(long)]
    pub force: bool,
}

/// Runs `yk-cargo stage download`.
///
/// # Errors
/// [`Error::NotTheStaged`], [`Error::FileExists`]; the registry cannot be asked, or refuses.
pub(super) fn run(arguments: &Download, context: &Context) -> Result<(), Error> {
    Session::with(&arguments.at, context, |session| {
        let stage = session.find(&arguments.which)?;
        let candidate = session.candidate(stage)?;
        let stage = &candidate.stage;
        let file =
            arguments.out.clone().unwrap_or_else(|| format!("{}-{}.crate", stage.name, stage.version).into());
        folder::write_new(&file, &candidate.file, arguments.force).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => Error::FileExists { file: file.clone() },
            _ => Error::WriteFile { file: file.clone(), source },
        })?;
        Ui::silent().say(format_args!(
            "{}, {} bytes, SHA-256 {}: written to {}",
            candidate.called(),
            candidate.file.len(),
            stage.checksum,
            escape_path(&file)
        ));
        Ok(())
    })
}

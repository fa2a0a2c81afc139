//! `stage new-key`: a key for a machine that has neither a card nor an identity of OpenID Connect.

use std::path::PathBuf;

use clap::Args;

use crate::commands::print;
use crate::error::Error;
use crate::signer::KeyFile;
use crate::text::shell_word;
use crate::ui::Ui;

/// Arguments of `stage new-key`.
#[derive(Debug, Args)]
pub struct NewKey {
    /// The file to write. It is a secret of the machine's.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// Runs `yk-cargo stage new-key`.
///
/// # Errors
/// [`Error::FileExists`], [`Error::WriteFile`].
pub(super) fn run(arguments: &NewKey) -> Result<(), Error> {
    let key = KeyFile::create(&arguments.file)?;
    print(key.public())?;
    Ui::silent().note(format_args!(
        "the registry's administrator allows it to stage with: registry-gateway key add --user NAME --role stage --crate CRATE {}; then: yk-cargo token REGISTRY --stage --key-file {}",
        key.public(),
        shell_word(&arguments.file)
    ));
    Ok(())
}

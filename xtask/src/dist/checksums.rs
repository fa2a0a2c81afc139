//! The checksums of all that was made, in the form of `sha256sum`.

use std::fmt::Write as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::files;
use crate::Outcome;

const NAME: &str = "SHA256SUMS";

/// Writes them beside what they are of.
pub(super) fn write(folder: &Path) -> Outcome {
    let mut text = String::new();
    for name in files::names(folder)? {
        let sum = Sha256::digest(files::read(&folder.join(&name))?);
        for byte in sum {
            let _ = write!(text, "{byte:02x}");
        }
        let _ = writeln!(text, "  {name}");
    }
    files::write(&folder.join(NAME), text)
}

//! What the formats' lines have in common.

use crate::error::Error;
use crate::hash::Hash;
use crate::proof::MAX_PROOF_HASHES;
use crate::tree::MAX_SIZE;

/// A size or index in its one spelling: decimal, without sign or leading zeros, at most [`MAX_SIZE`].
pub(crate) fn decimal(text: &str) -> Option<u64> {
    text.parse().ok().filter(|number: &u64| *number <= MAX_SIZE && number.to_string() == text)
}

/// The hashes of a proof, one on each line.
pub(crate) fn hashes<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Vec<Hash>, Error> {
    let hashes = lines.take(MAX_PROOF_HASHES + 1).map(str::parse).collect::<Result<Vec<_>, _>>()?;
    if hashes.len() > MAX_PROOF_HASHES { Err(Error::ProofTooLong) } else { Ok(hashes) }
}

/// A line may hold it: neither empty nor with a control character, line breaks among them.
pub(crate) fn is_line(text: &str) -> bool {
    !text.is_empty() && !text.contains(is_control)
}

/// Those that a note cannot have (signed-note, "Format").
pub(crate) fn is_control(character: char) -> bool {
    character < ' '
}

//! Proofs that an entry is in a log, as files that are verified without it.
//!
//! Source: C2SP tlog-proof, "Format" and "Verifying a tlog proof".

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::checkpoint::{SignedCheckpoint, VerifiedCheckpoint};
use crate::error::Error;
use crate::hash::Hash;
use crate::key::Verifier;
use crate::lines;
use crate::note::MAX_NOTE_BYTES;
use crate::origin::Origin;
use crate::proof::InclusionProof;
use crate::tree::MAX_SIZE;

const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// The longest extra data, in bytes: room for the longest entry and more.
pub const MAX_EXTRA_BYTES: usize = 131_072;

/// The longest file, in bytes: the extra data in base64, an inclusion proof and a checkpoint.
pub const MAX_FILE_BYTES: usize = MAX_EXTRA_BYTES.div_ceil(3) * 4 + 4_096 + MAX_NOTE_BYTES;

/// A checkpoint and the proof that an entry is in its tree. Displays and parses as the file, which is best named `.tlog-proof`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlogProof {
    extra: Option<Vec<u8>>,
    index: u64,
    inclusion: InclusionProof,
    checkpoint: SignedCheckpoint,
}

impl TlogProof {
    /// The proof for the entry with this index, from 0. The extra data means what the application says; nothing proves it.
    ///
    /// # Errors
    /// [`Error::TlogProofSyntax`]: more extra data than [`MAX_EXTRA_BYTES`]. [`Error::TooLarge`]: the index. [`Error::NotSigned`]: the
    /// checkpoint has no signature.
    pub fn new(
        index: u64,
        inclusion: InclusionProof,
        checkpoint: SignedCheckpoint,
        extra: Option<Vec<u8>>,
    ) -> Result<Self, Error> {
        if extra.as_ref().is_some_and(|extra| extra.len() > MAX_EXTRA_BYTES) {
            return Err(Error::TlogProofSyntax);
        }
        if index > MAX_SIZE {
            return Err(Error::TooLarge);
        }
        if checkpoint.note().signatures().is_empty() {
            return Err(Error::NotSigned);
        }
        Ok(Self { extra, index, inclusion, checkpoint })
    }

    /// The extra data. Nothing proves it.
    #[must_use]
    pub fn extra(&self) -> Option<&[u8]> {
        self.extra.as_deref()
    }

    /// The index of the entry, from 0. Nothing is verified.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The checkpoint. Nothing is verified.
    #[must_use]
    pub fn checkpoint(&self) -> &SignedCheckpoint {
        &self.checkpoint
    }

    /// Verifies that the entry with this hash ([`Hash::leaf`]) is in this log, at the index that the proof says. How many
    /// cosignatures are enough, the caller has to decide.
    ///
    /// # Errors
    /// Those of [`SignedCheckpoint::verify`] and [`InclusionProof::verify`].
    pub fn verify(
        &self,
        leaf: Hash,
        origin: &Origin,
        log: &Verifier,
        witnesses: &[Verifier],
    ) -> Result<VerifiedCheckpoint, Error> {
        let verified = self.checkpoint.verify(origin, log, witnesses)?;
        self.inclusion.verify(self.index, leaf, verified.head)?;
        Ok(verified)
    }
}

impl FromStr for TlogProof {
    type Err = Error;

    fn from_str(file: &str) -> Result<Self, Error> {
        let (proof, checkpoint) = file.split_once("\n\n").ok_or(Error::TlogProofSyntax)?;
        let mut lines = proof.split('\n').peekable();
        if lines.next() != Some(HEADER) {
            return Err(Error::TlogProofSyntax);
        }
        let extra = match lines.peek().and_then(|line| line.strip_prefix("extra ")) {
            Some(extra) if extra.len() <= MAX_FILE_BYTES => {
                lines.next();
                Some(STANDARD.decode(extra).map_err(|_| Error::TlogProofSyntax)?)
            }
            _ => None,
        };
        let index = lines.next().and_then(|line| lines::decimal(line.strip_prefix("index ")?));
        let index = index.ok_or(Error::TlogProofSyntax)?;
        let inclusion = InclusionProof::new(lines::hashes(lines)?)?;
        Self::new(index, inclusion, checkpoint.parse()?, extra)
    }
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", STANDARD.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.inclusion.hashes().iter().try_for_each(|hash| writeln!(f, "{hash}"))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

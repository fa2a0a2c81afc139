//! What a log sends to a witness, and what the witness makes of it.
//!
//! Source: C2SP tlog-witness, "add-checkpoint".

use std::fmt;
use std::str::FromStr;

use crate::checkpoint::SignedCheckpoint;
use crate::error::Error;
use crate::hash::Hash;
use crate::lines;
use crate::note::MAX_NOTE_BYTES;
use crate::proof::ConsistencyProof;
use crate::tree::{MAX_SIZE, TreeHead};

/// The longest body of a request, in bytes: a checkpoint behind a proof.
pub const MAX_REQUEST_BYTES: usize = MAX_NOTE_BYTES + 4_096;

/// The body of an `add-checkpoint` request. Displays and parses as that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    old: u64,
    proof: ConsistencyProof,
    checkpoint: SignedCheckpoint,
}

/// Why a witness does not cosign a checkpoint that its log has signed. The variants are in the order in which they are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The old size is greater than the checkpoint's: status 400.
    #[error("the old size is greater than that of the checkpoint")]
    Shrinks,
    /// The old size is not that of the checkpoint that was cosigned last: status 409, and this size as the answer.
    #[error("the checkpoint that was cosigned last has the size {latest}")]
    Conflict {
        /// The size that the witness knows.
        latest: u64,
    },
    /// The log does not continue what was cosigned last, or the proof does not show it: status 422.
    #[error("the proof does not show that the log continues the checkpoint that was cosigned last")]
    Inconsistent,
}

impl AddCheckpoint {
    /// The request of a log whose checkpoint of size `old` is the last one that the witness is known to have cosigned. 0 if it is
    /// not known: the witness answers with the size.
    ///
    /// # Errors
    /// [`Error::TooLarge`]; [`Error::NotSigned`] if the checkpoint has no signature.
    pub fn new(old: u64, proof: ConsistencyProof, checkpoint: SignedCheckpoint) -> Result<Self, Error> {
        if old > MAX_SIZE {
            return Err(Error::TooLarge);
        }
        if checkpoint.note().signatures().is_empty() {
            return Err(Error::NotSigned);
        }
        Ok(Self { old, proof, checkpoint })
    }

    /// The checkpoint, which is not verified: before [`AddCheckpoint::continues`], its origin tells the log (else status 404), and its
    /// signature has to be verified by that log's key (else status 403).
    #[must_use]
    pub fn checkpoint(&self) -> &SignedCheckpoint {
        &self.checkpoint
    }

    /// The size that the proof begins with.
    #[must_use]
    pub fn old(&self) -> u64 {
        self.old
    }

    /// The proof, which is not verified.
    #[must_use]
    pub fn proof(&self) -> &ConsistencyProof {
        &self.proof
    }

    /// Whether the checkpoint continues the tree that was cosigned last, or the empty one. Returns the tree to be cosigned. The witness
    /// keeps that durably before it answers, in one step with this question.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn continues(&self, latest: Option<TreeHead>) -> Result<TreeHead, Refusal> {
        let (latest, head) = (latest.unwrap_or(TreeHead::EMPTY), self.checkpoint.unverified().head());
        if self.old > head.size {
            return Err(Refusal::Shrinks);
        }
        if self.old != latest.size {
            return Err(Refusal::Conflict { latest: latest.size });
        }
        self.proof.verify(latest, head).map(|()| head).map_err(|_| Refusal::Inconsistent)
    }
}

impl FromStr for AddCheckpoint {
    type Err = Error;

    fn from_str(body: &str) -> Result<Self, Error> {
        let (request, checkpoint) = body.split_once("\n\n").ok_or(Error::RequestSyntax)?;
        let mut lines = request.split('\n');
        let old = lines.next().and_then(|line| lines::decimal(line.strip_prefix("old ")?));
        let old = old.ok_or(Error::RequestSyntax)?;
        let proof = ConsistencyProof::new(lines::hashes(lines)?)?;
        Ok(Self { old, proof, checkpoint: checkpoint.parse()? })
    }
}

impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        self.proof.hashes().iter().try_for_each(|hash: &Hash| writeln!(f, "{hash}"))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

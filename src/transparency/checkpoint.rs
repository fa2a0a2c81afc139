//! A checkpoint that the known log has signed, and all the witnesses that are wanted.

use transparency_log::{SignedCheckpoint, TreeHead};

use super::Refused;
use crate::trust::{Log, generation};

/// A checkpoint whose signatures were verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// As it was served.
    pub signed: SignedCheckpoint,
    /// Size and root of the tree.
    pub head: TreeHead,
}

impl Checkpoint {
    /// Reads one that a registry gives, and verifies the signatures of the log and of every witness that is wanted.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn served(note: &[u8], log: &Log) -> Result<Self, Refused> {
        let signed = parse(note)?;
        Self::of(&signed, log)
    }

    /// Verifies the signatures of the log and of every witness that is wanted.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn of(signed: &SignedCheckpoint, log: &Log) -> Result<Self, Refused> {
        let checkpoint = Self::verified(signed, log)?;
        let signatures = checkpoint.signed.note().signatures();
        // Those by known keys were verified, so it is enough that they are there.
        let lacking =
            log.witnesses.iter().filter(|witness| !signatures.iter().any(|one| one.is_by(&witness.key)));
        let witnesses: Vec<_> = lacking.map(|witness| witness.name.clone()).collect();
        if witnesses.is_empty() { Ok(checkpoint) } else { Err(Refused::NotWitnessed { witnesses }) }
    }

    /// Reads one that was kept. Witnesses may be wanted since.
    ///
    /// # Errors
    /// [`Refused`].
    pub(super) fn kept(note: &[u8], log: &Log) -> Result<Self, Refused> {
        Self::verified(&parse(note)?, &Log { witnesses: Vec::new(), ..log.clone() })
    }

    fn verified(signed: &SignedCheckpoint, log: &Log) -> Result<Self, Refused> {
        let found = signed.unverified().origin();
        let origin = log.origin();
        if *found != origin {
            return Err(match generation(&log.index, found.as_str()) {
                Some(served) => Refused::OtherGeneration { known: log.generation, served },
                None => Refused::OtherLog { origin: found.to_string() },
            });
        }
        let witnesses: Vec<_> = log.witnesses.iter().map(|witness| witness.key.clone()).collect();
        let verified = signed.verify(&origin, &log.key, &witnesses).map_err(Refused::Checkpoint)?;
        Ok(Self { head: verified.head, signed: signed.clone() })
    }
}

fn parse(note: &[u8]) -> Result<SignedCheckpoint, Refused> {
    let text = std::str::from_utf8(note).map_err(|_| transparency_log::Error::NoteSyntax);
    text.and_then(str::parse).map_err(Refused::Checkpoint)
}

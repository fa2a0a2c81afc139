//! Checkpoints: tree heads that a log signs and witnesses cosign.
//!
//! Source: C2SP tlog-checkpoint, "Note text"; tlog-cosignature, "Format".

use std::fmt;
use std::str::FromStr;

use crate::error::Error;
use crate::key::{Algorithm, Cosigner, KeyName, Signer, Verifier};
use crate::lines;
use crate::note::{self, Note};
use crate::origin::Origin;
use crate::tree::{MAX_SIZE, TreeHead};

/// The longest text of a checkpoint, in bytes.
pub const MAX_TEXT_BYTES: usize = 8_192;

/// The text of a checkpoint. Displays and parses as its lines, each with its line break.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    origin: Origin,
    head: TreeHead,
    extensions: Vec<String>,
}

impl Checkpoint {
    /// The checkpoint of a tree, without extension lines.
    ///
    /// # Errors
    /// [`Error::TooLarge`]; [`Error::CheckpointSyntax`] if the origin makes it longer than [`MAX_TEXT_BYTES`].
    pub fn new(origin: Origin, head: TreeHead) -> Result<Self, Error> {
        if head.size > MAX_SIZE {
            return Err(Error::TooLarge);
        }
        let checkpoint = Self { origin, head, extensions: Vec::new() };
        if checkpoint.to_string().len() > MAX_TEXT_BYTES {
            return Err(Error::CheckpointSyntax);
        }
        Ok(checkpoint)
    }

    /// Which log it is of.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Size and root of the tree.
    #[must_use]
    pub fn head(&self) -> TreeHead {
        self.head
    }

    /// The lines after the third. Nobody can check what they say.
    #[must_use]
    pub fn extensions(&self) -> &[String] {
        &self.extensions
    }
}

impl FromStr for Checkpoint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        parse(text).ok_or(Error::CheckpointSyntax)
    }
}

fn parse(text: &str) -> Option<Checkpoint> {
    let mut lines = text.strip_suffix('\n').filter(|_| text.len() <= MAX_TEXT_BYTES)?.split('\n');
    let origin = lines.next()?.parse().ok()?;
    let size = lines::decimal(lines.next()?)?;
    let root = lines.next()?.parse().ok()?;
    let extensions =
        lines.map(|line| lines::is_line(line).then(|| line.to_owned())).collect::<Option<_>>()?;
    Some(Checkpoint { origin, head: TreeHead { size, root }, extensions })
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.head.size, self.head.root)?;
        self.extensions.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// A checkpoint as a signed note. Displays and parses as the note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    note: Note,
}

/// What a checkpoint says after its signatures were verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedCheckpoint {
    /// Size and root of the log's tree.
    pub head: TreeHead,
    /// By the known witnesses that signed it, one each.
    pub cosignatures: Vec<Cosignature>,
}

/// A witness has seen the log continue up to the checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosignature {
    /// The name of the witness's key.
    pub witness: KeyName,
    /// When, in seconds since 1970, by the witness's clock.
    pub time: u64,
}

impl SignedCheckpoint {
    /// Without signatures so far.
    #[must_use]
    pub fn unsigned(checkpoint: Checkpoint) -> Self {
        let note = Note::unsigned(checkpoint.to_string());
        Self { note: note.expect("a checkpoint's lines are a note's text"), checkpoint }
    }

    /// What it says, verified or not: to find the key that it has to be verified with.
    #[must_use]
    pub fn unverified(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The note.
    #[must_use]
    pub fn note(&self) -> &Note {
        &self.note
    }

    /// Adds the log's signature. Its tree must continue that of every checkpoint that it signed before.
    ///
    /// # Errors
    /// [`Error::NoteTooLong`].
    pub fn sign(&mut self, signer: &Signer) -> Result<(), Error> {
        self.note.sign(signer)
    }

    /// Adds a witness's signature, with the time in seconds since 1970.
    ///
    /// # Errors
    /// [`Error::CosignatureTime`], [`Error::NoteTooLong`].
    pub fn cosign(&mut self, cosigner: &Cosigner, time: u64) -> Result<(), Error> {
        self.note.cosign(cosigner, time)
    }

    /// The signature lines of one key, each with its line break: a witness's answer to `add-checkpoint`.
    #[must_use]
    pub fn signature_lines(&self, verifier: &Verifier) -> String {
        let signatures = self.note.signatures().iter().filter(|signature| signature.is_by(verifier));
        signatures.map(|signature| format!("{signature}\n")).collect()
    }

    /// Adds a witness's signature from its answer to `add-checkpoint`, if it verifies. What else is there is ignored.
    ///
    /// # Errors
    /// [`Error::NoteSyntax`], [`Error::NoteTooLong`]: it is no signature lines. [`Error::NotACosigner`]. [`Error::NotSigned`]: none is
    /// by this witness. [`Error::BadSignature`], [`Error::CosignatureTime`].
    pub fn add_cosignature(&mut self, lines: &str, witness: &Verifier) -> Result<(), Error> {
        is_a_cosigner(witness)?;
        let signature = note::parse_signatures(lines)?.into_iter().find(|signature| signature.is_by(witness));
        let mut note = Note::unsigned(self.note.text())?;
        note.add(signature.clone().ok_or(Error::NotSigned)?)?;
        note.verify([witness])?;
        signature.map_or(Ok(()), |signature| self.note.add(signature))
    }

    /// Verifies that it is the checkpoint of this log, and who of the known witnesses cosigned it. How many of them are enough, the
    /// caller has to decide.
    ///
    /// # Errors
    /// [`Error::OtherOrigin`]. [`Error::NotSigned`]: not by the log. [`Error::NotACosigner`]. [`Error::BadSignature`],
    /// [`Error::CosignatureTime`]: a signature by the log or one of the witnesses does not hold.
    pub fn verify(
        &self,
        origin: &Origin,
        log: &Verifier,
        witnesses: &[Verifier],
    ) -> Result<VerifiedCheckpoint, Error> {
        if self.checkpoint.origin != *origin {
            let (expected, found) = (origin.to_string(), self.checkpoint.origin.to_string());
            return Err(Error::OtherOrigin { expected, found });
        }
        witnesses.iter().try_for_each(is_a_cosigner)?;
        let mut verified = self.note.verify(std::iter::once(log).chain(witnesses))?;
        if verified.remove(0).verifier != log {
            return Err(Error::NotSigned);
        }
        let cosignatures = verified.into_iter().filter_map(|signature| {
            Some(Cosignature { witness: signature.verifier.name().clone(), time: signature.time? })
        });
        Ok(VerifiedCheckpoint { head: self.checkpoint.head, cosignatures: cosignatures.collect() })
    }
}

fn is_a_cosigner(witness: &Verifier) -> Result<(), Error> {
    match witness.algorithm() {
        Algorithm::CosignatureV1 => Ok(()),
        _ => Err(Error::NotACosigner { name: witness.name().to_string() }),
    }
}

impl FromStr for SignedCheckpoint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let note = text.parse::<Note>()?;
        Ok(Self { checkpoint: note.text().parse()?, note })
    }
}

impl fmt::Display for SignedCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.note.fmt(f)
    }
}

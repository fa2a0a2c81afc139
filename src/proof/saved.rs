//! A proof as a file: a log proof (C2SP tlog-proof) with the registry's JSON as its extra data, or where there is no log, that JSON
//! alone. The first line tells.

use std::fmt;

use transparency_log::tlog_proof::MAX_FILE_BYTES;
use transparency_log::{InclusionProof, SignedCheckpoint, TlogProof};

use super::Error;

/// What the first line of a log proof begins with, and no JSON does.
const LOG_PROOF: &str = "c2sp.org/tlog-proof@";

/// The longest file that is read, in bytes.
pub const LONGEST_SAVED: u64 = MAX_FILE_BYTES as u64;

/// A proof and, where there is a log, what shows that its entry is in it. Nothing is verified. Displays as the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Saved {
    /// The registry's JSON.
    Plain(String),
    /// The same, within the proof of the entry's place in the log.
    InLog(TlogProof),
}

impl Saved {
    /// A proof (the registry's JSON) whose entry has this index, from 0, in the log of a checkpoint.
    ///
    /// # Errors
    /// [`Error::Saved`]: the proof is longer than such a file takes, or the checkpoint has no signature.
    pub fn in_log(
        proof: &str,
        index: u64,
        inclusion: InclusionProof,
        checkpoint: SignedCheckpoint,
    ) -> Result<Self, Error> {
        TlogProof::new(index, inclusion, checkpoint, Some(proof.into()))
            .map(Self::InLog)
            .map_err(Error::Saved)
    }

    /// Reads either form.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Saved`]. Whether the JSON is a proof is not looked at.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let text = utf8(bytes)?;
        if !text.starts_with(LOG_PROOF) {
            return Ok(Self::Plain(text.to_owned()));
        }
        let proof: TlogProof = text.parse().map_err(Error::Saved)?;
        utf8(proof.extra().ok_or_else(|| Error::Shape("it has no extra data".into()))?)?;
        Ok(Self::InLog(proof))
    }

    /// The proof: the registry's JSON, as it was served.
    #[must_use]
    pub fn proof(&self) -> &str {
        match self {
            Self::Plain(proof) => proof,
            Self::InLog(proof) => utf8(proof.extra().unwrap_or_default()).unwrap_or_default(),
        }
    }

    /// What shows that its entry is in the log.
    #[must_use]
    pub fn log_proof(&self) -> Option<&TlogProof> {
        match self {
            Self::Plain(_) => None,
            Self::InLog(proof) => Some(proof),
        }
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(bytes).map_err(|_| Error::Shape("it is not UTF-8".into()))
}

impl fmt::Display for Saved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(proof) => f.write_str(proof),
            Self::InLog(proof) => proof.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use transparency_log::{Checkpoint, Frontier, Hash, Origin, Signer};

    use super::*;

    const JSON: &str = "{\"version\":2}\n\n— not a signature\n";

    fn in_log() -> Saved {
        let origin = Origin::of_index("sparse+https://registry.example/index/").unwrap();
        let signer = Signer::new(origin.key_name().unwrap(), &[7; 32]);
        let mut frontier = Frontier::new();
        frontier.push(Hash::leaf(b"first").unwrap()).unwrap();
        let mut checkpoint = SignedCheckpoint::unsigned(Checkpoint::new(origin, frontier.head()).unwrap());
        checkpoint.sign(&signer).unwrap();
        Saved::in_log(JSON, 0, InclusionProof::default(), checkpoint).unwrap()
    }

    #[test]
    fn both_forms_are_read_as_they_were_written() {
        for saved in [Saved::Plain(JSON.into()), in_log()] {
            let read = Saved::parse(saved.to_string().as_bytes()).unwrap();
            assert_eq!((&read, read.proof()), (&saved, JSON));
        }
        assert!(in_log().to_string().starts_with("c2sp.org/tlog-proof@v1\nextra "));
    }

    #[test]
    fn what_is_neither_is_refused() {
        assert!(matches!(Saved::parse(b"\xff"), Err(Error::Shape(_))));
        let file = in_log().to_string();
        let without = file.lines().filter(|line| !line.starts_with("extra ")).collect::<Vec<_>>().join("\n");
        assert!(matches!(Saved::parse(format!("{without}\n").as_bytes()), Err(Error::Shape(_))));
        for damaged in [
            file.replace("@v1", "@v2"),
            file.replace("index 0", "index 00"),
            file.replace("extra ", "extra /w=="),
            file.replace("— ", "- "),
            file[..file.len() - 1].to_owned(),
        ] {
            assert!(matches!(Saved::parse(damaged.as_bytes()), Err(Error::Saved(_))), "{damaged}");
        }
        let not_text = file.replace(file.split(['\n', ' ']).nth(2).unwrap(), "/w==");
        assert!(matches!(Saved::parse(not_text.as_bytes()), Err(Error::Shape(_))));
        let long = " ".repeat(200_000);
        let Saved::InLog(proof) = in_log() else { unreachable!() };
        assert!(Saved::in_log(&long, 0, InclusionProof::default(), proof.checkpoint().clone()).is_err());
    }
}

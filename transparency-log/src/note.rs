//! Signed notes: a text and signatures by any number of keys.
//!
//! Source: C2SP signed-note, "Format" and "Signatures".

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::error::Error;
use crate::key::{Cosigner, KeyId, KeyName, Signer, Verifier};
use crate::lines;

/// The longest note, in bytes: room for sixteen signatures of a kind with 5,000 bytes each.
pub const MAX_NOTE_BYTES: usize = 131_072;

/// The most signatures that a note may have.
pub const MAX_SIGNATURES: usize = 64;

/// A text with signatures. Nothing is verified before [`Note::verify`]. Displays and parses as the note itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

/// A signature line. Displays and parses as `— NAME BASE64`, without a line break.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    name: KeyName,
    id: KeyId,
    bytes: Vec<u8>,
}

/// A signature of a note that was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified<'a> {
    /// By which of the known keys.
    pub verifier: &'a Verifier,
    /// When it was made, if it is a cosignature: seconds since 1970, by the cosigner's clock.
    pub time: Option<u64>,
}

impl Note {
    /// A note without signatures. The text ends with a line break and has no control characters but line breaks.
    ///
    /// # Errors
    /// [`Error::NoteSyntax`], [`Error::NoteTooLong`].
    pub fn unsigned(text: impl Into<String>) -> Result<Self, Error> {
        let text = text.into();
        if text.len() > MAX_NOTE_BYTES {
            return Err(Error::NoteTooLong);
        }
        if !text.ends_with('\n')
            || text.contains(|character| lines::is_control(character) && character != '\n')
        {
            return Err(Error::NoteSyntax);
        }
        Ok(Self { text, signatures: Vec::new() })
    }

    /// The text with its last line break, as it was or will be signed.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signatures in their order, verified or not, by known keys or not.
    #[must_use]
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Adds a signature of the text.
    ///
    /// # Errors
    /// [`Error::NoteTooLong`].
    pub fn sign(&mut self, signer: &Signer) -> Result<(), Error> {
        let bytes = signer.sign(&self.text);
        self.add(Signature::by(signer.verifier(), bytes))
    }

    /// Adds a cosignature of the text, which is that of a checkpoint. The time is in seconds since 1970.
    ///
    /// # Errors
    /// [`Error::CosignatureTime`], [`Error::NoteTooLong`].
    pub fn cosign(&mut self, cosigner: &Cosigner, time: u64) -> Result<(), Error> {
        let bytes = cosigner.sign(&self.text, time)?;
        self.add(Signature::by(cosigner.verifier(), bytes))
    }

    /// Adds a signature that somebody made, in place of an earlier one by the same key. It is not verified.
    ///
    /// # Errors
    /// [`Error::NoteTooLong`].
    pub fn add(&mut self, signature: Signature) -> Result<(), Error> {
        let mut signatures = self.signatures.clone();
        signatures.retain(|earlier| (&earlier.name, earlier.id) != (&signature.name, signature.id));
        signatures.push(signature);
        let note = Self { text: self.text.clone(), signatures };
        if note.signatures.len() > MAX_SIGNATURES || note.to_string().len() > MAX_NOTE_BYTES {
            return Err(Error::NoteTooLong);
        }
        *self = note;
        Ok(())
    }

    /// Verifies the signatures by the known keys, and returns one for each of those keys that signed. All others are ignored,
    /// whatever their type.
    ///
    /// # Errors
    /// [`Error::NotSigned`]: by none of them. [`Error::BadSignature`], [`Error::CosignatureTime`]: one by a known key does not hold.
    pub fn verify<'a>(
        &self,
        known: impl IntoIterator<Item = &'a Verifier>,
    ) -> Result<Vec<Verified<'a>>, Error> {
        let mut verified: Vec<Verified<'a>> = Vec::new();
        for verifier in known {
            for signature in self.signatures.iter().filter(|signature| signature.is_by(verifier)) {
                let time = verifier.verify(&self.text, &signature.bytes)?;
                if verified.iter().all(|found| found.verifier != verifier) {
                    verified.push(Verified { verifier, time });
                }
            }
        }
        if verified.is_empty() { Err(Error::NotSigned) } else { Ok(verified) }
    }
}

impl FromStr for Note {
    type Err = Error;

    fn from_str(note: &str) -> Result<Self, Error> {
        if note.len() > MAX_NOTE_BYTES {
            return Err(Error::NoteTooLong);
        }
        let (text, signatures) = note.rsplit_once("\n\n").ok_or(Error::NoteSyntax)?;
        Ok(Self { signatures: parse_signatures(signatures)?, ..Self::unsigned(format!("{text}\n"))? })
    }
}

/// Reads lines of signatures, each with its line break: at least one, and at most [`MAX_SIGNATURES`].
///
/// # Errors
/// [`Error::NoteSyntax`], [`Error::NoteTooLong`].
pub(crate) fn parse_signatures(text: &str) -> Result<Vec<Signature>, Error> {
    let lines = text.strip_suffix('\n').ok_or(Error::NoteSyntax)?.split('\n');
    let signatures = lines.take(MAX_SIGNATURES + 1).map(str::parse).collect::<Result<Vec<_>, _>>()?;
    if signatures.len() > MAX_SIGNATURES { Err(Error::NoteTooLong) } else { Ok(signatures) }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

impl Signature {
    fn by(verifier: &Verifier, bytes: Vec<u8>) -> Self {
        Self { name: verifier.name().clone(), id: verifier.id(), bytes }
    }

    /// The name of the key that is said to have signed.
    #[must_use]
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// The id of the key that is said to have signed.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Whether it is said to be by this key.
    #[must_use]
    pub fn is_by(&self, verifier: &Verifier) -> bool {
        (&self.name, self.id) == (verifier.name(), verifier.id())
    }
}

impl FromStr for Signature {
    type Err = Error;

    fn from_str(line: &str) -> Result<Self, Error> {
        let (name, signature) =
            line.strip_prefix("— ").and_then(|line| line.split_once(' ')).ok_or(Error::NoteSyntax)?;
        let signature = STANDARD.decode(signature).map_err(|_| Error::NoteSyntax)?;
        let (id, bytes) =
            signature.split_first_chunk().filter(|(_, bytes)| !bytes.is_empty()).ok_or(Error::NoteSyntax)?;
        let name = name.parse().map_err(|_| Error::NoteSyntax)?;
        Ok(Self { name, id: KeyId(*id), bytes: bytes.to_vec() })
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "— {} {}", self.name, STANDARD.encode([self.id.0.as_slice(), &self.bytes].concat()))
    }
}

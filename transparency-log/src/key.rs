//! Keys that sign notes: their names and ids, and Ed25519 as two types of signature.
//!
//! Source: C2SP signed-note, "Signatures" and "Verifier keys"; tlog-cosignature, "Format" and "Ed25519 signed message".

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::error::Error;
use crate::hash::Hash;
use crate::lines;
use crate::tree::MAX_SIZE;

/// The name of a key: not empty, without blanks, `+` or control characters. It should be a URL without its scheme.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName(String);

impl KeyName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        if !lines::is_line(name)
            || name.contains(|character: char| character == '+' || character.is_whitespace())
        {
            return Err(Error::KeyName);
        }
        Ok(Self(name.to_owned()))
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The id of a key, 4 bytes of a SHA-256. It tells keys of one name apart, and proves nothing. Displays as 8 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub(crate) [u8; 4]);

impl KeyId {
    /// The id that signed-note recommends: of the name, a line break, the signature type and the public key.
    fn of(name: &KeyName, algorithm: Algorithm, public: &[u8]) -> Self {
        let hash = Hash::of(&[name.0.as_bytes(), b"\n", &[algorithm.signature_type()], public]);
        Self(hash.as_bytes().first_chunk().copied().expect("SHA-256 has 32 bytes"))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The signature types that can be verified. Notes may have signatures of any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Algorithm {
    /// Type 1: Ed25519 (RFC 8032) over the note's text.
    Ed25519,
    /// Type 4: Ed25519 over a time and a checkpoint's text, `cosignature/v1`.
    CosignatureV1,
}

impl Algorithm {
    /// The byte that stands for it in key ids and verifier keys.
    #[must_use]
    pub fn signature_type(self) -> u8 {
        match self {
            Self::Ed25519 => 1,
            Self::CosignatureV1 => 4,
        }
    }
}

/// A public key with its name: whose signatures are known. Displays and parses as a verifier key, `NAME+ID+BASE64`.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    name: KeyName,
    algorithm: Algorithm,
    public: [u8; 32],
    id: KeyId,
}

impl Verifier {
    /// From an Ed25519 public key of 32 bytes (RFC 8032, 5.1.5).
    #[must_use]
    pub fn new(name: KeyName, algorithm: Algorithm, public: [u8; 32]) -> Self {
        Self { id: KeyId::of(&name, algorithm, &public), name, algorithm, public }
    }

    /// The key's name.
    #[must_use]
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// The key's id.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// What its signatures are.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The public key.
    #[must_use]
    pub fn public_key(&self) -> &[u8; 32] {
        &self.public
    }

    /// Verifies a signature, without its key id, of a note's text. Returns the time of a cosignature.
    pub(crate) fn verify(&self, text: &str, signature: &[u8]) -> Result<Option<u64>, Error> {
        let (time, message, signature) = match self.algorithm {
            Algorithm::Ed25519 => (None, text.to_owned(), signature),
            Algorithm::CosignatureV1 => {
                let (time, signature) = signature.split_first_chunk().ok_or_else(|| self.bad_signature())?;
                let time = u64::from_be_bytes(*time);
                (Some(time), cosigned(text, time)?, signature)
            }
        };
        let verified = UnparsedPublicKey::new(&ED25519, self.public).verify(message.as_bytes(), signature);
        verified.map(|()| time).map_err(|_| self.bad_signature())
    }

    fn bad_signature(&self) -> Error {
        Error::BadSignature { name: self.name.to_string() }
    }
}

/// What a cosignature signs.
fn cosigned(text: &str, time: u64) -> Result<String, Error> {
    if time == 0 || time > MAX_SIZE {
        return Err(Error::CosignatureTime);
    }
    Ok(format!("cosignature/v1\ntime {time}\n{text}"))
}

impl FromStr for Verifier {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        // The base64 can have a `+` too.
        let parts = text.split_once('+').and_then(|(name, rest)| Some((name, rest.split_once('+')?)));
        let (name, (id, key)) = parts.ok_or(Error::VerifierSyntax)?;
        let key = STANDARD.decode(key).map_err(|_| Error::VerifierSyntax)?;
        let (algorithm, public) = key.split_first().ok_or(Error::VerifierSyntax)?;
        let algorithm = match algorithm {
            1 => Algorithm::Ed25519,
            4 => Algorithm::CosignatureV1,
            other => return Err(Error::UnknownAlgorithm(*other)),
        };
        let public = public.try_into().map_err(|_| Error::VerifierSyntax)?;
        let verifier = Self::new(name.parse()?, algorithm, public);
        if verifier.id.to_string() == id { Ok(verifier) } else { Err(Error::KeyId) }
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[self.algorithm.signature_type()], self.public.as_slice()].concat();
        write!(f, "{}+{}+{}", self.name, self.id, STANDARD.encode(key))
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A log's private key: it signs notes (type 1).
pub struct Signer(KeyPair);

/// A witness's private key: it cosigns checkpoints (type 4). It must not be that of a [`Signer`], nor of a second witness.
pub struct Cosigner(KeyPair);

struct KeyPair {
    verifier: Verifier,
    pair: Ed25519KeyPair,
}

impl Signer {
    /// From a private key of 32 random bytes (RFC 8032, 5.1.5), which the caller wipes.
    #[must_use]
    pub fn new(name: KeyName, seed: &[u8; 32]) -> Self {
        Self(KeyPair::new(name, Algorithm::Ed25519, seed))
    }

    /// The public half.
    #[must_use]
    pub fn verifier(&self) -> &Verifier {
        &self.0.verifier
    }

    /// A signature of a note's text.
    pub(crate) fn sign(&self, text: &str) -> Vec<u8> {
        self.0.pair.sign(text.as_bytes()).as_ref().to_vec()
    }
}

impl Cosigner {
    /// From a private key of 32 random bytes (RFC 8032, 5.1.5), which the caller wipes.
    #[must_use]
    pub fn new(name: KeyName, seed: &[u8; 32]) -> Self {
        Self(KeyPair::new(name, Algorithm::CosignatureV1, seed))
    }

    /// The public half.
    #[must_use]
    pub fn verifier(&self) -> &Verifier {
        &self.0.verifier
    }

    /// A cosignature of a checkpoint's text.
    pub(crate) fn sign(&self, text: &str, time: u64) -> Result<Vec<u8>, Error> {
        let signature = self.0.pair.sign(cosigned(text, time)?.as_bytes());
        Ok([&time.to_be_bytes(), signature.as_ref()].concat())
    }
}

impl KeyPair {
    fn new(name: KeyName, algorithm: Algorithm, seed: &[u8; 32]) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).expect("any 32 bytes are a private key");
        let public = pair.public_key().as_ref().try_into().expect("an Ed25519 key has 32 bytes");
        Self { verifier: Verifier::new(name, algorithm, public), pair }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Signer").field(&self.0.verifier).finish()
    }
}

impl fmt::Debug for Cosigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cosigner").field(&self.0.verifier).finish()
    }
}

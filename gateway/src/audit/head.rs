//! Heads: the gateway's signatures over places in the log, each of which covers every entry up to it.
//!
//! A head is one line of canonical JSON. Its signature is ECDSA over P-384 with SHA-384 (r ‖ s, 96 bytes, base64url
//! without padding) of PASETO's pre-authentication encoding of two pieces: [`PURPOSE`], and the same line without
//! `signature`. No token is signed over such bytes, so a head and a token cannot be mistaken for each other.

use asymmetric_token::paseto::{SIGNATURE_BYTES, pre_authentication_encoding};
use asymmetric_token::{Error as TokenError, PublicKey};
use aws_lc_rs::error::{KeyRejected, Unspecified};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P384_SHA384_FIXED, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::{EntryError, Point, canonical, canonical_object, text, time, time_text};

/// The first piece of what is signed.
pub const PURPOSE: &[u8] = b"registry-gateway audit head v1";

/// A place in the log that a gateway has signed. The signature was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The index URL of the registry whose log it is.
    pub index: String,
    /// The entry up to which the log is signed.
    pub point: Point,
    /// When it was signed, by the gateway's clock.
    pub time: Timestamp,
    /// The key that signed.
    pub key: PublicKey,
    signature: [u8; SIGNATURE_BYTES],
}

/// Why a line is not a head.
#[derive(Debug, thiserror::Error)]
pub enum HeadError {
    /// It is not canonical JSON, or a field is missing or wrong.
    #[error("this is not a head of an audit log: {0}")]
    Syntax(#[from] EntryError),
    /// It has a later version.
    #[error("this head has version {0}, which a newer registry-gateway wrote")]
    Newer(u64),
    /// Its key is not a P-384 key.
    #[error("the head's key cannot be used: {0}")]
    Key(TokenError),
    /// The signature does not verify: another key made it, or the head was changed.
    #[error("the signature of the head of entry {seq} does not hold: the head was changed")]
    Signature {
        /// The entry that the head names.
        seq: u64,
    },
}

impl Head {
    /// Reads a head and verifies its signature by the key that it names. Whether that key is the gateway's, the caller
    /// has to decide.
    ///
    /// # Errors
    /// [`HeadError`].
    pub fn parse(line: &str) -> Result<Self, HeadError> {
        let mut object = canonical_object(line.trim_end().as_bytes())?;
        let wrong = |field| HeadError::Syntax(EntryError::Field(field));
        match object.remove("version").and_then(|version| version.as_u64()) {
            Some(1) => {}
            Some(version) => return Err(HeadError::Newer(version)),
            None => return Err(wrong("version")),
        }
        let index = text(&mut object, "index")?;
        let seq = object.remove("seq").and_then(|seq| seq.as_u64()).ok_or_else(|| wrong("seq"))?;
        let hash = text(&mut object, "hash")?.parse().map_err(|_| wrong("hash"))?;
        let time = time(&text(&mut object, "time")?).ok_or_else(|| wrong("time"))?;
        let key: PublicKey = text(&mut object, "key")?.parse().map_err(HeadError::Key)?;
        let signature = URL_SAFE_NO_PAD.decode(text(&mut object, "signature")?).ok();
        let signature =
            signature.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| wrong("signature"))?;
        if !object.is_empty() {
            return Err(EntryError::NotCanonical.into());
        }
        let head = Self { index, point: Point { seq, hash }, time, key, signature };
        UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, key.as_bytes())
            .verify(&head.signed_bytes(), &head.signature)
            .map_err(|_| HeadError::Signature { seq })?;
        Ok(head)
    }

    /// The head as one line, without a line break.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut object = self.statement();
        object.insert("signature".to_owned(), URL_SAFE_NO_PAD.encode(self.signature).into());
        written(&object)
    }

    fn signed_bytes(&self) -> Vec<u8> {
        pre_authentication_encoding(&[PURPOSE, written(&self.statement()).as_bytes()])
    }

    fn statement(&self) -> Map<String, Value> {
        Map::from_iter(
            [
                ("version", Value::from(1)),
                ("index", self.index.as_str().into()),
                ("seq", self.point.seq.into()),
                ("hash", self.point.hash.to_string().into()),
                ("time", time_text(self.time).into()),
                ("key", self.key.to_string().into()),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        )
    }
}

fn written(object: &Map<String, Value>) -> String {
    canonical::object(object).expect("a log has fewer entries than 2^53")
}

/// The gateway's own key. It signs heads and nothing else.
pub struct HeadKey {
    pair: EcdsaKeyPair,
    public: PublicKey,
}

/// Why a key cannot sign heads.
#[derive(Debug, thiserror::Error)]
pub enum HeadKeyError {
    /// It is not a P-384 key in PKCS#8.
    #[error("this is not a P-384 key in PKCS#8")]
    Rejected(#[from] KeyRejected),
    /// Its public half is not a point of the curve.
    #[error("this key has no public half: {0}")]
    Public(#[from] TokenError),
    /// The random generator or the signing failed.
    #[error("no key or signature could be made")]
    Failed(#[from] Unspecified),
}

impl HeadKey {
    /// Makes a key, in PKCS#8, DER.
    ///
    /// # Errors
    /// [`HeadKeyError::Failed`].
    pub fn generate() -> Result<Zeroizing<Vec<u8>>, HeadKeyError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING)?;
        Ok(Zeroizing::new(pair.to_pkcs8v1()?.as_ref().to_vec()))
    }

    /// Reads a key from PKCS#8, DER.
    ///
    /// # Errors
    /// [`HeadKeyError::Rejected`].
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, HeadKeyError> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, der)?;
        let point = pair.public_key().as_ref().try_into().map_err(|_| TokenError::KeyOffCurve)?;
        Ok(Self { public: PublicKey::from_uncompressed(point)?, pair })
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// Signs a place in the log of the registry with this index URL.
    ///
    /// # Errors
    /// [`HeadKeyError::Failed`].
    pub fn sign(&self, index: &str, point: Point, now: Timestamp) -> Result<Head, HeadKeyError> {
        let signature = [0; SIGNATURE_BYTES];
        let mut head = Head { index: index.to_owned(), point, time: now, key: self.public, signature };
        let made = self.pair.sign(&SystemRandom::new(), &head.signed_bytes())?;
        head.signature = made.as_ref().try_into().map_err(|_| Unspecified)?;
        Ok(head)
    }
}

impl std::fmt::Debug for HeadKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("HeadKey").field(&self.public).finish()
    }
}

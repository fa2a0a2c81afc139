//! The publish in the registry's audit log: from its entry, by way of those that follow it, to a head that the gateway
//! has signed.
//!
//! Each entry has the SHA-256 of the one before, and a head has that of the last, so that the head stands for all of
//! them. What this shows is that the gateway has bound itself: it cannot drop the entry again without contradicting
//! its own signature. It does not show that what the gateway wrote is true; the token shows that.

use asymmetric_token::paseto::pre_authentication_encoding;
use asymmetric_token::strict_json;
use asymmetric_token::{Checksum, KeyId, PublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::Proof;
use crate::signature::is_signed;
use crate::text::escape;

/// A head is signed every 64 entries at the latest, so no way to one is longer.
const LONGEST_WAY: usize = 64;

/// More than anybody is called, in bytes: it is held on to for each of many packages.
const LONGEST_USER: usize = 1 << 10;

/// What a gateway's head is signed as, so that it cannot be taken for a token.
const PURPOSE: &[u8] = b"registry-gateway audit head v1";

/// An entry, those after it, and the head of the last; each as it is stored.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Path {
    seq: u64,
    entry: String,
    path: Vec<String>,
    head: Option<String>,
}

/// Where the log has the publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// The entry's number.
    pub seq: u64,
    /// When it was written, as the gateway says.
    pub time: Timestamp,
    /// Whose key it was, as the gateway says.
    pub user: String,
    /// The signed head; `None` while the entry is newer than the last one.
    pub head: Option<Head>,
}

/// A head whose signature holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The entry that it is of.
    pub seq: u64,
    /// That entry's hash.
    pub hash: Checksum,
    /// When it was signed, as the gateway says.
    pub time: Timestamp,
    /// The gateway's key.
    pub key: KeyId,
}

/// Why the log does not have the publish, or the proof does not show it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "a field's name says what it is")]
pub enum NotLogged {
    /// Not an entry of a log.
    #[error("entry {0} is damaged")]
    Entry(u64),
    /// The entry is of something else.
    #[error("entry {seq} is of another publish: its `{field}` differs")]
    Other { seq: u64, field: &'static str },
    /// An entry does not follow the one before it.
    #[error("entry {0} does not follow the one before it")]
    Unlinked(u64),
    /// The way is longer than any can be.
    #[error("{0} entries lie between this one and the head; there are never so many")]
    TooLong(usize),
    /// Not a head.
    #[error("the head is damaged")]
    Head,
    /// The head is of another log.
    #[error("the head is that of the registry {}", escape(index))]
    OtherLog { index: String },
    /// The entries lead elsewhere.
    #[error("the entries do not lead to the head of entry {0}")]
    OtherHead(u64),
    /// Not signed by the key that it names.
    #[error("the signature of the head of entry {0} does not hold")]
    Signature(u64),
}

impl Path {
    pub(super) fn follow(&self, proof: &Proof) -> Result<Logged, NotLogged> {
        if self.path.len() > LONGEST_WAY {
            return Err(NotLogged::TooLong(self.path.len()));
        }
        let entry = object(&self.entry).ok_or(NotLogged::Entry(self.seq))?;
        is_of(proof, &entry, self.seq)?;
        let damaged = NotLogged::Entry(self.seq);
        let time = text(&entry, "time").and_then(|time| time.parse().ok()).ok_or(damaged)?;
        let user = text(&entry, "user").unwrap_or_default().to_owned();
        if user.len() > LONGEST_USER {
            return Err(NotLogged::Entry(self.seq));
        }
        let head = self.head.as_deref().map(|line| self.lead_to(line, proof)).transpose()?;
        Ok(Logged { seq: self.seq, time, user, head })
    }

    fn lead_to(&self, line: &str, proof: &Proof) -> Result<Head, NotLogged> {
        let (mut seq, mut hash) = (self.seq, sha256(&self.entry));
        for bytes in &self.path {
            seq += 1;
            let entry = object(bytes).ok_or(NotLogged::Entry(seq))?;
            let follows =
                number(&entry, "seq") == Some(seq) && text(&entry, "prev") == Some(&hash.to_string());
            if !follows {
                return Err(NotLogged::Unlinked(seq));
            }
            hash = sha256(bytes);
        }
        let head = verified_head(line, &proof.index)?;
        if (head.seq, head.hash) != (seq, hash) {
            return Err(NotLogged::OtherHead(head.seq));
        }
        Ok(head)
    }
}

/// The entry is the one that was written when this token was used up.
fn is_of(proof: &Proof, entry: &Map<String, Value>, seq: u64) -> Result<(), NotLogged> {
    if number(entry, "seq") != Some(seq) {
        return Err(NotLogged::Other { seq, field: "seq" });
    }
    for (field, value) in [
        ("kind", "intent"),
        ("mutation", "publish"),
        ("name", proof.name.as_str()),
        ("vers", &proof.version.to_string()),
        ("cksum", &proof.checksum.to_string()),
        ("key", &proof.public.id().to_string()),
        ("token", &proof.token),
    ] {
        if text(entry, field) != Some(value) {
            return Err(NotLogged::Other { seq, field });
        }
    }
    Ok(())
}

fn verified_head(line: &str, index: &str) -> Result<Head, NotLogged> {
    let mut object = object(line).ok_or(NotLogged::Head)?;
    let signature = object.remove("signature");
    let signature =
        signature.as_ref().and_then(Value::as_str).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
    let signature = signature.and_then(|bytes| bytes.try_into().ok()).ok_or(NotLogged::Head)?;
    let field = |name| text(&object, name).ok_or(NotLogged::Head);
    if number(&object, "version") != Some(1) {
        return Err(NotLogged::Head);
    }
    if field("index")? != index {
        return Err(NotLogged::OtherLog { index: field("index")?.to_owned() });
    }
    let key: PublicKey = field("key")?.parse().map_err(|_| NotLogged::Head)?;
    let head = Head {
        seq: number(&object, "seq").ok_or(NotLogged::Head)?,
        hash: field("hash")?.parse().map_err(|_| NotLogged::Head)?,
        time: field("time")?.parse().map_err(|_| NotLogged::Head)?,
        key: key.id(),
    };
    let mut fields: Vec<_> = object.into_iter().collect();
    fields.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    let statement = Value::Object(fields.into_iter().collect()).to_string();
    let signed = pre_authentication_encoding(&[PURPOSE, statement.as_bytes()]);
    if is_signed(key.as_bytes(), &signed, &signature) {
        Ok(head)
    } else {
        Err(NotLogged::Signature(head.seq))
    }
}

fn object(line: &str) -> Option<Map<String, Value>> {
    match strict_json::parse(line) {
        Ok(Value::Object(object)) => Some(object),
        _ => None,
    }
}

fn text<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    object.get(name)?.as_str()
}

fn number(object: &Map<String, Value>, name: &str) -> Option<u64> {
    object.get(name)?.as_u64()
}

fn sha256(bytes: &str) -> Checksum {
    Checksum(Sha256::digest(bytes).into())
}

//! One key in the place of another: a statement that both have signed.
//!
//! Whoever has stolen a key can sign such a statement as well as its owner. So it changes nothing by itself: it is shown, and counts once
//! the person has taken it into their own list.

use std::sync::OnceLock;

use asymmetric_token::paseto::pre_authentication_encoding;
use asymmetric_token::{CrateName, PublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::entry::Scope;
use crate::signature::is_signed;

/// What a statement is signed as. A token's first piece is a key of 49 bytes, so neither can be taken for the other.
const PURPOSE: &[u8] = b"yk-cargo key rotation v1";

/// `[[rotation]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// The index URL.
    pub index: String,
    /// The crates.
    pub scope: Scope,
    /// The same, as it is written and signed.
    pub written: String,
    /// The key that was used until then.
    pub from: PublicKey,
    /// The one that is used now.
    pub to: PublicKey,
    /// What both have signed.
    pub(super) statement: Statement,
}

/// A rotation in a list, whose signatures are verified at most once.
#[derive(Clone, Debug)]
pub(super) struct Stated {
    pub(super) rotation: Rotation,
    is_signed: OnceLock<bool>,
}

/// The signatures of the old key and the new one, each r ‖ s of 96 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Statement {
    old: [u8; 96],
    new: [u8; 96],
}

/// What both keys sign with ECDSA and SHA-384: that in one registry, for the crates with this name or pattern, the second takes the place
/// of the first.
#[must_use]
pub fn statement(index: &str, crates: &str, from: &PublicKey, to: &PublicKey) -> Vec<u8> {
    let pieces = [PURPOSE, index.as_bytes(), crates.as_bytes(), from.as_bytes(), to.as_bytes()];
    pre_authentication_encoding(&pieces)
}

impl Rotation {
    /// What both keys have signed with r ‖ s of 96 bytes each, the old one's first, for the crates of a registry as they are written.
    #[must_use]
    pub fn new(
        index: String,
        (scope, written): (Scope, String),
        [from, to]: [PublicKey; 2],
        [old, new]: [[u8; 96]; 2],
    ) -> Self {
        Self { index, scope, written, from, to, statement: Statement { old, new } }
    }

    /// Whether it is about a crate.
    #[must_use]
    pub fn is_about(&self, index: &str, name: &CrateName) -> bool {
        self.index == index && self.scope.has(name)
    }

    /// Whether both keys have signed it.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        let signed = statement(&self.index, &self.written, &self.from, &self.to);
        let Statement { old, new } = &self.statement;
        self.from != self.to
            && is_signed(self.from.as_bytes(), &signed, old)
            && is_signed(self.to.as_bytes(), &signed, new)
    }

    /// The signatures, as they are written.
    #[must_use]
    pub fn statement(&self) -> String {
        self.statement.to_string()
    }
}

impl From<Rotation> for Stated {
    fn from(rotation: Rotation) -> Self {
        Self { rotation, is_signed: OnceLock::new() }
    }
}

impl Stated {
    /// Whether both keys have signed it.
    pub(super) fn is_signed(&self) -> bool {
        *self.is_signed.get_or_init(|| self.rotation.is_signed())
    }

    /// What came of it, once it was asked.
    #[cfg(test)]
    pub(super) fn verified(&self) -> Option<bool> {
        self.is_signed.get().copied()
    }
}

impl Statement {
    /// Two signatures in base64url, with a point between them.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (old, new) = text.split_once('.')?;
        let signature = |text| URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok();
        Some(Self { old: signature(old)?, new: signature(new)? })
    }
}

impl std::fmt::Display for Statement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", URL_SAFE_NO_PAD.encode(self.old), URL_SAFE_NO_PAD.encode(self.new))
    }
}

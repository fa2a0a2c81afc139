//! Keys and the users they belong to.
//!
//! A key belongs to one user and has one role. Its id is always computed from the key. A revoked key stays on record,
//! so that it can be named in a refusal and cannot come back under another user.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

pub use asymmetric_token::Role;
use asymmetric_token::{KeyId, PublicKey};
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};
use crate_file::characters::is_hidden;
use jiff::Timestamp;

/// One public key, as registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The public key.
    pub public: PublicKey,
    /// The user it belongs to.
    pub user: User,
    /// What it may sign.
    pub role: Role,
    /// The user's name for it.
    pub label: Option<String>,
    /// The `sub` that its tokens must have.
    pub subject: Option<String>,
    /// When it was registered.
    pub added: Timestamp,
    /// When it expires, if it does.
    pub expires: Option<Timestamp>,
    /// When it was revoked, if it was.
    pub revoked: Option<Timestamp>,
}

/// A key to be registered.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// The public key.
    pub public: PublicKey,
    /// The user it belongs to.
    pub user: User,
    /// What it may sign.
    pub role: Role,
    /// The user's name for it.
    pub label: Option<String>,
    /// The `sub` that its tokens must have.
    pub subject: Option<String>,
    /// When it expires, if it does.
    pub expires: Option<Timestamp>,
}

impl Key {
    /// The key's id, `k3.pid.…`.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.public.id()
    }
}

/// A user's name: 1 to 64 ASCII letters, digits, `.`, `_`, `-`, `@` or `+`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct User(Arc<str>);

impl User {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for User {
    type Err = BadUser;

    fn from_str(name: &str) -> Result<Self, BadUser> {
        let fits = (1..=64).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-@+".contains(&byte));
        if fits { Ok(Self(name.into())) } else { Err(BadUser) }
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a label is: a person's name for a card or a key.
pub const LABEL: &str = "1 to 64 characters, none of them invisible or changing the direction of text";

/// Whether a text can be a label. It is shown in lists, where it must not hide or move anything.
#[must_use]
pub fn is_label(text: &str) -> bool {
    (1..=64).contains(&text.chars().count())
        && !text.chars().any(is_hidden)
        && !text.chars().all(char::is_whitespace)
}

/// The text is not a user's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a user name is 1 to 64 ASCII letters, digits, `.`, `_`, `-`, `@` or `+`")]
pub struct BadUser;

/// Whether a key has signed a message. `signature` is r ‖ s. This is three times as fast as the p384 crate.
pub(crate) fn is_signed(public: &[u8; 49], message: &[u8], signature: &[u8; 96]) -> bool {
    UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, public).verify(message, signature).is_ok()
}

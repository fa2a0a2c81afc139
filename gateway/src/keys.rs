//! Keys and the people they belong to.
//!
//! A key belongs to one user and has one role. Its id is computed here, never taken from anyone; a revoked key stays
//! on record, so that it can be named in a refusal and cannot come back under another user.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

pub use asymmetric_token::Role;
use asymmetric_token::{KeyId, PublicKey};
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};
use jiff::Timestamp;

/// One public key, as registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The key.
    pub public: PublicKey,
    /// Whose it is.
    pub user: User,
    /// What it may sign.
    pub role: Role,
    /// The user's word for it.
    pub label: Option<String>,
    /// The `sub` its tokens must carry.
    pub subject: Option<String>,
    /// When it was registered.
    pub added: Timestamp,
    /// From when on it is good for nothing, if that is settled in advance.
    pub expires: Option<Timestamp>,
    /// Since when it is good for nothing.
    pub revoked: Option<Timestamp>,
}

/// A key to be registered.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// The key.
    pub public: PublicKey,
    /// Whose it is.
    pub user: User,
    /// What it may sign.
    pub role: Role,
    /// The user's word for it.
    pub label: Option<String>,
    /// The `sub` its tokens must carry.
    pub subject: Option<String>,
    /// From when on it is good for nothing.
    pub expires: Option<Timestamp>,
}

impl Key {
    /// The key's id, `k3.pid.…`.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.public.id()
    }
}

/// A person's name here: 1 to 64 ASCII letters, digits, `.`, `_`, `-`, `@` or `+`.
#[derive(Clone, Debug, PartialEq, Eq)]
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

/// Not a user's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a user name is 1 to 64 ASCII letters, digits, `.`, `_`, `-`, `@` or `+`")]
pub struct BadUser;

/// Whether a key has signed a message; `signature` is r ‖ s. Three times as fast as the p384 crate.
pub(crate) fn is_signed(public: &[u8; 49], message: &[u8], signature: &[u8; 96]) -> bool {
    UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, public).verify(message, signature).is_ok()
}

//! Enrollments: which key on which card signs for which index URL.
//!
//! `$CARGO_HOME/yk-cargo/enrollments.toml` is the only authority for signing, and for whose sealed token is opened. Cargo's registry *name*, the project's
//! configuration and provider arguments are all in the hands of whoever wrote the project; the exact index URL is
//! what a token is bound to, so it is the key here.
//!
//! The file holds no secret, but whoever can write it can have another key asked for: it is refused if others may.

use std::path::{Path, PathBuf};

pub use asymmetric_token::Role;
use asymmetric_token::{KeyIdField, PublicKey};
use serde::Deserialize;
use toml_edit::DocumentMut;

use crate::folder;
use crate::index_url::IndexUrl;
use crate::piv::certificate::KeyPurpose;
use crate::piv::{PinPolicy, Serial, Slot, TouchPolicy, Version};
use crate::text::{escape, foreign_word};

pub(crate) mod edit;
mod error;
mod sealing;
mod wire;

pub use edit::Edit;
pub use error::{Error, Problem};
pub use sealing::{SealedToken, SealingKey};

/// Seconds of reuse where nothing is known of the registry's window: short enough for one of two minutes.
pub const DEFAULT_REUSE: u32 = 45;

/// The only version of the file that this program writes and reads.
pub const FILE_VERSION: i64 = 1;

/// All enrollments, as read.
#[derive(Debug, Default)]
pub struct Enrollments {
    /// One entry per index URL, in file order.
    pub registries: Vec<Registry>,
    /// Keys being made: written before GENERATE, gone once the certificate stands.
    pub pending: Vec<Pending>,
    /// Registries whose bearer token is sealed, one entry per index URL, in file order.
    pub sealed: Vec<SealedToken>,
    /// The keys to which tokens are sealed, one per card, in the order in which they are tried.
    pub sealing_keys: Vec<SealingKey>,
}

/// One registry.
#[derive(Clone, Debug)]
pub struct Registry {
    /// The index URL, as cargo passes it on.
    pub index: IndexUrl,
    /// Cargo's name for it. For display only.
    pub name: Option<String>,
    /// `sub` of every token.
    pub subject: Option<String>,
    /// How the footer spells the key id.
    pub key_id: KeyIdField,
    /// Where the registry's challenges come from.
    pub challenge: ChallengeSource,
    /// For how many seconds cargo may use a read token again.
    pub reuse: u32,
    /// In the order in which they are tried.
    pub cards: Vec<Card>,
}

/// A card enrolled for a registry.
#[derive(Clone, Debug)]
pub struct Card {
    /// The YubiKey's number.
    pub serial: Serial,
    /// When it was enrolled.
    pub firmware: Version,
    /// What its owner calls it.
    pub label: String,
    /// Its keys for this registry.
    pub keys: Vec<Key>,
}

/// One key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// What it may sign.
    pub role: Role,
    /// Where it is.
    pub slot: Slot,
    /// Its public half. A signature is checked with it before it leaves the process.
    pub public: PublicKey,
    /// As read back from the card.
    pub pin: PinPolicy,
    /// As read back from the card.
    pub touch: TouchPolicy,
}

/// Where a registry's challenges come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChallengeSource {
    /// It issues none.
    #[default]
    None,
    /// The 401 to an anonymous `config.json`.
    Index,
    /// The 401 to an anonymous read of the API.
    Api,
}

impl ChallengeSource {
    fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Index => "index",
            Self::Api => "api",
        }
    }
}

/// Whether index and downloads need a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// Yes.
    AuthRequired,
    /// No.
    Open,
}

impl Reads {
    /// As in the enrollments file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AuthRequired => "auth-required",
            Self::Open => "open",
        }
    }

    /// The one with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::AuthRequired, Self::Open].into_iter().find(|reads| reads.as_str() == name)
    }
}

/// A slot whose key is being made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// On this card.
    pub serial: Serial,
    /// In this slot.
    pub slot: Slot,
    /// What it will be for.
    pub purpose: Purpose,
}

/// What a key is made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Signing for a registry.
    Signing {
        /// What it may sign.
        role: Role,
        /// The registry.
        index: IndexUrl,
    },
    /// Opening sealed tokens, of all registries.
    Sealing,
}

impl Enrollments {
    /// Reads the enrollments; a missing file means none.
    ///
    /// # Errors
    /// [`Error`]: unreadable, unsafe permissions, not TOML, a newer version, values that make no sense. Nothing is
    /// signed then.
    pub fn load(cargo_home: &Path) -> Result<Self, Error> {
        let path = path(cargo_home);
        match folder::read(&path)? {
            None => Ok(Self::default()),
            Some(text) => Self::parse(&text).map_err(|problem| Error::Content { path, problem }),
        }
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        Self::from_document(
            text.parse().map_err(|error: toml_edit::TomlError| Problem::Toml(error.to_string()))?,
        )
    }

    fn from_document(document: DocumentMut) -> Result<Self, Problem> {
        match document.get("version").map(toml_edit::Item::as_integer) {
            Some(Some(FILE_VERSION)) => {}
            Some(Some(version)) => return Err(Problem::Newer { version }),
            _ => return Err(Problem::NoVersion),
        }
        let wire: wire::File = toml_edit::de::from_document(document)
            .map_err(|error| Problem::Toml(error.message().to_owned()))?;
        wire.try_into()
    }

    /// The registry with exactly this index URL.
    #[must_use]
    pub fn registry(&self, index: &str) -> Option<&Registry> {
        self.registries.iter().find(|registry| registry.index == *index)
    }

    /// The sealed token of the registry with exactly this index URL.
    #[must_use]
    pub fn sealed(&self, index: &str) -> Option<&SealedToken> {
        self.sealed.iter().find(|token| token.index == *index)
    }

    /// Whether a slot has a key of ours, made or in the making.
    #[must_use]
    pub fn holds(&self, serial: Serial, slot: Slot) -> bool {
        let cards = self.registries.iter().flat_map(|registry| &registry.cards);
        let mut enrolled = cards.filter(|card| card.serial == serial).flat_map(|card| &card.keys);
        enrolled.any(|key| key.slot == slot)
            || self.pending.iter().any(|pending| (pending.serial, pending.slot) == (serial, slot))
            || self.sealing_keys.iter().any(|key| (key.serial, key.slot) == (serial, slot))
    }

    /// The slot in which a key for this purpose was begun on a card, and not finished.
    #[must_use]
    pub fn begun(&self, serial: Serial, purpose: &Purpose) -> Option<Slot> {
        let begun =
            self.pending.iter().find(|pending| (pending.serial, &pending.purpose) == (serial, purpose));
        begun.map(|pending| pending.slot)
    }

    /// A registry enrolled under this name, perhaps with another URL. For messages only.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Registry> {
        self.registries.iter().find(|registry| registry.name.as_deref() == Some(name))
    }
}

impl Purpose {
    /// The registry for which such a key signs.
    #[must_use]
    pub fn index(&self) -> Option<&IndexUrl> {
        match self {
            Self::Signing { index, .. } => Some(index),
            Self::Sealing => None,
        }
    }
}

impl From<&Purpose> for KeyPurpose {
    fn from(purpose: &Purpose) -> Self {
        match purpose {
            Purpose::Signing { role, index } => Self::Signing { role: *role, index: index.to_string() },
            Purpose::Sealing => Self::Sealing,
        }
    }
}

impl Pending {
    /// The command that finishes it.
    #[must_use]
    pub fn next_command(&self) -> String {
        match &self.purpose {
            Purpose::Signing { index, .. } => format!("yk-cargo enroll {}", foreign_word(index)),
            Purpose::Sealing => "yk-cargo seal REGISTRY".to_owned(),
        }
    }
}

impl Registry {
    /// Its name, or its URL if it has none.
    #[must_use]
    pub fn display_name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.index)
    }

    /// Its cards as a person knows them: `YubiKey 12345678 (laptop key) or YubiKey 23456789 (safe)`.
    #[must_use]
    pub fn cards_for_display(&self) -> String {
        let cards =
            self.cards.iter().map(|card| format!("YubiKey {} ({})", card.serial, escape(&card.label)));
        cards.collect::<Vec<_>>().join(" or ")
    }

    /// The card with this number.
    #[must_use]
    pub fn card(&self, serial: Serial) -> Option<&Card> {
        self.cards.iter().find(|card| card.serial == serial)
    }
}

impl Card {
    /// The key for reads, or the one for mutations. A read key never serves a mutation, nor the other way round.
    #[must_use]
    pub fn key(&self, mutation: bool) -> Option<&Key> {
        let role = if mutation { Role::Publish } else { Role::Read };
        self.keys
            .iter()
            .find(|key| key.role == role)
            .or_else(|| self.keys.iter().find(|key| key.role == Role::Both))
    }
}

/// The file with the enrollments.
#[must_use]
pub fn path(cargo_home: &Path) -> PathBuf {
    folder::in_cargo_home(cargo_home).join("enrollments.toml")
}

#[cfg(test)]
mod tests;

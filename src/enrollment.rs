//! Enrollments: which key on which card signs for which index URL.
//!
//! `$CARGO_HOME/yk-cargo/enrollments.toml` alone decides what is signed, and which sealed token is opened. Cargo's
//! *name* of a registry, the project's configuration and the provider's arguments are in the hands of whoever wrote the
//! project. A token is bound to the exact index URL, so that is the key here.
//!
//! The file holds no secret. But whoever can write it can have another key used, so it is refused if others may write it.

use std::path::{Path, PathBuf};

pub use asymmetric_token::Role;
use asymmetric_token::{KeyIdField, PublicKey};
use serde::{Deserialize, Serialize};
use toml_edit::DocumentMut;

use crate::folder;
use crate::index_url::{CRATES_IO, IndexUrl};
use crate::piv::certificate::KeyPurpose;
use crate::piv::{PinPolicy, Serial, Slot, TouchPolicy, Version};
use crate::text::{escape, foreign_word};

pub(crate) mod document;
pub(crate) mod edit;
mod error;
mod file;
mod sealing;
mod values;

pub use edit::{Edit, Noted};
pub use error::{Error, Problem};
pub use sealing::{SealedToken, SealingKey};

/// The version of the file.
const VERSION: i64 = 1;

/// For how many seconds a read token is used again if the registry does not say how long it takes one: short enough for
/// a window of two minutes.
pub const DEFAULT_REUSE: u32 = 45;

/// All enrollments, as read.
#[derive(Debug, Default)]
pub struct Enrollments {
    /// One entry per index URL, in file order.
    pub registries: Vec<Registry>,
    /// Keys that are being made. Each is noted before GENERATE, and the note goes when the key is enrolled.
    pub pending: Vec<Pending>,
    /// Registries whose bearer token is sealed, one entry per index URL, in file order.
    pub sealed: Vec<SealedToken>,
    /// The keys to which tokens are sealed, one per card, in the order in which they are tried.
    pub sealing_keys: Vec<SealingKey>,
}

/// One registry.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Registry {
    /// The index URL, as cargo passes it on.
    #[serde(with = "values::text")]
    pub index: IndexUrl,
    /// Cargo's name for it. For display only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `sub` of every token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// How the footer spells the key id.
    #[serde(default = "values::both", with = "values::KeyId")]
    pub key_id: KeyIdField,
    /// Where the registry's challenges come from.
    #[serde(default)]
    pub challenge: ChallengeSource,
    /// For how many seconds cargo may use a read token again.
    #[serde(default = "values::default_reuse")]
    pub reuse: u32,
    /// It takes no signed tokens: its keys sign proofs of what is published there, and nothing else.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub proofs: bool,
    /// Its cards, in the order in which they are tried.
    #[serde(default, rename = "card", skip_serializing)]
    pub cards: Vec<Card>,
}

/// A card enrolled for a registry.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Card {
    /// The YubiKey's number.
    #[serde(with = "values::number")]
    pub serial: Serial,
    /// Its firmware when it was enrolled.
    #[serde(with = "values::text")]
    pub firmware: Version,
    /// What its owner calls it.
    pub label: String,
    /// Its keys for this registry.
    #[serde(default, rename = "key", skip_serializing)]
    pub keys: Vec<Key>,
}

/// One key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Key {
    /// What it may sign.
    #[serde(with = "values::text")]
    pub role: Role,
    /// Where it is.
    #[serde(with = "values::text")]
    pub slot: Slot,
    /// Its public half. A signature is checked with it before it leaves the process.
    #[serde(with = "values::text")]
    pub public: PublicKey,
    /// When it asks for the PIN, as read back from the card.
    #[serde(with = "values::text")]
    pub pin: PinPolicy,
    /// When it asks for a touch, as read back from the card.
    #[serde(with = "values::text")]
    pub touch: TouchPolicy,
}

/// Where a registry's challenges come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
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
    /// What a registry does that has such challenges.
    #[must_use]
    pub fn in_words(self) -> &'static str {
        match self {
            Self::None => "issues no challenges",
            Self::Index | Self::Api => "issues a challenge for each mutation",
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Index => "index",
            Self::Api => "api",
        }
    }
}

/// Whether index and downloads need a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reads {
    /// They need one.
    AuthRequired,
    /// Anybody may read.
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

    /// Reads what a request of cargo's about one index URL needs, with the cards of that registry only: a key is a point whose
    /// second coordinate has to be computed, and cargo waits.
    ///
    /// # Errors
    /// As [`load`](Self::load), but nothing is said of keys that are not read.
    pub fn load_for(cargo_home: &Path, index: &str) -> Result<Self, Error> {
        let path = path(cargo_home);
        let Some(text) = folder::read(&path)? else { return Ok(Self::default()) };
        let read = document::document(Some(&text), VERSION).and_then(|mut document| {
            file::leave_out_keys(&mut document, index);
            Self::from_document(document)
        });
        read.map_err(|problem| Error::Content { path, problem })
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        Self::from_document(document::document(Some(text), VERSION)?)
    }

    fn from_document(document: DocumentMut) -> Result<Self, Problem> {
        file::read(document)
    }

    /// The registry with exactly this index URL.
    #[must_use]
    pub fn registry(&self, index: &str) -> Option<&Registry> {
        self.registries.iter().find(|registry| registry.index == *index)
    }

    /// The same, if it takes signed tokens.
    #[must_use]
    pub fn signing(&self, index: &str) -> Option<&Registry> {
        self.registry(index).filter(|registry| !registry.proofs)
    }

    /// The same, if only proofs are signed for it.
    #[must_use]
    pub fn proving(&self, index: &str) -> Option<&Registry> {
        self.registry(index).filter(|registry| registry.proofs)
    }

    /// The sealed token of the registry with exactly this index URL.
    #[must_use]
    pub fn sealed(&self, index: &str) -> Option<&SealedToken> {
        self.sealed.iter().find(|token| token.index == *index)
    }

    /// Whether this program gives tokens for exactly this index URL.
    #[must_use]
    pub fn know(&self, index: &str) -> bool {
        self.registry(index).is_some() || self.sealed(index).is_some()
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

    /// The slot of the key that a card has enrolled for this purpose.
    pub(crate) fn enrolled(&self, serial: Serial, purpose: &Purpose) -> Option<Slot> {
        match purpose {
            Purpose::Signing { role, index } => {
                let card = self.registry(index).and_then(|registry| registry.card(serial))?;
                card.keys.iter().find(|key| key.role == *role).map(|key| key.slot)
            }
            Purpose::Sealing => self.sealing_keys.iter().find(|key| key.serial == serial).map(|key| key.slot),
        }
    }

    /// Without some keys of one card, which are no longer on it.
    #[must_use]
    pub(crate) fn without(mut self, index: &IndexUrl, serial: Serial, gone: &[Key]) -> Self {
        for registry in self.registries.iter_mut().filter(|registry| registry.index == *index) {
            for card in registry.cards.iter_mut().filter(|card| card.serial == serial) {
                card.keys.retain(|key| !gone.contains(key));
            }
        }
        self
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
            Purpose::Signing { index, .. } if *index == CRATES_IO => {
                "yk-cargo enroll crates-io --proofs".to_owned()
            }
            Purpose::Signing { index, .. } => format!("yk-cargo enroll {}", foreign_word(index)),
            Purpose::Sealing => "yk-cargo seal REGISTRY".to_owned(),
        }
    }
}

impl Registry {
    /// A registry without cards, of which nothing more is known yet.
    #[must_use]
    pub fn new(index: IndexUrl, name: Option<String>, subject: Option<String>) -> Self {
        let (key_id, challenge) = (KeyIdField::Both, ChallengeSource::None);
        let (reuse, proofs, cards) = (DEFAULT_REUSE, false, Vec::new());
        Self { index, name, subject, key_id, challenge, reuse, proofs, cards }
    }

    /// Its name, or its URL if it has none.
    #[must_use]
    pub fn display_name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.index)
    }

    /// The beginning of the command that enrolls it.
    #[must_use]
    pub fn enroll_command(&self) -> String {
        let word = foreign_word(self.display_name());
        format!("yk-cargo enroll {word}{}", if self.proofs { " --proofs" } else { "" })
    }

    /// What becomes of a person who has no other card, if they lose this one.
    #[must_use]
    pub fn loss(&self) -> &'static str {
        if self.proofs {
            "if it is lost, the users of your crates have to be told a new key"
        } else {
            "if it is lost, you cannot publish"
        }
    }

    /// Its cards as a person knows them: `YubiKey 12345678 (laptop key) or YubiKey 23456789 (safe)`.
    #[must_use]
    pub fn cards_for_display(&self) -> String {
        any_of(self.cards.iter().map(Card::display_name))
    }

    /// The card with this number.
    #[must_use]
    pub fn card(&self, serial: Serial) -> Option<&Card> {
        self.cards.iter().find(|card| card.serial == serial)
    }
}

impl Card {
    /// What a person calls it: `YubiKey 12345678 (laptop key)`.
    #[must_use]
    pub fn display_name(&self) -> String {
        card_name(self.serial, &self.label)
    }

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

/// A card as a person knows it: `YubiKey 12345678 (laptop key)`.
fn card_name(serial: Serial, label: &str) -> String {
    format!("YubiKey {serial} ({})", escape(label))
}

/// The names of several cards of which any will do.
pub(crate) fn any_of(cards: impl Iterator<Item = String>) -> String {
    cards.collect::<Vec<_>>().join(" or ")
}

/// The file with the enrollments.
#[must_use]
pub fn path(cargo_home: &Path) -> PathBuf {
    folder::in_cargo_home(cargo_home).join("enrollments.toml")
}

#[cfg(test)]
mod tests;

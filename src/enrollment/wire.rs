//! The file as serde sees it.

use std::collections::BTreeSet;
use std::str::FromStr;

use asymmetric_token::{KeyIdField, PublicKey};
use serde::Deserialize;

use super::{ChallengeSource, Problem, Purpose, Reads, Role};
use crate::index_url::IndexUrl;
use crate::piv::{Serial, Version};

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct File {
    #[serde(default)]
    registry: Vec<Registry>,
    #[serde(default)]
    pending: Vec<Pending>,
    #[serde(default)]
    sealed: Vec<SealedToken>,
    #[serde(default)]
    sealing_key: Vec<SealingKey>,
    #[serde(default)]
    pending_sealing_key: Vec<PendingSealingKey>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Registry {
    index: String,
    name: Option<String>,
    subject: Option<String>,
    #[serde(default)]
    key_id: KeyId,
    #[serde(default)]
    challenge: ChallengeSource,
    reuse: Option<u32>,
    #[serde(default)]
    card: Vec<Card>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum KeyId {
    #[default]
    Both,
    Kip,
    Kid,
}

#[derive(Deserialize)]
struct Card {
    serial: u32,
    firmware: String,
    label: String,
    #[serde(default)]
    key: Vec<Key>,
}

#[derive(Deserialize)]
struct Key {
    role: Role,
    slot: String,
    public: String,
    pin: String,
    touch: String,
}

#[derive(Deserialize)]
struct Pending {
    serial: u32,
    slot: String,
    role: Role,
    index: String,
}

#[derive(Deserialize)]
struct SealedToken {
    index: String,
    name: Option<String>,
    reads: String,
    since: String,
}

#[derive(Deserialize)]
struct SealingKey {
    serial: u32,
    firmware: String,
    label: String,
    slot: String,
    recipient: String,
    pin: String,
    touch: String,
}

#[derive(Deserialize)]
struct PendingSealingKey {
    serial: u32,
    slot: String,
}

impl TryFrom<File> for super::Enrollments {
    type Error = Problem;

    fn try_from(file: File) -> Result<Self, Problem> {
        let registries: Vec<super::Registry> = all(file.registry)?;
        only_once(registries.iter().map(|registry| &registry.index))?;
        let sealed: Vec<super::SealedToken> = all(file.sealed)?;
        only_once(sealed.iter().map(|token| &token.index))?;
        let pending: Vec<super::Pending> = all(file.pending)?;
        let pending_sealing_keys: Vec<super::Pending> = all(file.pending_sealing_key)?;
        Ok(Self {
            registries,
            pending: [pending, pending_sealing_keys].concat(),
            sealed,
            sealing_keys: all(file.sealing_key)?,
        })
    }
}

impl TryFrom<Registry> for super::Registry {
    type Error = Problem;

    fn try_from(registry: Registry) -> Result<Self, Problem> {
        Ok(Self {
            index: value("index", &registry.index)?,
            name: registry.name,
            subject: registry.subject,
            key_id: match registry.key_id {
                KeyId::Both => KeyIdField::Both,
                KeyId::Kip => KeyIdField::Kip,
                KeyId::Kid => KeyIdField::Kid,
            },
            challenge: registry.challenge,
            reuse: registry.reuse.unwrap_or(super::DEFAULT_REUSE),
            cards: all(registry.card)?,
        })
    }
}

impl TryFrom<Card> for super::Card {
    type Error = Problem;

    fn try_from(card: Card) -> Result<Self, Problem> {
        Ok(Self {
            serial: Serial(card.serial),
            firmware: firmware(&card.firmware)?,
            label: card.label,
            keys: all(card.key)?,
        })
    }
}

impl TryFrom<Key> for super::Key {
    type Error = Problem;

    fn try_from(key: Key) -> Result<Self, Problem> {
        Ok(Self {
            role: key.role,
            slot: value("slot", &key.slot)?,
            public: value::<PublicKey>("public", &key.public)?,
            pin: value("pin", &key.pin)?,
            touch: value("touch", &key.touch)?,
        })
    }
}

impl TryFrom<Pending> for super::Pending {
    type Error = Problem;

    fn try_from(pending: Pending) -> Result<Self, Problem> {
        let purpose = Purpose::Signing { role: pending.role, index: value("index", &pending.index)? };
        Ok(Self { serial: Serial(pending.serial), slot: value("slot", &pending.slot)?, purpose })
    }
}

impl TryFrom<PendingSealingKey> for super::Pending {
    type Error = Problem;

    fn try_from(pending: PendingSealingKey) -> Result<Self, Problem> {
        let slot = value("slot", &pending.slot)?;
        Ok(Self { serial: Serial(pending.serial), slot, purpose: Purpose::Sealing })
    }
}

impl TryFrom<SealedToken> for super::SealedToken {
    type Error = Problem;

    fn try_from(token: SealedToken) -> Result<Self, Problem> {
        let neither = || Problem::Value { key: "reads", reason: "is neither open nor auth-required".into() };
        Ok(Self {
            index: value("index", &token.index)?,
            name: token.name,
            reads: Reads::from_name(&token.reads).ok_or_else(neither)?,
            since: value("since", &token.since)?,
        })
    }
}

impl TryFrom<SealingKey> for super::SealingKey {
    type Error = Problem;

    fn try_from(key: SealingKey) -> Result<Self, Problem> {
        Ok(Self {
            serial: Serial(key.serial),
            firmware: firmware(&key.firmware)?,
            label: key.label,
            slot: value("slot", &key.slot)?,
            recipient: value("recipient", &key.recipient)?,
            pin: value("pin", &key.pin)?,
            touch: value("touch", &key.touch)?,
        })
    }
}

/// There is one entry for each URL.
fn only_once<'a>(indexes: impl Iterator<Item = &'a IndexUrl>) -> Result<(), Problem> {
    let mut seen = BTreeSet::new();
    for index in indexes {
        if !seen.insert(index) {
            return Err(Problem::Duplicate(index.to_string()));
        }
    }
    Ok(())
}

fn all<W, T: TryFrom<W, Error = Problem>>(entries: Vec<W>) -> Result<Vec<T>, Problem> {
    entries.into_iter().map(T::try_from).collect()
}

fn firmware(text: &str) -> Result<Version, Problem> {
    let numbers: Result<Vec<u8>, _> = text.split('.').map(str::parse).collect();
    match numbers.as_deref() {
        Ok([major, minor, patch]) => Ok(Version::new(*major, *minor, *patch)),
        _ => Err(Problem::Value { key: "firmware", reason: "is not three numbers".into() }),
    }
}

fn value<T: FromStr<Err: std::fmt::Display>>(key: &'static str, text: &str) -> Result<T, Problem> {
    text.parse().map_err(|error: T::Err| Problem::Value { key, reason: format!("is wrong: {error}") })
}

//! The file as serde sees it.

use std::str::FromStr;

use asymmetric_token::{KeyIdField, PublicKey};
use serde::Deserialize;

use super::sealing::{WireKey, WirePending, WireToken};
use super::{ChallengeSource, Problem, Role};
use crate::piv::{Serial, Version};

#[derive(Deserialize)]
pub(super) struct File {
    #[serde(default)]
    registry: Vec<Registry>,
    #[serde(default)]
    pending: Vec<Pending>,
    #[serde(default)]
    reuse: Vec<Reusable>,
    #[serde(default)]
    sealed: Vec<WireToken>,
    #[serde(default, rename = "sealing-key")]
    sealing_key: Vec<WireKey>,
    #[serde(default, rename = "pending-sealing-key")]
    pending_sealing_key: Vec<WirePending>,
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
struct Reusable {
    serial: u32,
    slot: String,
}

impl TryFrom<File> for super::Enrollments {
    type Error = Problem;

    fn try_from(file: File) -> Result<Self, Problem> {
        let registries =
            file.registry.into_iter().map(super::Registry::try_from).collect::<Result<Vec<_>, _>>()?;
        for (position, registry) in registries.iter().enumerate() {
            if registries[..position].iter().any(|earlier| earlier.index == registry.index) {
                return Err(Problem::Duplicate(registry.index.to_string()));
            }
        }
        let sealed: Vec<super::SealedToken> = all(file.sealed)?;
        for (position, token) in sealed.iter().enumerate() {
            if sealed[..position].iter().any(|earlier| earlier.index == token.index) {
                return Err(Problem::Duplicate(token.index.to_string()));
            }
        }
        let pending = file.pending.into_iter().map(|pending| {
            Ok(super::Pending {
                serial: Serial(pending.serial),
                slot: value("slot", &pending.slot)?,
                role: pending.role,
                index: value("index", &pending.index)?,
            })
        });
        let reusable = file.reuse.into_iter().map(|reuse| {
            Ok(super::Reusable { serial: Serial(reuse.serial), slot: value("slot", &reuse.slot)? })
        });
        Ok(Self {
            registries,
            pending: pending.collect::<Result<_, Problem>>()?,
            reusable: reusable.collect::<Result<_, Problem>>()?,
            sealed,
            sealing_keys: all(file.sealing_key)?,
            pending_sealing_keys: all(file.pending_sealing_key)?,
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
            cards: registry.card.into_iter().map(super::Card::try_from).collect::<Result<_, _>>()?,
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
            keys: card.key.into_iter().map(super::Key::try_from).collect::<Result<_, _>>()?,
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

fn all<W, T: TryFrom<W, Error = Problem>>(entries: Vec<W>) -> Result<Vec<T>, Problem> {
    entries.into_iter().map(T::try_from).collect()
}

pub(super) fn firmware(text: &str) -> Result<Version, Problem> {
    let numbers: Result<Vec<u8>, _> = text.split('.').map(str::parse).collect();
    match numbers.as_deref() {
        Ok([major, minor, patch]) => Ok(Version::new(*major, *minor, *patch)),
        _ => Err(Problem::Value { key: "firmware", reason: "is not three numbers".into() }),
    }
}

pub(super) fn value<T: FromStr<Err: std::fmt::Display>>(key: &'static str, text: &str) -> Result<T, Problem> {
    text.parse().map_err(|error: T::Err| Problem::Value { key, reason: format!("is wrong: {error}") })
}

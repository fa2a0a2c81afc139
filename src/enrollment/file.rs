//! The file as serde sees it: which tables it has, and how single values are written.

use std::collections::BTreeSet;

use asymmetric_token::KeyIdField;
use serde::{Deserialize, Serialize};
use toml_edit::DocumentMut;

use super::{DEFAULT_REUSE, Enrollments, Pending, Problem, Purpose, Registry, Role, SealedToken, SealingKey};
use crate::index_url::IndexUrl;
use crate::piv::{Serial, Slot};

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    #[serde(default)]
    registry: Vec<Registry>,
    #[serde(default)]
    pending: Vec<PendingKey>,
    #[serde(default)]
    sealed: Vec<SealedToken>,
    #[serde(default)]
    sealing_key: Vec<SealingKey>,
    #[serde(default)]
    pending_sealing_key: Vec<PendingSealingKey>,
}

#[derive(Deserialize)]
struct PendingKey {
    #[serde(with = "number")]
    serial: Serial,
    #[serde(with = "text")]
    slot: Slot,
    #[serde(with = "text")]
    role: Role,
    #[serde(with = "text")]
    index: IndexUrl,
}

#[derive(Deserialize)]
struct PendingSealingKey {
    #[serde(with = "number")]
    serial: Serial,
    #[serde(with = "text")]
    slot: Slot,
}

pub(super) fn read(document: DocumentMut) -> Result<Enrollments, Problem> {
    let file: File = toml_edit::de::from_document(document)
        .map_err(|error| Problem::Toml(error.to_string().trim_end().replace('\n', ", ")))?;
    only_once(file.registry.iter().map(|registry| &registry.index))?;
    only_once(file.sealed.iter().map(|token| &token.index))?;
    let signing = file.pending.into_iter().map(|PendingKey { serial, slot, role, index }| Pending {
        serial,
        slot,
        purpose: Purpose::Signing { role, index },
    });
    let sealing = file.pending_sealing_key.into_iter().map(|PendingSealingKey { serial, slot }| Pending {
        serial,
        slot,
        purpose: Purpose::Sealing,
    });
    Ok(Enrollments {
        registries: file.registry,
        pending: signing.chain(sealing).collect(),
        sealed: file.sealed,
        sealing_keys: file.sealing_key,
    })
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

/// `key-id`, which a file need not have.
#[derive(Deserialize, Serialize)]
#[serde(remote = "KeyIdField", rename_all = "lowercase")]
pub(super) enum KeyId {
    Both,
    Kip,
    Kid,
}

pub(super) fn both() -> KeyIdField {
    KeyIdField::Both
}

/// `reuse`, which a file need not have.
pub(super) fn default_reuse() -> u32 {
    DEFAULT_REUSE
}

/// A value that is written as text.
pub(super) mod text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::de::{Deserialize, Deserializer, Error as _};
    use serde::ser::Serializer;

    pub(crate) fn serialize<S: Serializer>(value: &impl Display, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(
        from: D,
    ) -> Result<T, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// A YubiKey's number, which is written as one.
pub(super) mod number {
    use serde::de::{Deserialize as _, Deserializer};
    use serde::ser::Serializer;

    use crate::piv::Serial;

    pub(crate) fn serialize<S: Serializer>(serial: &Serial, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u32(serial.0)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Serial, D::Error> {
        u32::deserialize(from).map(Serial)
    }
}

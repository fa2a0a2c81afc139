//! The file as serde sees it: which tables it has.

use std::collections::BTreeSet;

use serde::Deserialize;
use toml_edit::{ArrayOfTables, DocumentMut, Item};

use super::values::{number, text};
use super::{Enrollments, Pending, Problem, Purpose, Registry, Role, SealedToken, SealingKey};
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

/// Takes out the cards of all registries but one.
pub(super) fn leave_out_keys(document: &mut DocumentMut, but_of: &str) {
    let registries = document.get_mut("registry").and_then(Item::as_array_of_tables_mut);
    for registry in registries.into_iter().flat_map(ArrayOfTables::iter_mut) {
        let index = registry.get("index").and_then(Item::as_str).map(str::parse::<IndexUrl>);
        if !index.is_some_and(|index| index.is_ok_and(|index| index == *but_of)) {
            registry.remove("card");
        }
    }
}

/// Refuses two entries for one URL.
fn only_once<'a>(indexes: impl Iterator<Item = &'a IndexUrl>) -> Result<(), Problem> {
    let mut seen = BTreeSet::new();
    for index in indexes {
        if !seen.insert(index) {
            return Err(Problem::Duplicate(index.to_string()));
        }
    }
    Ok(())
}

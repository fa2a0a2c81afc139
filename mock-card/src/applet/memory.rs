//! What survives power loss: PIN, PUK, management key, private keys and data objects. The state file has the same
//! content.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::key::SlotKey;
use super::management_key::ManagementKey;
use super::object::ObjectNumber;
use super::profile::Profile;
use super::reference_data::ReferenceData;
use crate::hex;

/// The card's memory.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Memory {
    pub(crate) pin: ReferenceData,
    pub(crate) puk: ReferenceData,
    pub(crate) management: ManagementKey,
    /// Private keys, by slot.
    pub(crate) keys: BTreeMap<u8, SlotKey>,
    /// Data objects, none of them empty.
    pub(crate) objects: BTreeMap<ObjectNumber, Object>,
    /// What in slot F9 is still as the card left the factory. It is not stored here, because it can be made again.
    #[serde(default)]
    pub(crate) factory: FactoryParts,
}

/// The attestation key and its certificate. Each can be replaced or deleted, and then is gone for good.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct FactoryParts {
    pub(crate) key: bool,
    pub(crate) certificate: bool,
}

impl Default for FactoryParts {
    fn default() -> Self {
        Self { key: true, certificate: true }
    }
}

/// The content of a data object.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Object(#[serde(with = "hex::text")] pub(crate) Vec<u8>);

impl Memory {
    /// The memory of a new card.
    pub(crate) fn new(profile: Profile) -> Self {
        Self {
            pin: ReferenceData::new_pin(profile),
            puk: ReferenceData::new_puk(profile),
            management: ManagementKey::default_of(profile.default_management_algorithm()),
            keys: BTreeMap::new(),
            objects: BTreeMap::new(),
            factory: FactoryParts::default(),
        }
    }

    /// The number of bytes that data objects take up.
    pub(crate) fn object_bytes(&self) -> usize {
        self.objects.values().map(|object| object.0.len()).sum()
    }

    /// Whether the keys fit their algorithms. They may come from a file that somebody has edited.
    pub(crate) fn is_valid(&self) -> bool {
        self.management.is_valid() && self.keys.values().all(|key| key.private.is_valid())
    }
}

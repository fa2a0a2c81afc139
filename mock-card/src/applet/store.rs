//! What survives power loss: PIN, PUK, management key, slot keys, objects. It is also the state file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::key::SlotKey;
use super::management_key::ManagementKey;
use super::pin::Reference;
use crate::hex;
use crate::profile::Profile;

/// The card's memory.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Store {
    pub(crate) pin: Reference,
    pub(crate) puk: Reference,
    pub(crate) management: ManagementKey,
    /// By slot number.
    pub(crate) keys: BTreeMap<u8, SlotKey>,
    /// By object number; an object that is there is not empty.
    pub(crate) objects: BTreeMap<u32, Object>,
    /// What of slot F9 is still as it left the factory, and therefore not written down here.
    #[serde(default)]
    pub(crate) factory: FactoryParts,
}

/// The attestation key and its certificate; either can be replaced or deleted, and then is gone for good.
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

/// The value of a data object.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Object(#[serde(with = "hex::text")] pub(crate) Vec<u8>);

impl Store {
    /// A card as it leaves the factory.
    pub(crate) fn new(profile: Profile) -> Self {
        Self {
            pin: Reference::default_pin(),
            puk: Reference::default_puk(),
            management: ManagementKey::default_of(profile.default_management_algorithm()),
            keys: BTreeMap::new(),
            objects: BTreeMap::new(),
            factory: FactoryParts::default(),
        }
    }

    /// Bytes in use by objects.
    pub(crate) fn object_bytes(&self) -> usize {
        self.objects.values().map(|object| object.0.len()).sum()
    }

    /// Whether values that the applet relies on are in range; they may come from a file.
    pub(crate) fn is_valid(&self) -> bool {
        self.management.is_valid() && self.keys.values().all(|key| key.private.is_valid())
    }
}

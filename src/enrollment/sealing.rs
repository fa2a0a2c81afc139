//! The part of the file about sealed bearer tokens: which registries have one, and to which keys they are sealed.
//!
//! ```toml
//! [[sealed]]
//! index = "https://github.com/rust-lang/crates.io-index" # exact; one entry per URL
//! name = "crates-io"                                     # display only
//! reads = "open"                                         # open | auth-required
//! since = "2026-11-20T18:00:00Z"
//! [[sealing-key]]                                        # one per card, for all registries
//! serial = 12345678
//! firmware = "5.7.4"
//! label = "laptop key"
//! slot = "95"
//! recipient = "age1yubikey1…"
//! pin = "once"                                           # as read back from the card
//! touch = "cached"
//! ```
//!
//! `[[pending-sealing-key]]`, with `serial` and `slot`, is there while such a key is being made.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use toml_edit::Table;

use super::edit::{Edit, find_or_push, has, is_card, is_of, set, tables};
use super::{Error, Reads, card_name, values};
use crate::index_url::IndexUrl;
use crate::piv::{PinPolicy, Serial, Slot, TouchPolicy, Version};
use crate::sealed::Recipient;

/// A registry whose bearer token is sealed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct SealedToken {
    /// The index URL, as cargo passes it on.
    #[serde(with = "values::text")]
    pub index: IndexUrl,
    /// Cargo's name for it. For display only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether index and downloads need the token too.
    pub reads: Reads,
    /// When this token was sealed first.
    #[serde(with = "values::text")]
    pub since: Timestamp,
}

/// A P-256 key on a card to which tokens are sealed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct SealingKey {
    /// The YubiKey's number.
    #[serde(with = "values::number")]
    pub serial: Serial,
    /// Its firmware when the key was made.
    #[serde(with = "values::text")]
    pub firmware: Version,
    /// What its owner calls the card.
    pub label: String,
    /// Where the key is.
    #[serde(with = "values::text")]
    pub slot: Slot,
    /// Its public half.
    #[serde(with = "values::text")]
    pub recipient: Recipient,
    /// When the key asks for the PIN, as read back from the card.
    #[serde(with = "values::text")]
    pub pin: PinPolicy,
    /// When the key asks for a touch, as read back from the card.
    #[serde(with = "values::text")]
    pub touch: TouchPolicy,
}

impl SealedToken {
    /// Its name, or its URL if it has none.
    #[must_use]
    pub fn display_name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.index)
    }
}

impl SealingKey {
    /// What a person calls its card: `YubiKey 12345678 (laptop key)`.
    #[must_use]
    pub fn card_name(&self) -> String {
        card_name(self.serial, &self.label)
    }
}

impl Edit {
    /// Adds a key in place of the card's former one, and drops the note that it was being made, in one write.
    ///
    /// # Errors
    /// [`Error::Folder`].
    pub fn add_sealing_key(&mut self, key: &SealingKey) -> Result<(), Error> {
        self.forget_pending(key.serial, key.slot);
        let keys = tables(self.table(), "sealing-key");
        let table = find_or_push(keys, |table| is_card(table, key.serial), Table::new);
        set(table, key);
        self.save()
    }

    /// Drops a key that is no longer on its card.
    ///
    /// # Errors
    /// [`Error::Folder`].
    pub fn remove_sealing_key(&mut self, key: &SealingKey) -> Result<(), Error> {
        let recipient = key.recipient.to_string();
        tables(self.table(), "sealing-key").retain(|table| !has(table, "recipient", &recipient));
        self.save()
    }

    /// Notes that a registry's token is sealed, or sealed anew.
    ///
    /// # Errors
    /// [`Error::Folder`].
    pub fn set_sealed(&mut self, token: &SealedToken) -> Result<(), Error> {
        let entries = tables(self.table(), "sealed");
        let table = find_or_push(entries, |table| is_of(table, &token.index), Table::new);
        table.remove("name");
        set(table, token);
        self.save()
    }

    /// Drops a registry's entry. The file with the token is left to the caller.
    ///
    /// # Errors
    /// [`Error::Folder`].
    pub fn remove_sealed(&mut self, index: &IndexUrl) -> Result<(), Error> {
        tables(self.table(), "sealed").retain(|table| !is_of(table, index));
        self.save()
    }
}

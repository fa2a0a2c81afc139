//! Changing the file, under its lock. Comments are kept, and so are entries that this program does not know.

use std::path::{Path, PathBuf};

use serde::Serialize;
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, value};

use super::document::document;
use super::{Card, ChallengeSource, Enrollments, Error, Key, Pending, Purpose, Registry};
use crate::folder::{self, Lock};
use crate::index_url::IndexUrl;
use crate::piv::{Serial, Slot};
use crate::ui::Ui;

/// The tables with notes of keys that are being made: keys that sign, and keys that open sealed tokens.
const PENDING: &str = "pending";
const PENDING_SEALING_KEY: &str = "pending-sealing-key";

/// The enrollments, locked for changing. Each change is on disk, lastingly, when its method returns.
pub struct Edit {
    path: PathBuf,
    document: DocumentMut,
    current: Enrollments,
    _lock: Lock,
}

/// Whether a key could be noted that is about to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    /// It is now.
    Now,
    /// It was already, by a run that was interrupted or is still at work.
    Before,
    /// It is not: the slot is promised to another key, or enrolled.
    Taken,
}

impl Edit {
    /// Takes the lock, waiting for it if need be, and reads the file.
    ///
    /// # Errors
    /// As [`Enrollments::load`].
    pub fn begin(cargo_home: &Path) -> Result<Self, Error> {
        let path = super::path(cargo_home);
        let lock = Lock::take(&path, waiting_for_another)?;
        let content = |problem| Error::Content { path: path.clone(), problem };
        let document = document(folder::read(&path)?.as_deref(), super::VERSION).map_err(content)?;
        let current = Enrollments::from_document(document.clone()).map_err(content)?;
        Ok(Self { path, document, current, _lock: lock })
    }

    /// What is enrolled now.
    #[must_use]
    pub fn enrollments(&self) -> &Enrollments {
        &self.current
    }

    /// Notes that a key is about to be made.
    ///
    /// # Errors
    /// [`Error::Folder`].
    pub fn add_pending(&mut self, pending: &Pending) -> Result<Noted, Error> {
        if self.current.pending.contains(pending) {
            return Ok(Noted::Before);
        }
        if self.current.holds(pending.serial, pending.slot) {
            return Ok(Noted::Taken);
        }
        self.push_pending(pending);
        self.save().map(|()| Noted::Now)
    }

    fn push_pending(&mut self, pending: &Pending) {
        let mut entry = Table::new();
        entry["serial"] = value(i64::from(pending.serial.0));
        entry["slot"] = value(pending.slot.to_string());
        let name = match &pending.purpose {
            Purpose::Signing { role, index } => {
                entry["role"] = value(role.as_str());
                entry["index"] = value(&**index);
                PENDING
            }
            Purpose::Sealing => PENDING_SEALING_KEY,
        };
        tables(self.document.as_table_mut(), name).push(entry);
    }

    /// Takes keys out of the enrollment that are no longer on their card.
    ///
    /// # Errors
    /// [`Error::Folder`].
    pub fn remove_keys(&mut self, index: &IndexUrl, serial: Serial, keys: &[Key]) -> Result<(), Error> {
        self.drop_keys(index, serial, keys);
        self.save()
    }

    /// Takes keys out of the enrollment that have failed their first use, and notes them as begun: a rerun looks at them again.
    ///
    /// # Errors
    /// [`Error::Folder`].
    pub fn take_back(&mut self, index: &IndexUrl, serial: Serial, keys: &[Key]) -> Result<(), Error> {
        self.drop_keys(index, serial, keys);
        for key in keys {
            let purpose = Purpose::Signing { role: key.role, index: index.clone() };
            self.push_pending(&Pending { serial, slot: key.slot, purpose });
        }
        self.save()
    }

    fn drop_keys(&mut self, index: &IndexUrl, serial: Serial, dropped: &[Key]) {
        let registries = tables(self.document.as_table_mut(), "registry").iter_mut();
        for registry in registries.filter(|table| is_of(table, index)) {
            let cards = tables(registry, "card").iter_mut();
            for card in cards.filter(|table| is_card(table, serial)) {
                let is_dropped =
                    |table: &Table| dropped.iter().any(|key| has(table, "public", &key.public.to_string()));
                tables(card, "key").retain(|table| !is_dropped(table));
            }
        }
    }

    /// Drops the note: the key was not made.
    ///
    /// # Errors
    /// [`Error::Folder`].
    pub fn remove_pending(&mut self, pending: &Pending) -> Result<(), Error> {
        self.forget_pending(pending.serial, pending.slot);
        self.save()
    }

    /// Enrolls a key: its registry and card are added if they are new, and the note that it was being made goes, in one
    /// write.
    ///
    /// # Errors
    /// [`Error::Folder`].
    pub fn enroll(&mut self, registry: &Registry, card: &Card, key: &Key) -> Result<(), Error> {
        self.add(registry, card, key);
        self.save()
    }

    /// Enrolls a key as [`Edit::enroll`] does, and takes another card out of that registry in the same write.
    ///
    /// # Errors
    /// [`Error::Folder`].
    pub fn enroll_instead(
        &mut self,
        registry: &Registry,
        card: &Card,
        key: &Key,
        replaced: Serial,
    ) -> Result<(), Error> {
        self.add(registry, card, key);
        self.take_out(&registry.index, replaced);
        self.save()
    }

    /// Takes a card out of a registry, with what was begun on it for that registry. Its keys stay on it.
    ///
    /// # Errors
    /// [`Error::Folder`].
    pub fn remove_card(&mut self, index: &IndexUrl, serial: Serial) -> Result<(), Error> {
        self.take_out(index, serial);
        self.save()
    }

    fn add(&mut self, registry: &Registry, card: &Card, key: &Key) {
        self.forget_pending(card.serial, key.slot);
        let registries = tables(self.document.as_table_mut(), "registry");
        let registry = find_or_push(registries, |table| is_of(table, &registry.index), || new(registry));
        let cards = tables(registry, "card");
        let card = find_or_push(cards, |table| is_card(table, card.serial), || new(card));
        let keys = tables(card, "key");
        keys.retain(|table| !has(table, "slot", &key.slot.to_string()));
        keys.push(new(key));
    }

    fn take_out(&mut self, index: &IndexUrl, serial: Serial) {
        let document = self.document.as_table_mut();
        tables(document, PENDING).retain(|table| !(is_card(table, serial) && is_of(table, index)));
        for registry in tables(document, "registry").iter_mut().filter(|table| is_of(table, index)) {
            tables(registry, "card").retain(|table| !is_card(table, serial));
        }
    }

    /// Notes what an enrolled registry says of itself.
    ///
    /// # Errors
    /// [`Error::Folder`].
    pub fn refresh(&mut self, index: &IndexUrl, challenge: ChallengeSource, reuse: u32) -> Result<(), Error> {
        for table in tables(self.document.as_table_mut(), "registry").iter_mut() {
            if is_of(table, index) {
                table["challenge"] = value(challenge.as_str());
                table["reuse"] = value(i64::from(reuse));
            }
        }
        self.save()
    }

    /// Removes a registry, and what was begun for it. The keys stay on their cards.
    ///
    /// # Errors
    /// [`Error::Folder`].
    pub fn remove(&mut self, index: &IndexUrl) -> Result<(), Error> {
        for name in ["registry", PENDING] {
            tables(self.document.as_table_mut(), name).retain(|table| !is_of(table, index));
        }
        self.save()
    }

    pub(super) fn forget_pending(&mut self, serial: Serial, slot: Slot) {
        for name in [PENDING, PENDING_SEALING_KEY] {
            tables(self.document.as_table_mut(), name)
                .retain(|table| !(is_card(table, serial) && has(table, "slot", &slot.to_string())));
        }
    }

    pub(super) fn table(&mut self) -> &mut Table {
        self.document.as_table_mut()
    }

    pub(super) fn save(&mut self) -> Result<(), Error> {
        self.current = Enrollments::from_document(self.document.clone())
            .map_err(|problem| Error::Content { path: self.path.clone(), problem })?;
        Ok(folder::replace(&self.path, self.document.to_string().as_bytes())?)
    }
}

fn waiting_for_another() {
    Ui::silent().note("waiting for another yk-cargo, which is changing the enrollments");
}

/// Writes the fields of an entry. What else the table has is kept.
pub(super) fn set(table: &mut Table, entry: &impl Serialize) {
    let fields = toml_edit::ser::to_document(entry).expect("an entry has strings and numbers only");
    for (key, value) in fields.iter() {
        table[key] = value.clone();
    }
}

fn new(entry: &impl Serialize) -> Table {
    let mut table = Table::new();
    set(&mut table, entry);
    table
}

/// The array of tables of this name, made if it is missing; an inline array of inline tables becomes one.
pub(crate) fn tables<'a>(parent: &'a mut Table, name: &str) -> &'a mut ArrayOfTables {
    let item = parent.entry(name).or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
    let array = std::mem::take(item).into_array_of_tables().unwrap_or_default();
    *item = Item::ArrayOfTables(array);
    item.as_array_of_tables_mut().expect("made one just now")
}

pub(crate) fn find_or_push(
    tables: &mut ArrayOfTables,
    wanted: impl Fn(&Table) -> bool,
    new: impl FnOnce() -> Table,
) -> &mut Table {
    let found = tables.iter().position(wanted);
    if found.is_none() {
        tables.push(new());
    }
    let position = found.unwrap_or(tables.len() - 1);
    tables.get_mut(position).expect("found or pushed just now")
}

pub(crate) fn has(table: &Table, key: &str, text: &str) -> bool {
    table.get(key).and_then(Item::as_str) == Some(text)
}

/// Whether an entry is about the registry at this URL, however it is written there.
pub(super) fn is_of(table: &Table, index: &IndexUrl) -> bool {
    let written = table.get("index").and_then(Item::as_str);
    written.and_then(|text| text.parse::<IndexUrl>().ok()).is_some_and(|written| written == *index)
}

pub(super) fn is_card(table: &Table, serial: Serial) -> bool {
    table.get("serial").and_then(Item::as_integer) == Some(i64::from(serial.0))
}

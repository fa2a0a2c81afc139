//! Taking keys into the person's own list.

use std::path::Path;

use asymmetric_token::{CrateName, PublicKey};
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, value};

use super::entry::Scope;
use super::list::{Error, Key, List, VERSION, path};
use super::log::Log;
use super::rotation::Rotation;
use crate::enrollment::document::document;
use crate::enrollment::{Problem, edit};
use crate::folder::{self, Lock};
use crate::ui::Ui;

/// A key that is trusted from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// The index URL.
    pub index: String,
    /// The crate.
    pub name: CrateName,
    /// The key.
    pub key: PublicKey,
    /// What it is to be called, if that name is free.
    pub called: String,
    /// The statement by which it takes the place of a key that is trusted already.
    pub rotation: Option<Rotation>,
}

/// Records all of them in the person's own list, in one write. Comments are kept.
///
/// # Errors
/// As [`List::load`], and if the file cannot be written.
pub fn remember(cargo_home: &Path, news: &[News]) -> Result<(), Error> {
    edit(cargo_home, |document, list| add(document, list, news))
}

/// The person's own list as it would be with them. Nothing is written.
///
/// # Errors
/// As [`List::load`].
pub fn with(cargo_home: &Path, news: &[News]) -> Result<List, Error> {
    let (_, list) = changed(&path(cargo_home), |document, list| add(document, list, news))?;
    Ok(list)
}

/// Records a registry's log in the person's own list. Those witnesses are wanted of it that were wanted of the generation before.
///
/// # Errors
/// As [`remember`].
pub fn remember_log(cargo_home: &Path, log: &Log) -> Result<(), Error> {
    edit(cargo_home, |document, list| {
        let earlier = list.log(&log.index);
        let mut table =
            Table::from_iter([("index", value(&log.index)), ("vkey", value(log.key.to_string()))]);
        let names = earlier.iter().flat_map(|log| &log.witnesses).map(|witness| witness.name.as_str());
        let names: Array = names.collect();
        if !names.is_empty() {
            table.insert("witnesses", value(names));
        }
        edit::tables(document.as_table_mut(), "log").push(table);
        Ok(())
    })
}

/// Changes the person's own list, in one write.
fn edit(
    cargo_home: &Path,
    change: impl FnOnce(&mut DocumentMut, &List) -> Result<(), Problem>,
) -> Result<(), Error> {
    let path = path(cargo_home);
    let _lock = Lock::take(&path, || {
        Ui::silent().note("waiting for another yk-cargo, which is changing the trusted keys")
    })?;
    let (document, _) = changed(&path, change)?;
    Ok(folder::replace(&path, document.to_string())?)
}

/// The file's text with a change, and what it says then: what is written can be read.
fn changed(
    path: &Path,
    change: impl FnOnce(&mut DocumentMut, &List) -> Result<(), Problem>,
) -> Result<(DocumentMut, List), Error> {
    let content = |problem| Error::Content { path: path.to_owned(), problem };
    let mut document = document(folder::read(path)?.as_deref(), VERSION).map_err(content)?;
    let list = List::from_document(document.clone()).map_err(content)?;
    change(&mut document, &list).map_err(content)?;
    let list = List::from_document(document.clone()).map_err(content)?;
    Ok((document, list))
}

fn add(document: &mut DocumentMut, list: &List, news: &[News]) -> Result<(), Problem> {
    let mut keys = list.keys.clone();
    for news in news {
        let name = named(document, &mut keys, news);
        match &news.rotation {
            None => add_signer(document, list, news, &name)?,
            Some(rotation) if list.rotations.iter().any(|stated| stated.rotation == *rotation) => {}
            Some(rotation) => add_rotation(document, rotation),
        }
    }
    Ok(())
}

fn add_signer(document: &mut DocumentMut, list: &List, news: &News, key: &str) -> Result<(), Problem> {
    let signer = edit::find_or_push(
        edit::tables(document.as_table_mut(), "signer"),
        |table| edit::has(table, "index", &news.index) && is_about(table, &news.name),
        || own_entry(list, news),
    );
    let signers = signer.entry("signers").or_insert_with(|| value(Array::new()));
    let signers = signers.as_array_mut().ok_or_else(|| Problem::Toml("signers".into()))?;
    if !signers.iter().any(|known| known.as_str() == Some(key)) {
        signers.push(key);
    }
    Ok(())
}

/// An entry for this crate alone. It decides alone from then on, so it begins with what the pattern says that decided before.
fn own_entry(list: &List, news: &News) -> Table {
    let mut table = Table::from_iter([("index", value(&news.index)), ("crate", value(news.name.as_str()))]);
    let Some(entry) = list.entry(&news.index, &news.name) else { return table };
    let signers: Array = entry.signers.iter().filter_map(|key| list.name_of(key)).collect();
    table.insert("signers", value(signers));
    if entry.approvals > 1 {
        table.insert("approvals", value(i64::try_from(entry.approvals).unwrap_or(i64::MAX)));
    }
    if !entry.unsigned.is_empty() {
        let unsigned = entry.unsigned.iter().map(|(version, file)| {
            InlineTable::from_iter([("version", version.to_string()), ("cksum", file.to_string())])
        });
        table.insert("unsigned", value(unsigned.collect::<Array>()));
    }
    table
}

/// `[[rotation]]`, as a list has it.
#[must_use]
pub fn rotation_block(rotation: &Rotation) -> String {
    let mut document = DocumentMut::new();
    add_rotation(&mut document, rotation);
    document.to_string()
}

fn add_rotation(document: &mut DocumentMut, rotation: &Rotation) {
    let fields = [
        ("index", rotation.index.clone()),
        ("crate", rotation.written.clone()),
        ("from", rotation.from.to_string()),
        ("to", rotation.to.to_string()),
        ("statement", rotation.statement()),
    ];
    let table = Table::from_iter(fields.map(|(key, text)| (key, value(text))));
    edit::tables(document.as_table_mut(), "rotation").push(table);
}

/// Whether an entry is about this crate alone, however it is spelt there.
fn is_about(table: &Table, name: &CrateName) -> bool {
    let scope = table.get("crate").and_then(Item::as_str).and_then(|text| text.parse().ok());
    scope.is_some_and(|scope: Scope| matches!(scope, Scope::One(_)) && scope.has(name))
}

/// What the key is called in the list, where it is put if it is not there.
fn named(document: &mut DocumentMut, keys: &mut Vec<Key>, news: &News) -> String {
    if let Some(known) = keys.iter().find(|known| known.public == news.key) {
        return known.name.clone();
    }
    let numbered = |number: u32| match number {
        1 => news.called.clone(),
        _ => format!("{}-{number}", news.called),
    };
    let is_free = |name: &String| keys.iter().all(|known| known.name != *name);
    let name = (1..).map(numbered).find(is_free).expect("there are more numbers than keys");
    let key = Table::from_iter([("name", value(&name)), ("public", value(news.key.to_string()))]);
    edit::tables(document.as_table_mut(), "key").push(key);
    keys.push(Key { name: name.clone(), public: news.key });
    name
}

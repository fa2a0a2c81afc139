//! Changes to cargo's own files: a registry's `credential-provider`, and a token given back. Comments and order are kept.

use std::path::{Path, PathBuf};

use toml_edit::{Array, DocumentMut, Item, Table, TableLike, Value, value};
use zeroize::Zeroizing;

use super::configuration::{Configuration, Scope};
use super::environment::table;
use super::files::{existing_or_new, parse, read_if_there};
use super::providers::{DecidedBy, OUR_NAME, find, is_this_program};
use super::{CargoConfig, ConfiguredRegistry, Error, Origin, this_program};
use crate::folder;
use crate::index_url::IndexUrl;
use crate::sealed::BearerToken;

/// What would be written to have cargo ask this program for a registry's tokens.
#[derive(Debug)]
pub struct ProviderChange {
    /// The person's file.
    pub file: PathBuf,
    /// The header of the table there.
    pub section: String,
    /// The lines below it.
    pub lines: Vec<String>,
    /// The name of the table, which is that by which cargo finds the registry.
    pub name: String,
    index: Option<Value>,
    provider: Value,
}

impl Configuration {
    /// The change that makes cargo ask this program for the tokens of a registry: in the file that already names its
    /// provider, or else in cargo's home.
    ///
    /// # Errors
    /// [`Error::NoName`], [`Error::SeveralNames`], [`Error::CredentialsNameAProvider`], and those of
    /// [`providers`](Self::providers).
    pub fn provider_change(
        &self,
        registry: &ConfiguredRegistry,
        program: &str,
    ) -> Result<ProviderChange, Error> {
        let name = self.settings_name(Scope::Own, registry)?.ok_or(Error::NoName)?;
        if let Some(file) = self.credentials_with_a_provider(&name)? {
            return Err(Error::CredentialsNameAProvider { file, name });
        }
        let keys = Self::keys(&name, "credential-provider");
        let file = match self.config(Scope::Own).at(&keys)?.map(|found| found.origin.clone()) {
            Some(Origin::File { path, .. }) => path,
            _ => self.home_file(),
        };
        // Cargo cannot merge a text with a list.
        let is_list = self.config(Scope::Here).at(&keys)?.map(|found| found.list().is_some());
        let provider = provider(program, is_list);
        let needs_index = !registry.is_crates_io() && self.index_of(Scope::Own, &name)?.is_none();
        let index = needs_index.then(|| Value::from(registry.index.as_str()));
        let lines = index.iter().map(|index| format!("index = {index}"));
        Ok(ProviderChange {
            file,
            section: format!(
                "[{}]",
                table(&name).iter().map(|key| written(key)).collect::<Vec<_>>().join(".")
            ),
            lines: lines.chain([format!("credential-provider = {provider}")]).collect(),
            name,
            index,
            provider,
        })
    }

    /// The first of cargo's credentials that has a `credential-provider` for the registry of this name. Cargo glues it
    /// together with the one in `config.toml`, and runs neither.
    fn credentials_with_a_provider(&self, name: &str) -> Result<Option<PathBuf>, Error> {
        let keys = Self::keys(name, "credential-provider");
        for statement in self.statements.iter().filter(|statement| statement.is_credentials) {
            if statement.values.at(&keys)?.is_some() {
                return Ok(Some(statement.file.clone()));
            }
        }
        Ok(None)
    }
}

impl ProviderChange {
    /// Writes it.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn write(&self) -> Result<(), Error> {
        change(&self.file, &table(&self.name), replace, |entry| {
            if let Some(index) = &self.index {
                entry.insert("index", Item::Value(index.clone()));
            }
            entry.insert("credential-provider", Item::Value(self.provider.clone()));
        })
    }
}

impl CargoConfig {
    /// Gives a registry its name in cargo's home.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn add_registry(&self, name: &str, index: &IndexUrl) -> Result<PathBuf, Error> {
        let file = existing_or_new(self.home(), "config");
        change(&file, &table(name), replace, |entry| drop(entry.insert("index", value(index.as_str()))))?;
        Ok(file)
    }

    /// Takes a registry's `credential-provider` out again, if it is this program. False if it was not.
    ///
    /// # Errors
    /// Unreadable configuration, or it cannot be written.
    pub fn unset_provider(&self, registry: &ConfiguredRegistry) -> Result<bool, Error> {
        let configuration = self.read()?;
        let Some(name) = configuration.settings_name(Scope::Own, registry)? else { return Ok(false) };
        let providers = configuration.providers(Scope::Own, registry)?;
        match (providers.by, &providers.asked[..]) {
            (DecidedBy::Registry, [provider]) if provider.is_ours() => {
                let Origin::File { path, .. } = &provider.origin else { return Ok(false) };
                let mut removed = false;
                change(path, &table(&name), replace, |entry| {
                    removed = entry.remove("credential-provider").is_some();
                })?;
                Ok(removed)
            }
            _ => Ok(false),
        }
    }

    /// Puts a token in clear into cargo's credentials, as cargo's own provider does; 0600 from the first byte.
    ///
    /// # Errors
    /// [`Error::NoName`], unreadable credentials, or they cannot be written.
    pub fn store_token(&self, registry: &ConfiguredRegistry, token: &BearerToken) -> Result<PathBuf, Error> {
        let name = self.read()?.settings_name(Scope::Own, registry)?.ok_or(Error::NoName)?;
        let file = existing_or_new(self.home(), "credentials");
        change(&file, &table(&name), replace_private, |entry| {
            drop(entry.insert("token", value(token.expose())))
        })?;
        Ok(file)
    }
}

/// Changes the table at these keys, which is made if it is missing.
fn change(
    file: &Path,
    keys: &[&str],
    write: impl Fn(&Path, &str) -> Result<(), Error>,
    edit: impl FnOnce(&mut dyn TableLike),
) -> Result<(), Error> {
    let before = read_if_there(file)?;
    let mut document = parse(file, &before)?;
    let table = table_at(&mut document, keys).ok_or_else(|| Error::Shape {
        key: keys.join("."),
        origin: Origin::File { path: file.to_owned(), owner: super::Owner::Home },
        wanted: "a table",
    })?;
    edit(table);
    if table.is_empty() {
        remove_bare(&mut document, keys);
    }
    write(file, &ending_as(&before, Zeroizing::new(document.to_string())))
}

/// The parser forgets a byte order mark, and how lines ended.
fn ending_as(before: &str, mut text: Zeroizing<String>) -> Zeroizing<String> {
    if !before.is_empty() && before.split_inclusive('\n').all(|line| line.ends_with("\r\n")) {
        text = Zeroizing::new(text.replace('\n', "\r\n"));
    }
    if before.starts_with('\u{feff}') {
        text = Zeroizing::new(format!("\u{feff}{}", *text));
    }
    text
}

/// The table at these keys, made if it is missing; `None` if something else is there.
fn table_at<'a>(document: &'a mut DocumentMut, keys: &[&str]) -> Option<&'a mut dyn TableLike> {
    let mut table: &mut dyn TableLike = document.as_table_mut();
    for (depth, key) in keys.iter().enumerate() {
        let implicit = depth + 1 < keys.len();
        let item = table.entry(key).or_insert_with(|| {
            let mut table = Table::new();
            table.set_implicit(implicit);
            Item::Table(table)
        });
        table = item.as_table_like_mut()?;
    }
    Some(table)
}

/// An empty table is taken out, unless somebody has written a comment to it.
fn remove_bare(document: &mut DocumentMut, keys: &[&str]) {
    let Some((last, parents)) = keys.split_last() else { return };
    let mut table: &mut dyn TableLike = document.as_table_mut();
    for key in parents {
        let Some(inner) = table.get_mut(key).and_then(Item::as_table_like_mut) else { return };
        table = inner;
    }
    let is_bare = table.get(last).and_then(Item::as_table).is_some_and(|table| {
        let decor = [table.decor().prefix(), table.decor().suffix()];
        decor.into_iter().flatten().all(|text| text.as_str().is_some_and(|text| text.trim().is_empty()))
    });
    if is_bare {
        table.remove(last);
    }
}

/// A key as TOML has it.
fn written(key: &str) -> String {
    toml_edit::Key::new(key).to_string()
}

/// A path is put into a list, since cargo splits a text at blanks, unless there is a text to be replaced.
fn provider(program: &str, is_list: Option<bool>) -> Value {
    let as_list = program.contains(char::is_whitespace) || is_list.unwrap_or(program.contains(['/', '\\']));
    if as_list { Value::Array(Array::from_iter([program])) } else { program.into() }
}

/// How cargo is to start this program: by a bare word where PATH finds it by that. A distribution may put a wrapper of our
/// name before `.yk-cargo-wrapped`, and the wrapper's name is the one that stays.
#[must_use]
pub fn our_command() -> String {
    let this = this_program();
    let name = this.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let is_wrapped = name.strip_prefix('.').is_some_and(|name| name.starts_with(OUR_NAME));
    if is_wrapped {
        let wrapper = this.with_file_name(OUR_NAME);
        if find(OUR_NAME).is_some() {
            return OUR_NAME.to_owned();
        } else if wrapper.is_file() {
            return wrapper.to_string_lossy().into_owned();
        }
    }
    let is_on_path = find(&name).is_some_and(|found| is_this_program(&found));
    if is_on_path { name } else { this.to_string_lossy().into_owned() }
}

/// With the permissions of the old file, but not before it is in place: it may have tokens in it.
pub(super) fn replace(file: &Path, text: &str) -> Result<(), Error> {
    let permissions = std::fs::metadata(file).ok().map(|metadata| metadata.permissions());
    replace_private(file, text)?;
    let io = |source| Error::Io { action: "write", file: file.to_owned(), source };
    permissions.map_or(Ok(()), |permissions| std::fs::set_permissions(file, permissions).map_err(io))
}

/// 0600 from the first byte.
fn replace_private(file: &Path, text: &str) -> Result<(), Error> {
    // A link, perhaps into somebody's dotfiles, stays a link.
    let target = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    Ok(folder::replace(&target, text.as_bytes())?)
}

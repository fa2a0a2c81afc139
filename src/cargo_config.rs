//! Cargo's configuration, as far as it names registries.
//!
//! A registry's name is looked up in `$CARGO_HOME/config.toml` and the environment only. A project's
//! `.cargo/config.toml` comes with the project: where it gives the name another URL, the person is told and nothing is
//! done (docs: Cargo reference, "Configuration", hierarchical structure).

use std::io;
use std::path::{Path, PathBuf};

use toml_edit::{Array, DocumentMut, Item, Table, TableLike, Value, value};
use zeroize::Zeroizing;

use crate::folder;
use crate::index_url::{self, IndexUrl};
use crate::sealed::BearerToken;

pub mod credentials;
mod error;
pub mod view;

pub use error::Error;

/// Where configuration is looked for.
#[derive(Debug)]
pub struct CargoConfig {
    home: PathBuf,
    working_directory: PathBuf,
}

/// What cargo calls crates.io.
pub const CRATES_IO_NAME: &str = "crates-io";

/// A registry as a person's own configuration knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfiguredRegistry {
    /// As cargo passes it on.
    pub index: IndexUrl,
    /// Under which name, if it has one.
    pub name: Option<String>,
}

impl ConfiguredRegistry {
    /// crates.io.
    #[must_use]
    pub fn crates_io() -> Self {
        Self { index: IndexUrl::crates_io(), name: Some(CRATES_IO_NAME.to_owned()) }
    }

    /// Whether it is crates.io, which cargo configures in a place of its own.
    #[must_use]
    pub fn is_crates_io(&self) -> bool {
        self.index.is_crates_io()
    }

    /// The header of its table in cargo's configuration; `None` if it has no name.
    #[must_use]
    pub fn section(&self) -> Option<String> {
        if self.is_crates_io() {
            return Some("[registry]".to_owned());
        }
        self.name.as_ref().map(|name| format!("[registries.{name}]"))
    }

    /// The keys that lead to its table.
    fn table(&self) -> Result<Vec<&str>, Error> {
        match &self.name {
            _ if self.is_crates_io() => Ok(vec!["registry"]),
            Some(name) => Ok(vec!["registries", name]),
            None => Err(Error::NoName),
        }
    }
}

impl CargoConfig {
    /// Configuration in this cargo home, seen from this working directory.
    #[must_use]
    pub fn new(home: PathBuf, working_directory: PathBuf) -> Self {
        Self { home, working_directory }
    }

    /// Cargo's home.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The registry that a person means by a name or an index URL.
    ///
    /// # Errors
    /// [`Error::UnknownRegistry`], [`Error::ProjectDisagrees`], [`Error::CratesIo`], [`Error::IndexUrl`], and
    /// unreadable configuration.
    pub fn resolve(&self, name_or_url: &str) -> Result<ConfiguredRegistry, Error> {
        if name_or_url == CRATES_IO_NAME {
            return Err(Error::CratesIo);
        }
        if name_or_url.contains("://") {
            let index = index_url(name_or_url)?;
            if index.is_crates_io() {
                return Err(Error::CratesIo);
            }
            // A git index has an http URL too, but whoever types one has mostly forgotten the prefix.
            if index.starts_with("http") {
                return Err(Error::NoSparsePrefix { index });
            }
            return Ok(ConfiguredRegistry { name: self.name_of(&index)?, index });
        }
        let own = self.own_index(name_or_url)?;
        if let Some((file, theirs)) = self.project_index(name_or_url)?
            && own.as_ref() != Some(&theirs)
        {
            return Err(Error::ProjectDisagrees { name: name_or_url.to_owned(), own, file, theirs });
        }
        let index = own.ok_or_else(|| Error::UnknownRegistry { name: name_or_url.to_owned() })?;
        let index = index_url(&index)?;
        if index.is_crates_io() {
            return Err(Error::CratesIo);
        }
        Ok(ConfiguredRegistry { index, name: Some(name_or_url.to_owned()) })
    }

    /// The same, and crates.io too, for what can be done there: by its name, or any URL that people know it by.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve), but for [`Error::CratesIo`].
    pub fn resolve_any(&self, name_or_url: &str) -> Result<ConfiguredRegistry, Error> {
        match self.resolve(name_or_url) {
            Err(Error::CratesIo) => Ok(ConfiguredRegistry::crates_io()),
            resolved => resolved,
        }
    }

    /// The provider configured for a registry in cargo's home, as it is written there.
    ///
    /// # Errors
    /// Unreadable configuration.
    pub fn provider_of(&self, registry: &ConfiguredRegistry) -> Result<Option<String>, Error> {
        let file = self.home_file();
        match &registry.name {
            _ if registry.is_crates_io() => {
                let document = read(&file)?.unwrap_or_default();
                Ok(document.get("registry").and_then(|table| Some(text(table.get("credential-provider")?))))
            }
            Some(name) => value_in(&file, name, "credential-provider"),
            None => Ok(None),
        }
    }

    /// Whether a configured provider is this program, however it is written.
    #[must_use]
    pub fn is_ours(provider: &str) -> bool {
        let program = match provider.trim_start().strip_prefix('[') {
            Some(array) => array.split(['"', '\'']).nth(1),
            None => provider.split_whitespace().next(),
        };
        program.and_then(|program| Path::new(program).file_stem()).is_some_and(|stem| stem == "yk-cargo")
    }

    /// Sets a registry's `credential-provider` in cargo's home. Comments and order are kept.
    ///
    /// # Errors
    /// Unreadable configuration, or it cannot be written.
    pub fn set_provider(&self, registry: &ConfiguredRegistry, program: &Path) -> Result<PathBuf, Error> {
        let file = self.home_file();
        let mut document = read(&file)?.unwrap_or_default();
        let entry = table_at(&mut document, &registry.table()?).ok_or_else(|| shape(&file))?;
        let needs_index = !registry.is_crates_io() && entry.get("index").is_none();
        if needs_index
            && registry.name.as_deref().map(|name| self.own_index(name)).transpose()?.flatten().is_none()
        {
            entry.insert("index", value(&*registry.index));
        }
        entry.insert("credential-provider", Item::Value(provider(program)));
        replace(&file, &document.to_string())?;
        Ok(file)
    }

    /// Takes a registry's `credential-provider` out again, if it is this program. False if it was not.
    ///
    /// # Errors
    /// Unreadable configuration, or it cannot be written.
    pub fn unset_provider(&self, registry: &ConfiguredRegistry) -> Result<bool, Error> {
        let file = self.home_file();
        let Some(mut document) = read(&file)? else { return Ok(false) };
        let Some(entry) = table_at(&mut document, &registry.table()?) else { return Ok(false) };
        let ours = entry.get("credential-provider").is_some_and(|item| Self::is_ours(&text(item)));
        if ours {
            entry.remove("credential-provider");
            replace(&file, &document.to_string())?;
        }
        Ok(ours)
    }

    /// Puts a token in clear into cargo's credentials, as cargo's own provider does; 0600 from the first byte.
    ///
    /// # Errors
    /// Unreadable credentials, or they cannot be written.
    pub fn store_token(&self, registry: &ConfiguredRegistry, token: &BearerToken) -> Result<PathBuf, Error> {
        let [old, new] = self.credentials_files();
        let file = if old.is_file() { old } else { new };
        let mut document = read(&file)?.unwrap_or_default();
        let entry = table_at(&mut document, &registry.table()?).ok_or_else(|| shape(&file))?;
        entry.insert("token", value(token.expose()));
        replace_private(&file, &Zeroizing::new(document.to_string()))?;
        Ok(file)
    }

    /// The line that [`set_provider`](Self::set_provider) would write.
    #[must_use]
    pub fn provider_line(program: &Path) -> String {
        format!("credential-provider = {}", provider(program))
    }

    fn name_of(&self, index: &IndexUrl) -> Result<Option<String>, Error> {
        let Some(document) = read(&self.home_file())? else { return Ok(None) };
        let registries = document.get("registries").and_then(Item::as_table_like);
        Ok(registries.and_then(|registries| {
            let is_it = |entry: &Item| {
                entry.get("index").and_then(Item::as_str).and_then(|url| url.parse().ok()).as_ref()
                    == Some(index)
            };
            let found = registries.iter().find(|(_, entry)| is_it(entry));
            found.map(|(name, _)| name.to_owned())
        }))
    }

    /// The environment wins over the file, as in cargo.
    fn own_index(&self, name: &str) -> Result<Option<String>, Error> {
        if let Ok(index) = std::env::var(view::variable(name, "index")) {
            return Ok(Some(index));
        }
        value_in(&self.home_file(), name, "index")
    }

    /// The nearest project file that says anything about this name.
    fn project_index(&self, name: &str) -> Result<Option<(PathBuf, String)>, Error> {
        for directory in self.working_directory.ancestors().map(|ancestor| ancestor.join(".cargo")) {
            if same_directory(&directory, &self.home) {
                continue;
            }
            let file = config_file(&directory);
            if let Some(index) = value_in(&file, name, "index")? {
                return Ok(Some((file, index)));
            }
        }
        Ok(None)
    }

    fn home_file(&self) -> PathBuf {
        config_file(&self.home)
    }
}

/// Cargo prefers the old name `config` where both exist.
fn config_file(directory: &Path) -> PathBuf {
    let old = directory.join("config");
    if old.is_file() { old } else { directory.join("config.toml") }
}

fn same_directory(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}

fn read(file: &Path) -> Result<Option<DocumentMut>, Error> {
    read_text(file)?.map(|text| parse(file, &text)).transpose()
}

/// The text, which may have tokens in it; `None` if there is no file.
fn read_text(file: &Path) -> Result<Option<Zeroizing<String>>, Error> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(Some(Zeroizing::new(text))),
        Err(error)
            if error.kind() == io::ErrorKind::NotFound || error.kind() == io::ErrorKind::NotADirectory =>
        {
            Ok(None)
        }
        Err(source) => Err(Error::Io { action: "read", file: file.to_owned(), source }),
    }
}

fn parse(file: &Path, text: &str) -> Result<DocumentMut, Error> {
    text.parse().map_err(|error: toml_edit::TomlError| Error::Toml {
        file: file.to_owned(),
        reason: error.message().to_owned(),
    })
}

/// How deep files may include files.
const DEEPEST_INCLUDE: u8 = 8;

/// What a file, or one that it includes, says of a registry.
fn value_in(file: &Path, name: &str, key: &str) -> Result<Option<String>, Error> {
    value_at(file, name, key, 0)
}

/// A file's own word counts before that of its includes, a later include before an earlier (Cargo reference,
/// "Configuration", `include`).
fn value_at(file: &Path, name: &str, key: &str, depth: u8) -> Result<Option<String>, Error> {
    let Some(document) = read(file)? else { return Ok(None) };
    if let Some(value) = entry(&document, name, key) {
        return Ok(Some(value));
    }
    let included = includes(&document, file.parent().unwrap_or(file));
    if depth == DEEPEST_INCLUDE && !included.is_empty() {
        return Err(Error::DeepInclude { file: file.to_owned() });
    }
    for file in included.iter().rev() {
        if let Some(value) = value_at(file, name, key, depth + 1)? {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// `include = "PATH"`, `["PATH", …]` or `[{ path = "PATH" }, …]`, relative to the file that says so.
fn includes(document: &DocumentMut, directory: &Path) -> Vec<PathBuf> {
    let path = |value: &Value| {
        let text = value.as_str().or_else(|| value.as_inline_table()?.get("path")?.as_str())?;
        Some(directory.join(text))
    };
    match document.get("include") {
        Some(Item::Value(Value::Array(array))) => array.iter().filter_map(path).collect(),
        Some(Item::Value(value)) => path(value).into_iter().collect(),
        Some(Item::ArrayOfTables(tables)) => {
            tables.iter().filter_map(|table| Some(directory.join(table.get("path")?.as_str()?))).collect()
        }
        _ => Vec::new(),
    }
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

fn shape(file: &Path) -> Error {
    Error::Shape { file: file.to_owned() }
}

/// A value as it is written.
fn text(item: &Item) -> String {
    item.as_str().map_or_else(|| item.to_string().trim().to_owned(), str::to_owned)
}

fn entry(document: &DocumentMut, name: &str, key: &str) -> Option<String> {
    document.get("registries")?.get(name)?.get(key).map(text)
}

/// A bare word where PATH finds this program by it; else an array, since cargo splits a string at blanks.
fn provider(program: &Path) -> Value {
    let bare = Path::new(program.file_name().unwrap_or(program.as_os_str()));
    let on_path = std::env::var_os("PATH").and_then(|path| {
        std::env::split_paths(&path).map(|dir| dir.join(bare)).find(|found| found.is_file())
    });
    let is_bare = on_path.is_some_and(|found| found.canonicalize().ok() == program.canonicalize().ok());
    if is_bare {
        return bare.to_string_lossy().as_ref().into();
    }
    Value::Array(Array::from_iter([program.to_string_lossy().as_ref()]))
}

/// With the permissions of the old file, but not before it is in place: it may have tokens in it.
fn replace(file: &Path, text: &str) -> Result<(), Error> {
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

/// Parses a URL in cargo's configuration, or as a person typed it.
///
/// # Errors
/// [`Error::IndexUrl`].
pub fn index_url(text: &str) -> Result<IndexUrl, Error> {
    text.parse().map_err(|problem| Error::IndexUrl { index: index_url::without_password(text), problem })
}

/// The `[http]` table of the configuration in cargo's home.
pub(crate) fn http(home: &Path) -> Result<Option<Item>, Error> {
    Ok(read(&config_file(home))?.and_then(|mut document| document.remove("http")))
}

#[cfg(test)]
mod tests;

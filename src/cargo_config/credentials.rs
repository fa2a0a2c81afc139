//! Tokens in clear: where cargo finds them, and how one is taken out of its file.
//!
//! Cargo reads them from `credentials` or else `credentials.toml` in its home, then from every `config.toml` from the
//! working directory upward, then from the one in its home (cargo 1.95, `util/context`, `load_credentials`). What is
//! taken out is the one statement; every other byte of the file stays.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use toml_edit::{Document, DocumentMut, Item, TableLike};
use zeroize::Zeroizing;

use super::{
    CRATES_IO_NAME, CargoConfig, ConfiguredRegistry, DEEPEST_INCLUDE, Error, config_file, includes, parse,
    read_text, replace, same_directory,
};
use crate::sealed::{BearerToken, TokenError};

/// A token in clear, and its place. Never shown.
pub struct ClearToken {
    /// The registry's name; `crates-io` for crates.io.
    pub registry: String,
    /// The file.
    pub file: PathBuf,
    /// Whose file that is.
    pub owner: Owner,
    /// The keys that lead to it.
    keys: Vec<String>,
    token: Zeroizing<String>,
}

/// Whose a file with a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The person's: it is in cargo's home, or included from there.
    Home,
    /// A project's, and with it perhaps in version control.
    Project,
}

impl CargoConfig {
    /// Every token in clear that cargo could come upon; of each registry first the one that it uses. One in
    /// `credentials.toml` beside `credentials`, which cargo does not read, comes last.
    ///
    /// # Errors
    /// Unreadable credentials or configuration.
    pub fn clear_tokens(&self) -> Result<Vec<ClearToken>, Error> {
        let [old, new] = self.credentials_files();
        let mut tokens = Vec::new();
        let in_credentials = |file: &Path| {
            read_text(file)?.map_or(Ok(Vec::new()), |text| find(file, &text, Owner::Home, true))
        };
        let (used, unused) = if old.is_file() { (&old, Some(&new)) } else { (&new, None) };
        tokens.extend(in_credentials(used)?);
        for directory in self.working_directory.ancestors().map(|ancestor| ancestor.join(".cargo")) {
            if !same_directory(&directory, self.home()) {
                collect(&config_file(&directory), Owner::Project, 0, &mut tokens)?;
            }
        }
        collect(&config_file(self.home()), Owner::Home, 0, &mut tokens)?;
        unused.map_or(Ok(Vec::new()), |file| in_credentials(file)).map(|unused| tokens.extend(unused))?;
        Ok(tokens)
    }

    /// The first of cargo's credentials that has a `credential-provider` for this registry. Cargo glues it together with
    /// the one in `config.toml`, and runs neither.
    ///
    /// # Errors
    /// Unreadable credentials.
    pub fn credentials_with_a_provider(
        &self,
        registry: &ConfiguredRegistry,
    ) -> Result<Option<PathBuf>, Error> {
        let keys = registry.table()?;
        for file in self.credentials_files() {
            let Some(text) = read_text(&file)? else { continue };
            let document = parse(&file, &text)?;
            let table = keys.iter().try_fold(document.as_item(), |item, key| item.get(*key));
            if table.is_some_and(|table| table.get("credential-provider").is_some()) {
                return Ok(Some(file));
            }
        }
        Ok(None)
    }
}

impl ClearToken {
    /// As what it is.
    ///
    /// # Errors
    /// [`TokenError`] if it cannot be a bearer token.
    pub fn bearer(&self) -> Result<BearerToken, TokenError> {
        BearerToken::new(self.token.clone())
    }

    /// Whether this is the same token, wherever it lies.
    #[must_use]
    pub fn is(&self, other: &BearerToken) -> bool {
        self.token.as_str() == other.expose()
    }

    /// How many bytes it has.
    #[must_use]
    pub fn length(&self) -> usize {
        self.token.len()
    }

    /// Whether its file can be replaced by one without it, and nobody be surprised.
    ///
    /// # Errors
    /// [`Error::NotOurs`] says what stands in the way.
    pub fn can_be_removed(&self) -> Result<(), Error> {
        let io = |source| Error::Io { action: "read", file: self.file.clone(), source };
        match obstacle(&fs::symlink_metadata(&self.file).map_err(io)?) {
            Some(problem) => Err(Error::NotOurs { file: self.file.clone(), problem }),
            None => Ok(()),
        }
    }

    /// Takes it out of its file: the new file is written beside the old one, for its owner alone from the first byte,
    /// and renamed.
    ///
    /// # Errors
    /// [`Error::Changed`] if another token is there by now, [`Error::NotOurs`], and what cannot be written. The file is
    /// as it was then.
    pub fn remove(&self) -> Result<(), Error> {
        self.can_be_removed()?;
        let changed = || Error::Changed { file: self.file.clone() };
        let text = read_text(&self.file)?.ok_or_else(changed)?;
        let document = parse(&self.file, &text)?;
        if value_at(document.as_item(), &self.keys) != Some(self.token.as_str()) {
            return Err(changed());
        }
        let rest = Zeroizing::new(without(&text, &self.keys).ok_or_else(changed)?);
        if value_at(parse(&self.file, &rest)?.as_item(), &self.keys).is_some() {
            return Err(changed());
        }
        replace(&self.file, &rest)
    }
}

impl fmt::Debug for ClearToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClearToken")
            .field("keys", &self.keys)
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

/// A file, then what it includes, the last first.
fn collect(file: &Path, owner: Owner, depth: u8, tokens: &mut Vec<ClearToken>) -> Result<(), Error> {
    let Some(text) = read_text(file)? else { return Ok(()) };
    tokens.extend(find(file, &text, owner, false)?);
    let included = includes(&parse(file, &text)?, file.parent().unwrap_or(file));
    if depth == DEEPEST_INCLUDE && !included.is_empty() {
        return Err(Error::DeepInclude { file: file.to_owned() });
    }
    included.iter().rev().try_for_each(|file| collect(file, owner, depth + 1, tokens))
}

/// The tokens of one file. Credentials as the first cargo wrote them have crates.io's at the top.
fn find(file: &Path, text: &str, owner: Owner, is_credentials: bool) -> Result<Vec<ClearToken>, Error> {
    let document = parse(file, text)?;
    let found = |registry: &str, keys: &[&str]| {
        let keys: Vec<_> = keys.iter().map(|key| (*key).to_owned()).collect();
        let token = Zeroizing::new(value_at(document.as_item(), &keys)?.to_owned());
        Some(ClearToken { registry: registry.to_owned(), file: file.to_owned(), owner, keys, token })
    };
    let mut tokens = Vec::from_iter(found(CRATES_IO_NAME, &["registry", "token"]));
    if is_credentials {
        tokens.extend(found(CRATES_IO_NAME, &["token"]));
    }
    let registries = document.get("registries").and_then(Item::as_table_like);
    let names = registries.into_iter().flat_map(TableLike::iter).map(|(name, _)| name);
    tokens.extend(names.filter_map(|name| found(name, &["registries", name, "token"])));
    Ok(tokens)
}

fn value_at<'a>(item: &'a Item, keys: &[String]) -> Option<&'a str> {
    keys.iter().try_fold(item, |item, key| item.get(key))?.as_str()
}

/// The text without the statement at these keys; `None` if there is none. A comment behind it stays.
fn without(text: &str, keys: &[String]) -> Option<String> {
    let document = Document::parse(text).ok()?;
    let mut table: &dyn TableLike = document.as_table();
    for (depth, key) in keys.iter().enumerate() {
        let (name, item) = table.get_key_value(key)?;
        if item.is_inline_table() {
            // One that knows its place in the text has forgotten how it is written.
            let editable: DocumentMut = text.parse().ok()?;
            let table = keys[..=depth].iter().try_fold(editable.as_item(), |item, key| item.get(key))?;
            let mut rest = table.as_inline_table()?.clone();
            remove_from(&mut rest, &keys[depth + 1..])?;
            rest.decor_mut().clear();
            let at = item.span()?;
            return Some([&text[..at.start], &rest.to_string(), &text[at.end..]].concat());
        }
        if depth + 1 < keys.len() {
            table = item.as_table_like()?;
            continue;
        }
        let start = text[..name.span()?.start].rfind('\n').map_or(0, |end| end + 1);
        let behind = &text[item.span()?.end..];
        let line = behind.find('\n').map_or(behind.len(), |end| end + 1);
        let behind = if behind[..line].trim().is_empty() { &behind[line..] } else { behind.trim_start() };
        return Some([&text[..start], behind].concat());
    }
    None
}

fn remove_from(table: &mut dyn TableLike, keys: &[String]) -> Option<()> {
    match keys {
        [last] => table.remove(last).map(drop),
        [first, rest @ ..] => remove_from(table.get_mut(first)?.as_table_like_mut()?, rest),
        [] => None,
    }
}

/// Why a file had better not be replaced.
#[cfg(unix)]
fn obstacle(metadata: &fs::Metadata) -> Option<&'static str> {
    use std::os::unix::fs::MetadataExt as _;
    if metadata.is_symlink() {
        Some("is a link: whatever it leads to, perhaps a repository of yours, has the token")
    } else if !metadata.is_file() {
        Some("is no ordinary file")
    } else if metadata.uid() != rustix::process::geteuid().as_raw() {
        Some("belongs to another user")
    } else if metadata.permissions().readonly() {
        Some("is read-only")
    } else if metadata.nlink() > 1 {
        Some("has a second name, under which the token would stay")
    } else {
        None
    }
}

/// Why a file had better not be replaced.
#[cfg(not(unix))]
fn obstacle(metadata: &fs::Metadata) -> Option<&'static str> {
    if metadata.is_symlink() {
        Some("is a link: whatever it leads to, perhaps a repository of yours, has the token")
    } else if metadata.permissions().readonly() {
        Some("is read-only")
    } else {
        None
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests;

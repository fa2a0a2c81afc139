//! Tokens in clear: where they lie in cargo's files, and how one is taken out of its file.
//!
//! What is taken out is the one statement; every other byte of the file stays.

use std::fmt;
use std::fs;
use std::path::PathBuf;

use toml_edit::{Document, DocumentMut, Item, TableLike};
use zeroize::Zeroizing;

use super::configuration::{Configuration, Scope};
use super::edit::replace;
use super::files::{Statement, parse, read};
use super::origin::Owner;
use super::value::Value;
use super::{CRATES_IO_NAME, ConfiguredRegistry, Error};
use crate::sealed::{BearerToken, TokenError};

/// A token in clear, and its place. Never shown.
pub struct ClearToken {
    /// The registry's name; `crates-io` for crates.io.
    pub registry: String,
    /// The file.
    pub file: PathBuf,
    /// Whose file that is.
    pub owner: Owner,
    /// The keys that lead to it; the last one is `token` or `secret-key`.
    keys: Vec<String>,
    token: Zeroizing<String>,
}

impl Configuration {
    /// Every token and every secret key in clear that cargo could come upon; of each registry first the one that it uses.
    /// One in `credentials.toml` beside `credentials`, which cargo does not read, comes last.
    #[must_use]
    pub fn clear_tokens(&self) -> Vec<ClearToken> {
        self.statements.iter().flat_map(find).collect()
    }

    /// The token that `cargo:token` would give for a registry: of the environment, or else of the files.
    ///
    /// # Errors
    /// As [`settings_name`](Self::settings_name).
    pub fn token_of(
        &self,
        scope: Scope,
        registry: &ConfiguredRegistry,
    ) -> Result<Option<Zeroizing<String>>, Error> {
        let Some(name) = self.settings_name(scope, registry)? else { return Ok(None) };
        let token = self.text(self.with_credentials(scope)?, &Self::keys(&name, "token"))?;
        Ok(token.map(|token| Zeroizing::new(token.value)))
    }

    /// Whether a token in clear is one for this registry.
    ///
    /// # Errors
    /// As [`settings_name`](Self::settings_name).
    pub fn is_token_of(&self, token: &ClearToken, registry: &ConfiguredRegistry) -> Result<bool, Error> {
        let name = self.settings_name(Scope::Here, registry)?;
        Ok(name.into_iter().chain(registry.name.clone()).any(|name| name == token.registry))
    }
}

impl ClearToken {
    /// Whether it is a token, and not the secret key of an asymmetric one, which stable cargo does not use.
    #[must_use]
    pub fn is_token(&self) -> bool {
        self.keys.last().is_some_and(|key| key == "token")
    }

    /// The token as a bearer token.
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

    /// Whether its file can be replaced by one without it without surprising anybody.
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
    pub fn remove(&self) -> Result<Rest, Error> {
        self.can_be_removed()?;
        let changed = || Error::Changed { file: self.file.clone() };
        let text = read(&self.file)?;
        let document = parse(&self.file, &text)?;
        if value_at(document.as_item(), &self.keys) != Some(self.token.as_str()) {
            return Err(changed());
        }
        let rest = Zeroizing::new(without(&text, &self.keys).ok_or_else(changed)?);
        if value_at(parse(&self.file, &rest)?.as_item(), &self.keys).is_some() {
            return Err(changed());
        }
        replace(&self.file, &rest)?;
        Ok(if rest.contains(self.token.as_str()) { Rest::HasIt } else { Rest::Clean })
    }
}

/// What a token was removed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// The token is nowhere in it.
    Clean,
    /// The same text is in it elsewhere: in a comment, or as the value of another key.
    HasIt,
}

impl fmt::Debug for ClearToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClearToken")
            .field("keys", &self.keys)
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

/// The tokens of one file. Credentials as the first cargo wrote them have crates.io's at the top.
fn find(statement: &Statement) -> Vec<ClearToken> {
    let Statement { file, owner, is_credentials, values } = statement;
    let entries = |key: &str| values.at(&[key]).ok().flatten().and_then(Value::entries);
    let registries = entries("registries").into_iter().flatten().map(|(name, _)| name.as_str());
    let tables = registries.map(|name| (name, vec!["registries", name]));
    let top = is_credentials.then(|| (CRATES_IO_NAME, Vec::new()));
    let tables = std::iter::once((CRATES_IO_NAME, vec!["registry"])).chain(top).chain(tables);
    let mut tokens = Vec::new();
    for (registry, table) in tables {
        for key in ["token", "secret-key"] {
            let keys = [&table[..], &[key]].concat();
            let Some(token) = values.at(&keys).ok().flatten().and_then(Value::text) else { continue };
            tokens.push(ClearToken {
                registry: registry.to_owned(),
                file: file.clone(),
                owner: *owner,
                keys: keys.into_iter().map(str::to_owned).collect(),
                token: Zeroizing::new(token.to_owned()),
            });
        }
    }
    tokens
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
            // An inline table that was parsed with its place in the text does not keep how it is written.
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
        Some("is a symbolic link: the file behind it, perhaps in a repository of yours, has the token")
    } else if !metadata.is_file() {
        Some("is not a regular file")
    } else if metadata.uid() != rustix::process::geteuid().as_raw() {
        Some("belongs to another user")
    } else if metadata.permissions().readonly() {
        Some("is read-only")
    } else if metadata.nlink() > 1 {
        Some("has a second hard link, under which the token would remain")
    } else {
        None
    }
}

/// Why a file had better not be replaced.
#[cfg(not(unix))]
fn obstacle(metadata: &fs::Metadata) -> Option<&'static str> {
    if metadata.is_symlink() {
        Some("is a symbolic link: the file behind it, perhaps in a repository of yours, has the token")
    } else if metadata.permissions().readonly() {
        Some("is read-only")
    } else {
        None
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests;

//! How a project's configuration changes where a registry's token is sent.
//!
//! Cargo sends a token wherever its configuration leads: through `http.proxy`, to whatever `http.cainfo` vouches for. Such
//! settings may come with a project, so this finds where they differ from the person's own configuration.

use std::path::Path;

use super::configuration::{Configuration, Scope};
use super::environment::variable;
use super::origin::Origin;
use super::value::{Kind, Value};
use super::{CRATES_IO_NAME, ConfiguredRegistry, Error};
use crate::index_url::IndexUrl;

/// The tables about the network, and the keys in them that cannot lead a token astray. Cargo writes the user agent into its requests
/// as it is, so that a line break in one begins a request of the project's own, with the token in it.
const NETWORK: [(&str, &[&str]); 2] = [
    ("http", &["debug", "low-speed-limit", "multiplexing", "timeout", "user-agent"]),
    ("net", &["git-fetch-with-cli", "offline", "retry"]),
];

/// A project's setting that changes where a token is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detour {
    /// Such as `http.proxy`.
    pub key: String,
    /// The project's file.
    pub origin: Origin,
}

impl Configuration {
    /// The settings in projects' files that change where this registry's token is sent.
    ///
    /// # Errors
    /// Cargo would refuse this configuration.
    pub fn detours(&self, registry: &ConfiguredRegistry) -> Result<Vec<Detour>, Error> {
        let mut detours = Vec::new();
        for (table, harmless) in NETWORK {
            let here = self.config(Scope::Here).at(&[table])?.and_then(Value::entries);
            for (key, value) in here.into_iter().flatten() {
                let breaks_out = value.text().is_some_and(|text| text.contains(char::is_control));
                if breaks_out || !harmless.contains(&key.as_str()) {
                    self.collect(vec![table, key], value, &mut detours)?;
                }
            }
        }
        self.aliases(&mut detours)?;
        detours.extend(self.renaming(registry)?);
        self.replacement(registry, &mut detours)?;
        Ok(detours)
    }

    /// A value from a project that is another than the person's own.
    pub(super) fn collect<'a>(
        &'a self,
        keys: Vec<&'a str>,
        value: &'a Value,
        detours: &mut Vec<Detour>,
    ) -> Result<(), Error> {
        if let Kind::Table(table) = &value.kind {
            return table.iter().try_for_each(|(key, value)| {
                self.collect([&keys[..], &[key.as_str()]].concat(), value, detours)
            });
        }
        // The name of a source is not put into upper case, so no such variable is cargo's.
        if keys[0] != "source" && self.environment.contains_key(&variable(&keys)) {
            return Ok(());
        }
        let origins = value
            .list()
            .map_or(vec![&value.origin], |list| list.iter().map(|value| &value.origin).collect::<Vec<_>>());
        let own = self.config(Scope::Own).at(&keys)?;
        if let Some(origin) = origins.into_iter().find(|origin| origin.is_projects())
            && !own.is_some_and(|own| says_the_same(&keys, own, value, &self.here))
        {
            detours.push(Detour { key: keys.join("."), origin: origin.clone() });
        }
        Ok(())
    }

    /// A project that gives one of the registry's names another URL.
    fn renaming(&self, registry: &ConfiguredRegistry) -> Result<Option<Detour>, Error> {
        if registry.is_crates_io() {
            return Ok(None);
        }
        let own = self.names_of(Scope::Own, &registry.index)?.into_iter().map(|name| name.value);
        for name in own.chain(registry.name.clone()) {
            if let Some(here) = self.index_of(Scope::Here, &name)?
                && here.origin.is_projects()
                && here.value != registry.index
            {
                return Ok(Some(Detour { key: format!("registries.{name}.index"), origin: here.origin }));
            }
        }
        Ok(None)
    }

    /// A project that gives a registry's name another URL than the person does: a source can be replaced with such a name.
    pub(super) fn moved(&self, name: &str) -> Result<Option<Detour>, Error> {
        let own = self.index_of(Scope::Own, name)?.map(|own| own.value);
        let here = self.index_of(Scope::Here, name)?;
        let theirs = here.filter(|here| here.origin.is_projects() && own.as_ref() != Some(&here.value));
        Ok(theirs.map(|theirs| Detour { key: format!("registries.{name}.index"), origin: theirs.origin }))
    }

    /// Another registry that answers in place of this one, because a project says so (cargo 1.95,
    /// `sources/config.rs`). A folder is sent no tokens.
    fn replacement(&self, registry: &ConfiguredRegistry, detours: &mut Vec<Detour>) -> Result<(), Error> {
        let sources = self.config(Scope::Here).at(&["source"])?.and_then(Value::entries);
        let Some(sources) = sources else { return Ok(()) };
        let entry = |source: &str, key: &str| sources.get(source)?.entries()?.get(key)?.text();
        let is_itself = |url: &str| match url.parse::<IndexUrl>() {
            Ok(url) if registry.is_crates_io() => url.is_crates_io(),
            _ => registry.index.is_what_cargo_finds(url).is_ok_and(|is_it| is_it),
        };
        let is_it = |source: &&String| {
            registry.is_crates_io() && *source == CRATES_IO_NAME
                || entry(source, "registry").is_some_and(is_itself)
        };
        // Cargo lets `crates-io` stand for a registry that another source has already.
        let is_replaced = sources.keys().filter(is_it).any(|source| {
            entry(source, "replace-with").is_some()
                || entry(source, "registry").is_some_and(|url| !is_itself(url))
        });
        let is_folder =
            |source: &str| ["directory", "local-registry"].iter().any(|key| entry(source, key).is_some());
        for (source, table) in sources.iter().filter(|_| is_replaced) {
            for (key, value) in table.entries().into_iter().flatten() {
                let leads_away = match (key.as_str(), value.text()) {
                    ("replace-with", Some(next)) => !is_folder(next),
                    ("registry" | "git", Some(url)) => !is_itself(url),
                    _ => false,
                };
                if leads_away {
                    self.collect(vec!["source", source, key], value, detours)?;
                }
                if let ("replace-with", Some(next)) = (key.as_str(), value.text()) {
                    detours.extend(self.moved(next)?);
                }
            }
        }
        Ok(())
    }
}

/// Two paths are the same if they lead to the same place, whatever they start from.
fn says_the_same(keys: &[&str], one: &Value, other: &Value, here: &Path) -> bool {
    match (&one.kind, &other.kind) {
        (Kind::Text(a), Kind::Text(b)) => {
            let place = |text: &str, value: &Value| value.origin.root(here).join(text);
            a == b && (!is_path(keys, a) || place(a, one) == place(b, other))
        }
        (Kind::Integer(a), Kind::Integer(b)) => a == b,
        (Kind::Boolean(a), Kind::Boolean(b)) => a == b,
        (Kind::List(a), Kind::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| says_the_same(keys, a, b, here))
        }
        _ => false,
    }
}

/// Whether cargo takes a text at these keys for a path: of a file with certificates, or a source's place if it is no URL.
fn is_path(keys: &[&str], text: &str) -> bool {
    match keys {
        ["source", .., key] => *key != "replace-with" && !text.contains("://"),
        [.., key] => key.ends_with("cainfo"),
        [] => false,
    }
}

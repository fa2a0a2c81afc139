//! What a project changes about the way that a registry's token takes.
//!
//! Cargo sends a token wherever its configuration leads: through `http.proxy`, to whatever `http.cainfo` vouches for. A
//! project's file that says so comes with the project, so what differs from the person's own configuration is found here.

use std::path::Path;

use super::configuration::{Configuration, Scope};
use super::environment::variable;
use super::origin::Origin;
use super::value::{Kind, Value};
use super::{CRATES_IO_NAME, ConfiguredRegistry, Error};
use crate::index_url::IndexUrl;

/// Tables about the network, and what in them cannot lead a token astray.
const NETWORK: [(&str, &[&str]); 2] = [
    ("http", &["debug", "low-speed-limit", "multiplexing", "timeout", "user-agent"]),
    ("net", &["git-fetch-with-cli", "offline", "retry"]),
];

/// A setting of a project's that changes the way of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detour {
    /// Such as `http.proxy`.
    pub key: String,
    /// The project's file.
    pub origin: Origin,
}

/// Where the reads of a registry go.
#[derive(PartialEq, Eq)]
enum Source {
    /// A folder, which no token is sent to.
    Local,
    /// This URL, as it is written.
    Remote(String),
}

impl Configuration {
    /// What projects' files change about the way of this registry's token.
    ///
    /// # Errors
    /// Cargo would refuse this configuration.
    pub fn detours(&self, registry: &ConfiguredRegistry) -> Result<Vec<Detour>, Error> {
        let mut detours = Vec::new();
        for (table, harmless) in NETWORK {
            let here = self.config(Scope::Here).at(&[table])?.and_then(Value::entries);
            for (key, value) in here.into_iter().flatten() {
                if !harmless.contains(&key.as_str()) {
                    self.collect(vec![table, key], value, &mut detours)?;
                }
            }
        }
        detours.extend(self.renaming(registry)?);
        detours.extend(self.replacement(registry)?);
        Ok(detours)
    }

    /// A value from a project that is another than the person's own.
    fn collect<'a>(
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
        if self.environment.get(&variable(&keys)).is_some() {
            return Ok(());
        }
        let origins = value
            .list()
            .map_or(vec![&value.origin], |list| list.iter().map(|value| &value.origin).collect::<Vec<_>>());
        let own = self.config(Scope::Own).at(&keys)?;
        if let Some(origin) = origins.into_iter().find(|origin| origin.is_projects())
            && !own.is_some_and(|own| says_the_same(own, value, &self.here))
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

    /// A project that has another registry answer in this one's place.
    fn replacement(&self, registry: &ConfiguredRegistry) -> Result<Option<Detour>, Error> {
        let (here, steps) = self.source(Scope::Here, &registry.index)?;
        let (own, _) = self.source(Scope::Own, &registry.index)?;
        if here == Source::Local || here == own {
            return Ok(None);
        }
        Ok(steps.into_iter().find(|step| step.origin.is_projects()))
    }

    /// Follows `[source]` (cargo 1.95, `sources/config.rs`).
    fn source(&self, scope: Scope, index: &IndexUrl) -> Result<(Source, Vec<Detour>), Error> {
        let mut steps = Vec::new();
        let itself = || Source::Remote(index.to_string());
        let Some(sources) = self.config(scope).at(&["source"])?.and_then(Value::entries) else {
            return Ok((itself(), steps));
        };
        let is_it = |(_, entry): &(&String, &Value)| {
            let registry = entry.entries().and_then(|entry| entry.get("registry")?.text());
            registry.is_some_and(|url| index.is_what_cargo_finds(url).is_ok_and(|is_it| is_it))
        };
        let first = match sources.iter().find(is_it) {
            Some((name, _)) => name.as_str(),
            None if index.is_crates_io() => CRATES_IO_NAME,
            None => return Ok((itself(), steps)),
        };
        let mut name = first.to_owned();
        // Cargo refuses a circle.
        for _ in 0..=sources.len() {
            let Some(entry) = sources.get(&name) else { break };
            let mut text = |key: &str| {
                // The name of a source is not put into upper case.
                let variable = format!("CARGO_SOURCE_{name}_{}", key.replace('-', "_").to_uppercase());
                let value = entry.at(&[key]).ok().flatten();
                let found = match self.environment.get(&variable) {
                    Some(text) => Some((text.to_owned(), Origin::Variable(variable))),
                    None => value.and_then(|value| Some((value.text()?.to_owned(), value.origin.clone()))),
                };
                found.map(|(text, origin)| {
                    steps.push(Detour { key: format!("source.{name}.{key}"), origin });
                    text
                })
            };
            match text("replace-with") {
                Some(next) => name = next,
                None if text("directory").or_else(|| text("local-registry")).is_some() => {
                    return Ok((Source::Local, steps));
                }
                None if name == first => return Ok((itself(), steps)),
                None => {
                    let place = text("registry").or_else(|| text("git"));
                    return Ok((place.map_or_else(itself, Source::Remote), steps));
                }
            }
        }
        // A name that is no source is a registry's.
        Ok(match self.index_of(scope, &name)? {
            Some(url) => {
                steps.push(Detour { key: format!("registries.{name}.index"), origin: url.origin });
                (Source::Remote(url.value.to_string()), steps)
            }
            None => (itself(), steps),
        })
    }
}

/// Two paths are the same if they lead to the same place, whatever they start from.
fn says_the_same(one: &Value, other: &Value, here: &Path) -> bool {
    match (&one.kind, &other.kind) {
        (Kind::Text(a), Kind::Text(b)) => {
            let place = |text: &str, value: &Value| value.origin.root(here).join(text);
            a == b && (!a.contains(['/', '.']) || a.contains("://") || place(a, one) == place(b, other))
        }
        (Kind::Integer(a), Kind::Integer(b)) => a == b,
        (Kind::Boolean(a), Kind::Boolean(b)) => a == b,
        (Kind::List(a), Kind::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| says_the_same(a, b, here))
        }
        _ => false,
    }
}

//! How a project's configuration has cargo build something else than its lock file names.
//!
//! Cargo compares a checksum with what it downloads. It compares none with a folder, which `paths` and a replaced source can put in a
//! crate's place without a change of the lock file (cargo 1.95, `sources/directory.rs`, `sources/config.rs`).

use super::configuration::{Configuration, Scope};
use super::transport::Detour;
use super::value::Value;
use super::{CRATES_IO_NAME, Error};
use crate::index_url::{CRATES_IO, IndexUrl};

/// What says where a source is.
const PLACES: [&str; 8] =
    ["branch", "directory", "git", "local-registry", "registry", "replace-with", "rev", "tag"];

impl Configuration {
    /// The first setting of a project's file that puts something in the place of packages: `paths`, or another source for one of these
    /// registries, wherever that leads.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::IndexUrl`].
    pub fn in_place_of(&self, registries: &[&IndexUrl]) -> Result<Option<Detour>, Error> {
        let here = self.config(Scope::Here);
        if let Some(paths) = here.at(&["paths"])? {
            let mut all = paths.list().into_iter().flatten().chain([paths]);
            if let Some(path) = all.find(|path| path.origin.is_projects()) {
                return Ok(Some(Detour { key: "paths".to_owned(), origin: path.origin.clone() }));
            }
        }
        let Some(sources) = here.at(&["source"])?.and_then(Value::entries) else { return Ok(None) };
        let is_replaced = sources.iter().any(|(name, source)| {
            let has = |key: &str| source.entries().is_some_and(|keys| keys.contains_key(key));
            let registry = source.entries().and_then(|keys| keys.get("registry")?.text());
            let is_it = |index: &IndexUrl| {
                *index == CRATES_IO && name == CRATES_IO_NAME
                    || registry.is_some_and(|url| index.is_what_cargo_finds(url).is_ok_and(|is_it| is_it))
            };
            // Cargo lets `crates-io` stand for another registry.
            let stands_for_another = name == CRATES_IO_NAME && has("registry");
            registries.iter().any(|index| is_it(index)) && (has("replace-with") || stands_for_another)
        });
        let mut found = Vec::new();
        for (name, source) in sources.iter().filter(|_| is_replaced) {
            for (key, value) in source.entries().into_iter().flatten() {
                if PLACES.contains(&key.as_str()) {
                    self.collect(vec!["source", name, key], value, &mut found)?;
                }
                if let ("replace-with", Some(next)) = (key.as_str(), value.text()) {
                    found.extend(self.moved(next)?);
                }
            }
        }
        Ok(found.into_iter().next())
    }
}

//! Everything that cargo goes by in a folder, read once: which registry a name is, which name a registry has.
//!
//! The rules are those of cargo 1.95: `util/context/mod.rs` for the levels, `util/auth/mod.rs` for the names.

use std::path::{Path, PathBuf};

use super::environment::{self, Environment, variable};
use super::files::{self, Statement, Tree};
use super::origin::{Clash, Located, Origin, Owner};
use super::value::{Kind, Value};
use super::{CRATES_IO_NAME, ConfiguredRegistry, Error};
use crate::index_url::{IndexUrl, without_password};

/// Cargo's configuration, as read.
pub struct Configuration {
    pub(super) home: PathBuf,
    pub(super) here: PathBuf,
    pub(super) environment: Environment,
    everything: Values,
    own: Values,
    /// Every file, in the order in which cargo prefers their tokens.
    pub(super) statements: Vec<Statement>,
}

/// Whose word counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// What cargo goes by in this folder: projects' files too.
    Here,
    /// The person's own files and environment.
    Own,
}

/// Merged files, and the same with what cargo's credentials say where a registry is concerned.
struct Values {
    config: Value,
    with_credentials: Result<Value, Clash>,
}

/// Whether projects' files are read at all.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    Everything,
    OwnOnly,
}

impl Configuration {
    pub(super) fn read(
        home: &Path,
        here: &Path,
        environment: Environment,
        reading: Reading,
    ) -> Result<Self, Error> {
        let root = || Value::table(Origin::File { path: home.to_owned(), owner: Owner::Home });
        let (mut everything, mut own) = (root(), root());
        let mut statements = Vec::new();
        let credentials_file = files::existing(home, "credentials");
        let credentials =
            credentials_file.as_ref().map(|file| files::tree(file, Owner::Home, true)).transpose()?;
        for (file, owner) in files::levels(home, here) {
            if owner == Owner::Project && reading == Reading::OwnOnly {
                continue;
            }
            let Tree { merged, statements: found } = files::tree(&file, owner, false)?;
            if owner == Owner::Home {
                own.merge(merged.clone(), false)?;
            }
            everything.merge(merged, false)?;
            statements.extend(found);
        }
        let with = |config: &Value| match &credentials {
            None => Ok(config.clone()),
            Some(tree) => with_credentials(config, &tree.merged),
        };
        let (everything, own) = (
            Values { with_credentials: with(&everything), config: everything },
            Values { with_credentials: with(&own), config: own },
        );
        statements.splice(0..0, credentials.into_iter().flat_map(|tree| tree.statements));
        let unused = home.join("credentials.toml");
        if credentials_file.is_some_and(|used| used != unused) && unused.exists() {
            statements.extend(files::tree(&unused, Owner::Home, true)?.statements);
        }
        Ok(Self { home: home.to_owned(), here: here.to_owned(), environment, everything, own, statements })
    }

    /// The index that a name has.
    ///
    /// # Errors
    /// [`Error::IndexUrl`], [`Error::Shape`].
    pub fn index_of(&self, scope: Scope, name: &str) -> Result<Option<Located<IndexUrl>>, Error> {
        let Some(index) = self.text(&self.values(scope).config, &["registries", name, "index"])? else {
            return Ok(None);
        };
        let root = index.origin.root(&self.here);
        match IndexUrl::configured(&index.value, root) {
            Ok(url) => Ok(Some(index.map(|_| url))),
            Err(problem) => Err(Error::IndexUrl { index: without_password(&index.value), problem }),
        }
    }

    /// The names under which cargo finds the settings of a registry by its URL: those that the environment gives it, or
    /// else those of the files. It refuses more than one.
    ///
    /// # Errors
    /// [`Error::IndexUrl`], [`Error::Shape`]: with one such entry cargo finds none.
    pub fn names_of(&self, scope: Scope, index: &IndexUrl) -> Result<Vec<Located<String>>, Error> {
        let in_environment = self.environment.iter().filter_map(|(variable, url)| {
            let name = variable.strip_prefix("CARGO_REGISTRIES_")?.strip_suffix("_INDEX")?;
            let is_it = index.is_what_cargo_finds(url).is_ok_and(|is_it| is_it);
            let origin = Origin::Variable(variable.to_owned());
            is_it.then(|| Located { value: name.to_lowercase(), origin })
        });
        let mut names: Vec<_> = in_environment.collect();
        if !names.is_empty() {
            return Ok(names);
        }
        let Some(registries) = self.values(scope).config.at(&["registries"])? else { return Ok(names) };
        let entries = registries.entries().ok_or_else(|| registries.shape(&["registries"], "a table"))?;
        for (name, entry) in entries {
            let keys = ["registries", name, "index"];
            let table = entry.entries().ok_or_else(|| entry.shape(&keys[..2], "a table"))?;
            let Some(url) = table.get("index") else { continue };
            let text = url.text().ok_or_else(|| url.shape(&keys, "a text"))?;
            let refused = |problem| Error::IndexUrl { index: without_password(text), problem };
            if index.is_what_cargo_finds(text).map_err(refused)? {
                names.push(Located { value: name.clone(), origin: url.origin.clone() });
            }
        }
        Ok(names)
    }

    /// What the person's own environment and files call a registry with exactly this index URL, as cargo makes it of what is
    /// written. Another spelling of it is another registry in every list of signers, whatever cargo takes it for.
    ///
    /// # Errors
    /// [`Error::IndexUrl`], [`Error::Shape`]: of the person's own.
    pub fn own_names_of_exactly(&self, index: &str) -> Result<Vec<String>, Error> {
        let in_environment = self.environment.iter().filter_map(|(variable, url)| {
            let name = variable.strip_prefix("CARGO_REGISTRIES_")?.strip_suffix("_INDEX")?;
            let is_it = IndexUrl::configured(url, &self.here).is_ok_and(|url| url == index);
            is_it.then(|| name.to_lowercase())
        });
        let mut names: Vec<_> = in_environment.collect();
        let Some(registries) = self.own.config.at(&["registries"])? else { return Ok(names) };
        let entries = registries.entries().ok_or_else(|| registries.shape(&["registries"], "a table"))?;
        for name in entries.keys() {
            if self.index_of(Scope::Own, name)?.is_some_and(|url| url.value == index) {
                names.push(name.clone());
            }
        }
        Ok(names)
    }

    /// The names of the person's own registries, each with what is written as its index: for suggestions.
    #[must_use]
    pub fn own_registries(&self) -> Vec<(String, String)> {
        let in_environment = self.environment.iter().filter_map(|(variable, url)| {
            let name = variable.strip_prefix("CARGO_REGISTRIES_")?.strip_suffix("_INDEX")?;
            Some((name.to_lowercase(), without_password(url)))
        });
        let registries = self.own.config.at(&["registries"]).ok().flatten().and_then(Value::entries);
        let in_files = registries.into_iter().flatten().filter_map(|(name, entry)| {
            Some((name.clone(), without_password(entry.entries()?.get("index")?.text()?)))
        });
        in_environment.chain(in_files).collect()
    }

    /// The one name under which cargo finds the settings of a registry, if any.
    ///
    /// # Errors
    /// [`Error::SeveralNames`], and those of [`names_of`](Self::names_of).
    pub fn name_by_url(
        &self,
        scope: Scope,
        registry: &ConfiguredRegistry,
    ) -> Result<Option<Located<String>>, Error> {
        if registry.is_crates_io() {
            let origin = Origin::File { path: self.home_file(), owner: Owner::Home };
            return Ok(Some(Located { value: CRATES_IO_NAME.to_owned(), origin }));
        }
        let mut names = self.names_of(scope, &registry.index)?;
        match names.len() {
            0 | 1 => Ok(names.pop()),
            _ => Err(Error::SeveralNames { names: names.into_iter().map(|name| name.value).collect() }),
        }
    }

    /// The same, or else the name by which the person calls it.
    ///
    /// # Errors
    /// As [`name_by_url`](Self::name_by_url).
    pub fn settings_name(
        &self,
        scope: Scope,
        registry: &ConfiguredRegistry,
    ) -> Result<Option<String>, Error> {
        let name = self.name_by_url(scope, registry)?;
        Ok(name.map(|name| name.value).or_else(|| registry.name.clone()))
    }

    /// Where `cargo publish` goes without `--registry`, if that is not crates.io.
    ///
    /// # Errors
    /// [`Error::Shape`].
    pub fn default_registry(&self) -> Result<Option<Located<String>>, Error> {
        self.text(&self.everything.config, &["registry", "default"])
    }

    /// The registry that a person means by a name or an index URL. A name is what the person's own configuration says.
    ///
    /// # Errors
    /// [`Error::UnknownRegistry`], [`Error::ProjectDisagrees`], [`Error::OnlyInProject`], [`Error::CratesIo`],
    /// [`Error::IndexUrl`], [`Error::NoSparsePrefix`].
    pub fn resolve(&self, name_or_url: &str) -> Result<ConfiguredRegistry, Error> {
        if name_or_url == CRATES_IO_NAME {
            return Err(Error::CratesIo);
        }
        if name_or_url.contains("://") {
            return self.resolve_url(super::index_url(name_or_url)?);
        }
        let (own, here) = (self.index_of(Scope::Own, name_or_url)?, self.index_of(Scope::Here, name_or_url)?);
        let name = name_or_url.to_owned();
        let own = own.map(|own| own.value);
        match (own, here) {
            (
                own,
                Some(Located { value: theirs, origin: origin @ Origin::File { owner: Owner::Project, .. } }),
            ) if own.as_ref() != Some(&theirs) => Err(match own {
                Some(own) => Error::ProjectDisagrees { name, own, origin: Box::new(origin), theirs },
                None => Error::OnlyInProject { name, origin, index: theirs },
            }),
            (Some(own), _) if own.is_crates_io() => Err(Error::CratesIo),
            (Some(index), _) => Ok(ConfiguredRegistry { index, name: Some(name) }),
            (None, _) => {
                let like = self.own_name_like(&name);
                Err(Error::UnknownRegistry { name, like })
            }
        }
    }

    /// The name of one of the person's own registries that was mistyped so.
    fn own_name_like(&self, name: &str) -> Option<String> {
        let own = self.own_registries().into_iter().map(|(name, _)| name);
        let all = own.chain([CRATES_IO_NAME.to_owned()]);
        let distances = all.map(|known| (strsim::damerau_levenshtein(name, &known), known));
        distances.filter(|(distance, known)| *distance <= 1 + known.len() / 4).min().map(|(_, known)| known)
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

    /// The registry at a URL. Its name is the one in the person's configuration, or else the one in a project's, if that name
    /// means nothing else to the person.
    fn resolve_url(&self, index: IndexUrl) -> Result<ConfiguredRegistry, Error> {
        if index.is_crates_io() {
            return Err(Error::CratesIo);
        }
        let first = |scope| Ok::<_, Error>(self.names_of(scope, &index)?.into_iter().next());
        let own = first(Scope::Own)?;
        // A git index has an http URL too, but most people who type one have forgotten the prefix.
        if own.is_none() && index.starts_with("http") {
            return Err(Error::NoSparsePrefix { index });
        }
        let name = match own {
            Some(own) => Some(own.value),
            None => match first(Scope::Here)? {
                Some(theirs) if self.index_of(Scope::Own, &theirs.value)?.is_none() => Some(theirs.value),
                _ => None,
            },
        };
        Ok(ConfiguredRegistry { index, name })
    }

    /// The error for a registry whose name only a project knows.
    ///
    /// # Errors
    /// As [`index_of`](Self::index_of).
    pub fn only_in_project(&self, registry: &ConfiguredRegistry) -> Result<Option<Error>, Error> {
        let Some(name) = registry.name.clone().filter(|_| !registry.is_crates_io()) else { return Ok(None) };
        if self.index_of(Scope::Own, &name)?.is_some() {
            return Ok(None);
        }
        let here = self.index_of(Scope::Here, &name)?;
        Ok(here.map(|Located { value: index, origin }| Error::OnlyInProject { name, origin, index }))
    }

    /// Whether the person's own files give this name an index, whatever the environment says.
    #[must_use]
    pub fn is_in_own_files(&self, name: &str) -> bool {
        self.own.config.at(&["registries", name, "index"]).is_ok_and(|index| index.is_some())
    }

    /// The file in cargo's home, whether it is there or not.
    #[must_use]
    pub fn home_file(&self) -> PathBuf {
        files::existing_or_new(&self.home, "config")
    }

    /// The environment that was read.
    #[must_use]
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Any value of the person's own, as a text: for settings that are not registries'.
    pub(crate) fn own_setting(&self, keys: &[&str]) -> Option<Located<String>> {
        if let Some(value) = self.environment.get(&variable(keys)) {
            return Some(Located { value: value.to_owned(), origin: Origin::Variable(variable(keys)) });
        }
        let value = self.own.config.at(keys).ok().flatten()?;
        let text = match &value.kind {
            Kind::Text(text) => text.to_string(),
            Kind::Integer(number) => number.to_string(),
            _ => return None,
        };
        Some(Located { value: text, origin: value.origin.clone() })
    }

    pub(super) fn config(&self, scope: Scope) -> &Value {
        &self.values(scope).config
    }

    /// The file with cargo's credentials, without what it includes.
    pub(super) fn credentials(&self) -> Option<&Statement> {
        self.statements.first().filter(|statement| statement.is_credentials)
    }

    /// What counts for the tokens of a registry.
    pub(super) fn with_credentials(&self, scope: Scope) -> Result<&Value, Error> {
        self.values(scope).with_credentials.as_ref().map_err(|clash| clash.clone().into())
    }

    /// A text; the environment wins over the files.
    pub(super) fn text(&self, values: &Value, keys: &[&str]) -> Result<Option<Located<String>>, Error> {
        let found = values.at(keys)?;
        let text = found.map(|value| value.text().ok_or_else(|| value.shape(keys, "a text"))).transpose()?;
        let variable = variable(keys);
        if let Some(value) = self.environment.get(&variable) {
            return Ok(Some(Located { value: value.to_owned(), origin: Origin::Variable(variable) }));
        }
        let located =
            |(text, value): (&str, &Value)| Located { value: text.to_owned(), origin: value.origin.clone() };
        Ok(text.zip(found).map(located))
    }

    /// The keys of the table with a registry's settings.
    pub(super) fn keys<'a>(name: &'a str, key: &'a str) -> Vec<&'a str> {
        [&environment::table(name)[..], &[key]].concat()
    }

    fn values(&self, scope: Scope) -> &Values {
        match scope {
            Scope::Here => &self.everything,
            Scope::Own => &self.own,
        }
    }
}

/// Cargo merges each table of the credentials by itself, so that not even lists that name a program are replaced; crates.io's
/// token may be at the top (cargo 1.95, `load_credentials`).
fn with_credentials(config: &Value, credentials: &Value) -> Result<Value, Clash> {
    let mut all = config.clone();
    let (Kind::Table(all_tables), Kind::Table(tables)) = (&mut all.kind, credentials.clone().kind) else {
        return Ok(all);
    };
    let mut tables = tables;
    if let Some(token) = tables.remove("token")
        && !tables.contains_key("registry")
    {
        let origin = token.origin.clone();
        let registry = Value { kind: Kind::Table([("token".to_owned(), token)].into()), origin };
        tables.insert("registry".to_owned(), registry);
    }
    for (key, value) in tables {
        match all_tables.get_mut(&key) {
            Some(known) => known.merge(value, true)?,
            None => drop(all_tables.insert(key, value)),
        }
    }
    Ok(all)
}

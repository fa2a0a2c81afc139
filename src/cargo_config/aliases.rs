//! A project's aliases that have cargo go by a configuration that cannot be seen from here.
//!
//! Cargo takes `--config` from an alias as from its command line, `install --path` has it read that folder's files, and it
//! puts a project's words behind those of the person's own alias of the same name. An alias can begin with another one, whose
//! last option then takes its value from the first (cargo 1.95, `cli.rs`).

use std::path::Path;

use super::Error;
use super::configuration::{Configuration, Scope};
use super::files;
use super::origin::Origin;
use super::transport::Detour;
use super::value::{Kind, Value};

impl Configuration {
    /// Collects such aliases.
    ///
    /// # Errors
    /// [`Error::Shape`].
    pub(super) fn aliases(&self, detours: &mut Vec<Detour>) -> Result<(), Error> {
        let Some(table) = self.config(Scope::Here).at(&["alias"])? else { return Ok(()) };
        let mut aliases = Vec::new();
        collect("alias", table, &mut aliases);
        let leading = aliases.iter().filter_map(|(key, words)| {
            let (option, origin) = (0..words.len()).find_map(|at| self.leads_elsewhere(&words[at..]))?;
            Some(detour(key, option, origin))
        });
        let mut leading: Vec<_> = leading.collect();
        // If the person's own ends in such an option, any of the project's can begin with it and give the value.
        if leading.is_empty()
            && let Some(option) = aliases.iter().find_map(|(_, words)| without_value(words))
        {
            let projects = aliases.iter().find_map(projects_own);
            leading.extend(projects.map(|(key, origin)| detour(key, option, origin)));
        }
        detours.extend(leading);
        Ok(())
    }

    /// Whether the first of these words is such an option. It or its value is the project's. One without a value can have any.
    fn leads_elsewhere<'a>(&self, words: &[(&'a str, &'a Origin)]) -> Option<(&'a str, &'a Origin)> {
        let (&(word, origin), rest) = words.split_first()?;
        let (option, value) = match word.split_once('=') {
            Some((option, value)) => (option, Some((value, origin))),
            None => (word, rest.first().copied()),
        };
        let leads = match option {
            "--config" => true,
            "--path" => value.is_none_or(|(folder, _)| self.has_other_files(folder)),
            _ => false,
        };
        let origins = [Some(origin), value.map(|(_, origin)| origin)];
        let projects = origins.into_iter().flatten().find(|origin| origin.is_projects())?;
        leads.then_some((option, projects))
    }

    /// Whether cargo reads files from this folder that it does not read from here.
    fn has_other_files(&self, folder: &str) -> bool {
        let files = |from: &Path| files::levels(&self.home, from);
        let here = files(&self.here);
        files(&self.here.join(folder)).iter().any(|level| !here.contains(level))
    }
}

type Words<'a> = Vec<(&'a str, &'a Origin)>;

/// All aliases in a table, by their keys.
fn collect<'a>(key: &str, value: &'a Value, aliases: &mut Vec<(String, Words<'a>)>) {
    if let Kind::Table(table) = &value.kind {
        for (name, value) in table {
            collect(&format!("{key}.{name}"), value, aliases);
        }
        return;
    }
    aliases.push((key.to_owned(), words(value)));
}

fn detour(key: &str, option: &str, origin: &Origin) -> Detour {
    Detour { key: format!("{key}: {option}"), origin: origin.clone() }
}

/// The option that an alias ends in, whose value is still to come.
fn without_value<'a>(words: &Words<'a>) -> Option<&'a str> {
    words.last().map(|(word, _)| *word).filter(|word| matches!(*word, "--config" | "--path"))
}

/// An alias that a project has words in.
fn projects_own<'a>((key, words): &'a (String, Words)) -> Option<(&'a str, &'a Origin)> {
    words.iter().find(|(_, origin)| origin.is_projects()).map(|(_, origin)| (key.as_str(), *origin))
}

/// An alias's words that are for cargo: a text is split at blanks, and what follows `--` is for the program that it runs.
fn words(alias: &Value) -> Words<'_> {
    let words = match &alias.kind {
        Kind::Text(text) => text.split_whitespace().map(|word| (word, &alias.origin)).collect(),
        Kind::List(list) => list.iter().filter_map(|value| Some((value.text()?, &value.origin))).collect(),
        _ => Vec::new(),
    };
    words.into_iter().take_while(|(word, _)| *word != "--").collect()
}

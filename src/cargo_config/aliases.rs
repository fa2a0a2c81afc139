//! A project's aliases that have cargo go by a configuration that cannot be seen from here.
//!
//! Cargo takes `--config` from an alias as from its command line, `install --path` has it read that folder's files, and it
//! puts a project's words behind those of the person's own alias of the same name (cargo 1.95, `cli.rs`).

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
        if let Some(aliases) = self.config(Scope::Here).at(&["alias"])? {
            self.alias("alias", aliases, detours);
        }
        Ok(())
    }

    fn alias(&self, key: &str, value: &Value, detours: &mut Vec<Detour>) {
        if let Kind::Table(table) = &value.kind {
            for (name, value) in table {
                self.alias(&format!("{key}.{name}"), value, detours);
            }
            return;
        }
        let words = words(value);
        let leading = (0..words.len()).find_map(|at| self.leads_elsewhere(&words[at..]));
        if let Some((option, origin)) = leading {
            detours.push(Detour { key: format!("{key}: {option}"), origin: origin.clone() });
        }
    }

    /// Whether the first of these words is such an option. It or its value is the project's.
    fn leads_elsewhere<'a>(&self, words: &[(&'a str, &'a Origin)]) -> Option<(&'a str, &'a Origin)> {
        let (&(word, origin), rest) = words.split_first()?;
        let (option, (value, values_origin)) = match word.split_once('=') {
            Some((option, value)) => (option, (value, origin)),
            None => (word, *rest.first()?),
        };
        let leads = option == "--config" || option == "--path" && self.has_other_files(value);
        let projects = [origin, values_origin].into_iter().find(|origin| origin.is_projects())?;
        leads.then_some((option, projects))
    }

    /// Whether cargo reads files from this folder that it does not read from here.
    fn has_other_files(&self, folder: &str) -> bool {
        let files = |from: &Path| files::levels(&self.home, from);
        let here = files(&self.here);
        files(&self.here.join(folder)).iter().any(|level| !here.contains(level))
    }
}

/// An alias's words that are for cargo: a text is split at blanks, and what follows `--` is for the program that it runs.
fn words(alias: &Value) -> Vec<(&str, &Origin)> {
    let words = match &alias.kind {
        Kind::Text(text) => text.split_whitespace().map(|word| (word, &alias.origin)).collect(),
        Kind::List(list) => list.iter().filter_map(|value| Some((value.text()?, &value.origin))).collect(),
        _ => Vec::new(),
    };
    words.into_iter().take_while(|(word, _)| *word != "--").collect()
}

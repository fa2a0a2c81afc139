//! The environment, as cargo reads its configuration in it.

use std::collections::BTreeMap;
use std::fmt;

use super::CRATES_IO_NAME;

/// The variables of this process, or of a test. Cargo knows those that are UTF-8, name and value.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// This process's.
    #[must_use]
    pub fn of_this_process() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    /// The value of a variable, also an empty one.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        Self(variables.into_iter().collect())
    }
}

/// Without the values: there may be tokens among them.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment").finish_non_exhaustive()
    }
}

/// The variable that stands for a key: in upper case, with `_` for `-` (cargo 1.95, `ConfigKey`).
pub(super) fn variable(keys: &[&str]) -> String {
    let keys = keys.iter().map(|key| key.replace('-', "_").to_uppercase());
    std::iter::once("CARGO".to_owned()).chain(keys).collect::<Vec<_>>().join("_")
}

/// The keys of the table with the settings of the registry of this name.
pub(super) fn table(name: &str) -> Vec<&str> {
    if name == CRATES_IO_NAME { vec!["registry"] } else { vec!["registries", name] }
}

/// The variable that stands for a setting of the registry of this name.
#[must_use]
pub fn registry_variable(name: &str, key: &str) -> String {
    variable(&[&table(name)[..], &[key]].concat())
}

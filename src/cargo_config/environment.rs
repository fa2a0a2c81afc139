//! The environment, as cargo reads its configuration in it.

use std::collections::BTreeMap;

use super::CRATES_IO_NAME;

/// Variables, those that are UTF-8 in name and value: cargo knows no others. There may be tokens among them.
pub type Environment = BTreeMap<String, String>;

/// The variables of this process.
pub(super) fn of_this_process() -> Environment {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
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

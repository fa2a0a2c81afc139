//! What cargo would do with this configuration: which provider it asks, which URL a name has, which tokens lie about.
//!
//! Looks at cargo's home and the environment; docs: Cargo reference, "Registry authentication" and "Configuration".

use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, Item, TableLike};

use super::{CRATES_IO_NAME, CargoConfig, Error, config_file, entry, read};

/// The program that cargo runs for a registry's tokens, and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfiguredProvider {
    /// The program and its arguments, as cargo splits them.
    pub command: Vec<String>,
}

/// A token in clear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaintextToken {
    /// The registry's name; `None` for crates.io.
    pub registry: Option<String>,
    /// Where it is.
    pub file: PathBuf,
}

impl ConfiguredProvider {
    /// Whether it is this program, by its file name.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        let program = self.command.first().map(Path::new);
        program.and_then(Path::file_stem).is_some_and(|name| name == "yk-cargo")
    }

    /// Whether there is such a file, or one of that name on PATH. Cargo takes a relative path from the folder that
    /// has its home in it.
    #[must_use]
    pub fn is_there(&self, cargo_home: &Path) -> bool {
        let Some(program) = self.command.first() else { return false };
        if program.contains(['/', '\\']) {
            return cargo_home.parent().unwrap_or(cargo_home).join(program).is_file();
        }
        let file = format!("{program}{}", std::env::consts::EXE_SUFFIX);
        std::env::var_os("PATH")
            .is_some_and(|path| std::env::split_paths(&path).any(|directory| directory.join(&file).is_file()))
    }
}

/// The environment variable that stands for a key of `[registries.NAME]`, or of `[registry]` for crates.io.
#[must_use]
pub fn variable(name: &str, key: &str) -> String {
    let table =
        if name == CRATES_IO_NAME { "CARGO_REGISTRY".to_owned() } else { format!("CARGO_REGISTRIES_{name}") };
    format!("{table}_{key}").to_uppercase().replace('-', "_")
}

impl CargoConfig {
    /// The index URL of a name in cargo's home, whatever the environment says.
    ///
    /// # Errors
    /// Unreadable configuration.
    pub fn home_index(&self, name: &str) -> Result<Option<String>, Error> {
        Ok(self.home_document()?.as_ref().and_then(|document| entry(document, name, "index")))
    }

    /// All names that an index URL has in cargo's home. Cargo refuses more than one.
    ///
    /// # Errors
    /// Unreadable configuration.
    pub fn names_of(&self, index: &str) -> Result<Vec<String>, Error> {
        let document = self.home_document()?.unwrap_or_default();
        let registries = document.get("registries").and_then(Item::as_table_like);
        let named = registries.into_iter().flat_map(TableLike::iter);
        let named = named.filter(|(_, entry)| entry.get("index").and_then(Item::as_str) == Some(index));
        Ok(named.map(|(name, _)| name.to_owned()).collect())
    }

    /// The provider of a registry's own section in cargo's home.
    ///
    /// # Errors
    /// Unreadable configuration.
    pub fn home_provider(&self, name: &str) -> Result<Option<ConfiguredProvider>, Error> {
        let Some(document) = self.home_document()? else { return Ok(None) };
        let item = document.get("registries").and_then(|all| all.get(name)?.get("credential-provider"));
        Ok(item.map(|item| provider(&document, command(item))))
    }

    /// The providers for registries that have none of their own.
    ///
    /// # Errors
    /// Unreadable configuration.
    pub fn global_providers(&self) -> Result<Vec<ConfiguredProvider>, Error> {
        let document = self.home_document()?.unwrap_or_default();
        let list =
            document.get("registry").and_then(|all| all.get("global-credential-providers")?.as_array());
        let commands = list.into_iter().flatten().filter_map(|value| value.as_str()).map(words);
        Ok(commands.map(|command| provider(&document, command)).collect())
    }

    /// Whether cargo's credentials file names a provider too. Cargo glues two lists together, and runs neither.
    ///
    /// # Errors
    /// Unreadable credentials.
    pub fn credentials_name_a_provider(&self, name: &str) -> Result<bool, Error> {
        for file in self.credentials_files() {
            if read(&file)?.is_some_and(|document| entry(&document, name, "credential-provider").is_some()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Every token in clear in cargo's home, in the credentials and in the configuration. The tokens themselves are
    /// not taken along.
    ///
    /// # Errors
    /// Unreadable credentials or configuration.
    pub fn plaintext_tokens(&self) -> Result<Vec<PlaintextToken>, Error> {
        let mut found = Vec::new();
        for file in self.credentials_files().into_iter().chain([config_file(self.home())]) {
            let Some(document) = read(&file)? else { continue };
            let token = |registry| PlaintextToken { registry, file: file.clone() };
            if document.get("registry").is_some_and(has_secret) || document.get("token").is_some() {
                found.push(token(None));
            }
            let registries = document.get("registries").and_then(Item::as_table_like);
            let named = registries.into_iter().flat_map(TableLike::iter);
            found.extend(
                named.filter(|(_, entry)| has_secret(entry)).map(|(name, _)| token(Some(name.to_owned()))),
            );
        }
        Ok(found)
    }

    pub(super) fn credentials_files(&self) -> [PathBuf; 2] {
        ["credentials", "credentials.toml"].map(|name| self.home().join(name))
    }

    fn home_document(&self) -> Result<Option<DocumentMut>, Error> {
        read(&config_file(self.home()))
    }
}

fn has_secret(entry: &Item) -> bool {
    ["token", "secret-key"].iter().any(|key| entry.get(key).is_some())
}

/// The provider that an environment variable's value names.
pub(crate) fn from_variable(value: &str) -> ConfiguredProvider {
    ConfiguredProvider { command: words(value) }
}

/// A single word may be an alias.
fn provider(document: &DocumentMut, command: Vec<String>) -> ConfiguredProvider {
    if let [word] = command.as_slice()
        && let Some(alias) = document.get("credential-alias").and_then(|all| all.get(word))
    {
        return ConfiguredProvider { command: self::command(alias) };
    }
    ConfiguredProvider { command }
}

/// A string is split at blanks, an array is not.
fn command(item: &Item) -> Vec<String> {
    match item.as_array() {
        Some(array) => array.iter().filter_map(|value| value.as_str()).map(str::to_owned).collect(),
        None => item.as_str().map(words).unwrap_or_default(),
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(files: &[(&str, &str)]) -> (tempfile::TempDir, CargoConfig) {
        let home = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(home.path().join(name), text).unwrap();
        }
        let config = CargoConfig::new(home.path().to_owned(), home.path().to_owned());
        (home, config)
    }

    #[test]
    fn providers_are_read_as_cargo_reads_them() {
        let text = "[registries.a]\ncredential-provider = 'yk-cargo --old'\n\
                    [registries.b]\ncredential-provider = ['/my programs/yk-cargo']\n\
                    [registries.c]\ncredential-provider = 'yk'\n[registries.d]\nindex = 'x'\n\
                    [credential-alias]\nyk = ['/opt/yk-cargo', 'x']\n\
                    [registry]\nglobal-credential-providers = ['cargo:token', 'yk']\n";
        let (_home, config) = config(&[("config.toml", text)]);
        let command = |name| config.home_provider(name).unwrap().map(|provider| provider.command);
        assert_eq!(command("a").unwrap(), ["yk-cargo", "--old"]);
        assert_eq!(command("b").unwrap(), ["/my programs/yk-cargo"]);
        assert_eq!(command("c").unwrap(), ["/opt/yk-cargo", "x"]);
        assert_eq!(command("d"), None);
        let global = config.global_providers().unwrap();
        assert_eq!(global.iter().map(ConfiguredProvider::is_ours).collect::<Vec<_>>(), [false, true]);
        assert!(!global[1].is_there(config.home()));
    }

    #[test]
    fn tokens_are_found_in_every_spelling() {
        let (_home, config) = config(&[
            (
                "credentials.toml",
                "registries.a.token = 'x'\n[registries]\nb = { secret-key = 'x' }\n[registry]\n",
            ),
            ("credentials", "[registry]\ntoken = 'x'\n"),
            ("config.toml", "[registries.c]\nindex = 'x'\n"),
        ]);
        let Err(_) = config.plaintext_tokens() else { panic!("two spellings of one table are no TOML") };
        std::fs::write(
            config.home().join("credentials.toml"),
            "[registries]\na.token = 'x'\nb = { secret-key = 'x' }\n[registry]\n",
        )
        .unwrap();
        let found = config.plaintext_tokens().unwrap();
        let names: Vec<_> = found.iter().map(|token| token.registry.as_deref()).collect();
        assert_eq!(names, [None, Some("a"), Some("b")]);
        assert!(found[0].file.ends_with("credentials"));
    }

    #[test]
    fn a_url_may_have_two_names() {
        let (_home, config) =
            config(&[("config.toml", "[registries]\na.index = 'x'\nb.index = 'x'\nc.index = 'y'\n")]);
        assert_eq!(config.names_of("x").unwrap(), ["a", "b"]);
        assert_eq!(variable("my-reg", "index"), "CARGO_REGISTRIES_MY_REG_INDEX");
        assert_eq!(variable("crates-io", "credential-provider"), "CARGO_REGISTRY_CREDENTIAL_PROVIDER");
    }
}

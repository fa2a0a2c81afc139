//! Cargo's configuration, as far as it names registries.
//!
//! A registry's name is looked up in `$CARGO_HOME/config.toml` and the environment only. A project's
//! `.cargo/config.toml` comes with the project: where it gives the name another URL, the person is told and nothing is
//! done (docs: Cargo reference, "Configuration", hierarchical structure).

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use toml_edit::{Array, DocumentMut, Item, Table, Value, value};

use crate::http;

pub mod view;

/// crates.io's index URL, as cargo gives it to credential providers, sparse index or not.
pub const CRATES_IO: &str = "https://github.com/rust-lang/crates.io-index";

/// Where configuration is looked for.
#[derive(Debug)]
pub struct CargoConfig {
    home: PathBuf,
    working_directory: PathBuf,
}

/// A registry as a person's own configuration knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfiguredRegistry {
    /// Byte for byte as configured.
    pub index: String,
    /// Under which name, if it has one.
    pub name: Option<String>,
}

impl CargoConfig {
    /// Configuration in this cargo home, seen from this working directory.
    #[must_use]
    pub fn new(home: PathBuf, working_directory: PathBuf) -> Self {
        Self { home, working_directory }
    }

    /// Cargo's home.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The registry that a person means by a name or an index URL.
    ///
    /// # Errors
    /// [`Error::UnknownRegistry`], [`Error::ProjectDisagrees`], [`Error::CratesIo`], [`Error::IndexUrl`], and
    /// unreadable configuration.
    pub fn resolve(&self, name_or_url: &str) -> Result<ConfiguredRegistry, Error> {
        if name_or_url == "crates-io" || is_crates_io(name_or_url) {
            return Err(Error::CratesIo);
        }
        if name_or_url.contains("://") {
            check_index_url(name_or_url)?;
            // A git index has an http URL too, but whoever types one has mostly forgotten the prefix.
            if name_or_url.starts_with("http") {
                return Err(Error::IndexUrl {
                    index: name_or_url.to_owned(),
                    reason: "a sparse index is written sparse+http…; for a git index give its name in cargo's configuration",
                });
            }
            return Ok(ConfiguredRegistry {
                index: name_or_url.to_owned(),
                name: self.name_of(name_or_url)?,
            });
        }
        let own = self.own_index(name_or_url)?;
        if let Some((file, theirs)) = self.project_index(name_or_url)?
            && own.as_ref() != Some(&theirs)
        {
            return Err(Error::ProjectDisagrees { name: name_or_url.to_owned(), own, file, theirs });
        }
        let index = own.ok_or_else(|| Error::UnknownRegistry { name: name_or_url.to_owned() })?;
        check_index_url(&index)?;
        if is_crates_io(&index) {
            return Err(Error::CratesIo);
        }
        Ok(ConfiguredRegistry { index, name: Some(name_or_url.to_owned()) })
    }

    /// The provider configured for a registry in cargo's home, as it is written there.
    ///
    /// # Errors
    /// Unreadable configuration.
    pub fn provider(&self, name: &str) -> Result<Option<String>, Error> {
        value_in(&self.home_file(), name, "credential-provider")
    }

    /// Whether a configured provider is this program, however it is written.
    #[must_use]
    pub fn is_ours(provider: &str) -> bool {
        let program = match provider.trim_start().strip_prefix('[') {
            Some(array) => array.split(['"', '\'']).nth(1),
            None => provider.split_whitespace().next(),
        };
        program.and_then(|program| Path::new(program).file_stem()).is_some_and(|stem| stem == "yk-cargo")
    }

    /// Sets a registry's `credential-provider` in cargo's home. Comments and order are kept.
    ///
    /// # Errors
    /// Unreadable configuration, or it cannot be written.
    pub fn set_provider(&self, registry: &ConfiguredRegistry, program: &Path) -> Result<PathBuf, Error> {
        let name = registry.name.as_deref().ok_or(Error::NoName)?;
        let file = self.home_file();
        let mut document = read(&file)?.unwrap_or_default();
        let registries = document.entry("registries").or_insert_with(|| {
            let mut table = Table::new();
            table.set_implicit(true);
            Item::Table(table)
        });
        let registries = registries.as_table_like_mut().ok_or_else(|| Error::Shape { file: file.clone() })?;
        let entry = registries.entry(name).or_insert_with(|| Item::Table(Table::new()));
        let entry = entry.as_table_like_mut().ok_or_else(|| Error::Shape { file: file.clone() })?;
        if entry.get("index").is_none() && self.own_index(name)?.is_none() {
            entry.insert("index", value(&registry.index));
        }
        entry.insert("credential-provider", Item::Value(provider(program)));
        replace(&file, &document.to_string())?;
        Ok(file)
    }

    /// The line that [`set_provider`](Self::set_provider) would write.
    #[must_use]
    pub fn provider_line(program: &Path) -> String {
        format!("credential-provider = {}", provider(program))
    }

    fn name_of(&self, index: &str) -> Result<Option<String>, Error> {
        let Some(document) = read(&self.home_file())? else { return Ok(None) };
        let registries = document.get("registries").and_then(Item::as_table_like);
        Ok(registries.and_then(|registries| {
            let found =
                registries.iter().find(|(_, entry)| entry.get("index").and_then(Item::as_str) == Some(index));
            found.map(|(name, _)| name.to_owned())
        }))
    }

    /// The environment wins over the file, as in cargo.
    fn own_index(&self, name: &str) -> Result<Option<String>, Error> {
        if let Ok(index) = std::env::var(view::variable(name, "index")) {
            return Ok(Some(index));
        }
        value_in(&self.home_file(), name, "index")
    }

    /// The nearest project file that says anything about this name.
    fn project_index(&self, name: &str) -> Result<Option<(PathBuf, String)>, Error> {
        for directory in self.working_directory.ancestors().map(|ancestor| ancestor.join(".cargo")) {
            if same_directory(&directory, &self.home) {
                continue;
            }
            let file = config_file(&directory);
            if let Some(index) = value_in(&file, name, "index")? {
                return Ok(Some((file, index)));
            }
        }
        Ok(None)
    }

    fn home_file(&self) -> PathBuf {
        config_file(&self.home)
    }
}

/// Cargo prefers the old name `config` where both exist.
fn config_file(directory: &Path) -> PathBuf {
    let old = directory.join("config");
    if old.is_file() { old } else { directory.join("config.toml") }
}

fn same_directory(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}

fn read(file: &Path) -> Result<Option<DocumentMut>, Error> {
    match std::fs::read_to_string(file) {
        Ok(text) => text.parse().map(Some).map_err(|error: toml_edit::TomlError| Error::Toml {
            file: file.to_owned(),
            reason: error.message().to_owned(),
        }),
        Err(error)
            if error.kind() == io::ErrorKind::NotFound || error.kind() == io::ErrorKind::NotADirectory =>
        {
            Ok(None)
        }
        Err(source) => Err(Error::Io { action: "read", file: file.to_owned(), source }),
    }
}

/// How deep files may include files.
const DEEPEST_INCLUDE: u8 = 8;

/// What a file, or one that it includes, says of a registry.
fn value_in(file: &Path, name: &str, key: &str) -> Result<Option<String>, Error> {
    value_at(file, name, key, 0)
}

/// A file's own word counts before that of its includes, a later include before an earlier (Cargo reference,
/// "Configuration", `include`).
fn value_at(file: &Path, name: &str, key: &str, depth: u8) -> Result<Option<String>, Error> {
    let Some(document) = read(file)? else { return Ok(None) };
    if let Some(value) = entry(&document, name, key) {
        return Ok(Some(value));
    }
    let included = includes(&document, file.parent().unwrap_or(file));
    if depth == DEEPEST_INCLUDE && !included.is_empty() {
        return Err(Error::DeepInclude { file: file.to_owned() });
    }
    for file in included.iter().rev() {
        if let Some(value) = value_at(file, name, key, depth + 1)? {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// `include = "PATH"`, `["PATH", …]` or `[{ path = "PATH" }, …]`, relative to the file that says so.
fn includes(document: &DocumentMut, directory: &Path) -> Vec<PathBuf> {
    let path = |value: &Value| {
        let text = value.as_str().or_else(|| value.as_inline_table()?.get("path")?.as_str())?;
        Some(directory.join(text))
    };
    match document.get("include") {
        Some(Item::Value(Value::Array(array))) => array.iter().filter_map(path).collect(),
        Some(Item::Value(value)) => path(value).into_iter().collect(),
        Some(Item::ArrayOfTables(tables)) => {
            tables.iter().filter_map(|table| Some(directory.join(table.get("path")?.as_str()?))).collect()
        }
        _ => Vec::new(),
    }
}

fn entry(document: &DocumentMut, name: &str, key: &str) -> Option<String> {
    let item = document.get("registries")?.get(name)?.get(key)?;
    Some(item.as_str().map_or_else(|| item.to_string().trim().to_owned(), str::to_owned))
}

/// A bare word where PATH finds this program by it; else an array, since cargo splits a string at blanks.
fn provider(program: &Path) -> Value {
    let bare = Path::new(program.file_name().unwrap_or(program.as_os_str()));
    let on_path = std::env::var_os("PATH").and_then(|path| {
        std::env::split_paths(&path).map(|dir| dir.join(bare)).find(|found| found.is_file())
    });
    let is_bare = on_path.is_some_and(|found| found.canonicalize().ok() == program.canonicalize().ok());
    if is_bare {
        return bare.to_string_lossy().as_ref().into();
    }
    Value::Array(Array::from_iter([program.to_string_lossy().as_ref()]))
}

fn replace(file: &Path, text: &str) -> Result<(), Error> {
    let io = |source| Error::Io { action: "write", file: file.to_owned(), source };
    // A link, perhaps into somebody's dotfiles, stays a link.
    let target = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    let temporary = target.with_extension("yk-cargo.new");
    let permissions = std::fs::metadata(&target).ok().map(|metadata| metadata.permissions());
    let _ = std::fs::remove_file(&temporary);
    let mut new = File::create_new(&temporary).map_err(io)?;
    if let Some(permissions) = permissions {
        new.set_permissions(permissions).map_err(io)?;
    }
    new.write_all(text.as_bytes()).and_then(|()| new.sync_all()).map_err(io)?;
    std::fs::rename(&temporary, &target).map_err(io)
}

/// crates.io under any of the URLs that people know it by.
fn is_crates_io(index: &str) -> bool {
    let host = http::host(index.strip_prefix("sparse+").unwrap_or(index)).to_ascii_lowercase();
    index == CRATES_IO || host == "crates.io" || host.ends_with(".crates.io")
}

/// What cargo itself would refuse later, and what would send tokens about in clear is the caller's to decide.
fn check_index_url(index: &str) -> Result<(), Error> {
    let wrong = |reason| Err(Error::IndexUrl { index: index.to_owned(), reason });
    if let Some(sparse) = index.strip_prefix("sparse+") {
        if !sparse.starts_with("http://") && !sparse.starts_with("https://") {
            return wrong("a sparse index is at an http or https URL");
        }
        if !sparse.ends_with('/') {
            return wrong("the URL of a sparse index ends in a slash");
        }
    }
    if index.bytes().any(|byte| !byte.is_ascii_graphic() || byte == b'\\') {
        return wrong("it has blanks, backslashes, control or non-ASCII characters");
    }
    Ok(())
}

/// Whether a token for this index would cross a network in clear.
#[must_use]
pub fn is_unprotected(index: &str) -> bool {
    let url = index.strip_prefix("sparse+").unwrap_or(index);
    if !url.starts_with("http://") {
        return false;
    }
    let host = http::host(url);
    let loopback = host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    !(loopback || host == "localhost" || host.ends_with(".localhost"))
}

/// The `[http]` table of the configuration in cargo's home.
pub(crate) fn http(home: &Path) -> Result<Option<Item>, Error> {
    Ok(read(&config_file(home))?.and_then(|mut document| document.remove("http")))
}

/// Why cargo's configuration does not tell which registry is meant, or cannot be changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// crates.io takes bearer tokens only.
    #[error("crates.io takes bearer tokens only, no asymmetric ones")]
    CratesIo,
    /// Files include files without end.
    #[error("{} includes files that include files, too deep", file.display())]
    DeepInclude {
        /// The file at which it was given up.
        file: PathBuf,
    },
    /// Cargo would not take this index URL.
    #[error("`{}` is no index URL: {reason}", crate::ui::escape(index))]
    IndexUrl {
        /// The URL.
        index: String,
        /// Why not.
        reason: &'static str,
    },
    /// A file cannot be read or written.
    #[error("cannot {action} {}", file.display())]
    Io {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A URL without a name cannot be configured.
    #[error(
        "this registry has no name in cargo's configuration, so no credential provider can be set for it"
    )]
    NoName,
    /// A project gives the name another URL than the person's own configuration.
    #[error(
        "{} says that registry `{}` is\n    {}\nbut your own configuration says that it is\n    {}",
        file.display(), crate::ui::escape(name), crate::ui::escape(theirs),
        own.as_deref().map_or_else(|| "(not configured)".into(), crate::ui::escape)
    )]
    ProjectDisagrees {
        /// The name.
        name: String,
        /// The person's URL.
        own: Option<String>,
        /// The project's file.
        file: PathBuf,
        /// The project's URL.
        theirs: String,
    },
    /// `registries` is no table.
    #[error("`registries` in {} is not a table", file.display())]
    Shape {
        /// The file.
        file: PathBuf,
    },
    /// Not TOML.
    #[error("{} is not TOML: {reason}", file.display())]
    Toml {
        /// The file.
        file: PathBuf,
        /// Why.
        reason: String,
    },
    /// Nobody knows this name.
    #[error("no registry `{}` in $CARGO_HOME/config.toml or the environment", crate::ui::escape(name))]
    UnknownRegistry {
        /// The name.
        name: String,
    },
}

impl Error {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::CratesIo => {
                "asymmetric tokens need a registry that verifies them: see README, \"Which registries\""
                    .into()
            }
            Self::ProjectDisagrees { .. } => {
                "leave the project's folder, or give the index URL instead of the name if you trust it".into()
            }
            Self::UnknownRegistry { name } => format!(
                "add `[registries.{0}]` with its `index` to $CARGO_HOME/config.toml, or give the index URL (sparse+https://…/)",
                crate::ui::escape(name)
            ),
            Self::NoName => {
                "add `[registries.NAME]` with its `index` to $CARGO_HOME/config.toml first".into()
            }
            Self::Toml { .. } | Self::Shape { .. } => "mend the file; cargo cannot read it either".into(),
            Self::DeepInclude { .. } => "look at `include` in that file".into(),
            Self::IndexUrl { .. } => "copy it from your registry's documentation: sparse+https://…/".into(),
            Self::Io { .. } => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "sparse+https://good.example/";

    struct Setup(tempfile::TempDir);

    impl Setup {
        fn new(home: &str, project: &str) -> Self {
            let root = tempfile::tempdir().unwrap();
            for (directory, text) in [("home", home), ("project/.cargo", project)] {
                std::fs::create_dir_all(root.path().join(directory)).unwrap();
                std::fs::write(root.path().join(directory).join("config.toml"), text).unwrap();
            }
            std::fs::create_dir_all(root.path().join("project/src")).unwrap();
            Self(root)
        }

        fn config(&self) -> CargoConfig {
            CargoConfig::new(self.0.path().join("home"), self.0.path().join("project/src"))
        }
    }

    fn my_reg(index: &str) -> String {
        format!("[registries.my-reg]\nindex = \"{index}\"\n")
    }

    #[test]
    fn a_name_is_what_the_home_says() {
        let setup = Setup::new(&my_reg(OWN), &my_reg(OWN));
        let expected = ConfiguredRegistry { index: OWN.into(), name: Some("my-reg".into()) };
        assert_eq!(setup.config().resolve("my-reg").unwrap(), expected);
        assert_eq!(setup.config().resolve(OWN).unwrap(), expected);
    }

    #[test]
    fn a_project_that_disagrees_stops() {
        let evil = "sparse+https://evil.example/";
        for home in [my_reg(OWN), String::new()] {
            let setup = Setup::new(&home, &my_reg(evil));
            let error = setup.config().resolve("my-reg").unwrap_err();
            assert!(matches!(&error, Error::ProjectDisagrees { theirs, .. } if theirs == evil));
            assert!(error.to_string().contains(evil), "{error}");
        }
    }

    #[test]
    fn included_files_count_like_the_file_itself() {
        let evil = my_reg("sparse+https://evil.example/");
        for include in ["\"more.toml\"", "[\"more.toml\"]", "[{ path = \"more.toml\", optional = true }]"] {
            let setup = Setup::new(&format!("include = {include}\n"), "");
            std::fs::write(setup.0.path().join("home/more.toml"), my_reg(OWN)).unwrap();
            assert_eq!(setup.config().resolve("my-reg").unwrap().index, OWN);
            let setup = Setup::new(&my_reg(OWN), &format!("include = {include}\n"));
            std::fs::write(setup.0.path().join("project/.cargo/more.toml"), &evil).unwrap();
            assert!(
                matches!(setup.config().resolve("my-reg"), Err(Error::ProjectDisagrees { .. })),
                "{include}"
            );
        }
        let setup = Setup::new(&my_reg(OWN), "include = \"config.toml\"\n");
        assert!(matches!(setup.config().resolve("my-reg"), Err(Error::DeepInclude { .. })));
    }

    #[test]
    fn what_cargo_would_refuse_is_refused() {
        let config = Setup::new("", "").config();
        assert!(matches!(config.resolve("nowhere"), Err(Error::UnknownRegistry { .. })));
        assert!(matches!(config.resolve("crates-io"), Err(Error::CratesIo)));
        for url in [CRATES_IO, "https://crates.io", "sparse+https://mirror.crates.io/"] {
            assert!(matches!(config.resolve(url), Err(Error::CratesIo)), "{url}");
        }
        for bad in [
            "sparse+https://r.example",
            "sparse+file://r.example/",
            "https://r.example/a b",
            "https://r.example/index/",
            "sparse+http://evil.example\\@127.0.0.1/",
        ] {
            assert!(matches!(config.resolve(bad), Err(Error::IndexUrl { .. })), "{bad}");
        }
    }

    #[test]
    fn setting_the_provider_keeps_the_rest() {
        let before = format!("# mine\n{}token = \"x\" # old\n\n[net]\nretry = 3\n", my_reg(OWN));
        let setup = Setup::new(&before, "");
        let config = setup.config();
        let registry = config.resolve("my-reg").unwrap();
        assert_eq!(config.provider("my-reg").unwrap(), None);
        let file = config.set_provider(&registry, Path::new("/opt/my tools/yk-cargo")).unwrap();
        assert_eq!(config.provider("my-reg").unwrap().unwrap(), "[\"/opt/my tools/yk-cargo\"]");
        let after = std::fs::read_to_string(file).unwrap();
        for ours in ["yk-cargo", "/opt/bin/yk-cargo", "[\"/opt/my tools/yk-cargo\"]", "C:/bin/yk-cargo.exe"] {
            assert!(CargoConfig::is_ours(ours), "{ours}");
        }
        assert!(!CargoConfig::is_ours("cargo:token") && !CargoConfig::is_ours("other yk-cargo"));
        assert_eq!(
            after,
            before.replace("# old\n", "# old\ncredential-provider = [\"/opt/my tools/yk-cargo\"]\n")
        );
    }

    #[test]
    fn only_loopback_may_be_spoken_to_in_clear() {
        for fine in [
            "sparse+https://r.example/",
            "sparse+http://127.0.0.1:8000/index/",
            "sparse+http://[::1]:80/",
            "sparse+http://localhost/",
            "ssh://git@r.example/index",
            "sparse+http://x@127.0.0.1/",
        ] {
            assert!(!is_unprotected(fine), "{fine}");
        }
        for clear in [
            "sparse+http://r.example/",
            "http://127.0.0.1.evil.example/",
            "sparse+http://127.0.0.1@r.example/",
        ] {
            assert!(is_unprotected(clear), "{clear}");
        }
    }
}

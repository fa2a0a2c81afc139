//! `Cargo.lock`, versions 1 to 4, as far as it says which files are built (cargo 1.95, `core/resolver/encode.rs`).
//!
//! The file is a project's, and whoever wrote it may be a stranger. It is a list: who depends on whom is not followed, so
//! that neither a cycle nor a depth means anything here, and a package that nobody depends on is listed as well.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use asymmetric_token::{Checksum, CrateName};
use crate_file::nesting;
use semver::Version;
use serde::Deserialize;
use toml_edit::DocumentMut;

use crate::folder;
use crate::text::{escape, escape_path};

/// The longest file that is read, in bytes. 10,000 packages have some three million.
const LONGEST: u64 = 16 << 20;

/// The most names and values in it. 10,000 packages have some two hundred thousand.
const MOST_VALUES: usize = 500_000;

/// The newest version that cargo 1.95 writes.
const NEWEST: i64 = 4;

/// The packages of a lock file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockFile {
    /// Those of registries, in the order of the file.
    pub packages: Vec<Package>,
    /// All others, in the order of the file. No registry has signed them.
    pub apart: Vec<Apart>,
}

/// A version of a crate from a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// The index URL, as cargo passes it on where cargo wrote the file; not safe to show.
    pub index: String,
    /// The crate.
    pub name: CrateName,
    /// Its version.
    pub version: Version,
    /// SHA-256 of the crate file, which cargo insists on; `None` if the file names none that cargo could insist on.
    pub checksum: Option<Checksum>,
}

/// A package that comes from no registry. Nothing in it is safe to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Apart {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// A git URL with the commit, after `git+`; `None` for a folder.
    pub source: Option<String>,
}

impl LockFile {
    /// Reads a file that anybody may have written.
    ///
    /// # Errors
    /// [`Error`].
    pub fn read(path: &Path) -> Result<Self, Error> {
        let file = || path.to_owned();
        let text = folder::read_foreign_up_to(path, LONGEST)
            .map_err(|source| Error::File { file: file(), source })?;
        let text = String::from_utf8(text)
            .map_err(|error| Error::File { file: file(), source: std::io::Error::other(error) })?;
        Self::parse(&text).map_err(|problem| Error::Content { file: file(), problem })
    }

    /// Reads its text.
    ///
    /// # Errors
    /// [`Problem`].
    pub fn parse(text: &str) -> Result<Self, Problem> {
        nesting::of_toml_up_to(text, MOST_VALUES).map_err(|error| Problem::Toml(error.to_string()))?;
        let toml = |message: &str| Problem::Toml(message.to_owned());
        let document: DocumentMut =
            text.parse().map_err(|error: toml_edit::TomlError| toml(error.message()))?;
        let wire: Wire = toml_edit::de::from_document(document).map_err(|error| toml(error.message()))?;
        if let Some(version) = wire.version.filter(|version| !(1..=NEWEST).contains(version)) {
            return Err(Problem::Version { version });
        }
        let packages: Vec<_> = wire.root.into_iter().chain(wire.package).collect();
        let mut listed = HashSet::new();
        if let Some(twice) = packages.iter().map(WirePackage::id).find(|id| !listed.insert(id.clone())) {
            return Err(Problem::Twice { package: twice.to_string() });
        }
        let mut old = old_checksums(&wire.metadata)?;
        if !old.is_empty() && (wire.version.is_some() || !are_of_version_one(&packages, &listed)) {
            return Err(Problem::TwoVersions);
        }
        let mut lock = Self::default();
        for package in packages {
            let checksum = old.remove(&package.id());
            lock.add(package, checksum)?;
        }
        // Cargo writes an entry for each package, those of git repositories included, and there without the commit.
        let is_of_git = |id: &Id| id.source.as_deref().is_some_and(|source| source.starts_with("git+"));
        match old.into_keys().find(|id| !is_of_git(id)) {
            Some(id) => Err(Problem::Metadata { key: id.to_string() }),
            None => Ok(lock),
        }
    }

    /// `old` is the checksum that a file of version 1 has in another place.
    fn add(&mut self, package: WirePackage, old: Option<String>) -> Result<(), Problem> {
        let id = package.id();
        let Some(index) = package.source.as_deref().and_then(index) else {
            let source = package
                .source
                .map(|source| source.strip_prefix("git+").map_or(source.clone(), str::to_owned));
            self.apart.push(Apart { name: package.name, version: package.version, source });
            return Ok(());
        };
        let damaged = |reason: String| Problem::Package { package: id.to_string(), reason };
        self.packages.push(Package {
            index: index.to_owned(),
            name: package
                .name
                .parse()
                .map_err(|error: asymmetric_token::Error| damaged(error.to_string()))?,
            version: package.version.parse().map_err(|error: semver::Error| damaged(error.to_string()))?,
            checksum: package.checksum.or(old).and_then(|checksum| checksum.parse().ok()),
        });
        Ok(())
    }
}

/// The index URL in a source. Cargo puts `registry+` before that of a git index.
fn index(source: &str) -> Option<&str> {
    source.strip_prefix("registry+").or_else(|| source.starts_with("sparse+").then_some(source))
}

/// `"checksum NAME VERSION (SOURCE)" = "…"` in `[metadata]`, where files of version 1 have the checksums.
fn old_checksums(metadata: &HashMap<String, String>) -> Result<HashMap<Id, String>, Problem> {
    let entries = metadata.iter().filter_map(|(key, value)| Some((key.strip_prefix("checksum ")?, value)));
    let read = |(package, checksum): (&str, &String)| match Id::parse(package) {
        Some(id) if id.source.is_some() => Ok((id, checksum.clone())),
        _ => Err(Problem::Metadata { key: package.to_owned() }),
    };
    entries.map(read).collect()
}

/// Whether cargo takes these packages for those of a file of version 1. If it does not, it drops every checksum of a file that has
/// one in `[metadata]`, and builds whatever it is served (cargo 1.95, `core/resolver/encode.rs`, `into_resolve`).
fn are_of_version_one(packages: &[WirePackage], listed: &HashSet<Id>) -> bool {
    let with_source: HashSet<_> =
        listed.iter().filter(|id| id.source.is_some()).map(|id| (&id.name, &id.version)).collect();
    // An edge without a source leads to the workspace, and to nothing else of the same name and version.
    let is_whole = |edge: &String| {
        Id::parse(edge).is_some_and(|id| {
            id.source.is_some() || listed.contains(&id) && !with_source.contains(&(&id.name, &id.version))
        })
    };
    packages.iter().all(|package| {
        let edges = package.dependencies.iter().flatten().chain(&package.replace);
        package.checksum.is_none() && edges.into_iter().all(is_whole)
    })
}

/// Two packages with the same one cannot be in a lock file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Id {
    name: String,
    version: String,
    source: Option<String>,
}

impl Id {
    /// `NAME VERSION (SOURCE)`, or the same without the source.
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.splitn(3, ' ');
        let (name, version) = (words.next()?.to_owned(), words.next()?.to_owned());
        let source = match words.next() {
            Some(word) => Some(word.strip_prefix('(')?.strip_suffix(')')?.to_owned()),
            None => None,
        };
        Some(Self { name, version, source })
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

#[derive(Deserialize)]
struct Wire {
    version: Option<i64>,
    /// Where cargo before 1.16 has the workspace's own package.
    root: Option<WirePackage>,
    #[serde(default)]
    package: Vec<WirePackage>,
    #[serde(default)]
    metadata: HashMap<String, String>,
}

#[derive(Deserialize)]
struct WirePackage {
    name: String,
    version: String,
    source: Option<String>,
    checksum: Option<String>,
    dependencies: Option<Vec<String>>,
    replace: Option<String>,
}

impl WirePackage {
    fn id(&self) -> Id {
        Id { name: self.name.clone(), version: self.version.clone(), source: self.source.clone() }
    }
}

/// Why a lock file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "a field's name says what it is")]
pub enum Error {
    /// It cannot be read.
    #[error("cannot read {}", escape_path(file))]
    File { file: PathBuf, source: std::io::Error },
    /// It is read, but cannot be used.
    #[error("{} {problem}", escape_path(file))]
    Content { file: PathBuf, problem: Problem },
}

impl Error {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::File { .. } => {
                "run it beside Cargo.lock, or name the file after --lock; `cargo generate-lockfile` makes one"
            }
            Self::Content { problem: Problem::Version { .. }, .. } => "update yk-cargo",
            Self::Content { .. } => "have it made again with `cargo generate-lockfile`",
        }
    }
}

/// What is wrong with the text of a lock file.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "a field's name says what it is")]
pub enum Problem {
    /// A checksum of something that is no package.
    #[error("is damaged: `checksum {}` in [metadata] names no package", escape(key))]
    Metadata { key: String },
    /// Name or version cannot be one.
    #[error("is damaged: `{}`: {}", escape(package), escape(reason))]
    Package { package: String, reason: String },
    /// Not TOML, too long, too deep, or of another shape.
    #[error("is not a lock file: {}", escape(.0))]
    Toml(String),
    /// The same package twice, with which cargo builds nothing.
    #[error("has `{}` twice from the same place", escape(package))]
    Twice { package: String },
    /// Checksums in the place where version 1 has them, and something that only later versions have.
    #[error(
        "has checksums in [metadata] as in version 1, but is of a later version: cargo would drop them all"
    )]
    TwoVersions,
    /// A later version, or none that ever was.
    #[error("has version {version}, which this yk-cargo does not know")]
    Version { version: i64 },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SUM: &str = "abababababababababababababababababababababababababababababababab";

    fn package(index: &str, name: &str, checksum: Option<u8>) -> Package {
        let (name, version) = (name.parse().unwrap(), Version::new(1, 0, 0));
        Package { index: index.into(), name, version, checksum: checksum.map(|byte| Checksum([byte; 32])) }
    }

    fn entry(name: &str, source: &str, more: &str) -> String {
        format!("[[package]]\nname = \"{name}\"\nversion = \"1.0.0\"\nsource = \"{source}\"\n{more}\n")
    }

    #[test]
    fn versions_one_to_four_name_the_same() {
        let crates_io = "registry+https://github.com/rust-lang/crates.io-index";
        let sparse = "sparse+https://r.example/index/";
        let wanted = [
            package("https://github.com/rust-lang/crates.io-index", "a", Some(0xab)),
            package(sparse, "b", None),
        ];
        let old = format!(
            "[root]\nname = \"me\"\nversion = \"0.1.0\"\n{}{}[metadata]\n\"checksum a 1.0.0 ({crates_io})\" = \"{SUM}\"\n\
             \"checksum b 1.0.0 ({sparse})\" = \"<none>\"\n",
            entry("a", crates_io, ""),
            entry("b", sparse, "")
        );
        let new = |version: &str| {
            let checksum = format!("checksum = \"{SUM}\"\ndependencies = [\"b\", \"a\"]");
            format!("{version}[[package]]\nname = \"me\"\nversion = \"0.1.0\"\n")
                + &entry("a", crates_io, &checksum)
                + &entry("b", sparse, "")
        };
        for text in [old, new(""), new("version = 3\n"), new("version = 4\n")] {
            let lock = LockFile::parse(&text).unwrap();
            assert_eq!(lock.packages, wanted, "{text}");
            assert_eq!(lock.apart, [Apart { name: "me".into(), version: "0.1.0".into(), source: None }]);
        }
        assert_eq!(LockFile::parse("version = 5\n"), Err(Problem::Version { version: 5 }));
    }

    #[test]
    fn what_cargo_would_not_insist_on_is_no_checksum() {
        let upper = SUM.to_uppercase();
        for none in ["<none>", "", "ab", upper.as_str()] {
            let text = entry("a", "sparse+https://r.example/", &format!("checksum = \"{none}\""));
            assert_eq!(LockFile::parse(&text).unwrap().packages[0].checksum, None, "{none}");
        }
    }

    #[test]
    fn what_comes_from_no_registry_is_apart() {
        let git = "git+https://g.example/x?branch=main#0123";
        let lock =
            LockFile::parse(&(entry("a", git, "") + &entry("é", "local-registry+file:///x", ""))).unwrap();
        let sources: Vec<_> = lock.apart.iter().map(|apart| apart.source.as_deref()).collect();
        assert_eq!(sources, [Some("https://g.example/x?branch=main#0123"), Some("local-registry+file:///x")]);
        assert!(lock.packages.is_empty());
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let source = "sparse+https://r.example/";
        let refused = |text: &str| LockFile::parse(text).unwrap_err();
        let twice = entry("a", source, "") + &entry("a", source, "");
        assert!(matches!(refused(&twice), Problem::Twice { .. }));
        for nowhere in ["a", "a 1.0.0", "a 1.0.0 (sparse+https://r.example)", "b 1.0.0 (registry+x)"] {
            let nowhere =
                entry("a", source, "") + &format!("[metadata]\n\"checksum {nowhere}\" = \"{SUM}\"\n");
            assert!(matches!(refused(&nowhere), Problem::Metadata { .. }), "{nowhere}");
        }
        assert!(matches!(refused(&entry("../a", source, "")), Problem::Package { .. }));
        assert!(matches!(refused("package = 1\n"), Problem::Toml(_)));
        assert!(matches!(refused(&format!("a = {}", "[".repeat(99_999))), Problem::Toml(_)));
        // The same name and version from two places are two packages.
        assert!(
            LockFile::parse(&(entry("a", source, "") + &entry("a", "git+https://g.example/", ""))).is_ok()
        );
    }

    /// Cargo would drop all of them, those of the packages too.
    #[test]
    fn checksums_of_version_one_stand_in_a_file_of_version_one() {
        let source = "sparse+https://r.example/";
        let member = |edges: &str| {
            format!("[[package]]\nname = \"me\"\nversion = \"0.1.0\"\ndependencies = [{edges}]\n")
        };
        for checksum in [SUM, "<none>"] {
            let old = |before: &str, more: &str| {
                let package = entry("a", source, more) + &entry("a", "git+https://g.example/#01", "");
                format!(
                    "{before}{package}[metadata]\n\"checksum a 1.0.0 ({source})\" = \"{checksum}\"\n\
                     \"checksum a 1.0.0 (git+https://g.example/)\" = \"<none>\"\n"
                )
            };
            let whole = format!("\"me 0.1.0\", \"a 1.0.0 ({source})\"");
            let lock = LockFile::parse(&old(&member(&whole), "")).unwrap();
            assert_eq!(lock.packages[0].checksum, checksum.parse().ok());
            for (before, more) in [
                ("version = 3\n".to_owned(), String::new()),
                (member("\"a\""), String::new()),
                (member("\"a 1.0.0\""), String::new()),
                (member("\"me\""), String::new()),
                (entry("me", source, "") + &member("\"me 1.0.0\""), String::new()),
                (String::new(), "replace = \"a 1.0.0\"".to_owned()),
                (String::new(), format!("checksum = \"{SUM}\"")),
            ] {
                let text = old(&before, &more);
                assert_eq!(LockFile::parse(&text), Err(Problem::TwoVersions), "{text}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_text_is_read_or_refused(text in "(\\[\\[package\\]\\]\n|name = \"a\"\n|version = (1|\"1.0.0\")\n|source = \"(git|sparse|registry)\\+x\"\n|\\PC){0,12}") {
            let _ = LockFile::parse(&text);
        }
    }
}

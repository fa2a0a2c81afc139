//! Whose signatures a person trusts: `$CARGO_HOME/yk-cargo/signers.toml`.
//!
//! ```toml
//! version = 1
//!
//! [[signer]]
//! index = "sparse+https://registry.example/index/" # exact
//! crate = "hello"                                  # or "*" for every crate of that registry
//! keys = ["k3.public.…"]
//! ```
//!
//! Only the person, or `verify --remember` after asking, writes it. It holds no secret, but whoever can write it can
//! have another key trusted: it is refused if others may.

use std::path::{Path, PathBuf};

use asymmetric_token::{CrateName, PublicKey};
use serde::Deserialize;
use toml_edit::{Array, DocumentMut, Table, value};

use crate::enrollment::document::document;
use crate::enrollment::{Problem, edit};
use crate::folder::{self, Lock};
use crate::ui::Ui;

/// Stands for every crate of a registry.
const EVERY: &str = "*";

/// All trusted keys, as read.
#[derive(Debug, Default)]
pub struct TrustedKeys(Vec<Signer>);

#[derive(Debug)]
struct Signer {
    index: String,
    scope: Scope,
    keys: Vec<PublicKey>,
}

#[derive(Debug)]
enum Scope {
    Every,
    One(CrateName),
}

/// What the file says of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// It may publish this crate.
    Trusted,
    /// Others may, and not this one.
    OthersAreTrusted,
    /// Nothing is known of this crate.
    Unknown,
}

impl TrustedKeys {
    /// Reads the file; a missing one means that nobody is trusted.
    ///
    /// # Errors
    /// [`Error`]: unreadable, unsafe permissions, not TOML, a newer version, values that make no sense.
    pub fn load(cargo_home: &Path) -> Result<Self, Error> {
        let path = path(cargo_home);
        match folder::read(&path)? {
            None => Ok(Self::default()),
            Some(text) => document(Some(&text))
                .and_then(|document| Self::from_document(&document))
                .map_err(|problem| Error::Content { path, problem }),
        }
    }

    /// Whether a key may publish a crate.
    #[must_use]
    pub fn trust(&self, index: &str, name: &CrateName, key: &PublicKey) -> Trust {
        let mut found = Trust::Unknown;
        for signer in self.0.iter().filter(|signer| signer.is_about(index, name)) {
            if signer.keys.contains(key) {
                return Trust::Trusted;
            }
            found = Trust::OthersAreTrusted;
        }
        found
    }

    fn from_document(document: &DocumentMut) -> Result<Self, Problem> {
        let wire: Wire = toml_edit::de::from_document(document.clone())
            .map_err(|error| Problem::Toml(error.message().to_owned()))?;
        wire.signer.into_iter().map(Signer::try_from).collect::<Result<_, _>>().map(Self)
    }
}

/// Records that a key may publish a crate. What this program does not know in the file is kept, comments too.
///
/// # Errors
/// As [`TrustedKeys::load`], and if the file cannot be written.
pub fn remember(cargo_home: &Path, index: &str, name: &CrateName, key: &PublicKey) -> Result<(), Error> {
    let path = path(cargo_home);
    let _lock = Lock::take(&path, || {
        Ui::silent().note("waiting for another yk-cargo, which is changing the trusted keys")
    })?;
    let content = |problem| Error::Content { path: path.clone(), problem };
    let mut document = document(folder::read(&path)?.as_deref()).map_err(content)?;
    let signers = TrustedKeys::from_document(&document).map_err(content)?;
    if signers.trust(index, name, key) == Trust::Trusted {
        return Ok(());
    }
    let tables = edit::tables(document.as_table_mut(), "signer");
    let signer = edit::find_or_push(
        tables,
        |table| edit::has(table, "index", index) && edit::has(table, "crate", name.as_str()),
        || {
            let keys = value(Array::new());
            Table::from_iter([("index", value(index)), ("crate", value(name.as_str())), ("keys", keys)])
        },
    );
    let keys = signer["keys"].as_array_mut().ok_or_else(|| content(Problem::Toml("keys".into())))?;
    keys.push(key.to_string());
    Ok(folder::replace(&path, document.to_string())?)
}

/// The file.
#[must_use]
pub fn path(cargo_home: &Path) -> PathBuf {
    folder::in_cargo_home(cargo_home).join("signers.toml")
}

impl Signer {
    fn is_about(&self, index: &str, name: &CrateName) -> bool {
        let in_scope = match &self.scope {
            Scope::Every => true,
            Scope::One(only) => only == name,
        };
        self.index == index && in_scope
    }
}

#[derive(Deserialize)]
struct Wire {
    #[serde(default)]
    signer: Vec<WireSigner>,
}

#[derive(Deserialize)]
struct WireSigner {
    index: String,
    #[serde(rename = "crate")]
    scope: String,
    keys: Vec<String>,
}

impl TryFrom<WireSigner> for Signer {
    type Error = Problem;

    fn try_from(wire: WireSigner) -> Result<Self, Problem> {
        let wrong = |key| {
            move |error: asymmetric_token::Error| Problem::Value { key, reason: format!("is wrong: {error}") }
        };
        Ok(Self {
            index: wire.index,
            scope: match wire.scope.as_str() {
                EVERY => Scope::Every,
                name => Scope::One(name.parse().map_err(wrong("crate"))?),
            },
            keys: wire.keys.iter().map(|key| key.parse().map_err(wrong("keys"))).collect::<Result<_, _>>()?,
        })
    }
}

/// Why the trusted keys cannot be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "a field's name says what it is")]
pub enum Error {
    /// The file or its permissions.
    #[error(transparent)]
    File(#[from] folder::Error),
    /// The file is read, but cannot be used.
    #[error("{} {problem}", path.display())]
    Content { path: PathBuf, problem: Problem },
}

impl Error {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::File(error) => error.hint(),
            Self::Content { problem: Problem::Newer { .. }, .. } => {
                "update yk-cargo to the version that wrote it, or a later one".into()
            }
            Self::Content { path, .. } => {
                format!("mend it, or move {} away: then nobody is trusted yet", path.display())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = "sparse+https://registry.example/index/";
    const KEY: &str = "k3.public.AmDwjlyf8jAV3gm5Z7Kz9xAOcsKslt_Vwp5v-emjFzBHLCtcANzTaVEghTNEMj9PkQ";

    fn name(name: &str) -> CrateName {
        name.parse().unwrap()
    }

    fn other_key() -> PublicKey {
        let key = p384::ecdsa::SigningKey::from_slice(&[9; 48]).unwrap();
        PublicKey::from_sec1(key.verifying_key().to_sec1_point(true).as_bytes()).unwrap()
    }

    fn parse(text: &str) -> Result<TrustedKeys, Problem> {
        document(Some(text)).and_then(|document| TrustedKeys::from_document(&document))
    }

    #[test]
    fn trust_is_for_one_registry_and_one_crate_or_all() {
        let key = KEY.parse().unwrap();
        let one = |scope| {
            let text = format!(
                "version = 1\n[[signer]]\nindex = \"{INDEX}\"\ncrate = \"{scope}\"\nkeys = [\"{KEY}\"]\n"
            );
            parse(&text).unwrap()
        };
        assert_eq!(one("hello").trust(INDEX, &name("hello"), &key), Trust::Trusted);
        assert_eq!(one("hello").trust(INDEX, &name("hello"), &other_key()), Trust::OthersAreTrusted);
        assert_eq!(one("hello").trust(INDEX, &name("Hello"), &key), Trust::Unknown);
        assert_eq!(
            one("hello").trust("sparse+https://registry.example/", &name("hello"), &key),
            Trust::Unknown
        );
        assert_eq!(one("*").trust(INDEX, &name("anything"), &key), Trust::Trusted);
    }

    #[test]
    fn a_file_that_is_not_understood_trusts_nobody() {
        assert!(matches!(parse("[[signer]]\n"), Err(Problem::NoVersion)));
        assert!(matches!(parse("version = 2\n"), Err(Problem::Newer { version: 2 })));
        assert!(matches!(parse("version = 1\nsigner = 1\n"), Err(Problem::Toml(_))));
        let entry = |scope, key| {
            parse(&format!(
                "version = 1\n[[signer]]\nindex = \"\"\ncrate = \"{scope}\"\nkeys = [\"{key}\"]\n"
            ))
        };
        assert!(matches!(entry("a b", KEY), Err(Problem::Value { key: "crate", .. })));
        assert!(matches!(entry("*", "k3.public."), Err(Problem::Value { key: "keys", .. })));
    }

    #[test]
    fn what_is_remembered_is_added_and_the_rest_is_kept() {
        let home = tempfile::tempdir().unwrap();
        let key: PublicKey = KEY.parse().unwrap();
        let trust = |name, key| TrustedKeys::load(home.path()).unwrap().trust(INDEX, &name, &key);
        assert_eq!(trust(name("hello"), key), Trust::Unknown);
        remember(home.path(), INDEX, &name("hello"), &key).unwrap();
        assert_eq!(trust(name("hello"), key), Trust::Trusted);
        let text = std::fs::read_to_string(path(home.path())).unwrap();
        std::fs::write(path(home.path()), format!("# mine\n{text}note = \"kept\"\n")).unwrap();
        remember(home.path(), INDEX, &name("hello"), &other_key()).unwrap();
        remember(home.path(), INDEX, &name("hello"), &key).unwrap();
        let text = std::fs::read_to_string(path(home.path())).unwrap();
        assert!(text.starts_with("# mine\n") && text.contains("note = \"kept\""), "{text}");
        assert_eq!(text.matches("k3.public.").count(), 2, "{text}");
        assert_eq!(text.matches("[[signer]]").count(), 1, "{text}");
        assert_eq!(trust(name("hello"), other_key()), Trust::Trusted);
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_may_write_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let home = tempfile::tempdir().unwrap();
        remember(home.path(), INDEX, &name("hello"), &KEY.parse().unwrap()).unwrap();
        let mode = std::fs::metadata(path(home.path())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::set_permissions(path(home.path()), std::fs::Permissions::from_mode(0o620)).unwrap();
        let refused = TrustedKeys::load(home.path()).unwrap_err();
        assert!(matches!(refused, Error::File(folder::Error::Unsafe { .. })), "{refused}");
    }
}

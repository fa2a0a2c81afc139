//! What a list says of one crate, or of those whose names begin alike.

use std::str::FromStr;

use asymmetric_token::{Checksum, CrateName, PublicKey};
use semver::Version;

/// `[[signer]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The index URL, as it is written.
    pub index: String,
    /// The crates.
    pub scope: Scope,
    /// Whose signatures count.
    pub signers: Vec<PublicKey>,
    /// How many of them have to sign each version.
    pub approvals: usize,
    /// Whether every version has to be signed, but those in `unsigned`.
    pub require: bool,
    /// Files that are taken without a signature.
    pub unsigned: Vec<(Version, Checksum)>,
}

/// Which crates are meant. Registries take names that differ by case, or by `-` and `_`, for one name; so does this.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The one with this canonical name.
    One(String),
    /// Those whose canonical names begin like this.
    Beginning(String),
}

impl Scope {
    /// Whether a crate is meant.
    #[must_use]
    pub fn has(&self, name: &CrateName) -> bool {
        match self {
            Self::One(one) => canonical(name.as_str()) == *one,
            Self::Beginning(beginning) => canonical(name.as_str()).starts_with(beginning),
        }
    }
}

impl FromStr for Scope {
    type Err = String;

    /// A crate's name, or the beginning of one and `*`.
    fn from_str(text: &str) -> Result<Self, String> {
        let Some(beginning) = text.strip_suffix('*') else {
            let name: CrateName = text.parse().map_err(|error| format!("is wrong: {error}"))?;
            return Ok(Self::One(canonical(name.as_str())));
        };
        if beginning.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
            Ok(Self::Beginning(canonical(beginning)))
        } else {
            Err("is a name, or the beginning of one and `*`".into())
        }
    }
}

/// The one of several spellings by which they are compared.
pub(super) fn canonical(name: &str) -> String {
    name.to_ascii_lowercase().replace('-', "_")
}

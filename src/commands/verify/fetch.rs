//! What is verified, from the registry: the proof and the crate file. Neither is believed because of where it is from.

use asymmetric_token::{Checksum, CrateName};
use crate_file::index::{self, NotServed};
use semver::Version;
use transparency_log::note::MAX_NOTE_BYTES;
use transparency_log::{Hash, Tile};

use crate::card::access;
use crate::context::Context;
use crate::enrollment::Registry;
use crate::error::Error;
use crate::index_url::{CRATES_IO, CRATES_IO_SPARSE};
use crate::proof;
use crate::registry::greeting::{self, Asked, IndexConfig};
use crate::signer::Signer;
use crate::ui::Ui;

/// No registry takes larger crate files, in bytes.
pub(in crate::commands) const LONGEST_CRATE: u64 = 64 << 20;

/// A key's name and some base64, in bytes.
const LONGEST_KEY: u64 = 4 << 10;

/// The hashes of a full tile, in bytes, and one more: an answer of just as many bytes as are read counts as one without end.
const LONGEST_TILE: u64 = 256 * Hash::BYTES as u64 + 1;

/// No crate has a longer file in an index, in bytes.
const LONGEST_INDEX: u64 = 64 << 20;

/// A registry that hands out proofs and crate files.
pub(in crate::commands) struct Remote<'a> {
    index: &'a str,
    /// Asked for everything over one connection, where the registry keeps it open.
    asked: Asked,
    config: IndexConfig,
    token: Option<String>,
}

impl<'a> Remote<'a> {
    /// Reads its configuration; where that needs a token, with the read key that is enrolled there.
    pub(in crate::commands) fn open(
        index: &'a str,
        enrolled: Option<&Registry>,
        context: &Context,
    ) -> Result<Self, Error> {
        let index = if index == CRATES_IO { CRATES_IO_SPARSE } else { index };
        let failed = |error| cannot_get("the configuration of the index".into(), error);
        let asked = Asked::new(index, &context.settings).map_err(failed)?;
        let open = asked.index_config(None).map_err(failed)?;
        if let Some(config) = open.filter(|config| !config.auth_required) {
            return Ok(Self { index, asked, config, token: None });
        }
        let enrolled = enrolled.ok_or_else(|| Error::NotEnrolled { registry: index.to_owned() })?;
        let readers = access::readers(&context.settings.wait);
        let token = Signer::new(&readers, &context.settings, Ui::asking()).sign(enrolled, None)?.token;
        Self::read_with(index, asked, token)
    }

    /// The same, where a read token is at hand.
    pub(in crate::commands) fn with_token(
        index: &'a str,
        token: String,
        context: &Context,
    ) -> Result<Self, Error> {
        let failed = |error| cannot_get("the configuration of the index".into(), error);
        let asked = Asked::new(index, &context.settings).map_err(failed)?;
        match asked.index_config(None).map_err(failed)?.filter(|config| !config.auth_required) {
            Some(config) => Ok(Self { index, asked, config, token: None }),
            None => Self::read_with(index, asked, token),
        }
    }

    fn read_with(index: &'a str, asked: Asked, token: String) -> Result<Self, Error> {
        let config = asked
            .again()
            .index_config(Some(&token))
            .map_err(|error| cannot_get("the configuration of the index".into(), error))?;
        let config = config.expect("with a token there is a configuration or an error");
        Ok(Self { index, asked, config, token: Some(token) })
    }

    /// Whether there is anything to ask for proofs.
    pub(in crate::commands) fn has_api(&self) -> bool {
        self.config.api.is_some()
    }

    /// The proof of a version.
    pub(in crate::commands) fn proof(&self, name: &CrateName, version: &Version) -> Result<Vec<u8>, Error> {
        let missing = || Error::NoProof { version: format!("{name} {version}") };
        let api = self.config.api.as_deref().ok_or_else(missing)?.trim_end_matches('/');
        let url = format!("{api}/api/v1/crates/{name}/{version}/proof");
        match self.get(proof::LONGEST, &url) {
            Err(greeting::Error::Status { status: 404, .. }) => Err(missing()),
            Err(error) => Err(cannot_get(format!("the proof of {name} {version}"), error)),
            Ok(bytes) => Ok(bytes),
        }
    }

    /// The newest checkpoint of its log; `None` if it has no log.
    pub(in crate::commands) fn checkpoint(&self) -> Result<Option<Vec<u8>>, Error> {
        self.of_log(MAX_NOTE_BYTES as u64, "the checkpoint of the log", "checkpoint")
    }

    /// The key that its log is signed with, as the registry says; `None` if it has no log.
    pub(in crate::commands) fn log_key(&self) -> Result<Option<Vec<u8>>, Error> {
        self.of_log(LONGEST_KEY, "the key of the log", "key")
    }

    /// A tile of its log.
    pub(in crate::commands) fn tile(&self, tile: &Tile) -> Result<Vec<u8>, Error> {
        let path = tile.to_string();
        let missing = || Error::NoTile { path: path.clone() };
        self.of_log(LONGEST_TILE, &format!("the {path} of the log"), &path)?.ok_or_else(missing)
    }

    fn of_log(&self, longest: u64, what: &str, path: &str) -> Result<Option<Vec<u8>>, Error> {
        let Some(api) = &self.config.api else { return Ok(None) };
        match self.get(longest, &format!("{}/log/{path}", api.trim_end_matches('/'))) {
            Err(greeting::Error::Status { status: 404, .. }) => Ok(None),
            Err(error) => Err(cannot_get(what.to_owned(), error)),
            Ok(bytes) => Ok(Some(bytes)),
        }
    }

    /// The file of a version, whatever its checksum.
    pub(in crate::commands) fn crate_file(
        &self,
        name: &CrateName,
        version: &Version,
        checksum: Checksum,
    ) -> Result<Vec<u8>, Error> {
        let url = download_url(&self.config.dl, name, version, checksum);
        self.get(LONGEST_CRATE, &url)
            .map_err(|error| cannot_get(format!("the crate file of {name} {version}"), error))
    }

    /// The index's file of a crate, where cargo reads by what it resolves; empty if there is none.
    pub(in crate::commands) fn index_file(&self, name: &CrateName) -> Result<Vec<u8>, Error> {
        let base = self.index.strip_prefix("sparse+").unwrap_or(self.index);
        match self.get(LONGEST_INDEX, &format!("{base}{}", index::path(name.as_str()))) {
            // Cargo book, "Nonexistent Crates".
            Err(greeting::Error::Status { status: 404 | 410 | 451, .. }) => Ok(Vec::new()),
            Err(error) => Err(cannot_get(format!("the index's file of {name}"), error)),
            Ok(bytes) => Ok(bytes),
        }
    }

    /// The checksum that the index has for a version; `None` if it does not have it.
    pub(in crate::commands) fn listed(
        &self,
        name: &CrateName,
        version: &Version,
    ) -> Result<Option<Checksum>, Error> {
        match index::checksum(&self.index_file(name)?, version) {
            Ok(checksum) => Ok(Some(checksum)),
            Err(NotServed::Absent) => Ok(None),
            Err(problem) => Err(Error::IndexFile { name: name.to_string(), problem }),
        }
    }

    fn get(&self, longest: u64, url: &str) -> Result<Vec<u8>, greeting::Error> {
        let asked = self.asked.again();
        asked.is_as_protected(url)?;
        let token = self.token.as_deref();
        let sent = token.filter(|_| asked.is_own(url));
        let answer = asked.client.get_up_to(longest, url, sent)?;
        match answer.status {
            200 => Ok(answer.body),
            401 | 403 if sent != token => Err(greeting::Error::TokenElsewhere { url: url.to_owned() }),
            status => Err(greeting::Error::Status { url: url.to_owned(), status }),
        }
    }
}

fn cannot_get(what: String, error: greeting::Error) -> Error {
    Error::Fetch { what, source: Box::new(error) }
}

/// Cargo book, "Index Configuration": a template, or the beginning of the usual path.
fn download_url(dl: &str, name: &CrateName, version: &Version, checksum: Checksum) -> String {
    let prefix = index::prefix(name.as_str());
    let markers = [
        ("{crate}", name.to_string()),
        ("{version}", version.to_string()),
        ("{prefix}", prefix.clone()),
        ("{lowerprefix}", prefix.to_ascii_lowercase()),
        ("{sha256-checksum}", checksum.to_string()),
    ];
    if !markers.iter().any(|(marker, _)| dl.contains(marker)) {
        return format!("{dl}/{name}/{version}/download");
    }
    markers.iter().fold(dl.to_owned(), |url, (marker, value)| url.replace(marker, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn downloads_are_where_cargo_looks() {
        let url = |dl, name: &str| {
            let version = Version::parse("1.0.0+b").unwrap();
            download_url(dl, &name.parse().unwrap(), &version, Checksum([0xab; 32]))
        };
        assert_eq!(url("https://r.example/dl", "Hello"), "https://r.example/dl/Hello/1.0.0+b/download");
        assert_eq!(url("https://r.example/{prefix}/{crate}.x", "Hello"), "https://r.example/He/ll/Hello.x");
        assert_eq!(url("/{lowerprefix}/{version}", "Hello"), "/he/ll/1.0.0+b");
        assert_eq!(url("/{prefix}", "abc"), "/3/a");
        assert_eq!(url("/{prefix}", "ab"), "/2");
        assert_eq!(url("/{sha256-checksum}", "a"), format!("/{}", "ab".repeat(32)));
    }
}

//! Proofs of registries that give none: at the places that the lists name, or where the crate's own manifest says.
//!
//! A manifest is in a file with the checksum that the lock file names, as cargo has it in its cache; nothing is downloaded for it. Whoever has
//! written it is a stranger, and so is whoever has written a project's list: their URLs are asked as such.

use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;

use asymmetric_token::{Checksum, CrateName};
use crate_file::nesting;
use semver::Version;
use sha2::{Digest as _, Sha256};

use super::Source;
use super::fetch::LONGEST_CRATE;
use super::patience::Patience;
use crate::commands::token;
use crate::context::Context;
use crate::error::Error;
use crate::folder;
use crate::index_url::host;
use crate::registry::greeting;
use crate::registry::network::Network;
use crate::registry::small_file::{NamedBy, SmallFiles};
use crate::text::{escape, sentence};
use crate::trust::{Place, Template, Whose};

/// After so many questions without any answer a place is asked no more.
const PATIENCE: u32 = 3;

/// Each index has a folder of its own in cargo's cache; no more of them are looked into.
const MOST_CACHES: usize = 256;

/// Looks for proofs at URLs.
pub(super) struct Elsewhere {
    persons: SmallFiles,
    strangers: SmallFiles,
    /// How long strangers' places are asked, from the first question on.
    patience: OnceLock<Patience>,
    /// How often a place gave no answer: the template of a list, or the host that a manifest names.
    silent: Mutex<HashMap<String, u32>>,
}

/// What came of it.
pub(super) enum Found {
    /// Nobody says where one would be, or there is none at the places that the lists name.
    Nowhere,
    /// What lies at a URL, and whose that is.
    Proof { bytes: Vec<u8>, at: Source },
    /// There may be one, which cannot be had. Why is safe to show.
    Withheld(String),
}

impl Elsewhere {
    /// With the network that is set for cargo.
    pub(super) fn new(context: &Context) -> Result<Self, Error> {
        let failed = |error: greeting::Error| Error::Fetch { what: "proofs".into(), source: Box::new(error) };
        let network =
            || Network::load("https://", context.cargo.home()).map_err(|error| failed(error.into()));
        let files = |named_by| SmallFiles::new(network()?, named_by).map_err(|error| failed(error.into()));
        Ok(Self {
            persons: files(NamedBy::Person)?,
            strangers: files(NamedBy::Stranger)?,
            patience: OnceLock::new(),
            silent: Mutex::default(),
        })
    }

    /// Looks for the proof of a version: at each place in turn, then where the manifest says.
    pub(super) fn find(
        &self,
        places: &[(Whose, &Place)],
        (name, version): (&CrateName, &Version),
        manifest: impl FnOnce() -> Option<String>,
    ) -> Found {
        let mut withheld = None;
        for (whose, place) in places {
            let url = place.url.of(name, version);
            let is_own = *whose == Whose::Own;
            let named_by = if is_own { NamedBy::Person } else { NamedBy::Stranger };
            match self.get(named_by, place.url.as_str(), &url) {
                Ok(Some(bytes)) => {
                    let at = if is_own { Source::Listed(url) } else { Source::Strangers(url) };
                    return Found::Proof { bytes, at };
                }
                Ok(None) => {}
                Err(why) => withheld = withheld.or(Some(why)),
            }
        }
        if let Some(template) = manifest().as_deref().and_then(named_in) {
            let url = match template {
                Ok(template) => template.of(name, version),
                Err(why) => return Found::Withheld(format!("the place for proofs in its manifest {why}")),
            };
            match self.get(NamedBy::Stranger, &host(&url), &url) {
                Ok(Some(bytes)) => return Found::Proof { bytes, at: Source::Strangers(url) },
                Ok(None) => {
                    let why =
                        format!("its manifest says that its proof is at {}, but there is none", escape(&url));
                    withheld = withheld.or(Some(why));
                }
                Err(why) => withheld = withheld.or(Some(why)),
            }
        }
        withheld.map_or(Found::Nowhere, Found::Withheld)
    }

    fn get(&self, named_by: NamedBy, place: &str, url: &str) -> Result<Option<Vec<u8>>, String> {
        let shown = || escape(&host(url));
        let files = match named_by {
            NamedBy::Person => &self.persons,
            NamedBy::Stranger => {
                let now = Instant::now();
                if self.patience.get_or_init(|| Patience::with_strangers(now)).is_over(now).is_some() {
                    return Err(format!(
                        "{} was not asked: the places named by strangers were too slow",
                        shown()
                    ));
                }
                &self.strangers
            }
        };
        let silent = || self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        if silent().get(place).is_some_and(|times| *times >= PATIENCE) {
            return Err(format!("{} did not answer, and was not asked again", shown()));
        }
        files.get(url).map_err(|refused| {
            if refused.is_silence() {
                *silent().entry(place.to_owned()).or_default() += 1;
            }
            sentence(&refused)
        })
    }
}

/// `[package.metadata.proofs] url`; `None` if there is none.
fn named_in(manifest: &str) -> Option<Result<Template, String>> {
    if !manifest.contains("proofs") || nesting::of_toml(manifest).is_err() {
        return None;
    }
    let manifest: toml_edit::DocumentMut = manifest.parse().ok()?;
    let url = manifest.get("package")?.get("metadata")?.get("proofs")?.get("url")?.as_str()?;
    Some(Template::new(url))
}

/// The manifest in a crate file.
pub(super) fn manifest_in(file: impl Read) -> Option<String> {
    token::manifest(file).ok()?
}

/// The manifest of a version, if cargo has the file with this checksum.
pub(super) fn manifest_in_cache(
    cargo_home: &Path,
    name: &CrateName,
    version: &Version,
    checksum: Checksum,
) -> Option<String> {
    let caches = fs::read_dir(cargo_home.join("registry/cache")).ok()?;
    let file = format!("{name}-{version}.crate");
    let files = caches
        .take(MOST_CACHES)
        .filter_map(|cache| folder::read_foreign_up_to(&cache.ok()?.path().join(&file), LONGEST_CRATE).ok());
    let mut files = files.filter(|file| Checksum(Sha256::digest(file).into()) == checksum);
    manifest_in(&files.next()?[..])
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// However many packages a lock file has.
    #[test]
    fn strangers_are_asked_for_two_minutes_together() {
        let files = |named_by| SmallFiles::new(Network::default(), named_by).unwrap();
        let long_ago = Instant::now().checked_sub(Duration::from_secs(121)).unwrap();
        let elsewhere = Elsewhere {
            persons: files(NamedBy::Person),
            strangers: files(NamedBy::Stranger),
            patience: OnceLock::from(Patience::with_strangers(long_ago)),
            silent: Mutex::default(),
        };
        let place = |index: &str| Place {
            index: index.to_owned(),
            url: Template::new("https://localhost/{version}").unwrap(),
        };
        let (place, version) = (place("x"), Version::new(1, 0, 0));
        let name = "hello".parse().unwrap();
        let why = |places: &[(Whose, &Place)], manifest: Option<&str>| match elsewhere.find(
            places,
            (&name, &version),
            || manifest.map(str::to_owned),
        ) {
            Found::Withheld(why) => why,
            _ => panic!("nobody was to be asked"),
        };
        let manifest = "[package.metadata.proofs]\nurl = \"https://localhost/\"\n";
        let too_slow = "localhost was not asked: the places named by strangers were too slow";
        assert_eq!(why(&[(Whose::Projects, &place)], None), too_slow);
        assert_eq!(why(&[], Some(manifest)), too_slow);
        assert_ne!(why(&[(Whose::Own, &place)], None), too_slow, "the person's own are not strangers'");
    }

    #[test]
    fn a_manifest_says_where_its_proofs_are() {
        let named = |text: &str| named_in(text).map(|template| template.is_ok());
        assert_eq!(named("[package.metadata.proofs]\nurl = \"https://p.example/\"\n"), Some(true));
        assert_eq!(named("[package.metadata.proofs]\nurl = \"https://p.example/x\"\n"), Some(false));
        for none in [
            "",
            "[package.metadata.proofs]\nurl = 1\n",
            "[package.metadata]\nproofs = \"x\"\n",
            "proofs = [",
            &format!("proofs = {}", "[".repeat(100_000)),
        ] {
            assert_eq!(named(none), None);
        }
    }
}

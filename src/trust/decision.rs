//! What the lists say together.

use std::path::Path;

use asymmetric_token::{Checksum, CrateName, PublicKey};
use semver::Version;

use super::entry::Entry;
use super::list::{Error, List};
use super::log::Log;
use super::place::Place;
use super::rotation::{Rotation, Stated};
use crate::text::escape;

/// All that is trusted in one run.
#[derive(Clone, Debug)]
pub enum Trust {
    /// By lists.
    Lists {
        /// The person's own.
        own: List,
        /// The project's.
        projects: List,
    },
    /// By these keys alone, for every crate.
    Keys {
        /// The keys.
        keys: Vec<PublicKey>,
        /// The person's own list, of which only counts what has to be signed.
        own: List,
    },
}

/// Whose list says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The person's own.
    Own,
    /// The project's.
    Projects,
}

/// What is said of a key that has signed a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word<'a> {
    /// It may sign this crate.
    Trusted {
        /// By whose list.
        whose: Whose,
        /// What it is called.
        name: String,
    },
    /// It is among the keys that alone count.
    Given,
    /// Nobody is named for this crate.
    New,
    /// Others are named for this crate, and this one is not.
    Changed {
        /// In whose list.
        whose: Whose,
        /// What they are called.
        others: Vec<String>,
        /// A statement, signed by one of them and by this key, that this one takes its place. It counts for nothing yet.
        rotation: Option<&'a Rotation>,
    },
    /// It is not among the keys that alone count.
    NotGiven,
}

/// Fewer keys have signed a version than a list wants of its crate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooFew {
    /// How many it wants.
    pub wanted: usize,
    /// What those are called that have signed.
    pub named: Vec<String>,
    /// Whose list that is.
    pub whose: Whose,
}

impl TooFew {
    /// Safe to show.
    #[must_use]
    pub fn in_words(&self) -> String {
        let by = match &self.named[..] {
            [] => "none of them has".to_owned(),
            named => format!("only {} signed it", escape(&named.join(", "))),
        };
        format!("{} of the signers named for this crate must sign it, but {by}", self.wanted)
    }
}

/// What is said of a version that nobody has signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsigned {
    /// This very file is listed as unsigned.
    Listed(Whose),
    /// The version is listed with another file.
    OtherFile(Whose),
    /// The crate need not be signed.
    NotRequired(Whose),
    /// The crate is signed in every version.
    Refused(Whose),
    /// Nothing.
    Unsaid,
}

impl Trust {
    /// These keys, if there are any. Else by the lists: the person's own, and that of a project in a folder.
    ///
    /// # Errors
    /// As [`List::load`] and [`List::load_projects`].
    pub fn load(cargo_home: &Path, keys: &[PublicKey], project: Option<&Path>) -> Result<Self, Error> {
        let own = List::load(cargo_home)?;
        if !keys.is_empty() {
            return Ok(Self::Keys { keys: keys.to_vec(), own });
        }
        let projects = project.map(List::load_projects).transpose()?.unwrap_or_default();
        Ok(Self::Lists { own, projects })
    }

    /// The same with another list of the person's own.
    #[must_use]
    pub fn with_own(&self, own: List) -> Self {
        match self {
            Self::Lists { projects, .. } => Self::Lists { own, projects: projects.clone() },
            Self::Keys { keys, .. } => Self::Keys { keys: keys.clone(), own },
        }
    }

    /// What is said of the key that has signed a version of a crate.
    #[must_use]
    pub fn of_key<'a>(&'a self, index: &'a str, name: &'a CrateName, key: &'a PublicKey) -> Word<'a> {
        let (own, projects) = match self {
            Self::Keys { keys, .. } if keys.contains(key) => return Word::Given,
            Self::Keys { .. } => return Word::NotGiven,
            Self::Lists { own, projects } => (own, projects),
        };
        let projects_word = || Asked { list: projects, whose: Whose::Projects, shown: own, index, name, key };
        let own_word = Asked { list: own, whose: Whose::Own, shown: projects, index, name, key }.word();
        let projects_word = projects_word().word();
        match (own_word, projects_word) {
            (None, None) => Word::New,
            (None, Some(word)) | (Some(word), None) => word,
            // The project can ask for more than the person does, and for no less.
            (Some(Word::Trusted { .. } | Word::New), Some(word @ Word::Changed { .. })) => word,
            (Some(word), Some(_)) => word,
        }
    }

    /// Whether fewer keys have signed a version than a list wants. Each counts once: a key that has taken the place of another one counts
    /// as that.
    #[must_use]
    pub fn too_few(&self, index: &str, name: &CrateName, signers: &[PublicKey]) -> Option<TooFew> {
        let of = |list: &List, shown: &List, whose| {
            let entry = list.entry(index, name).filter(|entry| entry.approvals > 1)?;
            let counts_as = |key: &PublicKey| match self {
                Self::Keys { keys, .. } => keys.contains(key).then_some(*key),
                Self::Lists { .. } => {
                    Asked { list, whose, shown, index, name, key }.counts_as(entry, key, &mut Vec::new())
                }
            };
            let mut named: Vec<PublicKey> = Vec::new();
            for key in signers.iter().filter_map(counts_as) {
                if !named.contains(&key) {
                    named.push(key);
                }
            }
            let called =
                |key: &PublicKey| list.name_of(key).map_or_else(|| key.id().to_string(), str::to_owned);
            let too_few =
                || TooFew { wanted: entry.approvals, named: named.iter().map(called).collect(), whose };
            (named.len() < entry.approvals).then(too_few)
        };
        match self {
            Self::Lists { own, projects } => {
                of(own, projects, Whose::Own).or_else(|| of(projects, own, Whose::Projects))
            }
            Self::Keys { own, .. } => of(own, own, Whose::Own),
        }
    }

    /// What is said of a version without a signature.
    #[must_use]
    pub fn of_unsigned(&self, index: &str, name: &CrateName, version: &Version, file: Checksum) -> Unsigned {
        let word =
            |list: &List, whose| list.entry(index, name).map(|entry| unsigned(entry, whose, version, file));
        let (own, projects) = match self {
            Self::Lists { own, projects } => (own, projects),
            Self::Keys { own, .. } => {
                return match word(own, Whose::Own) {
                    Some(Unsigned::Refused(whose) | Unsigned::OtherFile(whose)) => Unsigned::Refused(whose),
                    _ => Unsigned::Unsaid,
                };
            }
        };
        match (word(own, Whose::Own), word(projects, Whose::Projects)) {
            (None, None) => Unsigned::Unsaid,
            (None, Some(word)) | (Some(word), None) => word,
            // The project can ask for more than the person does, and for no less.
            (Some(own), Some(theirs)) if demand(theirs) > demand(own) => theirs,
            (Some(own), Some(_)) => own,
        }
    }

    /// Where the lists say that proofs of a registry lie which gives none: the person's own first.
    #[must_use]
    pub fn places<'a>(&'a self, index: &'a str) -> Vec<(Whose, &'a Place)> {
        let of = |list: &'a List, whose| list.places(index).map(move |place| (whose, place));
        match self {
            Self::Lists { own, projects } => {
                of(own, Whose::Own).chain(of(projects, Whose::Projects)).collect()
            }
            Self::Keys { own, .. } => of(own, Whose::Own).collect(),
        }
    }

    /// The log of a registry that is known, and by whose list; `None` if no list names one. Where the person's own does, the project's can
    /// only want more witnesses.
    ///
    /// # Errors
    /// [`OtherLogKey`].
    pub fn of_log(&self, index: &str) -> Result<Option<(Log, Whose)>, OtherLogKey> {
        let (own, projects) = match self {
            Self::Keys { own, .. } => (own, None),
            Self::Lists { own, projects } => (own, Some(projects)),
        };
        let Some(projects_log) = projects.and_then(|projects| projects.log(index)) else {
            return Ok(own.log(index).map(|log| (log.clone(), Whose::Own)));
        };
        let Some(own_log) = own.log(index) else { return Ok(Some((projects_log.clone(), Whose::Projects))) };
        let theirs = projects.and_then(|projects| projects.log_of_generation(index, own_log.generation));
        if theirs.is_some_and(|theirs| theirs.key != own_log.key) {
            return Err(OtherLogKey);
        }
        let mut log = own_log.clone();
        let more = projects_log
            .witnesses
            .iter()
            .filter(|more| own_log.witnesses.iter().all(|one| one.key != more.key));
        log.witnesses.extend(more.cloned());
        Ok(Some((log, Whose::Own)))
    }

    /// What the person's own list calls a key.
    #[must_use]
    pub fn own_name_of(&self, key: &PublicKey) -> Option<&str> {
        self.own()?.name_of(key)
    }

    /// Whether the person's own list calls another key so.
    #[must_use]
    pub fn is_of_another(&self, name: &str, key: &PublicKey) -> bool {
        self.own().and_then(|own| own.key(name)).is_some_and(|known| known != key)
    }

    fn own(&self) -> Option<&List> {
        match self {
            Self::Lists { own, .. } => Some(own),
            Self::Keys { .. } => None,
        }
    }
}

/// The project's list names another key for a registry's log than the person's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this project's own list names another key for the log than yours does")]
pub struct OtherLogKey;

/// A question to one list.
struct Asked<'a> {
    list: &'a List,
    whose: Whose,
    /// The other list, whose rotations are shown too.
    shown: &'a List,
    index: &'a str,
    name: &'a CrateName,
    key: &'a PublicKey,
}

impl<'a> Asked<'a> {
    fn word(&self) -> Option<Word<'a>> {
        let entry = self.list.entry(self.index, self.name)?;
        if entry.signers.is_empty() {
            return Some(Word::New);
        }
        if self.is_trusted(entry, self.key, &mut Vec::new()) {
            let name = self.list.name_of(self.key).map_or_else(|| self.key.id().to_string(), str::to_owned);
            return Some(Word::Trusted { whose: self.whose, name });
        }
        let others = entry.signers.iter().filter_map(|key| self.list.name_of(key)).map(str::to_owned);
        Some(Word::Changed { whose: self.whose, others: others.collect(), rotation: self.rotation(entry) })
    }

    /// Whether a key counts for an entry.
    fn is_trusted(&self, entry: &Entry, key: &PublicKey, seen: &mut Vec<PublicKey>) -> bool {
        self.counts_as(entry, key, seen).is_some()
    }

    /// The listed key: this one; or, in the person's own list, one whose place it has taken.
    fn counts_as(&self, entry: &Entry, key: &PublicKey, seen: &mut Vec<PublicKey>) -> Option<PublicKey> {
        if entry.signers.contains(key) {
            return Some(*key);
        }
        if self.whose == Whose::Projects || seen.contains(key) {
            return None;
        }
        seen.push(*key);
        let mut before = self.list.rotations_to(self.index, self.name, key);
        before.find_map(|stated| {
            self.counts_as(entry, &stated.rotation.from, seen).filter(|_| stated.is_signed())
        })
    }

    /// A statement that this key takes the place of a trusted one, which is not remembered.
    fn rotation(&self, entry: &Entry) -> Option<&'a Rotation> {
        let (list, shown, index, name, key) = (self.list, self.shown, self.index, self.name, self.key);
        let mut stated = list.rotations_to(index, name, key).chain(shown.rotations_to(index, name, key));
        // Signatures cost more than all else, and a project can have many statements.
        let counts = |stated: &&Stated| {
            self.is_trusted(entry, &stated.rotation.from, &mut Vec::new()) && stated.is_signed()
        };
        stated.find(counts).map(|stated| &stated.rotation)
    }
}

fn unsigned(entry: &Entry, whose: Whose, version: &Version, file: Checksum) -> Unsigned {
    match entry.unsigned.iter().find(|(listed, _)| listed == version) {
        Some((_, listed)) if *listed == file => Unsigned::Listed(whose),
        Some(_) => Unsigned::OtherFile(whose),
        None if entry.require => Unsigned::Refused(whose),
        None => Unsigned::NotRequired(whose),
    }
}

/// How much a list asks for. Two ways to let a file pass ask for nothing.
fn demand(word: Unsigned) -> u8 {
    match word {
        Unsigned::Unsaid | Unsigned::NotRequired(_) | Unsigned::Listed(_) => 0,
        Unsigned::Refused(_) => 1,
        Unsigned::OtherFile(_) => 2,
    }
}

//! Logs and witnesses in a list: whose signatures a registry's checkpoints have to have.

use std::collections::{HashMap, HashSet};

use transparency_log::{Algorithm, Origin, Verifier};

use crate::enrollment::Problem;
use crate::text::escape;

/// As many signatures as a checkpoint has room for.
const MOST_WITNESSES: usize = 32;

/// `[[log]]`: one generation of a registry's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The index URL, as it is written.
    pub index: String,
    /// The key that signs its checkpoints. It is named like the log's origin.
    pub key: Verifier,
    /// 1, or more where the registry's log was begun anew.
    pub generation: u64,
    /// All of them have to have signed.
    pub witnesses: Vec<Witness>,
}

/// `[[witness]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// What it is called in the list: visible characters.
    pub name: String,
    /// Its key.
    pub key: Verifier,
}

impl Log {
    /// The log of a registry whose checkpoints this key signs; `None` if the key is not named like such a log, or is of a witness.
    #[must_use]
    pub fn new(index: &str, key: Verifier) -> Option<Self> {
        let generation = generation(index, key.name().as_str())?;
        let signs = key.algorithm() == Algorithm::Ed25519;
        signs.then(|| Self { index: index.to_owned(), key, generation, witnesses: Vec::new() })
    }

    /// The first line of its checkpoints.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.key.name().as_str().parse().expect("a key's name is a line")
    }
}

/// Which generation of a registry's log has this origin: the first has that of the index URL, each later one a number behind a slash.
#[must_use]
pub fn generation(index: &str, origin: &str) -> Option<u64> {
    let first = Origin::of_index(index).ok()?;
    match origin.strip_prefix(first.as_str())? {
        "" => Some(1),
        later => {
            let number = later.strip_prefix('/')?;
            number.parse().ok().filter(|generation: &u64| *generation > 1 && generation.to_string() == number)
        }
    }
}

/// The logs and witnesses of one list.
#[derive(Clone, Debug, Default)]
pub(super) struct Logs {
    witnesses: HashMap<String, Witness>,
    /// By key name, of which a checkpoint has one signature.
    witness_keys: HashSet<String>,
    /// By index URL.
    logs: HashMap<String, Vec<Log>>,
}

impl Logs {
    pub(super) fn add_witness(&mut self, name: String, key: &str) -> Result<(), Problem> {
        let key = verifier(key, Algorithm::CosignatureV1, "is that of a log, not of a witness")?;
        if self.witnesses.contains_key(&name) || !self.witness_keys.insert(key.name().to_string()) {
            return Err(Problem::Duplicate(escape(&name)));
        }
        self.witnesses.insert(name.clone(), Witness { name, key });
        Ok(())
    }

    pub(super) fn add(&mut self, index: String, key: &str, witnesses: &[String]) -> Result<(), Problem> {
        let key = verifier(key, Algorithm::Ed25519, "is that of a witness, not of a log")?;
        let named = || Problem::Value { key: "vkey", reason: "is not named like this registry's log".into() };
        let mut log = Log::new(&index, key).ok_or_else(named)?;
        if witnesses.len() > MOST_WITNESSES {
            let reason = format!("names more than {MOST_WITNESSES}");
            return Err(Problem::Value { key: "witnesses", reason });
        }
        for name in witnesses {
            let unknown = || Problem::Value {
                key: "witnesses",
                reason: format!("names `{}`, and there is no [[witness]] of that name", escape(name)),
            };
            log.witnesses.push(self.witnesses.get(name).ok_or_else(unknown)?.clone());
        }
        let logs = self.logs.entry(index).or_default();
        if logs.iter().any(|other| other.generation == log.generation) {
            return Err(Problem::Duplicate(escape(&log.index)));
        }
        logs.push(log);
        Ok(())
    }

    /// The newest generation of a registry's log that is listed. By listing it, the person has accepted what was before.
    pub(super) fn newest(&self, index: &str) -> Option<&Log> {
        self.logs.get(index)?.iter().max_by_key(|log| log.generation)
    }

    /// One generation of a registry's log.
    pub(super) fn of_generation(&self, index: &str, generation: u64) -> Option<&Log> {
        self.logs.get(index)?.iter().find(|log| log.generation == generation)
    }
}

fn verifier(text: &str, algorithm: Algorithm, other: &str) -> Result<Verifier, Problem> {
    let problem = |reason| Problem::Value { key: "vkey", reason };
    let key: Verifier =
        text.parse().map_err(|error| problem(format!("is wrong: {}", escape(&format!("{error}")))))?;
    if key.algorithm() == algorithm { Ok(key) } else { Err(problem(other.into())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_are_counted_behind_the_origin() {
        let of = |origin: &str| generation("sparse+https://registry.example/index/", origin);
        assert_eq!(of("registry.example/index"), Some(1));
        assert_eq!(of("registry.example/index/2"), Some(2));
        for other in ["/1", "/0", "/02", "/+2", "/", "/2/3", "/x", "2", "/99999999999999999999999"] {
            assert_eq!(of(&format!("registry.example/index{other}")), None, "{other}");
        }
        assert_eq!(of("registry.example"), None);
        assert_eq!(generation("no URL", "registry.example"), None);
    }
}

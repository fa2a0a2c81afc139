//! A transparency log in memory, which a test can have lie.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use transparency_log::{
    Checkpoint, Cosigner, Frontier, Hash, Origin, SignedCheckpoint, Signer, Tile, Verifier,
};

/// A witness with a key of its own.
pub(crate) struct TestWitness(Cosigner);

impl TestWitness {
    pub(crate) fn new(name: &str) -> Self {
        Self(Cosigner::new(name.parse().unwrap(), &[name.len() as u8; 32]))
    }

    /// `[[witness]]`.
    pub(crate) fn entry(&self, name: &str) -> String {
        format!("[[witness]]\nname = \"{name}\"\nvkey = \"{}\"\n", self.0.verifier())
    }
}

/// A log, and the key that signs its checkpoints.
pub(crate) struct TestLog {
    index: String,
    origin: Origin,
    seed: u8,
    hashes: Vec<Hash>,
    /// The rows of all tiles, by level.
    levels: Vec<Vec<Hash>>,
    frontier: Frontier,
    /// Whether its entries are on record, and not signed yet.
    pub(crate) signs: Option<u64>,
}

impl TestLog {
    pub(crate) fn new(index: &str) -> Self {
        let origin = Origin::of_index(index).unwrap();
        Self::of(index, origin, 7)
    }

    /// The log that was begun anew.
    pub(crate) fn of_generation(index: &str, generation: u64) -> Self {
        let origin = format!("{}/{generation}", Origin::of_index(index).unwrap());
        Self::of(index, origin.parse().unwrap(), 8)
    }

    pub(crate) fn of(index: &str, origin: Origin, seed: u8) -> Self {
        Self {
            index: index.to_owned(),
            origin,
            seed,
            hashes: Vec::new(),
            levels: Vec::new(),
            frontier: Frontier::new(),
            signs: None,
        }
    }

    fn signer(&self) -> Signer {
        Signer::new(self.origin.key_name().unwrap(), &[self.seed; 32])
    }

    pub(crate) fn key(&self) -> Verifier {
        self.signer().verifier().clone()
    }

    /// `[[log]]`, with these witnesses.
    pub(crate) fn entry(&self, witnesses: &[&str]) -> String {
        format!("[[log]]\nindex = \"{}\"\nvkey = \"{}\"\nwitnesses = {witnesses:?}\n", self.index, self.key())
    }

    pub(crate) fn size(&self) -> u64 {
        self.hashes.len() as u64
    }

    /// Appends an entry, and returns its index.
    pub(crate) fn append(&mut self, entry: &str) -> u64 {
        let leaf = Hash::leaf(entry.as_bytes()).unwrap();
        self.hashes.push(leaf);
        for stored in self.frontier.push(leaf).unwrap() {
            let level = usize::from(stored.level);
            self.levels.resize_with(self.levels.len().max(level + 1), Vec::new);
            assert_eq!(self.levels[level].len() as u64, stored.index);
            self.levels[level].push(stored.hash);
        }
        self.size() - 1
    }

    /// As many entries of something else.
    pub(crate) fn fill(&mut self, entries: usize, with: &str) {
        for number in 0..entries {
            self.append(&format!("{with} {number}"));
        }
    }

    /// Writes a publish down, and says so in its proof.
    pub(crate) fn publishes(&mut self, proof: &mut Value) {
        let seq = self.size() + 1;
        let id = proof["public"].as_str().unwrap().parse::<asymmetric_token::PublicKey>().unwrap().id();
        let intent = json!({
            "cksum": proof["cksum"], "key": id.to_string(), "kind": "intent", "mutation": "publish",
            "name": proof["name"], "salt": "AAAAAAAAAAAAAAAAAAAAAA", "seq": seq,
            "time": "2026-11-20T12:00:00.000000Z", "token": proof["token"], "user": "alice", "vers": proof["vers"],
        })
        .to_string();
        let outcome =
            json!({ "intent": seq, "kind": "outcome", "outcome": "done", "seq": seq + 1 }).to_string();
        let index = self.append(&intent);
        let of_outcome = self.append(&outcome);
        proof["log"] = json!({
            "index": index, "leaf": intent, "outcome": { "index": of_outcome, "leaf": outcome },
        });
    }

    /// The newest checkpoint, with these witnesses' signatures.
    pub(crate) fn checkpoint(&self, witnesses: &[&TestWitness]) -> SignedCheckpoint {
        let mut frontier = Frontier::new();
        for leaf in &self.hashes[..self.signs.unwrap_or(self.size()) as usize] {
            frontier.push(*leaf).unwrap();
        }
        let mut checkpoint =
            SignedCheckpoint::unsigned(Checkpoint::new(self.origin.clone(), frontier.head()).unwrap());
        checkpoint.sign(&self.signer()).unwrap();
        for witness in witnesses {
            checkpoint.cosign(&witness.0, 1_700_000_000).unwrap();
        }
        checkpoint
    }

    /// The content of a tile, if it is there.
    pub(crate) fn tile(&self, tile: &Tile) -> Option<Vec<u8>> {
        let row = self.levels.get(usize::from(tile.level()))?;
        let first = usize::try_from(tile.index()).ok()?.checked_mul(256)?;
        let hashes = row.get(first..first.checked_add(tile.width())?)?;
        Some(hashes.iter().flat_map(|hash| *hash.as_bytes()).collect())
    }

    /// What a registry answers at this path.
    pub(crate) fn answer(&self, path: &str, witnesses: &[&TestWitness]) -> Option<Vec<u8>> {
        match path.strip_prefix("/log/")? {
            "checkpoint" => Some(self.checkpoint(witnesses).to_string().into()),
            "key" => Some(format!("{}\n", self.key()).into()),
            path => self.tile(&path.parse().ok()?),
        }
    }
}

/// Requests by what they are for.
pub(crate) fn counts(asked: &[String]) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for path in asked {
        let what = if path.ends_with("/proof") {
            "proof"
        } else if path.starts_with("/log/tile/") {
            "tile"
        } else if path == "/log/checkpoint" {
            "checkpoint"
        } else if path == "/log/key" {
            "key"
        } else {
            "configuration"
        };
        *counts.entry(what).or_default() += 1;
    }
    counts
}

//! Following the log from leaf to leaf, and what is wrong where that fails.

use std::collections::BTreeMap;

use transparency_log::{Error, Frontier, Hash, TreeHead};

use super::{Entry, EntryError, Point};

/// What a store has noted of its log, beside the entries.
#[derive(Clone, Debug, Default)]
pub struct Noted {
    /// The hashes that are above the leaves in tiles, by level (from 1) and index.
    pub tiles: BTreeMap<(u8, u64), Hash>,
    /// The right edge of the tree.
    pub edge: Frontier,
    /// The trees that were signed, in any order.
    pub heads: Vec<TreeHead>,
}

/// The log as far as it was followed.
#[derive(Debug)]
pub struct Follower {
    tree: Frontier,
    last: Point,
    /// Up to where a signed tree has shown that nothing was changed.
    shown: u64,
    tiles: BTreeMap<(u8, u64), Hash>,
    edge: Frontier,
    /// The smallest last.
    heads: Vec<TreeHead>,
}

/// Why a log does not hold, with the first entry that shows it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "a field's name says what it is")]
pub enum Broken {
    /// An entry is missing.
    #[error("entry {seq} is missing: it was removed")]
    Removed { seq: u64 },
    /// An entry is in the place of another.
    #[error("entry {says} is in the place of entry {seq}: entries were reordered")]
    Reordered {
        /// The place.
        seq: u64,
        /// The number that the entry gives itself.
        says: u64,
    },
    /// There is an entry after the last one.
    #[error("entry {seq} was inserted: the tree ends before it")]
    Inserted { seq: u64 },
    /// The bytes are not an entry any more.
    #[error("entry {seq} was changed: {why}")]
    Unreadable { seq: u64, why: EntryError },
    /// The bytes have another hash than the one that was noted when they were written.
    #[error("entry {seq} was changed: its hash is {found}, but {noted} was recorded")]
    Changed { seq: u64, found: Hash, noted: Hash },
    /// A tile has another hash of these entries, or none.
    #[error("one of the entries {from} to {to} was changed, or the hash that a tile has of them")]
    OtherTile { from: u64, to: u64 },
    /// A tile has a hash that the log has no entries for.
    #[error("a tile has a hash of entries that are not there: it was inserted, or they were cut off")]
    TileInserted,
    /// The right edge of the tree is another one.
    #[error("one of the entries {from} to {to} was changed, or the stored right edge of the tree")]
    OtherEdge { from: u64, to: u64 },
    /// The right edge of the tree is another one, and the entries are those that were signed.
    #[error("the stored right edge of the tree was changed")]
    Edge,
    /// The log ends before an entry that was written or signed.
    #[error("the log ends with entry {last}, and had {size} entries: the end was cut off")]
    CutOff { last: u64, size: u64 },
    /// The tree is not the one that was signed.
    #[error(
        "the entries {from} to {size} are not those that were signed in the checkpoint of {size} entries: the log was written anew \
         there"
    )]
    Rewritten { from: u64, size: u64 },
    /// More entries than a tree has leaves.
    #[error(transparent)]
    Tree(#[from] Error),
}

impl Follower {
    /// Before the first entry.
    #[must_use]
    pub fn new(noted: Noted) -> Self {
        let Noted { tiles, edge, mut heads } = noted;
        // That of no entries says nothing.
        heads.retain(|head| *head != TreeHead::EMPTY);
        heads.sort_by_key(|head| std::cmp::Reverse(head.size));
        Self { tree: Frontier::new(), last: Point::START, shown: 0, tiles, edge, heads }
    }

    /// Takes the next entry: its place, its bytes, and the hash that was noted when it was written, if that is one.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn follow(&mut self, seq: u64, bytes: &[u8], noted: Option<Hash>) -> Result<Entry, Broken> {
        let expected = self.last.seq + 1;
        if seq > expected {
            return Err(Broken::Removed { seq: expected });
        }
        if expected > self.edge.size() {
            return Err(Broken::Inserted { seq: expected });
        }
        let entry = Entry::parse(bytes).map_err(|why| Broken::Unreadable { seq: expected, why })?;
        if seq < expected || entry.seq != seq {
            return Err(Broken::Reordered { seq: expected, says: entry.seq });
        }
        let found = Hash::leaf(bytes)?;
        let noted = noted.unwrap_or(Hash::EMPTY);
        if noted != found {
            return Err(Broken::Changed { seq, found, noted });
        }
        for tile in self.tree.push(found)?.into_iter().filter(|tile| tile.level > 0) {
            if self.tiles.remove(&(tile.level, tile.index)) != Some(tile.hash) {
                let leaves = 1 << (8 * u32::from(tile.level));
                return Err(Broken::OtherTile { from: seq + 1 - leaves, to: seq });
            }
        }
        self.last = Point { seq, hash: found };
        let (size, head) = (seq, self.tree.head());
        while let Some(signed) = self.heads.pop_if(|signed| signed.size <= size) {
            if signed != head {
                return Err(Broken::Rewritten { from: self.shown + 1, size });
            }
            self.shown = size;
        }
        Ok(entry)
    }

    /// Compares the end of the log with what was noted of it, and returns the last entry's place.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn end(self) -> Result<Point, Broken> {
        let last = self.last.seq;
        let signed = self.heads.first().map_or(0, |head| head.size);
        let size = self.edge.size().max(signed);
        if size > last {
            return Err(Broken::CutOff { last, size });
        }
        if self.tree != self.edge {
            let from = self.shown + 1;
            return Err(if from > last { Broken::Edge } else { Broken::OtherEdge { from, to: last } });
        }
        if !self.tiles.is_empty() {
            return Err(Broken::TileInserted);
        }
        Ok(self.last)
    }
}

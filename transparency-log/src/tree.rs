//! The head of a tree, and a tree that grows.
//!
//! Source: RFC 6962, 2.1.

use crate::error::Error;
use crate::hash::Hash;

/// The largest tree: 2⁶³ − 1 leaves, which other implementations and databases can count too.
pub const MAX_SIZE: u64 = (1 << 63) - 1;

/// The levels of the tree from one tile to the tile above.
pub(crate) const TILE_HEIGHT: u32 = 8;

/// A tree's size and root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeHead {
    /// Number of leaves.
    pub size: u64,
    /// The hash of all of them. Of the empty tree it is [`Hash::EMPTY`].
    pub root: Hash,
}

impl TreeHead {
    /// That of the tree without leaves.
    pub const EMPTY: Self = Self { size: 0, root: Hash::EMPTY };
}

/// A hash in a tile: the root of the complete subtree over the leaves from `index` · 256^`level` to (`index` + 1) · 256^`level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TileHash {
    /// Level of the tile, from 0 (leaves) to 7.
    pub level: u8,
    /// Index among the hashes of the level. It is the hash `index` mod 256 of the tile `index` / 256.
    pub index: u64,
    /// The hash.
    pub hash: Hash,
}

/// The right edge of a tree: the roots of its complete subtrees, which is all that it takes to append.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// The largest subtree first; each has as many leaves as a one in the size counts.
    edge: Vec<Hash>,
}

impl Frontier {
    /// Of the empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Of a tree that was written down before: the roots of its complete subtrees, the largest first.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Frontier`]: another number of hashes than the size has ones in binary.
    pub fn from_edge(size: u64, edge: Vec<Hash>) -> Result<Self, Error> {
        if size > MAX_SIZE {
            return Err(Error::TooLarge);
        }
        if u64::from(size.count_ones()) != edge.len() as u64 {
            return Err(Error::Frontier { size, hashes: edge.len() });
        }
        Ok(Self { size, edge })
    }

    /// The roots of the complete subtrees, the largest first: at most 63.
    #[must_use]
    pub fn edge(&self) -> &[Hash] {
        &self.edge
    }

    /// Number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf, given its hash. Returns the hashes that come into the tiles by it: the leaf's, and one for each tile that it
    /// fills, whose parent gets its root.
    ///
    /// # Errors
    /// [`Error::TooLarge`].
    pub fn push(&mut self, leaf: Hash) -> Result<Vec<TileHash>, Error> {
        if self.size >= MAX_SIZE {
            return Err(Error::TooLarge);
        }
        let mut stored = vec![TileHash { level: 0, index: self.size, hash: leaf }];
        let mut hash = leaf;
        // Like a carry in binary: each one at the end of the size is a subtree that now has a sibling.
        for height in 1..=self.size.trailing_ones() {
            let left = self.edge.pop().expect("the edge has a hash for each one in the size");
            hash = Hash::node(&left, &hash);
            if height % TILE_HEIGHT == 0 {
                stored.push(TileHash {
                    level: (height / TILE_HEIGHT) as u8,
                    index: self.size >> height,
                    hash,
                });
            }
        }
        self.edge.push(hash);
        self.size += 1;
        Ok(stored)
    }

    /// Size and root.
    #[must_use]
    pub fn head(&self) -> TreeHead {
        TreeHead { size: self.size, root: joined(self.edge.iter().copied()) }
    }
}

/// The root over complete subtrees, given from left to right.
pub(crate) fn joined(subtrees: impl DoubleEndedIterator<Item = Hash>) -> Hash {
    subtrees.rev().reduce(|right, left| Hash::node(&left, &right)).unwrap_or(Hash::EMPTY)
}

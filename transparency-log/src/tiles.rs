//! Which tiles are needed, and what they show once they are checked.
//!
//! Source: C2SP tlog-tiles, "Merkle Tree". Between [`Plan::tiles`] and [`Tiles::check`] the caller reads them: from a database, a
//! cache or over the network, all at once or one after the other.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::Error;
use crate::hash::Hash;
use crate::proof::{ConsistencyProof, InclusionProof};
use crate::subtree::{self, Complete, Subtree};
use crate::tile::Tile;
use crate::tree::{Frontier, MAX_SIZE, TILE_HEIGHT, TreeHead, joined};

/// The tiles that are needed of one tree.
#[derive(Clone, Debug)]
pub struct Plan {
    size: u64,
    tiles: BTreeSet<Tile>,
}

impl Plan {
    /// The partial tiles at the right edge of the tree with this size, at most eight: they make its root.
    ///
    /// # Errors
    /// [`Error::TooLarge`].
    pub fn new(size: u64) -> Result<Self, Error> {
        if size > MAX_SIZE {
            return Err(Error::TooLarge);
        }
        Ok(Self { size, tiles: BTreeSet::new() }.with(Subtree::whole(size)))
    }

    /// And what shows this leaf: at most eight tiles more.
    ///
    /// # Errors
    /// [`Error::OutOfRange`].
    pub fn with_leaf(self, index: u64) -> Result<Self, Error> {
        if index >= self.size {
            return Err(Error::OutOfRange { wanted: index, size: self.size });
        }
        let path = subtree::inclusion(index, self.size);
        Ok(path.into_iter().fold(self.with(Subtree { start: index, end: index + 1 }), Self::with))
    }

    /// And what shows the older tree with this size: at most sixteen tiles more.
    ///
    /// # Errors
    /// [`Error::OutOfRange`].
    pub fn with_tree(self, old: u64) -> Result<Self, Error> {
        if old > self.size {
            return Err(Error::OutOfRange { wanted: old, size: self.size });
        }
        let path = if old == 0 { Vec::new() } else { subtree::consistency(old, self.size) };
        Ok(path.into_iter().fold(self.with(Subtree::whole(old)), Self::with))
    }

    /// The tiles, those of lower levels first.
    pub fn tiles(&self) -> impl Iterator<Item = Tile> {
        self.tiles.iter().copied()
    }

    /// The tiles with the complete nodes of a node, and those above them.
    fn with(mut self, node: Subtree) -> Self {
        for ((mut level, mut index), _) in node.complete().map(place) {
            while let Some(tile) = Tile::in_tree(level, index, self.size) {
                if !self.tiles.insert(tile) {
                    break;
                }
                (level, index) = above(&tile);
            }
        }
        self
    }
}

/// Tiles of one tree. Every hash in them is known to be that tree's, by its root.
#[derive(Clone, Debug)]
pub struct Tiles {
    head: TreeHead,
    /// The hashes of each tile, and above them those of the levels up to the next tile.
    tiles: BTreeMap<Tile, Vec<Vec<Hash>>>,
}

impl Tiles {
    /// Takes the tiles of a [`Plan`], or more of the same tree, and checks each up to the root. Whoever keeps tiles for later keeps
    /// checked ones: [`Tiles::iter`].
    ///
    /// # Errors
    /// [`Error::TileMissing`], [`Error::TileLength`], [`Error::TileOfOtherTree`], [`Error::OtherRoot`], [`Error::TooLarge`].
    pub fn check(head: TreeHead, tiles: BTreeMap<Tile, Vec<Hash>>) -> Result<Self, Error> {
        if head.size > MAX_SIZE {
            return Err(Error::TooLarge);
        }
        for (tile, hashes) in &tiles {
            if Tile::in_tree(tile.level(), tile.index(), head.size) != Some(*tile) {
                return Err(Error::TileOfOtherTree { path: tile.to_string() });
            }
            if hashes.len() != tile.width() {
                return Err(Error::TileLength { path: tile.to_string(), bytes: hashes.len() * Hash::BYTES });
            }
        }
        let found =
            Self { head, tiles: tiles.into_iter().map(|(tile, hashes)| (tile, levels(hashes))).collect() };
        if found.root_of(head.size)? != head.root {
            return Err(Error::OtherRoot);
        }
        // All hashes of the partial tiles went into the root. Of a full one the tile above has the root.
        for (tile, levels) in found.tiles.iter().filter(|(tile, _)| tile.is_full()) {
            let (height, index) = (TILE_HEIGHT * (u32::from(tile.level()) + 1), tile.index());
            if levels.last() != Some(&vec![found.complete(Complete { height, index })?]) {
                return Err(Error::TileOfOtherTree { path: tile.to_string() });
            }
        }
        Ok(found)
    }

    /// The tree.
    #[must_use]
    pub fn head(&self) -> TreeHead {
        self.head
    }

    /// The tiles with their hashes, those of lower levels first.
    pub fn iter(&self) -> impl Iterator<Item = (Tile, &[Hash])> {
        self.tiles.iter().map(|(tile, levels)| (*tile, levels[0].as_slice()))
    }

    /// The hash of a leaf.
    ///
    /// # Errors
    /// [`Error::OutOfRange`]; [`Error::TileMissing`] unless the plan was [`Plan::with_leaf`].
    pub fn leaf(&self, index: u64) -> Result<Hash, Error> {
        self.holds(index, index < self.head.size)?;
        self.complete(Complete { height: 0, index })
    }

    /// The root that the tree had with this size.
    ///
    /// # Errors
    /// [`Error::OutOfRange`]; [`Error::TileMissing`] unless the plan was [`Plan::with_tree`].
    pub fn root_of(&self, size: u64) -> Result<Hash, Error> {
        self.holds(size, size <= self.head.size)?;
        self.node(Subtree::whole(size))
    }

    /// A proof that the leaf is in the tree.
    ///
    /// # Errors
    /// As [`Tiles::leaf`].
    pub fn inclusion(&self, index: u64) -> Result<InclusionProof, Error> {
        self.holds(index, index < self.head.size)?;
        InclusionProof::new(self.nodes(subtree::inclusion(index, self.head.size))?)
    }

    /// A proof that the tree continues the older one with this size.
    ///
    /// # Errors
    /// As [`Tiles::root_of`]; [`Error::ProofTooLong`], which takes more than 2⁶² leaves.
    pub fn consistency(&self, old: u64) -> Result<ConsistencyProof, Error> {
        self.holds(old, old <= self.head.size)?;
        let path = if old == 0 { Vec::new() } else { subtree::consistency(old, self.head.size) };
        ConsistencyProof::new(self.nodes(path)?)
    }

    /// What it takes to append to the tree.
    #[must_use]
    pub fn frontier(&self) -> Frontier {
        let edge = Subtree::whole(self.head.size).complete().map(|node| self.complete(node));
        let frontier =
            edge.collect::<Result<_, _>>().and_then(|edge| Frontier::from_edge(self.head.size, edge));
        frontier.expect("the root was computed from the same nodes")
    }

    fn holds(&self, wanted: u64, it_does: bool) -> Result<(), Error> {
        if it_does { Ok(()) } else { Err(Error::OutOfRange { wanted, size: self.head.size }) }
    }

    fn nodes(&self, nodes: Vec<Subtree>) -> Result<Vec<Hash>, Error> {
        nodes.into_iter().map(|node| self.node(node)).collect()
    }

    fn node(&self, node: Subtree) -> Result<Hash, Error> {
        Ok(joined(
            node.complete().map(|node| self.complete(node)).collect::<Result<Vec<_>, _>>()?.into_iter(),
        ))
    }

    /// A complete node of the tree.
    fn complete(&self, node: Complete) -> Result<Hash, Error> {
        let ((level, index), position) = place(node);
        let outside = Error::OutOfRange { wanted: node.index, size: self.head.size };
        let tile = Tile::in_tree(level, index, self.head.size).ok_or(outside)?;
        let levels = self.tiles.get(&tile).ok_or_else(|| Error::TileMissing { path: tile.to_string() })?;
        Ok(levels[(node.height % TILE_HEIGHT) as usize][position])
    }
}

/// Where a complete node is: the level and index of its tile, and its place among the nodes of its height in that.
fn place(node: Complete) -> ((u8, u64), usize) {
    let nodes_in_tile = TILE_HEIGHT - node.height % TILE_HEIGHT; // as a power of two
    let position = node.index & ((1 << nodes_in_tile) - 1);
    (((node.height / TILE_HEIGHT) as u8, node.index >> nodes_in_tile), position as usize)
}

/// Level and index of the tile that has a full tile's root.
fn above(tile: &Tile) -> (u8, u64) {
    (tile.level() + 1, tile.index() >> TILE_HEIGHT)
}

/// A tile's hashes, and above them the complete nodes of each level up to the tile's own root.
fn levels(hashes: Vec<Hash>) -> Vec<Vec<Hash>> {
    let above = |below: &Vec<Hash>| {
        let pairs = below.as_chunks().0.iter();
        (below.len() > 1).then(|| pairs.map(|[left, right]| Hash::node(left, right)).collect())
    };
    std::iter::successors(Some(hashes), above).collect()
}

//! A log in memory that keeps what `Frontier::push` returns and nothing else.

use std::collections::BTreeMap;

use transparency_log::{Frontier, Hash, Plan, Tile, Tiles, TreeHead};

pub(crate) fn entry(index: u64) -> Vec<u8> {
    format!("entry {index}").into_bytes()
}

pub(crate) fn leaf(index: u64) -> Hash {
    Hash::leaf(&entry(index)).unwrap()
}

#[derive(Default)]
pub(crate) struct Log {
    frontier: Frontier,
    stored: BTreeMap<(u8, u64), Hash>,
    /// Of every size, from that of the empty tree.
    pub(crate) heads: Vec<TreeHead>,
}

impl Log {
    pub(crate) fn of(size: u64) -> Self {
        let mut log = Self { heads: vec![TreeHead::EMPTY], ..Self::default() };
        (0..size).for_each(|_| log.push());
        log
    }

    pub(crate) fn push(&mut self) {
        for stored in self.frontier.push(leaf(self.frontier.size())).unwrap() {
            assert!(self.stored.insert((stored.level, stored.index), stored.hash).is_none());
        }
        self.heads.push(self.frontier.head());
    }

    pub(crate) fn hashes(&self, tile: Tile) -> Vec<Hash> {
        let first = tile.index() * 256;
        (first..first + tile.width() as u64).map(|index| self.stored[&(tile.level(), index)]).collect()
    }

    pub(crate) fn read(&self, plan: &Plan) -> BTreeMap<Tile, Vec<Hash>> {
        plan.tiles().map(|tile| (tile, self.hashes(tile))).collect()
    }

    pub(crate) fn all_tiles(&self, head: TreeHead) -> Tiles {
        let tiles =
            (0..8).flat_map(|level| (0..).map_while(move |index| Tile::in_tree(level, index, head.size)));
        Tiles::check(head, tiles.map(|tile| (tile, self.hashes(tile))).collect()).unwrap()
    }
}

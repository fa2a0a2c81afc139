//! Hash tiles: which there are, their paths and their bytes.
//!
//! Source: C2SP tlog-tiles, "Merkle Tree". A tile has up to 256 hashes of one level; those of level 0 are leaves, and each one above
//! is the root of a full tile of the level below.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;
use crate::hash::Hash;
use crate::tree::{MAX_SIZE, TILE_HEIGHT};

/// Hashes in a full tile.
const FULL: u64 = 1 << TILE_HEIGHT;

/// Which tile it is. Displays and parses as its path: `tile/0/x001/x234/067`, and `tile/0/x001/x234/067.p/5` if it has 5 hashes
/// so far.
///
/// Every `Tile` is one of a tree of at most 2⁶³ − 1 leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    level: u8,
    index: u64,
    width: u16,
}

impl Tile {
    /// The tile of a level from 0, with an index among those of its level, that has `width` hashes: 1 to 256.
    ///
    /// # Errors
    /// [`Error::TilePath`]: no tree of at most 2⁶³ − 1 leaves has such a tile.
    pub fn new(level: u8, index: u64, width: u16) -> Result<Self, Error> {
        let hashes = index.checked_mul(FULL).and_then(|before| before.checked_add(width.into()));
        let in_a_tree = hashes.is_some_and(|hashes| hashes <= hashes_of_level(level, MAX_SIZE));
        if !in_a_tree || !(1..=FULL).contains(&width.into()) {
            return Err(Error::TilePath);
        }
        Ok(Self { level, index, width })
    }

    /// The tile as it is in a tree of this size, partial or full. `None` if the tree has no hash of it.
    #[must_use]
    pub fn in_tree(level: u8, index: u64, size: u64) -> Option<Self> {
        let hashes = hashes_of_level(level, size.min(MAX_SIZE));
        let width = hashes.checked_sub(index.checked_mul(FULL)?)?.min(FULL);
        (width > 0).then_some(Self { level, index, width: width as u16 })
    }

    /// The level, 0 to 7.
    #[must_use]
    pub fn level(&self) -> u8 {
        self.level
    }

    /// The index among the tiles of its level. Its first hash is the hash `index` · 256 of the level.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// How many hashes it has: 1 to 256.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width.into()
    }

    /// Whether it has all of its 256 hashes.
    #[must_use]
    pub fn is_full(&self) -> bool {
        u64::from(self.width) == FULL
    }

    /// Whether a tree of this size has all of its hashes. A log serves it then, although it may have a wider one by now: clients ask
    /// for the widths that belong to the checkpoints that they have.
    #[must_use]
    pub fn is_in(&self, size: u64) -> bool {
        Self::in_tree(self.level, self.index, size).is_some_and(|tile| tile.width >= self.width)
    }

    /// The tile with the same place that has all of its hashes: a log may have nothing else once it is there.
    #[must_use]
    pub fn full(&self) -> Option<Self> {
        Self::new(self.level, self.index, FULL as u16).ok()
    }

    /// Reads the hashes from a tile's bytes: 32 for each. The bytes may also be those of the full tile, of which the first hashes are
    /// taken. Nothing is verified.
    ///
    /// # Errors
    /// [`Error::TileLength`].
    pub fn parse_hashes(&self, bytes: &[u8]) -> Result<Vec<Hash>, Error> {
        let (hashes, rest) = bytes.as_chunks();
        if !rest.is_empty() || (hashes.len() != self.width() && hashes.len() as u64 != FULL) {
            return Err(Error::TileLength { path: self.to_string(), bytes: bytes.len() });
        }
        Ok(hashes[..self.width()].iter().map(|hash| Hash::from_bytes(*hash)).collect())
    }
}

/// How many hashes the tiles of a level have together.
fn hashes_of_level(level: u8, size: u64) -> u64 {
    size.checked_shr(u32::from(level) * TILE_HEIGHT).unwrap_or(0)
}

impl FromStr for Tile {
    type Err = Error;

    fn from_str(path: &str) -> Result<Self, Error> {
        parse(path).filter(|tile| tile.to_string() == path).ok_or(Error::TilePath)
    }
}

/// Reads a path, and others that mean the same.
fn parse(path: &str) -> Option<Tile> {
    let (level, place) = path.strip_prefix("tile/")?.split_once('/')?;
    let (index, width) = place.split_once(".p/").unwrap_or((place, "256"));
    let index = index.split('/').try_fold(0_u64, |index, group| {
        let group: u64 = group.trim_start_matches('x').parse().ok()?;
        index.checked_mul(1000)?.checked_add(group)
    });
    Tile::new(level.parse().ok()?, index?, width.parse().ok()?).ok()
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tile/{}/", self.level)?;
        // Groups of three digits, from the left: 2^55 has six of them.
        let groups = (1..7).rev().map(|group| self.index / 1000_u64.pow(group));
        groups.filter(|above| *above > 0).try_for_each(|above| write!(f, "x{:03}/", above % 1000))?;
        write!(f, "{:03}", self.index % 1000)?;
        if self.is_full() { Ok(()) } else { write!(f, ".p/{}", self.width) }
    }
}

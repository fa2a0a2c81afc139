//! The Merkle tree over the audit log ([`transparency_log`]). The hash of each leaf stands beside its entry. The table `tile` has the
//! hashes above: one for each tile of 256 hashes that is full. What it takes to append is in the row of the log's end, which
//! everybody takes who writes.

use std::collections::BTreeMap;

use transparency_log::{Frontier, Hash, Plan, Tile, Tiles, TreeHead};

use super::log_end::{End, column};
use super::sql::{Row, Sql, values};
use super::{Store, StoreError, parsed};
use crate::audit::Broken;

impl End {
    pub(super) fn read(sql: &Sql<'_>) -> Result<Self, StoreError> {
        if let Some(end) = sql.end() {
            return Ok(end);
        }
        let end = "SELECT size, edge, generation FROM log_end WHERE is_only = true";
        sql.one(end, values![], |row| Self::of(row.get(0)?, row.get(1)?, row.get(2)?))
    }

    /// Notes that the log goes on as a new generation.
    pub(super) fn begin(transaction: &Sql<'_>, generation: u64) -> Result<(), StoreError> {
        Self { generation, ..Self::read(transaction)? }.write(transaction)
    }

    /// Adds the next leaf, whose hash the caller writes beside its entry.
    pub(super) fn grow(&mut self, transaction: &Sql<'_>, leaf: Hash) -> Result<(), StoreError> {
        let new = self.tree.push(leaf).map_err(|error| StoreError::Entry(error.to_string()))?;
        for tile in new.into_iter().filter(|tile| tile.level > 0) {
            let insert = "INSERT INTO tile (level, number, hash) VALUES (?, ?, ?)";
            let (level, number) = (i64::from(tile.level), column(tile.index)?);
            transaction.run(insert, values![level, number, &tile.hash.to_string()])?;
        }
        self.write(transaction)
    }

    /// Writes it down.
    pub(super) fn write(&self, transaction: &Sql<'_>) -> Result<(), StoreError> {
        transaction.note_end(self.clone());
        let edge: Vec<_> = self.tree.edge().iter().map(Hash::to_string).collect();
        let update = "UPDATE log_end SET size = ?, edge = ?, generation = ? WHERE is_only = true";
        let (size, generation) = (column(self.tree.size())?, column(self.generation)?);
        transaction.run(update, values![size, &edge.join(" "), generation])
    }
}

/// Makes the tree of a log that has none.
pub(super) fn plant(transaction: &Sql<'_>) -> Result<(), StoreError> {
    let entries = "SELECT entry FROM audit ORDER BY seq";
    let entries = transaction.all(entries, values![], |row| row.get::<String>(0))?;
    let mut end = End { tree: Frontier::new(), generation: 1 };
    for entry in entries {
        let leaf = Hash::leaf(entry.as_bytes()).map_err(|error| StoreError::Entry(error.to_string()))?;
        let update = "UPDATE audit SET hash = ? WHERE seq = ?";
        transaction.execute(update, values![&leaf.to_string(), column(end.tree.size() + 1)?])?;
        end.grow(transaction, leaf)?;
    }
    Ok(())
}

/// The tree up to the log's end, with what shows an older one in it.
pub(super) fn tiles(sql: &Sql<'_>, end: TreeHead, old: u64) -> Result<Tiles, StoreError> {
    let damaged = |error: transparency_log::Error| StoreError::Damaged(format!("the log's tree: {error}"));
    let plan = Plan::new(end.size).and_then(|plan| plan.with_tree(old)).map_err(damaged)?;
    let mut tiles = BTreeMap::new();
    for tile in plan.tiles() {
        tiles.insert(tile, hashes(sql, &tile)?);
    }
    Tiles::check(end, tiles).map_err(damaged)
}

/// Checks that the tree continues an older one.
///
/// # Errors
/// [`StoreError::Damaged`].
pub(super) fn continues(sql: &Sql<'_>, end: TreeHead, old: TreeHead) -> Result<(), StoreError> {
    let broken = |broken: Broken| StoreError::Damaged(format!("in the audit log, {broken}"));
    if old.size > end.size {
        return Err(broken(Broken::CutOff { last: end.size, size: old.size }));
    }
    match tiles(sql, end, old.size)?.root_of(old.size) {
        Ok(root) if root == old.root => Ok(()),
        _ => Err(broken(Broken::Rewritten { from: 1, size: old.size })),
    }
}

/// The hashes that the log has of a tile.
fn hashes(sql: &Sql<'_>, tile: &Tile) -> Result<Vec<Hash>, StoreError> {
    let first = tile.index() << 8;
    let (first, last) = (column(first)?, column(first + tile.width() as u64 - 1)?);
    let hash = |row: &Row<'_>| parsed(row.get(0)?);
    let hashes = if tile.level() == 0 {
        let leaves = "SELECT hash FROM audit WHERE seq BETWEEN ? AND ? ORDER BY seq";
        sql.all(leaves, values![first + 1, last + 1], hash)?
    } else {
        let nodes = "SELECT hash FROM tile WHERE level = ? AND number BETWEEN ? AND ? ORDER BY number";
        sql.all(nodes, values![i64::from(tile.level()), first, last], hash)?
    };
    if hashes.len() < tile.width() {
        return Err(StoreError::Damaged(format!("the log has lost hashes of the tile {tile}")));
    }
    Ok(hashes)
}

impl Store {
    /// The bytes of a tile that the log has.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if it has not all of it; [`StoreError::Database`].
    pub(crate) fn tile(&self, tile: &Tile) -> Result<Vec<u8>, StoreError> {
        let hashes = hashes(&self.reader()?, tile)?;
        Ok(hashes.iter().flat_map(|hash| *hash.as_bytes()).collect())
    }
}

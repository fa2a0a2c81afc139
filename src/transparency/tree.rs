//! The tree of a checkpoint: it continues those that were kept, and has the entries that it is said to have.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use transparency_log::{Error, Hash, InclusionProof, Plan, Tile, Tiles};

use super::checkpoint::Checkpoint;
use super::kept::Kept;
use super::refused::{Inconsistency, Refused};

/// Entries whose tiles are held at a time, which bounds memory whatever a registry says: they can need eight tiles of 8 KiB each.
const AT_A_TIME: usize = 256;

/// Whoever fetches tiles: the content of each, in the order of the tiles.
pub type Fetch<'a, E> = dyn Fn(&[Tile]) -> Result<Vec<Vec<u8>>, E> + 'a;

/// Why something cannot be shown.
#[derive(Debug)]
pub enum Lacking<E> {
    /// A tile cannot be had.
    Tile(E),
    /// The log is refused.
    Refused(Refused),
}

/// The tree of a checkpoint, with the tiles that were kept and those that the registry gives.
pub struct Tree<'a, E> {
    checkpoint: &'a Checkpoint,
    kept: &'a Kept,
    fetch: &'a Fetch<'a, E>,
}

impl<'a, E> Tree<'a, E> {
    /// The tree of this checkpoint.
    #[must_use]
    pub fn new(checkpoint: &'a Checkpoint, kept: &'a Kept, fetch: &'a Fetch<'a, E>) -> Self {
        Self { checkpoint, kept, fetch }
    }

    /// Whether it continues a tree that was seen before.
    ///
    /// # Errors
    /// [`Lacking`]; [`Refused::Inconsistent`] with the evidence.
    pub fn continues(&self, seen: &Checkpoint) -> Result<(), Lacking<E>> {
        let (kept, served) = (seen.head.size, self.checkpoint.head.size);
        let (has_it, tiles) = self.has(seen)?;
        match served.cmp(&kept) {
            _ if has_it => Ok(()),
            Ordering::Less => Err(self.inconsistent(Inconsistency::Cut { kept, served }, seen, None)),
            Ordering::Equal => Err(self.inconsistent(Inconsistency::Forked { size: kept }, seen, None)),
            Ordering::Greater => {
                Err(self.inconsistent(Inconsistency::Rewritten { kept, served }, seen, tiles.as_ref()))
            }
        }
    }

    /// Whether it begins with all entries of a tree that was seen before, be that one of another generation.
    ///
    /// # Errors
    /// [`Lacking`].
    pub fn begins_with(&self, seen: &Checkpoint) -> Result<bool, Lacking<E>> {
        self.has(seen).map(|(has_it, _)| has_it)
    }

    /// The same, with the tiles that show it if there have to be any.
    fn has(&self, seen: &Checkpoint) -> Result<(bool, Option<Tiles>), Lacking<E>> {
        let (old, new) = (seen.head, self.checkpoint.head);
        if old.size >= new.size {
            return Ok((old == new, None));
        }
        let tiles = self.tiles(&self.plan()?.with_tree(old.size).map_err(refused)?)?;
        let root = tiles.root_of(old.size).map_err(refused)?;
        Ok((root == old.root, Some(tiles)))
    }

    /// The proofs that these entries, each an index and a hash, are in it; `None` for one that is not. All indexes are below its size.
    ///
    /// # Errors
    /// [`Lacking`].
    pub fn inclusions(&self, entries: &[(u64, Hash)]) -> Result<Vec<Option<InclusionProof>>, Lacking<E>> {
        let mut order: Vec<usize> = (0..entries.len()).collect();
        order.sort_by_key(|place| entries[*place].0); // neighbours share tiles
        let mut found = vec![None; entries.len()];
        for some in order.chunks(AT_A_TIME) {
            let mut plan = self.plan()?;
            for place in some {
                plan = plan.with_leaf(entries[*place].0).map_err(refused)?;
            }
            let tiles = self.tiles(&plan)?;
            for place in some {
                let (index, leaf) = entries[*place];
                if tiles.leaf(index).map_err(refused)? == leaf {
                    found[*place] = Some(tiles.inclusion(index).map_err(refused)?);
                }
            }
        }
        Ok(found)
    }

    fn plan(&self) -> Result<Plan, Lacking<E>> {
        Plan::new(self.checkpoint.head.size).map_err(refused)
    }

    /// The tiles of a plan: those that are kept, and what the registry gives of the others. All are checked.
    fn tiles(&self, plan: &Plan) -> Result<Tiles, Lacking<E>> {
        let kept: BTreeMap<_, _> =
            plan.tiles().filter_map(|tile| Some((tile, self.kept.tile(&tile)?))).collect();
        let are_kept = !kept.is_empty();
        match self.checked(plan, kept) {
            // Whoever can write there may have, or the disk has lost something.
            Err(Lacking::Refused(_)) if are_kept => self.checked(plan, BTreeMap::new()),
            result => result,
        }
    }

    fn checked(&self, plan: &Plan, mut tiles: BTreeMap<Tile, Vec<Hash>>) -> Result<Tiles, Lacking<E>> {
        let missing: Vec<_> = plan.tiles().filter(|tile| !tiles.contains_key(tile)).collect();
        if !missing.is_empty() {
            let fetched = (self.fetch)(&missing).map_err(Lacking::Tile)?;
            for (tile, bytes) in missing.iter().zip(fetched) {
                tiles.insert(*tile, tile.parse_hashes(&bytes).map_err(refused)?);
            }
        }
        let tiles = Tiles::check(self.checkpoint.head, tiles).map_err(refused)?;
        for (tile, hashes) in tiles.iter().filter(|(tile, _)| missing.binary_search(tile).is_ok()) {
            self.kept.keep_tile(&tile, hashes);
        }
        Ok(tiles)
    }

    /// Both checkpoints, and what shows that the newer is not of a tree that continues the older: the root that its first entries have,
    /// with the proof that it is theirs.
    fn inconsistent(&self, what: Inconsistency, seen: &Checkpoint, tiles: Option<&Tiles>) -> Lacking<E> {
        let head = match what {
            Inconsistency::Cut { .. } => "An older or shorter log was shown than was seen before",
            _ => "Two checkpoints of one log, of which neither continues the other",
        };
        let mut evidence = format!(
            "{head}: {what}.\n\n\
             The one that was kept:\n\n{}\nThe one that was served:\n\n{}",
            seen.signed, self.checkpoint.signed
        );
        let size = seen.head.size;
        let proof = tiles.and_then(|tiles| Some((tiles.root_of(size).ok()?, tiles.consistency(size).ok()?)));
        if let Some((root, proof)) = proof {
            evidence += &format!(
                "\nThe root of the first {size} entries that were served, and the consistency proof from it:\n\n{root}\n"
            );
            evidence.extend(proof.hashes().iter().map(|hash| format!("{hash}\n")));
        }
        Lacking::Refused(Refused::Inconsistent { what, kept_in: self.kept.keep_evidence(&evidence) })
    }
}

fn refused<E>(error: Error) -> Lacking<E> {
    Lacking::Refused(Refused::Tiles(error))
}

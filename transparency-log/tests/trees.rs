//! Trees of every size up to 300 and more: roots, tiles and proofs, and that nothing else than what is right verifies.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeMap;

use proptest::prelude::*;
use transparency_log::{
    ConsistencyProof, Error, Frontier, Hash, InclusionProof, MAX_PROOF_HASHES, MAX_SIZE, Plan, Tile, Tiles,
    TreeHead,
};

use support::{Log, entry, leaf};

/// Enough for a full tile, and for a second one.
const LARGEST: u64 = 300;

/// RFC 6962, 2.1, word for word.
fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash::EMPTY,
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            Hash::node(&root(left), &root(right))
        }
    }
}

#[test]
fn roots_are_those_of_the_definition() {
    let log = Log::of(LARGEST);
    let leaves: Vec<_> = (0..LARGEST).map(leaf).collect();
    for (size, head) in log.heads.iter().enumerate() {
        assert_eq!(*head, TreeHead { size: size as u64, root: root(&leaves[..size]) });
    }
    assert_eq!(log.heads[0], TreeHead::EMPTY);
}

#[test]
fn every_leaf_is_shown_in_every_tree_and_nowhere_else() {
    let log = Log::of(LARGEST);
    for head in &log.heads[1..] {
        let tiles = log.all_tiles(*head);
        for index in 0..head.size {
            assert_eq!(tiles.leaf(index), Ok(leaf(index)));
            let proof = tiles.inclusion(index).unwrap();
            proof.verify(index, leaf(index), *head).unwrap();
            let refused = Err(Error::Inclusion { index, size: head.size });
            assert_eq!(proof.verify(index, leaf(index + 1), *head), refused);
        }
        // An index beyond would have the last leaf's path.
        let last = head.size - 1;
        let proof = tiles.inclusion(last).unwrap();
        for beyond in [head.size, head.size + 1, 2 * head.size, u64::MAX] {
            let refused = Err(Error::Inclusion { index: beyond, size: head.size });
            assert_eq!(proof.verify(beyond, leaf(last), *head), refused);
        }
        let outside = Error::OutOfRange { wanted: head.size, size: head.size };
        assert_eq!(tiles.leaf(head.size), Err(outside.clone()));
        assert_eq!(tiles.inclusion(head.size), Err(outside));
    }
}

#[test]
fn every_tree_is_shown_to_continue_every_smaller_one() {
    let log = Log::of(LARGEST);
    for new in &log.heads {
        let tiles = log.all_tiles(*new);
        for old in &log.heads[..=new.size as usize] {
            assert_eq!(tiles.root_of(old.size), Ok(old.root));
            let proof = tiles.consistency(old.size).unwrap();
            proof.verify(*old, *new).unwrap();
            if old.size < new.size {
                let refused = Err(Error::Consistency { old: new.size, new: old.size });
                assert_eq!(proof.verify(*new, *old), refused);
            }
        }
    }
}

#[test]
fn a_plan_names_what_is_needed_and_a_tile_less_is_not_enough() {
    let log = Log::of(66_000);
    let head = *log.heads.last().unwrap();
    for wanted in [0, 255, 256, 65_535, 65_536, 65_999] {
        let plan = Plan::new(head.size).unwrap().with_leaf(wanted).unwrap().with_tree(wanted).unwrap();
        let tiles = log.read(&plan);
        assert!(tiles.len() <= 7, "{wanted}: {tiles:?}");
        let checked = Tiles::check(head, tiles.clone()).unwrap();
        assert_eq!(checked.leaf(wanted), Ok(leaf(wanted)));
        checked.inclusion(wanted).unwrap().verify(wanted, leaf(wanted), head).unwrap();
        assert_eq!(checked.root_of(wanted), Ok(log.heads[wanted as usize].root));
        checked.consistency(wanted).unwrap().verify(log.heads[wanted as usize], head).unwrap();
        for missing in tiles.keys() {
            let mut fewer = tiles.clone();
            fewer.remove(missing);
            let found = Tiles::check(head, fewer).and_then(|tiles| {
                tiles.leaf(wanted)?;
                tiles.inclusion(wanted)?;
                tiles.root_of(wanted)?;
                tiles.consistency(wanted)
            });
            assert_eq!(found, Err(Error::TileMissing { path: missing.to_string() }));
        }
    }
}

#[test]
fn a_log_goes_on_from_its_tiles() {
    let mut log = Log::of(65_800);
    let head = *log.heads.last().unwrap();
    let tiles = Tiles::check(head, log.read(&Plan::new(head.size).unwrap())).unwrap();
    let mut frontier = tiles.frontier();
    assert_eq!(frontier.head(), head);
    assert_eq!(Frontier::from_edge(head.size, frontier.edge().to_vec()).unwrap(), frontier);
    let stored = frontier.push(leaf(head.size)).unwrap();
    log.push();
    assert_eq!((frontier.head(), stored.len()), (*log.heads.last().unwrap(), 1));
}

#[test]
fn a_tile_of_another_tree_is_refused() {
    let log = Log::of(LARGEST);
    let head = *log.heads.last().unwrap();
    let good = log.read(&Plan::new(head.size).unwrap().with_leaf(0).unwrap());
    let (full, edge, top): (Tile, Tile, Tile) = (
        "tile/0/000".parse().unwrap(),
        "tile/0/001.p/44".parse().unwrap(),
        "tile/1/000.p/1".parse().unwrap(),
    );
    assert_eq!(good.keys().copied().collect::<Vec<_>>(), [full, edge, top]);
    for (tile, refused) in [
        (full, Error::TileOfOtherTree { path: full.to_string() }),
        (edge, Error::OtherRoot),
        (top, Error::OtherRoot),
    ] {
        for hash in [0, tile.width() - 1] {
            let mut changed = good.clone();
            changed.get_mut(&tile).unwrap()[hash] = leaf(1_000);
            assert_eq!(Tiles::check(head, changed).unwrap_err(), refused);
        }
        let mut shorter = good.clone();
        shorter.get_mut(&tile).unwrap().pop();
        assert_eq!(
            Tiles::check(head, shorter).unwrap_err(),
            Error::TileLength { path: tile.to_string(), bytes: 32 * (tile.width() - 1) }
        );
    }
    for other in ["tile/0/001.p/43", "tile/0/001", "tile/0/002", "tile/2/000.p/1"] {
        let other: Tile = other.parse().unwrap();
        let mut more = good.clone();
        more.insert(other, vec![leaf(0); other.width()]);
        assert_eq!(Tiles::check(head, more).unwrap_err(), Error::TileOfOtherTree { path: other.to_string() });
    }
    assert_eq!(
        Tiles::check(TreeHead { size: head.size - 1, ..head }, good).unwrap_err(),
        Error::TileOfOtherTree { path: edge.to_string() }
    );
    assert_eq!(
        Tiles::check(TreeHead { size: 0, root: leaf(0) }, BTreeMap::new()).unwrap_err(),
        Error::OtherRoot
    );
    Tiles::check(TreeHead::EMPTY, BTreeMap::new()).unwrap();
}

#[test]
fn a_full_tile_stands_in_for_a_partial_one() {
    let log = Log::of(LARGEST);
    let full: Tile = "tile/0/000".parse().unwrap();
    let bytes: Vec<u8> = log.hashes(full).iter().flat_map(|hash| *hash.as_bytes()).collect();
    let partial = Tile::in_tree(0, 0, 5).unwrap();
    assert_eq!((partial.to_string().as_str(), partial.full()), ("tile/0/000.p/5", Some(full)));
    for (size, partial_is, full_is) in
        [(0, false, false), (4, false, false), (5, true, false), (255, true, false), (256, true, true)]
    {
        assert_eq!((partial.is_in(size), full.is_in(size)), (partial_is, full_is), "{size}");
    }
    assert_eq!(full.parse_hashes(&bytes), Ok(log.hashes(full)));
    assert_eq!(partial.parse_hashes(&bytes), Ok(log.hashes(partial)));
    assert_eq!(partial.parse_hashes(&bytes[..160]), Ok(log.hashes(partial)));
    for length in [0, 128, 159, 161, 192, 8_191, 8_193, 8_224] {
        let bytes = [bytes.as_slice(), &[0; 32]].concat();
        assert_eq!(
            partial.parse_hashes(&bytes[..length]),
            Err(Error::TileLength { path: partial.to_string(), bytes: length })
        );
    }
}

#[test]
fn what_is_too_large_is_refused() {
    assert_eq!(Hash::leaf(&[0; 65_536]), Err(Error::LeafTooLong { bytes: 65_536 }));
    Hash::leaf(&[0; 65_535]).unwrap();
    assert_eq!(InclusionProof::new(vec![leaf(0); 64]), Err(Error::ProofTooLong));
    assert_eq!(ConsistencyProof::new(vec![leaf(0); 64]), Err(Error::ProofTooLong));
    assert_eq!(Plan::new(MAX_SIZE + 1).unwrap_err(), Error::TooLarge);
    let huge = TreeHead { size: MAX_SIZE + 1, root: leaf(0) };
    assert_eq!(Tiles::check(huge, BTreeMap::new()).unwrap_err(), Error::TooLarge);
    assert_eq!(Frontier::from_edge(MAX_SIZE + 1, vec![leaf(0)]), Err(Error::TooLarge));
    assert_eq!(Frontier::from_edge(3, vec![leaf(0)]), Err(Error::Frontier { size: 3, hashes: 1 }));
    let mut full = Frontier::from_edge(MAX_SIZE, vec![leaf(0); 63]).unwrap();
    assert_eq!(full.push(leaf(1)), Err(Error::TooLarge));
    let mut almost = Frontier::from_edge(MAX_SIZE - 1, vec![leaf(0); 62]).unwrap();
    almost.push(leaf(1)).unwrap();
    assert_eq!(almost.size(), MAX_SIZE);
}

#[test]
fn the_largest_tree_has_few_tiles() {
    let plan = Plan::new(MAX_SIZE).unwrap();
    assert_eq!(plan.tiles().count(), 8);
    let plan = plan.with_leaf(0).unwrap().with_leaf(MAX_SIZE - 1).unwrap().with_tree(MAX_SIZE / 3).unwrap();
    assert!(plan.tiles().count() <= 32, "{plan:?}");
    assert_eq!(plan.with_leaf(MAX_SIZE).unwrap_err(), Error::OutOfRange { wanted: MAX_SIZE, size: MAX_SIZE });
}

#[test]
fn paths_that_are_none_are_refused() {
    for path in [
        "",
        "tile",
        "tile/0",
        "tile/0/",
        "/tile/0/001",
        "tile/0/001/",
        "tile/0/1",
        "tile/0/0001",
        "tile/0/x001",
        "tile/0/001/002",
        "tile/0/x001/x002",
        "tile/0/x000/001",
        "tile/0/xx001/001",
        "tile/0/001.p/0",
        "tile/0/001.p/256",
        "tile/0/001.p/257",
        "tile/0/001.p/05",
        "tile/0/001.p/+5",
        "tile/0/001.p/",
        "tile/0/001.p/5/6",
        "tile/0/-01",
        "tile/0/+01",
        "tile/0/\u{661}\u{661}\u{661}",
        "tile/00/001",
        "tile/+0/001",
        "tile/-1/001",
        "tile/7/000",
        "tile/7/000.p/128",
        "tile/8/000.p/1",
        "tile/63/000.p/1",
        "tile/256/000",
        "tile/entries/000",
        "tile/0/x036/x028/x797/x018/x963/967",
        "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
        "tile/5/x3123/456/078",
        "tile/8/0/001",
    ] {
        assert_eq!(path.parse::<Tile>(), Err(Error::TilePath), "{path}");
    }
}

proptest! {
    #[test]
    fn no_changed_inclusion_proof_verifies(size in 1..LARGEST, index in 0..LARGEST, at in any::<prop::sample::Index>(), bit in 0..256_usize) {
        let index = index % size;
        let log = Log::of(size);
        let head = *log.heads.last().unwrap();
        let proof = log.all_tiles(head).inclusion(index).unwrap();
        let verify = |hashes: Vec<Hash>, leaf, head| InclusionProof::new(hashes).unwrap().verify(index, leaf, head);
        let hashes = proof.hashes().to_vec();
        prop_assert!(verify(hashes.clone(), leaf(index), head).is_ok());
        prop_assert!(verify(hashes.clone(), flipped(leaf(index), bit), head).is_err());
        prop_assert!(verify(hashes.clone(), leaf(index), with_flipped(head, bit)).is_err());
        for changed in changes(hashes, at, bit) {
            prop_assert!(verify(changed, leaf(index), head).is_err());
        }
    }

    #[test]
    fn no_changed_consistency_proof_verifies(new in 2..LARGEST, old in 1..LARGEST, at in any::<prop::sample::Index>(), bit in 0..256_usize) {
        let old = 1 + old % (new - 1);
        let log = Log::of(new);
        let (old, new) = (log.heads[old as usize], log.heads[new as usize]);
        let proof = log.all_tiles(new).consistency(old.size).unwrap();
        let verify = |hashes: Vec<Hash>, old, new| ConsistencyProof::new(hashes).unwrap().verify(old, new);
        let hashes = proof.hashes().to_vec();
        prop_assert!(verify(hashes.clone(), old, new).is_ok());
        prop_assert!(verify(hashes.clone(), with_flipped(old, bit), new).is_err());
        prop_assert!(verify(hashes.clone(), old, with_flipped(new, bit)).is_err());
        for changed in changes(hashes, at, bit) {
            prop_assert!(verify(changed, old, new).is_err());
        }
    }

    #[test]
    fn verifying_anything_ends(numbers in any::<[u64; 3]>(), hashes in 0..=MAX_PROOF_HASHES) {
        let [index, old, new] = numbers;
        let (old, new) = (TreeHead { size: old, root: leaf(0) }, TreeHead { size: new, root: leaf(1) });
        let hashes = vec![leaf(2); hashes];
        prop_assert!(InclusionProof::new(hashes.clone()).unwrap().verify(index, leaf(0), new).is_err());
        prop_assert!(ConsistencyProof::new(hashes).unwrap().verify(old, new).is_err());
        let _ = Plan::new(new.size).and_then(|plan| plan.with_leaf(index)).and_then(|plan| plan.with_tree(old.size));
    }

    #[test]
    fn a_path_is_that_of_its_tile(level in 0..8_u8, index: u64, width in 1..=256_u16, shift in 0..64) {
        if let Ok(tile) = Tile::new(level, index >> shift, width) {
            prop_assert_eq!(tile.to_string().parse(), Ok(tile));
            prop_assert_eq!((tile.level(), tile.index(), tile.width()), (level, index >> shift, width.into()));
        }
    }

    #[test]
    fn anything_is_a_path_in_one_spelling_or_none(path in "(tile/)?[0-9x./p+-]{0,40}") {
        if let Ok(tile) = path.parse::<Tile>() {
            prop_assert_eq!(tile.to_string(), path);
        }
    }
}

#[test]
fn a_leaf_is_no_node_and_no_other_entry() {
    let (left, right) = (leaf(0), leaf(1));
    let forged = [left.as_bytes().as_slice(), right.as_bytes()].concat();
    assert_ne!(Hash::leaf(&forged).unwrap(), Hash::node(&left, &right));
    assert_ne!(Hash::leaf(&entry(0)).unwrap(), Hash::leaf(&entry(1)).unwrap());
}

/// With one bit changed, one hash less, one more, and two in another order.
fn changes(hashes: Vec<Hash>, at: prop::sample::Index, bit: usize) -> Vec<Vec<Hash>> {
    let mut longer = hashes.clone();
    longer.insert(at.index(hashes.len() + 1), leaf(bit as u64));
    if hashes.is_empty() {
        return vec![longer];
    }
    let at = at.index(hashes.len());
    let (mut changed, mut shorter, mut turned) = (hashes.clone(), hashes.clone(), hashes.clone());
    changed[at] = flipped(hashes[at], bit);
    shorter.remove(at);
    turned.swap(0, at);
    let mut all = vec![longer, changed, shorter];
    all.extend((turned != hashes).then_some(turned));
    all
}

fn flipped(hash: Hash, bit: usize) -> Hash {
    let mut bytes = *hash.as_bytes();
    bytes[bit / 8] ^= 1 << (bit % 8);
    Hash::from_bytes(bytes)
}

fn with_flipped(head: TreeHead, bit: usize) -> TreeHead {
    TreeHead { root: flipped(head.root, bit), ..head }
}

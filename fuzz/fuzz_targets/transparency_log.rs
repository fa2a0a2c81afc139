//! Any bytes in place of what a log, a witness or a file says, and trees whose proofs are changed.
//!
//! The first byte says which: even, the rest is a text of any of the formats; odd, the next two are an older and a newer size, and
//! the rest is put in place of the hashes of their proofs.
#![no_main]

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use libfuzzer_sys::fuzz_target;
use transparency_log::{
    AddCheckpoint, Checkpoint, ConsistencyProof, Frontier, Hash, InclusionProof, Note, Origin, Plan,
    Signature, SignedCheckpoint, Tile, Tiles, TlogProof, TreeHead, Verifier,
};

/// The key of the seeds: the private one is 32 bytes 01.
const LOG: &str = "registry.example/index+7c65a346+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c";

fuzz_target!(|input: &[u8]| {
    match input {
        [how, text @ ..] if how % 2 == 0 => std::str::from_utf8(text).map(text_of_a_log).unwrap_or_default(),
        [_, old, new, hashes @ ..] => proofs((*old).into(), (*new).into(), hashes),
        _ => {}
    }
});

fn text_of_a_log(text: &str) {
    one_spelling::<Note>(text);
    one_spelling::<Signature>(text);
    one_spelling::<Checkpoint>(text);
    one_spelling::<Hash>(text);
    one_spelling::<Origin>(text);
    one_spelling::<Verifier>(text);
    let log: Verifier = LOG.parse().expect("a key");
    let head = TreeHead { size: 5, root: Hash::EMPTY };
    if let Some(tile) = one_spelling::<Tile>(text) {
        assert_eq!(Tile::new(tile.level(), tile.index(), tile.width() as u16), Ok(tile));
    }
    if let Some(signed) = one_spelling::<SignedCheckpoint>(text) {
        let origin = signed.unverified().origin();
        let verified = signed.verify(origin, &log, &[]);
        assert!(verified.is_err() || origin.as_str() == "registry.example/index", "it signed no other");
    }
    if let Some(request) = one_spelling::<AddCheckpoint>(text) {
        assert!(request.continues(Some(head)).is_err(), "no tree has that root");
        let _ = request.continues(None);
    }
    if let Some(proof) = one_spelling::<TlogProof>(text) {
        let origin = proof.checkpoint().unverified().origin();
        assert!(proof.verify(Hash::EMPTY, origin, &log, &[]).is_err(), "no leaf has that hash");
    }
}

fn one_spelling<T: FromStr + Display>(text: &str) -> Option<T> {
    let read = text.parse::<T>().ok()?;
    assert_eq!(read.to_string(), text, "one spelling");
    Some(read)
}

/// What somebody puts in place of a proof verifies if it is the proof, and not otherwise.
fn proofs(old: u64, new: u64, given: &[u8]) {
    let (mut frontier, mut hashes, mut heads) = (Frontier::new(), Vec::new(), vec![TreeHead::EMPTY]);
    for index in 0..new {
        hashes.push(Hash::leaf(&index.to_be_bytes()).expect("short"));
        frontier.push(hashes[index as usize]).expect("small");
        heads.push(frontier.head());
    }
    let head = frontier.head();
    let tiles = Tile::in_tree(0, 0, new).map(|tile| (tile, hashes.clone()));
    let tiles = Tiles::check(head, BTreeMap::from_iter(tiles)).expect("they are its tiles");
    let given: Vec<_> = given.as_chunks().0.iter().map(|hash| Hash::from_bytes(*hash)).collect();
    if old > new {
        assert!(Plan::new(new).expect("small").with_tree(old).is_err() && tiles.consistency(old).is_err());
        return;
    }
    let (right, old_head) = (tiles.consistency(old).expect("it is older"), heads[old as usize]);
    right.verify(old_head, head).expect("it continues");
    if let Ok(proof) = ConsistencyProof::new(given.clone()) {
        assert_eq!(proof.verify(old_head, head).is_ok(), proof == right);
    }
    if old < new {
        let (right, leaf) = (tiles.inclusion(old).expect("it is there"), hashes[old as usize]);
        right.verify(old, leaf, head).expect("it is there");
        if let Ok(proof) = InclusionProof::new(given) {
            assert_eq!(proof.verify(old, leaf, head).is_ok(), proof == right);
        }
    }
}

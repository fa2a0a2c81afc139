//! Inclusion and consistency proofs, and what they show.
//!
//! Source: RFC 6962, 2.1.1 and 2.1.2. Sizes decide which nodes a proof has and on which side each of them stands, so that a
//! verification is bounded by the number of levels, whatever the input.

use crate::error::Error;
use crate::hash::Hash;
use crate::subtree;
use crate::tree::{MAX_SIZE, TreeHead};

/// The most hashes that a proof may have (tlog-witness, "add-checkpoint").
pub const MAX_PROOF_HASHES: usize = 63;

/// Shows that a leaf is in a tree. At most [`MAX_PROOF_HASHES`], from the leaf's sibling to the root's child.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InclusionProof(Vec<Hash>);

/// Shows that a tree continues an older one. At most [`MAX_PROOF_HASHES`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsistencyProof(Vec<Hash>);

impl InclusionProof {
    /// From hashes that somebody gives. Nothing is verified.
    ///
    /// # Errors
    /// [`Error::ProofTooLong`].
    pub fn new(hashes: Vec<Hash>) -> Result<Self, Error> {
        bounded(hashes).map(Self)
    }

    /// The hashes.
    #[must_use]
    pub fn hashes(&self) -> &[Hash] {
        &self.0
    }

    /// Verifies that the leaf with this index and hash is in the tree.
    ///
    /// # Errors
    /// [`Error::Inclusion`].
    pub fn verify(&self, index: u64, leaf: Hash, head: TreeHead) -> Result<(), Error> {
        let refused = Error::Inclusion { index, size: head.size };
        if index >= head.size || head.size > MAX_SIZE {
            return Err(refused);
        }
        let path = subtree::inclusion(index, head.size);
        if path.len() != self.0.len() {
            return Err(refused);
        }
        let root = path.iter().zip(&self.0).fold(leaf, |hash, (node, sibling)| {
            if node.start > index { Hash::node(&hash, sibling) } else { Hash::node(sibling, &hash) }
        });
        if root == head.root { Ok(()) } else { Err(refused) }
    }
}

impl ConsistencyProof {
    /// From hashes that somebody gives. Nothing is verified.
    ///
    /// # Errors
    /// [`Error::ProofTooLong`].
    pub fn new(hashes: Vec<Hash>) -> Result<Self, Error> {
        bounded(hashes).map(Self)
    }

    /// The hashes.
    #[must_use]
    pub fn hashes(&self) -> &[Hash] {
        &self.0
    }

    /// Verifies that the newer tree begins with all leaves of the older one. Between trees of one size, and from the empty tree, the
    /// proof is empty.
    ///
    /// # Errors
    /// [`Error::Consistency`].
    pub fn verify(&self, old: TreeHead, new: TreeHead) -> Result<(), Error> {
        let refused = Error::Consistency { old: old.size, new: new.size };
        if old.size > new.size || new.size > MAX_SIZE {
            return Err(refused);
        }
        if old.size == 0 {
            let empty = |head: TreeHead| head.size > 0 || head.root == Hash::EMPTY;
            return if self.0.is_empty() && empty(old) && empty(new) { Ok(()) } else { Err(refused) };
        }
        let path = subtree::consistency(old.size, new.size);
        if path.len() != self.0.len() {
            return Err(refused);
        }
        let mut nodes = path.iter().zip(&self.0);
        // The node at the older tree's right edge is named unless it is that whole tree.
        let seed = match path.first() {
            Some(node) if node.end == old.size => nodes.next().map_or(old.root, |(_, hash)| *hash),
            _ => old.root,
        };
        let (old_root, new_root) = nodes.fold((seed, seed), |(older, newer), (node, sibling)| {
            if node.start < old.size {
                (Hash::node(sibling, &older), Hash::node(sibling, &newer))
            } else {
                (older, Hash::node(&newer, sibling))
            }
        });
        if old_root == old.root && new_root == new.root { Ok(()) } else { Err(refused) }
    }
}

fn bounded(hashes: Vec<Hash>) -> Result<Vec<Hash>, Error> {
    if hashes.len() > MAX_PROOF_HASHES { Err(Error::ProofTooLong) } else { Ok(hashes) }
}

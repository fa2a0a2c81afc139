//! The nodes of RFC 6962's tree as ranges of leaves, and those that proofs consist of.

/// A node of the tree: the leaves from `start` up to `end`, which is not among them.
///
/// Its leaves are as many as a power of two, or it is at the right edge of its tree. In both cases `start` is a multiple of the
/// smallest power of two that is not less than the number of its leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subtree {
    pub(crate) start: u64,
    pub(crate) end: u64,
}

/// A node with 2^`height` leaves, all of them there: the one with this index among those of its height.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Complete {
    pub(crate) height: u32,
    pub(crate) index: u64,
}

impl Subtree {
    /// The whole tree.
    pub(crate) fn whole(size: u64) -> Self {
        Self { start: 0, end: size }
    }

    fn leaves(self) -> u64 {
        self.end - self.start
    }

    /// The two nodes below one of two leaves or more: the left one has the greatest power of two of leaves that leaves some over.
    fn split(self) -> (Self, Self) {
        let middle = self.start + (1 << (self.leaves() - 1).ilog2());
        (Self { end: middle, ..self }, Self { start: middle, ..self })
    }

    /// The complete nodes that it consists of, from left to right: one for each one in its number of leaves.
    pub(crate) fn complete(self) -> impl DoubleEndedIterator<Item = Complete> {
        let leaves = self.leaves();
        let ones = (0..u64::BITS).rev().filter(move |height| leaves >> height & 1 == 1);
        // In front of each are the greater powers of two.
        ones.map(move |height| Complete { height, index: (self.start >> height) + ((leaves >> height) & !1) })
    }
}

/// What an inclusion proof of a leaf of the tree consists of, from the leaf's sibling upwards (RFC 6962, 2.1.1). The leaf is in
/// the tree.
pub(crate) fn inclusion(index: u64, size: u64) -> Vec<Subtree> {
    let (mut path, mut node) = (Vec::new(), Subtree::whole(size));
    while node.leaves() > 1 {
        let (left, right) = node.split();
        let (next, sibling) = if index < right.start { (left, right) } else { (right, left) };
        path.push(sibling);
        node = next;
    }
    path.reverse();
    path
}

/// What a consistency proof between two sizes consists of (RFC 6962, 2.1.2): the greatest node that both trees have at the older
/// one's right edge, unless that is the whole older tree, and its siblings upwards. The older tree has a leaf, and no more than the
/// newer one.
pub(crate) fn consistency(old: u64, new: u64) -> Vec<Subtree> {
    let (mut path, mut node) = (Vec::new(), Subtree::whole(new));
    while node.end != old {
        let (left, right) = node.split();
        let (next, sibling) = if old <= right.start { (left, right) } else { (right, left) };
        path.push(sibling);
        node = next;
    }
    if node.start != 0 {
        path.push(node);
    }
    path.reverse();
    path
}

//! Folders into which `verify --lock` puts good proofs.

use std::io;
use std::sync::OnceLock;

use transparency_log::Signature;

use crate::lock_file::Package;
use crate::proof::{Kept, Saved};

/// A folder into which good proofs are put, until that fails.
pub(super) struct Filled {
    pub(super) folder: Kept,
    pub(super) failed: OnceLock<io::Error>,
}

impl Filled {
    pub(super) fn new(folder: Kept) -> Self {
        Self { folder, failed: OnceLock::new() }
    }

    pub(super) fn keep(&self, Package { index, name, version, .. }: &Package, proof: &[u8]) {
        let is_there = || self.folder.read(index, name, version).is_some_and(|kept| is_as_good(&kept, proof));
        if self.failed.get().is_none()
            && !is_there()
            && let Err(error) = self.folder.write(index, name, version, proof)
        {
            // Of several threads the first one's error is as good as any.
            let _ = self.failed.set(error);
        }
    }
}

/// Whether what is kept is the same proof, and shows its place in the log by all who have signed the new one's checkpoint.
fn is_as_good(kept: &[u8], new: &[u8]) -> bool {
    let (Ok(kept), Ok(new)) = (Saved::parse(kept), Saved::parse(new)) else { return false };
    let signed_by = |saved: &Saved, signature: &Signature| {
        let signatures = saved.log_proof().map(|proof| proof.checkpoint().note().signatures());
        let mut signatures = signatures.unwrap_or_default().iter();
        signatures.any(|other| (other.name(), other.id()) == (signature.name(), signature.id()))
    };
    let wanted = new.log_proof().map(|proof| proof.checkpoint().note().signatures()).unwrap_or_default();
    kept.proof() == new.proof() && wanted.iter().all(|signature| signed_by(&kept, signature))
}

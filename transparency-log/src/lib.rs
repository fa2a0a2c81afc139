//! A transparency log as bytes: what its operator computes, what a witness checks, and what a client verifies.
//!
//! The tree is that of RFC 6962, with SHA-256. Everything around it is C2SP's, as its texts stood at commit
//! [`5ba5ee83`](https://github.com/C2SP/C2SP/tree/5ba5ee830903e91240fc6f9f3a7a9293d49e69c9): signed-note, tlog-checkpoint,
//! tlog-witness and tlog-cosignature (v1.0.0 and later edits; of cosignatures the Ed25519 form), tlog-tiles (v0.1.0 and later edits;
//! hash tiles and no entry bundles) and tlog-proof (no version so far). This crate does no I/O and reads no clock; it holds a
//! secret only in a [`Signer`] or a [`Cosigner`].
//!
//! What is left to its users is policy: which keys are known, how many witnesses are enough, how old a checkpoint may be.
//!
//! # A log
//!
//! A log keeps its entries and, for each, the [`TileHash`]es that [`Frontier::push`] returns. Those are all hashes of all tiles.
//! Every root, proof and [`Frontier`] can be computed from them again.
//!
//! ```
//! use transparency_log::{Checkpoint, Frontier, Hash, Origin, SignedCheckpoint, Signer};
//!
//! let origin = Origin::of_index("sparse+https://registry.example/index/")?;
//! assert_eq!(origin.as_str(), "registry.example/index");
//! let signer = Signer::new(origin.key_name()?, &[7; 32]);
//!
//! let mut frontier = Frontier::new();
//! for entry in ["first", "second"] {
//!     let _stored = frontier.push(Hash::leaf(entry.as_bytes())?)?; // goes where the entry goes
//! }
//! let mut checkpoint = SignedCheckpoint::unsigned(Checkpoint::new(origin, frontier.head())?);
//! checkpoint.sign(&signer)?;
//! println!("{checkpoint}");
//! # Ok::<(), transparency_log::Error>(())
//! ```
//!
//! # A client
//!
//! A client verifies one checkpoint. A [`Plan`] names the tiles that show some of its leaves and the older trees that the client
//! has seen. The client fetches them in any way, and [`Tiles::check`] takes none of them that is not of that tree.
//!
//! ```
//! # use std::collections::BTreeMap;
//! # use transparency_log::*;
//! # let origin = Origin::of_index("sparse+https://registry.example/index/")?;
//! # let signer = Signer::new(origin.key_name()?, &[7; 32]);
//! # let mut frontier = Frontier::new();
//! # let leaves = [Hash::leaf(b"first")?, Hash::leaf(b"second")?];
//! # frontier.push(leaves[0])?;
//! # let kept = frontier.head();
//! # frontier.push(leaves[1])?;
//! # let mut served = SignedCheckpoint::unsigned(Checkpoint::new(origin.clone(), frontier.head())?);
//! # served.sign(&signer)?;
//! # let (served, vkey) = (served.to_string(), signer.verifier().to_string());
//! # let fetch = |tile: &Tile| leaves[..tile.width()].iter().flat_map(|hash| *hash.as_bytes()).collect::<Vec<u8>>();
//! let log: Verifier = vkey.parse()?;
//! let head = served.parse::<SignedCheckpoint>()?.verify(&origin, &log, &[])?.head;
//!
//! let plan = Plan::new(head.size)?.with_leaf(1)?.with_tree(kept.size)?;
//! let fetched = plan.tiles().map(|tile| Ok((tile, tile.parse_hashes(&fetch(&tile))?)));
//! let tiles = Tiles::check(head, fetched.collect::<Result<BTreeMap<_, _>, Error>>()?)?;
//!
//! assert_eq!(tiles.leaf(1)?, Hash::leaf(b"second")?); // the entry is in the log
//! assert_eq!(tiles.root_of(kept.size)?, kept.root); // and what was there before still is
//! # Ok::<(), transparency_log::Error>(())
//! ```

pub mod checkpoint;
pub mod hash;
pub mod key;
pub mod note;
pub mod origin;
pub mod proof;
pub mod tile;
pub mod tiles;
pub mod tlog_proof;
pub mod tree;
pub mod witness;

mod error;
mod lines;
mod subtree;

pub use checkpoint::{Checkpoint, Cosignature, SignedCheckpoint, VerifiedCheckpoint};
pub use error::Error;
pub use hash::{Hash, MAX_LEAF_BYTES};
pub use key::{Algorithm, Cosigner, KeyId, KeyName, Signer, Verifier};
pub use note::{Note, Signature};
pub use origin::Origin;
pub use proof::{ConsistencyProof, InclusionProof, MAX_PROOF_HASHES};
pub use tile::Tile;
pub use tiles::{Plan, Tiles};
pub use tlog_proof::TlogProof;
pub use tree::{Frontier, MAX_SIZE, TileHash, TreeHead};
pub use witness::{AddCheckpoint, Refusal};

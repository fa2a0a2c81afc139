//! Whose signatures are trusted: `signers.toml`.
//!
//! ```toml
//! version = 2
//!
//! [[key]]
//! name = "alice"
//! public = "k3.public.…"
//!
//! [[signer]]
//! index = "sparse+https://registry.example/index/" # exact
//! crate = "hello"      # or "hello-*", or "*" for every crate of that registry
//! signers = ["alice"]
//! unsigned = [{ version = "0.1.0", cksum = "…" }] # published before anybody signed
//!
//! [[proofs]]           # of a registry that gives none
//! index = "https://github.com/rust-lang/crates.io-index"
//! url = "https://proofs.example/{crate}/{version}.json"
//!
//! [[rotation]]         # alice has a new key
//! index = "sparse+https://registry.example/index/"
//! crate = "hello"
//! from = "k3.public.…"
//! to = "k3.public.…"
//! statement = "…"      # signed by both
//!
//! [[log]]              # the registry's transparency log
//! index = "sparse+https://registry.example/index/"
//! vkey = "registry.example/index+…"
//! witnesses = ["somebody"] # all of them have to have seen each checkpoint
//!
//! [[witness]]
//! name = "somebody"
//! vkey = "witness.example+…"
//! ```
//!
//! There are two such lists. The person's own, `$CARGO_HOME/yk-cargo/signers.toml`, decides where it names a crate. A project's, beside
//! its `Cargo.lock`, speaks where that one is silent; where it is not, the project's can only ask for more. In each list the most
//! specific entry of a crate decides alone. **A crate with an entry is signed in every version** but those in `unsigned`, unless a
//! pattern says `require = false`.
//!
//! Only the person writes their own list, or `verify --remember` after asking. It holds no secret, but whoever can write it can have
//! another key trusted: it is refused if others may. A project's list is anybody's.

mod decision;
mod entry;
mod list;
mod log;
mod place;
mod remember;
mod rotation;

pub use decision::{OtherLogKey, TooFew, Trust, Unsigned, Whose, Word};
pub use entry::{Entry, Scope};
pub use list::{Error, Key, List, path};
pub use log::{Log, Witness, generation};
pub use place::{Place, Template};
pub use remember::{News, remember, remember_log, rotation_block, with};
pub use rotation::{Rotation, statement};

#[cfg(test)]
mod tests;

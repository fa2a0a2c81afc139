//! A registry's transparency log, as a client sees it: what was seen of it before, and whether what is served now continues that.
//!
//! Who may sign its checkpoints, and which witnesses have to, is in the lists ([`crate::trust`]). Of all checkpoints that were seen the
//! newest is [kept](Kept): a log that does not continue it is [refused](Refused), for ever, with the two as evidence. Nobody but the
//! registry can have signed both.

mod checkpoint;
mod kept;
mod refused;
mod tree;

pub use checkpoint::Checkpoint;
pub use kept::Kept;
pub use refused::Refused;
pub use tree::{Fetch, Lacking, Tree};

//! The card in hand: which one it is, whether it is one that is known, and the use of a key on it.

pub(crate) mod choose;
pub(crate) mod key_use;
pub(crate) mod known;
pub mod pin_source;

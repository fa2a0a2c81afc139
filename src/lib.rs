//! Publish crates with a key that cannot leave your YubiKey.

pub mod pin;
pub mod piv;
pub mod reader;

//! Attestation (Yubico, "PIV attestation"): certificates that say that a card made a key itself.
//!
//! They are signed by the key in slot F9, whose certificate is data object 5FFF01. Both are on a card when it leaves
//! the factory, and an authority signed that certificate.

mod authority;
mod certificate;
mod extension;
mod factory;
mod statement;

pub use authority::{Authority, authorities};
pub(super) use factory::Factory;
pub(super) use statement::Statement;

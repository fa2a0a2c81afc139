//! Publish crates with a key that cannot leave your YubiKey.
//!
//! The program is the product; this library is its parts, for its own tests and benches. See README.md for use,
//! [`provider`] for what cargo talks to, [`signer`] for how a token comes about, [`piv`] for what the card is told.

pub mod cargo_config;
pub mod challenge;
pub mod cli;
pub mod commands;
pub mod enrollment;
pub mod http;
pub mod leave;
pub mod pin;
pub mod pin_source;
pub mod piv;
pub mod proof;
pub mod provider;
pub mod reader;
pub mod registration;
pub mod sealed;
pub mod settings;
pub mod signer;
pub mod signers;
pub mod ui;

mod child_process;
mod error;
mod key_use;
mod known_cards;

pub use error::Error;

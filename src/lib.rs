//! Publish crates with a key that cannot leave your YubiKey.
//!
//! The program is the product; this library is its parts, for its own tests and benches. See README.md for use,
//! [`provider`] for what cargo talks to, [`signer`] for how a token comes about, [`piv`] for what the card is told.

pub mod cargo_config;
pub mod cli;
pub mod commands;
pub mod context;
pub mod enrollment;
pub mod folder;
pub mod index_url;
pub mod lock_file;
pub mod piv;
pub mod process;
pub mod proof;
pub mod provider;
pub mod reader;
pub mod registry;
pub mod sealed;
pub mod sealed_files;
pub mod settings;
pub mod signer;
pub mod text;
pub mod transparency;
pub mod trust;
pub mod ui;

mod card;
mod error;
mod sealer;
mod signature;
pub mod unsealer;

pub use error::Error;

//! A YubiKey in software, at the PC/SC level.
//!
//! Any program that uses `libpcsclite` takes it for a reader with a YubiKey in it, once
//! `PCSCLITE_CSOCK_NAME` points at the mock's socket: no daemon, no root, no driver. The library reads that
//! variable once per process, so every client of a mock is a child process:
//!
//! ```no_run
//! # use std::process::Command;
//! let card = mock_card::MockCard::builder().serial(7_654_321).pin("654321").start()?;
//! Command::new("yubico-piv-tool").args(["-a", "status"]).env("PCSCLITE_CSOCK_NAME", card.socket()).status()?;
//! assert!(card.trace().iter().any(|entry| entry.ins.as_deref() == Some("GET VERSION")));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! It keeps its keys in memory, and with [`Builder::state`] in a file, in the clear. It is for tests; a key of
//! worth has no business here.

#![cfg(unix)]

pub mod applet;
pub mod cli;
mod control;
mod fault;
pub mod hex;
mod mock;
mod pcscd;
pub mod settings;
pub mod trace;

pub use applet::attestation::{Authority, authorities};
pub use applet::firmware::{Firmware, FirmwareError};
pub use applet::key::{Algorithm, ImportedKey, ImportedKeyError, PublicKey};
pub use applet::management_key::ManagementAlgorithm;
pub use applet::policy::{PinPolicy, TouchPolicy};
pub use applet::traits::{Attestation, LastTry, ShortLe, Traits};
pub use applet::{Card, CardError};
pub use fault::{Blow, Fault, Mishap};
pub use mock::{Builder, MockCard, OneCard};
pub use pcscd::{Condition, Daemon, Hold, OutsideError};
pub use settings::{CardSettings, StartError, Touch};

/// The examples in the documentation compile, and run.
#[cfg(doctest)]
#[doc = include_str!("../../docs/mock-card.md")]
struct Documentation;

//! A YubiKey in software, at the PC/SC level.
//!
//! Any program that uses `libpcsclite` takes it for a reader with a YubiKey in it, once `PCSCLITE_CSOCK_NAME` is the
//! path of the mock's socket. No other daemon, no root and no driver is needed. The library reads that variable once in
//! each process, so every client of a mock is a child process:
//!
//! ```no_run
//! # use std::process::Command;
//! let card = mock_card::MockCard::builder().serial(7_654_321).pin("654321").start()?;
//! Command::new("yubico-piv-tool").args(["-a", "status"]).env("PCSCLITE_CSOCK_NAME", card.socket()).status()?;
//! assert!(card.trace().iter().any(|entry| entry.ins.as_deref() == Some("GET VERSION")));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! It keeps its keys in the clear: in memory, and with [`Builder::state`] in a file. It is for tests. Do not put a key
//! of worth into it.

#![cfg(unix)]

pub mod applet;
pub mod cli;
mod control;
mod event;
mod fault;
pub mod hex;
mod mock;
mod pcscd;
pub mod settings;
pub mod trace;

pub use applet::attestation::{Authority, authorities};
pub use applet::firmware::{Edition, Firmware, FirmwareError};
pub use applet::key::{Algorithm, ImportedKey, ImportedKeyError, PublicKey};
pub use applet::management_key::ManagementAlgorithm;
pub use applet::policy::{PinPolicy, TouchPolicy};
pub use applet::traits::{Attestation, FormFactor, LastTry, ShortLe, Traits, Transport};
pub use applet::{Card, CardError};
pub use event::{Event, Hold};
pub use fault::{Effect, Fault};
pub use mock::{Builder, MockCard};
pub use pcscd::{Condition, ControlError, Daemon};
pub use settings::{CardSettings, StartError, Touch};

/// The examples in the documentation are compiled and run as tests.
#[cfg(doctest)]
#[doc = include_str!("../../docs/mock-card.md")]
struct Documentation;

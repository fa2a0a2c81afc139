//! yk-cargo for Windows, at work under Wine with the mock card. `cargo xtask windows` builds it and runs these scenarios; they
//! are ignored elsewhere.
//!
//! What is built for Windows runs as it is. The mock card and the registry are in this process, outside Wine. Each scenario asserts
//! what the program said, and what the card was asked to do.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that fails may say so")]

#[allow(dead_code, reason = "hw-tests use the rest")]
#[path = "../hw-tests/bearer_registry.rs"]
mod bearer_registry;
#[allow(dead_code, reason = "hw-tests use the rest")]
#[path = "../hw-tests/loopback.rs"]
mod loopback;
#[allow(dead_code, reason = "hw-tests use the rest")]
#[path = "../hw-tests/run.rs"]
mod run;
#[allow(dead_code, reason = "hw-tests use the rest")]
#[path = "../hw-tests/trace.rs"]
mod trace;
mod world;

mod cards;
mod commands;
mod console;
mod enrolling;
mod interruptions;
mod paths;
mod requests;
mod sealed;

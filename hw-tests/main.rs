//! The product through its front door: real cargo, real libpcsclite, a card, a registry that verifies.
//!
//! The mock card and the gateway run inside this process; cargo and yk-cargo are child processes, without a terminal
//! unless a test gives them one. libpcsclite reads its socket's name once per process, which is why the clients have
//! to be children.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod asked;
mod asking_registry;
mod bearer_registry;
mod card_kinds;
mod cargo_commands;
mod cargo_says;
mod challenges;
mod daily;
mod doctor;
mod enrolling;
mod git_index;
mod git_registry;
mod homes;
mod hostile;
mod interruptions;
mod invites;
mod job_control;
mod lock_registry;
mod loopback;
mod lying_cards;
mod migrating;
mod migrating_killed;
mod moved;
mod pages;
mod pasted;
mod pinentry;
mod projects;
mod provider_processes;
mod real_key;
mod refusals;
mod replacing;
mod sealed;
mod sealed_refusals;
mod sealed_shown;
mod several_cards;
mod shown_questions;
mod spare_cards;
mod stand_in;
mod terminal;
mod texts;
mod tools;
mod touch;
mod trace;
mod verify;
mod verify_lock;
mod verify_lock_cargo;
mod verify_lock_trust;
mod world;

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
mod certificates;
mod challenges;
mod completing;
mod daily;
mod doctor;
mod elsewhere;
mod enrolling;
mod git_index;
mod git_registry;
mod homes;
mod hostile;
mod internet;
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
mod proof;
mod proofs;
mod provider_processes;
mod real_key;
mod refusals;
mod replacing;
mod rotating;
mod run;
mod sealed;
mod sealed_refusals;
mod sealed_shown;
mod several_cards;
mod shown_questions;
mod signing;
mod spare_cards;
mod staged_versions;
mod staging;
mod staging_gateway;
mod staging_machine;
mod staging_page;
mod staging_registry;
mod staging_source;
mod staging_two_people;
mod stand_in;
mod terminal;
mod test_log;
mod texts;
mod tools;
mod touch;
mod trace;
mod verify;
mod verify_lock;
mod verify_lock_cargo;
mod verify_lock_deep;
mod verify_lock_trust;
mod verify_log;
mod verify_log_attacks;
mod verify_log_gateway;
mod world;

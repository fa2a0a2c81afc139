//! The gateway through its front door: a server that listens, its command line, and programs that are not ours before and behind it.

#![allow(clippy::print_stderr, reason = "a skipped test says why")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod answers;
mod as_cargo;
mod attestation;
mod attestation_rules;
mod audit;
mod behind;
mod both_engines;
mod challenges;
mod command_line;
mod common;
mod doctor;
mod durability;
mod enrollment;
mod fsync_order;
mod keep_alive;
mod kills;
mod left_open;
mod limits;
mod listener;
mod log;
mod metadata;
mod nesting;
mod operators;
mod page;
mod parsers;
mod people;
mod places;
mod policy;
mod postgres;
mod postgres_fails;
mod process;
mod proxies;
mod reads;
mod real_cargo;
mod real_crates;
mod refusals;
mod setup;
mod several;
mod start_with_open_changes;
mod store_fails;
mod store_in_postgres;
mod tampering;
mod uploads;
mod upstream;

//! Other people's programs judge what `yk-cargo` makes. None of our own code is on their side: the card is the
//! mock, which shares nothing with the client, and each judge brings its own codecs and its own cryptography.

#![cfg(unix)]

mod age;
mod cargo_verifier;
mod pyseto;
mod registry;
mod tlog;
mod yubikey_crate;

//! A Cargo registry that accepts RFC 3231 asymmetric tokens. It verifies who signed what, and keeps the evidence.
//!
//! Cargo sends a token with every request that needs one. A credential provider made the token with a key that is
//! enrolled here. [`policy`] decides what a verified token allows, [`metadata`] checks that what cargo says of a crate
//! is what was signed, and [`store`] keeps crates, keys, and the record of every change with the token that was spent
//! on it. A mutation token is good once.
//!
//! ```no_run
//! use registry_gateway::{Config, Gateway};
//!
//! let running = Gateway::start(Config::new("./registry"))?;
//! println!("index = \"{}\"", running.index_url());
//! running.stop();
//! # Ok::<(), registry_gateway::StartError>(())
//! ```

pub mod attestation;
pub mod audit;
pub mod challenge;
pub mod config;
pub mod copying;
pub mod credential_provider;
pub mod credentials;
pub mod doctor;
pub mod enrollment;
pub mod index;
pub mod inspection;
pub mod keys;
pub mod log;
pub mod policy;
pub mod publishers;
pub mod record;
pub mod serve;
pub mod store;
pub mod store_place;
pub mod vault;
pub mod witness;

mod background;
mod causes;
mod changes;
mod connections;
mod cosigning;
mod crate_names;
mod http;
mod http_client;
mod in_turn;
mod limits;
mod listener;
mod metrics;
mod operators;
mod patience;
mod private;
mod staging;
mod tls;
mod unpacking;
mod upstream;
mod verified_reads;

pub use causes::escaped;
pub use config::Config;
pub use crate_file;
pub use crate_file::metadata;
pub use http_client::AuthoritiesError;
pub use private::SecretError;
pub use serve::{Gateway, Opened, Running, StartError};
pub use tls::{TlsError, TlsFiles};
pub use upstream::RemoteConfigError;

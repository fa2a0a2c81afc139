//! The registry asked: over HTTP, by the network's settings for cargo.

pub(crate) mod clock;
pub mod enrollment;
pub mod greeting;
pub mod http;
pub mod network;

//! Asking a registry over HTTP, with the network settings that cargo has.

pub(crate) mod clock;
pub mod enrollment;
pub mod greeting;
pub mod http;
pub mod named;
pub mod network;
pub mod small_file;
pub mod staged;
pub mod visit;

//! The sparse index: where a crate's file is, what its lines say, and where a registry has its API.

use jiff::Timestamp;

mod index_urls;
mod lines;
mod registry_config;

pub use crate_file::index::{Line, path};
pub(crate) use crate_file::index::{is_path, prefix};
pub(crate) use index_urls::IndexUrls;
pub(crate) use lines::{VersionState, depending_on, version_state, without_pubtime};
pub(crate) use registry_config::{RegistryConfig, folder};

/// When a version was published, as its line says it: in whole seconds (Cargo book, "Registry Index", `pubtime`).
pub(crate) fn pubtime(time: Timestamp) -> String {
    format!("{time:.0}")
}

/// What is wrong in another registry's index.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Malformed(pub(crate) String);

//! How the names of crates are compared.

/// A name as it is compared. Names that a person could confuse become equal.
pub(crate) fn fold(name: &str) -> String {
    name.to_lowercase().replace('-', "_")
}

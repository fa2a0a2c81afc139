//! Differences in what cargo before 1.81 sends.
//!
//! It made the JSON from the author's manifest, and not from the packaged one. That makes a difference in three places.
//! There the request is changed to what a newer cargo would have sent, before it is compared. What is kept still comes
//! from the crate file.

use std::collections::HashSet;

use super::{Dependency, Description, Metadata};

/// The names of readmes that cargo finds by itself.
const FOUND: [&str; 3] = ["README.md", "README.txt", "README"];

/// The request's metadata as a newer cargo would have sent it.
pub(super) fn as_newer(mut sent: Metadata, signed: &Metadata) -> Metadata {
    let dependencies: HashSet<&str> = signed.dependencies.iter().map(name_here).collect();
    for values in sent.features.values_mut() {
        values.retain(|value| names_a_dependency(value, &dependencies));
    }
    inside(&mut sent.description.readme_file, signed.description.readme_file.as_ref());
    inside(&mut sent.description.license_file, signed.description.license_file.as_ref());
    sent
}

/// A readme that cargo found by itself and did not write into the manifest it packaged. Where a newer cargo found
/// none, its manifest says `readme = false`.
pub(super) fn found_readme(sent: &Description, manifest_has_readme: bool) -> Option<&str> {
    let file = sent.readme_file.as_deref().filter(|file| FOUND.contains(file))?;
    (!manifest_has_readme).then_some(file)
}

/// Path-only and git-only dev-dependencies are left out of a package, and so are feature values that name them.
fn names_a_dependency(value: &str, dependencies: &HashSet<&str>) -> bool {
    let named = value.strip_prefix("dep:").or_else(|| value.split_once('/').map(|(name, _)| name));
    let Some(named) = named.map(|name| name.trim_end_matches('?')) else { return true };
    dependencies.contains(named)
}

/// A dependency's name within the manifest.
fn name_here(dependency: &Dependency) -> &str {
    dependency.rename.as_ref().unwrap_or(&dependency.name)
}

/// A file from outside the package is packaged under its bare name.
fn inside(sent: &mut Option<String>, signed: Option<&String>) {
    if let (Some(sent), Some(signed)) = (sent, signed)
        && sent.rsplit('/').next() == Some(signed)
    {
        sent.clone_from(signed);
    }
}

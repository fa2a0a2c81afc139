//! In which order versions are published: what others are built with comes first.

use asymmetric_token::CrateName;
use crate_file::metadata::{Kind, Metadata, Registry};
use semver::{Version, VersionReq};

/// The requirement by which a crate is built with a version of this registry. Dependencies of tests are in no order.
pub(super) fn requirement(of: &Metadata, name: &CrateName, version: &Version) -> Option<VersionReq> {
    let folded = |name: &str| name.to_ascii_lowercase().replace('-', "_");
    let wanted = of.dependencies.iter().filter(|dependency| {
        dependency.kind != Kind::Dev
            && dependency.registry == Registry::Same
            && folded(&dependency.name) == folded(name.as_str())
    });
    let mut requirements = wanted.filter_map(|dependency| VersionReq::parse(&dependency.requirement).ok());
    requirements.find(|requirement| requirement.matches(version))
}

/// Sorts, and otherwise keeps the order.
///
/// # Errors
/// The rest, where they depend on each other in a circle.
pub(super) fn sorted<T>(mut rest: Vec<T>, depends: impl Fn(&T, &T) -> bool) -> Result<Vec<T>, Vec<T>> {
    let mut sorted = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        let is_free = |at: &usize| {
            rest.iter().enumerate().all(|(other, item)| other == *at || !depends(&rest[*at], item))
        };
        match (0..rest.len()).find(is_free) {
            Some(at) => sorted.push(rest.remove(at)),
            None => return Err(rest),
        }
    }
    Ok(sorted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_need_comes_first() {
        let depends = |one: &&str, other: &&str| one.contains(&other[..1]) && one != other;
        assert_eq!(sorted(vec!["abc", "d", "b", "cb"], depends).unwrap(), ["d", "b", "cb", "abc"]);
        assert_eq!(sorted(vec!["d", "ab", "ba"], depends).unwrap_err(), ["ab", "ba"]);
    }
}

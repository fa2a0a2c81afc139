//! Which crates are in a program: those that cargo links for one system, with the features that this build has.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Program, build, files};
use crate::workspace::{cargo_program, root};
use crate::{Failure, Outcome};

/// Name and version, as `cargo tree` writes them.
type Id = (String, String);

/// What a build links.
pub(super) struct Inside {
    links: BTreeMap<Id, BTreeSet<Id>>,
    packages: BTreeMap<Id, Package>,
}

/// A crate that is linked.
#[derive(Clone)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: String,
    /// An SPDX expression.
    pub(super) licence: String,
    pub(super) folder: PathBuf,
    pub(super) repository: Option<String>,
    /// Of its file in the registry; none for what is ours.
    pub(super) sha256: Option<String>,
    /// Which others it links.
    pub(super) links: Vec<Id>,
}

impl Inside {
    /// Asks cargo.
    pub(super) fn read(programs: &[&Program], target: &str) -> Outcome<Self> {
        let mut arguments = vec!["tree", "--locked", "--edges", "normal,no-proc-macro", "--target", target];
        arguments.extend(["--prefix", "depth", "--format", " {p}"]);
        arguments.extend(programs.iter().flat_map(|program| ["--package", program.name]));
        let tree = build::text_of(&cargo_program(), &arguments)?;
        let metadata = build::output(
            &cargo_program(),
            &["metadata", "--locked", "--format-version", "1", "--filter-platform", target],
        )?;
        let metadata: Value = serde_json::from_slice(&metadata)
            .map_err(|error| Failure::new(format!("cargo metadata is not JSON: {error}")))?;
        let lock = String::from_utf8_lossy(&files::read(&root().join("Cargo.lock"))?).into_owned();
        let links = links(&tree)?;
        let sums = checksums(&lock);
        let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
        let packages = packages.iter().filter_map(|package| Package::from(package, &links, &sums));
        let packages = packages.map(|package| ((package.name.clone(), package.version.clone()), package));
        Ok(Self { packages: packages.collect(), links })
    }

    /// All crates in this program, itself among them, sorted by name.
    pub(super) fn of(&self, program: &str) -> Outcome<Vec<Package>> {
        let first = self.links.keys().find(|(name, _)| name == program);
        let mut open: Vec<_> = first.into_iter().collect();
        let mut reached = BTreeSet::new();
        while let Some(id) = open.pop() {
            if reached.insert(id) {
                open.extend(&self.links[id]);
            }
        }
        let package = |id: &&Id| self.packages.get(*id).cloned().ok_or_else(|| unknown(id));
        reached.iter().map(package).collect()
    }
}

impl Package {
    /// A package of `cargo metadata`, if it is linked.
    fn from(
        package: &Value,
        links: &BTreeMap<Id, BTreeSet<Id>>,
        sums: &BTreeMap<Id, String>,
    ) -> Option<Self> {
        let text = |name: &str| package[name].as_str().map(str::to_owned);
        let id = (text("name")?, text("version")?);
        let linked = links.get(&id)?;
        Some(Self {
            licence: text("license").unwrap_or_else(|| "see its licence file".to_owned()),
            folder: Path::new(package["manifest_path"].as_str()?).parent()?.to_owned(),
            repository: text("repository"),
            sha256: sums.get(&id).cloned(),
            links: linked.iter().cloned().collect(),
            name: id.0,
            version: id.1,
        })
    }

    pub(super) fn is_ours(&self) -> bool {
        self.sha256.is_none()
    }
}

/// From lines as `2 cipher v0.5.2`, whose number is how deep they are. What was listed before is not listed again below.
fn links(tree: &str) -> Outcome<BTreeMap<Id, BTreeSet<Id>>> {
    let mut links = BTreeMap::<Id, BTreeSet<Id>>::new();
    let mut above: Vec<Id> = Vec::new();
    for line in tree.lines().filter(|line| !line.is_empty()) {
        let mut words = line.split_whitespace();
        let depth = words.next().and_then(|depth| depth.parse::<usize>().ok());
        let name = words.next();
        let version = words.next().and_then(|version| version.strip_prefix('v'));
        let (Some(depth), Some(name), Some(version)) = (depth, name, version) else {
            return Err(Failure::new(format!("cargo tree prints what cannot be read: {line}")));
        };
        let id = (name.to_owned(), version.to_owned());
        above.truncate(depth);
        if let Some(parent) = above.last() {
            links.entry(parent.clone()).or_default().insert(id.clone());
        }
        links.entry(id.clone()).or_default();
        above.push(id);
    }
    Ok(links)
}

/// From Cargo.lock, where `name`, `version` and `checksum` follow each other.
fn checksums(lock: &str) -> BTreeMap<Id, String> {
    let value = |line: &str, key: &str| {
        let value = line.strip_prefix(key)?.strip_prefix(" = \"")?.strip_suffix('"')?;
        Some(value.to_owned())
    };
    let mut sums = BTreeMap::new();
    for package in lock.split("[[package]]") {
        let find = |key| package.lines().find_map(|line| value(line, key));
        if let (Some(name), Some(version), Some(sum)) = (find("name"), find("version"), find("checksum")) {
            sums.insert((name, version), sum);
        }
    }
    sums
}

fn unknown(id: &Id) -> Failure {
    Failure::new(format!("cargo metadata does not know {} {}, which cargo tree does", id.0, id.1))
}

#[cfg(test)]
mod tests {
    use super::{checksums, links};

    fn id(name: &str) -> (String, String) {
        (name.to_owned(), "1.0.0".to_owned())
    }

    #[test]
    fn a_tree_is_read_by_its_depths() {
        let tree = "0 a v1.0.0 (/here)\n1 b v1.0.0\n2 c v1.0.0\n1 d v1.0.0\n2 b v1.0.0 (*)\n\n0 e v1.0.0\n1 c v1.0.0\n";
        let links = links(tree).unwrap();
        let of = |name| links[&id(name)].iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>();
        assert_eq!((of("a"), of("b"), of("c")), (vec!["b", "d"], vec!["c"], vec![]));
        assert_eq!((of("d"), of("e")), (vec!["b"], vec!["c"]));
        assert!(super::links("0 a\n").is_err());
    }

    #[test]
    fn checksums_are_those_of_the_lock_file() {
        let lock = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"x\"\nchecksum = \"0a\"\n\
            dependencies = [\n \"b\",\n]\n\n[[package]]\nname = \"ours\"\nversion = \"1.0.0\"\n";
        let sums = checksums(lock);
        assert_eq!(sums.get(&id("a")).map(String::as_str), Some("0a"));
        assert_eq!(sums.len(), 1);
    }
}

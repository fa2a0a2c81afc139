//! Packages as a person has them.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

/// The name under which every project knows the registry.
pub(crate) const REGISTRY: &str = "company";

/// A package in a folder of its own name.
pub(crate) struct Package {
    folder: PathBuf,
    name: String,
    version: String,
    dependencies: Vec<String>,
    workspace: bool,
}

impl Package {
    pub(crate) fn new(parent: &Path, name: &str) -> Self {
        let folder = parent.join(name);
        let version = "1.0.0".to_owned();
        Self { folder, name: name.to_owned(), version, dependencies: Vec::new(), workspace: false }
    }

    pub(crate) fn version(mut self, version: &str) -> Self {
        version.clone_into(&mut self.version);
        self
    }

    /// Version 1 of another package of the registry.
    pub(crate) fn depends_on(mut self, name: &str) -> Self {
        let place = if self.workspace { format!("path = \"../{name}\", ") } else { String::new() };
        let dependency = format!("{name} = {{ {place}version = \"1\", registry = \"{REGISTRY}\" }}");
        self.dependencies.push(dependency);
        self
    }

    /// A member of the workspace that its parent folder is.
    pub(crate) fn in_workspace(mut self) -> Self {
        self.workspace = true;
        self
    }

    /// With a function `answer` that returns the sum of its dependencies' answers and 1.
    pub(crate) fn library(self) -> PathBuf {
        let sum = format!("pub fn answer() -> u32 {{\n    {}\n}}\n", self.sum());
        self.write("lib.rs", &sum)
    }

    /// Prints what would be its `answer`.
    pub(crate) fn program(self) -> PathBuf {
        let print = format!("fn main() {{\n    println!(\"{{}}\", {});\n}}\n", self.sum());
        self.write("main.rs", &print)
    }

    fn sum(&self) -> String {
        let names = self.dependencies.iter().filter_map(|line| line.split(' ').next());
        names.map(|name| format!("{name}::answer() + ")).collect::<String>() + "1"
    }

    fn write(self, source: &str, text: &str) -> PathBuf {
        let Self { folder, name, version, dependencies, workspace } = self;
        let root = if workspace { "" } else { "[workspace]\n\n" };
        let manifest = format!(
            "{root}[package]\nname = \"{name}\"\nversion = \"{version}\"\nedition = \"2024\"\n\
             license = \"MIT\"\ndescription = \"The crate {name}\"\n\n[dependencies]\n{}\n",
            dependencies.join("\n")
        );
        fs::create_dir_all(folder.join("src")).unwrap();
        fs::write(folder.join("Cargo.toml"), manifest).unwrap();
        fs::write(folder.join("src").join(source), text).unwrap();
        folder
    }
}

/// A file that does not get smaller.
pub(crate) fn add_noise(package: &Path, length: usize) {
    let blocks = (0..length.div_ceil(32) as u64).flat_map(|n| Sha256::digest(n.to_le_bytes()));
    fs::write(package.join("noise"), blocks.take(length).collect::<Vec<u8>>()).unwrap();
}

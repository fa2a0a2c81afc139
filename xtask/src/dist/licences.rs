//! The licences of what is inside a program, in the words of the crates' own files.
//!
//! Where a crate may be had under either of two licences, both texts are kept, unless one is the GPL. The terms of the Apache License are said once:
//! a dozen pages that a hundred crates bring along, and that Debian has in a file of its own.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::inside::Package;
use super::{files, of_workspace};
use crate::Outcome;

const APACHE_BEGIN: &str = "TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION";
const APACHE_END: &str = "END OF TERMS AND CONDITIONS";
const RULE: &str = "------------------------------------------------------------------------------";

/// What was found.
pub(super) struct Licences {
    /// Ours, without the crates of this workspace.
    crates: Vec<Package>,
    /// Texts, with the crates that have them. The terms of the Apache License are not in there.
    texts: Vec<(String, Vec<String>)>,
    /// Crates whose packages have no file with a licence.
    silent: Vec<String>,
}

/// Where the terms of the Apache License are.
pub(super) enum Apache {
    /// At the end of the same text.
    Below,
    /// Where Debian has them (Debian Policy 12.5).
    OfDebian,
}

impl Licences {
    /// Reads the files of these crates.
    pub(super) fn read(crates: &[Package]) -> Outcome<Self> {
        let crates: Vec<_> = crates.iter().filter(|package| !package.is_ours()).cloned().collect();
        let mut texts: BTreeMap<String, (String, Vec<String>)> = BTreeMap::new();
        let mut silent = Vec::new();
        for package in &crates {
            let name = format!("{} {}", package.name, package.version);
            let mut found = false;
            for file in files::names(&package.folder)?.iter().filter(|file| is_of_licence(file)) {
                if is_not_chosen(file, &package.licence) {
                    continue;
                }
                let path = package.folder.join(file);
                if !path.is_file() {
                    continue;
                }
                let text = without_apache(&String::from_utf8_lossy(&files::read(&path)?));
                // Line breaks make no other licence.
                let same = text.split_whitespace().collect::<Vec<_>>().join(" ");
                let names = &mut texts.entry(same).or_insert_with(|| (text, Vec::new())).1;
                if names.last() != Some(&name) {
                    names.push(name.clone());
                }
                found = true;
            }
            if !found {
                silent.push(name);
            }
        }
        Ok(Self { crates, texts: texts.into_values().collect(), silent })
    }

    /// All of it, under our own licence.
    pub(super) fn text(&self, program: &str, apache: &Apache) -> Outcome<String> {
        let own = of_workspace("LICENSE-MIT")?;
        let terms = match apache {
            Apache::Below => "at the end of this file",
            Apache::OfDebian => "in /usr/share/common-licenses/Apache-2.0",
        };
        let mut text = format!(
            "{program} may be used under the MIT License or the Apache License 2.0, as you like.\n\
            The first is this one; the second is {terms}.\n\n{}\n{RULE}\n\n",
            String::from_utf8_lossy(&own).trim_end()
        );
        let _ = writeln!(
            text,
            "Linked into {program} are Rust's standard library (MIT or Apache-2.0, with parts of others, which\n\
            the toolchain's COPYRIGHT-library.html names), and these crates, with their licences as SPDX\n\
            expressions. The texts follow, each with the crates that bring it along. Where one says \"[terms]\"\n\
            the terms of the Apache License 2.0 stand there, which are {terms}.\n"
        );
        for package in &self.crates {
            let _ = writeln!(text, "{} {}: {}", package.name, package.version, package.licence);
        }
        if !self.silent.is_empty() {
            let _ = writeln!(text, "\nNo licence file is in the packages of: {}.", self.silent.join(", "));
        }
        for (licence, crates) in &self.texts {
            let _ = writeln!(text, "\n{RULE}\n\n{}:\n\n{}", crates.join(", "), licence.trim_end());
        }
        if matches!(apache, Apache::Below) {
            let terms = of_workspace("LICENSE-APACHE")?;
            let _ = writeln!(text, "\n{RULE}\n\n{}", String::from_utf8_lossy(&terms).trim_end());
        }
        Ok(text)
    }
}

fn is_of_licence(file: &str) -> bool {
    let file = file.to_ascii_lowercase();
    ["licen", "unlicense", "copying", "copyright", "notice"].iter().any(|begin| file.starts_with(begin))
}

/// A program of ours is not under the GPL, so that is not the licence under which it has a crate.
fn is_not_chosen(file: &str, licence: &str) -> bool {
    file.to_ascii_uppercase().contains("GPL") && licence.contains(" OR ")
}

/// The text with `[terms]` in the place of the Apache License's.
fn without_apache(text: &str) -> String {
    let mut rest = text;
    let mut kept = String::new();
    while let Some(begin) = rest.find(APACHE_BEGIN) {
        kept.push_str(&rest[..begin]);
        kept.push_str("[terms]");
        let after = &rest[begin..];
        rest = after.find(APACHE_END).map_or("", |end| &after[end + APACHE_END.len()..]);
    }
    kept + rest
}

#[cfg(test)]
mod tests {
    use super::{is_not_chosen, is_of_licence, without_apache};

    #[test]
    fn the_terms_are_left_out_and_nothing_else() {
        let apache = format!(
            "Apache\n{}\n1. Definitions\n{}\nAPPENDIX Copyright A",
            super::APACHE_BEGIN,
            super::APACHE_END
        );
        assert_eq!(without_apache(&apache), "Apache\n[terms]\nAPPENDIX Copyright A");
        let both = format!("MIT\n{apache}\n{apache}");
        assert_eq!(without_apache(&both).matches("[terms]").count(), 2);
        assert_eq!(without_apache("MIT\nCopyright B"), "MIT\nCopyright B");
    }

    #[test]
    fn files_of_licences_are_known_by_their_names() {
        for file in ["LICENSE", "License.txt", "LICENCE-MIT", "UNLICENSE", "COPYING", "NOTICE", "copyright"] {
            assert!(is_of_licence(file), "{file}");
        }
        assert!(!is_of_licence("README.md") && !is_of_licence("src"));
        assert!(is_not_chosen("LICENSE-GPL2", "Apache-2.0 OR GPL-2.0-only"));
        assert!(
            !is_not_chosen("LICENSE-GPL2", "GPL-2.0-only")
                && !is_not_chosen("LICENSE", "MIT OR GPL-2.0-only")
        );
    }
}

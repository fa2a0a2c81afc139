//! Paths in a crate file: which are taken, and which are one to some file system.
//!
//! Cargo unpacks a crate on every system. A path that is another one on some of them, or the same as another one, could
//! put a file in the place of the one that was looked at.

use std::collections::HashMap;

use icu_normalizer::DecomposingNormalizerBorrowed;
use sha2::{Digest as _, Sha256};

use crate::archive::escaped;
use crate::characters::{is_hidden, is_ignorable};
use crate::error::{CrateFileError, MAX_DEPTH, PathError};

/// The most files a crate may have, and the most folders. The largest known has 2,436 files.
pub const MAX_ENTRIES: usize = 65_536;
/// The most bytes that all paths of a crate may have together. The most known are 157,236.
pub const MAX_PATHS: usize = 4 << 20;

/// A path as text, if it is below the root and one path on every system.
pub(crate) fn checked<'a>(raw: &'a [u8], root: &str) -> Result<&'a str, CrateFileError> {
    let refused = |reason| CrateFileError::Path { path: escaped(raw), reason };
    let path = std::str::from_utf8(raw).map_err(|_| refused(PathError::NotUtf8))?;
    let elsewhere = || refused(PathError::Elsewhere(root.to_owned()));
    let inner = path.strip_prefix(root).ok_or_else(elsewhere)?;
    if inner.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(elsewhere());
    }
    if inner.split('/').count() > MAX_DEPTH {
        return Err(refused(PathError::TooDeep));
    }
    inner.split('/').try_for_each(plain).map_err(refused)?;
    Ok(path)
}

/// Whether one name of a path is that name everywhere.
fn plain(name: &str) -> Result<(), PathError> {
    for character in name.chars() {
        match character {
            // What cargo does not package either (cargo 1.95, `check_filename`).
            '\\' | '<' | '>' | ':' | '"' | '|' | '?' | '*' => return Err(PathError::Windows(character)),
            // Joiners and selectors of a variant are within words and signs that are seen.
            '\u{200C}' | '\u{200D}' | '\u{FE00}'..='\u{FE0F}' | '\u{E0100}'..='\u{E01EF}' => {}
            _ if is_hidden(character) => return Err(PathError::Hidden(character)),
            _ => {}
        }
    }
    if name.ends_with(['.', ' ']) {
        return Err(PathError::End(name.to_owned()));
    }
    if is_short_name(name) {
        return Err(PathError::ShortName(name.to_owned()));
    }
    Ok(())
}

/// `CARGO~1.TOM`: up to eight characters with a tilde and a number at their end, and up to three after a dot.
fn is_short_name(name: &str) -> bool {
    let (stem, extension) = name.split_once('.').unwrap_or((name, ""));
    let Some((_, number)) = stem.rsplit_once('~') else { return false };
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    is_number && stem.chars().count() <= 8 && extension.chars().count() <= 3
}

/// A path as the least particular file system compares it: case, the way in which accents are written, and what is not seen
/// make no difference.
pub(crate) fn folded(path: &str) -> String {
    if path.is_ascii() {
        return path.to_ascii_lowercase();
    }
    let seen: String = path.chars().filter(|character| !is_ignorable(*character)).collect();
    let normalizer = DecomposingNormalizerBorrowed::new_nfd();
    let lower = normalizer.normalize(&seen).to_uppercase().to_lowercase();
    normalizer.normalize(&lower).into_owned()
}

/// The paths that were seen. Of each, and of the folders it is in, a hash is kept.
#[derive(Default)]
pub(crate) struct Seen {
    what: HashMap<[u8; 16], What>,
    files: usize,
    bytes: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    File,
    Folder,
}

impl Seen {
    /// Adds a file, if there was no such file or folder before.
    pub(crate) fn add(&mut self, path: &str) -> Result<(), CrateFileError> {
        self.files += 1;
        self.bytes += path.len();
        if self.files > MAX_ENTRIES {
            return Err(CrateFileError::TooMuch("more than 65,536 files"));
        }
        if self.bytes > MAX_PATHS {
            return Err(CrateFileError::TooMuch("paths of more than 4 MiB together"));
        }
        let folded = folded(path);
        let mut hash = Sha256::new();
        let mut parts = folded.split('/').peekable();
        while let Some(part) = parts.next() {
            hash.update(part);
            hash.update("/");
            let what = if parts.peek().is_some() { What::Folder } else { What::File };
            let key = *hash.clone().finalize().first_chunk().expect("SHA-256 has 32 bytes");
            match self.what.insert(key, what) {
                None => {}
                Some(What::Folder) if what == What::Folder => {}
                Some(before) if before == what => return Err(CrateFileError::PathTwice(shown(path))),
                Some(_) => return Err(CrateFileError::FileAndFolder(shown(path))),
            }
        }
        if self.what.len() > 2 * MAX_ENTRIES {
            return Err(CrateFileError::TooMuch("more than 65,536 folders"));
        }
        Ok(())
    }
}

fn shown(path: &str) -> String {
    escaped(path.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "hello-1.0.0/";

    fn reason(name: &str) -> Option<PathError> {
        match checked(format!("{ROOT}{name}").as_bytes(), ROOT) {
            Ok(_) => None,
            Err(CrateFileError::Path { reason, .. }) => Some(reason),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn names_that_people_have() {
        for name in [
            "src/lib.rs",
            ".cargo_vcs_info.json",
            "a b.txt",
            " a",
            "été.txt",
            "日本語.txt",
            "Ελληνικά/α",
            "עברית.rs",
            "عربي",
            "👩\u{200D}🔬.png",
            "❤\u{FE0F}",
            "می\u{200C}خواهم",
            "shot 1.00\u{202F}PM.png",
            "a~b",
            "~1",
            "long-name~1.txt",
            "x~1.text",
            "aux.rs",
            "CON",
            "…",
            "a..b",
            "-",
            "~",
            "e\u{301}",
            "$DATA",
            "[x]",
            "a;b",
            "it's",
            "100%",
            "#",
        ] {
            let short = matches!(name, "~1");
            assert_eq!(reason(name).is_some(), short, "{name}: {:?}", reason(name));
        }
    }

    #[test]
    fn names_that_are_others_somewhere() {
        let elsewhere = || PathError::Elsewhere(ROOT.to_owned());
        for (name, expected) in [
            ("", elsewhere()),
            (".", elsewhere()),
            ("../x", elsewhere()),
            ("a//b", elsewhere()),
            ("a/", elsewhere()),
            ("a/./b", elsewhere()),
            ("Cargo.toml.", PathError::End("Cargo.toml.".to_owned())),
            ("src./lib.rs", PathError::End("src.".to_owned())),
            ("Cargo.toml ", PathError::End("Cargo.toml ".to_owned())),
            ("...", PathError::End("...".to_owned())),
            ("Cargo.toml::$DATA", PathError::Windows(':')),
            ("src:x/lib.rs", PathError::Windows(':')),
            ("a\\b", PathError::Windows('\\')),
            ("a*", PathError::Windows('*')),
            ("CARGO~1.TOM", PathError::ShortName("CARGO~1.TOM".to_owned())),
            ("x/cargo~12", PathError::ShortName("cargo~12".to_owned())),
            ("a\nb", PathError::Hidden('\n')),
            ("a\u{7F}", PathError::Hidden('\u{7F}')),
            ("a\u{85}", PathError::Hidden('\u{85}')),
            ("a\u{202E}b", PathError::Hidden('\u{202E}')),
            ("a\u{2066}b", PathError::Hidden('\u{2066}')),
            ("a\u{200B}", PathError::Hidden('\u{200B}')),
            ("\u{FEFF}a", PathError::Hidden('\u{FEFF}')),
            ("a\u{AD}", PathError::Hidden('\u{AD}')),
            ("a\u{3164}", PathError::Hidden('\u{3164}')),
            ("a\u{E0041}", PathError::Hidden('\u{E0041}')),
            ("a\u{2028}", PathError::Hidden('\u{2028}')),
            (&"d/".repeat(64), elsewhere()),
        ] {
            assert_eq!(reason(name), Some(expected), "{name:?}");
        }
        assert_eq!(reason(&format!("{}x", "d/".repeat(63))), None);
        assert_eq!(reason(&format!("{}x", "d/".repeat(64))), Some(PathError::TooDeep));
    }

    fn are_one(one: &str, other: &str) -> bool {
        let mut seen = Seen::default();
        seen.add(&format!("{ROOT}{one}")).unwrap();
        seen.add(&format!("{ROOT}{other}")).is_err()
    }

    #[test]
    fn paths_that_are_one_somewhere() {
        for (one, other) in [
            ("a", "a"),
            ("a", "A"),
            ("src/A", "SRC/a"),
            ("é", "É"),
            ("é", "e\u{301}"),
            ("É", "e\u{301}"),
            ("straße", "STRASSE"),
            ("ſrc", "src"),
            ("\u{212A}", "k"),
            ("ς", "σ"),
            ("ﬁ", "fi"),
            ("가", "\u{1100}\u{1161}"),
            ("❤\u{FE0F}", "❤"),
            ("a\u{200D}b", "ab"),
            ("a", "a/b"),
            ("a/b", "A"),
            ("é/x", "E\u{301}"),
        ] {
            assert!(are_one(one, other) && are_one(other, one), "{one:?} {other:?}");
        }
        for (one, other) in
            [("a", "b"), ("a/b", "a/c"), ("é", "e"), ("а", "a"), ("a/b", "ab"), ("x/y", "x-y")]
        {
            assert!(!are_one(one, other), "{one:?} {other:?}");
        }
    }

    #[test]
    fn how_much_is_kept() {
        let mut seen = Seen::default();
        let all = (0..MAX_ENTRIES).try_for_each(|number| seen.add(&format!("r/{number}")));
        assert!(all.is_ok());
        assert!(matches!(seen.add("r/x"), Err(CrateFileError::TooMuch("more than 65,536 files"))));
        let mut seen = Seen::default();
        let long = "x".repeat(4000);
        let added = (0..2000).find_map(|number| seen.add(&format!("{number}/{long}")).err());
        assert!(matches!(added, Some(CrateFileError::TooMuch("paths of more than 4 MiB together"))));
        let mut seen = Seen::default();
        let deep = "d/".repeat(60);
        let added = (0..MAX_ENTRIES).find_map(|number| seen.add(&format!("{number}/{deep}x")).err());
        assert!(matches!(added, Some(CrateFileError::TooMuch("more than 65,536 folders"))));
    }
}

//! A staged version and its file. Nothing that is shown of what is in it comes from anywhere else.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::path::Path;

use asymmetric_token::{Checksum, Mutation};
use crate_file::metadata::{self, Metadata};
use crate_file::{CrateFile, nesting};
use semver::Version;
use sha2::{Digest as _, Sha256};
use toml_edit::{DocumentMut, Item};

use crate::error::Error;
use crate::index_url::IndexUrl;
use crate::registry::staged::Stage;
use crate::text::{escape, sentence};

/// A staged version whose file has the checksum, the name and the version that the registry says.
pub(super) struct Candidate {
    pub(super) stage: Stage,
    pub(super) file: Vec<u8>,
    pub(super) contents: Contents,
    /// That of the file, as it was hashed here.
    checksum: Checksum,
    /// The file's, in bytes.
    pub(super) length: usize,
}

impl Candidate {
    /// Reads a file that was downloaded.
    ///
    /// # Errors
    /// [`Error::NotTheStaged`].
    pub(super) fn read(stage: Stage, file: Vec<u8>, index: &IndexUrl) -> Result<Self, Error> {
        let differs = |why| Error::NotTheStaged { version: format!("{} {}", stage.name, stage.version), why };
        let checksum = Checksum(Sha256::digest(&file).into());
        if checksum != stage.checksum {
            return Err(differs(format!("its file has the checksum {checksum}, and not {}", stage.checksum)));
        }
        let contents = Contents::read(&file, stage.name.as_str(), &stage.version, index).map_err(differs)?;
        Ok(Self { stage, contents, checksum, length: file.len(), file })
    }

    /// The same, where nobody looks at the file any more. It may have 64 MiB, and there may be many.
    pub(super) fn without_file(self) -> Self {
        Self { file: Vec::new(), ..self }
    }

    /// The publish of this very file.
    pub(super) fn publish(&self) -> Mutation {
        Mutation::Publish {
            name: self.stage.name.clone(),
            version: self.stage.version.clone(),
            checksum: self.checksum,
        }
    }

    pub(super) fn called(&self) -> String {
        format!("{} {}", self.stage.name, self.stage.version)
    }
}

/// What is in a crate file.
pub(super) struct Contents {
    pub(super) metadata: Metadata,
    /// By path.
    pub(super) files: BTreeMap<String, File>,
    /// The build script, by its path.
    pub(super) build_script: Option<String>,
    /// Whether it runs in the compiler of whatever depends on it.
    pub(super) is_proc_macro: bool,
    /// The programs that it installs, by their names.
    pub(super) programs: Vec<String>,
}

/// One file of a crate.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct File {
    hash: [u8; 32],
    /// In bytes.
    pub(super) length: u64,
    /// Whether it is UTF-8 without NUL.
    pub(super) is_text: bool,
}

impl File {
    /// Reads a file piece by piece: it may be as long as a crate may unpack to.
    fn read(content: &mut dyn Read) -> std::io::Result<Self> {
        let (mut hash, mut length, mut is_text) = (Sha256::new(), 0, true);
        let mut buffer = vec![0; 64 << 10];
        // At the buffer's beginning is what was read of a character that is not there as a whole.
        let mut begun = 0;
        loop {
            let read = content.read(&mut buffer[begun..])?;
            if read == 0 {
                let hash = hash.finalize().into();
                return Ok(Self { hash, length, is_text: is_text && begun == 0 });
            }
            let end = begun + read;
            hash.update(&buffer[begun..end]);
            length += read as u64;
            let whole = match std::str::from_utf8(&buffer[..end]) {
                Ok(text) => text.len(),
                Err(error) if error.error_len().is_none() => error.valid_up_to(),
                Err(_) => {
                    is_text = false;
                    end
                }
            };
            is_text &= !buffer[..end].contains(&0);
            buffer.copy_within(whole..end, 0);
            begun = end - whole;
        }
    }
}

impl Contents {
    /// Reads a crate file.
    ///
    /// # Errors
    /// A sentence, safe to show.
    pub(super) fn read(file: &[u8], name: &str, version: &Version, index: &str) -> Result<Self, String> {
        let length = file.len() as u64;
        let version = version.to_string();
        let metadata = metadata::of_signed(Cursor::new(file), length, name, &version, index)
            .map_err(|error| escape(&sentence(&error)))?;
        let mut files = BTreeMap::new();
        let mut archive = CrateFile::open(Cursor::new(file), length, name, &version)
            .map_err(|error| escape(&sentence(&error)))?;
        archive
            .each(|path, content| {
                files.insert(path.to_owned(), File::read(content)?);
                Ok(())
            })
            .map_err(|error| escape(&sentence(&error)))?;
        let manifest = manifest(archive.manifest()).ok_or("its Cargo.toml is not TOML")?;
        let has = |path: &str| files.contains_key(path);
        Ok(Self {
            build_script: build_script(&manifest, has),
            is_proc_macro: is_proc_macro(&manifest),
            programs: programs(&manifest, &metadata.name, files.keys()),
            metadata,
            files,
        })
    }
}

fn manifest(text: &str) -> Option<DocumentMut> {
    nesting::of_toml(text).ok()?;
    text.parse().ok()
}

/// Cargo before 1.80 leaves out of a packaged manifest what it finds by itself: `build.rs` at the top.
fn build_script(manifest: &DocumentMut, has: impl Fn(&str) -> bool) -> Option<String> {
    const FOUND: &str = "build.rs";
    let found = || has(FOUND).then(|| FOUND.to_owned());
    match manifest.get("package").and_then(|package| package.get("build")) {
        None => found(),
        Some(build) => match (build.as_str(), build.as_bool()) {
            (Some(path), _) => Some(resolved(path)),
            (None, Some(false)) => None,
            (None, Some(true)) => found(),
            // A list of several scripts is unstable; whatever is there runs.
            _ => Some(build.to_string().trim().to_owned()),
        },
    }
}

/// A path of a manifest as the paths of a crate file are written, without `.` and `..`; on Windows a backslash is a slash. One that begins
/// elsewhere is left as it is, and no file of the crate has it.
fn resolved(path: &str) -> String {
    if path.starts_with(['/', '\\']) {
        return path.to_owned();
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split(['/', '\\']) {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn is_proc_macro(manifest: &DocumentMut) -> bool {
    let library = manifest.get("lib");
    let is_set = |key| library.and_then(|lib| lib.get(key)?.as_bool()).unwrap_or(false);
    let types = library.and_then(|lib| lib.get("crate-type").or_else(|| lib.get("crate_type")));
    let kinds = types.and_then(Item::as_array).into_iter().flatten();
    is_set("proc-macro")
        || is_set("proc_macro")
        || kinds.into_iter().any(|kind| kind.as_str() == Some("proc-macro"))
}

/// Those that the manifest names, and those that cargo finds by their paths, unless the manifest forbids that or has given the path another
/// name.
fn programs<'a>(
    manifest: &DocumentMut,
    package: &str,
    paths: impl Iterator<Item = &'a String>,
) -> Vec<String> {
    // Tables or an inline array.
    let bins = manifest.get("bin").cloned().and_then(|bin| bin.into_array_of_tables().ok());
    let bins = bins.unwrap_or_default();
    let all = |key: &'static str| bins.iter().filter_map(move |bin| bin.get(key)?.as_str());
    let mut programs: Vec<_> = all("name").map(str::to_owned).collect();
    // As cargo compares them, which does not resolve `..`.
    let in_package = |path: &str| Path::new("package").join(path);
    let is_named = |path: &str| all("path").any(|named| in_package(named) == in_package(path));
    let finds_none = manifest.get("package").and_then(|package| package.get("autobins")?.as_bool());
    if finds_none != Some(false) {
        let found =
            paths.filter(|path| !is_named(path)).filter_map(|path| match path.strip_prefix("src/bin/") {
                Some(program) => {
                    let program = program.strip_suffix("/main.rs").or_else(|| program.strip_suffix(".rs"))?;
                    (!program.contains('/')).then_some(program)
                }
                None => (path == "src/main.rs").then_some(package),
            });
        programs.extend(found.map(str::to_owned));
    }
    programs.sort();
    programs.dedup();
    programs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> DocumentMut {
        manifest(text).unwrap()
    }

    #[test]
    fn a_build_script_is_found_however_it_is_named() {
        let script = |text: &str, has: &[&str]| build_script(&read(text), |path| has.contains(&path));
        assert_eq!(script("[package]\nbuild = \"x/y.rs\"", &[]).unwrap(), "x/y.rs");
        assert_eq!(script("[package]\nbuild = \"./build.rs\"", &[]).unwrap(), "build.rs");
        for (path, file) in [
            ("./x/../e.rs", "e.rs"),
            ("x/.//y.rs", "x/y.rs"),
            ("x\\..\\e.rs", "e.rs"),
            ("../a-1.0.0/e.rs", "../a-1.0.0/e.rs"),
            ("x/../../e.rs", "../e.rs"),
            ("/e.rs", "/e.rs"),
        ] {
            assert_eq!(script(&format!("[package]\nbuild = '{path}'"), &[]).unwrap(), file, "{path}");
        }
        assert_eq!(script("[package]\nbuild = false", &["build.rs"]), None);
        assert_eq!(script("[package]", &["build.rs"]).unwrap(), "build.rs");
        assert_eq!(script("[package]", &[]), None);
        assert_eq!(script("[package]\nbuild = [\"a.rs\", \"b.rs\"]", &[]).unwrap(), r#"["a.rs", "b.rs"]"#);
    }

    #[test]
    fn text_is_text_wherever_a_piece_of_it_ends() {
        let is_text = |bytes: &[u8]| File::read(&mut &bytes[..]).unwrap().is_text;
        let long = "ü€😀".repeat(30_000);
        for start in ["", "a", "ab"] {
            assert!(is_text([start, &long].concat().as_bytes()), "{start}");
        }
        for binary in [&b"a\0b"[..], b"\xff", &long.as_bytes()[..long.len() - 1]] {
            assert!(!is_text(binary));
        }
        let file = File::read(&mut long.as_bytes()).unwrap();
        assert_eq!((file.length, file.hash), (long.len() as u64, Sha256::digest(&long).into()));
    }

    #[test]
    fn what_runs_in_the_compiler_is_known() {
        for text in
            ["[lib]\nproc-macro = true", "[lib]\nproc_macro = true", "[lib]\ncrate-type = [\"proc-macro\"]"]
        {
            assert!(is_proc_macro(&read(text)), "{text}");
        }
        assert!(!is_proc_macro(&read("[lib]\nproc-macro = false")));
    }

    #[test]
    fn programs_are_those_of_the_manifest_or_found() {
        let paths =
            ["src/main.rs", "src/bin/x.rs", "src/bin/y/main.rs", "src/bin/y/other.txt", "src/bin/y/part.rs"]
                .map(str::to_owned);
        let of = |text: &str| programs(&read(text), "p", paths.iter());
        assert_eq!(of(""), ["p", "x", "y"]);
        let z = |path: &str, package: &str| {
            let path = format!("name = \"z\"\npath = \"{path}\"");
            let tables = of(&format!("{package}[[bin]]\n{path}"));
            let inline = format!("bin = [{{ {} }}]\n{package}", path.replace('\n', ", "));
            assert_eq!(of(&inline), tables, "{inline}");
            tables
        };
        assert_eq!(z("src/z.rs", ""), ["p", "x", "y", "z"]);
        assert_eq!(z("src/main.rs", ""), ["x", "y", "z"]);
        assert_eq!(z("./src//bin/x.rs", ""), ["p", "y", "z"]);
        assert_eq!(z("a/../src/main.rs", ""), ["p", "x", "y", "z"]);
        assert_eq!(z("src/z.rs", "[package]\nautobins = false\n"), ["z"]);
        assert!(of("[package]\nautobins = false").is_empty());
    }
}

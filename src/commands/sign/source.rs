//! Whether a crate file is what a git repository has: the commit that the file itself names is compared with it, file for file.
//!
//! Three files are made by cargo. Of these `.cargo_vcs_info.json` names the commit; `Cargo.toml` has to be what a cargo that the person names
//! makes of git's, or else is shown; and so is `Cargo.lock`, unless git has that very one. A file that a filter, LFS or a submodule has put
//! there is in no commit, and differs.

use std::fs;
use std::io::{self, Cursor};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate_file::{CrateFile, MAX_README};
use serde_json::Value;

use super::git::{Commit, Contents};
use crate::folder;
use crate::process::{UnclosedQuote, bounded, words};
use crate::text::{escape, quoted};

const VCS_INFO: &str = ".cargo_vcs_info.json";
const MANIFEST: &str = "Cargo.toml";
const ORIGINAL: &str = "Cargo.toml.orig";
const LOCK: &str = "Cargo.lock";

/// How long cargo may take to package.
const CARGO_LIMIT: Duration = Duration::from_mins(2);
/// The most that it may say, in bytes.
const LONGEST: u64 = 1 << 20;
/// The most files of a commit that are laid out for cargo.
const MOST_FILES: usize = 100_000;
/// As many differences are named.
const MOST_NAMED: usize = 10;

/// What was compared, and what the person has to look at.
#[derive(Debug, Default)]
pub(super) struct Compared {
    /// How many files are git's.
    pub(super) equal: usize,
    /// The commit, and what the repository calls it; safe to show.
    pub(super) commit: String,
    /// Files that only a person can judge: what is said of each, and its text.
    pub(super) shown: Vec<(String, String)>,
}

/// Compares a crate file with a repository.
///
/// # Errors
/// A sentence: why it cannot be compared, or what differs.
pub(super) fn compare(
    file: &[u8],
    (name, version): (&str, &str),
    repository: &Path,
    cargo: Option<&str>,
    cargo_home: &Path,
) -> Result<Compared, String> {
    let work = Work::new(cargo_home).map_err(|error| format!("no folder can be made to work in: {error}"))?;
    let length = file.len() as u64;
    let mut file = CrateFile::open(Cursor::new(file), length, name, version)
        .map_err(|error| escape(&error.to_string()))?;
    let (id, package) = vcs_info(&mut file)?;
    let commit = Commit::fetch(&id, repository, &work.0)?;
    let called =
        if commit.names.is_empty() { String::new() } else { format!(" ({})", commit.names.join(", ")) };
    let mut compared =
        Compared { commit: escape(&format!("{}{called}", commit.id())), ..Compared::default() };
    let mut contents = commit.contents().map_err(|error| format!("git cannot be asked: {error}"))?;
    compare_files(&mut file, &package, &commit, &mut contents, &mut compared)?;
    let manifest = file.manifest().to_owned();
    let made =
        cargo.map(|cargo| normalised(cargo, (name, version), &package, &commit, &mut contents, &work.0));
    match made {
        Some(Ok(made)) if made == manifest => compared.equal += 1,
        Some(Ok(_)) => compared
            .shown
            .push((format!("{MANIFEST} differs from what this cargo makes from git's"), manifest)),
        Some(Err(why)) => compared.shown.push((format!("{MANIFEST} was not compared: {why}"), manifest)),
        None => compared.shown.push((
            format!("{MANIFEST} was made by cargo, and no --cargo was given to make it again"),
            manifest,
        )),
    }
    Ok(compared)
}

/// The commit, and the package's folder in it, without slashes around.
fn vcs_info<R: io::Read + io::Seek>(file: &mut CrateFile<R>) -> Result<(String, String), String> {
    let text = file.text(VCS_INFO).map_err(|error| escape(&error.to_string()))?;
    let text = text.ok_or("the file names no commit: it was packaged outside of git")?;
    let info: Value =
        asymmetric_token::strict_json::parse(&text).map_err(|_| format!("its {VCS_INFO} is no JSON"))?;
    let id = info["git"]["sha1"].as_str().ok_or("the file names no commit of git")?;
    let folder = info["path_in_vcs"].as_str().unwrap_or_default().trim_matches('/');
    Ok((id.to_owned(), folder.to_owned()))
}

fn compare_files<R: io::Read + io::Seek>(
    file: &mut CrateFile<R>,
    package: &str,
    commit: &Commit,
    contents: &mut Contents<'_>,
    compared: &mut Compared,
) -> Result<(), String> {
    let documents = documents(file.manifest());
    let (mut differ, mut has_original) = (Vec::new(), false);
    let looked = file.each(|path, content| {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes)?;
        has_original |= path == ORIGINAL;
        match path {
            VCS_INFO | MANIFEST => return Ok(()),
            LOCK => {
                if is_in_git(&bytes, &at(package, LOCK), contents)? == Some(true) {
                    compared.equal += 1;
                } else {
                    compared.shown.push((
                        format!("{LOCK} is not git's; only `cargo install --locked` uses it"),
                        String::from_utf8_lossy(&bytes).into_owned(),
                    ));
                }
                return Ok(());
            }
            _ => {}
        }
        let in_git = at(package, if path == ORIGINAL { MANIFEST } else { path });
        let mut found = is_in_git(&bytes, &in_git, contents)?;
        if found.is_none() && documents.iter().any(|document| document == path) {
            // Cargo puts them beside the manifest, wherever they are.
            let name = format!("/{path}");
            let elsewhere: Vec<_> = commit
                .paths()
                .filter(|other| *other == path || other.ends_with(&name))
                .map(str::to_owned)
                .collect();
            for other in elsewhere {
                found = found.max(is_in_git(&bytes, &other, contents)?);
            }
        }
        match found {
            Some(true) => compared.equal += 1,
            Some(false) => differ.push(format!("{path} differs")),
            None => differ.push(format!("{path} is not there")),
        }
        Ok(())
    });
    looked.map_err(|error| escape(&error.to_string()))?;
    if !has_original {
        differ.push(format!("there is no {ORIGINAL} to compare with git's {MANIFEST}"));
    }
    if differ.is_empty() {
        return Ok(());
    }
    let more = differ.len().saturating_sub(MOST_NAMED);
    differ.truncate(MOST_NAMED);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    Err(format!("it differs from commit {}: {}{more}", commit.id(), escape(&differ.join("; "))))
}

/// Whether a file is git's at a path; `None` if git has none there.
fn is_in_git(bytes: &[u8], path: &str, contents: &mut Contents<'_>) -> io::Result<Option<bool>> {
    let Some(entry) = contents.find(path)? else { return Ok(None) };
    Ok(Some(entry.length == bytes.len() as u64 && contents.read(&entry)? == bytes))
}

fn at(package: &str, path: &str) -> String {
    if package.is_empty() { path.to_owned() } else { format!("{package}/{path}") }
}

/// The readme and the licence, which may come from outside the package's folder.
fn documents(manifest: &str) -> Vec<String> {
    let manifest: Option<toml_edit::DocumentMut> =
        crate_file::nesting::of_toml(manifest).ok().and_then(|()| manifest.parse().ok());
    let package = manifest.as_ref().and_then(|manifest| manifest.get("package"));
    let text = |key| package.and_then(|package| package.get(key)?.as_str()).map(str::to_owned);
    [text("readme"), text("license-file")].into_iter().flatten().filter(|path| !path.contains('/')).collect()
}

/// What a cargo makes of git's manifest. It gets the commit's manifests, and of all other files only that they are there: no code of the
/// repository's, and none of its configuration. Cargo reads that of the folder it is started in, which is ours.
fn normalised(
    cargo: &str,
    (name, version): (&str, &str),
    package: &str,
    commit: &Commit,
    contents: &mut Contents<'_>,
    work: &Path,
) -> Result<String, String> {
    let io = |error: io::Error| error.to_string();
    let tree = work.join("tree");
    lay_out(commit, contents, &tree).map_err(io)?;
    let words = words(cargo).map_err(|UnclosedQuote| "--cargo has a double quote that is not closed")?;
    let (program, arguments) = words.split_first().ok_or("--cargo names no program")?;
    let package_with = |more: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(work);
        command.args(["package", "--quiet", "--no-verify", "--offline", "--allow-dirty"]).args(more);
        command.arg("--manifest-path").arg(tree.join(at(package, MANIFEST)));
        command.arg("--target-dir").arg(work.join("target"));
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("GIT_") {
                command.env_remove(variable);
            }
        }
        bounded::run(&mut command, CARGO_LIMIT, LONGEST)
    };
    // Without the lock file nothing has to be resolved. Cargo before 1.88 cannot do without.
    let mut ended = package_with(&["--exclude-lockfile"]).map_err(io)?;
    if !ended.status.success() {
        ended = package_with(&[]).map_err(io)?;
    }
    if !ended.status.success() {
        return Err(format!("this cargo says\n{}", quoted(&String::from_utf8_lossy(&ended.stderr))));
    }
    let made = work.join(format!("target/package/{name}-{version}.crate"));
    let made = fs::read(made).map_err(io)?;
    let length = made.len() as u64;
    let made = CrateFile::open(Cursor::new(made), length, name, version);
    made.map(|made| made.manifest().to_owned()).map_err(|error| escape(&error.to_string()))
}

fn lay_out(commit: &Commit, contents: &mut Contents<'_>, tree: &Path) -> io::Result<()> {
    for path in commit.paths().take(MOST_FILES) {
        let is_plain = |part: &str| {
            !matches!(part, "" | "." | ".." | ".cargo")
                && !part.eq_ignore_ascii_case(".git")
                && !part.contains(['\\', ':'])
        };
        if !path.split('/').all(is_plain) {
            continue;
        }
        let Some(entry) = contents.find(path)? else { continue };
        let is_manifest = path.rsplit('/').next() == Some(MANIFEST);
        let text = match is_manifest && entry.length <= MAX_README {
            true => contents.read(&entry)?,
            false => Vec::new(),
        };
        let file = tree.join(path);
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(file, text)?;
    }
    Ok(())
}

/// A folder of this process, below cargo's home: above it is no configuration but the person's. It goes when this is dropped.
struct Work(PathBuf);

impl Work {
    fn new(cargo_home: &Path) -> io::Result<Self> {
        let ours = folder::in_cargo_home(cargo_home);
        folder::create(&ours).map_err(io::Error::other)?;
        let folder = ours.join(format!("source-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        folder::create(&folder).map_err(io::Error::other)?;
        Ok(Self(folder.canonicalize()?))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

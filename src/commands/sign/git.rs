//! git, asked about one commit of a repository that may be anybody's.
//!
//! A repository's own configuration and hooks name programs. So no command runs in it but `upload-pack`, by way of a fetch into an empty
//! repository of ours, which is what git holds to be safe with a folder that one does not trust (git(1), "SECURITY"); nothing is
//! checked out, so no filter runs and no submodule is looked for. The person's own configuration has no part in it either.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use crate::process::bounded;
use crate::process::child::Owned;
use crate::text::quoted;

/// How long git may take for one command.
const LIMIT: Duration = Duration::from_mins(5);
/// The longest list of files that is read, in bytes.
const LONGEST: u64 = 64 << 20;
/// The longest target of a symbolic link, in bytes.
const LONGEST_LINK: u64 = 4096;
/// How many links are followed for one file.
const MOST_LINKS: usize = 8;

/// A commit's files, in a repository of ours.
pub(super) struct Commit {
    git_dir: PathBuf,
    id: String,
    files: BTreeMap<String, Entry>,
    /// What the repository calls this commit.
    pub(super) names: Vec<String>,
}

/// A file or link in a commit.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    is_link: bool,
    object: String,
    /// In bytes.
    pub(super) length: u64,
}

impl Commit {
    /// Fetches a commit, by its full id, into the folder `work`.
    pub(super) fn fetch(id: &str, repository: &Path, work: &Path) -> Result<Self, String> {
        let is_id = matches!(id.len(), 40 | 64) && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_id {
            return Err("the file names no commit of git by its full id".to_owned());
        }
        let cannot = |error: io::Error| format!("{} cannot be read: {error}", repository.display());
        let repository = repository.canonicalize().map_err(cannot)?;
        let git_dir = work.join("git");
        let format = if id.len() == 40 { "--object-format=sha1" } else { "--object-format=sha256" };
        let mut init = git(work);
        init.args(["init", "--quiet", "--bare", "--template=", format]).arg(&git_dir);
        said(&mut init)?;
        let mut fetch = git(work);
        fetch.arg("--git-dir").arg(&git_dir);
        fetch.args(["fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", "--"]);
        fetch.arg(&repository).arg(id);
        said(&mut fetch)?;
        let mut list = git(work);
        list.arg("--git-dir").arg(&git_dir).args(["ls-tree", "-r", "-l", "-z", "--full-tree", id]);
        let files = entries(&said(&mut list)?);
        let mut refs = git(work);
        refs.arg("--git-dir").arg(&git_dir).args(["ls-remote", "--quiet", "--"]).arg(&repository);
        let names = said(&mut refs).map(|refs| names(&refs, id)).unwrap_or_default();
        Ok(Self { git_dir, id: id.to_owned(), files, names })
    }

    /// Its full id.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// All paths, with a slash between folders.
    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// Reads what its files hold.
    pub(super) fn contents(&self) -> io::Result<Contents<'_>> {
        let mut command = git(&self.git_dir);
        command.arg("--git-dir").arg(&self.git_dir).args(["cat-file", "--batch"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let child = Owned::spawn(&mut command)?;
        let missing = || io::Error::from(io::ErrorKind::BrokenPipe);
        let input = child.child().stdin.take().ok_or_else(missing)?;
        let output = BufReader::new(child.child().stdout.take().ok_or_else(missing)?);
        Ok(Contents { commit: self, input, output, _child: child })
    }
}

/// A running git that gives objects.
pub(super) struct Contents<'a> {
    commit: &'a Commit,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    _child: Owned,
}

impl Contents<'_> {
    /// The file at a path, by way of links within the commit. Nothing leads out of it.
    pub(super) fn find(&mut self, path: &str) -> io::Result<Option<Entry>> {
        let mut path = path.to_owned();
        for _ in 0..=MOST_LINKS {
            let Some((link, rest)) = self.first_link(&path) else {
                return Ok(self.commit.files.get(&path).cloned());
            };
            let entry = self.commit.files[&link].clone();
            if entry.length > LONGEST_LINK {
                return Ok(None);
            }
            let target = String::from_utf8(self.read(&entry)?).unwrap_or_default();
            match joined(&link, &target, &rest) {
                Some(target) => path = target,
                None => return Ok(None),
            }
        }
        Ok(None)
    }

    /// The bytes of a file.
    pub(super) fn read(&mut self, entry: &Entry) -> io::Result<Vec<u8>> {
        writeln!(self.input, "{}", entry.object)?;
        self.input.flush()?;
        let mut head = String::new();
        (&mut self.output).take(256).read_line(&mut head)?;
        if head.trim_end() != format!("{} blob {}", entry.object, entry.length) {
            return Err(io::Error::other("git gives something else than it has listed"));
        }
        let mut bytes = Vec::new();
        (&mut self.output).take(entry.length).read_to_end(&mut bytes)?;
        let mut end = [0];
        self.output.read_exact(&mut end)?;
        if bytes.len() as u64 == entry.length && end == *b"\n" {
            Ok(bytes)
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }

    /// The first part of a path that is a link, and what comes after it.
    fn first_link(&self, path: &str) -> Option<(String, String)> {
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        let mut parts = ends.map(|end| path.split_at(end));
        let (link, rest) =
            parts.find(|(part, _)| self.commit.files.get(*part).is_some_and(|entry| entry.is_link))?;
        Some((link.to_owned(), rest.to_owned()))
    }
}

/// Where a link leads, with what comes after it; `None` if that is outside.
fn joined(link: &str, target: &str, rest: &str) -> Option<String> {
    if target.is_empty() || target.starts_with('/') {
        return None;
    }
    let folder = link.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts = Vec::new();
    for part in folder.split('/').chain(target.split('/')).chain(rest.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

fn entries(list: &[u8]) -> BTreeMap<String, Entry> {
    let records = list.split(|byte| *byte == 0).filter_map(|record| std::str::from_utf8(record).ok());
    let entry = |record: &str| {
        let (head, path) = record.split_once('\t')?;
        let mut words = head.split_ascii_whitespace();
        let (mode, kind, object) = (words.next()?, words.next()?, words.next()?.to_owned());
        let length = words.next()?.parse().ok()?;
        (kind == "blob").then(|| (path.to_owned(), Entry { is_link: mode == "120000", object, length }))
    };
    records.filter_map(entry).collect()
}

fn names(refs: &[u8], id: &str) -> Vec<String> {
    let refs = String::from_utf8_lossy(refs);
    let of_it = refs.lines().filter_map(|line| line.strip_prefix(id)?.strip_prefix('\t'));
    let mut names: Vec<_> = of_it
        .map(|name| name.trim_end_matches("^{}"))
        .filter_map(|name| name.strip_prefix("refs/tags/").or_else(|| name.strip_prefix("refs/heads/")))
        .map(str::to_owned)
        .collect();
    names.dedup();
    names.truncate(5);
    names
}

/// git without anybody's configuration, which may reach no other computer and ask nobody.
fn git(folder: &Path) -> Command {
    let mut command = Command::new("git");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("GIT_")) {
        command.env_remove(name);
    }
    command
        .current_dir(folder)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", if cfg!(windows) { "NUL" } else { "/dev/null" })
        .env("GIT_ATTR_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_NO_LAZY_FETCH", "1")
        .env("GIT_NO_REPLACE_OBJECTS", "1")
        .env("GIT_ALLOW_PROTOCOL", "file")
        .args(["-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "protocol.version=2"])
        .args(["-c", "gc.auto=0", "-c", "maintenance.auto=false", "-c", "fetch.fsckObjects=true"]);
    command
}

/// What a command of git prints.
fn said(command: &mut Command) -> Result<Vec<u8>, String> {
    let ended = bounded::run(command, LIMIT, LONGEST).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => "there is no git on PATH".to_owned(),
        io::ErrorKind::TimedOut => format!("git was not done after {} minutes", LIMIT.as_secs() / 60),
        _ => format!("git cannot be asked: {error}"),
    })?;
    if ended.status.success() {
        return Ok(ended.stdout);
    }
    Err(format!(
        "git does not have the commit there; it says\n{}",
        quoted(&String::from_utf8_lossy(&ended.stderr))
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_nowhere_else() {
        assert_eq!(joined("a/LICENSE", "../LICENSE", "").as_deref(), Some("LICENSE"));
        assert_eq!(joined("docs", "./x", "/y/z").as_deref(), Some("x/y/z"));
        assert_eq!(joined("a/b", "..", "/c").as_deref(), Some("c"));
        for outside in ["/etc/passwd", "..", "../../x", ""] {
            assert_eq!(joined("a", outside, ""), None, "{outside}");
        }
    }

    #[test]
    fn a_list_of_files_is_read() {
        let list = b"100644 blob aa      12\tCargo.toml\x00120000 blob bb       3\tlink\x00160000 commit cc       -\tsub\x00100644 blob dd 1\t\xff\x00";
        let entries = entries(list);
        assert_eq!(entries.keys().collect::<Vec<_>>(), ["Cargo.toml", "link"]);
        assert_eq!((entries["Cargo.toml"].length, entries["link"].is_link), (12, true));
        assert_eq!(
            names(b"aa\tHEAD\naa\trefs/tags/v1\naa\trefs/tags/v1^{}\nbb\trefs/heads/x\n", "aa"),
            ["v1"]
        );
    }
}

//! The index of a registry as a git repository in a folder.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use sha1::{Digest as _, Sha1};
use tempfile::TempDir;

/// A bare git repository, written object by object, so that no test needs the `git` program (gitformat-loose,
/// gitrepository-layout).
pub(crate) struct GitIndex(TempDir);

/// The SHA-1 of an object.
type ObjectId = [u8; 20];

impl GitIndex {
    pub(crate) fn create() -> Self {
        let directory = tempfile::Builder::new().prefix("ykc-index").tempdir().unwrap();
        let write = |file, text| fs::write(directory.path().join(file), text).unwrap();
        fs::create_dir_all(directory.path().join("refs/heads")).unwrap();
        write("HEAD", "ref: refs/heads/master\n");
        write("config", "[core]\n\trepositoryformatversion = 0\n\tbare = true\n");
        Self(directory)
    }

    /// As cargo has it: no `sparse+` before it, no slash behind.
    pub(crate) fn url(&self) -> String {
        format!("file://{}", self.0.path().display())
    }

    /// Makes these files the newest state: path and text.
    pub(crate) fn commit(&self, files: &BTreeMap<String, String>) {
        let branch = self.0.path().join("refs/heads/master");
        let parent = fs::read_to_string(&branch).map(|id| format!("parent {id}")).unwrap_or_default();
        let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let tree = hex(&self.tree(&files));
        let who = "registry <registry@localhost> 1800000000 +0000";
        let commit = format!("tree {tree}\n{parent}author {who}\ncommitter {who}\n\nAs published\n");
        fs::write(branch, format!("{}\n", hex(&self.object("commit", commit.as_bytes())))).unwrap();
    }

    /// Sorted files, those of one folder beside each other.
    fn tree(&self, files: &[(&str, &str)]) -> ObjectId {
        let folder = |path: &str| path.split_once('/').map(|(folder, _)| folder.to_owned());
        let mut entries = Vec::new();
        for group in files.chunk_by(|one, other| folder(one.0).is_some() && folder(one.0) == folder(other.0))
        {
            let (mode, name, id) = match folder(group[0].0) {
                None => ("100644", group[0].0.to_owned(), self.object("blob", group[0].1.as_bytes())),
                Some(name) => {
                    let below: Vec<_> =
                        group.iter().map(|(path, text)| (&path[name.len() + 1..], *text)).collect();
                    ("40000", name, self.tree(&below))
                }
            };
            entries.extend(format!("{mode} {name}\0").into_bytes());
            entries.extend(id);
        }
        self.object("tree", &entries)
    }

    fn object(&self, kind: &str, content: &[u8]) -> ObjectId {
        let object = [format!("{kind} {}\0", content.len()).as_bytes(), content].concat();
        let id = Sha1::digest(&object).into();
        let (folder, file) = (&hex(&id)[..2], &hex(&id)[2..]);
        let folder = self.0.path().join("objects").join(folder);
        fs::create_dir_all(&folder).unwrap();
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
        zlib.write_all(&object).unwrap();
        fs::write(folder.join(file), zlib.finish().unwrap()).unwrap();
        id
    }
}

fn hex(id: &ObjectId) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

//! Staged versions as a test has them, and crate files to stage.

use std::collections::BTreeMap;
use std::io::Write as _;

use asymmetric_token::Claims;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::loopback::{Reply, Request};

/// Something that happens to what is staged.
pub(crate) type Deed = Box<dyn FnOnce(&mut Staging) + Send>;

/// Staged versions, and what was done about them.
#[derive(Default)]
pub(crate) struct Staging {
    /// By id; each as it is shown.
    pub(crate) stages: BTreeMap<u64, Value>,
    /// By id.
    pub(crate) files: BTreeMap<u64, Vec<u8>>,
    /// What was asked, like `PUT 1/approve`.
    pub(crate) asked: Vec<String>,
    /// The publish tokens that came in, and the bodies of rejections.
    pub(crate) approved: Vec<Claims>,
    pub(crate) rejected: Vec<Value>,
    /// Read tokens that have rejected something.
    pub(crate) spent: Vec<String>,
    /// The staging token that is given to machines.
    pub(crate) token: String,
    /// What machines have staged with it, each as its metadata and file.
    pub(crate) pushed: Vec<(Value, Vec<u8>)>,
    /// What is answered instead, once, by what is asked.
    pub(crate) instead: BTreeMap<String, Reply>,
    /// What happens before an answer, once, by what is asked.
    pub(crate) before: BTreeMap<String, Deed>,
    /// How long an approval takes.
    pub(crate) slow: Option<std::time::Duration>,
}

impl Staging {
    pub(crate) fn is_machine(&self, request: &Request) -> bool {
        !self.token.is_empty() && request.token.as_ref() == Some(&self.token)
    }

    pub(crate) fn push(&mut self, request: &Request) -> Reply {
        let (metadata, file) = request.published();
        self.pushed.push((metadata, file.to_vec()));
        let words = "this is not published yet\u{1b}[2J: yk-cargo stage approve";
        let warnings = json!({"invalid_categories": [], "invalid_badges": [], "other": [words]});
        Reply::new("200 OK", json!({ "warnings": warnings }).to_string())
    }
}

/// A crate file as cargo makes it, with `src/lib.rs` unless another one is given.
pub(crate) fn crate_file(name: &str, version: &str, manifest: &str, files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), flate2::Compression::default()));
    let mut add = |path: &str, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(1);
        archive.append_data(&mut header, format!("{name}-{version}/{path}"), content).unwrap();
    };
    let package = format!(
        "[package]\nname = \"{name}\"\nversion = \"{version}\"\nedition = \"2024\"\nlicense = \"MIT\"\n\
         description = \"A crate\"\n{manifest}"
    );
    add("Cargo.toml", package.as_bytes());
    if files.iter().all(|(path, _)| *path != "src/lib.rs") {
        add("src/lib.rs", b"//! A crate.\n");
    }
    for (path, content) in files {
        add(path, content);
    }
    let mut packed = archive.into_inner().unwrap();
    packed.flush().unwrap();
    packed.finish().unwrap()
}

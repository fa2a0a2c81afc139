//! A log in memory, which can lie, and a witness that runs.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use transparency_log::{
    AddCheckpoint, Checkpoint, ConsistencyProof, Frontier, Hash, Plan, SignedCheckpoint, Signer, Tiles,
    TreeHead, Verifier,
};

use super::Response;

/// A log of at most 256 entries, and the key that signs it.
#[derive(Clone)]
pub(crate) struct MemoryLog {
    pub(crate) origin: String,
    pub(crate) seed: u8,
    pub(crate) leaves: Vec<Hash>,
}

impl MemoryLog {
    pub(crate) fn new(origin: &str, entries: usize) -> Self {
        let mut log = Self { origin: origin.to_owned(), seed: 7, leaves: Vec::new() };
        log.grow(entries, "entry");
        log
    }

    /// Appends as many entries of this text.
    pub(crate) fn grow(&mut self, entries: usize, text: &str) {
        for _ in 0..entries {
            self.leaves.push(Hash::leaf(format!("{text} {}", self.leaves.len()).as_bytes()).unwrap());
        }
    }

    /// The log as it was with fewer entries.
    pub(crate) fn cut(&self, size: usize) -> Self {
        Self { leaves: self.leaves[..size].to_vec(), ..self.clone() }
    }

    pub(crate) fn size(&self) -> usize {
        self.leaves.len()
    }

    pub(crate) fn head(&self) -> TreeHead {
        let mut frontier = Frontier::new();
        for leaf in &self.leaves {
            frontier.push(*leaf).unwrap();
        }
        frontier.head()
    }

    fn signer(&self) -> Signer {
        Signer::new(self.origin.parse().unwrap(), &[self.seed; 32])
    }

    pub(crate) fn key(&self) -> Verifier {
        self.signer().verifier().clone()
    }

    pub(crate) fn checkpoint(&self) -> SignedCheckpoint {
        let checkpoint = Checkpoint::new(self.origin.parse().unwrap(), self.head()).unwrap();
        let mut checkpoint = SignedCheckpoint::unsigned(checkpoint);
        checkpoint.sign(&self.signer()).unwrap();
        checkpoint
    }

    fn consistency(&self, old: usize) -> ConsistencyProof {
        let plan = Plan::new(self.size() as u64).unwrap().with_tree(old as u64).unwrap();
        let tiles: BTreeMap<_, _> =
            plan.tiles().map(|tile| (tile, self.leaves[..tile.width()].to_vec())).collect();
        Tiles::check(self.head(), tiles).unwrap().consistency(old as u64).unwrap()
    }

    /// An `add-checkpoint` request.
    pub(crate) fn request(&self, old: usize) -> String {
        AddCheckpoint::new(old as u64, self.consistency(old), self.checkpoint()).unwrap().to_string()
    }
}

/// The folder of a witness.
pub(crate) struct WitnessFolder {
    folder: TempDir,
    pub(crate) key: Verifier,
}

pub(crate) const NAME: &str = "witness.example.org/w1";

/// Runs `registry-gateway witness`.
pub(crate) fn witness(arguments: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_registry-gateway")).arg("witness").args(arguments).output().unwrap()
}

impl WitnessFolder {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("witness");
        let made = witness(&["init", "--name", NAME, place.to_str().unwrap()]);
        assert!(made.status.success(), "{made:?}");
        let key = String::from_utf8(made.stdout).unwrap().trim_end().parse().unwrap();
        Self { folder, key }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("witness")
    }

    /// The arguments to serve it for a log, on a free port.
    pub(crate) fn arguments(&self, log: &MemoryLog) -> [String; 7] {
        self.arguments_at(&log.key(), "127.0.0.1:0")
    }

    fn arguments_at(&self, key: &Verifier, listen: &str) -> [String; 7] {
        let path = self.path().to_str().unwrap().to_owned();
        ["witness", "serve", "--listen", listen, "--log", &key.to_string(), &path].map(ToOwned::to_owned)
    }

    pub(crate) fn serve(&self, log: &MemoryLog) -> ServedWitness {
        self.serve_key(&log.key())
    }

    pub(crate) fn serve_key(&self, log: &Verifier) -> ServedWitness {
        self.serve_at(log, "127.0.0.1:0")
    }

    pub(crate) fn serve_at(&self, log: &Verifier, listen: &str) -> ServedWitness {
        let mut command = Command::new(env!("CARGO_BIN_EXE_registry-gateway"));
        command.args(self.arguments_at(log, listen));
        ServedWitness::of(command)
    }

    pub(crate) fn trees(&self) -> PathBuf {
        self.path().join("trees")
    }
}

/// A witness that runs; killed when it is dropped.
pub(crate) struct ServedWitness {
    pub(crate) child: Child,
    pub(crate) url: String,
}

impl ServedWitness {
    pub(crate) fn of(mut command: Command) -> Self {
        command.env_remove("REGISTRY_GATEWAY_LOG").stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let (vkey, url, ready) = (lines.next(), lines.next(), lines.next());
        let url = url.and_then(|url| url.strip_prefix("url ").map(ToOwned::to_owned));
        assert_eq!(ready.as_deref(), Some("ready"), "{vkey:?} {url:?}");
        Self { child, url: url.unwrap() }
    }

    pub(crate) fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(self.url.trim_start_matches("http://"))?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(stream)
    }

    pub(crate) fn add(&self, request: &str) -> Response {
        let mut stream = self.connect().unwrap();
        stream.write_all(head(request.len()).as_bytes()).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        Response::read(stream)
    }

    pub(crate) fn get(&self, path: &str) -> Response {
        let mut stream = self.connect().unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        Response::read(stream)
    }
}

impl Drop for ServedWitness {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The header of an `add-checkpoint` request with a body of this length.
pub(crate) fn head(length: usize) -> String {
    format!(
        "POST /add-checkpoint HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )
}

/// Copies a folder with all that is in it.
pub(crate) fn copied(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

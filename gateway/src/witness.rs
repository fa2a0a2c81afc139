//! A witness: it cosigns checkpoints of the logs that it knows, each only if it continues what was cosigned of that log before.
//!
//! Source: C2SP tlog-witness. A folder has all that there is of a witness:
//!
//! ```text
//! DIR/witness.key      its private key
//! DIR/witness.lock     held while it is served
//! DIR/trees/ORIGIN     the checkpoint of a log that was cosigned last, by the SHA-256 of the log's origin
//! ```
//!
//! The checkpoint is on disk before its cosignature leaves the process. So a witness that was killed at any moment cosigns neither a
//! fork nor a smaller tree. It does not notice if its folder is put back to an earlier state: who sees a log with a newer
//! checkpoint does.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use transparency_log::{
    AddCheckpoint, Cosigner, Error, KeyName, Origin, Refusal, SignedCheckpoint, TreeHead, Verifier,
};

use crate::private::{self, SecretError};
pub use serve::ServedWitness;

mod key;
mod serve;

const LOCK: &str = "witness.lock";
const TREES: &str = "trees";

/// A witness, which nobody else serves meanwhile.
#[derive(Debug)]
pub struct Witness {
    cosigner: Cosigner,
    logs: BTreeMap<Origin, Log>,
    _lock: File,
}

/// A log that it knows.
#[derive(Debug)]
struct Log {
    key: Verifier,
    file: PathBuf,
    /// What was cosigned last. It is held from the question whether a checkpoint continues that until the answer is on disk.
    latest: Mutex<Option<TreeHead>>,
}

/// Why a witness cannot be made or served.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "a field's name says what it is")]
pub enum WitnessError {
    /// A file or folder cannot be used.
    #[error("cannot use {}", path.display())]
    File { path: PathBuf, source: io::Error },
    /// Other users could read or change the folder.
    #[error("{} is open to other users of this computer", .0.display())]
    OpenToOthers(PathBuf),
    /// There is none in the folder.
    #[error("there is no witness in {}", .0.display())]
    Missing(PathBuf),
    /// There is one with another name.
    #[error("the witness in {} is {name}", folder.display())]
    Known { folder: PathBuf, name: KeyName },
    /// The key cannot be read.
    #[error(transparent)]
    Key(#[from] SecretError),
    /// The key is none.
    #[error("{} is not the key of a witness", .0.display())]
    NotAKey(PathBuf),
    /// What was cosigned last cannot be read, so that nothing can be cosigned.
    #[error("{} is not a checkpoint of {origin} that this witness has cosigned", path.display())]
    Damaged { path: PathBuf, origin: Origin },
    /// A log's name cannot be an origin.
    #[error(
        "{0} is not the key of a log: it must be a key for checkpoints (type 1), named after the log's origin"
    )]
    NotALog(Verifier),
    /// Two keys for one log.
    #[error("there are two keys for the log {0}")]
    TwoKeys(Origin),
    /// Another process serves it.
    #[error("another process serves the witness in {}", .0.display())]
    Served(PathBuf),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen { address: std::net::SocketAddr, source: io::Error },
    /// Threads cannot be started.
    #[error("cannot start the server's threads")]
    Threads(#[source] io::Error),
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    Random,
}

impl WitnessError {
    /// What to do next, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::OpenToOthers(path) => Some(format!("run `chmod 700 {}`", path.display())),
            Self::Missing(folder) => {
                Some(format!("`registry-gateway witness init --name NAME {}` makes one", folder.display()))
            }
            Self::Known { .. } => Some("name another folder: each witness has its own".to_owned()),
            Self::Key(error) => error.hint(),
            Self::Damaged { .. } | Self::NotAKey(_) => Some(
                "do not remove it or put an older one back: the witness could cosign a fork. If it is lost, make another witness with \
                 another key, and tell those who name this one"
                    .to_owned(),
            ),
            Self::NotALog(_) => Some("use the answer of the registry's /log/key".to_owned()),
            Self::Listen { .. } => Some("choose another address or port".to_owned()),
            Self::File { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some(private::NOT_PERMITTED.to_owned())
            }
            Self::File { .. } | Self::TwoKeys(_) | Self::Served(_) | Self::Threads(_) | Self::Random => None,
        }
    }
}

/// Why a checkpoint is not cosigned.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotCosigned {
    /// It is no request.
    #[error(transparent)]
    Syntax(Error),
    /// Nobody has named this log.
    #[error("this log is unknown here")]
    UnknownLog,
    /// The log's key has not signed it.
    #[error("the checkpoint is not signed by the log's key as it is known here")]
    NotSigned,
    /// It does not continue what was cosigned.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It cannot be made durable.
    #[error("the checkpoint cannot be stored")]
    Disk(#[from] io::Error),
    /// The clock is not set.
    #[error("the time is unknown here")]
    Clock,
}

impl Witness {
    /// Makes the folder and the key of a witness, and returns its verifier key. What is there is left as it is.
    ///
    /// # Errors
    /// [`WitnessError`].
    pub fn init(folder: &Path, name: KeyName) -> Result<Verifier, WitnessError> {
        private::make_folder(folder).map_err(at(folder))?;
        is_private(folder)?;
        let (path, trees) = (folder.join(key::FILE), folder.join(TREES));
        // A key without its trees has lost them: an empty folder in their place would be taken for a witness that has cosigned nothing.
        if !path.exists() {
            private::make_folder(&trees).map_err(at(&trees))?;
        }
        key::make(&path, &name)?;
        // Somebody may know the key at once, so it has to be the same one after a crash.
        private::sync_folder(folder).map_err(at(folder))?;
        let verifier = key::read(&path)?.verifier().clone();
        if *verifier.name() != name {
            return Err(WitnessError::Known { folder: folder.to_owned(), name: verifier.name().clone() });
        }
        Ok(verifier)
    }

    /// Opens the witness of a folder, for the logs with these keys. The name of each key is its log's origin.
    ///
    /// # Errors
    /// [`WitnessError`].
    pub fn open(folder: &Path, keys: Vec<Verifier>) -> Result<Self, WitnessError> {
        let trees = folder.join(TREES);
        if !folder.join(key::FILE).exists() || !trees.is_dir() {
            return Err(WitnessError::Missing(folder.to_owned()));
        }
        is_private(folder)?;
        let lock = locked(folder)?;
        let cosigner = key::read(&folder.join(key::FILE))?;
        let mut logs = BTreeMap::new();
        for key in keys {
            let origin = origin_of(&key)?;
            let file = trees.join(hex(digest(&SHA256, origin.as_str().as_bytes()).as_ref()));
            let latest = Mutex::new(latest(&file, &origin, &key, cosigner.verifier())?);
            if logs.insert(origin.clone(), Log { key, file, latest }).is_some() {
                return Err(WitnessError::TwoKeys(origin));
            }
        }
        Ok(Self { cosigner, logs, _lock: lock })
    }

    /// Its public key.
    #[must_use]
    pub fn verifier(&self) -> &Verifier {
        self.cosigner.verifier()
    }

    /// Cosigns the checkpoint in a request, with the time in seconds since 1970, and returns the lines of the signature. It may block on
    /// the disk.
    pub(crate) fn cosign(&self, body: &str, time: u64) -> Result<String, NotCosigned> {
        let request: AddCheckpoint = body.parse().map_err(NotCosigned::Syntax)?;
        let origin = request.checkpoint().unverified().origin();
        let log = self.logs.get(origin).ok_or(NotCosigned::UnknownLog)?;
        let mut note = only_signed_by(request.checkpoint(), &log.key).ok_or(NotCosigned::NotSigned)?;
        note.verify(origin, &log.key, &[]).map_err(|_| NotCosigned::NotSigned)?;
        let mut latest = log.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let tree = request.continues(*latest).inspect_err(|refusal| {
            if *refusal == Refusal::Inconsistent {
                let checkpoint = request.checkpoint().unverified().to_string();
                tracing::warn!(checkpoint, cosigned = ?*latest, "a log signed something that does not continue it, or sent a wrong proof");
            }
        })?;
        note.cosign(&self.cosigner, time).map_err(|_| NotCosigned::Clock)?;
        // Anybody can send the newest checkpoint again and again.
        if *latest != Some(tree) {
            private::replace_file(&log.file, note.to_string().as_bytes())?;
            *latest = Some(tree);
        }
        Ok(note.signature_lines(self.verifier()))
    }

    /// The checkpoint of the log with this hash that was cosigned last. It may block on the disk.
    fn checkpoint(&self, hash: &str) -> io::Result<Option<String>> {
        let log = self.logs.values().find(|log| log.file.file_name().is_some_and(|name| name == hash));
        let Some(log) = log else { return Ok(None) };
        match fs::read_to_string(&log.file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        }
    }
}

/// The checkpoint with the log's own signature alone: others are not known to hold.
fn only_signed_by(checkpoint: &SignedCheckpoint, log: &Verifier) -> Option<SignedCheckpoint> {
    format!("{}\n{}", checkpoint.unverified(), checkpoint.signature_lines(log)).parse().ok()
}

/// The tree that was cosigned last, of which the file has the checkpoint. Without a file it is none.
fn latest(
    file: &Path,
    origin: &Origin,
    log: &Verifier,
    witness: &Verifier,
) -> Result<Option<TreeHead>, WitnessError> {
    let note = match fs::read_to_string(file) {
        Ok(note) => note,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(file)(error)),
    };
    let verified = note
        .parse::<SignedCheckpoint>()
        .and_then(|note| note.verify(origin, log, std::slice::from_ref(witness)))
        .ok()
        .filter(|verified| verified.cosignatures.len() == 1);
    let damaged = || WitnessError::Damaged { path: file.to_owned(), origin: origin.clone() };
    verified.map(|verified| Some(verified.head)).ok_or_else(damaged)
}

fn origin_of(key: &Verifier) -> Result<Origin, WitnessError> {
    let origin = key.name().as_str().parse().ok();
    let is_a_log = key.algorithm() == transparency_log::Algorithm::Ed25519;
    origin.filter(|_| is_a_log).ok_or_else(|| WitnessError::NotALog(key.clone()))
}

fn locked(folder: &Path) -> Result<File, WitnessError> {
    let path = folder.join(LOCK);
    let file = private::file().create(true).truncate(false).open(&path).map_err(at(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(WitnessError::Served(folder.to_owned())),
        Err(TryLockError::Error(error)) => Err(at(&path)(error)),
    }
}

fn is_private(folder: &Path) -> Result<(), WitnessError> {
    match fs::metadata(folder).map_err(at(folder))? {
        metadata if private::is_open_to_others(&metadata) => {
            Err(WitnessError::OpenToOthers(folder.to_owned()))
        }
        _ => Ok(()),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Adds the path to an I/O error.
fn at(path: &Path) -> impl FnOnce(io::Error) -> WitnessError {
    let path = path.to_owned();
    |source| WitnessError::File { path, source }
}

//! What machines stage, and people approve: the rules for it, and the file that is kept of a version meanwhile.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use asymmetric_token::Checksum;
use crate_file::CrateFile;
use sha2::{Digest as _, Sha256};
use tokio::time::sleep;

use crate::background::blocking;
use crate::causes::{escaped, with_causes};
use crate::config::StagingConfig;
use crate::index::Line;
use crate::metadata;
use crate::store::{ApprovalRule, Checkpoints, Staged, StagingLimits, Store, StoreError};
use crate::upstream::Publication;

/// The time between two looks for what has expired.
const PAUSE: Duration = Duration::from_secs(60);
const DAY: i64 = 24 * 60 * 60;

/// How much may be staged, and who approves it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StagingRules {
    pub(crate) limits: StagingLimits,
    pub(crate) approval: ApprovalRule,
}

impl StagingRules {
    pub(crate) fn new(config: &StagingConfig, is_built_in: bool) -> Self {
        let StagingConfig { approvals, days, bytes_per_publisher, bytes, versions_per_publisher, versions } =
            *config;
        Self {
            limits: StagingLimits {
                of_one: bytes_per_publisher,
                of_all: bytes,
                versions_of_one: versions_per_publisher,
                versions_of_all: versions,
                seconds: DAY * i64::from(days),
            },
            approval: ApprovalRule { needed: approvals, is_built_in },
        }
    }
}

/// Why the file of a staged version cannot be published.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeptError {
    /// It is not the one that was staged.
    #[error(
        "what this registry has kept of {0} is not what was staged, so it cannot be published: have it rejected and staged again, and \
         tell the registry's administrator"
    )]
    Another(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What was staged, to be published: the kept file, if it still is the one that was staged, and what it says.
///
/// # Errors
/// [`KeptError`].
pub(crate) fn publication(store: &Store, staged: &Staged, index_url: &str) -> Result<Publication, KeptError> {
    let another = || KeptError::Another(staged.to_string());
    let mut kept = opened(store, staged)?;
    let mut file = store.upload()?;
    let failed = |source| StoreError::File { path: store.folder().to_owned(), source };
    let (checksum, length) = copied(&mut kept, file.as_file_mut()).map_err(failed)?;
    if checksum != staged.checksum || length != staged.size {
        return Err(another());
    }
    let (name, version) = (staged.name.as_str(), staged.version.to_string());
    let packed = file.reopen().map_err(failed)?;
    let mut packed = CrateFile::open(packed, length, name, &version).map_err(|_| another())?;
    let metadata = metadata::of_file(&mut packed, index_url).map_err(|_| another())?;
    Line::new(&metadata, checksum).is(&staged.line).map_err(|_| another())?;
    Ok(Publication { metadata, file, length, checksum })
}

/// Whether the kept file still is the one that was staged.
///
/// # Errors
/// [`KeptError`].
pub(crate) fn is_kept(store: &Store, staged: &Staged) -> Result<(), KeptError> {
    let another = || KeptError::Another(staged.to_string());
    let mut kept = opened(store, staged)?;
    let failed = |source| StoreError::File { path: store.folder().to_owned(), source };
    let found = copied(&mut kept, &mut io::sink()).map_err(failed)?;
    if found == (staged.checksum, staged.size) { Ok(()) } else { Err(another()) }
}

fn opened(store: &Store, staged: &Staged) -> Result<File, KeptError> {
    match store.open_staged_file(staged) {
        Err(StoreError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Err(KeptError::Another(staged.to_string()))
        }
        kept => Ok(kept?),
    }
}

fn copied(from: &mut impl io::Read, to: &mut impl io::Write) -> io::Result<(Checksum, u64)> {
    let (mut hash, mut length, mut block) = (Sha256::new(), 0, vec![0; 64 << 10]);
    loop {
        match from.read(&mut block)? {
            0 => break,
            read => {
                hash.update(&block[..read]);
                to.write_all(&block[..read])?;
                length += read as u64;
            }
        }
    }
    to.flush()?;
    Ok((Checksum(hash.finalize().into()), length))
}

/// Ends what nobody has decided about in time, and removes files that nobody can publish any more. It never ends.
pub(crate) async fn keep_expiring(store: Arc<Store>, checkpoints: Arc<Checkpoints>) {
    loop {
        let asked = store.clone();
        let expired = blocking(move || {
            let expired = asked.expire_staged(asked.now())?;
            asked.remove_ended()?;
            Ok::<_, StoreError>(expired)
        });
        match expired.await {
            Ok(Ok(0)) => {}
            Ok(Ok(expired)) => {
                tracing::info!(expired, "staged versions have expired");
                checkpoints.appended();
            }
            Ok(Err(error)) if error.is_passing() => {}
            Ok(Err(error)) => {
                tracing::error!(error = escaped(&with_causes(&error)), "staged versions cannot be ended");
            }
            // A panic is reported by its hook.
            Err(_) => {}
        }
        sleep(PAUSE).await;
    }
}

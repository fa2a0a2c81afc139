//! Whether the record of a publish still verifies.
//!
//! The token of every accepted mutation is kept. It is spent, so it is no secret. Whoever has the public key can see
//! from it that this key signed this checksum for this registry.

use std::fs::File;
use std::io::{self, Read as _};

use asymmetric_token::{Checksum, Claims, Error as TokenError, Mutation, Untrusted};
use crate_file::index::{Line, Mismatch};
use crate_file::metadata::{self, Metadata, MetadataError};
use sha2::{Digest as _, Sha256};

use crate::causes::{escaped, with_causes};
use crate::index::pubtime;
use crate::keys::Key;
use crate::store::{Record, Store, StoreError};

/// A record of a publish that verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The key that signed.
    pub key: Key,
    /// The claims that it signed.
    pub claims: Claims,
    /// The index URL that it signed them for.
    pub index_url: String,
    /// What the file says, if it is in the store: it has the checksum that was signed, and the index has the line that
    /// follows from it. Otherwise both are in the registry behind, which was not asked.
    pub file: Option<Metadata>,
}

/// Why a record does not verify.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "a field's name says what it is")]
pub enum RecordError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The key is not in the store.
    #[error("the key {0} is not in the store")]
    KeyMissing(String),
    /// The token cannot be read, or another key has signed it.
    #[error("the token on record does not verify: {0}")]
    Token(#[from] TokenError),
    /// The token was signed for something else.
    #[error("the token on record was signed for something else: {0}")]
    Claims(String),
    /// The crate file cannot be read.
    #[error("cannot read the crate file")]
    File(#[from] io::Error),
    /// The crate file has another checksum.
    #[error("the crate file has the checksum {found}, but the token was signed for {signed}")]
    Checksum { found: Checksum, signed: Checksum },
    /// The version is gone.
    #[error("the version is missing from the index: it was removed")]
    VersionMissing,
    /// The crate file is one that the gateway would not take today, so its metadata cannot be made from it.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// What cargo resolves by does not follow from the file.
    #[error(transparent)]
    Line(#[from] Mismatch),
    /// The index gives it another age than the log: cargo may be told to wait until a version is old enough.
    #[error("the index says that it was published at {}, but the log says {logged}", escaped(said))]
    Pubtime {
        /// What the index says.
        said: String,
        /// When its token was spent.
        logged: String,
    },
}

impl RecordError {
    /// On one line.
    #[must_use]
    pub fn with_causes(&self) -> String {
        with_causes(self)
    }
}

/// Verifies a record of a publish again: token against key, claims against record, and where the store has the version,
/// crate file against claims and the index's line against the crate file.
///
/// # Errors
/// [`RecordError`]. Each variant is one thing that does not hold.
pub fn check(store: &Store, record: &Record) -> Result<Checked, RecordError> {
    let key = store.key(record.key)?.ok_or_else(|| RecordError::KeyMissing(record.key.to_string()))?;
    let verified = Untrusted::parse(&record.token)?.verify(&key.public)?;
    let (name, version, signed) = match &verified.claims.mutation {
        Some(Mutation::Publish { name, version, checksum }) => (name, version, *checksum),
        other => {
            let kind = other.as_ref().map_or("read", Mutation::kind);
            return Err(RecordError::Claims(kind.to_owned()));
        }
    };
    let same =
        name.as_str() == record.name && version.to_string() == record.version && record.checksum == signed;
    if !same {
        return Err(RecordError::Claims(format!("{name} {version} {signed}")));
    }
    let index_url = verified.footer.url;
    let file = match store.stored_line(&record.name, &record.version)? {
        Some(line) => Some(file(store, record, &line, &index_url)?),
        None if record.is_here => return Err(RecordError::VersionMissing),
        None => None,
    };
    Ok(Checked { key, claims: verified.claims, index_url, file })
}

/// What the crate file says, if it is the signed one and the index has the line that follows from it.
fn file(store: &Store, record: &Record, line: &str, index_url: &str) -> Result<Metadata, RecordError> {
    let mut file = store.open_crate_file(&record.name, &record.version).map_err(|error| match error {
        StoreError::File { source, .. } => RecordError::File(source),
        error => error.into(),
    })?;
    let found = checksum_of(&mut file)?;
    if found != record.checksum {
        return Err(RecordError::Checksum { found, signed: record.checksum });
    }
    let length = file.metadata()?.len();
    let metadata = metadata::of_signed(file, length, &record.name, &record.version, index_url)?;
    let mut signed = Line::new(&metadata, record.checksum);
    // No file says these; the log does.
    if let Ok(stored) = Line::from_json(line) {
        signed.yanked = stored.yanked;
        // Lines from before they had one have none.
        if let Some(said) = stored.pubtime {
            let logged = pubtime(record.time);
            if said != logged {
                return Err(RecordError::Pubtime { said, logged });
            }
            signed.pubtime = Some(said);
        }
    }
    signed.is(line)?;
    Ok(metadata)
}

fn checksum_of(file: &mut File) -> io::Result<Checksum> {
    let mut hash = Sha256::new();
    let mut block = vec![0; 64 << 10];
    loop {
        match file.read(&mut block)? {
            0 => return Ok(Checksum(hash.finalize().into())),
            read => hash.update(&block[..read]),
        }
    }
}

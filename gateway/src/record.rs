//! Whether the record of a publish still verifies.
//!
//! The token of every accepted mutation is kept. It is spent, so it is no secret. Whoever has the public key can see
//! from it that this key signed this checksum for this registry.

use std::fs::File;
use std::io::{self, Read as _};

use asymmetric_token::{Checksum, Claims, Error as TokenError, Mutation, Untrusted};
use sha2::{Digest as _, Sha256};

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
    /// Whether the file is in the store and has the checksum that was signed. If not, it is in the registry behind, which
    /// was not asked.
    pub file_is_here: bool,
}

/// Why a record does not verify.
#[derive(Debug, thiserror::Error)]
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
    #[error("the crate file has the checksum {found}, the token was signed for {signed}")]
    Checksum {
        /// The file's checksum.
        found: Checksum,
        /// The checksum in the token.
        signed: Checksum,
    },
}

/// Verifies the record of a publish again: the token against the key, the claims against the record, and if the store
/// has the version, the crate file against the claims.
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
    let file_is_here = store.line(&record.name, &record.version)?.is_some();
    if file_is_here {
        let found = checksum_of(&mut File::open(store.crate_file(&record.name, &record.version))?)?;
        if found != signed {
            return Err(RecordError::Checksum { found, signed });
        }
    }
    Ok(Checked { key, claims: verified.claims, index_url: verified.footer.url, file_is_here })
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

//! `store copy`: a store goes to another place, and is verified in both.

use std::io;
use std::path;

use jiff::Timestamp;

use crate::config::PostgresConfig;
use crate::inspection::{self, Fault};
use crate::store::{AuditError, Copied, Store, StoreError};
use crate::store_place::StorePlace;

/// Why a store is not copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// It is to be copied onto itself.
    #[error("--from and --to are the same store")]
    Same,
    /// There is no such folder.
    #[error("the present folder cannot be found")]
    Folder(#[from] io::Error),
    /// A store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log of one of the two does not hold.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// One of the two does not have what its log says.
    #[error("the store was changed behind the log's back: {0}")]
    NotAsLogged(#[source] Fault),
}

impl CopyError {
    /// What to do next, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Store(error) | Self::Audit(AuditError::Store(error)) => error.hint(),
            Self::Audit(_) | Self::NotAsLogged(_) => {
                Some("see `registry-gateway audit verify`; nothing was moved".to_owned())
            }
            Self::Same | Self::Folder(_) => None,
        }
    }
}

/// Copies the store at one place to another one, which is made if there is none, and leaves the first one marked as moved.
///
/// # Errors
/// [`CopyError`]. Unless the two are marked, the first one is as it was, and the other one is served by nobody.
pub fn copy(from: &StorePlace, to: &StorePlace, settings: &PostgresConfig) -> Result<Copied, CopyError> {
    let [from, to] = [absolute(from)?, absolute(to)?];
    if from == to {
        return Err(CopyError::Same);
    }
    let source = Store::existing_at(&from, settings)?;
    if let StorePlace::Postgres(url) = &to {
        Store::migrate_postgres(url, settings)?;
    }
    let target = Store::at(&to, settings)?;
    source.move_to(&target, (&from, &to), verified)
}

fn absolute(place: &StorePlace) -> io::Result<StorePlace> {
    Ok(match place {
        StorePlace::Folder(folder) => StorePlace::Folder(path::absolute(folder)?),
        address @ StorePlace::Postgres(_) => address.clone(),
    })
}

/// Follows the log, and compares everything with it and with the signed files.
fn verified(store: &Store) -> Result<(), CopyError> {
    store.verify_audit(&[])?;
    let faults = inspection::inspect(store, Timestamp::now())?.faults;
    faults.into_iter().next().map_or(Ok(()), |fault| Err(CopyError::NotAsLogged(fault)))
}

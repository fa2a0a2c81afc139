//! Pieces that were sent to a PostgreSQL in vain: an upload failed, was refused, or nobody heard what came of it. They are removed
//! when the database can be asked, by the gateway that has sent them, or when it has ended.

use std::collections::BTreeSet;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::super::sql::Sql;
use super::super::{Store, StoreError, gateways};

/// The checksums of such files.
#[derive(Debug, Default)]
pub(in super::super) struct Leftovers {
    checksums: Mutex<BTreeSet<String>>,
    /// Whoever sends the same file again waits until it is removed.
    removal: Mutex<()>,
    are_there: Notify,
}

/// A file whose pieces are sent. They are left over when this is dropped.
#[derive(Debug)]
pub(in super::super) struct Sending {
    checksum: String,
    leftovers: Option<Arc<Leftovers>>,
}

impl Sending {
    pub(in super::super) fn checksum(&self) -> &str {
        &self.checksum
    }

    /// Something refers to the pieces, and that is committed.
    pub(in super::super) fn kept(mut self) -> String {
        self.leftovers = None;
        mem::take(&mut self.checksum)
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if let Some(leftovers) = &self.leftovers {
            lock(&leftovers.checksums).insert(mem::take(&mut self.checksum));
            leftovers.are_there.notify_one();
        }
    }
}

impl Store {
    /// The pieces of a file will be sent.
    pub(super) fn sending(&self, checksum: &str) -> Sending {
        let _removal = lock(&self.leftovers.removal);
        lock(&self.leftovers.checksums).remove(checksum);
        Sending { checksum: checksum.to_owned(), leftovers: Some(self.leftovers.clone()) }
    }

    /// Returns when something is left over.
    pub(crate) async fn something_is_left_over(&self) {
        self.leftovers.are_there.notified().await;
    }

    /// Removes what was sent in vain, unless it is another version's file too. A commit of which nobody heard has ended before.
    ///
    /// # Errors
    /// [`StoreError::Database`]; it is tried again then.
    pub(crate) fn remove_leftovers(&self) -> Result<(), StoreError> {
        let _removal = lock(&self.leftovers.removal);
        let checksums = lock(&self.leftovers.checksums).clone();
        if checksums.is_empty() {
            return Ok(());
        }
        self.write(|transaction| checksums.iter().try_for_each(|one| self.end_upload(transaction, one)))?;
        lock(&self.leftovers.checksums).retain(|one| !checksums.contains(one));
        Ok(())
    }

    /// What was sent has become the file of a version, or is given up.
    pub(in super::super) fn end_upload(
        &self,
        transaction: &Sql<'_>,
        checksum: &str,
    ) -> Result<(), StoreError> {
        self.epoch().map_or(Ok(()), |epoch| gateways::end_upload(transaction, checksum, &epoch))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! Pieces that were sent to a PostgreSQL in vain: an upload failed, was refused, or nobody heard what came of it. They are removed
//! when the database can be asked, by the gateway that has sent them; or, once that has ended, by any other.

use std::collections::BTreeMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::super::sql::Sql;
use super::super::{Store, StoreError, gateways};

/// Such files.
#[derive(Debug, Default)]
pub(in super::super) struct Leftovers {
    /// By checksum, how often. An entry stays until its removal is over.
    files: Mutex<BTreeMap<String, u64>>,
    /// Whoever sends one of them again waits until it is removed.
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

    /// A piece that was not answered may yet arrive. The note that it is sent has to be there until this gateway has ended.
    pub(super) fn may_arrive(&mut self) {
        self.leftovers = None;
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if let Some(leftovers) = &self.leftovers {
            *lock(&leftovers.files).entry(mem::take(&mut self.checksum)).or_default() += 1;
            leftovers.are_there.notify_one();
        }
    }
}

impl Store {
    /// The pieces of a file will be sent.
    pub(super) fn sending(&self, checksum: &str) -> Sending {
        let is_left_over = lock(&self.leftovers.files).contains_key(checksum);
        if is_left_over {
            let _removal = lock(&self.leftovers.removal);
            lock(&self.leftovers.files).remove(checksum);
        }
        Sending { checksum: checksum.to_owned(), leftovers: Some(self.leftovers.clone()) }
    }

    /// Returns when something is left over.
    pub(crate) async fn something_is_left_over(&self) {
        self.leftovers.are_there.notified().await;
    }

    /// Removes what was sent in vain, unless it is another version's file too. A transaction that was to keep it has ended before.
    ///
    /// # Errors
    /// [`StoreError::Database`]; it is tried again then.
    pub(crate) fn remove_leftovers(&self) -> Result<(), StoreError> {
        let _removal = lock(&self.leftovers.removal);
        let files = lock(&self.leftovers.files).clone();
        if files.is_empty() {
            return Ok(());
        }
        self.write(|transaction| {
            files.keys().try_for_each(|checksum| self.end_upload(transaction, checksum))
        })?;
        lock(&self.leftovers.files).retain(|checksum, times| files.get(checksum) != Some(times));
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

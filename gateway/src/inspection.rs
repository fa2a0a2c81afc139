//! Compares a store with what cannot be forged in it: the tables with the log, and each version's line of the index with
//! the crate file that was signed for.
//!
//! Whoever can write the database can make cargo compile what nobody signed, by adding a dependency to a line. Signature
//! and checksum still hold then. Only a line that is made anew from the signed file shows the difference.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::metadata::in_lists;
use crate::record::{self, RecordError};
use crate::store::{Discrepancy, Store, StoreError};

/// What was found.
#[derive(Debug, Default)]
pub struct Inspection {
    /// Versions whose file and line are in this store, and were compared.
    pub versions: usize,
    /// Versions on record that are in the registry behind, which was not asked.
    pub behind: usize,
    /// What is not as it should be.
    pub faults: Vec<Fault>,
}

/// One thing that is not as it should be.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "a field's name says what it is")]
pub enum Fault {
    /// A table is not what the log says.
    #[error(transparent)]
    Table(#[from] Discrepancy),
    /// A version is not what was signed.
    #[error("{version}: {}", .error.with_causes())]
    Version { version: String, error: RecordError },
    /// Searches show another description than the crate's.
    #[error("the description of {0} differs from that of its last version")]
    Description(String),
}

/// Looks at everything.
///
/// # Errors
/// [`StoreError`] if the store cannot be read.
pub fn inspect(store: &Store, now: Timestamp) -> Result<Inspection, StoreError> {
    let discrepancies = store.discrepancies(now)?;
    let mut found =
        Inspection { faults: discrepancies.into_iter().map(Fault::Table).collect(), ..Inspection::default() };
    let mut descriptions = BTreeMap::new();
    // A publish that is under way, or whose outcome could not be written yet, has brought its own description.
    let open: BTreeSet<_> =
        store.open_intents()?.iter().map(|intent| intent.mutation.name().to_string()).collect();
    let records = match store.published(None) {
        Ok(records) => records,
        // A row that leads to something else than a publish is among the faults already.
        Err(StoreError::Damaged(_)) if !found.faults.is_empty() => return Ok(found),
        Err(error) => return Err(error),
    };
    for record in records {
        match record::check(store, &record) {
            Ok(checked) => match checked.file {
                Some(metadata) => {
                    found.versions += 1;
                    descriptions.insert(record.name, metadata.description.description);
                }
                None => found.behind += 1,
            },
            Err(RecordError::Store(error)) => return Err(error),
            Err(error) => {
                descriptions.remove(&record.name);
                let version = format!("{} {}", record.name, record.version);
                found.faults.push(Fault::Version { version, error });
            }
        }
    }
    for (name, description) in descriptions {
        // Earlier, a store was given the whole.
        let shown = store.description(&name)?;
        if !open.contains(&name) && shown.as_deref().map(in_lists) != description.as_deref().map(in_lists) {
            found.faults.push(Fault::Description(name));
        }
    }
    Ok(found)
}

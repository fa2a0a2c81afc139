//! What witnesses have signed of the log's checkpoints, in the table `cosignature`, and which checkpoints are shown because witnesses
//! were asked of them, in `shown`. Of several gateways any may ask; all of them show the same.

use transparency_log::{ConsistencyProof, SignedCheckpoint, TreeHead, Verifier};

use super::audit::column;
use super::checkpoints::Newest;
use super::sql::values;
use super::{Store, StoreError, checkpoints, tree};

impl Store {
    /// Keeps the signature line of a witness of the checkpoint with this origin and size, which was verified. The first one stays.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub(crate) fn keep_cosignature(
        &self,
        (origin, size): (&str, u64),
        witness: &str,
        line: &str,
    ) -> Result<(), StoreError> {
        let insert = "INSERT INTO cosignature (origin, size, witness, line) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING";
        let size = column(size)?;
        self.write(|transaction| transaction.execute(insert, values![origin, size, witness, line]).map(drop))
    }

    /// From now on no smaller checkpoint of this origin is shown.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub(crate) fn show(&self, origin: &str, size: u64) -> Result<(), StoreError> {
        let insert = "INSERT INTO shown (origin, size) VALUES (?, ?) ON CONFLICT DO NOTHING";
        let size = column(size)?;
        self.write(|transaction| transaction.execute(insert, values![origin, size]).map(drop))
    }

    /// The greatest checkpoint of this generation that is shown, with the signatures of these witnesses that hold.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], [`StoreError::Database`].
    pub(crate) fn shown(
        &self,
        newest: &Newest,
        witnesses: &[Verifier],
    ) -> Result<Option<String>, StoreError> {
        let origin = newest.key.name().as_str();
        let reader = self.reader()?;
        let moment = reader.moment()?;
        let greatest = "SELECT max(size) FROM shown WHERE origin = ?";
        let Some(size) = moment.one(greatest, values![origin], |row| row.get::<Option<i64>>(0))? else {
            return Ok(None);
        };
        let note = "SELECT note FROM checkpoint WHERE size = ? AND origin = ?";
        let note = moment.optional(note, values![size, origin], |row| row.get::<String>(0))?;
        let damaged = |why: &dyn std::fmt::Display| {
            StoreError::Damaged(format!("the checkpoint of {size} entries, which was shown: {why}"))
        };
        let note = note.ok_or_else(|| damaged(&"it is missing"))?;
        let mut signed: SignedCheckpoint = note.parse().map_err(|error| damaged(&error))?;
        let known = signed.unverified().origin().clone();
        signed.verify(&known, &newest.key, &[]).map_err(|error| damaged(&error))?;
        let lines = "SELECT line FROM cosignature WHERE origin = ? AND size = ?";
        for line in moment.all(lines, values![origin, size], |row| row.get::<String>(0))? {
            for witness in witnesses {
                // Somebody could have written there past the gateway; and witnesses come and go.
                let _ = signed.add_cosignature(&line, witness);
            }
        }
        Ok(Some(signed.to_string()))
    }

    /// Shows that the tree with this head continues the one that had `old` entries.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], [`StoreError::Database`].
    pub(crate) fn consistency(&self, head: TreeHead, old: u64) -> Result<ConsistencyProof, StoreError> {
        let tiles = tree::tiles(&self.reader()?, head, old)?;
        tiles.consistency(old).map_err(|error| StoreError::Damaged(format!("the log's tree: {error}")))
    }

    /// The newest checkpoint, whoever has signed it.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], [`StoreError::Database`].
    pub(crate) fn newest_checkpoint(&self) -> Result<Option<SignedCheckpoint>, StoreError> {
        let newest = checkpoints::newest(&self.reader()?)?.pop();
        let note = newest.map(|newest| newest.note.parse()).transpose();
        note.map_err(|error: transparency_log::Error| {
            StoreError::Damaged(format!("the newest checkpoint: {error}"))
        })
    }
}

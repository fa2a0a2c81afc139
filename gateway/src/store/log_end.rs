//! The end of the log, as every writing transaction has it.

use transparency_log::Frontier;

use super::{StoreError, parsed};

/// The end of the log.
#[derive(Clone, Debug)]
pub(super) struct End {
    /// The tree's right edge.
    pub(super) tree: Frontier,
    /// How often the log was started anew after it had lost its end, and 1.
    pub(super) generation: u64,
}

impl End {
    /// From the columns `size`, `edge` and `generation`.
    pub(super) fn of(size: i64, edge: &str, generation: i64) -> Result<Self, StoreError> {
        let damaged = || StoreError::Damaged("the right edge of the log's tree".to_owned());
        let edge = edge.split_terminator(' ').map(parsed).collect::<Result<_, _>>()?;
        let size = u64::try_from(size).map_err(|_| damaged())?;
        let tree = Frontier::from_edge(size, edge).map_err(|_| damaged())?;
        Ok(Self { tree, generation: u64::try_from(generation).map_err(|_| damaged())? })
    }
}

/// The integers of a database are signed.
pub(super) fn column(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::Damaged(format!("entry {number} of the audit log")))
}

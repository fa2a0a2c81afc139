//! Whether a transaction was committed, when its COMMIT was not answered.
//!
//! Each writing transaction leaves a row with a random id of its own. By another connection the row of the log's end is taken:
//! whoever has that knows that the earlier transaction has ended, and then its row is there or it is not.
//!
//! `pg_xact_status` tells the same without a row, but only of one server. A standby that is promoted goes on with the numbers
//! that it has heard of, so there the number may be that of another transaction.

use std::thread;
use std::time::{Duration, Instant};

use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::error::Severity;

use super::{BEGIN, LOG_END, Sql, values};
use crate::store::StoreError;
use crate::store::postgres::{self, PostgresError};

/// How long the answer to a COMMIT is waited for. One that waits for a standby has no limit at the server.
pub(super) const COMMIT: Duration = Duration::from_secs(10);
/// How long it is tried to find out what came of a COMMIT that was not answered.
pub(super) const FOUND_OUT: Duration = Duration::from_secs(15);
/// The time between two tries.
const PAUSE: Duration = Duration::from_millis(200);

/// The id of a transaction, in hexadecimal digits.
pub(super) struct Attempt(String);

impl Attempt {
    pub(super) fn new() -> Result<Self, StoreError> {
        let mut id = [0; 16];
        aws_lc_rs::rand::fill(&mut id).map_err(|_| StoreError::Random)?;
        Ok(Self(format!("{:032x}", u128::from_be_bytes(id))))
    }

    /// Leaves the row. One in 16 removes some that nobody asks for any more.
    pub(super) fn leave(&self, sql: &Sql<'_>) -> Result<(), StoreError> {
        let Self(id) = self;
        sql.run("INSERT INTO attempt (id) VALUES (?)", values![id.as_str()])?;
        if !id.starts_with('0') {
            return Ok(());
        }
        let old = "DELETE FROM attempt WHERE id IN (
                       SELECT id FROM attempt WHERE at < clock_timestamp() - interval '10 minutes' ORDER BY at LIMIT 32
                   )";
        sql.run(old, values![])
    }

    /// Whether it was committed.
    ///
    /// # Errors
    /// The last [`PostgresError`], if that could not be found out within [`FOUND_OUT`].
    pub(super) fn is_committed(&self, postgres: &postgres::Postgres) -> Result<bool, PostgresError> {
        let until = Instant::now() + FOUND_OUT;
        loop {
            match self.asked(postgres, until.saturating_duration_since(Instant::now())) {
                Err(error) if Instant::now() + PAUSE < until => {
                    tracing::debug!(%error, "it is not known yet whether a transaction was committed");
                    thread::sleep(PAUSE);
                }
                found => return found,
            }
        }
    }

    fn asked(&self, postgres: &postgres::Postgres, limit: Duration) -> Result<bool, PostgresError> {
        let Self(id) = self;
        let until = Instant::now() + limit;
        let session = postgres.session_within(limit)?;
        // A COMMIT waits for the standbys that the earlier one was to wait for: the row may be on this server alone as yet.
        let query = format!("{BEGIN}; {LOG_END}; SELECT count(*) FROM attempt WHERE id = '{id}'; COMMIT");
        let limit = until.saturating_duration_since(Instant::now());
        let answers = session.wait_for(limit, session.client().simple_query(&query))?;
        let count = answers.iter().rev().find_map(|answer| match answer {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        session.keep();
        Ok(count == Some("1"))
    }
}

/// Whether a statement may be committed although it, or its COMMIT, failed so. The server's own refusal says that it is not.
pub(in super::super) fn leaves_open(error: &PostgresError) -> bool {
    match error {
        PostgresError::Failed(error) => {
            error.as_db_error().is_none_or(|error| error.parsed_severity() != Some(Severity::Error))
        }
        _ => true,
    }
}

//! Questions that are asked before their answers are wanted: all of them cost one round trip.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use deadpool_postgres::ClientWrapper;
use futures_util::future::try_join_all;
use tokio_postgres::{Error, Row};

use super::statement::Statement;
use super::{Value, parameter};

/// What is asked ahead on a connection.
#[derive(Default)]
pub(super) struct Ahead {
    /// Whether questions are only noted, and nothing is sent.
    is_rehearsal: Cell<bool>,
    noted: RefCell<Vec<Statement>>,
    answered: RefCell<Vec<(Statement, Vec<Row>)>>,
}

impl Ahead {
    pub(super) fn is_rehearsal(&self) -> bool {
        self.is_rehearsal.get()
    }

    /// Notes what some work asks when nothing is answered, and takes that to be sent.
    pub(super) fn rehearse(&self, work: impl FnOnce()) -> Vec<Statement> {
        self.is_rehearsal.set(true);
        work();
        self.is_rehearsal.set(false);
        self.noted.take()
    }

    pub(super) fn note(&self, sql: Arc<str>, parameters: &[Value<'_>]) {
        self.noted.borrow_mut().push(Statement::new(sql, parameters));
    }

    pub(super) fn keep(&self, statements: Vec<Statement>, answers: Vec<Vec<Row>>) {
        self.answered.borrow_mut().extend(statements.into_iter().zip(answers));
    }

    /// The rows of a question that was asked ahead. They are given once.
    pub(super) fn answer(&self, sql: &str, parameters: &[Value<'_>]) -> Option<Vec<Row>> {
        let mut answered = self.answered.borrow_mut();
        let place = answered.iter().position(|(statement, _)| statement.is(sql, parameters))?;
        Some(answered.swap_remove(place).1)
    }
}

/// Asks everything, without waiting in between.
pub(super) async fn asked(client: &ClientWrapper, statements: &[Statement]) -> Result<Vec<Vec<Row>>, Error> {
    let mut prepared = Vec::with_capacity(statements.len());
    for statement in statements {
        prepared.push((statement.prepared(client).await?, statement.values()));
    }
    let answers = prepared.iter().map(|(statement, values)| async move {
        let parameters: Vec<_> = values.iter().map(parameter).collect();
        client.query(statement, &parameters).await
    });
    try_join_all(answers).await
}

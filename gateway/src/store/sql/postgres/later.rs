//! Statements of a transaction that need not be answered before the next one is sent. All of them cost one round trip.
//!
//! PostgreSQL carries out what comes on a connection in the order in which it comes, and after a statement that fails it refuses all
//! others of the transaction. So the first error is the true one.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use deadpool_postgres::ClientWrapper;
use tokio_postgres::Error;

use super::statement::Statement;
use super::{Value, parameter};

/// What is to be sent with the next statement.
#[derive(Default)]
pub(super) struct Later {
    statements: RefCell<Vec<Statement>>,
    is_sent: Cell<bool>,
}

type Answer<'a> = Pin<Box<dyn Future<Output = Result<u64, Error>> + Send + 'a>>;

impl Later {
    pub(super) fn add(&self, sql: Arc<str>, parameters: &[Value<'_>]) {
        self.statements.borrow_mut().push(Statement::new(sql, parameters));
    }

    /// Whether anything was sent since there was something to send.
    pub(super) fn is_sent(&self) -> bool {
        self.is_sent.get()
    }

    /// What is to be sent now.
    pub(super) fn take(&self) -> Vec<Statement> {
        self.is_sent.set(true);
        self.statements.take()
    }
}

/// Sends some statements, and behind them the next one, whose answer is returned if nothing before it has failed.
pub(super) async fn then<T>(
    client: &ClientWrapper,
    statements: &[Statement],
    next: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let mut prepared = Vec::with_capacity(statements.len());
    for statement in statements {
        prepared.push((statement.prepared(client).await?, statement.values()));
    }
    let sent = prepared.iter().map(|(statement, values)| {
        Box::pin(client.execute_raw(statement, values.iter().map(parameter))) as Answer<'_>
    });
    let mut sent: Vec<_> = sent.map(|answer| (answer, None)).collect();
    let (mut next, mut last) = (pin!(next), None);
    let mut is_sent = false;
    poll_fn(|context| {
        // A statement is sent when it is polled first: all of them in their order.
        for (answer, outcome) in sent.iter_mut().filter(|(_, outcome)| outcome.is_none()) {
            if let Poll::Ready(answered) = answer.as_mut().poll(context) {
                *outcome = Some(answered);
            }
        }
        // What could not even be sent is unknown to the server, which would carry out the next one.
        if !is_sent && sent.iter().any(|(_, outcome)| matches!(outcome, Some(Err(_)))) {
            return Poll::Ready(());
        }
        is_sent = true;
        if last.is_none()
            && let Poll::Ready(answered) = next.as_mut().poll(context)
        {
            last = Some(answered);
        }
        let is_over = last.is_some() && sent.iter().all(|(_, outcome)| outcome.is_some());
        if is_over { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    for outcome in sent.into_iter().filter_map(|(_, outcome)| outcome) {
        outcome?;
    }
    last.expect("nothing before it has failed")
}

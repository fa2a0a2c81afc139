//! A statement with its parameters, kept until it is sent.

use std::sync::Arc;

use deadpool_postgres::ClientWrapper;
use tokio_postgres::Error;

use super::{Value, types};

#[derive(Debug)]
pub(super) struct Statement {
    sql: Arc<str>,
    parameters: Vec<Kept>,
}

/// A [`Value`] that is kept.
#[derive(Debug)]
enum Kept {
    Null,
    Integer(i64),
    Text(String),
    Bytes(Vec<u8>),
}

impl Statement {
    pub(super) fn new(sql: Arc<str>, parameters: &[Value<'_>]) -> Self {
        let kept = |value: &Value<'_>| match *value {
            Value::Null => Kept::Null,
            Value::Integer(number) => Kept::Integer(number),
            Value::Text(text) => Kept::Text(text.to_owned()),
            Value::Bytes(bytes) => Kept::Bytes(bytes.to_owned()),
        };
        Self { sql, parameters: parameters.iter().map(kept).collect() }
    }

    pub(super) fn is(&self, sql: &str, parameters: &[Value<'_>]) -> bool {
        *self.sql == *sql && self.values() == parameters
    }

    pub(super) fn values(&self) -> Vec<Value<'_>> {
        let value = |kept| match kept {
            &Kept::Null => Value::Null,
            &Kept::Integer(number) => Value::Integer(number),
            Kept::Text(text) => Value::Text(text),
            Kept::Bytes(bytes) => Value::Bytes(bytes),
        };
        self.parameters.iter().map(value).collect()
    }

    /// The server's handle of it, which costs a round trip when a connection has it for the first time.
    pub(super) async fn prepared(&self, client: &ClientWrapper) -> Result<tokio_postgres::Statement, Error> {
        client.prepare_typed_cached(&self.sql, &types(&self.values())).await
    }
}

//! A change that is begun: the token is spent, and what it is spent for is written down.

use std::fmt;

use asymmetric_token::Mutation;
use jiff::Timestamp;

use crate::audit::Hash;
use crate::keys::User;

/// A change that is on record and not yet settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// Its place in the audit log.
    pub seq: i64,
    /// The hash of its entry. A log that has lost its end may have another entry at the same place.
    pub hash: Hash,
    /// What is about to be done.
    pub mutation: Mutation,
    /// Who wants it done.
    pub user: User,
    /// When the token was spent.
    pub time: Timestamp,
}

/// The change in words, for the log and for people.
impl fmt::Display for Intent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mutation = &self.mutation;
        match mutation.version() {
            Some(version) => write!(f, "the {} of {} {version}", mutation.kind(), mutation.name()),
            None => write!(f, "the {} request for {}", mutation.kind(), mutation.name()),
        }
    }
}

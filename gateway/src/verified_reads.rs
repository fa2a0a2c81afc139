//! Read tokens whose signature was verified lately. Cargo sends one with every file of the index it asks for, hundreds
//! of times in one build.
//!
//! Only the signature is remembered. What a token allows is decided anew each time, by the time it is then and by the
//! key as it stands then in the store.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use asymmetric_token::Verified;
use sha2::{Digest as _, Sha256};

use crate::keys::Key;
use crate::store::Revision;

/// Tokens in each of two generations; about a kilobyte each.
const GENERATION: usize = 2048;

/// A token that a key has signed.
#[derive(Debug)]
pub(crate) struct VerifiedRead {
    pub(crate) verified: Verified,
    pub(crate) key: Key,
    /// The store's revision when the key was looked up; see [`Store::revision`](crate::store::Store::revision).
    pub(crate) revision: Revision,
}

/// A bounded table. When the younger generation is full, the older one is forgotten.
#[derive(Debug)]
pub(crate) struct VerifiedReads {
    generations: Mutex<[HashMap<TokenHash, Arc<VerifiedRead>>; 2]>,
    generation: usize,
}

/// SHA-256 of a token's bytes, so that the table is of no use to whoever gets to see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TokenHash([u8; 32]);

impl TokenHash {
    pub(crate) fn of(token: &str) -> Self {
        Self(Sha256::digest(token).into())
    }
}

impl Default for VerifiedReads {
    fn default() -> Self {
        Self::new(GENERATION)
    }
}

impl VerifiedReads {
    fn new(generation: usize) -> Self {
        Self { generations: Mutex::default(), generation }
    }

    pub(crate) fn find(&self, token: &TokenHash) -> Option<Arc<VerifiedRead>> {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(read) = generations[0].get(token) {
            return Some(read.clone());
        }
        let read = generations[1].remove(token)?;
        self.keep(&mut generations, *token, read.clone());
        Some(read)
    }

    pub(crate) fn remember(&self, token: TokenHash, read: VerifiedRead) -> Arc<VerifiedRead> {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        let read = Arc::new(read);
        self.keep(&mut generations, token, read.clone());
        read
    }

    fn keep(
        &self,
        generations: &mut [HashMap<TokenHash, Arc<VerifiedRead>>; 2],
        token: TokenHash,
        read: Arc<VerifiedRead>,
    ) {
        if generations[0].len() >= self.generation {
            generations[1] = std::mem::take(&mut generations[0]);
        }
        generations[0].insert(token, read);
    }
}

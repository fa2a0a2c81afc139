//! A cache of read tokens whose signature was verified. Cargo sends one with every file of the index that it asks for,
//! hundreds of times in a build.
//!
//! Only the result for the signature is cached. What a token allows is decided anew each time, by the present time and
//! the present state of the key in the store.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use asymmetric_token::Verified;
use sha2::{Digest as _, Sha256};

use crate::keys::Key;
use crate::store::Revision;

/// The most tokens in each of two generations. A token takes about a kilobyte.
const GENERATION: usize = 2048;

/// A token whose signature was verified.
#[derive(Debug)]
pub(crate) struct VerifiedRead {
    pub(crate) verified: Verified,
    pub(crate) key: Key,
    /// The store's revision when the key was looked up; see [`Store::revision`](crate::store::Store::revision).
    pub(crate) revision: Revision,
}

/// A cache of limited size. When the younger generation is full, the older one is dropped.
#[derive(Debug)]
pub(crate) struct VerifiedReads {
    generations: Mutex<[HashMap<TokenHash, Arc<VerifiedRead>>; 2]>,
    generation: usize,
}

/// The SHA-256 of a token's bytes. The cache has no tokens, so it is of no use to somebody who gets to see it.
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

#[cfg(test)]
mod tests {
    use asymmetric_token::{Claims, Footer, Prepared, PublicKey, Untrusted};
    use jiff::Timestamp;
    use p384::ecdsa::signature::hazmat::PrehashSigner as _;
    use p384::ecdsa::{Signature, SigningKey};

    use super::*;
    use crate::keys::Role;

    fn read() -> VerifiedRead {
        let signing = SigningKey::from_slice(&[1; 48]).unwrap();
        let point = signing.verifying_key().to_sec1_point(true);
        let public = PublicKey::from_sec1(point.as_bytes()).unwrap();
        let claims = Claims::read(Timestamp::UNIX_EPOCH);
        let footer = Footer::new("sparse+https://crates.example.org/index/", public.id());
        let prepared = Prepared::new(&public, &claims, &footer).unwrap();
        let signature: Signature = signing.sign_prehash(prepared.digest()).unwrap();
        let token = prepared.finish(&signature.to_bytes().into()).unwrap();
        let key = Key {
            public,
            user: "alice".parse().unwrap(),
            role: Role::Read,
            label: None,
            subject: None,
            added: Timestamp::UNIX_EPOCH,
            revoked: None,
            expires: None,
        };
        VerifiedRead {
            verified: Untrusted::parse(&token).unwrap().verify(&public).unwrap(),
            key,
            revision: Revision::default(),
        }
    }

    #[test]
    fn is_bounded_and_keeps_what_is_asked_for() {
        let table = VerifiedReads::new(2);
        let hash = |n: u8| TokenHash([n; 32]);
        for n in 0..100 {
            table.remember(hash(n), read());
            assert!(table.find(&hash(0)).is_some(), "asked for each time, it was never the oldest");
            let held: usize = table.generations.lock().unwrap().iter().map(HashMap::len).sum();
            assert!(held <= 4, "{held} after {n}");
        }
        assert!(table.find(&hash(50)).is_none());
        assert!(table.find(&hash(99)).is_some());
    }
}

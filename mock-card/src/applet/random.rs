//! A generator of random bytes that always makes the same ones from the same seed: SHA-256 in counter mode.
//!
//! RSA keys are made with it, because the search for primes would never end on a source that repeats one byte, as a
//! test's source may. Keys that have to be the same in every process are made with it, too.

use std::convert::Infallible;

use sha2::{Digest as _, Sha256};

/// Each block is the SHA-256 of the seed and a counter.
pub(crate) struct SeededRandom {
    seed: Vec<u8>,
    counter: u32,
    block: Vec<u8>,
}

impl SeededRandom {
    pub(crate) fn new(seed: &[u8]) -> Self {
        Self { seed: seed.to_vec(), counter: 0, block: Vec::new() }
    }

    /// Takes 32 bytes of `source` as the seed.
    pub(crate) fn from_source(source: &mut dyn FnMut(&mut [u8])) -> Self {
        let mut seed = [0; 32];
        source(&mut seed);
        Self::new(&seed)
    }

    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            if self.block.is_empty() {
                self.block = Sha256::new()
                    .chain_update(&self.seed)
                    .chain_update(self.counter.to_be_bytes())
                    .finalize()
                    .to_vec();
                self.block.reverse();
                self.counter += 1;
            }
            *byte = self.block.pop().expect("it was just filled");
        }
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.fill(&mut bytes);
        bytes
    }
}

impl rand_core::TryRng for SeededRandom {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut word = [0; 4];
        self.fill(&mut word);
        Ok(u32::from_be_bytes(word))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut word = [0; 8];
        self.fill(&mut word);
        Ok(u64::from_be_bytes(word))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.fill(bytes);
        Ok(())
    }
}

impl rand_core::TryCryptoRng for SeededRandom {}

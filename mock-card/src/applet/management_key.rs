//! The management key: its algorithms, which are those of SP 800-78-4, table 6-1, and its cipher.

use aes::{Aes128, Aes192, Aes256};
use cipher::{Array, BlockCipherEncrypt, BlockSizeUser, KeyInit};
use des::TdesEde3;
use serde::{Deserialize, Serialize};

use super::policy::TouchPolicy;
use crate::hex;

/// The block cipher of a management key, by its PIV algorithm identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum ManagementAlgorithm {
    /// With a key of 24 bytes.
    TripleDes = 0x03,
    /// With a key of 16 bytes.
    Aes128 = 0x08,
    /// With a key of 24 bytes.
    Aes192 = 0x0A,
    /// With a key of 32 bytes.
    Aes256 = 0x0C,
}

impl ManagementAlgorithm {
    /// Reads the identifier. 00 is an older identifier of 3DES (SP 800-78-4, table 6-2).
    pub(crate) fn parse(identifier: u8) -> Option<Self> {
        match identifier {
            0x00 | 0x03 => Some(Self::TripleDes),
            0x08 => Some(Self::Aes128),
            0x0A => Some(Self::Aes192),
            0x0C => Some(Self::Aes256),
            _ => None,
        }
    }

    /// The number of bytes in a key.
    pub fn key_length(self) -> usize {
        match self {
            Self::Aes128 => 16,
            Self::TripleDes | Self::Aes192 => 24,
            Self::Aes256 => 32,
        }
    }

    /// The number of bytes in a block: 8 with 3DES, 16 with AES.
    pub(crate) fn block_length(self) -> usize {
        if self == Self::TripleDes { 8 } else { 16 }
    }
}

/// The key in slot 9B.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ManagementKey {
    pub(crate) algorithm: ManagementAlgorithm,
    #[serde(with = "hex::text")]
    value: Vec<u8>,
    pub(crate) touch: TouchPolicy,
}

impl ManagementKey {
    /// The bytes 01 to 08, three times. Every new card has this value, whatever its algorithm.
    const DEFAULT: [u8; 24] = [1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8];

    /// `None` if the value has not the length that the algorithm needs.
    pub(crate) fn new(algorithm: ManagementAlgorithm, value: &[u8], touch: TouchPolicy) -> Option<Self> {
        (value.len() == algorithm.key_length()).then(|| Self { algorithm, value: value.to_vec(), touch })
    }

    /// The key of a new card.
    pub(crate) fn default_of(algorithm: ManagementAlgorithm) -> Self {
        Self { algorithm, value: Self::DEFAULT.to_vec(), touch: TouchPolicy::Never }
    }

    pub(crate) fn is_default(&self) -> bool {
        self.value == Self::DEFAULT
    }

    /// Whether the value has the right length. It may come from a file that somebody has edited.
    pub(crate) fn is_valid(&self) -> bool {
        self.value.len() == self.algorithm.key_length()
    }

    /// Encrypts one block.
    pub(crate) fn encrypt(&self, block: &[u8]) -> Vec<u8> {
        match self.algorithm {
            ManagementAlgorithm::TripleDes => encrypt(&cipher_of::<TdesEde3>(&self.value), block),
            ManagementAlgorithm::Aes128 => encrypt(&cipher_of::<Aes128>(&self.value), block),
            ManagementAlgorithm::Aes192 => encrypt(&cipher_of::<Aes192>(&self.value), block),
            ManagementAlgorithm::Aes256 => encrypt(&cipher_of::<Aes256>(&self.value), block),
        }
    }
}

fn cipher_of<C: KeyInit>(key: &[u8]) -> C {
    C::new_from_slice(key).expect("every way to a ManagementKey checks its length")
}

fn encrypt<C: BlockCipherEncrypt + BlockSizeUser>(cipher: &C, block: &[u8]) -> Vec<u8> {
    let mut block = Array::try_from(block).expect("every caller checks that it is one block");
    cipher.encrypt_block(&mut block);
    block.to_vec()
}

//! The algorithm identifiers of keys (SP 800-78-4, table 6-2; Yubico's additions are not used here).

use std::fmt;

/// The algorithm of an asymmetric key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyAlgorithm {
    /// `11`
    P256,
    /// `14`
    P384,
    /// Any other, by its identifier.
    Other(u8),
}

impl KeyAlgorithm {
    pub(super) fn from_byte(byte: u8) -> KeyAlgorithm {
        match byte {
            0x11 => KeyAlgorithm::P256,
            0x14 => KeyAlgorithm::P384,
            other => KeyAlgorithm::Other(other),
        }
    }

    pub(super) fn byte(self) -> u8 {
        match self {
            KeyAlgorithm::P256 => 0x11,
            KeyAlgorithm::P384 => 0x14,
            KeyAlgorithm::Other(byte) => byte,
        }
    }
}

/// The cipher of a management key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ManagementAlgorithm {
    /// Three-key 3DES.
    TripleDes = 0x03,
    /// AES-128.
    Aes128 = 0x08,
    /// AES-192.
    Aes192 = 0x0A,
    /// AES-256.
    Aes256 = 0x0C,
}

impl ManagementAlgorithm {
    pub(super) fn from_byte(byte: u8) -> Option<ManagementAlgorithm> {
        use ManagementAlgorithm::*;
        [TripleDes, Aes128, Aes192, Aes256].into_iter().find(|algorithm| *algorithm as u8 == byte)
    }

    /// Bytes of a key.
    pub fn key_length(self) -> usize {
        match self {
            ManagementAlgorithm::Aes128 => 16,
            ManagementAlgorithm::TripleDes | ManagementAlgorithm::Aes192 => 24,
            ManagementAlgorithm::Aes256 => 32,
        }
    }

    /// Bytes of a block, which is what challenges and witnesses have.
    pub(super) fn block_length(self) -> usize {
        if self == ManagementAlgorithm::TripleDes { 8 } else { 16 }
    }
}

impl fmt::Display for ManagementAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ManagementAlgorithm::TripleDes => "3DES",
            ManagementAlgorithm::Aes128 => "AES-128",
            ManagementAlgorithm::Aes192 => "AES-192",
            ManagementAlgorithm::Aes256 => "AES-256",
        })
    }
}

//! Public keys and key ids in PASERK's spelling: `k3.public.…` and `k3.pid.…`.
//!
//! Source: PASERK specification, types/public, types/pid, operations/ID.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p384::ecdsa::VerifyingKey;
use sha2::{Digest as _, Sha384};

use crate::error::Error;

const PUBLIC: &str = "k3.public.";
const ID: &str = "k3.pid.";
const ID_BYTES: usize = 33;

/// A P-384 public key: a point of the curve, known to be one. Displays as `k3.public.…` (76 characters).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey {
    compressed: [u8; 49],
    point: VerifyingKey,
}

impl PublicKey {
    /// From a compressed SEC 1 point, 49 bytes.
    ///
    /// # Errors
    /// [`Error::KeyUncompressed`] for any other form or length, [`Error::KeyOffCurve`].
    pub fn from_sec1(compressed: &[u8]) -> Result<Self, Error> {
        let compressed: [u8; 49] = compressed.try_into().map_err(|_| Error::KeyUncompressed)?;
        if !matches!(compressed[0], 2 | 3) {
            return Err(Error::KeyUncompressed);
        }
        let point = VerifyingKey::from_sec1_bytes(&compressed).map_err(|_| Error::KeyOffCurve)?;
        Ok(Self { compressed, point })
    }

    /// From an uncompressed SEC 1 point, 97 bytes (04 ‖ x ‖ y), as a PIV card gives it.
    ///
    /// # Errors
    /// [`Error::KeyOffCurve`].
    pub fn from_uncompressed(point: &[u8; 97]) -> Result<Self, Error> {
        let point = VerifyingKey::from_sec1_bytes(point).map_err(|_| Error::KeyOffCurve)?;
        Self::from_sec1(point.to_sec1_point(true).as_bytes())
    }

    /// The compressed point.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 49] {
        &self.compressed
    }

    /// The key's id: 33 bytes of SHA-384 over its PASERK.
    #[must_use]
    pub fn id(&self) -> KeyId {
        let hash = Sha384::new().chain_update(ID).chain_update(self.to_string()).finalize();
        KeyId(hash.first_chunk().copied().expect("SHA-384 has 48 bytes"))
    }

    pub(crate) fn verifying_key(&self) -> &VerifyingKey {
        &self.point
    }
}

impl FromStr for PublicKey {
    type Err = Error;

    fn from_str(paserk: &str) -> Result<Self, Error> {
        let encoded = paserk.strip_prefix(PUBLIC).ok_or(Error::KeySyntax)?;
        let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| Error::KeySyntax)?;
        match bytes.len() {
            49 | 97 => Self::from_sec1(&bytes),
            _ => Err(Error::KeySyntax),
        }
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PUBLIC}{}", URL_SAFE_NO_PAD.encode(self.compressed))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The id of a public key, 33 bytes. Displays as `k3.pid.…` (51 characters).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId([u8; ID_BYTES]);

impl FromStr for KeyId {
    type Err = Error;

    fn from_str(paserk: &str) -> Result<Self, Error> {
        let encoded = paserk.strip_prefix(ID).ok_or(Error::KeyIdSyntax)?;
        let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| Error::KeyIdSyntax)?;
        Ok(Self(bytes.try_into().map_err(|_| Error::KeyIdSyntax)?))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{ID}{}", URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

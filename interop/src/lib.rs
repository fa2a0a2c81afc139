//! What the judges share: where they keep what they build, and what `yubikey-peer` prints, a card as the `yubikey`
//! crate sees it.

pub mod cache;
pub mod computer;
pub mod kellnr;
#[cfg(unix)]
pub mod postgres;
pub mod server;

use serde::{Deserialize, Serialize};

/// A card.
#[derive(Debug, Deserialize, Serialize)]
pub struct CardReport {
    /// The YubiKey's number.
    pub serial: u32,
    /// Its firmware, as in `5.7.4`.
    pub firmware: String,
    /// The retired slots that hold a key, from 82 upward.
    pub slots: Vec<SlotReport>,
}

/// A slot with a key in it. Words are those of the crate's own names.
#[derive(Debug, Deserialize, Serialize)]
pub struct SlotReport {
    /// Two hexadecimal digits.
    pub slot: String,
    /// From the slot's metadata.
    pub algorithm: String,
    /// From the slot's metadata.
    pub pin: String,
    /// From the slot's metadata.
    pub touch: String,
    /// From the slot's metadata.
    pub origin: String,
    /// From the slot's metadata: the uncompressed point in base64, 97 bytes for P-384.
    pub public: String,
    /// From the slot's certificate object.
    pub certificate: CertificateReport,
}

/// The certificate in a slot.
#[derive(Debug, Deserialize, Serialize)]
pub struct CertificateReport {
    /// RFC 4514: the last component comes first.
    pub subject: String,
    /// RFC 4514.
    pub issuer: String,
    /// The URIs of the subject alternative name.
    pub uris: Vec<String>,
    /// The certified key, like [`SlotReport::public`].
    pub public: String,
    /// Object identifiers of extensions that a reader has to understand.
    pub critical: Vec<String>,
}

//! PASETO `v3.public`: framing and pre-authentication encoding.
//!
//! Source: PASETO specification, 01-Protocol-Versions/Version3, "Sign" and "Verify", and 02-Common, "Authentication
//! Padding". Version 3 puts the compressed public key in front of what is signed, so that a signature fits one key.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::error::{Error, Part};

/// The longest token that is accepted, in bytes. A publish token has about 610 bytes.
pub const MAX_TOKEN_BYTES: usize = 4096;

/// The beginning of every token of this version and purpose.
pub const HEADER: &str = "v3.public.";

/// Length of r ‖ s, in bytes.
pub const SIGNATURE_BYTES: usize = 96;

/// The parts of a token. Nothing is verified.
#[derive(Debug)]
pub struct Frame {
    /// The message as signed.
    pub payload: Vec<u8>,
    /// r ‖ s, 48 bytes each.
    pub signature: [u8; SIGNATURE_BYTES],
    /// The footer as signed; empty if the token has none.
    pub footer: Vec<u8>,
}

impl Frame {
    /// Splits a token into its parts.
    ///
    /// # Errors
    /// [`Error::TooLong`], [`Error::WrongHeader`], [`Error::TrailingBytes`], [`Error::Padded`],
    /// [`Error::NotBase64`], [`Error::Truncated`].
    pub fn parse(token: &str) -> Result<Self, Error> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Error::TooLong { bytes: token.len() });
        }
        let rest = token.strip_prefix(HEADER).ok_or(Error::WrongHeader)?;
        let (body, footer) = rest.split_once('.').unwrap_or((rest, ""));
        if footer.contains('.') || token.ends_with(|last: char| last == '.' || last.is_ascii_whitespace()) {
            return Err(Error::TrailingBytes);
        }
        let mut payload = decode(body, Part::Payload)?;
        let footer = decode(footer, Part::Footer)?;
        let message = payload.len().checked_sub(SIGNATURE_BYTES).ok_or(Error::Truncated)?;
        let signature = payload.split_off(message).try_into().map_err(|_| Error::Truncated)?;
        Ok(Self { payload, signature, footer })
    }
}

/// The bytes whose SHA-384 is signed: PAE of key, header, payload, footer and implicit assertion.
///
/// RFC 3231 tokens have an empty implicit assertion.
#[must_use]
pub fn signed_bytes(public_key: &[u8; 49], payload: &[u8], footer: &[u8], implicit: &[u8]) -> Vec<u8> {
    pre_authentication_encoding(&[public_key, HEADER.as_bytes(), payload, footer, implicit])
}

/// PAE: the number of pieces and the length of each as 64-bit little-endian integers, so that no two lists of
/// pieces give the same bytes.
#[must_use]
pub fn pre_authentication_encoding(pieces: &[&[u8]]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(8 + pieces.iter().map(|piece| 8 + piece.len()).sum::<usize>());
    encoded.extend(le64(pieces.len()));
    for piece in pieces {
        encoded.extend(le64(piece.len()));
        encoded.extend(*piece);
    }
    encoded
}

/// Joins the parts to a token.
#[must_use]
pub fn encode(payload: &[u8], signature: &[u8; SIGNATURE_BYTES], footer: &[u8]) -> String {
    let mut token = String::from(HEADER);
    URL_SAFE_NO_PAD.encode_string([payload, signature].concat(), &mut token);
    if !footer.is_empty() {
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(footer, &mut token);
    }
    token
}

/// Bit 63 is cleared, for languages without unsigned integers.
fn le64(length: usize) -> [u8; 8] {
    (length as u64 & (u64::MAX >> 1)).to_le_bytes()
}

fn decode(text: &str, part: Part) -> Result<Vec<u8>, Error> {
    if text.contains('=') {
        return Err(Error::Padded(part));
    }
    URL_SAFE_NO_PAD.decode(text).map_err(|_| Error::NotBase64(part))
}

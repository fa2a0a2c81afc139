//! Nonces that need not be remembered: what the registry issued it recognises by a MAC. Only one that was used is kept.
//!
//! base64url(expiry, u64 big-endian ‖ 16 random bytes ‖ HMAC-SHA-256(server key, "cargo-enrollment-v1" ‖ index URL ‖
//! expiry ‖ random)[..16])

use std::fmt;
use std::time::Duration;

use aws_lc_rs::{constant_time, hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};

/// How long a nonce is good: time to find the PIN, and another card.
pub const NONCE_LASTS: Duration = Duration::from_secs(600);

const PURPOSE: &[u8] = b"cargo-enrollment-v1";
/// Of the expiry and the random part together.
const SAID: usize = 24;
const MAC: usize = 16;

/// The key by which this registry recognises what it issued, 32 bytes. It is not shown by `Debug`.
#[derive(Clone)]
pub struct ServerKey([u8; 32]);

impl ServerKey {
    /// From the bytes that are kept.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A nonce for the registry with this index URL, and when it expires.
    ///
    /// # Panics
    /// Where the operating system has no random numbers.
    #[must_use]
    pub fn nonce(&self, index_url: &str, now: Timestamp) -> (String, Timestamp) {
        let lasts = SignedDuration::try_from(NONCE_LASTS).unwrap_or(SignedDuration::ZERO);
        let expires = now.checked_add(lasts).unwrap_or(Timestamp::MAX);
        let mut bytes = [0; SAID + MAC];
        let (said, mac) = bytes.split_at_mut(SAID);
        said[..8].copy_from_slice(&u64::try_from(expires.as_second()).unwrap_or(0).to_be_bytes());
        rand::fill(&mut said[8..]).expect("the operating system has random numbers");
        mac.copy_from_slice(&self.mac(index_url, said));
        (URL_SAFE_NO_PAD.encode(bytes), expires)
    }

    /// When a nonce of ours expires; `None` if it has, or is not ours.
    #[must_use]
    pub fn check_nonce(&self, nonce: &str, index_url: &str, now: Timestamp) -> Option<Timestamp> {
        let bytes: [u8; SAID + MAC] = URL_SAFE_NO_PAD.decode(nonce).ok()?.try_into().ok()?;
        let (said, mac) = bytes.split_at(SAID);
        constant_time::verify_slices_are_equal(mac, &self.mac(index_url, said)).ok()?;
        let expires = u64::from_be_bytes(*said.first_chunk()?);
        let expires = Timestamp::from_second(i64::try_from(expires).ok()?).ok()?;
        (now <= expires).then_some(expires)
    }

    fn mac(&self, index_url: &str, said: &[u8]) -> [u8; MAC] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        let tag = hmac::sign(&key, &[PURPOSE, index_url.as_bytes(), said].concat());
        *tag.as_ref().first_chunk().expect("SHA-256 has 32 bytes")
    }
}

impl fmt::Debug for ServerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn only_ours_and_only_for_ten_minutes() {
        let (key, url) = (ServerKey::new([1; 32]), "sparse+https://r.example/");
        let now: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
        let (nonce, expires) = key.nonce(url, now);
        assert_eq!(expires, "2026-11-20T12:10:00Z".parse().unwrap());
        assert_eq!(key.check_nonce(&nonce, url, now), Some(expires));
        assert_eq!(key.check_nonce(&nonce, url, expires), Some(expires));
        assert_eq!(key.check_nonce(&nonce, url, expires + SignedDuration::from_secs(1)), None);
        assert_eq!(key.check_nonce(&nonce, "sparse+https://other.example/", now), None);
        assert_eq!(ServerKey::new([2; 32]).check_nonce(&nonce, url, now), None);
        assert_ne!(key.nonce(url, now).0, nonce);
        for position in 0..nonce.len() {
            let mut changed = nonce.clone().into_bytes();
            changed[position] = if changed[position] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(key.check_nonce(&changed, url, now), None, "{changed}");
        }
        for bad in ["", "x", &format!("{nonce}A"), &format!("{nonce}=")] {
            assert_eq!(key.check_nonce(bad, url, now), None, "{bad}");
        }
    }
}

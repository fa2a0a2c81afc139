//! Challenges: what a registry asks to find again in the next mutation token, or in the tokens of an enrollment.
//!
//! Source: RFC 3231, which leaves their form to the registry. Here one is, in base64url without padding,
//!
//! ```text
//! expiry   8 bytes   seconds since 1970, big-endian
//! nonce   16 bytes
//! tag     16 bytes   the first half of HMAC-SHA-256(key, purpose ‖ index URL ‖ expiry ‖ nonce)
//! ```
//!
//! where the purpose is `cargo-challenge-v1` for a mutation and `cargo-enrollment-v1` for an enrollment.
//!
//! A challenge that is issued is not remembered: whoever asks for a million of them costs a million hashes and no memory.
//! Only one that was used is written down, in the transaction that uses it up.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::Deserialize;

/// How long a challenge for a mutation is good.
pub const VALIDITY: Duration = Duration::from_secs(120);
/// How long a challenge for an enrollment is good: people have to find a PIN, and perhaps another card.
pub const ENROLLMENT_VALIDITY: Duration = Duration::from_secs(600);
/// The length of the key, in bytes.
pub const KEY_BYTES: usize = 32;

const NONCE_BYTES: usize = 16;
const TAG_BYTES: usize = 16;
const BYTES: usize = 8 + NONCE_BYTES + TAG_BYTES;

/// Whether a registry uses challenges.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Challenges {
    /// It issues none, and accepts no token that has one.
    #[default]
    Off,
    /// It issues them, and accepts mutation tokens without one too.
    Optional,
    /// It accepts no mutation token without one.
    Required,
}

impl Challenges {
    /// The word for it, in settings and in `WWW-Authenticate`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Optional => "optional",
            Self::Required => "required",
        }
    }
}

impl FromStr for Challenges {
    type Err = BadChallenges;

    fn from_str(word: &str) -> Result<Self, BadChallenges> {
        let all = [Self::Off, Self::Optional, Self::Required];
        all.into_iter().find(|challenges| challenges.as_str() == word).ok_or(BadChallenges)
    }
}

/// The word is not one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("challenges are `off`, `optional` or `required`")]
pub struct BadChallenges;

/// Issues the challenges of one index URL, and recognises them.
#[derive(Clone)]
pub struct Issuer {
    key: hmac::Key,
    purpose: &'static str,
    validity: Duration,
    url: String,
}

/// Why a challenge is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadChallenge {
    /// This registry has not issued it, or has issued it for another purpose.
    Foreign,
    /// It was issued too long ago.
    Expired,
}

impl Issuer {
    /// For mutations at the index URL as cargo has it, `sparse+http…/index/`.
    #[must_use]
    pub fn new(key: &[u8; KEY_BYTES], url: &str) -> Self {
        Self::with_purpose(key, url, "cargo-challenge-v1", VALIDITY)
    }

    /// For enrollments at this index URL.
    #[must_use]
    pub fn of_enrollments(key: &[u8; KEY_BYTES], url: &str) -> Self {
        Self::with_purpose(key, url, "cargo-enrollment-v1", ENROLLMENT_VALIDITY)
    }

    fn with_purpose(key: &[u8; KEY_BYTES], url: &str, purpose: &'static str, validity: Duration) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, key), purpose, validity, url: url.to_owned() }
    }

    /// A challenge of 54 printable characters that is good from now on. The nonce must not come twice.
    #[must_use]
    pub fn issue(&self, nonce: &[u8; NONCE_BYTES], now: Timestamp) -> String {
        let expiry = now.as_second().saturating_add(self.validity.as_secs() as i64).max(0) as u64;
        let expiry = expiry.to_be_bytes();
        let tag = self.tag(&expiry, nonce);
        URL_SAFE_NO_PAD.encode([&expiry[..], nonce, &tag].concat())
    }

    /// A challenge with a random nonce; `None` if the system gives no random bytes.
    #[must_use]
    pub fn issue_random(&self, now: Timestamp) -> Option<String> {
        let mut nonce = [0; NONCE_BYTES];
        aws_lc_rs::rand::fill(&mut nonce).ok()?;
        Some(self.issue(&nonce, now))
    }

    /// Checks that a challenge is one of ours and good now, and returns when it expires. A challenge has one spelling,
    /// so that its text can be remembered as used.
    ///
    /// # Errors
    /// [`BadChallenge`].
    pub fn check(&self, challenge: &str, now: Timestamp) -> Result<Timestamp, BadChallenge> {
        let bytes = URL_SAFE_NO_PAD.decode(challenge).map_err(|_| BadChallenge::Foreign)?;
        let bytes: [u8; BYTES] = bytes.try_into().map_err(|_| BadChallenge::Foreign)?;
        let (expiry, rest) = bytes.split_first_chunk::<8>().ok_or(BadChallenge::Foreign)?;
        let (nonce, tag) = rest.split_at(NONCE_BYTES);
        verify_slices_are_equal(&self.tag(expiry, nonce), tag).map_err(|_| BadChallenge::Foreign)?;
        let expiry = i64::try_from(u64::from_be_bytes(*expiry)).map_err(|_| BadChallenge::Foreign)?;
        let expiry = Timestamp::from_second(expiry).map_err(|_| BadChallenge::Foreign)?;
        if expiry.as_second() < now.as_second() { Err(BadChallenge::Expired) } else { Ok(expiry) }
    }

    fn tag(&self, expiry: &[u8; 8], nonce: &[u8]) -> [u8; TAG_BYTES] {
        let mut hmac = hmac::Context::with_key(&self.key);
        for part in [self.purpose.as_bytes(), self.url.as_bytes(), expiry, nonce] {
            hmac.update(part);
        }
        *hmac.sign().as_ref().first_chunk().expect("HMAC-SHA-256 has 32 bytes")
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").field("url", &self.url).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    const URL: &str = "sparse+https://crates.example/index/";

    fn now() -> Timestamp {
        "2026-11-20T12:00:00.5Z".parse().unwrap()
    }

    fn after(seconds: i64) -> Timestamp {
        now() + SignedDuration::from_secs(seconds)
    }

    fn issuer() -> Issuer {
        Issuer::new(&[1; 32], URL)
    }

    /// Computed with Python's `hmac`, from the layout above.
    #[test]
    fn has_the_documented_bytes() {
        assert_eq!(issuer().issue(&[7; 16], now()), "AAAAAGsANrgHBwcHBwcHBwcHBwcHBwcH_k6TFdCcEAf6r4roTHMR9w");
    }

    #[test]
    fn is_good_for_two_minutes() {
        let challenge = issuer().issue(&[7; 16], now());
        assert_eq!(challenge.len(), 54);
        let expiry = Ok("2026-11-20T12:02:00Z".parse().unwrap());
        for (seconds, expected) in [(0, expiry), (120, expiry), (121, Err(BadChallenge::Expired))] {
            assert_eq!(issuer().check(&challenge, after(seconds)), expected, "{seconds}");
        }
    }

    #[test]
    fn is_good_for_one_registry_and_one_key() {
        let challenge = issuer().issue(&[7; 16], now());
        let elsewhere = Issuer::new(&[1; 32], "sparse+https://crates.example/");
        assert_eq!(elsewhere.check(&challenge, now()), Err(BadChallenge::Foreign));
        assert_eq!(Issuer::new(&[2; 32], URL).check(&challenge, now()), Err(BadChallenge::Foreign));
    }

    #[test]
    fn is_good_for_one_purpose() {
        let enrollments = Issuer::of_enrollments(&[1; 32], URL);
        let challenge = enrollments.issue_random(now()).unwrap();
        assert_ne!(enrollments.issue_random(now()).unwrap(), challenge);
        assert_eq!(enrollments.check(&challenge, after(600)), Ok("2026-11-20T12:10:00Z".parse().unwrap()));
        assert_eq!(enrollments.check(&challenge, after(601)), Err(BadChallenge::Expired));
        assert_eq!(issuer().check(&challenge, now()), Err(BadChallenge::Foreign));
        assert_eq!(enrollments.check(&issuer().issue(&[7; 16], now()), now()), Err(BadChallenge::Foreign));
    }

    #[test]
    fn every_bit_counts_and_there_is_one_spelling() {
        let challenge = issuer().issue(&[7; 16], now());
        let bytes = URL_SAFE_NO_PAD.decode(&challenge).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut other = bytes.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                issuer().check(&URL_SAFE_NO_PAD.encode(&other), now()),
                Err(BadChallenge::Foreign),
                "{bit}"
            );
        }
        // Its last character has four bits that no byte has.
        let last = challenge.chars().last().unwrap();
        let twins = ('A'..='Z').chain('a'..='z').chain('0'..='9').chain("-_".chars());
        for twin in twins.filter(|twin| *twin != last) {
            let other = format!("{}{twin}", &challenge[..53]);
            assert_eq!(issuer().check(&other, now()), Err(BadChallenge::Foreign), "{twin}");
        }
        for other in ["", "A", &challenge[..52], &format!("{challenge}=="), &format!("{challenge}AAAA")] {
            assert_eq!(issuer().check(other, now()), Err(BadChallenge::Foreign), "{other}");
        }
    }
}

//! Staging tokens: random, with a beginning by which scanners of secrets know them. Only their hash is kept.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// How every staging token begins.
pub const PREFIX: &str = "rgs_";
/// How long one is good.
pub const LASTS: Duration = Duration::from_secs(1800);
/// How much of it is random, in bytes.
const RANDOM: usize = 32;

/// A staging token. It has no `Debug`.
pub struct StagingToken(Zeroizing<String>);

impl StagingToken {
    /// A new one; `None` without random bytes.
    #[must_use]
    pub fn random() -> Option<Self> {
        let mut bytes = Zeroizing::new([0; RANDOM]);
        aws_lc_rs::rand::fill(&mut *bytes).ok()?;
        Some(Self(Zeroizing::new(format!("{PREFIX}{}", *Zeroizing::new(URL_SAFE_NO_PAD.encode(*bytes))))))
    }

    /// A text that is one by its form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let random = URL_SAFE_NO_PAD.decode(text.strip_prefix(PREFIX)?).map(Zeroizing::new).ok()?;
        (random.len() == RANDOM).then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// By what it is known.
    #[must_use]
    pub fn hash(&self) -> StagingTokenHash {
        StagingTokenHash(Sha256::digest(self.0.as_bytes()).into())
    }
}

/// The SHA-256 of a staging token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StagingTokenHash([u8; 32]);

/// 64 hexadecimal digits.
impl fmt::Display for StagingTokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for StagingTokenHash {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        for (number, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * number..2 * number + 2).unwrap_or_default(), 16)?;
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::StagingToken;

    #[test]
    fn is_known_by_its_form_and_its_hash() {
        let token = StagingToken::random().unwrap();
        assert_eq!(token.as_str().len(), 47);
        assert!(StagingToken::parse(token.as_str()).unwrap().hash() == token.hash());
        assert_eq!(token.hash().to_string().parse(), Ok(token.hash()));
        for wrong in
            [&token.as_str()[1..], &token.as_str()[..46], &format!("{}a", token.as_str()), "rgs_", ""]
        {
            assert!(StagingToken::parse(wrong).is_none(), "{wrong}");
        }
    }
}

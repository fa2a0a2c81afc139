//! Invite codes. They are shown once, and kept as a hash.

use std::fmt;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

/// How long an invite is good.
pub const INVITE_LASTS: Duration = Duration::from_secs(86_400);

/// Digits and letters without I, L, O and U, which are easily misread (Crockford's base 32).
const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const LENGTH: usize = 24;

/// A code of 120 random bits: six groups of four letters and digits. Whoever has it can enroll keys for the invited
/// user, once. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct InviteCode(String);

impl InviteCode {
    /// A new code.
    ///
    /// # Panics
    /// If the operating system has no random numbers. Nothing secure can be done then.
    #[must_use]
    pub fn random() -> Self {
        let mut bytes = [0; LENGTH];
        aws_lc_rs::rand::fill(&mut bytes).expect("the operating system has random numbers");
        Self(bytes.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect())
    }

    /// Reads a code as a person types it. Case, hyphens and blanks make no difference; O counts as 0, and I and L count
    /// as 1.
    #[must_use]
    pub fn parse(typed: &str) -> Option<Self> {
        let mut letters = String::new();
        for letter in typed.chars().filter(|letter| !matches!(letter, '-' | ' ')) {
            let letter = match letter.to_ascii_uppercase() {
                'O' => '0',
                'I' | 'L' => '1',
                letter => letter,
            };
            if letters.len() == LENGTH || !LETTERS.contains(&u8::try_from(letter).ok()?) {
                return None;
            }
            letters.push(letter);
        }
        (letters.len() == LENGTH).then_some(Self(letters))
    }

    /// The SHA-256 that is kept of it, in hexadecimal digits. A code of 120 random bits cannot be guessed, so the hash
    /// needs neither salt nor slowness.
    #[must_use]
    pub fn hash(&self) -> String {
        Sha256::digest(&self.0).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Writes the code in groups of four.
impl fmt::Display for InviteCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, letter) in self.0.chars().enumerate() {
            if position > 0 && position % 4 == 0 {
                f.write_str("-")?;
            }
            write!(f, "{letter}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for InviteCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InviteCode(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::InviteCode;

    #[test]
    fn a_typed_code_is_the_shown_one() {
        let code = InviteCode::random();
        let shown = code.to_string();
        assert_eq!(shown.len(), 29);
        assert_eq!(InviteCode::parse(&shown), Some(code.clone()));
        let sloppy =
            format!(" {} ", shown.to_lowercase().replace('-', " ").replace('0', "o").replace('1', "l"));
        assert_eq!(InviteCode::parse(&sloppy).map(|code| code.hash()), Some(code.hash()));
        for bad in
            ["", "ABCD", &shown[1..], &format!("{shown}0"), &shown.replacen('-', "é", 1), &"U".repeat(24)]
        {
            assert_eq!(InviteCode::parse(bad), None, "{bad}");
        }
        assert_ne!(InviteCode::random(), InviteCode::random());
        assert!(!format!("{code:?}").contains(&shown[..4]));
    }
}

//! The values of PIN and PUK and their retry counters ("reference data" in SP 800-73-4 part 2, 3.2).

use serde::{Deserialize, Serialize};

use super::profile::Profile;
use super::status::Status;
use super::traits::LastTry;

/// A PIN or PUK as commands carry it: padded with FF to eight bytes.
pub(crate) type PaddedValue = [u8; 8];

const PADDING: u8 = 0xFF;
const SHORTEST: usize = 6;
const LENGTH: usize = 8;

/// A PIN or PUK with its retry counter.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReferenceData {
    value: PaddedValue,
    /// What the counter is set to when the right value comes.
    pub(crate) tries: u8,
    /// What the counter is at. At 0 the value is blocked.
    pub(crate) left: u8,
}

impl ReferenceData {
    const DEFAULT_PIN: PaddedValue = *b"123456\xFF\xFF";
    const DEFAULT_PUK: PaddedValue = *b"12345678";
    const PUK_TRIES: u8 = 3;

    /// The PIN of a new card, with this number of tries.
    pub(crate) fn default_pin(tries: u8) -> Self {
        Self { value: Self::DEFAULT_PIN, tries, left: tries }
    }

    /// The PUK of a new card, with this number of tries.
    pub(crate) fn default_puk(tries: u8) -> Self {
        Self { value: Self::DEFAULT_PUK, tries, left: tries }
    }

    /// The PIN of a card with this profile, when it is new.
    pub(crate) fn new_pin(profile: Profile) -> Self {
        Self::default_pin(profile.pin_tries())
    }

    /// The PUK of a card with this profile, when it is new. A card without a PUK answers as if it were blocked.
    pub(crate) fn new_puk(profile: Profile) -> Self {
        if profile.has_puk() {
            Self::default_puk(Self::PUK_TRIES)
        } else {
            Self { value: [PADDING; LENGTH], tries: 0, left: 0 }
        }
    }

    pub(crate) fn is_default_pin(&self) -> bool {
        self.value == Self::DEFAULT_PIN
    }

    pub(crate) fn is_default_puk(&self) -> bool {
        self.value == Self::DEFAULT_PUK
    }

    /// Replaces the value by a text of 6 to 8 bytes. `None` for a text of another length.
    pub(crate) fn with_text(&self, text: &str) -> Option<Self> {
        let mut value = [PADDING; LENGTH];
        value.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        let content = unpadded(&value)?;
        (content.len() >= SHORTEST).then_some(Self { value, left: self.tries, ..*self })
    }

    /// Compares a value with this one. A wrong one costs a try, and the right one restores all tries.
    pub(crate) fn verify(&mut self, value: &PaddedValue, last_try: LastTry) -> Result<(), Status> {
        if self.left == 0 {
            return Err(Status::Blocked);
        }
        if self.value != *value {
            self.left -= 1;
            return match (self.left, last_try) {
                (0, LastTry::Blocked) => Err(Status::Blocked),
                (left, _) => Err(Status::TriesLeft(left)),
            };
        }
        self.left = self.tries;
        Ok(())
    }

    /// Replaces the value and restores all tries.
    pub(crate) fn replace(&mut self, value: PaddedValue) {
        (self.value, self.left) = (value, self.tries);
    }
}

/// Whether the firmware takes this value as a new PIN.
pub(crate) fn is_acceptable_pin(value: &PaddedValue, profile: Profile) -> bool {
    unpadded(value).is_some_and(|content| is_acceptable(content, profile))
}

/// Whether the firmware takes this value as a new PUK.
pub(crate) fn is_acceptable_puk(value: &PaddedValue, profile: Profile) -> bool {
    let is_text = |content: &[u8]| !profile.has_text_puk() || content.is_ascii();
    unpadded(value).is_some_and(|content| is_text(content) && is_acceptable(content, profile))
}

fn is_acceptable(content: &[u8], profile: Profile) -> bool {
    content.len() >= profile.shortest_pin() && !(profile.has_pin_complexity() && is_trivial(content))
}

/// What stands before the padding. `None` if something else than padding stands after it.
fn unpadded(value: &PaddedValue) -> Option<&[u8]> {
    let length = value.iter().position(|byte| *byte == PADDING).unwrap_or(LENGTH);
    let (content, padding) = value.split_at(length);
    padding.iter().all(|byte| *byte == PADDING).then_some(content)
}

/// One character over and over, or a value that Yubico lists (YubiKey technical manual, "PIN complexity").
fn is_trivial(content: &[u8]) -> bool {
    const LISTED: [&[u8]; 12] = [
        b"123456",
        b"1234567",
        b"12345678",
        b"123123",
        b"123321",
        b"654321",
        b"87654321",
        b"112233",
        b"11223344",
        b"abc123",
        b"password",
        b"qwertyui",
    ];
    content.iter().all(|byte| *byte == content[0]) || LISTED.contains(&content)
}

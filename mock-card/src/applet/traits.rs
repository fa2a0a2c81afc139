//! What cards of the same firmware differ in, or what has not been measured on every firmware.

use serde::{Deserialize, Serialize};

/// What is special about a card. What is not told is as usual for its firmware.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traits {
    /// Which chain of certificates stands behind attestations. Without it, the one that the firmware came with.
    pub attestation: Option<Attestation>,
    /// Whether trivial PINs and PUKs are refused, from firmware 5.7 on. Without it, YubiKeys FIPS refuse them.
    pub pin_complexity: Option<bool>,
    /// How a wrong PIN or PUK is answered that uses up the last try.
    pub last_try: LastTry,
    /// Whether a selection that fails leaves no application selected. Without it, so does the YubiKey 4.
    pub failed_select_deselects: Option<bool>,
    /// Whether a key that lacks its PIN asks for a touch before it refuses. Without it, so does the YubiKey 4.
    pub touch_first: Option<bool>,
    /// How an answer is given that is longer than Le.
    pub short_le: ShortLe,
}

/// The chain of certificates behind the attestations of a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Attestation {
    /// The chain of firmware 5.7.4: F9 (P-256) below two intermediate authorities and a root. Cards carry F9 alone.
    New,
    /// The chain before that: F9 (RSA-2048) directly below a root.
    Old,
    /// The same, with a certificate of F9 that has no basicConstraints, as some YubiKeys 4 have it.
    Legacy,
    /// No key and no certificate in F9.
    None,
}

/// How a wrong PIN or PUK is answered that uses up the last try.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LastTry {
    /// 63C0. The next one is answered 6983.
    #[default]
    Counted,
    /// 6983.
    Blocked,
}

/// How an answer is given that is longer than Le (ISO/IEC 7816-4, 5.3.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ShortLe {
    /// Its beginning and 61xx. GET RESPONSE brings the rest. YubiKeys answer so.
    #[default]
    Rest,
    /// 6Cxx: the client has to ask again with Le = xx. Some other cards answer so.
    Again,
}

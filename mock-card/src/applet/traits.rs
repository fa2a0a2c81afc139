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
    /// Whether a key that lacks its PIN asks for a touch before it refuses. Without it, it does.
    pub touch_first: Option<bool>,
    /// How an answer is given that is longer than Le.
    pub short_le: ShortLe,
    /// Whether the serial number cannot be read. That is so where an OTP slot is programmed without SERIAL_API_VISIBLE.
    pub serial_hidden: bool,
    /// Whether attestations carry the serial number. Without it, they do; but some YubiKeys 4 do not.
    pub attests_serial: Option<bool>,
    /// The form of the device. Without it, [`FormFactor::KeychainC`], or [`FormFactor::BioC`] for a YubiKey Bio.
    pub form_factor: Option<FormFactor>,
    /// How the device is connected.
    pub transport: Transport,
    /// Whether the PIV application is switched off for this transport.
    pub piv_disabled: bool,
}

/// The form of a device, by the number that device information and attestations have for it.
#[derive(Clone, Copy, Debug, clap::ValueEnum, PartialEq, Eq)]
#[repr(u8)]
pub enum FormFactor {
    /// A keychain with USB-A, and NFC.
    KeychainA = 1,
    /// A nano with USB-A.
    NanoA = 2,
    /// A keychain with USB-C, and NFC.
    KeychainC = 3,
    /// A nano with USB-C.
    NanoC = 4,
    /// A keychain with Lightning and USB-C.
    Lightning = 5,
    /// A YubiKey Bio with USB-A.
    BioA = 6,
    /// A YubiKey Bio with USB-C.
    BioC = 7,
}

/// How a device is connected.
#[derive(Clone, Copy, Debug, clap::ValueEnum, Default, PartialEq, Eq)]
pub enum Transport {
    /// Plugged into a USB port.
    #[default]
    Usb,
    /// On an NFC reader. It cannot be touched there: keys that need a touch answer 6982 at once.
    Nfc,
}

/// The chain of certificates behind the attestations of a card.
#[derive(Clone, Copy, Debug, clap::ValueEnum, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Attestation {
    /// The chain since firmware 5.7.4: F9 below two intermediate authorities and a root. Cards carry the certificate of
    /// F9 only.
    New,
    /// The chain before that: F9 directly below a root.
    Old,
    /// The same, with a certificate of F9 that has no basicConstraints. YubiKeys 4 have that.
    Legacy,
    /// No key and no certificate in F9.
    None,
}

/// How a wrong PIN or PUK is answered that uses up the last try.
#[derive(Clone, Copy, Debug, clap::ValueEnum, Default, PartialEq, Eq)]
pub enum LastTry {
    /// 63C0. The next one is answered 6983.
    #[default]
    Counted,
    /// 6983.
    Blocked,
}

/// How an answer is given that is longer than Le (ISO/IEC 7816-4, 5.3.4).
#[derive(Clone, Copy, Debug, clap::ValueEnum, Default, PartialEq, Eq)]
pub enum ShortLe {
    /// Its beginning and 61xx. GET RESPONSE brings the rest. YubiKeys answer so.
    #[default]
    Rest,
    /// 6Cxx: the client has to ask again with Le = xx. Some other cards answer so.
    Again,
}

//! The daemon's protocol, byte for byte, with a client of our own. It sends what libpcsclite never sends, and sees what
//! libpcsclite does not show.
#![allow(clippy::unwrap_used)]

mod client;
mod faults;
mod frames;
mod hostile;
mod losses;
#[path = "../support/real_daemon.rs"]
mod real_daemon;
mod same_as_real;
mod script;
mod several;
mod sharing;
mod touch;
mod waiting;

use std::time::Duration;

use mock_card::{ImportedKey, MockCard, PinPolicy, Touch, TouchPolicy, hex};
use p256::pkcs8::EncodePrivateKey as _;

const PATIENCE: Duration = Duration::from_secs(20);

const SUCCESS: u32 = 0;
const CANCELLED: u32 = 0x8010_0002;
const INVALID_HANDLE: u32 = 0x8010_0003;
const INSUFFICIENT_BUFFER: u32 = 0x8010_0008;
const UNKNOWN_READER: u32 = 0x8010_0009;
const SHARING_VIOLATION: u32 = 0x8010_000B;
const NO_SMARTCARD: u32 = 0x8010_000C;
const PROTO_MISMATCH: u32 = 0x8010_000F;
const INVALID_VALUE: u32 = 0x8010_0011;
const NOT_TRANSACTED: u32 = 0x8010_0016;
const READER_UNAVAILABLE: u32 = 0x8010_0017;
const SERVICE_STOPPED: u32 = 0x8010_001E;
const UNSUPPORTED_FEATURE: u32 = 0x8010_001F;
const UNRESPONSIVE_CARD: u32 = 0x8010_0066;
const UNPOWERED_CARD: u32 = 0x8010_0067;
const RESET_CARD: u32 = 0x8010_0068;
const REMOVED_CARD: u32 = 0x8010_0069;

const EXCLUSIVE: u32 = 1;
const SHARED: u32 = 2;
const DIRECT: u32 = 3;
const LEAVE: u32 = 0;
const RESET: u32 = 1;
const UNPOWER: u32 = 2;
const T0: u32 = 1;
const T1: u32 = 2;
const RAW: u32 = 4;

const READER: &str = "Yubico YubiKey OTP+FIDO+CCID 00 00";
const SELECT: &str = "00A4040005A000000308";

/// The number of no context.
const NO_CONTEXT: u32 = 0x7FFF_FFFF;

fn start() -> MockCard {
    MockCard::builder().start().unwrap()
}

/// A card with a key in slot 9E that always needs a touch, and the command that signs with it.
fn start_with_touch_key(touch: Touch, timeout: Duration) -> (MockCard, Vec<u8>) {
    let key = p256::SecretKey::from_slice(&[0x5A; 32]).unwrap().to_pkcs8_der().unwrap();
    let key = ImportedKey::from_pkcs8(key.as_bytes()).unwrap();
    let card = MockCard::builder()
        .import(0x9E, key, PinPolicy::Never, TouchPolicy::Always)
        .touch(touch)
        .touch_timeout(timeout)
        .start()
        .unwrap();
    (card, [hex::decode("0087119E267C2482008120").unwrap(), vec![0x11; 32]].concat())
}

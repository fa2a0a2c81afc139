//! The PIV application of a YubiKey: SP 800-73-4 part 2, and Yubico's extensions to it.
//!
//! Everything goes through one [`Transmit`]: this module knows bytes, and neither readers nor people. Whoever
//! holds a [`Piv`] is expected to hold the card in one transaction. Answers are not trusted: a card
//! that lies gets [`Error::Malformed`], never a panic or an endless loop.

mod algorithm;
mod apdu;
pub mod attestation;
pub mod certificate;
mod curve;
mod error;
mod key;
mod management_key;
mod metadata;
mod objects;
pub mod pin;
mod policy;
mod slot;
mod status;
mod tlv;
mod verify;

#[cfg(test)]
pub(crate) mod script;

use std::{fmt, str::FromStr};

use self::apdu::{Answer, Command, instruction};
pub use self::{
    algorithm::{KeyAlgorithm, ManagementAlgorithm},
    curve::{Curve, P256, P256Point, P384, P384Point},
    error::{Error, TransportError},
    key::{KeyInSlot, Occupancy},
    management_key::{ManagementKey, WrongKeyLength},
    metadata::{METADATA_SINCE, ManagementKeyMetadata, Origin, PinMetadata, SlotMetadata},
    objects::CertificateObject,
    policy::{NoSuchPolicy, PinPolicy, TouchPolicy},
    slot::{NoSuchSlot, RetiredSlot, Slot},
    status::Status,
    verify::{PinState, QUERY_FORGETS_PIN},
};

/// The way to a card: one command APDU in, one response APDU (data and status word) out.
pub trait Transmit {
    /// Sends one APDU of at most 261 bytes.
    ///
    /// # Errors
    /// When no answer came. A status word other than 9000 is an answer.
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError>;
}

/// The selected PIV application.
pub struct Piv<'a> {
    card: &'a mut dyn Transmit,
    version: Option<Version>,
}

/// Nine bytes, without the version: every firmware takes them.
const APPLICATION: [u8; 9] = [0xA0, 0x00, 0x00, 0x03, 0x08, 0x00, 0x00, 0x10, 0x00];

impl<'a> Piv<'a> {
    /// Selects the PIV application (SP 800-73-4 part 2, 3.1.1). On firmware 4 this forgets a verified PIN; on 5 it does
    /// not.
    ///
    /// # Errors
    /// [`Error::NotAvailable`] if there is none.
    pub fn select(card: &'a mut dyn Transmit) -> Result<Piv<'a>, Error> {
        let mut piv = Piv { card, version: None };
        let command = Command::new(instruction::SELECT, 0x04, 0x00).data(APPLICATION.to_vec()).expects_data();
        let answer = piv.exchange(&command)?;
        match answer.status {
            Status::SuccessfulExecution => {}
            Status::ObjectOrApplicationNotFound
            | Status::InstructionNotSupported
            | Status::WrongParameters
            | Status::Other(0x6999) => return Err(Error::NotAvailable),
            status => return Err(Error::Refused { operation: "SELECT", status }),
        }
        tlv::only(&answer.data, 0x61, "application property template")?;
        Ok(piv)
    }

    /// The firmware version.
    ///
    /// # Errors
    /// [`Error::Malformed`] if the answer is not three bytes.
    pub fn version(&mut self) -> Result<Version, Error> {
        if let Some(version) = self.version {
            return Ok(version);
        }
        let answer = self.ask("GET VERSION", &Command::new(instruction::GET_VERSION, 0, 0).expects_data())?;
        let &[major, minor, patch] = answer.as_slice() else {
            return Err(Error::Malformed { what: "firmware version" });
        };
        Ok(*self.version.insert(Version { major, minor, patch }))
    }

    /// Saves the GET VERSION where the version is known from an earlier time: a YubiKey's firmware cannot be changed.
    pub fn assume_version(&mut self, version: Version) {
        self.version = Some(version);
    }

    /// The serial number (firmware from [`SERIAL_SINCE`] on).
    ///
    /// # Errors
    /// [`Error::Unsupported`] on older firmware.
    pub fn serial(&mut self) -> Result<Serial, Error> {
        let command = Command::new(instruction::GET_SERIAL, 0, 0).expects_data();
        let answer = self.ask("GET SERIAL", &command)?;
        let bytes = answer.as_slice().try_into().map_err(|_| Error::Malformed { what: "serial number" })?;
        Ok(Serial(u32::from_be_bytes(bytes)))
    }

    fn exchange(&mut self, command: &Command) -> Result<Answer, Error> {
        apdu::exchange(self.card, command)
    }

    /// Sends a command for which no status word has a meaning of its own.
    fn ask(
        &mut self,
        operation: &'static str,
        command: &Command,
    ) -> Result<zeroize::Zeroizing<Vec<u8>>, Error> {
        let answer = self.exchange(command)?;
        match answer.status {
            Status::SuccessfulExecution => Ok(answer.data),
            status => Err(refusal(operation, status)),
        }
    }
}

/// The error for a status that has no meaning of its own in this operation.
fn refusal(operation: &'static str, status: Status) -> Error {
    match status {
        Status::SecurityStatusNotSatisfied => Error::NotAuthenticated,
        Status::InstructionNotSupported => Error::Unsupported { operation },
        Status::NotEnoughMemory => Error::CardFull,
        status => Error::Refused { operation, status },
    }
}

/// What the attestation slot holds cannot be restored, so nothing is ever written there.
fn refuse_attestation_slot(slot: Slot) -> Result<(), Error> {
    if slot == Slot::Attestation { Err(Error::AttestationSlot) } else { Ok(()) }
}

/// Firmware before this has no GET SERIAL (Yubico PIV extensions).
pub const SERIAL_SINCE: Version = Version::new(5, 0, 3);

/// Keys of firmware before this can be extracted with a laboratory's means (YSA-2024-03, EUCLEAK).
pub const EUCLEAK_MENDED: Version = Version::new(5, 7, 0);

/// Firmware version. A newer one than known is treated like 5.7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The first number.
    pub major: u8,
    /// The second number.
    pub minor: u8,
    /// The third number.
    pub patch: u8,
}

impl Version {
    /// A version to compare with.
    pub const fn new(major: u8, minor: u8, patch: u8) -> Version {
        Version { major, minor, patch }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl FromStr for Version {
    type Err = NoVersion;

    fn from_str(text: &str) -> Result<Version, NoVersion> {
        let numbers: Result<Vec<u8>, _> = text.split('.').map(str::parse).collect();
        match numbers.as_deref() {
            Ok(&[major, minor, patch]) => Ok(Version { major, minor, patch }),
            _ => Err(NoVersion),
        }
    }
}

/// A text that is no firmware version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a firmware version is three numbers, like 5.7.4")]
pub struct NoVersion;

/// The YubiKey's number, as printed on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial(pub u32);

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::{script::Script, *};

    const SELECT: &str = "00A4040009A0000003080000100000";
    const SELECTED: &str = "61114F0600001000010079074F05A000000308 9000";

    #[test]
    fn selects_and_identifies() {
        let mut script = Script::new(&[
            (SELECT, SELECTED),
            ("00FD000000", "050704 9000"),
            ("00F8000000", "00BC614E 9000"),
        ]);
        let mut piv = Piv::select(&mut script).unwrap();
        assert_eq!(piv.version().unwrap(), Version::new(5, 7, 4));
        assert_eq!(piv.version().unwrap().to_string(), "5.7.4");
        assert_eq!(piv.serial().unwrap().to_string(), "12345678");
        script.assert_finished();
    }

    #[test]
    fn tells_a_missing_application_from_other_refusals() {
        for status in ["6A82", "6999", "6D00", "6B00"] {
            assert!(matches!(Piv::select(&mut Script::new(&[(SELECT, status)])), Err(Error::NotAvailable)));
        }
        let refused = Piv::select(&mut Script::new(&[(SELECT, "6F00")])).map(|_| ());
        assert!(matches!(refused, Err(Error::Refused { status: Status::Other(0x6F00), .. })));
    }

    #[test]
    fn refuses_answers_of_wrong_length() {
        assert!(matches!(Piv::select(&mut Script::answers(&["9000"])), Err(Error::Malformed { .. })));
        for lie in ["9000", "0507 9000", "05070400 9000"] {
            let mut script = Script::answers(&[SELECTED, lie]);
            assert!(matches!(Piv::select(&mut script).unwrap().version(), Err(Error::Malformed { .. })));
        }
        for lie in ["9000", "010203 9000", "0102030405 9000"] {
            let mut script = Script::answers(&[SELECTED, lie]);
            assert!(matches!(Piv::select(&mut script).unwrap().serial(), Err(Error::Malformed { .. })));
        }
    }

    #[test]
    fn old_firmware_has_no_serial() {
        let mut script = Script::answers(&[SELECTED, "6D00"]);
        let serial = Piv::select(&mut script).unwrap().serial();
        assert!(matches!(serial, Err(Error::Unsupported { operation: "GET SERIAL" })));
    }

    #[test]
    fn versions_compare_as_numbers() {
        assert!(Version::new(5, 10, 0) > Version::new(5, 7, 9));
        assert!(Version::new(6, 0, 0) > Version::new(5, 7, 9));
    }
}

//! What the first certificate of an attestation says about a key. The extensions are 1.3.6.1.4.1.41482.3.x, with raw
//! bytes inside the OCTET STRING.

use std::fmt;

use asymmetric_token::PublicKey;
use der::Decode as _;
use der::asn1::ObjectIdentifier;

use super::{AttestationError, Certificate, Firmware, PinPolicy, TouchPolicy};

/// Three bytes.
pub(super) const FIRMWARE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.41482.3.3");
/// A DER INTEGER. It is absent on the 4 series.
const SERIAL: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.41482.3.7");
/// Two bytes: PIN policy, touch policy.
const POLICIES: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.41482.3.8");
/// One byte. It is absent on the 4 series.
const FORM_FACTOR: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.41482.3.9");

/// What a YubiKey says about a key that it made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The key.
    pub key: PublicKey,
    /// The card's firmware when it made the statement.
    pub firmware: Firmware,
    /// The card's serial number. The 4 series does not tell it.
    pub serial: Option<u32>,
    /// When the key asks for the PIN.
    pub pin: PinPolicy,
    /// When the key asks for a touch.
    pub touch: TouchPolicy,
    /// The form factor in Yubico's numbers (1 is USB-A …; 0x80 is set on FIPS keys). The 4 series does not tell it.
    pub form_factor: Option<u8>,
}

impl Statement {
    pub(super) fn read(certificate: &Certificate) -> Result<Self, AttestationError> {
        let missing = AttestationError::Statement;
        let point = certificate.p384_point().ok_or(missing("P-384 key"))?;
        let key = PublicKey::from_uncompressed(point).map_err(|_| missing("P-384 key"))?;
        let firmware = bytes(certificate, FIRMWARE).ok_or(missing("firmware"))?;
        let [pin, touch] = bytes(certificate, POLICIES).ok_or(missing("PIN and touch policy"))?;
        let serial = certificate.extension(SERIAL).map(u32::from_der).transpose();
        let form_factor = match certificate.extension(FORM_FACTOR) {
            None => None,
            Some([one]) => Some(*one),
            Some(_) => return Err(missing("form factor")),
        };
        Ok(Self {
            key,
            firmware: Firmware(firmware),
            serial: serial.map_err(|_| missing("serial number"))?,
            pin: PinPolicy::from_byte(pin).ok_or(missing("PIN policy"))?,
            touch: TouchPolicy::from_byte(touch).ok_or(missing("touch policy"))?,
            form_factor,
        })
    }
}

/// `YubiKey 12345678, firmware 5.7.4`.
impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.serial {
            Some(serial) => write!(f, "YubiKey {serial}, firmware {}", self.firmware),
            None => write!(f, "a YubiKey with firmware {}", self.firmware),
        }
    }
}

fn bytes<const LENGTH: usize>(certificate: &Certificate, id: ObjectIdentifier) -> Option<[u8; LENGTH]> {
    certificate.extension(id)?.try_into().ok()
}

//! The PIV application PIN: 6 to 8 bytes, padded with `FF` to 8 (SP 800-73-4 part 2, 2.4.3).
//!
//! What cannot be a PIN is refused here, so that it never costs one of the card's tries.

use std::fmt;

use zeroize::Zeroizing;

/// Length of the reference data block of VERIFY, in bytes.
pub const BLOCK_LENGTH: usize = 8;

const SHORTEST: usize = 6;
const OTP_LENGTH: usize = 44;

/// A PIN that a card may be asked about. Wiped when dropped, never shown, moved and not copied: it is on the heap, since a
/// move of the bytes themselves would leave them behind on the stack.
pub struct Pin(Zeroizing<Vec<u8>>);

impl Pin {
    /// Takes what a person typed, without the end of line, and wipes it.
    ///
    /// # Errors
    /// Everything that no card would accept; no try is spent on it.
    pub fn new(typed: Zeroizing<String>) -> Result<Pin, PinError> {
        if ends_in_otp(&typed) {
            return Err(PinError::LooksLikeOtp);
        }
        if typed.chars().any(char::is_control) {
            return Err(PinError::NotPrintable);
        }
        match typed.len() {
            ..SHORTEST => return Err(PinError::TooShort),
            SHORTEST..=BLOCK_LENGTH => {}
            bytes if typed.chars().count() <= BLOCK_LENGTH => return Err(PinError::TooManyBytes { bytes }),
            _ => return Err(PinError::TooLong),
        }
        let mut block = Zeroizing::new(vec![0xFF; BLOCK_LENGTH]);
        block[..typed.len()].copy_from_slice(typed.as_bytes());
        Ok(Pin(block))
    }

    /// The 8 bytes that VERIFY sends.
    pub(crate) fn block(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(redacted)")
    }
}

/// Why some input is not a PIN. None of these costs a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PinError {
    /// Fewer than 6 bytes.
    #[error("a PIN has 6 to 8 characters, and this one is shorter; it was not sent to the card")]
    TooShort,
    /// More than 8 characters.
    #[error("a PIN has 6 to 8 characters, and this one is longer; it was not sent to the card")]
    TooLong,
    /// At most 8 characters, but more than 8 bytes.
    #[error(
        "a PIN has 6 to 8 bytes, and this one has {bytes}, because characters outside ASCII take more than one byte; it was not sent to the card"
    )]
    TooManyBytes {
        /// In UTF-8.
        bytes: usize,
    },
    /// The key was touched while the prompt was open and typed a one-time password.
    #[error(
        "this is a one-time password, typed by touching the YubiKey: touch it only when asked; it was not sent"
    )]
    LooksLikeOtp,
    /// A control character.
    #[error("a PIN consists of printable characters; it was not sent to the card")]
    NotPrintable,
}

/// A Yubico OTP is 44 characters of the modhex alphabet; a person may have typed something before the touch.
fn ends_in_otp(typed: &str) -> bool {
    let modhex = |c: &u8| b"cbdefghijklnrtuv".contains(&c.to_ascii_lowercase());
    typed.bytes().rev().take_while(|c| modhex(c)).count() >= OTP_LENGTH
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pin(text: &str) -> Result<Pin, PinError> {
        Pin::new(Zeroizing::new(text.to_owned()))
    }

    #[test]
    fn pads_with_ff() {
        assert_eq!(pin("123456").unwrap().block(), b"123456\xFF\xFF");
        assert_eq!(pin("12345678").unwrap().block(), b"12345678");
    }

    #[test]
    fn counts_bytes() {
        assert_eq!(pin("12345").unwrap_err(), PinError::TooShort);
        assert_eq!(pin("").unwrap_err(), PinError::TooShort);
        assert_eq!(pin("123456789").unwrap_err(), PinError::TooLong);
        assert_eq!(pin("ééééé").unwrap_err(), PinError::TooManyBytes { bytes: 10 });
        assert_eq!(pin("stra\u{df}e12").unwrap_err(), PinError::TooManyBytes { bytes: 9 });
        assert_eq!(pin("ééééééééé").unwrap_err(), PinError::TooLong);
        assert!(pin("éééé").is_ok());
    }

    #[test]
    fn recognises_an_accidental_touch() {
        let otp = "cccccclnhjifrgfvtbvlndekucvekdvetclbeigekfrd";
        assert_eq!(otp.len(), 44);
        assert_eq!(pin(otp).unwrap_err(), PinError::LooksLikeOtp);
        assert_eq!(pin(&format!("123{otp}")).unwrap_err(), PinError::LooksLikeOtp);
        assert_eq!(pin(&otp.to_uppercase()).unwrap_err(), PinError::LooksLikeOtp);
        assert_eq!(pin(&otp[1..]).unwrap_err(), PinError::TooLong);
    }

    #[test]
    fn refuses_control_characters() {
        assert_eq!(pin("12345\r").unwrap_err(), PinError::NotPrintable);
        assert_eq!(pin("123456\n").unwrap_err(), PinError::NotPrintable);
    }

    #[test]
    fn never_shows_itself() {
        assert_eq!(format!("{:?}", pin("654321").unwrap()), "Pin(redacted)");
    }
}

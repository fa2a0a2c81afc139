//! What goes wrong between us and the PIV application.

use super::{ManagementAlgorithm, Slot, Status};

/// A PIV operation that did not come to its end. Variants are for matching; [`Error::hint`] is for people.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "a field's name says what it is")]
pub enum Error {
    /// No answer came: the card is gone, was reset, or the service stopped.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// SELECT found no PIV application: it is disabled, or this is no YubiKey.
    #[error("the card has no PIV application, or it is switched off")]
    NotAvailable,
    /// The PIN was wrong.
    #[error("wrong PIN, {tries} {} left", if *.tries == 1 { "try" } else { "tries" })]
    WrongPin {
        /// Tries left, at least one; 15 stands for 15 or more.
        tries: u8,
    },
    /// No PIN tries are left.
    #[error("the PIN is blocked")]
    PinBlocked,
    /// `6982`. After a private key operation it means no PIN **or** no touch; the PIN's state tells which.
    #[error("the card refused: it needs a PIN, a touch or its management key first")]
    NotAuthenticated,
    /// The management key given is not the card's, or the touch that it asks for did not come.
    #[error("the card does not accept this management key")]
    WrongManagementKey,
    /// The length of the management key does not go with the card's algorithm.
    #[error("the card's management key is {algorithm}, which has {expected} bytes, not {given}")]
    ManagementKeyLength {
        /// The card's algorithm.
        algorithm: ManagementAlgorithm,
        /// Bytes of its keys.
        expected: usize,
        /// Bytes of the key given.
        given: usize,
    },
    /// The card could not prove that it knows the management key.
    #[error("the card does not know its own management key: this is not the card it claims to be")]
    CardNotGenuine,
    /// The slot has no key, or one of another algorithm.
    #[error("slot {slot} holds no such key")]
    NoSuchKey { slot: Slot },
    /// The key was imported, or the slot is empty: the card attests only what it generated.
    #[error("the card attests only keys that it generated, which the one in slot {slot}")]
    NotAttestable { slot: Slot },
    /// The attestation key and its certificate cannot be restored, so nothing here changes them.
    #[error("slot f9 holds Yubico's attestation key and is never written to")]
    AttestationSlot,
    /// The card's firmware lacks the command.
    #[error("the card's firmware has no {operation}")]
    Unsupported {
        /// The command, in the words of Yubico's manual.
        operation: &'static str,
    },
    /// No room for one more object.
    #[error("the card is full")]
    CardFull,
    /// Any other status word.
    #[error("the card refused {operation}: {status}")]
    Refused { operation: &'static str, status: Status },
    /// An answer of the wrong form; the card is broken, or not the card it claims to be.
    #[error("the card's answer makes no sense ({what})")]
    Malformed { what: &'static str },
    /// The system has no random numbers.
    #[error("the system provides no random numbers")]
    Random(#[from] getrandom::Error),
}

impl Error {
    /// What to do next, where there is something to do.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Error::NotAvailable => "switch it on with `ykman config usb --enable PIV`",
            Error::WrongPin { tries: 1 } => {
                "if you are not sure of it, do not try again: `ykman piv access unblock-pin` sets a new PIN with the PUK"
            }
            Error::PinBlocked => "set a new PIN with the PUK: `ykman piv access unblock-pin`",
            Error::WrongManagementKey | Error::ManagementKeyLength { .. } => {
                "`ykman piv info` shows which kind of management key the card has; an unknown one can only be \
                 replaced by resetting PIV"
            }
            Error::CardNotGenuine => "do not use this card",
            Error::CardFull => {
                "`ykman piv info` lists certificates and keys: delete what you no longer need, then run the command again"
            }
            Error::Malformed { .. } => {
                "unplug the YubiKey and plug it in again; if that does not help, try another USB port"
            }
            _ => return None,
        })
    }
}

/// Why no answer came, in the words of whatever carries the commands. The carrier keeps the details.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct TransportError(Box<dyn std::error::Error + Send + Sync>);

impl TransportError {
    /// Wraps the carrier's own error.
    pub fn new(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> TransportError {
        TransportError(cause.into())
    }

    /// The carrier's own error, if it has this type.
    pub fn cause<T: std::error::Error + 'static>(&self) -> Option<&T> {
        self.0.downcast_ref()
    }
}

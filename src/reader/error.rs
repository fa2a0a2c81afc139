//! What goes wrong between us and a card reader, and what a person can do about it.

use crate::piv;

/// What PC/SC could not do. Variants are for matching; [`Error::hint`] is for people.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "a field's name says what it is")]
pub enum Error {
    /// The PC/SC service is not there, or stopped (`SCARD_E_NO_SERVICE`).
    #[error("the smart card service is not running")]
    NoService,
    /// The service refuses us (`SCARD_W_SECURITY_VIOLATION`): polkit.
    #[error("the smart card service refuses access to you")]
    AccessDenied,
    /// No YubiKey is plugged in.
    #[error("no YubiKey is plugged in")]
    NoReader,
    /// Another program holds the card exclusively (`SCARD_E_SHARING_VIOLATION`).
    #[error("another program is using the YubiKey")]
    Busy,
    /// The card or its reader is no longer there, or does not answer.
    #[error("the YubiKey was unplugged, or does not answer")]
    Gone,
    /// Another program reset the card (`SCARD_W_RESET_CARD`).
    #[error("another program reset the YubiKey during an operation")]
    Reset,
    /// The card has no PIV application, or it is switched off.
    #[error("PIV is switched off on this YubiKey, or this is not a YubiKey")]
    PivDisabled {
        /// The card lies on an NFC reader. What is switched on there is set apart from USB.
        contactless: bool,
    },
    /// The PIV application could not be selected for another reason.
    #[error("the YubiKey's PIV application cannot be selected")]
    Select(#[source] piv::Error),
    /// A deadline has passed; a PC/SC call may still be blocked.
    #[error("gave up waiting for {waiting}")]
    Timeout { waiting: Waiting },
    /// Nobody waits for the answer any more, or nobody can give one.
    #[error("the connection to the card readers has ended")]
    Stopped,
    /// The service answered what PC/SC does not define.
    #[error("the smart card service gave an answer that makes no sense ({text})")]
    Senseless {
        /// What it answered, with its number.
        text: String,
    },
    /// Anything else.
    #[error("the smart card service failed: {text} (code {code:08X})")]
    Other { code: u32, text: String },
}

/// What a deadline was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// The PC/SC service.
    ForService,
    /// The card: another program holds a transaction.
    ForCard,
    /// The work on the card, which mostly means a touch.
    ForWork,
}

impl std::fmt::Display for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Waiting::ForService => "the smart card service",
            Waiting::ForCard => "another program to let go of the YubiKey",
            Waiting::ForWork => "the YubiKey",
        })
    }
}

const ANOTHER_PROGRAM: &str =
    "close that program (for GnuPG's card daemon: `gpgconf --kill scdaemon`), then try again";

impl Error {
    /// What to do next.
    pub fn hint(&self) -> &'static str {
        match self {
            Error::NoService if cfg!(target_os = "linux") => {
                "install pcscd and start it with `systemctl start pcscd.socket`"
            }
            // It runs while there is a reader, and a YubiKey is one.
            Error::NoService if cfg!(windows) => {
                "plug the YubiKey in; if it is, start the service, as administrator in PowerShell: Start-Service SCardSvr"
            }
            Error::NoService => "start the operating system's smart card service",
            Error::AccessDenied => {
                "over SSH and in services, polkit has to allow org.debian.pcsc-lite.access_pcsc and .access_card for your user"
            }
            Error::NoReader => "plug one in, and check that `ykman info` finds it",
            Error::Busy => ANOTHER_PROGRAM,
            Error::Timeout { waiting: Waiting::ForCard } => {
                "touch the YubiKey if it blinks, because another cargo may be waiting for that; otherwise close the other program"
            }
            Error::Gone => "plug it back in, then try again",
            Error::Reset => "close other programs that use the YubiKey, then try again",
            Error::PivDisabled { contactless: false } => "switch it on with `ykman config usb --enable PIV`",
            Error::PivDisabled { contactless: true } => {
                "plug it into a USB port, and switch PIV on for NFC with `ykman config nfc --enable PIV`"
            }
            Error::Select(_) => "plug the YubiKey in again; `ykman piv info` shows whether PIV answers",
            Error::Timeout { waiting: Waiting::ForWork } => {
                "try again, and touch the YubiKey while it blinks"
            }
            Error::Timeout { waiting: Waiting::ForService } if cfg!(windows) => {
                "restart the service, as administrator in PowerShell: Restart-Service SCardSvr"
            }
            Error::Timeout { waiting: Waiting::ForService } => {
                "restart the smart card service, on Linux with `systemctl restart pcscd.service`"
            }
            Error::Stopped => "try again",
            Error::Senseless { .. } => "restart the smart card service; if that does not help, update it",
            Error::Other { .. } => {
                "unplug the YubiKey and plug it in again; if that does not help, restart the smart card service"
            }
        }
    }
}

/// SCARD_E_COMM_DATA_LOST (winscard.h).
pub(crate) const COMM_DATA_LOST: u32 = 0x8010_002F;

impl From<pcsc::Error> for Error {
    fn from(error: pcsc::Error) -> Error {
        use pcsc::Error::*;
        match error {
            NoService | ServiceStopped | CommError => Error::NoService,
            SecurityViolation | NoAccess => Error::AccessDenied,
            NoReadersAvailable => Error::NoReader,
            SharingViolation => Error::Busy,
            ResetCard => Error::Reset,
            // A YubiKey takes its reader along. Until the service has noticed, its driver says one of the later ones.
            UnknownReader | InvalidHandle | InvalidValue | ReaderUnavailable | RemovedCard | NoSmartcard
            | NotTransacted | UnpoweredCard | UnresponsiveCard => Error::Gone,
            other => Error::Other { code: other as u32, text: other.to_string() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_can_tell_apart_has_its_own_variant() {
        let from = |error: pcsc::Error| Error::from(error);
        assert!(matches!(from(pcsc::Error::NoService), Error::NoService));
        assert!(matches!(from(pcsc::Error::ServiceStopped), Error::NoService));
        assert!(matches!(from(pcsc::Error::SecurityViolation), Error::AccessDenied));
        assert!(matches!(from(pcsc::Error::SharingViolation), Error::Busy));
        assert!(matches!(from(pcsc::Error::ResetCard), Error::Reset));
        assert!(matches!(from(pcsc::Error::ProtoMismatch), Error::Other { code: 0x8010_000F, .. }));
    }

    #[test]
    fn every_way_of_vanishing_is_the_same() {
        use pcsc::Error::*;
        for error in [
            UnknownReader,
            InvalidHandle,
            InvalidValue,
            ReaderUnavailable,
            RemovedCard,
            NoSmartcard,
            NotTransacted,
        ] {
            assert!(matches!(Error::from(error), Error::Gone), "{error}");
        }
    }
}

//! The settings of a mock that is to be started.

use std::path::PathBuf;
use std::time::Duration;

use crate::applet::firmware::{Edition, Firmware};
use crate::applet::key::{Algorithm, ImportedKey};
use crate::applet::policy::{PinPolicy, TouchPolicy};
use crate::applet::traits::{Traits, Transport};
use crate::applet::{Card, CardError};

/// Who touches the card when it waits for a touch.
#[derive(Clone, Copy, Debug, clap::ValueEnum, Default, PartialEq, Eq)]
pub enum Touch {
    /// The mock does, at once.
    #[default]
    Auto,
    /// Nobody does. The command is answered 6982 after the timeout.
    Never,
    /// The test does, by its controls.
    Manual,
}

/// The daemon and its cards.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The path of the socket, at most 107 bytes. Without it, the socket is in a new temporary folder.
    pub socket: Option<PathBuf>,
    /// A file that the trace is appended to, as JSON lines. If it is new, its mode is 0600.
    pub trace_file: Option<PathBuf>,
    /// Whether PINs and keys are in the trace.
    pub trace_secrets: bool,
    /// The cards. Each has a reader.
    pub cards: Vec<CardSettings>,
}

/// A card and its reader.
#[derive(Clone, Debug)]
pub struct CardSettings {
    /// The serial number.
    pub serial: u32,
    /// The firmware.
    pub firmware: Firmware,
    /// What is special about the card.
    pub traits: Traits,
    /// The PIN, 6 to 8 characters. Without it, 123456. A state file that exists has its own.
    pub pin: Option<String>,
    /// The PUK, 6 to 8 characters. Without it, 12345678. A state file that exists has its own.
    pub puk: Option<String>,
    /// The management key, 24 bytes. Without it, that of a new card. A state file that exists has its own.
    pub management_key: Option<Vec<u8>>,
    /// Private keys to put into slots. They replace those of the state file.
    pub imports: Vec<Import>,
    /// Who touches the card.
    pub touch: Touch,
    /// How long the card waits for a touch. A real one waits 15 s.
    pub touch_timeout: Duration,
    /// The name of the reader. Clients look for `Yubico YubiKey` in it.
    pub reader: Option<String>,
    /// The answer to reset, 2 to 33 bytes. Without it, the one that a YubiKey gives in such a reader.
    pub atr: Option<Vec<u8>>,
    /// A file that keeps the card's memory, with every secret in the clear. Its mode is 0600.
    pub state: Option<PathBuf>,
    /// How long after the last client has closed the card it is powered down. The real daemon does that after 5 s.
    pub idle_off: Option<Duration>,
}

/// A private key to put into a slot.
#[derive(Clone, Debug)]
pub struct Import {
    /// The slot: 9A, 9C, 9D, 9E, 82 to 95, or F9.
    pub slot: u8,
    /// The key.
    pub key: ImportedKey,
    /// When the key needs the PIN.
    pub pin: PinPolicy,
    /// When the key needs a touch.
    pub touch: TouchPolicy,
}

impl Default for CardSettings {
    fn default() -> Self {
        Self {
            serial: 12_345_678,
            firmware: Firmware::default(),
            traits: Traits::default(),
            pin: None,
            puk: None,
            management_key: None,
            imports: Vec::new(),
            touch: Touch::default(),
            touch_timeout: Duration::from_secs(15),
            reader: None,
            atr: None,
            state: None,
            idle_off: None,
        }
    }
}

impl CardSettings {
    /// The name of the reader. Without one in the settings, it is the name that pcsc-lite gives to the reader number
    /// `index`: a YubiKey in a USB port, or an NFC reader of a common kind.
    pub(crate) fn reader_name(&self, index: usize) -> String {
        let product = match (self.traits.transport, self.firmware) {
            (Transport::Nfc, _) => "ACS ACR122U PICC Interface",
            (Transport::Usb, Firmware { major: ..5, .. }) => "Yubico Yubikey 4 OTP+U2F+CCID",
            (Transport::Usb, Firmware { edition: Edition::Bio, .. }) => "Yubico YubiKey FIDO+CCID",
            (Transport::Usb, _) => "Yubico YubiKey OTP+FIDO+CCID",
        };
        self.reader.clone().unwrap_or_else(|| format!("{product} {index:02X} 00"))
    }

    /// A card with these settings. If its state file exists, PIN, PUK and management key are from there.
    pub(crate) fn card(&self) -> Result<Card, StartError> {
        let mut card = Card::new(self.firmware, self.serial)?.with_traits(self.traits);
        let saved = self.state.as_deref().filter(|path| path.exists());
        match saved {
            Some(path) => {
                if !path.is_file() {
                    return Err(StartError::file(path, std::io::Error::other("it is not a regular file")));
                }
                let text = std::fs::read_to_string(path).map_err(|error| StartError::file(path, error))?;
                card.restore(&text)?;
            }
            None => {
                self.pin.as_deref().map_or(Ok(()), |pin| card.set_pin(pin))?;
                self.puk.as_deref().map_or(Ok(()), |puk| card.set_puk(puk))?;
                self.management_key.as_deref().map_or(Ok(()), |key| card.set_management_key(key))?;
            }
        }
        for import in &self.imports {
            card.import(import.slot, import.key.clone(), import.pin, import.touch)?;
        }
        Ok(card)
    }
}

/// Why a mock did not start.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "a field's name says what it is")]
pub enum StartError {
    /// A setting that no card can have.
    #[error(transparent)]
    Card(#[from] CardError),
    /// A file that has not the key that it should have.
    #[error("{path}: not a PKCS#8 private key for {algorithm}, in DER or PEM", algorithm = algorithm.name(), path = path.display())]
    Key { path: PathBuf, algorithm: Algorithm },
    /// Keys to import, where there are several cards.
    #[error("an import goes into the only card, but there are several")]
    ImportIntoSeveral,
    /// A path for the socket that is too long. libpcsclite would cut it off and say nothing.
    #[error(
        "the socket's path has {length} bytes; libpcsclite takes at most {MAX_SOCKET_PATH}, so choose a shorter one"
    )]
    SocketPath { length: usize },
    /// Two cards with the same name or number, by which clients tell them apart.
    #[error("two cards have the same {0}")]
    Twice(&'static str),
    /// More readers than pcsc-lite's protocol has room for.
    #[error("there is room for {most} readers")]
    TooManyReaders { most: usize },
    /// A name of a reader that does not fit into pcsc-lite's protocol.
    #[error("a reader's name has 1 to 127 bytes and no NUL")]
    ReaderName,
    /// An answer to reset that no card can give.
    #[error("an answer to reset has 2 to 33 bytes")]
    AnswerToReset,
    /// A file or socket that could not be made or read.
    #[error("{path}: {error}", path = path.display())]
    File {
        path: PathBuf,
        #[source]
        error: std::io::Error,
    },
}

/// The size of `sun_path` in `struct sockaddr_un`, without the NUL at its end.
pub(crate) const MAX_SOCKET_PATH: usize = 107;

impl StartError {
    pub(crate) fn file(path: &std::path::Path, error: std::io::Error) -> Self {
        Self::File { path: path.to_owned(), error }
    }
}

//! What a mock is started with.

use std::path::PathBuf;
use std::time::Duration;

use crate::applet::firmware::Firmware;
use crate::applet::key::{Algorithm, ImportedKey};
use crate::applet::policy::{PinPolicy, TouchPolicy};
use crate::applet::traits::Traits;
use crate::applet::{Card, CardError};

/// Who touches the card when its light blinks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Touch {
    /// Somebody always does, at once.
    #[default]
    Auto,
    /// Nobody ever does: after the timeout the command fails with 6982.
    Never,
    /// Whoever holds the controls, within the timeout.
    Manual,
}

/// The daemon and its cards.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The socket's path, at most 107 bytes; without one, a file in a new temporary folder.
    pub socket: Option<PathBuf>,
    /// JSON lines of every call go here, appended; the file is made with mode 0600.
    pub trace_file: Option<PathBuf>,
    /// Whether the trace shows PINs and keys.
    pub trace_secrets: bool,
    /// One reader each.
    pub cards: Vec<CardSettings>,
}

/// One card in its reader.
#[derive(Clone, Debug)]
pub struct CardSettings {
    /// The number by which clients tell keys apart.
    pub serial: u32,
    /// Its version, 5.7.4 unless told.
    pub firmware: Firmware,
    /// What makes it different from others of that version.
    pub traits: Traits,
    /// 6 to 8 characters; 123456 unless told. A state file that exists knows better.
    pub pin: Option<String>,
    /// 6 to 8 characters; 12345678 unless told.
    pub puk: Option<String>,
    /// 24 bytes; the well-known default unless told.
    pub management_key: Option<Vec<u8>>,
    /// Keys to load, also over those of the state file.
    pub imports: Vec<Import>,
    /// Who touches it.
    pub touch: Touch,
    /// How long the light blinks; 15 s on a real key.
    pub touch_timeout: Duration,
    /// The reader's name; clients look for `Yubico YubiKey` in it.
    pub reader: Option<String>,
    /// Where the card's memory lives between two starts, with every secret in the clear; mode 0600.
    pub state: Option<PathBuf>,
    /// Power the card down this long after its last user left, as the real daemon does after 5 s.
    pub idle_off: Option<Duration>,
}

/// A key to put into a slot at start.
#[derive(Clone, Debug)]
pub struct Import {
    /// 9A, 9C, 9D, 9E, 82 to 95, F9.
    pub slot: u8,
    /// The key.
    pub key: ImportedKey,
    /// When it wants the PIN.
    pub pin: PinPolicy,
    /// When it wants a touch.
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
            state: None,
            idle_off: None,
        }
    }
}

impl CardSettings {
    /// The reader's name: as told, or what pcsc-lite makes of a YubiKey of its series, numbered from 00.
    pub(crate) fn reader_name(&self, index: usize) -> String {
        let product = match self.firmware.major {
            ..5 => "Yubico Yubikey 4 OTP+U2F+CCID",
            _ => "Yubico YubiKey OTP+FIDO+CCID",
        };
        self.reader.clone().unwrap_or_else(|| format!("{product} {index:02X} 00"))
    }

    /// The card with everything that was told, or with what its state file says.
    pub(crate) fn card(&self) -> Result<Card, StartError> {
        let mut card = Card::new(self.firmware, self.serial)?.with_traits(self.traits);
        let saved = self.state.as_deref().filter(|path| path.exists());
        match saved {
            Some(path) => {
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
pub enum StartError {
    /// A setting no card can have.
    #[error(transparent)]
    Card(#[from] CardError),
    /// A file that is not the key it should be.
    #[error("{path}: not a PKCS#8 private key for {algorithm}, in DER or PEM", algorithm = algorithm.name(), path = path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What was expected.
        algorithm: Algorithm,
    },
    /// Keys to import, but several cards to import them into.
    #[error("an import goes into the only card, but there are several")]
    ImportIntoSeveral,
    /// libpcsclite cuts longer paths off without a word.
    #[error(
        "the socket's path has {length} bytes; libpcsclite takes at most {MAX_SOCKET_PATH}, so choose a shorter one"
    )]
    SocketPath {
        /// Bytes in the path.
        length: usize,
    },
    /// Clients tell cards apart by these.
    #[error("two cards have the same {0}")]
    Twice(&'static str),
    /// More readers than the protocol can list.
    #[error("there is room for {} readers", crate::pcscd::wire::READER_SLOTS)]
    TooManyReaders,
    /// A name that does not fit into the reader list.
    #[error("a reader's name has 1 to 127 bytes and no NUL")]
    ReaderName,
    /// A file or socket.
    #[error("{path}: {error}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: std::io::Error,
    },
}

/// `sizeof(sun_path)` less its NUL.
pub(crate) const MAX_SOCKET_PATH: usize = 107;

impl StartError {
    pub(crate) fn file(path: &std::path::Path, error: std::io::Error) -> Self {
        Self::File { path: path.to_owned(), error }
    }
}

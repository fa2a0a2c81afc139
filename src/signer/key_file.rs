//! Signing with a key in a file, for machines that have no card. Such a key may stage versions and nothing else: what it signs is a read
//! token, which its registry exchanges for a staging token.

use std::fs::OpenOptions;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use asymmetric_token::{Claims, Footer, Prepared, PublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use p384::ecdsa::signature::hazmat::PrehashSigner as _;
use p384::ecdsa::{Signature, SigningKey};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::folder;
#[cfg(unix)]
use crate::{text::shell_word, ui::Ui};

/// PASERK, types/secret: 48 bytes in base64url.
const SECRET: &str = "k3.secret.";
/// The longest file that is read, in bytes.
const LONGEST: u64 = 1 << 10;

/// A key that was read.
pub(crate) struct KeyFile {
    key: SigningKey,
    public: PublicKey,
}

impl KeyFile {
    /// Reads a key; `-` is standard input.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::KeyFile`].
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let io = |source| Error::File { file: path.to_owned(), source };
        let bytes = Zeroizing::new(if path == Path::new("-") {
            let mut bytes = Vec::with_capacity(LONGEST as usize + 1);
            io::stdin().lock().take(LONGEST).read_to_end(&mut bytes).map_err(io)?;
            bytes
        } else {
            warn_of_others(path);
            folder::read_foreign_up_to(path, LONGEST).map_err(io)?
        });
        let text = std::str::from_utf8(&bytes).unwrap_or_default();
        Self::parse(text.trim()).ok_or_else(|| Error::KeyFile { file: path.to_owned() })
    }

    /// Makes a key, in a file that is not there yet and that its owner alone can read.
    ///
    /// # Errors
    /// [`Error::FileExists`], [`Error::WriteFile`].
    pub(crate) fn create(path: &Path) -> Result<Self, Error> {
        let (text, key) = loop {
            let mut secret = Zeroizing::new([0; 48]);
            getrandom::fill(&mut *secret).map_err(|error| Error::WriteFile {
                file: path.to_owned(),
                source: io::Error::other(error),
            })?;
            let text = Zeroizing::new(format!("{SECRET}{}\n", URL_SAFE_NO_PAD.encode(*secret)));
            // Zero and what is beyond the group's order are no keys; nobody will see one.
            if let Some(key) = Self::parse(text.trim()) {
                break (text, key);
            }
        };
        let mut new = OpenOptions::new();
        new.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut new, 0o600);
        let written = new
            .open(path)
            .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
        written.map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => Error::FileExists { file: path.to_owned() },
            _ => Error::WriteFile { file: path.to_owned(), source },
        })?;
        Ok(key)
    }

    /// The public half.
    pub(crate) fn public(&self) -> &PublicKey {
        &self.public
    }

    /// A read token for a registry.
    ///
    /// # Errors
    /// [`Error::Token`].
    pub(crate) fn read_token(&self, index: &str) -> Result<String, Error> {
        let footer = Footer::new(index, self.public.id());
        let prepared = Prepared::new(&self.public, &Claims::read(Timestamp::now()), &footer)?;
        let signature: Signature =
            self.key.sign_prehash(prepared.digest()).map_err(|_| asymmetric_token::Error::BadSignature)?;
        Ok(prepared.finish(&signature.to_bytes().into())?)
    }

    fn parse(text: &str) -> Option<Self> {
        let secret = Zeroizing::new(URL_SAFE_NO_PAD.decode(text.strip_prefix(SECRET)?).ok()?);
        let key = SigningKey::from_slice(&secret).ok().filter(|_| secret.len() == 48)?;
        let public = PublicKey::from_sec1(key.verifying_key().to_sec1_point(true).as_bytes()).ok()?;
        Some(Self { key, public })
    }
}

/// Where others can read the key it is theirs, too.
fn warn_of_others(path: &Path) {
    #[cfg(unix)]
    if let Ok(metadata) = std::fs::metadata(path)
        && std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o077 != 0
    {
        let word = shell_word(path);
        Ui::silent().warn(format_args!("others can read the key in {}: chmod 600 {word}", path.display()));
    }
    #[cfg(not(unix))]
    let _ = path;
}

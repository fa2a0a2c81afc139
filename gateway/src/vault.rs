//! Encryption of the users' credentials for the registry behind. Each is bound to its user.
//!
//! AES-256-GCM with a random 12-byte nonce before the ciphertext and a 16-byte tag after it; the associated data is a
//! label and the user's name, so that a row that is moved to another user cannot be decrypted.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use asymmetric_token::Checksum;
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::keys::User;
use crate::private::{self, SecretError};

const LABEL: &[u8] = b"registry-gateway upstream credential v1\0";
const FINGERPRINT: &[u8] = b"registry-gateway key file fingerprint v1";
/// The longest credential, in bytes.
pub const MAX_CREDENTIAL_BYTES: usize = 4096;

/// Encrypts and decrypts credentials.
pub struct Vault {
    key: RandomizedNonceKey,
    fingerprint: String,
}

/// Why a vault or a credential cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "a field's name says what it is")]
pub enum VaultError {
    /// The key file cannot be read.
    #[error("cannot read the key file {}", path.display())]
    File { path: PathBuf, source: io::Error },
    /// Other users could read the key file.
    #[error("the key file {} is open to other users of this computer", .0.display())]
    OpenToOthers(PathBuf),
    /// The file does not hold a key.
    #[error("the key file {} is not 32 bytes in base64", .0.display())]
    NotAKey(PathBuf),
    /// The credential was encrypted with another key or for another user, or it is damaged.
    #[error("the credential of {0} does not open with this key file")]
    Sealed(User),
    /// The credential cannot be sent in a header.
    #[error("a credential is 1 to {MAX_CREDENTIAL_BYTES} printable ASCII characters")]
    NotACredential,
}

impl VaultError {
    /// What to do next, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::File { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some(private::NOT_PERMITTED.to_owned())
            }
            Self::File { .. } => Some(
                "see `key-file` in [upstream]; `registry-gateway init` makes a new one, for which each credential has to \
                 be set again"
                    .to_owned(),
            ),
            Self::OpenToOthers(path) => Some(format!("run `chmod 600 {}`", path.display())),
            Self::NotAKey(_) => Some("give the file that `registry-gateway init` made".to_owned()),
            Self::Sealed(user) => Some(format!("set it again with `registry-gateway credential set {user}`")),
            Self::NotACredential => Some("copy the token alone".to_owned()),
        }
    }
}

impl Vault {
    /// Opens the vault with its key file.
    ///
    /// # Errors
    /// [`VaultError::File`], [`VaultError::OpenToOthers`], [`VaultError::NotAKey`].
    pub fn open(path: &Path) -> Result<Self, VaultError> {
        let text = private::read_secret(path, 1024).map_err(|error| match error {
            SecretError::File { path, source } => VaultError::File { path, source },
            SecretError::OpenToOthers(path) => VaultError::OpenToOthers(path),
        })?;
        let no_key = || VaultError::NotAKey(path.to_owned());
        let key = Zeroizing::new(STANDARD.decode(text.trim()).map_err(|_| no_key())?);
        let fingerprint = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), FINGERPRINT);
        let fingerprint = fingerprint.as_ref().try_into().map(Checksum).map_err(|_| no_key())?;
        let key = RandomizedNonceKey::new(&AES_256_GCM, &key).map_err(|_| no_key())?;
        Ok(Self { key, fingerprint: fingerprint.to_string() })
    }

    /// 64 hexadecimal digits that are the same for the same key, and from which the key cannot be found.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Makes a file with a new key, unless the file exists. Returns whether it was made.
    ///
    /// # Errors
    /// If it cannot be written, or if the system has no random numbers.
    pub fn make_key(path: &Path) -> io::Result<bool> {
        private::make_file(path, Self::new_key()?.as_bytes())
    }

    /// A new key for [`open`](Self::open), as text.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub fn new_key() -> io::Result<Zeroizing<String>> {
        let mut key = Zeroizing::new([0; 32]);
        aws_lc_rs::rand::fill(&mut *key).map_err(io::Error::other)?;
        Ok(Zeroizing::new(format!("{}\n", STANDARD.encode(*key))))
    }

    /// Encrypts a user's credential, which is what the registry behind expects in `Authorization`.
    ///
    /// # Errors
    /// [`VaultError::NotACredential`].
    pub fn seal(&self, user: &User, credential: &str) -> Result<Vec<u8>, VaultError> {
        let printable = credential.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        if credential.is_empty() || credential.len() > MAX_CREDENTIAL_BYTES || !printable {
            return Err(VaultError::NotACredential);
        }
        let mut bytes = credential.as_bytes().to_vec();
        let nonce = self
            .key
            .seal_in_place_append_tag(associated(user), &mut bytes)
            .map_err(|_| VaultError::NotACredential)?;
        Ok([nonce.as_ref().as_slice(), &bytes].concat())
    }

    /// Decrypts a user's credential.
    ///
    /// # Errors
    /// [`VaultError::Sealed`].
    pub fn unseal(&self, user: &User, sealed: &[u8]) -> Result<Zeroizing<String>, VaultError> {
        let failed = || VaultError::Sealed(user.clone());
        let (nonce, bytes) = sealed.split_at_checked(NONCE_LEN).ok_or_else(failed)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| failed())?;
        let mut bytes = Zeroizing::new(bytes.to_vec());
        let clear = self.key.open_in_place(nonce, associated(user), &mut bytes).map_err(|_| failed())?;
        std::str::from_utf8(clear).map(|text| Zeroizing::new(text.to_owned())).map_err(|_| failed())
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault(..)")
    }
}

fn associated(user: &User) -> Aad<Vec<u8>> {
    Aad::from([LABEL, user.as_str().as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use super::{Vault, VaultError};

    fn vault() -> Vault {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let key = Vault::new_key().unwrap();
        std::io::Write::write_all(
            &mut tempfile::NamedTempFile::new_in(&folder).map(|file| file.persist(&path).unwrap()).unwrap(),
            key.as_bytes(),
        )
        .unwrap();
        Vault::open(&path).unwrap()
    }

    #[test]
    fn a_credential_opens_for_its_user_and_this_key() {
        let vault = vault();
        let (alice, bob) = ("alice".parse().unwrap(), "bob".parse().unwrap());
        let sealed = vault.seal(&alice, "Bearer secret").unwrap();
        assert!(!sealed.windows(6).any(|six| six == b"secret"));
        assert_ne!(sealed, vault.seal(&alice, "Bearer secret").unwrap());
        assert_eq!(*vault.unseal(&alice, &sealed).unwrap(), "Bearer secret");
        assert!(matches!(vault.unseal(&bob, &sealed), Err(VaultError::Sealed(_))));
        assert!(matches!(self::vault().unseal(&alice, &sealed), Err(VaultError::Sealed(_))));
        for end in 0..sealed.len() {
            assert!(matches!(vault.unseal(&alice, &sealed[..end]), Err(VaultError::Sealed(_))));
        }
    }

    #[test]
    fn what_cannot_be_a_header_is_no_credential() {
        let vault = vault();
        for text in ["", "a\nb", "\u{e9}", &"x".repeat(5000)] {
            assert!(matches!(vault.seal(&"alice".parse().unwrap(), text), Err(VaultError::NotACredential)));
        }
    }
}

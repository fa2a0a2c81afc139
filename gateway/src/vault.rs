//! Encryption with the key file: of the users' credentials for the registry behind, and of the gateway's own secrets in a
//! PostgreSQL. Each is bound to its user or its name.
//!
//! AES-256-GCM with a random 12-byte nonce before the ciphertext and a 16-byte tag after it; the associated data is a
//! label and the name, so that a row that is moved to another one cannot be decrypted.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use asymmetric_token::Checksum;
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::credential_provider::{MAX_CREDENTIAL_BYTES, Provider};
use crate::keys::User;
use crate::private::{self, SecretError};

const CREDENTIAL: &[u8] = b"registry-gateway upstream credential v1\0";
const PROVIDER: &[u8] = b"registry-gateway upstream credential provider v1\0";
const SECRET: &[u8] = b"registry-gateway server secret v1\0";
const FINGERPRINT: &[u8] = b"registry-gateway key file fingerprint v1";

/// Where a user's credential for the registry behind comes from.
pub enum Credential {
    /// It is this, and is sent in `Authorization` as it is.
    Token(Zeroizing<String>),
    /// A program gives it.
    Provider(Provider),
}

/// Encrypts and decrypts with one key file.
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
    /// A secret of the gateway was encrypted with another key, or it is damaged.
    #[error("the {0} in the store does not open with this key file")]
    SealedSecret(String),
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
                "see `key-file` in the configuration; `registry-gateway init` makes a new one, for which each credential has to \
                 be set again"
                    .to_owned(),
            ),
            Self::OpenToOthers(path) => Some(format!("run `chmod 600 {}`", path.display())),
            Self::NotAKey(_) => Some("use the file that `registry-gateway init` made".to_owned()),
            Self::Sealed(user) => Some(format!("set it again with `registry-gateway credential set {user}`")),
            Self::SealedSecret(_) => Some(
                "give the key file that the store was first served with, as `key-file` in [postgres]; docs/gateway.md says what \
                 to do if it is lost"
                    .to_owned(),
            ),
            Self::NotACredential => Some("copy only the token".to_owned()),
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
        self.sealed(&[CREDENTIAL, user.as_str().as_bytes()], credential.as_bytes())
            .ok_or(VaultError::NotACredential)
    }

    /// Encrypts the name of the program that gives a user's credential: whoever can write to the store cannot have another one run.
    ///
    /// # Errors
    /// [`VaultError::NotACredential`] if the system has no random numbers.
    pub fn seal_provider(&self, user: &User, provider: &Provider) -> Result<Vec<u8>, VaultError> {
        let provider = serde_json::to_vec(provider).map_err(|_| VaultError::NotACredential)?;
        self.sealed(&[PROVIDER, user.as_str().as_bytes()], &provider).ok_or(VaultError::NotACredential)
    }

    /// Decrypts a user's credential, or the name of the program that gives it.
    ///
    /// # Errors
    /// [`VaultError::Sealed`].
    pub fn unseal(&self, user: &User, sealed: &[u8]) -> Result<Credential, VaultError> {
        let token = || {
            let clear = self.opened(&[CREDENTIAL, user.as_str().as_bytes()], sealed)?;
            Some(Credential::Token(Zeroizing::new(std::str::from_utf8(&clear).ok()?.to_owned())))
        };
        let provider = || {
            let clear = self.opened(&[PROVIDER, user.as_str().as_bytes()], sealed)?;
            serde_json::from_slice(&clear).ok().map(Credential::Provider)
        };
        token().or_else(provider).ok_or_else(|| VaultError::Sealed(user.clone()))
    }

    /// Encrypts anew what was encrypted for a user, so that a copy of it is not recognised.
    ///
    /// # Errors
    /// [`VaultError::Sealed`].
    pub fn reseal(&self, user: &User, sealed: &[u8]) -> Result<Vec<u8>, VaultError> {
        match self.unseal(user, sealed)? {
            Credential::Token(token) => self.seal(user, &token),
            Credential::Provider(provider) => self.seal_provider(user, &provider),
        }
    }

    /// Encrypts a secret of the gateway's own.
    ///
    /// # Errors
    /// [`VaultError::SealedSecret`] if the system has no random numbers.
    pub fn seal_secret(&self, name: &str, secret: &[u8]) -> Result<Vec<u8>, VaultError> {
        self.sealed(&[SECRET, name.as_bytes()], secret)
            .ok_or_else(|| VaultError::SealedSecret(name.to_owned()))
    }

    /// Decrypts a secret of the gateway's own.
    ///
    /// # Errors
    /// [`VaultError::SealedSecret`].
    pub fn unseal_secret(&self, name: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        self.opened(&[SECRET, name.as_bytes()], sealed)
            .ok_or_else(|| VaultError::SealedSecret(name.to_owned()))
    }

    fn sealed(&self, bound_to: &[&[u8]], clear: &[u8]) -> Option<Vec<u8>> {
        let mut bytes = clear.to_vec();
        let nonce = self.key.seal_in_place_append_tag(Aad::from(bound_to.concat()), &mut bytes).ok()?;
        Some([nonce.as_ref().as_slice(), &bytes].concat())
    }

    fn opened(&self, bound_to: &[&[u8]], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, bytes) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut bytes = Zeroizing::new(bytes.to_vec());
        let length = self.key.open_in_place(nonce, Aad::from(bound_to.concat()), &mut bytes).ok()?.len();
        bytes.truncate(length);
        Some(bytes)
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::{Credential, Vault, VaultError};

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
        let Ok(Credential::Token(token)) = vault.unseal(&alice, &sealed) else { panic!("no token") };
        assert_eq!(*token, "Bearer secret");
        assert!(matches!(vault.unseal(&bob, &sealed), Err(VaultError::Sealed(_))));
        assert!(matches!(self::vault().unseal(&alice, &sealed), Err(VaultError::Sealed(_))));
        for end in 0..sealed.len() {
            assert!(matches!(vault.unseal(&alice, &sealed[..end]), Err(VaultError::Sealed(_))));
        }
    }

    #[test]
    fn a_secret_opens_by_its_name_and_is_no_credential() {
        let vault = vault();
        let sealed = vault.seal_secret("head key", b"secret").unwrap();
        assert_eq!(vault.unseal_secret("head key", &sealed).unwrap().as_slice(), b"secret");
        assert!(matches!(vault.unseal_secret("server key", &sealed), Err(VaultError::SealedSecret(_))));
        assert!(matches!(vault.unseal(&"alice".parse().unwrap(), &sealed), Err(VaultError::Sealed(_))));
        assert_ne!(vault.fingerprint(), self::vault().fingerprint());
    }

    #[test]
    fn what_cannot_be_a_header_is_no_credential() {
        let vault = vault();
        for text in ["", "a\nb", "\u{e9}", &"x".repeat(5000)] {
            assert!(matches!(vault.seal(&"alice".parse().unwrap(), text), Err(VaultError::NotACredential)));
        }
    }
}

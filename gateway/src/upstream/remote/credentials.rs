//! The users' credentials, decrypted for a request's header.
//!
//! Decrypted credentials are kept in memory for some seconds, or until anything is written to the store, so that a burst of
//! reads asks the database only once. Setting or removing a credential, by any process, is such a write. The program
//! overwrites memory that it frees.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::HeaderValue;
use tokio::runtime::Handle;
use tokio::time::sleep;

use super::RemoteError;
use crate::keys::User;
use crate::store::{Revision, Store, StoreError};
use crate::upstream::{Reader, UpstreamError};
use crate::vault::{Vault, VaultError};

/// How long decrypted credentials are kept.
const KEPT: Duration = Duration::from_secs(5);
/// The shortest text that is taken for a secret, in bytes.
const SHORTEST_SECRET: usize = 6;

/// The user for whom the registry is asked, and the credential to use. It has no `Debug`.
pub(super) struct Caller<'a> {
    pub(super) user: Option<&'a User>,
    /// The value of `Authorization`.
    pub(super) credential: Option<HeaderValue>,
}

impl Caller<'_> {
    pub(super) fn nobody() -> Self {
        Self { user: None, credential: None }
    }

    /// Removes the credential from a registry's text, which may quote it as in "the token … is not valid". The text is
    /// shown to people and written to the log. The scheme is no secret, nor is a text that is too short to be one.
    pub(super) fn without_credential(&self, words: &str) -> String {
        let value = self.credential.as_ref().and_then(|credential| credential.to_str().ok());
        match value.and_then(|value| value.rsplit(' ').next()) {
            Some(secret) if secret.len() >= SHORTEST_SECRET => words.replace(secret, "…"),
            _ => words.to_owned(),
        }
    }
}

/// The credentials, and a cache of decrypted ones.
pub(super) struct Credentials {
    store: Arc<Store>,
    vault: Vault,
    opened: Arc<Mutex<Opened>>,
}

/// What was decrypted at one revision of the store, by user name.
#[derive(Default)]
struct Opened {
    revision: Revision,
    values: HashMap<String, HeaderValue>,
}

impl Credentials {
    pub(super) fn new(store: Arc<Store>, vault: Vault) -> Self {
        Self { store, vault, opened: Arc::default() }
    }

    /// Whether a user has a credential. It is not decrypted.
    pub(super) async fn has(&self, user: &User) -> Result<bool, StoreError> {
        Ok(self.sealed(user).await?.is_some())
    }

    /// The caller for a read, which may be anonymous.
    pub(super) async fn reader<'a>(&self, reader: Option<&'a Reader>) -> Result<Caller<'a>, UpstreamError> {
        let Some(Reader { user, revision }) = reader else { return Ok(Caller::nobody()) };
        Ok(Caller { user: Some(user), credential: Some(self.at(*revision, user).await?) })
    }

    /// The caller for a user.
    pub(super) async fn user<'a>(&self, user: &'a User) -> Result<Caller<'a>, UpstreamError> {
        let revision = self.store.revision().await?;
        Ok(Caller { user: Some(user), credential: Some(self.at(revision, user).await?) })
    }

    async fn sealed(&self, user: &User) -> Result<Option<Vec<u8>>, StoreError> {
        let user = user.clone();
        self.store.asked(move |store| store.credential(&user)).await
    }

    /// The credential at a revision that was read before. If it is changed in between, the revision changes too.
    async fn at(&self, revision: Revision, user: &User) -> Result<HeaderValue, UpstreamError> {
        if let Some(value) = self.opened_at(revision, user) {
            return Ok(value);
        }
        let sealed = self.sealed(user).await?.ok_or_else(|| RemoteError::NoCredential(user.clone()))?;
        let credential = self.vault.unseal(user, &sealed).map_err(RemoteError::from)?;
        let mut value =
            HeaderValue::from_str(&credential).map_err(|_| RemoteError::Vault(VaultError::NotACredential))?;
        value.set_sensitive(true);
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if opened.revision != revision {
            *opened = Opened { revision, values: HashMap::new() };
        }
        if opened.values.is_empty() {
            self.forget_soon();
        }
        opened.values.insert(user.as_str().to_owned(), value.clone());
        Ok(value)
    }

    /// Forgets everything that is kept, after a while.
    fn forget_soon(&self) {
        let opened = self.opened.clone();
        let forget = async move {
            sleep(KEPT).await;
            opened.lock().unwrap_or_else(PoisonError::into_inner).values.clear();
        };
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(forget);
        }
    }

    fn opened_at(&self, revision: Revision, user: &User) -> Option<HeaderValue> {
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.values.get(user.as_str()).filter(|_| opened.revision == revision).cloned()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use futures_util::FutureExt as _;
    use jiff::Timestamp;
    use tempfile::{NamedTempFile, TempDir};

    use super::*;

    /// A store with Alice, opened as a server does; and the vault, for whoever else has the key file.
    fn credentials(folder: &TempDir) -> (Credentials, Vault) {
        let mut key = NamedTempFile::new_in(folder).unwrap();
        key.write_all(Vault::new_key().unwrap().as_bytes()).unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        store.add_user(&alice(), false, Timestamp::now()).unwrap();
        let vault = || Vault::open(key.path()).unwrap();
        (Credentials::new(Arc::new(store), vault()), vault())
    }

    /// A folder's store answers at once.
    fn caller<'a>(credentials: &Credentials, user: &'a User) -> Result<Caller<'a>, UpstreamError> {
        credentials.user(user).now_or_never().unwrap()
    }

    fn alice() -> User {
        "alice".parse().unwrap()
    }

    #[test]
    fn what_another_process_changes_holds_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let (credentials, vault) = credentials(&folder);
        let other = Store::open(&folder.path().join("store")).unwrap();
        for credential in ["first", "second"] {
            let sealed = vault.seal(&alice(), credential).unwrap();
            other.set_credential(&alice(), &sealed, Timestamp::now()).unwrap();
            for look in ["opened", "kept"] {
                assert_eq!(caller(&credentials, &alice()).unwrap().credential.unwrap(), credential, "{look}");
            }
        }
        other.remove_credential(&alice(), Timestamp::now()).unwrap();
        let refused = caller(&credentials, &alice()).map(drop);
        assert!(matches!(refused, Err(UpstreamError::Remote(RemoteError::NoCredential(_)))));
    }

    #[test]
    fn each_user_gets_their_own_and_no_log_shows_it() {
        let folder = tempfile::tempdir().unwrap();
        let (credentials, vault) = credentials(&folder);
        let bob = "bob".parse().unwrap();
        credentials.store.add_user(&bob, false, Timestamp::now()).unwrap();
        for user in [&alice(), &bob] {
            let sealed = vault.seal(user, user.as_str()).unwrap();
            credentials.store.set_credential(user, &sealed, Timestamp::now()).unwrap();
        }
        for user in [&alice(), &bob, &alice()] {
            let value = caller(&credentials, user).unwrap().credential.unwrap();
            assert_eq!(value, user.as_str());
            assert!(value.is_sensitive());
        }
        assert_eq!(format!("{credentials:?}"), "Credentials(..)");
    }
}

//! The users' credentials, decrypted or asked for, as a request's header needs them.
//!
//! Decrypted credentials are kept in memory for some seconds, or until anything is written to the store, so that a burst of
//! reads asks the database only once. Setting or removing a credential, by any process, is such a write. What a user's provider
//! has given is kept as long as the provider says ([`Provided`]). The program overwrites memory that it frees.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use asymmetric_token::Mutation;
use axum::http::HeaderValue;
use tokio::runtime::Handle;
use tokio::time::sleep;

use super::RemoteError;
use super::provided::Provided;
use crate::causes::without_secret;
use crate::credential_provider::Lasts;
use crate::keys::User;
use crate::store::{Revision, Store, StoreError};
use crate::upstream::{Reader, UpstreamError};
use crate::vault::{Credential, Vault, VaultError};

/// How long decrypted credentials are kept.
const KEPT: Duration = Duration::from_secs(5);

/// The user for whom the registry is asked, and the credential to use. It has no `Debug`.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) user: Option<User>,
    /// The value of `Authorization`.
    pub(super) credential: Option<HeaderValue>,
    /// Where another one can be had if this one is refused.
    provided: Option<Arc<Provided>>,
    /// How long it is good, where a provider gave it.
    pub(super) lasts: Option<Lasts>,
}

impl Caller {
    pub(super) fn nobody() -> Self {
        Self { user: None, credential: None, provided: None, lasts: None }
    }

    /// A user with a credential that is known already.
    pub(super) fn with(user: &User, credential: HeaderValue) -> Self {
        Self { user: Some(user.clone()), credential: Some(credential), provided: None, lasts: None }
    }

    /// Whether another credential can be had for the same.
    pub(super) fn may_have_another(&self) -> bool {
        self.provided.is_some()
    }

    /// Removes the credential from a registry's text, which may quote it as in "the token … is not valid". The text is
    /// shown to people and written to the log.
    pub(super) fn without_credential(&self, words: &str) -> String {
        match self.credential.as_ref().and_then(|credential| credential.to_str().ok()) {
            Some(credential) => without_secret(words, credential),
            None => words.to_owned(),
        }
    }
}

/// The credentials, a cache of decrypted ones, and what providers have given.
pub(super) struct Credentials {
    store: Arc<Store>,
    vault: Vault,
    /// The registry's index URL, as cargo has it.
    index: String,
    /// How long a provider may take.
    deadline: Duration,
    opened: Arc<Mutex<Opened>>,
    provided: Mutex<HashMap<String, Arc<Provided>>>,
}

/// What was decrypted at one revision of the store, by user name.
#[derive(Default)]
struct Opened {
    revision: Revision,
    values: HashMap<String, Value>,
}

#[derive(Clone)]
enum Value {
    Token(HeaderValue),
    Provided(Arc<Provided>),
}

impl Credentials {
    pub(super) fn new(store: Arc<Store>, vault: Vault, index: String, deadline: Duration) -> Self {
        Self { store, vault, index, deadline, opened: Arc::default(), provided: Mutex::default() }
    }

    /// Whether a user has a credential. It is not decrypted.
    pub(super) async fn has(&self, user: &User) -> Result<bool, StoreError> {
        Ok(self.sealed(user).await?.is_some())
    }

    /// The caller for a read, which may be anonymous.
    pub(super) async fn reader(&self, reader: Option<&Reader>) -> Result<Caller, UpstreamError> {
        let Some(Reader { user, revision, .. }) = reader else { return Ok(Caller::nobody()) };
        self.at(*revision, user, None).await
    }

    /// The caller for a user: for reads, or for a change.
    pub(super) async fn user(&self, user: &User, change: Option<&Mutation>) -> Result<Caller, UpstreamError> {
        let revision = self.store.revision().await?;
        self.at(revision, user, change).await
    }

    /// The registry has refused a caller's credential: another one for reads, or `None` if there is none to be had.
    pub(super) async fn another(&self, refused: &Caller) -> Result<Option<Caller>, UpstreamError> {
        let (Some(user), Some(provided)) = (&refused.user, &refused.provided) else { return Ok(None) };
        if let Some(credential) = &refused.credential {
            provided.forget(credential);
        }
        // Whatever it gives this time, it is asked no more.
        Ok(Some(Caller { provided: None, ..self.given(user, provided.clone(), None).await? }))
    }

    /// The registry has refused a credential for a change, which is not sent again.
    pub(super) fn refused(&self, user: &User, credential: &HeaderValue) {
        if let Some(provided) = self.provided().get(user.as_str()) {
            provided.forget(credential);
        }
    }

    async fn sealed(&self, user: &User) -> Result<Option<Vec<u8>>, StoreError> {
        let user = user.clone();
        self.store.asked(move |store| store.credential(&user)).await
    }

    /// The credential at a revision that was read before. If it is changed in between, the revision changes too.
    async fn at(
        &self,
        revision: Revision,
        user: &User,
        change: Option<&Mutation>,
    ) -> Result<Caller, UpstreamError> {
        let value = match self.opened_at(revision, user) {
            Some(value) => value,
            None => self.open(revision, user).await?,
        };
        match value {
            Value::Token(credential) => Ok(Caller::with(user, credential)),
            Value::Provided(provided) => self.given(user, provided, change).await,
        }
    }

    async fn given(
        &self,
        user: &User,
        provided: Arc<Provided>,
        change: Option<&Mutation>,
    ) -> Result<Caller, UpstreamError> {
        let given = provided.credential(&self.index, change).await;
        let (credential, lasts) =
            given.map_err(|source| RemoteError::Provider { user: user.clone(), source })?;
        Ok(Caller { provided: Some(provided), lasts: Some(lasts), ..Caller::with(user, credential) })
    }

    async fn open(&self, revision: Revision, user: &User) -> Result<Value, UpstreamError> {
        let sealed = self.sealed(user).await?.ok_or_else(|| RemoteError::NoCredential(user.clone()))?;
        let value = match self.vault.unseal(user, &sealed).map_err(RemoteError::from)? {
            Credential::Token(token) => {
                let token = HeaderValue::from_str(&token);
                let mut token = token.map_err(|_| RemoteError::Vault(VaultError::NotACredential))?;
                token.set_sensitive(true);
                Value::Token(token)
            }
            Credential::Provider(provider) => {
                let mut all = self.provided();
                let known = all.get(user.as_str()).filter(|known| known.is_of(&sealed)).cloned();
                let provided = known.unwrap_or_else(|| Provided::new(provider, sealed, self.deadline));
                all.insert(user.as_str().to_owned(), provided.clone());
                Value::Provided(provided)
            }
        };
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

    fn opened_at(&self, revision: Revision, user: &User) -> Option<Value> {
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.values.get(user.as_str()).filter(|_| opened.revision == revision).cloned()
    }

    fn provided(&self) -> MutexGuard<'_, HashMap<String, Arc<Provided>>> {
        self.provided.lock().unwrap_or_else(PoisonError::into_inner)
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
        (
            Credentials::new(
                Arc::new(store),
                vault(),
                "sparse+https://registry.example/index/".to_owned(),
                KEPT,
            ),
            vault(),
        )
    }

    /// A folder's store answers at once.
    fn caller(credentials: &Credentials, user: &User) -> Result<Caller, UpstreamError> {
        credentials.user(user, None).now_or_never().unwrap()
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

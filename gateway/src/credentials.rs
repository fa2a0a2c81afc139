//! Users' credentials for the registry behind, as an administrator gives them. What is given is tried there before it is kept, for
//! registries differ in the form that they want.

use std::io;
use std::path::Path;
use std::sync::Arc;

use axum::http::StatusCode;
use jiff::Timestamp;
use zeroize::Zeroizing;

use crate::causes::with_causes;
use crate::config::{Config, UpstreamConfig};
use crate::credential_provider::{Lasts, Provider};
use crate::keys::User;
use crate::store::{Store, StoreError};
use crate::upstream::{Remote, RemoteConfigError, RemoteError, UpstreamError};
use crate::vault::{Vault, VaultError};

const BEARER: &str = "Bearer ";

/// A user who may be given a credential, and what it takes to keep it.
pub struct Recipient<'a> {
    config: &'a Config,
    upstream: &'a UpstreamConfig,
    user: &'a User,
    store: Arc<Store>,
    vault: Vault,
}

/// What the registry behind makes of a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It takes it as it was given.
    AsGiven,
    /// It takes it with `Bearer` before it, and so it is kept.
    WithBearer,
    /// It takes it without the `Bearer` that it was given with, and so it is kept.
    WithoutBearer,
    /// It answers without any.
    Open,
    /// It was not asked.
    NotTried,
}

/// Why a credential is not kept.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The registry is the built-in one.
    #[error("this gateway has no [upstream]: its built-in registry needs no credentials")]
    BuiltIn,
    /// The store cannot be used, or does not know the user.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The key file cannot be used, or what was given is no credential.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The registry behind cannot be asked with this configuration.
    #[error(transparent)]
    Configuration(#[from] RemoteConfigError),
    /// The registry behind refuses it.
    #[error("the registry behind accepts it neither alone nor with `Bearer`; it was not stored")]
    Refused,
    /// The registry behind refuses what the provider gives.
    #[error("the registry behind refuses what the provider gives; it was not stored")]
    RefusedFromProvider,
    /// The store is another user's.
    #[error("a provider runs as the gateway's user, not as root; it was not stored")]
    AsRoot,
    /// The provider gives nothing.
    #[error("the provider gives no credential: {0}; it was not stored")]
    Provider(String),
    /// The registry behind does not answer as one.
    #[error("it cannot be tested: {0}; it was not stored")]
    NoAnswer(String),
    /// A thread could not be started.
    #[error("cannot start")]
    Runtime(#[from] io::Error),
}

impl CredentialError {
    /// What to do next, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.hint(),
            Self::Vault(error) => error.hint(),
            Self::Refused => Some(
                "copy only the token; where the registry wants another form, give it with its scheme, as in `Basic …` or `Token …`; \
                 --as-is keeps it without a trial"
                    .to_owned(),
            ),
            Self::AsRoot => Some(
                "run this command as the user whose the store is (docs/gateway.md has the line for systemd); --as-is keeps it without \
                 running it"
                    .to_owned(),
            ),
            Self::Provider(_) | Self::RefusedFromProvider => Some(
                "run it as the gateway's user to see why: it gets HOME and PATH and nothing else of the environment; --as-is keeps it \
                 without a trial"
                    .to_owned(),
            ),
            Self::NoAnswer(_) => Some(
                "check that it runs and that `index` in [upstream] is the address of its index; --as-is stores the credential without a test"
                    .to_owned(),
            ),
            Self::BuiltIn | Self::Configuration(_) | Self::Runtime(_) => None,
        }
    }
}

impl<'a> Recipient<'a> {
    /// Finds the user, before anybody is asked for a secret that could not be kept.
    ///
    /// # Errors
    /// [`CredentialError::BuiltIn`], [`CredentialError::Store`], [`CredentialError::Vault`].
    pub fn new(config: &'a Config, user: &'a User) -> Result<Self, CredentialError> {
        let upstream = config.upstream.as_ref().ok_or(CredentialError::BuiltIn)?;
        let vault = Vault::open(&upstream.key_file)?;
        let store = Arc::new(Store::existing_at(&config.store, &config.postgres)?);
        store.has_user(user)?;
        Ok(Self { config, upstream, user, store, vault })
    }

    /// Keeps a credential in the form in which the registry behind takes it, or as it is.
    ///
    /// # Errors
    /// [`CredentialError`]; then nothing is changed.
    pub fn keep(&self, given: &str, as_is: bool) -> Result<Verdict, CredentialError> {
        let given = given.trim();
        let mut sealed = self.vault.seal(self.user, given)?;
        let mut verdict = Verdict::NotTried;
        if !as_is {
            let (found, form) = self.tried(given)?;
            sealed = self.vault.seal(self.user, &form)?;
            verdict = found;
        }
        self.store.set_credential(self.user, &sealed, self.store.now())?;
        Ok(verdict)
    }

    /// Keeps the name of the program that gives the credential, after it has given one that the registry takes, or at once. Returns
    /// until when that one is good, if the provider said so.
    ///
    /// # Errors
    /// [`CredentialError`]; then nothing is changed.
    pub fn keep_provider(
        &self,
        provider: &Provider,
        as_is: bool,
    ) -> Result<(Verdict, Option<Timestamp>), CredentialError> {
        let sealed = self.vault.seal_provider(self.user, provider)?;
        let (mut verdict, mut end) = (Verdict::NotTried, None);
        if !as_is {
            if !may_run_providers(self.config) {
                return Err(CredentialError::AsRoot);
            }
            let runtime = runtime()?;
            let given =
                runtime.block_on(provider.ask(&self.upstream.index_url(), None, self.upstream.timeout));
            let given = given.map_err(|error| CredentialError::Provider(with_causes(&error)))?;
            let credential = given.credential.to_str().map_err(|_| VaultError::NotACredential)?;
            verdict = match runtime.block_on(self.is_taken(&self.remote()?, &[credential]))? {
                None => Verdict::Open,
                Some(Some(_)) => Verdict::AsGiven,
                Some(None) => return Err(CredentialError::RefusedFromProvider),
            };
            if let Lasts::Until(until) = given.lasts {
                end = Some(until);
            }
        }
        self.store.set_credential(self.user, &sealed, self.store.now())?;
        Ok((verdict, end))
    }

    fn tried(&self, given: &str) -> Result<(Verdict, Zeroizing<String>), CredentialError> {
        let forms = match given.strip_prefix(BEARER) {
            Some(bare) => {
                vec![(Verdict::AsGiven, given.to_owned()), (Verdict::WithoutBearer, bare.trim().to_owned())]
            }
            // Another scheme is meant as it is.
            None if given.contains(' ') => vec![(Verdict::AsGiven, given.to_owned())],
            None => {
                vec![(Verdict::AsGiven, given.to_owned()), (Verdict::WithBearer, format!("{BEARER}{given}"))]
            }
        };
        let forms: Vec<_> =
            forms.into_iter().map(|(verdict, form)| (verdict, Zeroizing::new(form))).collect();
        let texts: Vec<_> = forms.iter().map(|(_, form)| form.as_str()).collect();
        match runtime()?.block_on(self.is_taken(&self.remote()?, &texts))? {
            None => Ok((Verdict::Open, Zeroizing::new(given.to_owned()))),
            Some(taken) => {
                taken.and_then(|place| forms.into_iter().nth(place)).ok_or(CredentialError::Refused)
            }
        }
    }

    fn remote(&self) -> Result<Remote, CredentialError> {
        Ok(Remote::new(self.upstream, self.store.clone())?)
    }

    /// The place of the first credential that the registry takes, if it takes one; `None` if it wants none, so that nothing can be
    /// told.
    async fn is_taken(
        &self,
        remote: &Remote,
        forms: &[&str],
    ) -> Result<Option<Option<usize>>, CredentialError> {
        let no_answer = |error: UpstreamError| CredentialError::NoAnswer(with_causes(&error));
        if remote.is_open_to_all().await.map_err(no_answer)? {
            return Ok(None);
        }
        for (place, form) in forms.iter().enumerate() {
            match remote.would_take(self.user, form).await {
                Ok(()) => return Ok(Some(Some(place))),
                Err(UpstreamError::Remote(RemoteError::CredentialRefused(_))) => {}
                Err(UpstreamError::Denied {
                    status: StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST,
                    ..
                }) => {}
                Err(error) => return Err(no_answer(error)),
            }
        }
        Ok(Some(None))
    }
}

/// Whether commands run providers: whoever has taken over a service can name one, so root runs none but where the store is root's.
#[cfg(unix)]
pub(crate) fn may_run_providers(config: &Config) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let folder = config.store.folder().map(Path::to_owned).or_else(|| config.postgres.state.clone());
    let is_roots = folder.and_then(|folder| folder.metadata().ok()).is_some_and(|folder| folder.uid() == 0);
    !rustix::process::geteuid().is_root() || is_roots
}

#[cfg(not(unix))]
pub(crate) fn may_run_providers(_: &Config) -> bool {
    true
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

//! A registry that takes bearer tokens, over HTTP.
//!
//! Every URL is put together here from parts that were parsed; nothing of a request is copied. Of what comes back, the
//! status is judged and a few named fields go on to cargo. A user's credential goes to the origins of the index, the API
//! and the downloads that the configuration names or that the index's own origin has, and never anywhere else.

mod answer;
mod credentials;
mod places;

use std::error::Error as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fs, io};

use asymmetric_token::{CrateName, Mutation};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::Response;
use reqwest::{Client, RequestBuilder, redirect};
use semver::Version;
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::sync::RwLock;
use tokio::time::timeout;
use tokio_util::io::ReaderStream;
use url::{Origin, Url};

use super::{Answer, OwnersChange, Publication, Search, Upstream, UpstreamError, VersionState};
use crate::config::UpstreamConfig;
use crate::index;
use crate::keys::User;
use crate::store::Store;
use crate::vault::{Vault, VaultError};
use answer::{Quoted, limited, passed_on, refusal};
use credentials::Credentials;
use places::Places;

/// How long the registry's own `config.json` is believed.
const PLACES_KEPT: Duration = Duration::from_secs(300);
/// Hops from a download to where the file is.
const MOST_REDIRECTS: usize = 5;
/// The longest index file that is read to see what is there of a version, in bytes.
const MOST_INDEX: usize = 64 << 20;
/// The longest answer to a change, in bytes.
const MOST_ANSWER: usize = 1 << 20;
/// How much of a crate file is read at once, in bytes: each time, a thread is waited for.
const FROM_DISK: usize = 256 << 10;

/// See the module.
#[derive(Debug)]
pub(crate) struct Remote {
    client: Client,
    /// With a final slash.
    index: Url,
    api: Option<Url>,
    dl: Option<String>,
    places: RwLock<Option<(Instant, Arc<Places>)>>,
    credentials: Credentials,
    timeout: Duration,
}

/// What is wrong between the gateway and the registry behind it. None of it is the fault of whoever asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RemoteError {
    /// It cannot be reached; nothing was sent.
    #[error("the registry behind this gateway cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    /// It did not answer in time.
    #[error(
        "the registry behind this gateway did not answer in time{}",
        if *.change { "; see whether the change was made before you try again" } else { "" }
    )]
    Slow {
        /// Whether a change was on its way.
        change: bool,
    },
    /// The connection broke.
    #[error(
        "the connection to the registry behind this gateway broke{}",
        if *.change { "; see whether the change was made before you try again" } else { "" }
    )]
    Broken {
        /// Whether a change was on its way.
        change: bool,
        /// Why.
        source: reqwest::Error,
    },
    /// It answers, but not what a registry answers.
    #[error("the registry behind this gateway answers nonsense: {0}")]
    Nonsense(String),
    /// It failed.
    #[error("the registry behind this gateway failed ({status}){detail}")]
    Failed {
        /// Its status.
        status: StatusCode,
        /// Its words, after a colon, or nothing.
        detail: String,
    },
    /// It does not take the user's credential.
    #[error(
        "the registry behind this gateway refuses the credential that this gateway has for {0}; tell its administrator"
    )]
    CredentialRefused(String),
    /// There is no credential for this user.
    #[error("this gateway has no credential of {0} for the registry behind it; tell its administrator")]
    NoCredential(User),
    /// The credential cannot be opened.
    #[error("this gateway cannot open its credential for the registry behind it; tell its administrator")]
    Vault(#[from] VaultError),
}

impl RemoteError {
    /// Whether the change may have been made all the same.
    pub(crate) fn leaves_open(&self) -> bool {
        match self {
            Self::Slow { change } | Self::Broken { change, .. } => *change,
            Self::Failed { .. } | Self::Nonsense(_) => true,
            Self::Unreachable(_) | Self::CredentialRefused(_) | Self::NoCredential(_) | Self::Vault(_) => {
                false
            }
        }
    }
}

/// Why a registry cannot be put behind a gateway.
#[derive(Debug, thiserror::Error)]
pub enum RemoteConfigError {
    /// Not a URL that can be one.
    #[error("`{0}` cannot be an address of the registry behind: it must be http:// or https://")]
    Url(String),
    /// The vault.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The certificate authorities.
    #[error("cannot use the certificates in {}", path.display())]
    Certificates {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The HTTP client.
    #[error("cannot make an HTTP client")]
    Client(#[from] reqwest::Error),
}

impl Remote {
    /// Opens the vault and prepares connections; asks nothing yet.
    ///
    /// # Errors
    /// [`RemoteConfigError`].
    pub(crate) fn new(config: &UpstreamConfig, store: Arc<Store>) -> Result<Self, RemoteConfigError> {
        let index = config.index.strip_prefix("sparse+").unwrap_or(&config.index);
        Ok(Self {
            client: client(config)?,
            index: folder(index)?,
            api: config.api.as_deref().map(folder).transpose()?,
            dl: config.dl.clone(),
            places: RwLock::new(None),
            credentials: Credentials::new(store, Vault::open(&config.key_file)?),
            timeout: config.timeout,
        })
    }

    /// Where API and downloads are, by the registry's own `config.json`.
    async fn places(&self, user: Option<&User>) -> Result<Arc<Places>, UpstreamError> {
        if let (Some(api), Some(dl)) = (&self.api, &self.dl) {
            return Ok(Arc::new(Places { api: api.clone(), dl: dl.clone() }));
        }
        if let Some((at, places)) = &*self.places.read().await
            && at.elapsed() < PLACES_KEPT
        {
            return Ok(places.clone());
        }
        let places = Arc::new(self.ask_for_places(user).await?);
        *self.places.write().await = Some((Instant::now(), places.clone()));
        Ok(places)
    }

    /// Whether whoever reaches it can read its index.
    pub(crate) async fn is_open_to_all(&self) -> Result<bool, UpstreamError> {
        let request = self.client.get(self.index_url("config.json"));
        Ok(send(request, false).await?.status() == StatusCode::OK)
    }

    /// Asks for `config.json`: whether the registry answers, and takes the user's credential.
    pub(crate) async fn ask_for_places(&self, user: Option<&User>) -> Result<Places, UpstreamError> {
        let request = self.request(Method::GET, self.index_url("config.json"), user)?;
        let response = send(request, false).await?;
        if response.status() != StatusCode::OK {
            return Err(self.refusal(response, user).await);
        }
        let config = self.whole(response, MOST_ANSWER, false).await?;
        Ok(Places::new(&config, &self.index, self.api.as_ref(), self.dl.as_deref())?)
    }

    fn index_url(&self, path: &str) -> Url {
        let mut url = self.index.clone();
        url.set_path(&format!("{}{path}", self.index.path()));
        url
    }

    fn request(
        &self,
        method: Method,
        url: Url,
        user: Option<&User>,
    ) -> Result<RequestBuilder, UpstreamError> {
        let request = self.client.request(method, url);
        let Some(user) = user else { return Ok(request) };
        Ok(request.header(header::AUTHORIZATION, self.credentials.of(user)?))
    }

    /// What the user's credential must not be shown in: the words of a registry that quotes it.
    fn quoted(&self, user: Option<&User>) -> Option<Quoted> {
        user.and_then(|user| self.credentials.of(user).ok()).map(Quoted)
    }

    /// What an answer other than success means.
    async fn refusal(&self, response: reqwest::Response, user: Option<&User>) -> UpstreamError {
        refusal(response, user, self.quoted(user).as_ref()).await
    }

    /// Sends a change to the API and sees that it was made.
    async fn change(
        &self,
        user: &User,
        method: Method,
        path: &str,
        body: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<(), UpstreamError> {
        let places = self.places(Some(user)).await?;
        let request = self.request(method, places.api(path), Some(user))?;
        let response = send(body(request), true).await?;
        if !response.status().is_success() {
            return Err(self.refusal(response, Some(user)).await);
        }
        let answer = self.whole(response, MOST_ANSWER, true).await?;
        match answer::errors_in(&answer, self.quoted(Some(user)).as_ref()) {
            // What older registries said with 200.
            Some(detail) => Err(UpstreamError::Denied { status: StatusCode::UNPROCESSABLE_ENTITY, detail }),
            None => Ok(()),
        }
    }

    /// A body that is read here. Piece by piece it could take for ever, with the crate's other changes waiting for it.
    async fn whole(
        &self,
        response: reqwest::Response,
        most: usize,
        change: bool,
    ) -> Result<Vec<u8>, RemoteError> {
        let slow = |_| RemoteError::Slow { change };
        timeout(self.timeout, limited(response, most, change)).await.map_err(slow)?
    }

    /// A download, through as many redirects as it takes. The credential stays with the first origin.
    async fn fetch(&self, url: Url, user: Option<&User>) -> Result<Response, UpstreamError> {
        let trusted = self.trusts(&url.origin());
        if !trusted && url.scheme() != "https" {
            return Err(RemoteError::Nonsense("downloads elsewhere, over plain HTTP".to_owned()).into());
        }
        let mut request = self.request(Method::GET, url.clone(), user.filter(|_| trusted))?;
        let mut at = url;
        for _ in 0..=MOST_REDIRECTS {
            let response = send(request, false).await?;
            if !response.status().is_redirection() {
                return if response.status() == StatusCode::OK {
                    Ok(passed_on(response))
                } else {
                    Err(self.refusal(response, user.filter(|_| trusted)).await)
                };
            }
            let next = response.headers().get(header::LOCATION).and_then(|location| location.to_str().ok());
            let next = next.and_then(|location| at.join(location).ok());
            let next = next.filter(|next| next.scheme() == "https" || next.origin() == at.origin());
            at = next.ok_or_else(|| RemoteError::Nonsense("a redirect to nowhere".to_owned()))?;
            request = self.client.get(at.clone());
        }
        Err(RemoteError::Nonsense("too many redirects".to_owned()).into())
    }

    /// Whether a user's credential may go there.
    fn trusts(&self, origin: &Origin) -> bool {
        let configured = self.dl.as_deref().and_then(|dl| Url::parse(dl).ok());
        *origin == self.index.origin() || configured.is_some_and(|dl| dl.origin() == *origin)
    }
}

impl Upstream for Remote {
    fn index_file<'a>(
        &'a self,
        reader: Option<&'a User>,
        name: &'a str,
        conditions: &'a HeaderMap,
    ) -> Answer<'a, Response> {
        Box::pin(async move {
            let mut request = self.request(Method::GET, self.index_url(&index::path(name)), reader)?;
            for condition in [header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE] {
                if let Some(value) = conditions.get(&condition) {
                    request = request.header(condition, value);
                }
            }
            let response = send(request, false).await?;
            match response.status() {
                StatusCode::OK | StatusCode::NOT_MODIFIED => Ok(passed_on(response)),
                _ => Err(self.refusal(response, reader).await),
            }
        })
    }

    fn download<'a>(
        &'a self,
        reader: Option<&'a User>,
        name: &'a CrateName,
        version: &'a Version,
    ) -> Answer<'a, Response> {
        Box::pin(async move {
            let places = self.places(reader).await?;
            let checksum = if places.needs_checksum() {
                let state = self.version_state(reader, name, version).await?;
                let none = || UpstreamError::NotFound(format!("no {name} {version} here"));
                Some(state.ok_or_else(none)?.checksum)
            } else {
                None
            };
            self.fetch(places.download(name, version, checksum)?, reader).await
        })
    }

    fn search<'a>(&'a self, reader: Option<&'a User>, search: &'a Search) -> Answer<'a, Response> {
        Box::pin(async move {
            let places = self.places(reader).await?;
            let mut url = places.api("api/v1/crates");
            let limit = search.per_page.unwrap_or(10).min(100);
            url.query_pairs_mut().append_pair("q", &search.q).append_pair("per_page", &limit.to_string());
            let response = send(self.request(Method::GET, url, reader)?, false).await?;
            match response.status() {
                StatusCode::OK => Ok(passed_on(response)),
                _ => Err(self.refusal(response, reader).await),
            }
        })
    }

    /// Nothing is known here of what it would refuse, except without a credential.
    fn refuses<'a>(&'a self, user: &'a User, _: &'a Mutation) -> Answer<'a, ()> {
        Box::pin(async move {
            if self.credentials.has(user)? {
                Ok(())
            } else {
                Err(RemoteError::NoCredential(user.clone()).into())
            }
        })
    }

    fn publish<'a>(&'a self, user: &'a User, publication: Publication) -> Answer<'a, ()> {
        Box::pin(async move {
            let Publication { metadata, file, length, .. } = publication;
            let json = metadata.to_publish_json().to_string();
            let sizes = (u32::try_from(json.len()), u32::try_from(length));
            let (Ok(json_length), Ok(file_length)) = sizes else {
                let (status, detail) = (StatusCode::PAYLOAD_TOO_LARGE, "4 GiB are the most".to_owned());
                return Err(UpstreamError::Denied { status, detail });
            };
            let mut head = json_length.to_le_bytes().to_vec();
            head.extend(json.as_bytes());
            head.extend(file_length.to_le_bytes());
            let whole = head.len() as u64 + length;
            let opened = tokio::fs::File::from_std(file.reopen().map_err(disk)?);
            let body = ReaderStream::with_capacity(io::Cursor::new(head).chain(opened), FROM_DISK);
            self.change(user, Method::PUT, "api/v1/crates/new", |request| {
                request
                    .header(header::CONTENT_TYPE, "application/octet-stream")
                    .header(header::CONTENT_LENGTH, whole)
                    .body(reqwest::Body::wrap_stream(body))
            })
            .await
        })
    }

    fn set_yanked<'a>(
        &'a self,
        user: &'a User,
        name: &'a CrateName,
        version: &'a Version,
        yanked: bool,
    ) -> Answer<'a, ()> {
        let (method, verb) = if yanked { (Method::DELETE, "yank") } else { (Method::PUT, "unyank") };
        Box::pin(async move {
            let path = format!("api/v1/crates/{name}/{version}/{verb}");
            self.change(user, method, &path, |request| request.body("")).await
        })
    }

    fn owners<'a>(&'a self, user: &'a User, name: &'a CrateName) -> Answer<'a, Response> {
        Box::pin(async move {
            let url = self.places(Some(user)).await?.api(&format!("api/v1/crates/{name}/owners"));
            let response = send(self.request(Method::GET, url, Some(user))?, false).await?;
            match response.status() {
                StatusCode::OK => Ok(passed_on(response)),
                _ => Err(self.refusal(response, Some(user)).await),
            }
        })
    }

    fn change_owners<'a>(
        &'a self,
        user: &'a User,
        name: &'a CrateName,
        change: &'a OwnersChange,
    ) -> Answer<'a, ()> {
        let method = if change.add { Method::PUT } else { Method::DELETE };
        Box::pin(async move {
            let body = json!({ "users": change.users }).to_string();
            let path = format!("api/v1/crates/{name}/owners");
            self.change(user, method, &path, |request| {
                request.header(header::CONTENT_TYPE, "application/json").body(body)
            })
            .await
        })
    }

    fn state<'a>(
        &'a self,
        user: &'a User,
        name: &'a CrateName,
        version: &'a Version,
    ) -> Answer<'a, Option<VersionState>> {
        Box::pin(self.version_state(Some(user), name, version))
    }
}

impl Remote {
    async fn version_state(
        &self,
        user: Option<&User>,
        name: &CrateName,
        version: &Version,
    ) -> Result<Option<VersionState>, UpstreamError> {
        let url = self.index_url(&index::path(name.as_str()));
        let response = send(self.request(Method::GET, url, user)?, false).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS => {
                return Ok(None);
            }
            _ => return Err(self.refusal(response, user).await),
        }
        let file = self.whole(response, MOST_INDEX, false).await?;
        answer::version_state(&file, version)
    }
}

async fn send(request: RequestBuilder, change: bool) -> Result<reqwest::Response, RemoteError> {
    request.send().await.map_err(|error| failed(error.without_url(), change))
}

fn failed(error: reqwest::Error, change: bool) -> RemoteError {
    if error.is_connect() {
        RemoteError::Unreachable(error)
    } else if error.is_timeout() {
        RemoteError::Slow { change }
    } else {
        tracing::debug!(cause = ?error.source(), "the connection upstream broke");
        RemoteError::Broken { change, source: error }
    }
}

fn client(config: &UpstreamConfig) -> Result<Client, RemoteConfigError> {
    let mut builder = Client::builder()
        .user_agent(concat!("registry-gateway/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .connect_timeout(config.timeout)
        .read_timeout(config.timeout)
        .http1_only()
        .no_proxy()
        .referer(false);
    if let Some(path) = &config.ca_file {
        let unusable = |source: Box<dyn std::error::Error + Send + Sync>| RemoteConfigError::Certificates {
            path: path.clone(),
            source,
        };
        let pem = fs::read(path).map_err(|error| unusable(error.into()))?;
        let certificates =
            reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| unusable(error.into()))?;
        builder = builder.tls_certs_merge(certificates);
    }
    Ok(builder.build()?)
}

/// A URL that others are put below.
fn folder(text: &str) -> Result<Url, RemoteConfigError> {
    let wrong = || RemoteConfigError::Url(text.to_owned());
    let mut url = Url::parse(text).map_err(|_| wrong())?;
    let plain = matches!(url.scheme(), "http" | "https")
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    if !plain {
        return Err(wrong());
    }
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

fn disk(source: io::Error) -> UpstreamError {
    crate::store::StoreError::File { path: "the upload".into(), source }.into()
}

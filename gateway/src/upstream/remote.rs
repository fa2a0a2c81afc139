//! A registry that accepts bearer tokens, over HTTP.
//!
//! Every URL is put together from parsed parts, and nothing of a request is copied. Of an answer, the status is judged,
//! and only a few fields are passed on to cargo. A user's credential is sent only to the origin of the index, and to
//! the origins of the API and the downloads if the configuration names these.

mod answer;
mod credentials;
mod error;
mod provided;
mod redirect;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use asymmetric_token::{CrateName, Mutation};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header, request};
use axum::response::Response;
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use semver::Version;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::sync::{RwLock, Semaphore};
use tokio::time::timeout;
use tokio_util::io::ReaderStream;
use url::{Origin, Url};

use super::{OwnersChange, Prepared, Publication, Reader, Search, Standing, UpstreamError};
use crate::config::UpstreamConfig;
use crate::credential_provider::Lasts;
use crate::http_client::{self, AnswerBody, Client};
use crate::index::{self, RegistryConfig, VersionState, folder};
use crate::keys::User;
use crate::store::Store;
use crate::vault::{Vault, VaultError};
use answer::{Said, limited, refusal};
use credentials::{Caller, Credentials};
pub use error::RemoteConfigError;
pub(crate) use error::RemoteError;

/// How long the registry's `config.json` is cached.
const CONFIG_KEPT: Duration = Duration::from_secs(300);
/// How many redirects are followed.
const MOST_REDIRECTS: usize = 5;
/// The longest index file that is read to find a version's state, in bytes.
const MOST_INDEX: usize = 64 << 20;
/// Downloads for which a checksum is looked up at once, in an index file that is held as a whole.
const CHECKSUMS: usize = 8;
/// The longest answer to a change, in bytes.
const MOST_ANSWER: usize = 1 << 20;
/// The longest body that is waited for, in bytes.
const SMALL: usize = 64 << 10;
/// How much of a crate file is read at once, in bytes: each time, a thread is waited for.
const FROM_DISK: usize = 256 << 10;
const AGENT: HeaderValue = HeaderValue::from_static(concat!("registry-gateway/", env!("CARGO_PKG_VERSION")));
/// What cargo says it takes: of the API, of the index, of downloads.
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain");
const ANYTHING: HeaderValue = HeaderValue::from_static("*/*");

/// A connection to the registry.
#[derive(Debug)]
pub(crate) struct Remote {
    client: Client,
    /// With a final slash.
    index: Url,
    api: Option<Url>,
    dl: Option<String>,
    registry_config: RwLock<Option<(Instant, Arc<RegistryConfig>)>>,
    credentials: Credentials,
    timeout: Duration,
    checksums: Semaphore,
}

/// A credential that the registry takes.
#[derive(Debug)]
pub(crate) struct Taken {
    /// The word before it in `Authorization`, such as `Bearer`; `None` if it stands there alone.
    pub(crate) scheme: Option<String>,
    /// How long it is good, where a provider gave it.
    pub(crate) lasts: Option<Lasts>,
}

impl Remote {
    /// Opens the vault and prepares connections. Nothing is asked yet.
    ///
    /// # Errors
    /// [`RemoteConfigError`].
    pub(crate) fn new(config: &UpstreamConfig, store: Arc<Store>) -> Result<Self, RemoteConfigError> {
        let url = |text: &str| folder(text).ok_or_else(|| RemoteConfigError::Url(text.to_owned()));
        let index = config.index.strip_prefix("sparse+").unwrap_or(&config.index);
        Ok(Self {
            client: Client::new(config.timeout, config.ca_file.as_deref())?,
            index: url(index)?,
            api: config.api.as_deref().map(url).transpose()?,
            dl: config.dl.clone(),
            registry_config: RwLock::new(None),
            credentials: Credentials::new(
                store,
                Vault::open(&config.key_file)?,
                config.index_url(),
                config.timeout,
            ),
            timeout: config.timeout,
            checksums: Semaphore::new(CHECKSUMS),
        })
    }

    /// Where API and downloads are, according to the configuration or to the registry's `config.json`.
    async fn registry_config(&self, caller: &Caller) -> Result<Arc<RegistryConfig>, UpstreamError> {
        if let Some(known) = self.known_config().await {
            return Ok(known);
        }
        let registry = Arc::new(self.ask_for_config(caller).await?);
        *self.registry_config.write().await = Some((Instant::now(), registry.clone()));
        Ok(registry)
    }

    async fn known_config(&self) -> Option<Arc<RegistryConfig>> {
        if let (Some(api), Some(dl)) = (&self.api, &self.dl) {
            return Some(Arc::new(RegistryConfig { api: api.clone(), dl: dl.clone() }));
        }
        let kept = self.registry_config.read().await;
        kept.as_ref().filter(|(at, _)| at.elapsed() < CONFIG_KEPT).map(|(_, registry)| registry.clone())
    }

    /// Whether its index can be read without a credential.
    pub(crate) async fn is_open_to_all(&self) -> Result<bool, UpstreamError> {
        let response = self.read_index("config.json", &Caller::nobody(), &HeaderMap::new()).await?;
        Ok(response.status() == StatusCode::OK)
    }

    /// Asks for `config.json` as a user, to find out whether the registry answers and accepts the user's credential, which is
    /// described.
    pub(crate) async fn takes(&self, user: &User) -> Result<Taken, UpstreamError> {
        let caller = self.credentials.user(user, None).await?;
        self.ask_for_config(&caller).await?;
        let value = caller.credential.as_ref().and_then(|value| value.to_str().ok()).unwrap_or_default();
        Ok(Taken { scheme: value.split_once(' ').map(|(scheme, _)| scheme.to_owned()), lasts: caller.lasts })
    }

    /// Asks for `config.json` with a credential that is not a user's yet. Whether the registry takes it, or would have answered
    /// without.
    pub(crate) async fn would_take(&self, user: &User, credential: &str) -> Result<(), UpstreamError> {
        let mut value =
            HeaderValue::from_str(credential).map_err(|_| RemoteError::Vault(VaultError::NotACredential))?;
        value.set_sensitive(true);
        self.ask_for_config(&Caller::with(user, value)).await.map(drop)
    }

    /// Asks something for a caller, and once more if the registry refuses a credential in the place of which there is another one.
    async fn asked<T, F: Future<Output = Result<T, UpstreamError>>>(
        &self,
        caller: Caller,
        ask: impl Fn(Caller) -> F,
    ) -> Result<T, UpstreamError> {
        let answer = ask(caller.clone()).await;
        if let Err(UpstreamError::Remote(RemoteError::CredentialRefused(_))) = &answer
            && let Some(caller) = self.credentials.another(&caller).await?
        {
            return ask(caller).await;
        }
        answer
    }

    async fn ask_for_config(&self, caller: &Caller) -> Result<RegistryConfig, UpstreamError> {
        let response = self.read_index("config.json", caller, &HeaderMap::new()).await?;
        if response.status() != StatusCode::OK {
            return Err(refusal(response, caller).await);
        }
        let config = self.whole(response.into_body(), MOST_ANSWER, false).await?;
        Ok(RegistryConfig::read(&config, &self.index, self.api.as_ref(), self.dl.as_deref())?)
    }

    /// A file of the index. Paths there are plain ASCII.
    async fn read_index(
        &self,
        path: &str,
        caller: &Caller,
        conditions: &HeaderMap,
    ) -> Result<http_client::Response, RemoteError> {
        self.read(format!("{}{path}", self.index), TEXT, caller, conditions).await
    }

    /// Follows redirects within the registry. The credential is sent only to the origins that get it anyway.
    async fn read(
        &self,
        url: String,
        accept: HeaderValue,
        caller: &Caller,
        conditions: &HeaderMap,
    ) -> Result<http_client::Response, RemoteError> {
        let mut at = url;
        for _ in 0..=MOST_REDIRECTS {
            let mut request = request(Method::GET, &at, accept.clone(), caller);
            for condition in [header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE] {
                if let Some(value) = conditions.get(&condition) {
                    request = request.header(condition, value);
                }
            }
            let response = self.send(request, Body::empty(), false).await?;
            if !redirect::is_one(&response) {
                return Ok(response);
            }
            at = redirect::within_the_registry(&at, &response)?.into();
        }
        Err(redirect::too_many())
    }

    async fn send(
        &self,
        request: request::Builder,
        body: Body,
        change: bool,
    ) -> Result<http_client::Response, RemoteError> {
        let request = request.body(body);
        let request = request.map_err(|_| RemoteError::Nonsense("an address is not a URL".to_owned()))?;
        self.client.send(request).await.map_err(|no_answer| RemoteError::new(no_answer, change))
    }

    /// Sends a change to the API, sees that it was made, and returns what was said of it.
    async fn change(
        &self,
        user: &User,
        Prepared(prepared): Prepared,
        method: Method,
        path: &str,
        fields: impl FnOnce(request::Builder) -> request::Builder,
        body: Body,
    ) -> Result<Said, UpstreamError> {
        let Some((registry, credential)) = prepared else {
            return Err(RemoteError::NoCredential(user.clone()).into());
        };
        let caller = Caller::with(user, credential.clone());
        let request = fields(request(method, registry.api(path).as_str(), JSON, &caller));
        let response = self.send(request, body, true).await?;
        if !response.status().is_success() {
            if response.status() == StatusCode::UNAUTHORIZED {
                self.credentials.refused(user, &credential);
            }
            return Err(answer::refused_change(response, &caller).await);
        }
        let answer = self.whole(response.into_body(), MOST_ANSWER, true).await?;
        Said::of(&answer, &caller)
    }

    /// Passes an answer on to the reader. A small body is received as a whole first, so that it leaves together with
    /// its head, and so that the reader is told if it breaks off.
    async fn passed_on(&self, response: http_client::Response) -> Result<Response, RemoteError> {
        let (head, mut body) = response.into_parts();
        if body.size_hint().exact().is_some_and(|length| length > SMALL as u64) {
            return Ok(answer::passed_on(&head, Body::new(body)));
        }
        let mut begun = Vec::new();
        let small = async {
            while begun.len() <= SMALL {
                let Some(frame) = body.frame().await else { return Ok(true) };
                let frame = frame.map_err(|error| RemoteError::new(error, false))?;
                begun.extend_from_slice(&frame.into_data().unwrap_or_default());
            }
            Ok::<_, RemoteError>(false)
        };
        let is_whole =
            timeout(self.timeout, small).await.map_err(|_| RemoteError::Slow { change: false })??;
        if is_whole {
            return Ok(answer::passed_on(&head, begun.into()));
        }
        body.put_back(begun.into());
        Ok(answer::passed_on(&head, Body::new(body)))
    }

    /// A body that is read here. Piece by piece it could take for ever, with the crate's other changes waiting for it.
    async fn whole(&self, body: AnswerBody, most: usize, change: bool) -> Result<Vec<u8>, RemoteError> {
        let slow = |_| RemoteError::Slow { change };
        timeout(self.timeout, limited(body, most, change)).await.map_err(slow)?
    }

    /// Fetches a download through redirects. The credential is only sent to the first origin.
    async fn fetch(&self, url: Url, caller: &Caller) -> Result<Response, UpstreamError> {
        let nobody = Caller::nobody();
        let trusted = self.trusts(&url.origin());
        if !trusted && url.scheme() != "https" {
            return Err(RemoteError::Nonsense("downloads are elsewhere, over plain HTTP".to_owned()).into());
        }
        let mut at = url;
        // A registry may quote the credential in any answer that it leads to.
        let known = if trusted { caller } else { &nobody };
        let mut asking = known;
        for _ in 0..=MOST_REDIRECTS {
            let asked = request(Method::GET, at.as_str(), ANYTHING, asking);
            let response = self.send(asked, Body::empty(), false).await?;
            if !redirect::is_one(&response) {
                return match response.status() {
                    StatusCode::OK => Ok(self.passed_on(response).await?),
                    // It was shown no credential there, so none of ours is refused.
                    status @ StatusCode::UNAUTHORIZED
                        if asking.credential.is_none() && known.credential.is_some() =>
                    {
                        let detail = " where the download leads to".to_owned();
                        Err(RemoteError::Failed { status, detail, retry_after: None }.into())
                    }
                    _ => Err(refusal(response, known).await),
                };
            }
            at = redirect::anywhere(&at, &response)?;
            asking = &nobody;
        }
        Err(redirect::too_many().into())
    }

    /// Whether a user's credential may be sent to an origin.
    fn trusts(&self, origin: &Origin) -> bool {
        let configured = self.dl.as_deref().and_then(|dl| Url::parse(dl).ok());
        *origin == self.index.origin() || configured.is_some_and(|dl| dl.origin() == *origin)
    }

    pub(crate) async fn index_file(
        &self,
        reader: Option<&Reader>,
        path: &str,
        conditions: &HeaderMap,
    ) -> Result<Response, UpstreamError> {
        let ask = |caller: Caller| async move {
            let response = self.read_index(path, &caller, conditions).await?;
            match response.status() {
                StatusCode::OK | StatusCode::NOT_MODIFIED => Ok(self.passed_on(response).await?),
                _ => Err(refusal(response, &caller).await),
            }
        };
        self.asked(self.credentials.reader(reader).await?, ask).await
    }

    pub(crate) async fn download(
        &self,
        reader: Option<&Reader>,
        name: &CrateName,
        version: &Version,
    ) -> Result<Response, UpstreamError> {
        let ask = |caller: Caller| async move {
            let registry = self.registry_config(&caller).await?;
            let checksum = if registry.needs_checksum() {
                // It is never closed.
                let _turn = self.checksums.acquire().await;
                let state = self.version_state(&caller, name, version).await?;
                let none = || UpstreamError::NotFound(format!("no {name} {version} here"));
                Some(state.ok_or_else(none)?.checksum)
            } else {
                None
            };
            self.fetch(registry.download(name, version, checksum)?, &caller).await
        };
        self.asked(self.credentials.reader(reader).await?, ask).await
    }

    pub(super) async fn search(
        &self,
        reader: Option<&Reader>,
        search: &Search,
    ) -> Result<Response, UpstreamError> {
        let ask = |caller: Caller| async move {
            let registry = self.registry_config(&caller).await?;
            let mut url = registry.api("api/v1/crates");
            let limit = search.per_page.unwrap_or(10).min(100);
            url.query_pairs_mut().append_pair("q", &search.q).append_pair("per_page", &limit.to_string());
            let response = self.read(url.into(), JSON, &caller, &HeaderMap::new()).await?;
            match response.status() {
                StatusCode::OK => Ok(self.passed_on(response).await?),
                _ => Err(refusal(response, &caller).await),
            }
        };
        self.asked(self.credentials.reader(reader).await?, ask).await
    }

    /// Only a missing credential is known here as a reason for which the registry would refuse.
    pub(crate) async fn refuses(&self, user: &User) -> Result<(), UpstreamError> {
        if self.credentials.has(user).await? {
            Ok(())
        } else {
            Err(RemoteError::NoCredential(user.clone()).into())
        }
    }

    /// The credential for a change. The user's provider, if there is one, is asked now, while the token is not spent.
    pub(crate) async fn prepare(&self, user: &User, mutation: &Mutation) -> Result<Prepared, UpstreamError> {
        let registry = match self.known_config().await {
            Some(known) => known,
            None => {
                let reader = self.credentials.user(user, None).await?;
                let ask = |caller: Caller| async move { self.registry_config(&caller).await };
                self.asked(reader, ask).await.map_err(RemoteError::nothing_sent)?
            }
        };
        let credential = self.credentials.user(user, Some(mutation)).await?.credential;
        Ok(Prepared(credential.map(|credential| (registry, credential))))
    }

    /// What cargo shows of the answer: warnings.
    pub(crate) async fn publish(
        &self,
        user: &User,
        prepared: Prepared,
        publication: Publication,
    ) -> Result<Option<Value>, UpstreamError> {
        let Publication { metadata, file, length, .. } = publication;
        let json = metadata.to_publish_json().to_string();
        let sizes = (u32::try_from(json.len()), u32::try_from(length));
        let (Ok(json_length), Ok(file_length)) = sizes else {
            return Err(UpstreamError::denied(StatusCode::PAYLOAD_TOO_LARGE, "the limit is 4 GiB"));
        };
        let mut head = json_length.to_le_bytes().to_vec();
        head.extend(json.as_bytes());
        head.extend(file_length.to_le_bytes());
        let whole = head.len() as u64 + length;
        let opened = tokio::fs::File::from_std(file.reopen().map_err(disk)?);
        let body = ReaderStream::with_capacity(io::Cursor::new(head).chain(opened), FROM_DISK);
        // No Content-Type, as with cargo: there are registries that refuse one.
        let fields = |request: request::Builder| request.header(header::CONTENT_LENGTH, whole);
        let path = "api/v1/crates/new";
        let said = self.change(user, prepared, Method::PUT, path, fields, Body::from_stream(body)).await?;
        Ok(said.warnings.map(|warnings| json!({ "warnings": warnings })))
    }

    pub(crate) async fn set_yanked(
        &self,
        user: &User,
        prepared: Prepared,
        name: &CrateName,
        version: &Version,
        yanked: bool,
    ) -> Result<(), UpstreamError> {
        let (method, verb) = if yanked { (Method::DELETE, "yank") } else { (Method::PUT, "unyank") };
        let path = format!("api/v1/crates/{name}/{version}/{verb}");
        let fields = |request: request::Builder| match yanked {
            true => request,
            // It has nothing in it, and cargo says that this is JSON.
            false => request.header(header::CONTENT_TYPE, JSON).header(header::CONTENT_LENGTH, 0),
        };
        self.change(user, prepared, method, &path, fields, Body::empty()).await.map(drop)
    }

    /// Listing changes nothing, so no error leaves anything open.
    pub(crate) async fn owners(&self, user: &User, name: &CrateName) -> Result<Vec<u8>, UpstreamError> {
        let mutation = Mutation::Owners { name: name.clone() };
        let listed = |caller: Caller| async move {
            let registry = self.registry_config(&caller).await?;
            let url = registry.api(&format!("api/v1/crates/{name}/owners"));
            let response = self.read(url.into(), JSON, &caller, &HeaderMap::new()).await?;
            match response.status() {
                StatusCode::OK => Ok(self.whole(response.into_body(), MOST_ANSWER, false).await?),
                _ => Err(refusal(response, &caller).await),
            }
        };
        let caller = self.credentials.user(user, Some(&mutation)).await?;
        self.asked(caller, listed).await.map_err(RemoteError::nothing_sent)
    }

    /// What cargo shows of the answer: a sentence.
    pub(crate) async fn change_owners(
        &self,
        user: &User,
        prepared: Prepared,
        name: &CrateName,
        change: &OwnersChange,
    ) -> Result<Option<Value>, UpstreamError> {
        let method = if change.add { Method::PUT } else { Method::DELETE };
        let body = json!({ "users": change.users }).to_string();
        let path = format!("api/v1/crates/{name}/owners");
        let fields = |request: request::Builder| request.header(header::CONTENT_TYPE, JSON);
        let said = self.change(user, prepared, method, &path, fields, Body::from(body)).await?;
        Ok(said.message.map(|message| json!({ "ok": true, "msg": message })))
    }

    pub(super) async fn state(
        &self,
        user: &User,
        name: &CrateName,
        version: &Version,
    ) -> Result<Option<VersionState>, UpstreamError> {
        let caller = self.credentials.user(user, None).await?;
        self.asked(caller, |caller| async move { self.version_state(&caller, name, version).await }).await
    }

    pub(super) async fn standing(
        &self,
        reader: &Reader,
        name: &CrateName,
        version: &Version,
    ) -> Result<Standing, UpstreamError> {
        let ask = |caller: Caller| async move {
            let Some(file) = self.index_of(&caller, name).await? else { return Ok(Standing::NewCrate) };
            let state = index::version_state(&file, version)?;
            Ok(if state.is_some() { Standing::Published } else { Standing::NewVersion })
        };
        self.asked(self.credentials.reader(Some(reader)).await?, ask).await
    }

    async fn version_state(
        &self,
        caller: &Caller,
        name: &CrateName,
        version: &Version,
    ) -> Result<Option<VersionState>, UpstreamError> {
        let Some(file) = self.index_of(caller, name).await? else { return Ok(None) };
        Ok(index::version_state(&file, version)?)
    }

    /// A crate's index file, if there is one.
    async fn index_of(&self, caller: &Caller, name: &CrateName) -> Result<Option<Vec<u8>>, UpstreamError> {
        let path = index::path(name.as_str());
        let response = self.read_index(&path, caller, &HeaderMap::new()).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS => {
                return Ok(None);
            }
            _ => return Err(refusal(response, caller).await),
        }
        Ok(Some(self.whole(response.into_body(), MOST_INDEX, false).await?))
    }
}

fn request(method: Method, url: &str, accept: HeaderValue, caller: &Caller) -> request::Builder {
    let request = Request::builder().method(method).uri(url);
    let request = request.header(header::USER_AGENT, AGENT).header(header::ACCEPT, accept);
    match &caller.credential {
        Some(credential) => request.header(header::AUTHORIZATION, credential),
        None => request,
    }
}

fn disk(source: io::Error) -> UpstreamError {
    crate::store::StoreError::File { path: "the upload".into(), source }.into()
}

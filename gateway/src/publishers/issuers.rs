//! The issuers of identity tokens: where their keys are, and how long they are remembered.
//!
//! Source: OpenID Connect Discovery 1.0, 4. Only issuers of publishers are asked, so that no token makes this gateway ask another
//! server. A key that is not known is looked for once a minute at most, whoever names it, and an issuer that has failed is left alone for
//! a while: nobody needs its key to name it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use asymmetric_token::strict_json;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use serde_json::Value;
use tokio::time::{Instant, timeout};
use url::{Host, Url};

use super::jwks::{Jwks, Key, UnusableKey};
use crate::http_client::{AuthoritiesError, Client, NoAnswer};

/// How long keys are good before they are asked for again. A key that an issuer has withdrawn counts so long.
const FRESH: Duration = Duration::from_secs(3600);
/// The time between two searches for a key that is not known.
const AGAIN: Duration = Duration::from_secs(60);
/// How long an issuer may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// The longest answer, in bytes.
const MOST_ANSWER: usize = 256 << 10;

/// Those that were asked.
#[derive(Debug)]
pub(crate) struct Issuers {
    /// Made when it is needed: a system may have no certificate authorities, and no publishers.
    client: OnceLock<Client>,
    deadline: Duration,
    known: Mutex<HashMap<String, Arc<Issuer>>>,
}

/// One of them.
#[derive(Debug, Default)]
struct Issuer {
    known: Mutex<Known>,
    /// Held by the one that asks.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    keys: Option<(Arc<Jwks>, Instant)>,
    /// When a key was looked for last that is not there.
    searched: Option<Instant>,
    /// The last failure.
    failure: Option<(Arc<NoKeys>, Instant)>,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// The issuer does not answer, or not as it has to.
    #[error("cannot get the keys of the issuer {issuer}: {why}")]
    NoKeys {
        /// The issuer.
        issuer: String,
        /// What is wrong.
        why: Arc<NoKeys>,
    },
    /// It has no such key.
    #[error(
        "the issuer {issuer} has no key `{id}`; if the key is less than a minute old, try again in a minute"
    )]
    UnknownKey {
        /// The issuer.
        issuer: String,
        /// The `kid`.
        id: String,
    },
    /// It has the key, which verifies nothing.
    #[error("the key `{id}` of the issuer {issuer} cannot be used: {why}")]
    Unusable {
        /// The issuer.
        issuer: String,
        /// The `kid`.
        id: String,
        /// What is wrong.
        why: UnusableKey,
    },
}

/// Why the keys of an issuer cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum NoKeys {
    /// This system has no certificate authorities.
    #[error(transparent)]
    Authorities(AuthoritiesError),
    /// It cannot be reached, or its answer is broken.
    #[error("{0}")]
    NoAnswer(String),
    /// It takes too long.
    #[error("it did not answer in time")]
    Late,
    /// It has nothing there.
    #[error("{url} answers {status}")]
    Status {
        /// What was asked for.
        url: String,
        /// The answer.
        status: StatusCode,
    },
    /// The answer is not what it has to be.
    #[error("{url} is not as it must be: {why}")]
    Nonsense {
        /// What was asked for.
        url: String,
        /// What is wrong.
        why: String,
    },
}

impl Issuers {
    /// Each of them may take so long, and ten seconds at most. If it fails, it is not asked again for as long.
    pub(crate) fn new(patience: Duration) -> Self {
        Self { client: OnceLock::new(), deadline: patience.min(DEADLINE), known: Mutex::default() }
    }

    /// A key of an issuer that a publisher has.
    ///
    /// # Errors
    /// [`IssuerError`].
    pub(crate) async fn key(&self, url: &str, id: &str) -> Result<Key, IssuerError> {
        let issuer = lock(&self.known).entry(url.to_owned()).or_default().clone();
        let jwks = self.keys(&issuer, url, id).await;
        let jwks = jwks.map_err(|why| IssuerError::NoKeys { issuer: url.to_owned(), why })?;
        let named = || (url.to_owned(), id.to_owned());
        match jwks.find(id) {
            Some(Ok(key)) => Ok(key.clone()),
            Some(Err(why)) => {
                let (issuer, id) = named();
                Err(IssuerError::Unusable { issuer, id, why: *why })
            }
            None => {
                let (issuer, id) = named();
                Err(IssuerError::UnknownKey { issuer, id })
            }
        }
    }

    /// Whether an issuer shows keys.
    ///
    /// # Errors
    /// [`NoKeys`].
    pub(crate) async fn answers(&self, url: &str) -> Result<(), NoKeys> {
        timeout(self.deadline, self.ask(url)).await.unwrap_or(Err(NoKeys::Late)).map(drop)
    }

    /// The keys of an issuer, with this one if it has it. Of those who come while it is asked, each waits for that answer.
    async fn keys(&self, issuer: &Issuer, url: &str, id: &str) -> Result<Arc<Jwks>, Arc<NoKeys>> {
        if let Some(answer) = lock(&issuer.known).answer(id, self.deadline) {
            return answer;
        }
        let _asking = issuer.asking.lock().await;
        {
            let mut known = lock(&issuer.known);
            if let Some(answer) = known.answer(id, self.deadline) {
                return answer;
            }
            known.searched = known.keys.is_some().then(Instant::now);
        }
        let asked = timeout(self.deadline, self.ask(url)).await.unwrap_or(Err(NoKeys::Late)).map(Arc::new);
        let (mut known, now) = (lock(&issuer.known), Instant::now());
        asked.inspect(|jwks| known.keys = Some((jwks.clone(), now))).map_err(|why| {
            tracing::warn!(issuer = url, cause = %why, "an issuer of identity tokens cannot be asked");
            let why = Arc::new(why);
            known.failure = Some((why.clone(), now));
            why
        })
    }

    async fn ask(&self, issuer: &str) -> Result<Jwks, NoKeys> {
        let discovery = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let nonsense = |url: &str, why: &str| NoKeys::Nonsense { url: url.to_owned(), why: why.to_owned() };
        let text = self.get(&discovery).await?;
        let found = strict_json::parse(&text).map_err(|error| nonsense(&discovery, &error.to_string()))?;
        if found.get("issuer").and_then(Value::as_str) != Some(issuer) {
            return Err(nonsense(&discovery, "it names another issuer"));
        }
        let jwks = found.get("jwks_uri").and_then(Value::as_str).and_then(|url| Url::parse(url).ok());
        let is_there = |jwks: &Url| Url::parse(issuer).is_ok_and(|issuer| issuer.origin() == jwks.origin());
        let jwks = jwks
            .filter(is_there)
            .ok_or_else(|| nonsense(&discovery, "`jwks_uri` is not on the issuer's host"))?;
        let text = self.get(jwks.as_str()).await?;
        Jwks::parse(&text).map_err(|why| nonsense(jwks.as_str(), &why))
    }

    async fn get(&self, url: &str) -> Result<String, NoKeys> {
        let broken = |error: NoAnswer| NoKeys::NoAnswer(error.to_string());
        let request = Request::get(url).body(Body::empty());
        let request = request.map_err(|error| NoKeys::NoAnswer(error.to_string()))?;
        let answer = self.client()?.send(request).await.map_err(broken)?;
        if answer.status() != StatusCode::OK {
            return Err(NoKeys::Status { url: url.to_owned(), status: answer.status() });
        }
        let body = Limited::new(answer.into_body(), MOST_ANSWER).collect().await;
        let nonsense = |why: String| NoKeys::Nonsense { url: url.to_owned(), why };
        let body = body.map_err(|error| nonsense(error.to_string()))?.to_bytes();
        String::from_utf8(body.to_vec()).map_err(|error| nonsense(error.to_string()))
    }

    fn client(&self) -> Result<&Client, NoKeys> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        // It gives up later than the deadline of both answers, which is then what is said.
        let client = Client::new(self.deadline * 2, None).map_err(NoKeys::Authorities)?;
        Ok(self.client.get_or_init(|| client))
    }
}

impl Known {
    /// What is known of this key, if nothing has to be asked for it, nor may be because the issuer has just failed.
    fn answer(&self, id: &str, pause: Duration) -> Option<Result<Arc<Jwks>, Arc<NoKeys>>> {
        match (&self.keys, &self.failure) {
            (Some((jwks, at)), _)
                if at.elapsed() < FRESH && (jwks.find(id).is_some() || !self.may_search()) =>
            {
                Some(Ok(jwks.clone()))
            }
            (_, Some((why, at))) if at.elapsed() < pause => Some(Err(why.clone())),
            _ => None,
        }
    }

    fn may_search(&self) -> bool {
        self.searched.is_none_or(|at| at.elapsed() >= AGAIN)
    }
}

fn lock<T>(known: &Mutex<T>) -> MutexGuard<'_, T> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a text can be an issuer: `https://` and a host, perhaps with a port and a path. Plain HTTP is for this computer alone.
#[must_use]
pub fn is_issuer(text: &str) -> bool {
    let Ok(url) = Url::parse(text) else { return false };
    let is_here = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => return false,
    };
    let is_plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    is_plain && url.password().is_none() && (url.scheme() == "https" || url.scheme() == "http" && is_here)
}

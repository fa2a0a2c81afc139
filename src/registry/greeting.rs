//! What a registry tells somebody without a token: whether reads need one, and the challenge for the next mutation.
//!
//! Cargo passes a 401's headers on for cold reads only, so the challenge of a mutation is fetched here: by an anonymous
//! GET of the index's `config.json`, or where that is open, of one harmless read of the API (RFC 3231, "the
//! authentication process": a challenge comes in a 401 or 403). The answer's time shows whether our clock is right.

use asymmetric_token::{CargoChallenge, ChallengeError};
use jiff::Timestamp;
use serde::Deserialize;
use ureq::http::header::WWW_AUTHENTICATE;

use super::clock::ClockError;
use super::http::{self, Answer, Client};
use super::network::Network;
use crate::cargo_config;
use crate::enrollment::{ChallengeSource, DEFAULT_REUSE, Reads};
use crate::index_url::is_unprotected;
use crate::settings::Settings;
use crate::text::escape;

/// How much of a registry's window a token loses on its way, and the most that is useful, in seconds.
const MARGIN: u32 = 60;
const LONGEST_REUSE: u32 = 600;

/// How a registry greets somebody without a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// Whether index and downloads need a token.
    pub reads: Reads,
    /// Where the challenge came from.
    pub source: ChallengeSource,
    /// For the next mutation token.
    pub challenge: Option<String>,
    /// How old a token may be, in seconds, if the registry says so.
    pub window: Option<u32>,
    /// How far our clock is wrong, if it is.
    pub clock: Option<ClockError>,
}

/// The crate that [`greet`] asks about when any will do. It need not exist there: a request without a token is refused
/// before anybody looks.
pub const ANY_CRATE: &str = "yk-cargo";

/// Asks a registry with a sparse index. `about` is the crate whose owners are asked for where the index is open: that
/// read is the one that every API has and that changes nothing.
///
/// # Errors
/// [`Error`], within [`Wait::network`](crate::settings::Wait::network).
pub fn greet(index: &str, about: &str, settings: &Settings) -> Result<Greeting, Error> {
    let registry = Asked::new(index, settings)?;
    let answer = registry.get_config(None)?;
    let clock = ClockError::of(&answer, Timestamp::now());
    match answer.status {
        200 => {}
        401 | 403 => {
            let challenge = challenge_in(&answer, &registry.config_url)?;
            let source = source(challenge.as_ref(), ChallengeSource::Index);
            return Ok(Greeting { reads: Reads::AuthRequired, source, challenge, window: None, clock });
        }
        status => return Err(registry.status(status)),
    }
    let config = registry.config(&answer)?;
    let challenge = match &config.api {
        Some(api) => registry.ask_api(api, about)?,
        None => None,
    };
    let source = source(challenge.as_ref(), ChallengeSource::Api);
    Ok(Greeting { reads: Reads::Open, source, challenge, window: config.window(), clock })
}

/// How old a token may be at a registry whose `config.json` needs this read token, in seconds.
///
/// # Errors
/// [`Error`]; [`Error::Status`] with 401 where the registry does not know the key yet.
pub fn window(index: &str, token: &str, settings: &Settings) -> Result<Option<u32>, Error> {
    let config = Asked::new(index, settings)?.index_config(Some(token))?;
    Ok(config.and_then(|config| config.window()))
}

/// Where a registry's API is, without a final slash: by its `config.json`, or where that needs a token, by what it says
/// to somebody without one.
///
/// # Errors
/// [`Error`]; [`Error::NoApi`] if it does not say.
pub fn api(index: &str, settings: &Settings) -> Result<String, Error> {
    let registry = Asked::new(index, settings)?;
    let answer = registry.get_config(None)?;
    let api = match answer.status {
        200 => registry.config(&answer)?.api,
        401 | 403 => cargos_challenge(&answer, &registry.config_url)?.and_then(|cargo| cargo.enroll),
        status => return Err(registry.status(status)),
    };
    let api = api.ok_or_else(|| Error::NoApi { url: registry.config_url.clone() })?;
    let api = api.trim_end_matches('/').to_owned();
    registry.is_as_protected(&api)?;
    Ok(api)
}

/// For how many seconds a read token is used again, by the registry's window.
#[must_use]
pub fn reuse(window: Option<u32>) -> u32 {
    window.map_or(DEFAULT_REUSE, |window| window.saturating_sub(MARGIN).min(LONGEST_REUSE))
}

fn source(challenge: Option<&String>, asked: ChallengeSource) -> ChallengeSource {
    if challenge.is_some() { asked } else { ChallengeSource::None }
}

/// A registry that is being asked.
pub(crate) struct Asked {
    pub(crate) client: Client,
    config_url: String,
}

impl Asked {
    pub(crate) fn new(index: &str, settings: &Settings) -> Result<Self, Error> {
        let Some(base) = index.strip_prefix("sparse+") else { return Err(Error::GitIndex) };
        let network = Network::load(base, &settings.cargo_home)?;
        let client = Client::new(base, &network, settings.wait.network())?;
        Ok(Self { client, config_url: format!("{base}config.json") })
    }

    /// The same, with all its time again.
    pub(crate) fn again(&self) -> Self {
        Self { client: self.client.again(), config_url: self.config_url.clone() }
    }

    /// Its configuration, as seen with this token or without one; `None` if only somebody with a token may see it.
    pub(crate) fn index_config(&self, token: Option<&str>) -> Result<Option<IndexConfig>, Error> {
        let answer = self.get_config(token)?;
        match answer.status {
            200 => self.config(&answer).map(Some),
            401 | 403 if token.is_none() => Ok(None),
            status => Err(self.status(status)),
        }
    }

    pub(super) fn get_config(&self, token: Option<&str>) -> Result<Answer, Error> {
        Ok(self.client.get(&self.config_url, token)?)
    }

    /// Where its configuration is.
    pub(super) fn config_url(&self) -> &str {
        &self.config_url
    }

    /// An answer to the question for its configuration that is none.
    pub(super) fn status(&self, status: u16) -> Error {
        Error::Status { url: self.config_url.clone(), status }
    }

    /// Refuses a URL that is less protected than the index: nothing is sent there, and nothing from there is believed.
    pub(crate) fn is_as_protected(&self, url: &str) -> Result<(), Error> {
        let as_private = self.config_url.starts_with("http://")
            && url.starts_with("http://")
            && (is_unprotected(&self.config_url) || !is_unprotected(url));
        if url.starts_with("https://") || as_private {
            return Ok(());
        }
        Err(Error::LessProtected { url: url.to_owned() })
    }

    /// Whether a URL is at the index's own scheme, host and port: a token goes nowhere else, wherever the index sends us.
    pub(crate) fn is_own(&self, url: &str) -> bool {
        http::origin(&self.config_url).eq_ignore_ascii_case(http::origin(url))
    }

    pub(super) fn config(&self, answer: &Answer) -> Result<IndexConfig, Error> {
        serde_json::from_slice(&answer.body)
            .map_err(|source| Error::Config { url: self.config_url.clone(), source })
    }

    fn ask_api(&self, api: &str, about: &str) -> Result<Option<String>, Error> {
        let url = owners_url(api, about);
        let answer = self.owners(&url, None)?;
        match answer.status {
            401 | 403 => challenge_in(&answer, &url),
            _ => Ok(None),
        }
    }

    /// Asks for a crate's owners.
    pub(super) fn owners(&self, url: &str, token: Option<&str>) -> Result<Answer, Error> {
        self.is_as_protected(url)?;
        let answer = self.client.get(url, token)?;
        match answer.status {
            status @ 500.. => Err(Error::Status { url: url.to_owned(), status }),
            _ => Ok(answer),
        }
    }
}

/// Where the owners of a crate are listed.
pub(super) fn owners_url(api: &str, of: &str) -> String {
    format!("{}/api/v1/crates/{of}/owners", api.trim_end_matches('/'))
}

/// The index's `config.json` (Cargo book, "Index Configuration"), as far as it matters here.
#[derive(Deserialize)]
pub(crate) struct IndexConfig {
    pub(crate) api: Option<String>,
    pub(crate) dl: String,
    #[serde(rename = "auth-required", default)]
    pub(crate) auth_required: bool,
    asymmetric: Option<Asymmetric>,
}

#[derive(Deserialize)]
struct Asymmetric {
    window: Option<u32>,
}

impl IndexConfig {
    fn window(&self) -> Option<u32> {
        self.asymmetric.as_ref()?.window
    }
}

fn challenge_in(answer: &Answer, url: &str) -> Result<Option<String>, Error> {
    Ok(cargos_challenge(answer, url)?.and_then(|cargo| cargo.challenge))
}

fn cargos_challenge(answer: &Answer, url: &str) -> Result<Option<CargoChallenge>, Error> {
    let unusable = |source| Error::Header { url: url.to_owned(), source };
    CargoChallenge::find(answer.headers.get_all(WWW_AUTHENTICATE)).map_err(unusable)
}

/// A challenge among the headers that cargo passes on with a cold read, each `Name: value`.
#[must_use]
pub fn in_cargos_headers(headers: &[impl AsRef<str>]) -> bool {
    let fields = headers.iter().filter_map(|header| header.as_ref().split_once(':'));
    let values = fields.filter(|(name, _)| name.eq_ignore_ascii_case("www-authenticate"));
    let found = CargoChallenge::find(values.map(|(_, value)| value));
    found.is_ok_and(|found| found.is_some_and(|cargo| cargo.challenge.is_some()))
}

/// Why a registry did not say what it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "a field's name says what it is")]
pub enum Error {
    /// The API's or the downloads' URL would be less protected than the index.
    #[error("the index refers to `{}`, which is less protected than the index itself", escape(url))]
    LessProtected { url: String },
    /// Cargo's configuration.
    #[error(transparent)]
    CargoConfig(#[from] cargo_config::Error),
    /// Not the `config.json` of an index.
    #[error("{} is not an index configuration", escape(url))]
    Config { url: String, source: serde_json::Error },
    /// A git index does not answer questions.
    #[error("its index is a git repository, which cannot be asked; use its sparse index if it has one")]
    GitIndex,
    /// What it says in `WWW-Authenticate`.
    #[error("the WWW-Authenticate of {} cannot be used", escape(url))]
    Header { url: String, source: ChallengeError },
    /// No answer.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// It does not say where its API is.
    #[error("{} does not say where the registry's API is", escape(url))]
    NoApi { url: String },
    /// Somewhere else wants the token.
    #[error("{} wants a token, but the registry's token is sent only to the host of its index", escape(url))]
    TokenElsewhere { url: String },
    /// An answer that says nothing.
    #[error("{} answers with status {status}", escape(url))]
    Status { url: String, status: u16 },
}

impl Error {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::CargoConfig(error) => error.hint(),
            Self::TokenElsewhere { .. } => {
                Some("download it with a token that you are willing to show to that host, and pass it with --crate or --proof".into())
            }
            Self::Http(error) => error.hint().map(str::to_owned),
            Self::Status { status: 404 | 410, .. } | Self::Config { .. } => {
                Some("no registry is there: check its URL in cargo's configuration".into())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reuse_stays_below_the_window() {
        assert_eq!(reuse(Some(900)), 600);
        assert_eq!(reuse(Some(300)), 240);
        assert_eq!(reuse(Some(30)), 0);
        assert_eq!(reuse(None), 45);
    }

    #[test]
    fn knows_a_challenge_in_what_cargo_passes_on() {
        assert!(in_cargos_headers(&["Content-Length: 0", "www-authenticate: Cargo challenge=\"x\""]));
        for none in ["", "X: Cargo challenge=x", "WWW-Authenticate: Cargo login_url=x", "WWW-Authenticate"] {
            assert!(!in_cargos_headers(&[none]), "{none}");
        }
    }
}

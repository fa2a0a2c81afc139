//! HTTP requests to a registry, almost all of them anonymous reads. This is the only user of `ureq`.
//!
//! Nothing is set up before the first question, and every answer is bounded: in time, in length, and to the origin that
//! was asked. There are no cookies. Proxy and certificates come from where cargo takes them (Cargo reference,
//! "Configuration", `[http]`): the environment, then `$CARGO_HOME/config.toml`; never from a project.

use std::sync::Arc;
use std::time::{Duration, Instant};

use asymmetric_token::strict_json;
use ureq::Agent;
use ureq::config::Config;
use ureq::http::header::{AUTHORIZATION, AsHeaderName, CONTENT_TYPE, HeaderMap, LOCATION};
use ureq::tls::TlsConfig;

use super::network::{self, Network};
use crate::text::{escape, quoted};

/// A `config.json` has a few hundred bytes.
const LONGEST_BODY: u64 = 64 << 10;
const LONGEST_HEADER: usize = 32 << 10;
/// How many questions to one registry are under way at a time, at most; as many connections stay open for the next ones.
pub(crate) const AT_ONCE: usize = 8;
/// Within one origin, as a missing slash or a moved folder need.
const REDIRECTS: usize = 3;

/// Asks questions until its time is up.
#[derive(Clone)]
pub struct Client {
    agent: Agent,
    limit: Duration,
    until: Instant,
}

/// What a registry answered.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The answer's header fields.
    pub headers: HeaderMap,
    /// At most 64 KiB unless more was asked for; to a GET empty unless the status is 200 or 4xx.
    pub body: Vec<u8>,
}

impl Answer {
    /// The first field of this name, if it is text.
    pub fn header(&self, name: impl AsHeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Why something was refused, in the registry's own words, as cargo would show them. They are not safe to show.
    pub fn detail(&self) -> Option<String> {
        let value = strict_json::parse(std::str::from_utf8(&self.body).ok()?).ok()?;
        value["errors"][0]["detail"].as_str().map(str::to_owned)
    }

    /// The same, safe to show; where the registry says nothing, its status.
    pub(super) fn why_refused(&self) -> String {
        let words = |detail: String| format!("it says\n{}", quoted(&detail));
        self.detail().map_or_else(|| format!("status {}", self.status), words)
    }
}

impl Client {
    /// Can ask the origin of `url`, for `limit` altogether unless a timeout is set for cargo.
    ///
    /// # Errors
    /// [`Error::Network`].
    pub fn new(url: &str, network: &Network, limit: Duration) -> Result<Self, Error> {
        let config = config(network, Some(url))?;
        let limit = network.timeout.unwrap_or(limit);
        Ok(Self { agent: config.into(), limit, until: Instant::now() + limit })
    }

    /// The same, with all its time again. Connections that are open are used by both.
    #[must_use]
    pub fn again(&self) -> Self {
        Self { until: Instant::now() + self.limit, ..self.clone() }
    }

    /// Asks for a URL, as somebody without a token or as the bearer of this one.
    ///
    /// # Errors
    /// [`Error`]; a status other than 200 is an answer.
    pub fn get(&self, url: &str, token: Option<&str>) -> Result<Answer, Error> {
        self.get_up_to(LONGEST_BODY, url, token)
    }

    /// The same, for a body of up to `longest` bytes.
    ///
    /// # Errors
    /// [`Error`]; a status other than 200 is an answer.
    pub fn get_up_to(&self, longest: u64, url: &str, token: Option<&str>) -> Result<Answer, Error> {
        let mut target = url.to_owned();
        for _ in 0..=REDIRECTS {
            let answer = self.ask(longest, &target, token)?;
            if !matches!(answer.status, 301 | 302 | 303 | 307 | 308) {
                return Ok(answer);
            }
            let to = answer.header(LOCATION).unwrap_or_default().to_owned();
            target = within_origin(&target, &to).ok_or(Error::Elsewhere { url: url.into(), to })?;
        }
        Err(Error::Elsewhere { url: url.into(), to: target })
    }

    fn ask(&self, longest: u64, url: &str, token: Option<&str>) -> Result<Answer, Error> {
        let failed = |error| self.failure(url, error);
        let mut request = self.agent.get(url);
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, token);
        }
        let response = request.config().timeout_global(Some(self.left())).build().call().map_err(failed)?;
        let (parts, mut body) = response.into_parts();
        let status = parts.status.as_u16();
        let body = match status {
            200 => body.with_config().limit(longest).read_to_vec().map_err(failed)?,
            // What is in it are words, without which the answer is one too.
            400..=499 => body.with_config().limit(LONGEST_BODY).read_to_vec().unwrap_or_default(),
            _ => Vec::new(),
        };
        Ok(Answer { status, headers: parts.headers, body })
    }

    /// Sends JSON, once and to this URL only: a redirect is an answer. The body of the answer is there whatever the
    /// status.
    ///
    /// # Errors
    /// [`Error`].
    pub fn post(&self, url: &str, json: &str) -> Result<Answer, Error> {
        let failed = |error| self.failure(url, error);
        let request = self.agent.post(url).header(CONTENT_TYPE, "application/json");
        let response =
            request.config().timeout_global(Some(self.left())).build().send(json).map_err(failed)?;
        let (parts, mut body) = response.into_parts();
        let body = body.with_config().limit(LONGEST_BODY).read_to_vec().map_err(failed)?;
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
    }

    /// Sends bytes as the bearer of a token, once and to this URL only: a redirect is an answer. The body of the answer is there
    /// whatever the status.
    ///
    /// # Errors
    /// [`Error`].
    pub fn put(&self, url: &str, token: &str, content: &[u8]) -> Result<Answer, Error> {
        let failed = |error| self.failure(url, error);
        let request = self.agent.put(url).header(AUTHORIZATION, token);
        let response =
            request.config().timeout_global(Some(self.left())).build().send(content).map_err(failed)?;
        let (parts, mut body) = response.into_parts();
        let body = body.with_config().limit(LONGEST_BODY).read_to_vec().map_err(failed)?;
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
    }

    fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
    }

    fn failure(&self, url: &str, error: ureq::Error) -> Error {
        failure(url, self.limit, error)
    }
}

/// How all questions are asked: one after the other, redirects and statuses being answers. `url` says which proxy of the person's is
/// taken; without one, none is.
pub(super) fn config(network: &Network, url: Option<&str>) -> Result<Config, Error> {
    let tls = TlsConfig::builder()
        .root_certs(network.root_certificates()?)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .build();
    Ok(Agent::config_builder()
        .proxy(url.map(|url| network.proxy(url)).transpose()?.flatten())
        .tls_config(tls)
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .max_idle_connections_per_host(AT_ONCE)
        .max_response_header_size(LONGEST_HEADER)
        .user_agent(concat!("yk-cargo/", env!("CARGO_PKG_VERSION")))
        .accept("application/json")
        .build())
}

/// Why a question was not answered.
pub(super) fn failure(url: &str, limit: Duration, error: ureq::Error) -> Error {
    let url = url.to_owned();
    match error {
        ureq::Error::Timeout(_) => Error::TooSlow { url, limit },
        ureq::Error::BodyExceedsLimit(_) | ureq::Error::LargeResponseHeader(..) => Error::TooLong { url },
        ureq::Error::Protocol(_) | ureq::Error::Http(_) => Error::NotHttp { url, source: Box::new(error) },
        ureq::Error::Io(error) if is_no_tls(&error) => Error::NotTls { url },
        ureq::Error::Io(error) if is_of_unknown_issuer(&error) => Error::UnknownIssuer { url },
        // The system's own words, without a word of the library before them.
        ureq::Error::Io(error) => Error::Unreachable { url, source: Box::new(error) },
        error => Error::Unreachable { url, source: Box::new(error) },
    }
}

/// Whether the certificate is of an authority that is not known here, as a company's own is on a new computer. One that is known may
/// have its name, and another key.
fn is_of_unknown_issuer(error: &std::io::Error) -> bool {
    use rustls::CertificateError::{
        BadSignature, UnknownIssuer, UnsupportedSignatureAlgorithmForPublicKeyContext,
    };
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    let Some(rustls::Error::InvalidCertificate(problem)) = cause else { return false };
    matches!(problem, UnknownIssuer | BadSignature | UnsupportedSignatureAlgorithmForPublicKeyContext { .. })
}

/// Whether the answer to a TLS greeting is no TLS record at all (RFC 8446, 5.1), as from a server of plain HTTP.
fn is_no_tls(error: &std::io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    cause == Some(&rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType))
}

/// Where a redirect leads, if that is still the same scheme, host and port.
fn within_origin(url: &str, location: &str) -> Option<String> {
    let origin = origin(url);
    if location.starts_with('/') && !location.starts_with("//") {
        return Some(format!("{origin}{location}"));
    }
    (location.strip_prefix(origin)?.starts_with('/')).then(|| location.to_owned())
}

/// Scheme, host and port, as they are written.
pub(super) fn origin(url: &str) -> &str {
    let authority = url.find("://").map_or(0, |at| at + 3);
    let end = url[authority..].find(['/', '?', '#']).map_or(url.len(), |at| authority + at);
    &url[..end]
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "a field's name says what it is")]
pub enum Error {
    /// The network, as it is set for cargo.
    #[error(transparent)]
    Network(#[from] network::Error),
    /// A redirect to another origin, or one too many.
    #[error("{} redirects to {}, which is not followed", escape(url), escape(to))]
    Elsewhere { url: String, to: String },
    /// Something answers, but not in HTTP.
    #[error("{} does not answer in HTTP", escape(url))]
    NotHttp { url: String, source: Box<ureq::Error> },
    /// Something answers, but not in TLS.
    #[error(
        "{} does not answer with TLS; check the registry's URL: is it http://, or another port?",
        escape(url)
    )]
    NotTls { url: String },
    /// Its certificate is of an authority that nobody has told this computer of.
    #[error(
        "the certificate of {} was issued by an authority that this computer does not trust; if that is your company's, set its certificate as \
         `cainfo` in [http] of $CARGO_HOME/config.toml, which cargo reads too",
        escape(url)
    )]
    UnknownIssuer { url: String },
    /// The answer has no end.
    #[error("{} sent a longer answer than a registry should", escape(url))]
    TooLong { url: String },
    /// No answer in time.
    #[error("{} gave no answer within {} seconds", escape(url), limit.as_secs())]
    TooSlow { url: String, limit: Duration },
    /// No connection.
    #[error("cannot reach {}", escape(url))]
    Unreachable { url: String, source: Box<dyn std::error::Error + Send + Sync> },
}

impl Error {
    /// What to do next, where waiting does not help.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Network(_) => Some(
                "fix it in `[http]` of $CARGO_HOME/config.toml, or in CARGO_HTTP_PROXY, HTTPS_PROXY, CARGO_HTTP_CAINFO",
            ),
            Self::UnknownIssuer { .. } => Some(
                "if that is your company's authority, add to `[http]` of $CARGO_HOME/config.toml: cainfo = \"/PATH/OF/ITS/CERTIFICATE.pem\"",
            ),
            Self::NotTls { .. } | Self::NotHttp { .. } | Self::Elsewhere { .. } => {
                Some("check the registry's URL in cargo's configuration")
            }
            Self::TooLong { .. } | Self::TooSlow { .. } | Self::Unreachable { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    /// The first byte of SOCKS 5 (RFC 1928, 3): nothing goes past such a proxy.
    #[test]
    fn a_socks_proxy_is_asked() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let home = tempfile::tempdir().unwrap();
        let address = listener.local_addr().unwrap();
        let proxy = format!("[http]\nproxy = \"socks5h://{address}\"\n");
        std::fs::write(home.path().join("config.toml"), proxy).unwrap();
        let seen = std::thread::spawn(move || {
            let mut first = [0];
            listener.accept().unwrap().0.read_exact(&mut first).unwrap();
            first
        });
        let url = "http://registry.invalid/index/config.json";
        let network = Network::load(url, home.path()).unwrap();
        let client = Client::new(url, &network, Duration::from_secs(60)).unwrap();
        client.get(url, None).unwrap_err();
        // For the one that waits, if nobody has come.
        let _ = std::net::TcpStream::connect(address).and_then(|mut stream| stream.write_all(&[0]));
        assert_eq!(seen.join().unwrap(), [5]);
    }

    #[test]
    fn a_redirect_stays_where_it_was_asked() {
        let url = "https://r.example:8443/index/config.json";
        let to = |location| within_origin(url, location);
        assert_eq!(to("/other").unwrap(), "https://r.example:8443/other");
        assert_eq!(to("https://r.example:8443/x").unwrap(), "https://r.example:8443/x");
        for elsewhere in [
            "",
            "x",
            "//evil.example/",
            "https://evil.example/",
            "http://r.example:8443/x",
            "https://r.example:84430/x",
            "https://r.example:8443@evil.example/",
            "https://r.example:8443.evil.example/",
        ] {
            assert_eq!(to(elsewhere), None, "{elsewhere}");
        }
    }
}

//! Anonymous questions to a registry over HTTP, and one thing that is sent to it: the only user of `ureq`.
//!
//! Nothing is set up before the first question, and every answer is bounded: in time, in length, and to the origin that
//! was asked. There are no cookies. Proxy and certificates come from where cargo takes them (Cargo reference,
//! "Configuration", `[http]`): the environment, then `$CARGO_HOME/config.toml`; never from a project.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::http::header::{AUTHORIZATION, AsHeaderName, CONTENT_TYPE, HeaderMap, LOCATION};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Proxy};

use crate::cargo_config;
use crate::ui::escape;

/// A `config.json` has a few hundred bytes.
const LONGEST_BODY: u64 = 64 << 10;
const LONGEST_HEADER: usize = 32 << 10;
/// Within one origin, as a missing slash or a moved folder need.
const REDIRECTS: usize = 3;

/// Asks questions until its time is up.
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
    /// At most 64 KiB unless more was asked for; to a GET empty unless the status is 200.
    pub body: Vec<u8>,
}

impl Answer {
    /// The first field of this name, if it is text.
    pub fn header(&self, name: impl AsHeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// How to reach the network, as set for cargo.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    proxy: Option<String>,
    no_proxy: Option<String>,
    certificates: Option<PathBuf>,
    timeout: Option<Duration>,
}

impl Network {
    /// What the environment and cargo's home say about a question to `url`.
    ///
    /// # Errors
    /// Cargo's configuration cannot be read.
    pub fn load(
        url: &str,
        cargo_home: &Path,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, cargo_config::Error> {
        let set = |name: &str| environment(name).filter(|value| !value.is_empty());
        let either = |upper: &str| set(&upper.to_ascii_lowercase()).or_else(|| set(upper));
        let file = cargo_config::http(cargo_home)?;
        let field = |name: &str| file.as_ref().and_then(|http| http.get(name));
        let text = |name: &str| field(name).and_then(|item| item.as_str()).map(str::to_owned);
        let for_https = url.starts_with("https:").then(|| either("HTTPS_PROXY")).flatten();
        let seconds = match set("CARGO_HTTP_TIMEOUT") {
            Some(seconds) => seconds.parse().ok(),
            None => field("timeout").and_then(|item| item.as_integer()).and_then(|s| u32::try_from(s).ok()),
        };
        // Cargo takes a path in its configuration from the folder above the one with the file.
        let from_file = text("cainfo").map(|path| cargo_home.parent().unwrap_or(cargo_home).join(path));
        Ok(Self {
            proxy: set("CARGO_HTTP_PROXY").or_else(|| text("proxy")).or(for_https),
            no_proxy: either("NO_PROXY"),
            certificates: set("CARGO_HTTP_CAINFO").map(PathBuf::from).or(from_file),
            timeout: seconds.filter(|seconds| *seconds > 0).map(|s: u32| Duration::from_secs(s.into())),
        })
    }

    fn proxy(&self, url: &str) -> Result<Option<Proxy>, Error> {
        let Some(proxy) = &self.proxy else { return Ok(None) };
        if self.no_proxy.as_ref().is_some_and(|list| is_excepted(host(url), list)) {
            return Ok(None);
        }
        Proxy::new(proxy).map(Some).map_err(|source| Error::Proxy { source: Box::new(source) })
    }

    fn root_certificates(&self) -> Result<RootCerts, Error> {
        let Some(path) = &self.certificates else { return Ok(RootCerts::PlatformVerifier) };
        let unusable = |source| Error::Certificates { path: path.clone(), source };
        let pem = std::fs::read(path).map_err(unusable)?;
        let items: Result<Vec<_>, _> = parse_pem(&pem).collect();
        let items = items.map_err(|error| unusable(std::io::Error::other(error)))?;
        let certificates: Vec<_> = items
            .into_iter()
            .filter_map(|item| match item {
                PemItem::Certificate(certificate) => Some(certificate),
                _ => None,
            })
            .collect();
        if certificates.is_empty() {
            return Err(unusable(std::io::Error::other("there is no certificate in it")));
        }
        Ok(RootCerts::Specific(Arc::new(certificates)))
    }
}

impl Client {
    /// Can ask the origin of `url`, for `limit` altogether unless a timeout is set for cargo.
    ///
    /// # Errors
    /// [`Error::Proxy`], [`Error::Certificates`].
    pub fn new(url: &str, network: &Network, limit: Duration) -> Result<Self, Error> {
        let tls = TlsConfig::builder()
            .root_certs(network.root_certificates()?)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .build();
        let config = Agent::config_builder()
            .proxy(network.proxy(url)?)
            .tls_config(tls)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_response_header_size(LONGEST_HEADER)
            .user_agent(concat!("yk-cargo/", env!("CARGO_PKG_VERSION")))
            .accept("application/json")
            .build();
        let limit = network.timeout.unwrap_or(limit);
        Ok(Self { agent: config.into(), limit, until: Instant::now() + limit })
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

    fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
    }

    fn failure(&self, url: &str, error: ureq::Error) -> Error {
        let url = url.to_owned();
        match error {
            ureq::Error::Timeout(_) => Error::TooSlow { url, limit: self.limit },
            ureq::Error::BodyExceedsLimit(_) | ureq::Error::LargeResponseHeader(..) => Error::TooLong { url },
            ureq::Error::Protocol(_) | ureq::Error::Http(_) => {
                Error::NotHttp { url, source: Box::new(error) }
            }
            ureq::Error::Io(error) if is_no_tls(&error) => Error::NotTls { url },
            error => Error::Unreachable { url, source: Box::new(error) },
        }
    }
}

/// Whether the answer to a TLS greeting is no TLS record at all (RFC 8446, 5.1): so answers who speaks plain HTTP.
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

fn origin(url: &str) -> &str {
    let authority = url.find("://").map_or(0, |at| at + 3);
    let end = url[authority..].find(['/', '?', '#']).map_or(url.len(), |at| authority + at);
    &url[..end]
}

/// The host alone: without user, port, and the brackets of an IPv6 address.
pub(crate) fn host(url: &str) -> &str {
    let origin = origin(url);
    let authority = origin.split_once("://").map_or(origin, |(_, authority)| authority);
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    match authority.strip_prefix('[') {
        Some(address) => address.split(']').next().unwrap_or(address),
        None => authority.split(':').next().unwrap_or(authority),
    }
}

/// `NO_PROXY` as curl reads it: names, which stand for the names below them too; `*` is every host.
fn is_excepted(host: &str, list: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    list.split([',', ' ']).filter(|entry| !entry.is_empty()).any(|entry| {
        let entry = entry.trim_start_matches('.').trim_end_matches('.').to_ascii_lowercase();
        entry == "*" || host == entry || host.strip_suffix(&entry).is_some_and(|rest| rest.ends_with('.'))
    })
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The certificates set for cargo.
    #[error("cannot use the certificates in {}", path.display())]
    Certificates {
        /// Their file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A redirect to another origin, or one too many.
    #[error("{} sends us on to {}, which is not followed", escape(url), escape(to))]
    Elsewhere {
        /// What was asked.
        url: String,
        /// Where it sends us.
        to: String,
    },
    /// Something answers, but not in HTTP.
    #[error("what {} answers is not HTTP", escape(url))]
    NotHttp {
        /// What was asked.
        url: String,
        /// What is wrong with it.
        source: Box<ureq::Error>,
    },
    /// Something answers, but not in TLS.
    #[error(
        "what {} answers is not TLS; look at the registry's URL: is it http://, or another port?",
        escape(url)
    )]
    NotTls {
        /// What was asked.
        url: String,
    },
    /// The proxy set for cargo.
    #[error("cannot use the proxy that is set for cargo")]
    Proxy {
        /// Why not.
        source: Box<ureq::Error>,
    },
    /// The answer has no end.
    #[error("{} answers more than a registry has to say", escape(url))]
    TooLong {
        /// What was asked.
        url: String,
    },
    /// No answer in time.
    #[error("{} gave no answer within {} seconds", escape(url), limit.as_secs())]
    TooSlow {
        /// What was asked.
        url: String,
        /// For how long.
        limit: Duration,
    },
    /// No connection.
    #[error("cannot reach {}", escape(url))]
    Unreachable {
        /// What was asked.
        url: String,
        /// Why not.
        source: Box<ureq::Error>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(url: &str, variables: &[(&str, &str)], config: &str) -> Network {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("config.toml"), config).unwrap();
        let get = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        Network::load(url, home.path(), get).unwrap()
    }

    const HTTPS: &str = "https://r.example/";

    #[test]
    fn the_proxy_is_cargos() {
        let proxy = |url, variables: &[_], config| network(url, variables, config).proxy;
        assert_eq!(proxy(HTTPS, &[], ""), None);
        let http = "[http]\nproxy = \"file:1\"\n";
        assert_eq!(proxy(HTTPS, &[("HTTPS_PROXY", "upper:1")], "").unwrap(), "upper:1");
        let both = [("HTTPS_PROXY", "upper:1"), ("https_proxy", "lower:1")];
        assert_eq!(proxy(HTTPS, &both, "").unwrap(), "lower:1");
        assert_eq!(proxy("http://localhost/", &both, ""), None);
        assert_eq!(proxy(HTTPS, &both, http).unwrap(), "file:1");
        assert_eq!(proxy("http://r.example/", &[("CARGO_HTTP_PROXY", "cargo:1")], http).unwrap(), "cargo:1");
        assert_eq!(proxy(HTTPS, &[("HTTPS_PROXY", "")], ""), None);
    }

    #[test]
    fn no_proxy_is_curls() {
        let list = "localhost, .corp.example,10.0.0.1 other.example.";
        for host in ["localhost", "corp.example", "a.Corp.Example", "10.0.0.1", "other.example"] {
            assert!(is_excepted(host, list), "{host}");
        }
        for host in ["xcorp.example", "example", "10.0.0.11", ""] {
            assert!(!is_excepted(host, list), "{host}");
        }
        assert!(is_excepted("anything", "*"));
        assert!(!is_excepted("anything", ""));
        let set = network(HTTPS, &[("HTTPS_PROXY", "http://p:1"), ("NO_PROXY", "example")], "");
        assert!(set.proxy(HTTPS).unwrap().is_none());
        assert!(set.proxy("https://other.test/").unwrap().is_some());
    }

    #[test]
    fn time_and_certificates_are_cargos() {
        let set = network(HTTPS, &[], "[http]\ntimeout = 7\ncainfo = \"ca.pem\"\n");
        assert_eq!(set.timeout, Some(Duration::from_secs(7)));
        assert!(set.certificates.unwrap().ends_with("ca.pem"));
        let variables = [("CARGO_HTTP_TIMEOUT", "3"), ("CARGO_HTTP_CAINFO", "/etc/ca.pem")];
        let set = network(HTTPS, &variables, "[http]\ntimeout = 7\ncainfo = \"ca.pem\"\n");
        assert_eq!(set.timeout, Some(Duration::from_secs(3)));
        assert_eq!(set.certificates, Some(PathBuf::from("/etc/ca.pem")));
        for nothing in ["0", "-1", "soon"] {
            assert_eq!(network(HTTPS, &[("CARGO_HTTP_TIMEOUT", nothing)], "").timeout, None);
        }
        let empty = Network { certificates: Some("/dev/null".into()), ..Network::default() };
        assert!(matches!(empty.root_certificates(), Err(Error::Certificates { .. })));
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

    #[test]
    fn finds_the_host() {
        for (url, name) in [
            ("https://r.example/x", "r.example"),
            ("http://127.0.0.1:80", "127.0.0.1"),
            ("http://[::1]:80/", "::1"),
            ("https://user@r.example:1/x@y", "r.example"),
        ] {
            assert_eq!(host(url), name);
        }
    }
}

//! How to reach the network, as it is set for cargo.
//!
//! Proxy and certificates come from where cargo takes them (Cargo reference, "Configuration", `[http]`): the environment,
//! then `$CARGO_HOME/config.toml`; never from a project.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ureq::Proxy;
use ureq::tls::{PemItem, RootCerts, parse_pem};

use crate::cargo_config::{self, CargoConfig, Configuration};
use crate::folder;
use crate::index_url::host;

/// More than the certificates of all the world have, in bytes.
const LONGEST_CERTIFICATES: u64 = 64 << 20;

/// How to reach the network, as set for cargo.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    proxy: Option<String>,
    no_proxy: Option<String>,
    certificates: Option<PathBuf>,
    pub(super) timeout: Option<Duration>,
}

impl Network {
    /// What the environment and cargo's home say about a question to `url`.
    ///
    /// # Errors
    /// Cargo's configuration cannot be read.
    pub fn load(url: &str, cargo_home: &Path) -> Result<Self, cargo_config::Error> {
        let here = std::env::current_dir().unwrap_or_else(|_| cargo_home.to_owned());
        Ok(Self::of(url, &CargoConfig::new(cargo_home.to_owned(), here.clone()).read_own()?, &here))
    }

    /// The same, by this configuration. Relative paths in the environment start `here`.
    fn of(url: &str, configuration: &Configuration, here: &Path) -> Self {
        let variable =
            |name: &str| configuration.environment().get(name).filter(|value| !value.is_empty()).cloned();
        let either = |upper: &str| variable(&upper.to_ascii_lowercase()).or_else(|| variable(upper));
        let setting = |key| configuration.own_setting(&["http", key]);
        // As curl, with which cargo asks: it takes no HTTP_PROXY, which a CGI program has from whoever asks it.
        let of_scheme =
            || if url.starts_with("https:") { either("HTTPS_PROXY") } else { variable("http_proxy") };
        let of_environment = || of_scheme().or_else(|| either("ALL_PROXY"));
        let proxy = setting("proxy").map(|proxy| proxy.value).or_else(of_environment);
        let seconds = setting("timeout").and_then(|seconds| seconds.value.parse().ok());
        Self {
            // An empty one is none, for curl too.
            proxy: proxy.filter(|proxy| !proxy.is_empty()),
            no_proxy: either("NO_PROXY"),
            certificates: setting("cainfo").map(|path| path.origin.root(here).join(path.value)),
            timeout: seconds.filter(|seconds| *seconds > 0).map(|s: u32| Duration::from_secs(s.into())),
        }
    }

    /// By a proxy, for a test.
    #[cfg(test)]
    pub(super) fn through(proxy: &str) -> Self {
        Self { proxy: Some(proxy.to_owned()), ..Self::default() }
    }

    pub(super) fn proxy(&self, url: &str) -> Result<Option<Proxy>, Error> {
        let Some(proxy) = &self.proxy else { return Ok(None) };
        if self.no_proxy.as_ref().is_some_and(|list| is_excepted(&host(url), list)) {
            return Ok(None);
        }
        Proxy::new(proxy).map(Some).map_err(|source| Error::Proxy { source: Box::new(source) })
    }

    pub(super) fn root_certificates(&self) -> Result<RootCerts, Error> {
        let Some(path) = &self.certificates else { return Ok(RootCerts::PlatformVerifier) };
        let unusable = |source| Error::Certificates { path: path.clone(), source };
        let pem = folder::read_foreign_up_to(path, LONGEST_CERTIFICATES).map_err(unusable)?;
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

/// `NO_PROXY` as curl reads it: names, which stand for the names below them too; `*` is every host.
fn is_excepted(host: &str, list: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    list.split([',', ' ']).filter(|entry| !entry.is_empty()).any(|entry| {
        let entry = entry.trim_start_matches('.').trim_end_matches('.').to_ascii_lowercase();
        entry == "*" || host == entry || host.strip_suffix(&entry).is_some_and(|rest| rest.ends_with('.'))
    })
}

/// Why the network cannot be used as it is set for cargo.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "a field's name says what it is")]
pub enum Error {
    /// The certificates set for cargo.
    #[error("cannot use the certificates in {}", crate::text::escape_path(path))]
    Certificates { path: PathBuf, source: std::io::Error },
    /// The proxy set for cargo.
    #[error("cannot use the proxy that is set for cargo")]
    Proxy { source: Box<ureq::Error> },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(url: &str, variables: &[(&str, &str)], config: &str) -> Network {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("config.toml"), config).unwrap();
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let config = CargoConfig::new(home.path().to_owned(), home.path().to_owned());
        let configuration = config.with_environment(variables.collect()).read_own().unwrap();
        Network::of(url, &configuration, Path::new("/here"))
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
        let plain = [("HTTP_PROXY", "upper:1"), ("http_proxy", "lower:1"), ("ALL_PROXY", "all:1")];
        assert_eq!(proxy("http://localhost/", &plain, "").unwrap(), "lower:1");
        assert_eq!(proxy("http://localhost/", &plain[..1], ""), None);
        assert_eq!(proxy(HTTPS, &plain, "").unwrap(), "all:1");
        assert_eq!(proxy(HTTPS, &[both[0], plain[2]], "").unwrap(), "upper:1");
        assert_eq!(proxy(HTTPS, &both, http).unwrap(), "file:1");
        assert_eq!(proxy("http://r.example/", &[("CARGO_HTTP_PROXY", "cargo:1")], http).unwrap(), "cargo:1");
        assert_eq!(proxy(HTTPS, &[("CARGO_HTTP_PROXY", "")], http), None);
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
        let set = network(HTTPS, &[("CARGO_HTTP_CAINFO", "ca.pem")], "");
        assert_eq!(set.certificates, Some(PathBuf::from("/here/ca.pem")));
        for nothing in ["0", "-1", "soon"] {
            assert_eq!(network(HTTPS, &[("CARGO_HTTP_TIMEOUT", nothing)], "").timeout, None);
        }
        let empty = Network { certificates: Some("/dev/null".into()), ..Network::default() };
        assert!(matches!(empty.root_certificates(), Err(Error::Certificates { .. })));
    }
}

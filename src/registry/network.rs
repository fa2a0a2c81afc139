//! How to reach the network, as it is set for cargo.
//!
//! Proxy and certificates come from where cargo takes them (Cargo reference, "Configuration", `[http]`): the environment,
//! then `$CARGO_HOME/config.toml`; never from a project.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ureq::Proxy;
use ureq::tls::{PemItem, RootCerts, parse_pem};

use crate::cargo_config;
use crate::index_url::host;

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
pub enum Error {
    /// The certificates set for cargo.
    #[error("cannot use the certificates in {}", path.display())]
    Certificates {
        /// Their file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The proxy set for cargo.
    #[error("cannot use the proxy that is set for cargo")]
    Proxy {
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
}

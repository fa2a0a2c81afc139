//! A small file at a URL that is not a registry's: one that the person names, or one that a stranger does.
//!
//! Whoever names a URL has this computer ask a host, so a stranger's is asked in public only: each hop over HTTPS, at addresses that
//! everybody can reach, and the connection is made to the very addresses that were looked at. A name that leads to this computer or to the
//! network around it is refused, whatever else it leads to. Behind a proxy that cannot be seen, so there a stranger's is not asked.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use ureq::Agent;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::http::header::LOCATION;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use url::Url;

use super::http::{self, Error};
use super::network::Network;
use crate::index_url::is_unprotected;
use crate::text::escape;

/// The longest file that is read, in bytes.
const LONGEST: u64 = 64 << 10;
/// How long all hops may take together.
const LIMIT: Duration = Duration::from_secs(10);
/// A release's file is two hops away.
const REDIRECTS: usize = 5;

/// Whose URL it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamedBy {
    /// The person: any host, by any proxy of theirs.
    Person,
    /// Anybody else.
    Stranger,
}

/// Asks for such files.
pub struct SmallFiles {
    network: Network,
    /// For strangers' URLs.
    direct: Agent,
    named_by: NamedBy,
}

impl SmallFiles {
    /// With the person's network.
    ///
    /// # Errors
    /// [`Error::Network`].
    pub fn new(network: Network, named_by: NamedBy) -> Result<Self, Error> {
        Self::with(network, named_by, is_public)
    }

    fn with(network: Network, named_by: NamedBy, may_be: fn(IpAddr) -> bool) -> Result<Self, Error> {
        let public = Public { resolver: DefaultResolver::default(), may_be };
        let direct = Agent::with_parts(http::config(&network, None)?, DefaultConnector::default(), public);
        Ok(Self { network, direct, named_by })
    }

    /// The file; `None` if the host says that there is none.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn get(&self, url: &str) -> Result<Option<Vec<u8>>, Refused> {
        let until = Instant::now() + LIMIT;
        let mut url = Url::parse(url).map_err(|_| Refused::NoUrl { url: url.to_owned() })?;
        for _ in 0..=REDIRECTS {
            self.may_ask(&url)?;
            let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            let failed = |error| http::failure(url.as_str(), LIMIT, error);
            let request = self.agent(&url)?.get(url.as_str()).config().timeout_global(Some(left)).build();
            let (parts, mut body) = request
                .call()
                .map_err(|error| not_public(&url, &error).unwrap_or_else(|| failed(error).into()))?
                .into_parts();
            match parts.status.as_u16() {
                200 => return Ok(Some(body.with_config().limit(LONGEST).read_to_vec().map_err(failed)?)),
                404 | 410 => return Ok(None),
                301 | 302 | 303 | 307 | 308 => {
                    let to = parts.headers.get(LOCATION).and_then(|to| to.to_str().ok()).unwrap_or_default();
                    url = url.join(to).map_err(|_| Refused::NoUrl { url: to.to_owned() })?;
                }
                status => return Err(Refused::Status { url: url.into(), status }),
            }
        }
        Err(Refused::Redirects { url: url.into() })
    }

    fn agent(&self, url: &Url) -> Result<Agent, Error> {
        match self.named_by {
            NamedBy::Stranger => Ok(self.direct.clone()),
            NamedBy::Person => Ok(http::config(&self.network, Some(url.as_str()))?.into()),
        }
    }

    fn may_ask(&self, url: &Url) -> Result<(), Refused> {
        let is_allowed = match self.named_by {
            NamedBy::Person => matches!(url.scheme(), "http" | "https") && !is_unprotected(url.as_str()),
            NamedBy::Stranger => url.scheme() == "https",
        };
        if !is_allowed || !url.username().is_empty() || url.password().is_some() {
            return Err(Refused::NotHttps { url: url.to_string() });
        }
        if self.named_by == NamedBy::Stranger && !matches!(self.network.proxy(url.as_str()), Ok(None)) {
            return Err(Refused::Proxy { url: url.to_string() });
        }
        Ok(())
    }
}

/// Resolves names, and refuses those that lead anywhere but into public.
#[derive(Debug)]
struct Public {
    resolver: DefaultResolver,
    may_be: fn(IpAddr) -> bool,
}

/// What a refused name's error says.
const NOT_PUBLIC: &str = "an address that is not public";

impl Resolver for Public {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let addresses = self.resolver.resolve(uri, config, timeout)?;
        if addresses.iter().all(|address| (self.may_be)(address.ip())) {
            return Ok(addresses);
        }
        Err(ureq::Error::Io(std::io::Error::other(NOT_PUBLIC)))
    }
}

fn not_public(url: &Url, error: &ureq::Error) -> Option<Refused> {
    match error {
        ureq::Error::Io(error) if error.get_ref().is_some_and(|inner| inner.to_string() == NOT_PUBLIC) => {
            Some(Refused::NotPublic { url: url.to_string() })
        }
        _ => None,
    }
}

/// Whether anybody can reach an address (IANA, "Special-Purpose Address Registry" of either version).
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(a == 0
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || (a, b & 0xC0) == (100, 64)
        || (a, b, c) == (192, 0, 0)
        || (a, b, c) == (192, 88, 99)
        || (a, b & 0xFE) == (198, 18)
        || a >= 224)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    if let [0x64, 0xFF9B, 0, 0, 0, 0, high, low] = segments {
        // NAT64 (RFC 6052, 2.1): an IPv4 address in another form.
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        return is_public_v4(Ipv4Addr::new(a, b, c, d));
    }
    // Of all that is unicast, without Teredo, ORCHID, documentation and 6to4, which wrap others.
    segments[0] & 0xE000 == 0x2000
        && !(segments[0] == 0x2001 && segments[1] < 0x200)
        && !(segments[0] == 0x2001 && segments[1] == 0xDB8)
        && segments[0] != 0x2002
        && segments[0] != 0x3FFF
}

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "a field's name says what it is")]
pub enum Refused {
    /// No URL.
    #[error("`{}` is no URL", escape(url))]
    NoUrl { url: String },
    /// Not over HTTPS, or with a name or a password in it.
    #[error("{} is not asked, because it is not simply https", escape(url))]
    NotHttps { url: String },
    /// It leads to this computer, or to the network around it.
    #[error("{} is not asked, because it leads to an address that is not public", escape(url))]
    NotPublic { url: String },
    /// Where it leads, only the proxy would know.
    #[error("{} is not asked, because a proxy is set, and where that would go cannot be seen", escape(url))]
    Proxy { url: String },
    /// One hop too many.
    #[error("too many redirects, the last one to {}", escape(url))]
    Redirects { url: String },
    /// An answer that says nothing.
    #[error("{} answers with status {status}", escape(url))]
    Status { url: String, status: u16 },
    /// No answer.
    #[error(transparent)]
    Http(#[from] Error),
}

impl Refused {
    /// Whether nothing answered at all.
    #[must_use]
    pub fn is_silence(&self) -> bool {
        matches!(self, Self::Http(Error::TooSlow { .. } | Error::Unreachable { .. }))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;

    fn stranger(may_be: fn(IpAddr) -> bool) -> SmallFiles {
        SmallFiles::with(Network::default(), NamedBy::Stranger, may_be).unwrap()
    }

    #[test]
    fn only_what_everybody_can_reach_is_public() {
        for public in ["1.1.1.1", "140.82.121.3", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for other in [
            "127.0.0.1",
            "127.255.255.254",
            "0.0.0.0",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "192.0.0.1",
            "192.0.2.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "fec0::1",
            "ff02::1",
            "64:ff9b::127.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "100::1",
            "3fff::1",
        ] {
            assert!(!is_public(other.parse().unwrap()), "{other}");
        }
    }

    #[test]
    fn a_strangers_url_is_https_or_is_not_asked() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let files = stranger(is_public);
        for url in [
            format!("http://127.0.0.1:{port}/"),
            "file:///etc/passwd".to_owned(),
            "ftp://example.org/".to_owned(),
            "https://me:secret@example.org/".to_owned(),
            "https://me@example.org/".to_owned(),
        ] {
            assert!(matches!(files.get(&url), Err(Refused::NotHttps { .. })), "{url}");
        }
        // Literal addresses, in forms that URLs have for them, and names.
        for host in ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]", "0"] {
            let refused = files.get(&format!("https://{host}:{port}/")).unwrap_err();
            assert!(matches!(refused, Refused::NotPublic { .. }), "{host}: {refused}");
        }
        assert!(listener.accept().is_err(), "nobody came");
        assert!(matches!(files.get("x"), Err(Refused::NoUrl { .. })));
        let proxied = Network::through("http://127.0.0.1:9");
        let files = SmallFiles::new(proxied, NamedBy::Stranger).unwrap();
        assert!(matches!(files.get("https://example.org/"), Err(Refused::Proxy { .. })));
    }

    /// The person's own may be anywhere. Whoever answers there names the next hop.
    #[test]
    fn hops_and_lengths_are_bounded() {
        let answers = |head: String, body: usize| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    let mut stream = stream.unwrap();
                    let _ = stream.read(&mut [0; 1024]);
                    let _ = stream.write_all(head.as_bytes());
                    let piece = vec![b' '; 1 << 16];
                    for _ in 0..body.div_ceil(piece.len()) {
                        if stream.write_all(&piece).is_err() {
                            break;
                        }
                    }
                }
            });
            format!("http://{address}/")
        };
        let files = SmallFiles::new(Network::default(), NamedBy::Person).unwrap();
        let gibibyte = answers("HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n".into(), 1 << 30);
        assert!(matches!(files.get(&gibibyte), Err(Refused::Http(Error::TooLong { .. }))));
        let to = |to: &str| {
            answers(
                format!(
                    "HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                ),
                0,
            )
        };
        assert!(matches!(files.get(&to("/")), Err(Refused::Redirects { .. })));
        for elsewhere in ["file:///etc/passwd", "http://example.org/", "ext::sh"] {
            let refused = files.get(&to(elsewhere)).unwrap_err();
            assert!(matches!(refused, Refused::NotHttps { .. }), "{refused}");
        }
        let missing =
            answers("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".into(), 0);
        assert_eq!(files.get(&missing).unwrap(), None);
        assert_eq!(files.get(&to(&missing)).unwrap(), None);
        let broken = answers("HTTP/1.1 500 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".into(), 0);
        assert!(matches!(files.get(&broken), Err(Refused::Status { status: 500, .. })));
    }
}

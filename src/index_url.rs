//! A registry's index URL, in the one form in which cargo passes it to a credential provider.
//!
//! Cargo parses what its configuration says with the `url` crate and passes on what comes out (cargo 1.95,
//! `GlobalContext::get_registry_index`): the scheme in lower case, dot segments resolved, for a git index also the host in
//! lower case and no default port. A token is bound to that text, so it is parsed here once, by the same rules.

use std::fmt;
use std::net::IpAddr;
use std::ops::Deref;
use std::path::Path;
use std::str::FromStr;

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use url::{Host, Url};

/// crates.io's index URL, as cargo gives it to credential providers, sparse index or not.
pub const CRATES_IO: &str = "https://github.com/rust-lang/crates.io-index";

/// Where cargo reads that index (cargo 1.95, `CRATES_IO_HTTP_INDEX`).
pub const CRATES_IO_SPARSE: &str = "sparse+https://index.crates.io/";

const SPARSE: &str = "sparse+";

/// An index URL as cargo passes it on: printable ASCII, without a password.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct IndexUrl(String);

impl IndexUrl {
    /// crates.io's.
    #[must_use]
    pub fn crates_io() -> Self {
        Self(CRATES_IO.to_owned())
    }

    /// What cargo makes of a URL in its configuration. A relative `file:` URL starts at `root`, which is the folder above
    /// the one with the configuration file (cargo 1.95, `Definition::root`).
    ///
    /// # Errors
    /// [`Error`]: cargo would refuse it too.
    pub fn configured(text: &str, root: &Path) -> Result<Self, Error> {
        // A path without a scheme is no URL, whatever it starts at.
        Url::parse(text).map_err(Error::Syntax)?;
        let base = Url::from_directory_path(root).ok();
        Url::options().base_url(base.as_ref()).parse(text).map_err(Error::Syntax).and_then(Self::checked)
    }

    fn checked(url: Url) -> Result<Self, Error> {
        if url.password().is_some() {
            return Err(Error::Password);
        }
        if let Some(web) = url.as_str().strip_prefix(SPARSE) {
            if !web.starts_with("http://") && !web.starts_with("https://") {
                return Err(Error::SparseScheme);
            }
            if !web.ends_with('/') {
                return Err(Error::NoFinalSlash);
            }
            let web = Url::parse(web).map_err(Error::Syntax)?;
            if web.password().is_some() {
                return Err(Error::Password);
            }
        }
        if url.as_str().bytes().any(|byte| !byte.is_ascii_graphic()) {
            return Err(Error::Characters);
        }
        Ok(Self(url.into()))
    }

    /// Whether cargo takes a URL in its configuration, as it is written there, for this registry: it compares both without
    /// a final slash or `.git`, and at GitHub without regard to case (cargo 1.95, `CanonicalUrl`).
    ///
    /// # Errors
    /// [`Error::Syntax`], [`Error::NoBase`]: cargo gives up.
    pub fn is_what_cargo_finds(&self, written: &str) -> Result<bool, Error> {
        let canonical = |text: &str| Url::parse(text).map_err(Error::Syntax).and_then(canonical);
        Ok(canonical(written)? == canonical(&self.0)?)
    }

    /// The text that tokens are bound to.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where the files of a sparse index are, with a final slash; `None` for a git index.
    #[must_use]
    pub fn sparse_base(&self) -> Option<&str> {
        self.0.strip_prefix(SPARSE)
    }

    /// The URL without the prefix of a sparse index, for a person to read.
    #[must_use]
    pub fn web(&self) -> &str {
        self.sparse_base().unwrap_or(&self.0)
    }

    /// Whether it is crates.io, which cargo configures in a place of its own: by the URL that cargo passes on, or any
    /// below crates.io's name.
    #[must_use]
    pub fn is_crates_io(&self) -> bool {
        let host = self.host();
        self.0 == CRATES_IO || host == "crates.io" || host.ends_with(".crates.io")
    }

    /// The host in lower case, without the brackets of an IPv6 address; empty if there is none.
    #[must_use]
    pub fn host(&self) -> String {
        host(self.web())
    }

    /// Whether a token for this registry would cross a network in clear.
    #[must_use]
    pub fn is_unprotected(&self) -> bool {
        is_unprotected(self.web())
    }
}

fn canonical(mut url: Url) -> Result<Url, Error> {
    if url.cannot_be_a_base() {
        return Err(Error::NoBase);
    }
    if url.path().ends_with('/') {
        url.path_segments_mut().map_err(|()| Error::NoBase)?.pop_if_empty();
    }
    if url.host_str() == Some("github.com") {
        let rest = &url[url::Position::AfterScheme..];
        url = Url::parse(&format!("https{rest}")).map_err(Error::Syntax)?;
        url.set_path(&url.path().to_lowercase());
    }
    if let Some(chopped) = url.path().strip_suffix(".git").map(str::to_owned) {
        url.set_path(&chopped);
    }
    Ok(url)
}

/// Whether what is sent to this URL crosses a network in clear: plain HTTP, and not to this computer.
#[must_use]
pub fn is_unprotected(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else { return true };
    let on_this_computer = match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).to_canonical().is_loopback(),
        None => false,
    };
    url.scheme() == "http" && !on_this_computer
}

/// The host of a URL in lower case, without the brackets of an IPv6 address; empty if there is none.
#[must_use]
pub fn host(url: &str) -> String {
    let url = Url::parse(url).ok();
    let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
    host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase()
}

/// What the folder of a registry is called, for whoever looks: its host, and the first 16 hexadecimal digits of its index URL's SHA-256.
#[must_use]
pub fn folder_name(index: &str) -> String {
    let plain = |character: &char| character.is_ascii_alphanumeric() || matches!(character, '.' | '-');
    let host = host(index.strip_prefix(SPARSE).unwrap_or(index));
    let host: String = host.chars().filter(plain).take(40).collect();
    let hash: String = Sha256::digest(index).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{hash}", host.trim_start_matches('.'))
}

/// A text that may be a URL, without the password in it, for a message.
#[must_use]
pub fn without_password(text: &str) -> String {
    let scheme = text.find("://").map_or(0, |at| at + 3);
    let end = text[scheme..].find(['/', '?', '#']).map_or(text.len(), |at| scheme + at);
    match text[scheme..end].rfind('@') {
        Some(at) => format!("{}…@{}", &text[..scheme], &text[scheme + at + 1..]),
        None => text.to_owned(),
    }
}

impl FromStr for IndexUrl {
    type Err = Error;

    /// What cargo makes of an absolute URL.
    fn from_str(text: &str) -> Result<Self, Error> {
        Url::parse(text).map_err(Error::Syntax).and_then(Self::checked)
    }
}

impl Deref for IndexUrl {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IndexUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PartialEq<str> for IndexUrl {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl PartialEq<&str> for IndexUrl {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

/// Why cargo would not take an index URL. None of these carries the URL, which may have a password in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It has characters that no token may carry.
    #[error("it has blanks, control or non-ASCII characters")]
    Characters,
    /// A URL such as `mailto:me`.
    #[error("it names no place")]
    NoBase,
    /// A sparse index without a final slash.
    #[error("the URL of a sparse index ends in a slash")]
    NoFinalSlash,
    /// A password, which would end up in every token and in the key's certificate.
    #[error("a registry's URL may not contain a password")]
    Password,
    /// A sparse index at something other than HTTP.
    #[error("a sparse index is at an http or https URL")]
    SparseScheme,
    /// Not a URL.
    #[error("{0}")]
    Syntax(url::ParseError),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> String {
        text.parse::<IndexUrl>().unwrap().to_string()
    }

    #[test]
    fn comes_out_as_cargo_passes_it_on() {
        for (typed, passed) in [
            ("sparse+https://r.example/index/", "sparse+https://r.example/index/"),
            ("SPARSE+HTTPS://r.example/", "sparse+https://r.example/"),
            ("sparse+https://r.example/a/./b/../c/", "sparse+https://r.example/a/c/"),
            ("sparse+http://evil.example\\@127.0.0.1/", "sparse+http://evil.example%5C@127.0.0.1/"),
            ("HTTPS://R.Example:443", "https://r.example/"),
            ("http://LocalHost:80/x/../git", "http://localhost/git"),
            ("file://localhost/srv/x/../index", "file:///srv/index"),
            ("ssh://git@r.example/index", "ssh://git@r.example/index"),
        ] {
            assert_eq!(parsed(typed), passed);
            assert_eq!(parsed(passed), passed);
        }
    }

    #[test]
    fn a_relative_file_starts_above_the_configuration() {
        let configured = |text| IndexUrl::configured(text, Path::new("/home/me")).unwrap().to_string();
        assert_eq!(configured("file:git/idx"), "file:///home/me/git/idx");
        assert_eq!(configured("sparse+http://localhost/"), "sparse+http://localhost/");
    }

    #[test]
    fn what_cargo_refuses_is_refused() {
        let error = |text: &str| text.parse::<IndexUrl>().unwrap_err();
        assert_eq!(error("https://bob:hunter2@r.example/"), Error::Password);
        assert_eq!(error("sparse+https://bob:hunter2@r.example/"), Error::Password);
        assert_eq!(without_password("https://bob:hunter2@r.example/@"), "https://…@r.example/@");
        assert_eq!(error("sparse+https://r.example/index"), Error::NoFinalSlash);
        assert_eq!(error("sparse+ftp://r.example/"), Error::SparseScheme);
        assert_eq!(error("my-reg"), Error::Syntax(url::ParseError::RelativeUrlWithoutBase));
    }

    #[test]
    fn knows_what_crosses_a_network_in_clear() {
        let unprotected = |text: &str| text.parse::<IndexUrl>().unwrap().is_unprotected();
        for bad in [
            "HTTP://r.example/",
            "sparse+HTTP://r.example/",
            "http://127.0.0.1.evil.example/",
            "sparse+http://127.0.0.1@r.example/",
        ] {
            assert!(unprotected(bad), "{bad}");
        }
        for good in [
            "sparse+https://r.example/",
            "sparse+http://LocalHost:8000/",
            "sparse+http://127.0.0.1/",
            "sparse+http://[::1]:80/",
            "sparse+http://a.localhost/",
            "file:///srv/index",
            "ssh://git@r.example/index",
            "sparse+http://x@127.0.0.1/",
        ] {
            assert!(!unprotected(good), "{good}");
        }
    }

    #[test]
    fn crates_io_is_known_by_any_of_its_urls() {
        for url in [CRATES_IO, "sparse+https://index.crates.io/", "https://Crates.IO/"] {
            assert!(url.parse::<IndexUrl>().unwrap().is_crates_io(), "{url}");
        }
        assert!(!"sparse+https://crates.io.example/".parse::<IndexUrl>().unwrap().is_crates_io());
    }
}

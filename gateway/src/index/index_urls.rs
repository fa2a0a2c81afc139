//! Index URLs of one registry, by which a dependency may name it.

use url::Url;

/// The registry behind, by all its index URLs. Other spellings of them lead cargo there, too.
#[derive(Clone, Debug, Default)]
pub(crate) struct IndexUrls(Vec<Place>);

/// What of an index URL says where it leads.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    scheme: String,
    host: Option<String>,
    port: Option<u16>,
    path: Vec<Vec<u8>>,
}

impl IndexUrls {
    pub(crate) fn new(urls: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        Self(urls.into_iter().filter_map(|url| place(url.as_ref())).collect())
    }

    /// Whether a dependency's index URL leads there. One that is not a URL leads cargo nowhere.
    pub(crate) fn have(&self, url: &str) -> bool {
        !self.0.is_empty() && place(url).is_some_and(|place| self.0.contains(&place))
    }
}

/// Without what a server need not look at: a name, a query, a fragment, and slashes that change nothing.
fn place(url: &str) -> Option<Place> {
    const SPARSE: &str = "sparse+";
    let url = url.trim();
    let is_sparse = url.get(..SPARSE.len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case(SPARSE));
    let url = Url::parse(if is_sparse { &url[SPARSE.len()..] } else { url }).ok()?;
    let mut path = Vec::new();
    for part in decoded(url.path()).split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(path.pop()),
            part => path.push(part.to_owned()),
        }
    }
    Some(Place {
        scheme: url.scheme().to_owned(),
        host: url.host_str().map(|host| host.trim_end_matches('.').to_owned()),
        port: url.port_or_known_default(),
        path,
    })
}

/// RFC 3986, 2.1. A `%` without two digits is left as it is.
fn decoded(path: &str) -> Vec<u8> {
    let mut pieces = path.split('%');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        match piece.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                bytes.extend_from_slice(&piece.as_bytes()[2..]);
            }
            None => {
                bytes.push(b'%');
                bytes.extend_from_slice(piece.as_bytes());
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::IndexUrls;

    #[test]
    fn every_spelling_leads_there() {
        let urls = IndexUrls::new(["sparse+http://127.0.0.1:80/index/", "https://git.example/a/index"]);
        for same in [
            "sparse+http://127.0.0.1/index/",
            "sparse+HTTP://127.0.0.1/index/",
            "SPARSE+http://127.0.0.1/index",
            " sparse+http://127.0.0.1//index// ",
            "sparse+http://127.0.0.1/./x/../index/",
            "sparse+http://127.0.0.1/x%2f%2E./index/",
            "sparse+http://127.0.0.1/%69ndex/",
            "sparse+http://127.0.0.1/index/?x#y",
            "sparse+http://u:p@0x7f.1/index/",
            "sparse+http:///127.1\\index/",
            "https://GIT.example.:443/a/index",
        ] {
            assert!(urls.have(same), "{same}");
        }
        for other in [
            "sparse+http://127.0.0.1/Index/",
            "sparse+http://127.0.0.1/index/other/",
            "sparse+http://127.0.0.1/%index/",
            "sparse+http://127.0.0.1:81/index/",
            "sparse+http://127.0.0.2/index/",
            "sparse+https://127.0.0.1/index/",
            "é",
            "",
        ] {
            assert!(!urls.have(other), "{other}");
        }
        assert!(!IndexUrls::default().have("sparse+http://127.0.0.1/index/"));
    }
}

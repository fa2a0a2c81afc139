//! Where a registry has its API and its downloads.
//!
//! Source: the Cargo book, "Registry Index", "Index Configuration". `dl` is a prefix, or a template with `{crate}`,
//! `{version}`, `{prefix}`, `{lowerprefix}`, `{sha256-checksum}`.

use asymmetric_token::{Checksum, CrateName};
use semver::Version;
use serde_json::Value;
use url::Url;

use super::{RemoteError, folder};
use crate::index;
use crate::upstream::UpstreamError;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Places {
    /// With a final slash.
    pub(super) api: Url,
    pub(super) dl: String,
}

impl Places {
    /// From a `config.json`, except for what was configured here. The API it names must be where its index is: it is sent
    /// credentials, and whoever can change one file of the index must not get them.
    pub(super) fn new(
        config: &[u8],
        index: &Url,
        api: Option<&Url>,
        dl: Option<&str>,
    ) -> Result<Self, RemoteError> {
        let config: Value = serde_json::from_slice(config).unwrap_or_default();
        let named = |name: &str| {
            let text = config.get(name).and_then(Value::as_str);
            text.ok_or_else(|| RemoteError::Nonsense(format!("its config.json has no `{name}`")))
        };
        let api = match api {
            Some(api) => api.clone(),
            None => {
                let api = named("api").and_then(|text| {
                    folder(text).map_err(|_| RemoteError::Nonsense("`api` in its config.json".to_owned()))
                })?;
                if api.origin() != index.origin() {
                    return Err(RemoteError::Nonsense(format!(
                        "its config.json has the API at {}; if that is right, set `api` in the gateway's [upstream]",
                        api.origin().ascii_serialization()
                    )));
                }
                api
            }
        };
        let dl = match dl {
            Some(dl) => dl.to_owned(),
            None => named("dl")?.to_owned(),
        };
        Ok(Self { api, dl })
    }

    /// A path below the API, of parts that were parsed.
    pub(super) fn api(&self, path: &str) -> Url {
        let mut url = self.api.clone();
        url.set_path(&format!("{}{path}", self.api.path()));
        url
    }

    pub(super) fn needs_checksum(&self) -> bool {
        self.dl.contains("{sha256-checksum}")
    }

    /// Where a version's crate file is.
    pub(super) fn download(
        &self,
        name: &CrateName,
        version: &Version,
        checksum: Option<Checksum>,
    ) -> Result<Url, UpstreamError> {
        const MARKERS: [&str; 5] = ["{crate}", "{version}", "{prefix}", "{lowerprefix}", "{sha256-checksum}"];
        let (name, version) = (name.as_str(), version.to_string());
        let url = if MARKERS.iter().any(|marker| self.dl.contains(marker)) {
            self.dl
                .replace("{crate}", name)
                .replace("{version}", &version)
                .replace("{prefix}", &index::prefix(name))
                .replace("{lowerprefix}", &index::prefix(&name.to_ascii_lowercase()))
                .replace("{sha256-checksum}", &checksum.map(|c| c.to_string()).unwrap_or_default())
        } else {
            format!("{}/{name}/{version}/download", self.dl.trim_end_matches('/'))
        };
        let url = Url::parse(&url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        Ok(url.ok_or_else(|| RemoteError::Nonsense("`dl` in its config.json".to_owned()))?)
    }
}

#[cfg(test)]
mod tests {
    use asymmetric_token::Checksum;
    use url::Url;

    use super::Places;

    fn places(config: &str) -> Result<Places, String> {
        let index = Url::parse("http://127.0.0.1:1/api/v1/crates/").unwrap();
        Places::new(config.as_bytes(), &index, None, None).map_err(|error| error.to_string())
    }

    #[test]
    fn downloads_are_below_a_prefix_or_as_a_template_says() {
        for (dl, expected) in [
            ("http://127.0.0.1:1/dl", "http://127.0.0.1:1/dl/Hello/1.0.0+b/download"),
            ("http://127.0.0.1:1/dl/", "http://127.0.0.1:1/dl/Hello/1.0.0+b/download"),
            ("http://h/{prefix}/{crate}-{version}.crate", "http://h/He/ll/Hello-1.0.0+b.crate"),
            ("http://h/{lowerprefix}/{crate}", "http://h/he/ll/Hello"),
            (
                "http://h/{sha256-checksum}",
                "http://h/0101010101010101010101010101010101010101010101010101010101010101",
            ),
        ] {
            let places = places(&format!(r#"{{"api":"http://127.0.0.1:1","dl":"{dl}"}}"#)).unwrap();
            let url = places.download(
                &"Hello".parse().unwrap(),
                &"1.0.0+b".parse().unwrap(),
                Some(Checksum([1; 32])),
            );
            assert_eq!(url.unwrap().as_str(), expected);
        }
    }

    #[test]
    fn an_api_elsewhere_is_not_believed() {
        let refused = places(r#"{"api":"http://127.0.0.1:2","dl":"http://127.0.0.1:2"}"#).unwrap_err();
        assert!(refused.contains("http://127.0.0.1:2"), "{refused}");
        for nonsense in
            ["", "[]", r#"{"dl":"x"}"#, r#"{"api":"x","dl":"x"}"#, r#"{"api":"http://127.0.0.1:1"}"#]
        {
            assert!(places(nonsense).is_err(), "{nonsense}");
        }
    }
}

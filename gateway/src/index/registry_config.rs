//! The `config.json` of an index: where a registry has its API and its downloads.
//!
//! Source: the Cargo book, "Registry Index", "Index Configuration". `dl` is a prefix, or a template with `{crate}`,
//! `{version}`, `{prefix}`, `{lowerprefix}`, `{sha256-checksum}`.

use asymmetric_token::{Checksum, CrateName};
use semver::Version;
use serde_json::Value;
use url::Url;

use super::{Malformed, prefix};

/// The longest `dl`, in bytes.
const LONGEST_DL: usize = 2 << 10;

/// Where a registry has its API and its downloads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RegistryConfig {
    /// With a final slash.
    pub(crate) api: Url,
    /// As the registry writes it.
    pub(crate) dl: String,
}

impl RegistryConfig {
    /// Reads a `config.json`. An API or a download address that was configured here takes precedence. The API that the
    /// file names must have the origin of the index: credentials are sent to it, and whoever can change one file of the
    /// index must not get them.
    pub(crate) fn read(
        json: &[u8],
        index: &Url,
        api: Option<&Url>,
        dl: Option<&str>,
    ) -> Result<Self, Malformed> {
        let config: Value = serde_json::from_slice(json).unwrap_or_default();
        let named = |name: &str| {
            let text = config.get(name).and_then(Value::as_str);
            text.ok_or_else(|| Malformed(format!("its config.json has no `{name}`")))
        };
        let api = match api {
            Some(api) => api.clone(),
            None => {
                let api = folder(named("api")?);
                let api = api.ok_or_else(|| Malformed("`api` in its config.json is not a URL".to_owned()))?;
                if api.origin() != index.origin() {
                    return Err(Malformed(format!(
                        "its config.json has the API at {}; if that is right, set `api` in the gateway's [upstream]",
                        api.origin().ascii_serialization()
                    )));
                }
                api
            }
        };
        let dl = dl.map_or_else(|| named("dl"), Ok)?.to_owned();
        // Each marker in it is replaced by something longer.
        if dl.len() > LONGEST_DL {
            return Err(Malformed("`dl` in its config.json is too long".to_owned()));
        }
        Ok(Self { api, dl })
    }

    /// A path below the API, of parts that were parsed.
    pub(crate) fn api(&self, path: &str) -> Url {
        let mut url = self.api.clone();
        url.set_path(&format!("{}{path}", self.api.path()));
        url
    }

    /// Whether a download needs the checksum of the crate file.
    pub(crate) fn needs_checksum(&self) -> bool {
        self.dl.contains("{sha256-checksum}")
    }

    /// Where a version's crate file is.
    pub(crate) fn download(
        &self,
        name: &CrateName,
        version: &Version,
        checksum: Option<Checksum>,
    ) -> Result<Url, Malformed> {
        const MARKERS: [&str; 5] = ["{crate}", "{version}", "{prefix}", "{lowerprefix}", "{sha256-checksum}"];
        let (name, version) = (name.as_str(), version.to_string());
        let url = if MARKERS.iter().any(|marker| self.dl.contains(marker)) {
            self.dl
                .replace("{crate}", name)
                .replace("{version}", &version)
                .replace("{prefix}", &prefix(name))
                .replace("{lowerprefix}", &prefix(&name.to_ascii_lowercase()))
                .replace("{sha256-checksum}", &checksum.map(|c| c.to_string()).unwrap_or_default())
        } else {
            format!("{}/{name}/{version}/download", self.dl.trim_end_matches('/'))
        };
        let url = Url::parse(&url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        url.ok_or_else(|| Malformed("`dl` in its config.json does not give a URL".to_owned()))
    }
}

/// Reads a URL to which paths can be appended: it gets a final slash, and has no query, fragment or user.
pub(crate) fn folder(text: &str) -> Option<Url> {
    let mut url = Url::parse(text).ok()?;
    let plain = matches!(url.scheme(), "http" | "https")
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    plain.then_some(url)
}

#[cfg(test)]
mod tests {
    use asymmetric_token::Checksum;
    use url::Url;

    use super::RegistryConfig;

    fn config(json: &str) -> Result<RegistryConfig, String> {
        let index = Url::parse("http://127.0.0.1:1/api/v1/crates/").unwrap();
        RegistryConfig::read(json.as_bytes(), &index, None, None).map_err(|error| error.to_string())
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
            let config = config(&format!(r#"{{"api":"http://127.0.0.1:1","dl":"{dl}"}}"#)).unwrap();
            let url = config.download(
                &"Hello".parse().unwrap(),
                &"1.0.0+b".parse().unwrap(),
                Some(Checksum([1; 32])),
            );
            assert_eq!(url.unwrap().as_str(), expected);
        }
    }

    #[test]
    fn an_api_elsewhere_is_not_believed() {
        let refused = config(r#"{"api":"http://127.0.0.1:2","dl":"http://127.0.0.1:2"}"#).unwrap_err();
        assert!(refused.contains("http://127.0.0.1:2"), "{refused}");
        for nonsense in
            ["", "[]", r#"{"dl":"x"}"#, r#"{"api":"x","dl":"x"}"#, r#"{"api":"http://127.0.0.1:1"}"#]
        {
            assert!(config(nonsense).is_err(), "{nonsense}");
        }
        let dl =
            |bytes: usize| config(&format!(r#"{{"api":"http://127.0.0.1:1","dl":"{}"}}"#, "x".repeat(bytes)));
        assert!(dl(2048).is_ok() && dl(2049).is_err());
    }
}

//! `[[proofs]]`: where proofs of a registry lie that gives none itself.

use asymmetric_token::CrateName;
use semver::Version;
use url::{Position, Url};

use crate::enrollment::Problem;

/// The longest URL, in bytes.
const LONGEST: usize = 1024;

/// A place for the proofs of one registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The index URL.
    pub index: String,
    /// The URL of a proof, with `{crate}` and `{version}` in it, or that of a folder.
    pub url: Template,
}

/// A URL with `{crate}` and `{version}` in it, or with a slash at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(String);

impl Template {
    /// Takes a URL as it is written; whether it may be asked is seen when it is.
    ///
    /// # Errors
    /// It is too long, or the same for every version, or leads to another host for each crate.
    pub fn new(url: &str) -> Result<Self, String> {
        if url.len() > LONGEST {
            return Err(format!("has more than {LONGEST} characters"));
        }
        if !url.ends_with('/') && !url.contains("{version}") {
            return Err("has no `{version}` in it, and does not end in a slash".to_owned());
        }
        let template = Self(url.to_owned());
        if template.authority("a", "1.0.0") != template.authority("b", "2.0.0") {
            return Err("has `{crate}` or `{version}` in the name of its host".to_owned());
        }
        Ok(template)
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Who would be asked; the beginning of the text, if that is no URL.
    fn authority(&self, name: &str, version: &str) -> String {
        let filled = self.filled(name, version);
        let end = |url: &Url| url[..Position::BeforePath].to_owned();
        Url::parse(&filled).map_or_else(|_| filled.split_inclusive('/').take(3).collect(), |url| end(&url))
    }

    fn filled(&self, name: &str, version: &str) -> String {
        self.0.replace("{crate}", name).replace("{version}", version)
    }

    /// The URL of a version's proof. A `+` means a blank to some servers, so it is written as `%2B`.
    #[must_use]
    pub fn of(&self, name: &CrateName, version: &Version) -> String {
        let version = version.to_string().replace('+', "%2B");
        let filled = self.filled(name.as_str(), &version);
        if filled.ends_with('/') { format!("{filled}{name}-{version}.json") } else { filled }
    }
}

pub(super) fn place(index: String, url: &str) -> Result<Place, Problem> {
    Template::new(url).map(|url| Place { index, url }).map_err(|reason| Problem::Value { key: "url", reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_filled() {
        let of = |url: &str, version: &str| {
            Template::new(url).unwrap().of(&"hello".parse().unwrap(), &version.parse().unwrap())
        };
        assert_eq!(
            of("https://p.example/v{version}/{crate}.json", "1.0.0+b.1"),
            "https://p.example/v1.0.0%2Bb.1/hello.json"
        );
        assert_eq!(of("https://p.example/", "1.0.0+b"), "https://p.example/hello-1.0.0%2Bb.json");
        assert_eq!(of("https://p.example/{crate}/", "1.0.0"), "https://p.example/hello/hello-1.0.0.json");
        assert!(Template::new("https://p.example/hello.json").is_err());
        for host in [
            "https://{crate}.p.example/",
            "https://{version}/x",
            "https:{crate}.p.example/",
            "https:\\\\{crate}\\{version}",
            "https://p.example:{version}/",
            "https://{crate}@p.example/",
            "{crate}://p.example/",
        ] {
            assert!(Template::new(host).is_err(), "{host}");
        }
        assert!(Template::new(&format!("https://p.example/{}/", "x".repeat(LONGEST))).is_err());
    }
}

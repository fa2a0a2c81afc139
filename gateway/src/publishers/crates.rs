//! Which crates a machine may stage.

use std::str::FromStr;

use asymmetric_token::CrateName;
use serde::{Deserialize, Serialize};

use super::pattern::Pattern;
use crate::crate_names::fold;

/// Some crates: those that fit any of the patterns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CratePatterns(pub Vec<CratePattern>);

impl CratePatterns {
    /// Whether an existing crate is among them.
    #[must_use]
    pub fn fits(&self, name: &str) -> bool {
        let folded = fold(name);
        self.0.iter().any(|pattern| pattern.0.map(fold).fits(&folded))
    }

    /// Whether a crate is named in full, with this very spelling: a new one gets it for good.
    #[must_use]
    pub fn names(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| pattern.0.is_exactly(name))
    }

    /// The patterns as they were given, separated by commas.
    #[must_use]
    pub fn words(&self) -> String {
        let patterns: Vec<_> = self.0.iter().map(CratePattern::as_str).collect();
        patterns.join(",")
    }
}

/// The name of a crate, or with `*` at its end, how names begin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CratePattern(Pattern);

impl CratePattern {
    /// The pattern as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for CratePattern {
    type Err = BadCratePattern;

    fn from_str(text: &str) -> Result<Self, BadCratePattern> {
        // What begins a name is a name, unless it is empty.
        let begins = text.strip_suffix('*').unwrap_or(text);
        let is_name = begins.parse::<CrateName>().is_ok();
        if !is_name && text != "*" {
            return Err(BadCratePattern);
        }
        text.parse().map(Self).map_err(|_| BadCratePattern)
    }
}

/// The text names no crates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write the name of a crate, or the beginning of names followed by `*`, such as `acme-*`")]
pub struct BadCratePattern;

#[cfg(test)]
mod tests {
    use super::{CratePattern, CratePatterns};

    #[test]
    fn a_new_crate_is_named_in_full_and_in_its_spelling() {
        let crates = CratePatterns(["acme-*", "foo-bar"].map(|text| text.parse().unwrap()).into());
        for name in ["acme-x", "Acme_x", "foo-bar", "Foo_Bar"] {
            assert!(crates.fits(name), "{name}");
        }
        for name in ["acme", "foo-bar2", "xacme-x", ""] {
            assert!(!crates.fits(name), "{name}");
        }
        assert!(crates.names("foo-bar"));
        for name in ["foo_bar", "Foo-bar", "acme-x", "acme-*"] {
            assert!(!crates.names(name), "{name}");
        }
    }

    #[test]
    fn what_is_no_name_is_no_pattern() {
        for good in ["a", "a*", "*", "acme-*", "a_b"] {
            assert!(good.parse::<CratePattern>().is_ok(), "{good}");
        }
        for bad in ["", "**", "a*b", "*a", "a b", "-*", "a.b", "ä"] {
            assert!(bad.parse::<CratePattern>().is_err(), "{bad}");
        }
    }
}

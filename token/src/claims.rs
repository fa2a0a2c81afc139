//! The claims: when a token was made, and what it is good for.
//!
//! Source: RFC 3231, "How Cargo will generate an asymmetric token". `owners` is cargo's addition; it names the crate
//! and nothing else.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use semver::Version;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::enrollment;
use crate::error::Error;
use crate::object::Object;
use crate::payload::{is_printable, issued_at_text, take_issued_at, take_printable};

/// The longest `custom`, as compact JSON, in bytes.
pub const MAX_CUSTOM_BYTES: usize = 1024;

/// What a token states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// `iat`. Written in UTC with six fractional digits (two mutations within one second must differ); an instant
    /// finer than a microsecond is cut down when the token is made.
    pub issued_at: Timestamp,
    /// `sub`, the key subject: a string the registry chose, printable ASCII without blanks.
    pub subject: Option<String>,
    /// What the token changes; `None` for a read token.
    pub mutation: Option<Mutation>,
    /// `challenge`: a string the registry gave for this one token.
    pub challenge: Option<String>,
    /// `custom`: extensions, at most 1 KiB as compact JSON.
    pub custom: Option<Map<String, Value>>,
}

/// One change of one crate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// Upload of a new version.
    Publish {
        /// The crate.
        name: CrateName,
        /// The new version.
        version: Version,
        /// SHA-256 of the .crate file.
        checksum: Checksum,
    },
    /// Take a version out of resolution.
    Yank {
        /// The crate.
        name: CrateName,
        /// The version.
        version: Version,
    },
    /// Put a yanked version back.
    Unyank {
        /// The crate.
        name: CrateName,
        /// The version.
        version: Version,
    },
    /// List, add or remove owners. Which of them, and whom, is not signed.
    Owners {
        /// The crate.
        name: CrateName,
    },
}

impl Claims {
    /// The claims of a read token.
    #[must_use]
    pub fn read(issued_at: Timestamp) -> Self {
        Self { issued_at, subject: None, mutation: None, challenge: None, custom: None }
    }

    /// The claims of a mutation token.
    #[must_use]
    pub fn mutate(issued_at: Timestamp, mutation: Mutation) -> Self {
        Self { mutation: Some(mutation), ..Self::read(issued_at) }
    }

    /// Compact JSON with `iat` first, as cargo wrote it.
    ///
    /// # Errors
    /// [`Error::NotPrintable`] for `sub` or `challenge`, [`Error::CustomTooLong`].
    pub(crate) fn to_json(&self) -> Result<String, Error> {
        #[derive(Serialize)]
        struct Wire<'a> {
            iat: String,
            #[serde(skip_serializing_if = "Option::is_none")]
            sub: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            mutation: Option<&'static str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            name: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            vers: Option<String>,
            #[serde(skip_serializing_if = "Option::is_none")]
            cksum: Option<String>,
            #[serde(skip_serializing_if = "Option::is_none")]
            challenge: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            custom: Option<&'a Map<String, Value>>,
        }
        for (claim, text) in [("sub", &self.subject), ("challenge", &self.challenge)] {
            is_printable(claim, text.as_deref())?;
        }
        custom_fits(self.custom.as_ref())?;
        let mutation = self.mutation.as_ref();
        let wire = Wire {
            iat: issued_at_text(&self.issued_at),
            sub: self.subject.as_deref(),
            mutation: mutation.map(Mutation::kind),
            name: mutation.map(|mutation| mutation.name().as_str()),
            vers: mutation.and_then(Mutation::version).map(Version::to_string),
            cksum: mutation.and_then(Mutation::checksum).map(|checksum| checksum.to_string()),
            challenge: self.challenge.as_deref(),
            custom: self.custom.as_ref(),
        };
        Ok(serde_json::to_string(&wire).expect("a struct of strings serialises"))
    }

    pub(crate) fn of(mut payload: Object) -> Result<Self, Error> {
        let issued_at = take_issued_at(&mut payload)?;
        let subject = take_printable(&mut payload, "sub")?;
        let challenge = take_printable(&mut payload, "challenge")?;
        let custom = payload.object("custom")?.map(Object::into_members);
        custom_fits(custom.as_ref())?;
        let mutation = take_mutation(&mut payload)?;
        if let Some(claim) = ["name", "vers", "cksum"].into_iter().find(|claim| payload.has(claim)) {
            let kind = mutation.as_ref().map_or("read", Mutation::kind);
            return Err(Error::UnexpectedClaim { claim, kind });
        }
        payload.is_empty()?;
        Ok(Self { issued_at, subject, mutation, challenge, custom })
    }
}

impl Mutation {
    /// The word in the `mutation` claim.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Publish { .. } => "publish",
            Self::Yank { .. } => "yank",
            Self::Unyank { .. } => "unyank",
            Self::Owners { .. } => "owners",
        }
    }

    /// The crate.
    #[must_use]
    pub fn name(&self) -> &CrateName {
        match self {
            Self::Publish { name, .. }
            | Self::Yank { name, .. }
            | Self::Unyank { name, .. }
            | Self::Owners { name } => name,
        }
    }

    /// The version, for all but `owners`.
    #[must_use]
    pub fn version(&self) -> Option<&Version> {
        match self {
            Self::Publish { version, .. } | Self::Yank { version, .. } | Self::Unyank { version, .. } => {
                Some(version)
            }
            Self::Owners { .. } => None,
        }
    }

    /// The checksum, for `publish`.
    #[must_use]
    pub fn checksum(&self) -> Option<Checksum> {
        match self {
            Self::Publish { checksum, .. } => Some(*checksum),
            _ => None,
        }
    }
}

/// A crate's name: 1 to 64 ASCII letters, digits, `-` or `_`, beginning with a letter or `_`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CrateName(String);

impl CrateName {
    /// The name as given; case and `-`/`_` are kept.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CrateName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let fits = (1..=64).contains(&name.len())
            && name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if fits { Ok(Self(name.to_owned())) } else { Err(Error::CrateName) }
    }
}

impl fmt::Display for CrateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// SHA-256 of a .crate file, 32 bytes. Displays as 64 lower-case hexadecimal digits, and parses nothing else.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Checksum(pub [u8; 32]);

impl FromStr for Checksum {
    type Err = Error;

    fn from_str(hex: &str) -> Result<Self, Error> {
        let digits = hex.as_bytes();
        if digits.len() != 64 {
            return Err(Error::Checksum);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn nibble(digit: u8) -> Result<u8, Error> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(Error::Checksum),
    }
}

/// Takes what says which change a token is for.
fn take_mutation(payload: &mut Object) -> Result<Option<Mutation>, Error> {
    let Some(kind) = payload.string("mutation")? else { return Ok(None) };
    let mut name = || payload.required("name")?.parse();
    let mutation = match kind.as_str() {
        "publish" => {
            let (name, version) = (name()?, take_version(payload)?);
            Mutation::Publish { name, version, checksum: payload.required("cksum")?.parse()? }
        }
        "yank" => Mutation::Yank { name: name()?, version: take_version(payload)? },
        "unyank" => Mutation::Unyank { name: name()?, version: take_version(payload)? },
        "owners" => Mutation::Owners { name: name()? },
        enrollment::KIND => return Err(Error::Enrollment),
        _ => return Err(Error::UnknownMutation),
    };
    Ok(Some(mutation))
}

fn take_version(payload: &mut Object) -> Result<Version, Error> {
    payload.required("vers")?.parse().map_err(|_| Error::Version)
}

fn custom_fits(custom: Option<&Map<String, Value>>) -> Result<(), Error> {
    let bytes =
        custom.map_or(0, |custom| serde_json::to_string(custom).map_or(usize::MAX, |json| json.len()));
    if bytes > MAX_CUSTOM_BYTES { Err(Error::CustomTooLong { bytes }) } else { Ok(()) }
}

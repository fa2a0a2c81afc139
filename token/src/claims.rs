//! The claims: when a token was made, and what it is good for.
//!
//! Source: RFC 3231, "How Cargo will generate an asymmetric token". `owners` is cargo's addition; it names the crate
//! and nothing else.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use semver::Version;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{Error, Part};

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
            printable(claim, text.as_deref())?;
        }
        custom_fits(self.custom.as_ref())?;
        let mutation = self.mutation.as_ref();
        let wire = Wire {
            iat: DateTimePrinter::new().precision(Some(6)).timestamp_to_string(&self.issued_at),
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

    pub(crate) fn from_json(object: Map<String, Value>) -> Result<Self, Error> {
        let mut wire = Wire(object);
        if let Some(name) = wire.unknown() {
            return Err(Error::UnknownName { part: Part::Payload, name });
        }
        wire.version()?;
        let issued_at = wire.issued_at()?;
        let subject = wire.string("sub")?;
        printable("sub", subject.as_deref())?;
        let challenge = wire.string("challenge")?;
        printable("challenge", challenge.as_deref())?;
        let custom = match wire.0.remove("custom") {
            None => None,
            Some(Value::Object(custom)) => Some(custom),
            Some(_) => return Err(Error::WrongType("custom")),
        };
        custom_fits(custom.as_ref())?;
        let mutation = wire.mutation()?;
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

/// A payload's JSON object, from which claims are taken one by one.
pub(crate) struct Wire(pub(crate) Map<String, Value>);

impl Wire {
    /// Takes `v`, which need not be there.
    pub(crate) fn version(&mut self) -> Result<(), Error> {
        match self.0.remove("v") {
            Some(version) if version != 1 => Err(Error::UnknownVersion),
            _ => Ok(()),
        }
    }

    pub(crate) fn issued_at(&mut self) -> Result<Timestamp, Error> {
        rfc3339(&self.required("iat")?).ok_or(Error::IssuedAt)
    }

    fn unknown(&self) -> Option<String> {
        const KNOWN: [&str; 9] =
            ["iat", "sub", "mutation", "name", "vers", "cksum", "challenge", "v", "custom"];
        self.0.keys().find(|name| !KNOWN.contains(&name.as_str())).cloned()
    }

    fn string(&mut self, claim: &'static str) -> Result<Option<String>, Error> {
        match self.0.remove(claim) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Error::WrongType(claim)),
        }
    }

    pub(crate) fn required(&mut self, claim: &'static str) -> Result<String, Error> {
        self.string(claim)?.ok_or(Error::Missing(claim))
    }

    fn mutation(&mut self) -> Result<Option<Mutation>, Error> {
        let kind = match self.string("mutation")?.as_deref() {
            None => {
                self.absent("read", &["name", "vers", "cksum"])?;
                return Ok(None);
            }
            Some("publish") => "publish",
            Some("yank") => "yank",
            Some("unyank") => "unyank",
            Some("owners") => "owners",
            Some(crate::enrollment::KIND) => return Err(Error::Enrollment),
            Some(_) => return Err(Error::UnknownMutation),
        };
        let name = self.required("name")?.parse()?;
        if kind == "owners" {
            self.absent(kind, &["vers", "cksum"])?;
            return Ok(Some(Mutation::Owners { name }));
        }
        let version = self.required("vers")?.parse().map_err(|_| Error::Version)?;
        if kind == "publish" {
            let checksum = self.required("cksum")?.parse()?;
            return Ok(Some(Mutation::Publish { name, version, checksum }));
        }
        self.absent(kind, &["cksum"])?;
        Ok(Some(match kind {
            "yank" => Mutation::Yank { name, version },
            _ => Mutation::Unyank { name, version },
        }))
    }

    fn absent(&self, kind: &'static str, claims: &[&'static str]) -> Result<(), Error> {
        match claims.iter().find(|claim| self.0.contains_key(**claim)) {
            Some(claim) => Err(Error::UnexpectedClaim { claim, kind }),
            None => Ok(()),
        }
    }
}

/// RFC 3231: the subject is "non-whitespace printable ASCII"; the same is asked of a challenge.
pub(crate) fn printable(claim: &'static str, text: Option<&str>) -> Result<(), Error> {
    match text {
        Some(text) if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Err(Error::NotPrintable(claim))
        }
        _ => Ok(()),
    }
}

fn custom_fits(custom: Option<&Map<String, Value>>) -> Result<(), Error> {
    let bytes =
        custom.map_or(0, |custom| serde_json::to_string(custom).map_or(usize::MAX, |json| json.len()));
    if bytes > MAX_CUSTOM_BYTES { Err(Error::CustomTooLong { bytes }) } else { Ok(()) }
}

/// jiff reads more than RFC 3339 (a date with an offset and no minutes, time-zone annotations, weeks), so the shape
/// is checked first.
fn rfc3339(text: &str) -> Option<Timestamp> {
    let (moment, offset) = match text.strip_suffix('Z') {
        Some(moment) => (moment, "+00:00"),
        None => text.split_at_checked(text.len().checked_sub(6)?)?,
    };
    let (whole, fraction) = moment.split_once('.').unwrap_or((moment, "0"));
    let fits = shaped(whole, "dddd-dd-ddTdd:dd:dd")
        && (1..=9).contains(&fraction.len())
        && fraction.bytes().all(|byte| byte.is_ascii_digit())
        && (shaped(offset, "+dd:dd") || shaped(offset, "-dd:dd"));
    if fits { text.parse().ok() } else { None }
}

/// Whether text has this shape, `d` standing for a decimal digit.
fn shaped(text: &str, shape: &str) -> bool {
    text.len() == shape.len()
        && text.bytes().zip(shape.bytes()).all(|(byte, like)| match like {
            b'd' => byte.is_ascii_digit(),
            _ => byte == like,
        })
}

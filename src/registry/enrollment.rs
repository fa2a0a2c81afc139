//! Enrollment at a registry over HTTP: what it asks for, and what it makes of the keys that it is sent.
//!
//! `GET {api}/api/v1/enroll` gives a nonce and the registry's terms, `POST` takes the keys with their proofs. What a
//! registry answers is foreign text: bounded, and escaped before it is shown.

use asymmetric_token::strict_json;
use serde::Deserialize;
use serde_json::{Value, json};

use super::greeting;
use super::http::{self, Answer, Client};
use super::network::Network;
use crate::enrollment::Key;
use crate::settings::Settings;
use crate::text::{escape, quoted};

/// The longest nonce, in bytes: that of a challenge (RFC 3231 sets no limit).
const LONGEST_NONCE: usize = 1024;

/// A registry that enrolls keys over HTTP.
pub struct Registration<'a> {
    index: String,
    url: String,
    settings: &'a Settings,
}

/// What a registry asks for.
#[derive(Debug, Deserialize)]
pub struct Terms {
    version: u64,
    /// Its index URL; older gateways do not say it.
    index: Option<String>,
    /// To be signed by every key.
    pub nonce: String,
    attestation: String,
}

impl Terms {
    /// Whether it wants to know which card made the keys.
    #[must_use]
    pub fn wants_attestation(&self) -> bool {
        self.attestation != "off"
    }
}

/// A key to be enrolled.
#[derive(Debug)]
pub struct ProvenKey {
    /// The key.
    pub key: Key,
    /// Its `enroll` token.
    pub proof: String,
    /// The card's certificates, each in base64.
    pub attestation: Option<Vec<String>>,
}

/// What gives the right to enroll keys.
#[derive(Debug)]
pub enum Credential<'a> {
    /// The administrator's code.
    Invite(&'a str),
    /// The token of a key that is enrolled there.
    Endorsement(&'a str),
}

/// What a registry says of keys that it has taken.
#[derive(Debug, Deserialize)]
pub struct Accepted {
    /// The user whose keys they are there.
    pub user: String,
    text: String,
}

impl Accepted {
    /// The registry's words, safe to show, as its own.
    #[must_use]
    pub fn words(&self) -> String {
        quoted(&self.text)
    }
}

/// Refuses what has not the form of an invite code. Hyphens and blanks make no difference to a registry.
///
/// # Errors
/// [`Error::NotACode`].
pub fn is_code(typed: &str) -> Result<(), Error> {
    const LENGTH: usize = 24;
    let letters = typed.chars().filter(|letter| !matches!(letter, '-' | ' '));
    let (good, bad): (Vec<_>, Vec<_>) = letters.partition(char::is_ascii_alphanumeric);
    if bad.is_empty() && good.len() == LENGTH { Ok(()) } else { Err(Error::NotACode) }
}

impl<'a> Registration<'a> {
    /// Asks a registry where keys are enrolled.
    ///
    /// # Errors
    /// [`Error::Api`].
    pub fn find(index: &str, settings: &'a Settings) -> Result<Self, Error> {
        let api = greeting::api(index, settings).map_err(Error::Api)?;
        Ok(Self { index: index.to_owned(), url: format!("{api}/api/v1/enroll"), settings })
    }

    /// Asks for the terms, and for a fresh nonce. A registry with another index URL than the one that is configured
    /// here would take no token of ours, so that is checked before keys are made for it.
    ///
    /// # Errors
    /// [`Error::NotOffered`], [`Error::Answer`], [`Error::Nonce`], [`Error::OtherIndex`], [`Error::Http`].
    pub fn terms(&self) -> Result<Terms, Error> {
        let answer = self.client()?.get(&self.url, None)?;
        match answer.status {
            200 => {}
            404 | 405 => return Err(Error::NotOffered { url: self.url.clone() }),
            _ => return Err(Self::refused(&answer)),
        }
        let terms: Terms = self.read(&answer.body)?;
        if terms.version != 1 {
            return Err(Error::Answer { url: self.url.clone() });
        }
        let nonce = terms.nonce.as_bytes();
        if !(1..=LONGEST_NONCE).contains(&nonce.len()) || !nonce.iter().all(u8::is_ascii_graphic) {
            return Err(Error::Nonce { bytes: nonce.len() });
        }
        match &terms.index {
            Some(theirs) if *theirs != self.index => {
                Err(Error::OtherIndex { ours: self.index.clone(), theirs: theirs.clone() })
            }
            _ => Ok(terms),
        }
    }

    /// Sends the keys.
    ///
    /// # Errors
    /// [`Error::Refused`] with the registry's reason, [`Error::Answer`], [`Error::Http`].
    pub fn submit(
        &self,
        nonce: &str,
        credential: &Credential<'_>,
        label: &str,
        keys: &[ProvenKey],
    ) -> Result<Accepted, Error> {
        let keys: Vec<_> = keys
            .iter()
            .map(|proven| {
                json!({
                    "role": proven.key.role.as_str(),
                    "public": proven.key.public.to_string(),
                    "proof": proven.proof,
                    "attestation": proven.attestation,
                })
            })
            .collect();
        let mut request = json!({ "version": 1, "nonce": nonce, "label": label, "keys": keys });
        match credential {
            Credential::Invite(code) => request["invite"] = Value::from(*code),
            Credential::Endorsement(token) => request["endorsement"] = Value::from(*token),
        }
        let answer = self.client()?.post(&self.url, &request.to_string())?;
        match answer.status {
            201 => self.read(&answer.body),
            _ => Err(Self::refused(&answer)),
        }
    }

    /// Asks whether an invite is good, before keys are made for it.
    ///
    /// # Errors
    /// [`Error::NotInvited`] with the registry's reason, [`Error::Refused`], [`Error::Http`].
    pub fn is_invited(&self, nonce: &str, code: &str, label: &str) -> Result<(), Error> {
        let request = json!({ "version": 1, "nonce": nonce, "label": label, "invite": code, "keys": [] });
        let answer = self.client()?.post(&self.url, &request.to_string())?;
        match (answer.status, Self::refused(&answer)) {
            (200..300, _) => Ok(()),
            (400..500, Error::Refused { detail, .. }) => {
                // The status is that of every invite that is not good: only the words say it.
                let is_spent = answer.detail().is_some_and(|words| words.contains(" was used "));
                Err(Error::NotInvited { detail, is_spent })
            }
            (_, refused) => Err(refused),
        }
    }

    fn client(&self) -> Result<Client, Error> {
        let network = Network::load(&self.url, &self.settings.cargo_home).map_err(Error::CargoConfig)?;
        Ok(Client::new(&self.url, &network, self.settings.wait.network())?)
    }

    fn read<T: for<'de> Deserialize<'de>>(&self, body: &[u8]) -> Result<T, Error> {
        let value = std::str::from_utf8(body).ok().and_then(|text| strict_json::parse(text).ok());
        let read = value.and_then(|value| serde_json::from_value(value).ok());
        read.ok_or_else(|| Error::Answer { url: self.url.clone() })
    }

    /// With the sentence that cargo would show.
    fn refused(answer: &Answer) -> Error {
        Error::Refused { status: answer.status, detail: answer.why_refused() }
    }
}

/// Why keys are not enrolled at a registry.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "a field's name says what it is")]
pub enum Error {
    /// It does not answer as the protocol says.
    #[error("{} does not answer like a registry that enrolls keys", escape(url))]
    Answer { url: String },
    /// It does not say where its API is.
    #[error("the registry does not say where it enrolls keys")]
    Api(#[source] greeting::Error),
    /// Cargo's configuration.
    #[error(transparent)]
    CargoConfig(crate::cargo_config::Error),
    /// No answer.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// Its nonce cannot be signed.
    #[error(
        "the registry's nonce has {bytes} bytes; it must be 1 to {LONGEST_NONCE} characters of printable ASCII without spaces"
    )]
    Nonce { bytes: usize },
    /// The invite is not good there. Nothing was done yet.
    #[error("the registry refuses the invite: {detail}")]
    NotInvited {
        /// Its reason in its own words, safe to show.
        detail: String,
        /// It was good once.
        is_spent: bool,
    },
    /// A code that no registry has made.
    #[error("this is not an invite code, which has six groups of four letters and digits")]
    NotACode,
    /// There is no such thing there.
    #[error("this registry takes no enrollments over the network ({})", escape(url))]
    NotOffered { url: String },
    /// It has another index URL than the one it was reached by.
    #[error("this registry's index URL is {}, and not {}", escape(theirs), escape(ours))]
    OtherIndex { ours: String, theirs: String },
    /// It refuses.
    #[error("the registry refuses the enrollment: {detail}")]
    Refused {
        /// The answer's status.
        status: u16,
        /// Its reason in its own words, safe to show.
        detail: String,
    },
}

impl Error {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> String {
        let again = || {
            "run the same command again when the registry answers: it goes on where this one ended".to_owned()
        };
        let next = match self {
            Self::CargoConfig(error) => return error.hint().unwrap_or_else(again),
            Self::Http(error) => return error.hint().map_or_else(again, str::to_owned),
            Self::NotOffered { .. }
            | Self::Api(greeting::Error::NoApi { .. } | greeting::Error::GitIndex) => {
                "enroll without --invite, and send the printed lines to its administrator"
            }
            Self::Nonce { .. } => "nothing was made or signed: tell the registry's administrator",
            Self::OtherIndex { .. } => {
                "every token names the exact URL: put the registry's own URL into $CARGO_HOME/config.toml"
            }
            Self::NotACode => {
                "no key was made: run the same command again with the code as it was sent to you"
            }
            Self::NotInvited { .. } => "no key was made: run the same command again with a valid code",
            Self::Refused { status: 409, .. } => {
                "revoked keys and other users' keys cannot be enrolled again: `yk-cargo forget REGISTRY`, then enroll again, which \
                 makes new ones in empty slots"
            }
            Self::Refused { status: 403, .. } => {
                "what the registry asks for is its administrator's choice; keys that were made stay on the card"
            }
            Self::Refused { status: 400 | 401, .. } => {
                "the keys that were made are kept: run the same command again with a valid code"
            }
            Self::Api(error) => return error.hint().unwrap_or_else(again),
            Self::Answer { .. } | Self::Refused { .. } => return again(),
        };
        next.to_owned()
    }
}

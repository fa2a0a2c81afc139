//! The footer: which registry a token is for, and which key made it.
//!
//! RFC 3231 calls the key id `kid`; every cargo that had this feature wrote and read `kip`. A token may carry either
//! or both, never two different ones.

use serde::Serialize;

use crate::error::Error;
use crate::object::Object;
use crate::paserk::KeyId;

/// What a token says of itself in clear. Attacker's text until the token is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footer {
    /// The index URL, byte for byte as cargo has it (`sparse+https://…/`).
    pub url: String,
    /// The key that signed.
    pub key_id: KeyId,
    /// Under which name the key id stands.
    pub field: KeyIdField,
}

/// Under which name or names the key id stands in a footer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyIdField {
    /// `kip` and `kid`: what every known verifier accepts.
    #[default]
    Both,
    /// `kip` alone, as cargo wrote it.
    Kip,
    /// `kid` alone, as RFC 3231 has it.
    Kid,
}

impl Footer {
    /// A footer with both spellings of the key id.
    #[must_use]
    pub fn new(url: impl Into<String>, key_id: KeyId) -> Self {
        Self { url: url.into(), key_id, field: KeyIdField::default() }
    }

    pub(crate) fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct Wire<'a> {
            url: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            kip: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            kid: Option<&'a str>,
        }
        let id = self.key_id.to_string();
        let wire = Wire {
            url: &self.url,
            kip: (self.field != KeyIdField::Kid).then_some(&id),
            kid: (self.field != KeyIdField::Kip).then_some(&id),
        };
        serde_json::to_string(&wire).expect("a struct of strings serialises")
    }

    pub(crate) fn of(mut object: Object) -> Result<Self, Error> {
        let url = object.required("url")?;
        let (kip, kid) = (object.string("kip")?, object.string("kid")?);
        object.is_empty()?;
        let (id, field) = match (kip, kid) {
            (None, None) => return Err(Error::Missing("kip")),
            (Some(kip), None) => (kip, KeyIdField::Kip),
            (None, Some(kid)) => (kid, KeyIdField::Kid),
            (Some(kip), Some(kid)) if kip == kid => (kip, KeyIdField::Both),
            (Some(_), Some(_)) => return Err(Error::KeyIdsDiffer),
        };
        Ok(Self { url, key_id: id.parse()?, field })
    }
}

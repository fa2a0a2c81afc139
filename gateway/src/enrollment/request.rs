//! The JSON of an enrollment request, read strictly: no name may occur twice, and no name may be unknown.

use asymmetric_token::{BadRole, KeyId, PublicKey, enrollment};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::InviteCode;
use crate::attestation::MAX_CHAIN;
use crate::keys::{LABEL, Role, is_label};

/// A request to enroll keys.
#[derive(Debug)]
pub struct Request {
    /// The registry's nonce, as it came.
    pub nonce: String,
    /// What entitles the person to enroll them.
    pub credential: Credential,
    /// The person's name for the card, 1 to 64 characters.
    pub label: String,
    /// Up to four keys, all different. Without keys an invite is only asked about.
    pub keys: Vec<RequestedKey>,
}

/// What entitles somebody to enroll keys.
#[derive(Debug)]
pub enum Credential {
    /// An invite by an administrator.
    Invite(InviteCode),
    /// An `enroll` token by a key that is enrolled already.
    Endorsement(String),
}

/// One key to be enrolled.
#[derive(Debug)]
pub struct RequestedKey {
    /// The public key.
    pub public: PublicKey,
    /// What it may sign.
    pub role: Role,
    /// Its signature over the request: an `enroll` token.
    pub proof: String,
    /// The card's statement and the certificates above it, each in DER.
    pub attestation: Option<Vec<Vec<u8>>>,
}

/// Why a request is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// It is not strict JSON of the documented form.
    #[error("the enrollment request is not in the documented form: {0}")]
    Form(String),
    /// It has another version of the protocol.
    #[error("this registry knows version 1 of the enrollment protocol")]
    Version,
    /// It has both an invite and an endorsement, or neither.
    #[error("an enrollment needs either an invite or an endorsement")]
    Credential,
    /// The invite is not 24 letters and digits.
    #[error("this is not an invite code, which has six groups of four letters and digits")]
    InviteCode,
    /// The label is too long, empty, or has characters that are not seen.
    #[error("a label is {LABEL}")]
    Label,
    /// There are too few or too many keys, or one occurs twice.
    #[error("an enrollment has 1 to 4 different keys")]
    Keys,
    /// A public key cannot be read.
    #[error("a public key cannot be used: {0}")]
    PublicKey(asymmetric_token::Error),
    /// An attestation is not base64, or has too many certificates.
    #[error("an attestation is up to 6 certificates in base64")]
    Attestation,
    /// A machine's key, which is none of a person's.
    #[error(
        "a key with the role `stage` belongs to a machine; an administrator adds it with `registry-gateway key add`"
    )]
    Stage,
}

impl Request {
    /// Reads a request.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn parse(body: &[u8]) -> Result<Self, RequestError> {
        let form = |error: String| RequestError::Form(error);
        let text = std::str::from_utf8(body).map_err(|error| form(error.to_string()))?;
        // At once into what is wanted: anybody may send this, and as any JSON in memory it can be a hundred times as long.
        let wire: Wire = serde_json::from_str(text).map_err(|error| form(error.to_string()))?;
        if wire.version != 1 {
            return Err(RequestError::Version);
        }
        let credential = match (wire.invite, wire.endorsement) {
            (Some(code), None) => {
                Credential::Invite(InviteCode::parse(&code).ok_or(RequestError::InviteCode)?)
            }
            (None, Some(token)) => Credential::Endorsement(token),
            _ => return Err(RequestError::Credential),
        };
        if !is_label(&wire.label) {
            return Err(RequestError::Label);
        }
        let keys: Vec<_> = wire.keys.into_iter().map(WireKey::read).collect::<Result<_, _>>()?;
        let request = Self { nonce: wire.nonce, credential, label: wire.label, keys };
        let ids = enrollment::sorted(&request.key_ids());
        let least = usize::from(matches!(request.credential, Credential::Endorsement(_)));
        if !(least..=enrollment::MAX_KEYS).contains(&ids.len()) || !ids.is_sorted_by(|a, b| a < b) {
            return Err(RequestError::Keys);
        }
        Ok(request)
    }

    /// The ids of all keys, computed from the keys.
    #[must_use]
    pub fn key_ids(&self) -> Vec<KeyId> {
        self.keys.iter().map(|key| key.public.id()).collect()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    version: u64,
    nonce: String,
    invite: Option<String>,
    endorsement: Option<String>,
    label: String,
    keys: Vec<WireKey>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireKey {
    role: String,
    public: String,
    proof: String,
    attestation: Option<Vec<String>>,
}

impl WireKey {
    fn read(self) -> Result<RequestedKey, RequestError> {
        let role = self.role.parse().map_err(|error: BadRole| RequestError::Form(error.to_string()))?;
        if role == Role::Stage {
            return Err(RequestError::Stage);
        }
        let public = self.public.parse().map_err(RequestError::PublicKey)?;
        let attestation = match self.attestation {
            Some(chain) if chain.len() > MAX_CHAIN => return Err(RequestError::Attestation),
            Some(chain) => {
                let certificates = chain.iter().map(|one| STANDARD.decode(one));
                Some(certificates.collect::<Result<_, _>>().map_err(|_| RequestError::Attestation)?)
            }
            None => None,
        };
        Ok(RequestedKey { public, role, proof: self.proof, attestation })
    }
}

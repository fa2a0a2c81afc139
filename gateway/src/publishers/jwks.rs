//! The keys of an issuer, as it publishes them.
//!
//! Source: RFC 7517, 4 and 5, and RFC 7518, 6. A key says itself with which algorithm it verifies, by its type and curve. What a
//! token says of the algorithm is only compared with that, so that no token chooses one.

use std::collections::HashMap;

use asymmetric_token::strict_json;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

/// The most keys of one issuer. Those that exist have up to ten.
const MOST: usize = 100;
/// The length of an RSA modulus in bytes: 2048 to 8192 bits.
const MODULUS: std::ops::RangeInclusive<usize> = 256..=1024;
/// The length of a coordinate on P-256 in bytes.
const COORDINATE: usize = 32;

/// The keys of an issuer, by their `kid`.
#[derive(Debug)]
pub(crate) struct Jwks(HashMap<String, Result<Key, UnusableKey>>);

/// A key, which verifies with one algorithm.
#[derive(Clone, Debug)]
pub(crate) enum Key {
    /// RS256: RSASSA-PKCS1-v1_5 with SHA-256. Modulus and exponent are big-endian.
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    /// ES256: ECDSA on P-256 with SHA-256. The point is 04 ‖ x ‖ y.
    P256 { point: Vec<u8> },
}

impl Key {
    /// The `alg` of the tokens that it verifies.
    pub(crate) fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa { .. } => "RS256",
            Self::P256 { .. } => "ES256",
        }
    }

    /// Whether it has signed a message. The signature of an EC key is r ‖ s.
    pub(crate) fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let verified = match self {
            Self::Rsa { modulus: n, exponent: e } => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            }
            Self::P256 { point } => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
            }
        };
        verified.is_ok()
    }
}

/// Why a key of an issuer verifies nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnusableKey {
    /// Then nobody knows which of them is meant.
    #[error("there is another key of that name")]
    Twice,
    /// It is for encryption, or only for signing.
    #[error("it is not for verifying signatures (`use` or `key_ops`)")]
    Use,
    /// Its `alg` is not that of its type and curve.
    #[error("its `alg` is not that of its type")]
    Algorithm,
    /// A secret that an issuer should not show, or a curve that nobody needs.
    #[error("it is neither an RSA key of 2048 to 8192 bits nor one of the curve P-256")]
    Kind,
}

impl Jwks {
    /// Reads a set. Keys without a name are left out, since tokens name theirs.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut set = strict_json::parse(text).map_err(|error| error.to_string())?;
        let Some(Value::Array(keys)) = set.get_mut("keys").map(Value::take) else {
            return Err("there is no list `keys`".to_owned());
        };
        if keys.len() > MOST {
            return Err(format!("there are more than {MOST} keys"));
        }
        let mut known = HashMap::new();
        for jwk in keys {
            let Value::Object(jwk) = jwk else { return Err("a key is not an object".to_owned()) };
            let Some(id) = text_of(&jwk, "kid") else { continue };
            known
                .entry(id.to_owned())
                .and_modify(|key| *key = Err(UnusableKey::Twice))
                .or_insert_with(|| key(&jwk));
        }
        Ok(Self(known))
    }

    pub(crate) fn find(&self, id: &str) -> Option<&Result<Key, UnusableKey>> {
        self.0.get(id)
    }
}

fn key(jwk: &Map<String, Value>) -> Result<Key, UnusableKey> {
    let verifies =
        |operations: &Value| operations.as_array().is_some_and(|all| all.iter().any(|one| one == "verify"));
    let is_for_signatures = jwk.get("use").is_none_or(|used| used == "sig");
    if !is_for_signatures || !jwk.get("key_ops").is_none_or(verifies) {
        return Err(UnusableKey::Use);
    }
    let key = match (text_of(jwk, "kty"), text_of(jwk, "crv")) {
        (Some("RSA"), _) => rsa(jwk),
        (Some("EC"), Some("P-256")) => p256(jwk),
        _ => None,
    };
    let key = key.ok_or(UnusableKey::Kind)?;
    if jwk.get("alg").is_some_and(|algorithm| algorithm != key.algorithm()) {
        return Err(UnusableKey::Algorithm);
    }
    Ok(key)
}

fn rsa(jwk: &Map<String, Value>) -> Option<Key> {
    let (modulus, exponent) = (bytes_of(jwk, "n")?, bytes_of(jwk, "e")?);
    MODULUS.contains(&modulus.len()).then_some(Key::Rsa { modulus, exponent })
}

fn p256(jwk: &Map<String, Value>) -> Option<Key> {
    let coordinates = [bytes_of(jwk, "x")?, bytes_of(jwk, "y")?];
    let fit = coordinates.iter().all(|coordinate| coordinate.len() == COORDINATE);
    fit.then(|| Key::P256 { point: [&[4], coordinates.concat().as_slice()].concat() })
}

fn text_of<'a>(jwk: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    jwk.get(name)?.as_str()
}

fn bytes_of(jwk: &Map<String, Value>, name: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text_of(jwk, name)?).ok()
}

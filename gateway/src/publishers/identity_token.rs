//! Identity tokens: what an OIDC issuer says of a job, signed.
//!
//! Source: RFC 7515, 7519 and 8725. What libraries leave to a default is required here: who issued the token, for whom, from when,
//! until when, and a name by which it is used once.

use asymmetric_token::strict_json;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::identity::Claims;
use super::jwks::Key;

/// The longest token, in bytes. Those of GitHub and GitLab have about two thousand.
pub(crate) const MOST: usize = 16 << 10;
/// How far another clock may be ahead. Nothing is good for longer because of it.
const LEEWAY: SignedDuration = SignedDuration::from_secs(60);
/// The longest time for which a token may be good.
const LONGEST: SignedDuration = SignedDuration::from_hours(1);
/// The longest text of a claim that is kept or compared, in bytes.
const LONGEST_NAME: usize = 500;

/// A token that was read, and of which nothing is believed yet.
pub(crate) struct Unverified<'a> {
    /// What is signed: header and claims in base64, and the dot between them.
    message: &'a str,
    signature: Vec<u8>,
    algorithm: &'static str,
    claims: Claims,
    /// The name of the key.
    pub(crate) key_id: String,
    /// The issuer.
    pub(crate) issuer: String,
    /// For whom it is.
    pub(crate) audience: String,
    /// By what it is used once.
    id: String,
    expires: Timestamp,
}

/// A token that is its issuer's, and good now.
pub(crate) struct IdentityToken {
    pub(crate) claims: Claims,
    /// By what it is remembered as used: its name, since (r, n − s) is another signature for it, and its issuer.
    pub(crate) single_use_key: String,
    /// How long that has to be remembered.
    pub(crate) kept_until: Timestamp,
}

/// Why a token is no identity token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadIdentityToken {
    /// Not three parts of base64, or no JSON in them in which each name stands once.
    #[error("this is not a JSON Web Token: {0}")]
    Form(String),
    /// Its header names something that has to be understood.
    #[error("the identity token's header has `{0}`, which is not supported")]
    Header(&'static str),
    /// It is not signed, or not with a signature.
    #[error("the identity token is signed with `{0}`, but only RS256 and ES256 are accepted")]
    Algorithm(String),
    /// A claim is missing, or is not of its type.
    #[error("the identity token has no `{claim}` that is {wanted}")]
    Claim {
        /// Its name.
        claim: &'static str,
        /// What it has to be.
        wanted: &'static str,
    },
    /// It is good for too long.
    #[error(
        "the identity token is valid for {0} s, but at most 3600 are accepted; if that depends on the job's time limit, lower it"
    )]
    TooLong(i64),
    /// Its time is over.
    #[error(
        "the identity token expired at {expired:.0} (it is {now:.0} here); the job gets a new one when it asks again"
    )]
    Expired {
        /// `exp`.
        expired: Timestamp,
        /// The time here.
        now: Timestamp,
    },
    /// Its time has not come.
    #[error("the identity token is dated {at:.0} (`{claim}`), but it is {now:.0} here; is the clock right?")]
    InFuture {
        /// `iat` or `nbf`.
        claim: &'static str,
        /// What it says.
        at: Timestamp,
        /// The time here.
        now: Timestamp,
    },
    /// The key is for another algorithm.
    #[error("the identity token is signed with {token}, but its issuer's key is for {key}")]
    OtherAlgorithm {
        /// By its header.
        token: &'static str,
        /// By its key.
        key: &'static str,
    },
    /// The signature is another one's.
    #[error("the signature of the identity token does not verify")]
    Signature,
}

impl<'a> Unverified<'a> {
    /// Reads a token.
    ///
    /// # Errors
    /// [`BadIdentityToken`], for what can be seen without its issuer's key.
    pub(crate) fn parse(text: &'a str) -> Result<Self, BadIdentityToken> {
        let form = |why: &str| BadIdentityToken::Form(why.to_owned());
        if text.len() > MOST {
            return Err(form("it is too long"));
        }
        let parts: Vec<_> = text.split('.').collect();
        let [header, claims, signature] = parts[..] else { return Err(form("it does not have three parts")) };
        let message = &text[..header.len() + 1 + claims.len()];
        let signature = bytes(signature)?;
        let (header, claims) = (object(header)?, object(claims)?);
        // RFC 7515, 4.1.11: what has to be understood, or the token is to be refused. RFC 7797: a body that is not encoded.
        for name in ["crit", "b64", "zip", "enc"] {
            if header.contains_key(name) {
                return Err(BadIdentityToken::Header(name));
            }
        }
        let algorithm = match header.get("alg") {
            Some(Value::String(word)) if word == "RS256" => "RS256",
            Some(Value::String(word)) if word == "ES256" => "ES256",
            Some(Value::String(word)) => {
                return Err(BadIdentityToken::Algorithm(word.chars().take(20).collect()));
            }
            _ => return Err(BadIdentityToken::Algorithm(String::new())),
        };
        Ok(Self {
            message,
            signature,
            algorithm,
            key_id: name(&header, "kid")?,
            issuer: name(&claims, "iss")?,
            // An audience beside this one could use the token here as well.
            audience: name(&claims, "aud")?,
            id: name(&claims, "jti")?,
            expires: time(&claims, "exp")?.ok_or_else(|| missing("exp"))?,
            claims,
        })
    }

    /// Verifies the signature with its issuer's key, and that the token is good now.
    ///
    /// # Errors
    /// [`BadIdentityToken`].
    pub(crate) fn verify(self, key: &Key, now: Timestamp) -> Result<IdentityToken, BadIdentityToken> {
        if self.algorithm != key.algorithm() {
            return Err(BadIdentityToken::OtherAlgorithm { token: self.algorithm, key: key.algorithm() });
        }
        if !key.has_signed(self.message.as_bytes(), &self.signature) {
            return Err(BadIdentityToken::Signature);
        }
        self.is_good(now)?;
        let used = Sha256::digest(format!("{}\0{}", self.issuer, self.id));
        let used: String = used.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(IdentityToken {
            claims: self.claims,
            single_use_key: format!("jwt:{used}"),
            kept_until: self.expires.checked_add(LEEWAY).unwrap_or(Timestamp::MAX),
        })
    }

    fn is_good(&self, now: Timestamp) -> Result<(), BadIdentityToken> {
        let issued = time(&self.claims, "iat")?.ok_or_else(|| missing("iat"))?;
        let lasts = self.expires.duration_since(issued);
        if lasts <= SignedDuration::ZERO {
            return Err(BadIdentityToken::Claim { claim: "exp", wanted: "a time after its `iat`" });
        }
        if lasts > LONGEST {
            return Err(BadIdentityToken::TooLong(lasts.as_secs()));
        }
        if self.expires <= now {
            return Err(BadIdentityToken::Expired { expired: self.expires, now });
        }
        let begins = time(&self.claims, "nbf")?.map(|at| ("nbf", at));
        for (claim, at) in [Some(("iat", issued)), begins].into_iter().flatten() {
            if at.duration_since(now) > LEEWAY {
                return Err(BadIdentityToken::InFuture { claim, at, now });
            }
        }
        Ok(())
    }
}

/// A part of a token: a JSON object in base64.
fn object(part: &str) -> Result<Map<String, Value>, BadIdentityToken> {
    let form = |why: String| BadIdentityToken::Form(why);
    let text = String::from_utf8(bytes(part)?).map_err(|error| form(error.to_string()))?;
    match strict_json::parse(&text).map_err(|error| form(error.to_string()))? {
        Value::Object(object) => Ok(object),
        _ => Err(form("it is not an object".to_owned())),
    }
}

/// Base64 without padding. There is one spelling for the same bytes.
fn bytes(part: &str) -> Result<Vec<u8>, BadIdentityToken> {
    URL_SAFE_NO_PAD.decode(part).map_err(|error| BadIdentityToken::Form(error.to_string()))
}

/// A claim that is one short text.
fn name(object: &Map<String, Value>, claim: &'static str) -> Result<String, BadIdentityToken> {
    let text =
        object.get(claim).and_then(Value::as_str).filter(|text| (1..=LONGEST_NAME).contains(&text.len()));
    text.map(str::to_owned).ok_or(BadIdentityToken::Claim { claim, wanted: "one text of 1 to 500 bytes" })
}

/// A claim that is a time, in whole seconds.
fn time(claims: &Claims, claim: &'static str) -> Result<Option<Timestamp>, BadIdentityToken> {
    let Some(value) = claims.get(claim) else { return Ok(None) };
    let second = value.as_i64().and_then(|second| Timestamp::from_second(second).ok());
    second.map(Some).ok_or_else(|| missing(claim))
}

fn missing(claim: &'static str) -> BadIdentityToken {
    BadIdentityToken::Claim { claim, wanted: "a time in whole seconds" }
}

#[cfg(test)]
mod tests {
    use p256::ecdsa::signature::Signer as _;
    use p256::ecdsa::{Signature, SigningKey};
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::jwks::Jwks;
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn encoded(bytes: impl AsRef<[u8]>) -> String {
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn issuer() -> SigningKey {
        SigningKey::from_slice(&[7; 32]).unwrap()
    }

    fn keys() -> Jwks {
        let point = issuer().verifying_key().to_sec1_point(false);
        let [x, y] = [&point.as_bytes()[1..33], &point.as_bytes()[33..]].map(encoded);
        let key = json!({ "kty": "EC", "crv": "P-256", "kid": "one", "x": x, "y": y });
        Jwks::parse(&json!({ "keys": [key] }).to_string()).unwrap()
    }

    /// A token of the issuer's, with these claims beside those that each has.
    fn token(more: &Value) -> String {
        let mut claims =
            json!({ "iss": "i", "aud": "a", "jti": "1", "iat": NOW - 5, "exp": NOW + 300, "sub": "s" });
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let header = json!({ "alg": "ES256", "kid": "one" });
        let message = format!("{}.{}", encoded(header.to_string()), encoded(claims.to_string()));
        let signature: Signature = issuer().sign(message.as_bytes());
        format!("{message}.{}", encoded(signature.to_bytes()))
    }

    fn is_taken(text: &str, keys: &Jwks) -> bool {
        let Ok(token) = Unverified::parse(text) else { return false };
        let Some(Ok(key)) = keys.find(&token.key_id) else { return false };
        token.verify(key, Timestamp::from_second(NOW).unwrap()).is_ok()
    }

    /// Whatever is remembered or compared by its text has one.
    #[test]
    fn a_token_has_one_spelling() {
        let (keys, token) = (keys(), token(&json!({})));
        assert!(is_taken(&token, &keys));
        let letters = (b' '..=b'~').map(char::from);
        for letter in letters {
            for at in 0..token.len() {
                let mut other = token.clone();
                other.replace_range(at..=at, &letter.to_string());
                assert!(other == token || !is_taken(&other, &keys), "{letter} at {at}");
            }
            assert!(!is_taken(&format!("{token}{letter}"), &keys), "{letter} at its end");
        }
        for end in 0..token.len() {
            assert!(!is_taken(&token[..end], &keys), "{end}");
        }
    }

    /// A value of JSON, as deep as it gets.
    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            proptest::sample::select(&[0, 500, 501][..]).prop_map(|length| "x".repeat(length).into()),
        ];
        leaf.prop_recursive(4, 16, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map(any::<String>(), inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    fn bytes() -> impl Strategy<Value = String> {
        proptest::collection::vec(any::<u8>(), 0..1100).prop_map(encoded)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_text(text in any::<String>()) {
            prop_assert!(!is_taken(&text, &keys()));
            let _ = Jwks::parse(&text);
        }

        /// Nothing but a text names its issuer, nothing but a number of seconds is a time: whatever a claim is, the token is read or refused.
        #[test]
        fn any_value_of_a_claim(
            claim in proptest::sample::select(&["iss", "aud", "jti", "iat", "nbf", "exp"][..]),
            value in any_json(),
        ) {
            let is_text = value.as_str().is_some_and(|text| (1..=500).contains(&text.len()));
            let is_time = value.as_i64().is_some();
            let taken = is_taken(&token(&json!({ claim: value })), &keys());
            let may_be = if matches!(claim, "iss" | "aud" | "jti") { is_text } else { is_time };
            prop_assert!(may_be || !taken);
        }

        #[test]
        fn any_value_of_a_header(
            name in proptest::sample::select(&["alg", "kid", "crit", "b64", "zip", "enc", "typ"][..]),
            value in any_json(),
        ) {
            let mut header = json!({ "alg": "ES256", "kid": "one" });
            header[name] = value;
            let good = token(&json!({}));
            let (_, rest) = good.split_once('.').unwrap();
            // It was signed with another header.
            let other = [&encoded(header.to_string()), ".", rest].concat();
            prop_assert!(!is_taken(&other, &keys()));
        }

        /// A key that is no point, or a modulus of zeros, verifies nothing.
        #[test]
        fn any_key(
            kind in proptest::sample::select(&["RSA", "EC", "oct", ""][..]),
            [n, e, x, y] in [bytes(), bytes(), bytes(), bytes()],
            is_short in any::<bool>(),
            more in any_json(),
        ) {
            let short = |text: String| if is_short { encoded([9; 32]) } else { text };
            let algorithm = if kind == "RSA" { "RS256" } else { "ES256" };
            let key = json!({
                "kty": kind, "crv": "P-256", "kid": "one", "n": n, "e": e, "x": short(x), "y": short(y), "x5c": more,
            });
            let Ok(keys) = Jwks::parse(&json!({ "keys": [key] }).to_string()) else { return Ok(()) };
            let header = encoded(json!({ "alg": algorithm, "kid": "one" }).to_string());
            let good = token(&json!({}));
            let (_, rest) = good.split_once('.').unwrap();
            let other = [&header, ".", rest].concat();
            prop_assert!(!is_taken(&other, &keys));
            prop_assert!(!is_taken(&good, &keys));
        }
    }
}

//! A software key that signs any bytes, right or wrong.

#![allow(dead_code, reason = "each test target uses its part")]

use asymmetric_token::{PublicKey, paseto};
use p384::ecdsa::signature::Signer as _;
use p384::ecdsa::{Signature, SigningKey};

#[derive(Debug)]
pub(crate) struct SoftwareKey(pub(crate) SigningKey);

impl SoftwareKey {
    pub(crate) fn new(seed: u8) -> Self {
        Self(SigningKey::from_slice(&[seed; 48]).unwrap())
    }

    pub(crate) fn public(&self) -> PublicKey {
        PublicKey::from_sec1(self.0.verifying_key().to_sec1_point(true).as_bytes()).unwrap()
    }

    /// A correctly signed token with whatever is in it.
    pub(crate) fn forge(&self, payload: impl AsRef<[u8]>, footer: impl AsRef<[u8]>) -> String {
        let (payload, footer) = (payload.as_ref(), footer.as_ref());
        let signature: Signature =
            self.0.sign(&paseto::signed_bytes(self.public().as_bytes(), payload, footer, b""));
        paseto::encode(payload, &signature.to_bytes().into(), footer)
    }

    pub(crate) fn footer(&self) -> String {
        format!(r#"{{"url":"sparse+https://r.example/","kip":"{0}","kid":"{0}"}}"#, self.public().id())
    }
}

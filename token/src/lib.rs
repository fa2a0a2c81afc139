//! RFC 3231 asymmetric tokens as bytes.
//!
//! An asymmetric token is a PASETO `v3.public` message (ECDSA over P-384 with SHA-384) whose JSON payload says what
//! it is good for: read, or one mutation of one crate. This crate turns [`Claims`] and a [`Footer`] into the 48
//! bytes that a key signs ([`Prepared`]), the 96-byte signature into a token, and a token back into claims
//! ([`Untrusted`], [`Verified`]). It does no I/O, reads no clock and holds no secret.
//!
//! What is left to the registry is policy: how old a token may be, which URL is its own, what a key may do.
//!
//! ```
//! use asymmetric_token::{Claims, Footer, Prepared, Untrusted};
//! use p384::ecdsa::{Signature, SigningKey, signature::hazmat::PrehashSigner};
//!
//! # let secret = SigningKey::from_slice(&[7; 48])?;
//! let public = asymmetric_token::PublicKey::from_sec1(secret.verifying_key().to_sec1_point(true).as_bytes())?;
//! let claims = Claims::read("2026-11-20T12:00:00Z".parse()?);
//! let footer = Footer::new("sparse+https://registry.example/index/", public.id());
//!
//! let prepared = Prepared::new(&public, &claims, &footer)?;
//! let signature: Signature = secret.sign_prehash(prepared.digest())?; // the card's part
//! let token = prepared.finish(&signature.to_bytes().into())?;
//!
//! let untrusted = Untrusted::parse(&token)?; // the footer finds the key …
//! assert_eq!(untrusted.footer().key_id, public.id());
//! let verified = untrusted.verify(&public)?; // … and only then are the claims to be had
//! assert_eq!(verified.claims, claims);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod challenge;
pub mod claims;
pub mod enrollment;
pub mod footer;
pub mod paserk;
pub mod paseto;
pub mod role;
pub mod sign;
pub mod strict_json;
pub mod verify;

mod error;
mod object;
mod payload;

pub use challenge::{CargoChallenge, ChallengeError, Requirement};
pub use claims::{Checksum, Claims, CrateName, Mutation};
pub use enrollment::Enrollment;
pub use error::{Error, Part};
pub use footer::{Footer, KeyIdField};
pub use paserk::{KeyId, PublicKey};
pub use paseto::MAX_TOKEN_BYTES;
pub use role::{BadRole, Role};
pub use sign::Prepared;
pub use verify::{Untrusted, Verified};

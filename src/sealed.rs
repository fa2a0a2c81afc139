//! Bearer tokens, sealed to a key on a card, for registries that take nothing else. The only user of `age`.
//!
//! A registry's token lies in `$CARGO_HOME/yk-cargo/sealed/` as an age file (age-encryption.org/v1) with one `piv-p256`
//! stanza for each card, as age-plugin-yubikey writes it; so `age` opens it too, with the same card. It is opened for
//! the change that is named and forgotten again. This is weaker than a signature: the token itself still goes to the
//! registry, and is as good there as any other.
//!
//! * [`BearerToken::new`] takes a token, [`AgeFile::seal`] seals it for [`Recipient`]s (no card needed).

//! * Which keys there are is in [`Enrollments::sealing_keys`](crate::enrollment::Enrollments::sealing_keys); the command
//!   `seal` makes them.

mod age_file;
mod contents;
mod piv_p256;

pub use age_file::{AgeFile, FileError, LONGEST_FILE};
pub use contents::{BearerToken, TokenError};
pub use piv_p256::{NoRecipient, Recipient, SharedSecret};

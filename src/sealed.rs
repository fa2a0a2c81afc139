//! Bearer tokens, sealed to a key on a card, for registries that take nothing else. The only user of `age`.
//!
//! A registry's token lies in `$CARGO_HOME/yk-cargo/sealed/` as an age file (age-encryption.org/v1) with one `piv-p256`
//! stanza for each card, as age-plugin-yubikey writes it; so `age` opens it too, with the same card. It is opened for
//! the change that is named and forgotten again. This is weaker than a signature: the token itself still goes to the
//! registry, and is as good there as any other.
//!
//! This is the format only: [`BearerToken`] is what is sealed, [`AgeFile`] the file, [`Recipient`] a key on a card.
//! Where the files lie, which keys there are, and the card itself are the business of others.

mod age_file;
mod contents;
mod piv_p256;

pub use age_file::{AgeFile, FileError, LONGEST_FILE};
pub use contents::{BearerToken, TokenError};
pub use piv_p256::{NoRecipient, Recipient, SharedSecret};

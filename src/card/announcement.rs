//! What a person reads before a key is used, and what their touch notice program is told.

use asymmetric_token::Mutation;

/// A use of a key. None of it is secret.
#[derive(Clone, Debug)]
pub(crate) struct Announcement {
    /// ``signing publish of `alpha 0.1.0` for `my-reg` with YubiKey 12345678 (laptop key)``
    pub(crate) text: String,
    /// What the person calls the registry.
    pub(crate) registry: String,
    /// What the person calls the card.
    pub(crate) card: String,
    /// The change that it is for, if it is for one.
    pub(crate) mutation: Option<Mutation>,
}

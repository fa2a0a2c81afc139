//! What can go wrong, in the words of the person it happens to, with the next step beside it.

mod hint;

use std::path::PathBuf;

use crate::enrollment::{self, Registry, Role};
use crate::folder;
use crate::index_url::IndexUrl;
use crate::piv::pin;
use crate::piv::{PinPolicy, Serial, Slot, TouchPolicy};
use crate::process::secret_program;
use crate::registry::{enrollment as registration, greeting};
use crate::text::escape;
use crate::ui::pinentry::PinentryError;
use crate::ui::{AskError, Nobody};
use crate::{cargo_config, piv, proof, reader, sealed, settings, trusted_keys};

/// Everything that stops an operation. Variants are for matching, [`Error::hint`] is for people.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The registry has a sealed token already.
    #[error("a token is sealed for `{registry}` already")]
    AlreadySealed {
        /// Its name, escaped.
        registry: String,
    },
    /// A question found no answer.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// `--slot` names another slot than the one in which the key was begun.
    #[error("this key was begun in slot {slot} of YubiKey {serial}")]
    BegunElsewhere {
        /// The card.
        serial: Serial,
        /// The slot.
        slot: Slot,
    },
    /// A text that cannot be a bearer token.
    #[error(transparent)]
    BearerToken(#[from] sealed::TokenError),
    /// Cargo's configuration.
    #[error(transparent)]
    CargoConfig(#[from] cargo_config::Error),
    /// Cargo's request makes no sense.
    #[error("cargo asked to sign something that is no crate")]
    CargoRequest(#[source] asymmetric_token::Error),
    /// The card's signature does not belong to the enrolled key.
    #[error("the card's signature is not that of the enrolled key; no token was made")]
    CardSignature(#[source] asymmetric_token::Error),
    /// The slot certificate cannot be made.
    #[error(transparent)]
    Certificate(#[from] piv::certificate::CertificateError),
    /// The registry gave no challenge.
    #[error("`{registry}` gave no challenge, and would refuse a token without one; nothing was signed")]
    Challenge {
        /// Its name, escaped.
        registry: String,
        /// Why not.
        source: greeting::Error,
    },
    /// The person said no.
    #[error("nothing was changed")]
    Declined,
    /// The card still has its factory PIN.
    #[error("YubiKey {serial} still has the default PIN 123456: whoever finds it could publish")]
    DefaultPin {
        /// The card.
        serial: Serial,
    },
    /// `--slot` names another slot than the one with the enrolled key.
    #[error("the {role} key for this registry is in slot {slot} of YubiKey {serial} already")]
    EnrolledElsewhere {
        /// The card.
        serial: Serial,
        /// The key's role.
        role: Role,
        /// The slot.
        slot: Slot,
    },
    /// The enrollments file.
    #[error(transparent)]
    Enrollments(#[from] enrollment::Error),
    /// A registry does not give what it was asked for.
    #[error("cannot get {what} from the registry")]
    Fetch {
        /// What.
        what: String,
        /// Why not.
        source: Box<greeting::Error>,
    },
    /// A file given on the command line.
    #[error("cannot read {}", file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file of this program cannot be read, written or trusted.
    #[error(transparent)]
    Folder(#[from] folder::Error),
    /// A key that was enrolled is no longer there.
    #[error("slot {slot} of YubiKey {serial} no longer holds the enrolled key")]
    KeyGone {
        /// The card.
        serial: Serial,
        /// The slot.
        slot: Slot,
    },
    /// One PIN try is left and nobody agreed to spend it.
    #[error("one try is left before the PIN of YubiKey {serial} is blocked; it was not spent")]
    LastTry {
        /// The card.
        serial: Serial,
    },
    /// The management key is needed and not known.
    #[error("YubiKey {serial} has a management key of its own, which is needed to make keys")]
    ManagementKeyNeeded {
        /// The card.
        serial: Serial,
    },
    /// What was given as management key is none.
    #[error("a management key is 32, 48 or 64 hexadecimal digits")]
    ManagementKeySyntax,
    /// No YubiKey is plugged in.
    #[error("no YubiKey is plugged in; this needs {wanted}")]
    NoCard {
        /// Which would do.
        wanted: String,
    },
    /// No room for the keys.
    #[error("YubiKey {serial} has no {wanted} empty retired slots (82 to 95)")]
    NoEmptySlot {
        /// The card.
        serial: Serial,
        /// How many were wanted.
        wanted: usize,
    },
    /// `--existing` found nothing.
    #[error("YubiKey {serial} has no key that could be adopted for {}", escape(index))]
    NothingToAdopt {
        /// The card.
        serial: Serial,
        /// The registry.
        index: IndexUrl,
    },
    /// The enrollment has no key for this.
    #[error("no {role} key is enrolled for `{registry}`")]
    NoKeyForRole {
        /// The registry.
        registry: String,
        /// `read` or `publish`.
        role: &'static str,
    },
    /// A PIN is needed and there is nobody to ask.
    #[error("YubiKey {serial} needs its PIN, and {nobody}")]
    NoPin {
        /// The card.
        serial: Serial,
        /// Why not.
        nobody: Nobody,
    },
    /// `cargo login` without a token, and nobody to ask for one.
    #[error("no token was given, and {nobody}")]
    NoToken {
        /// Why not.
        nobody: Nobody,
    },
    /// No token is sealed for this registry.
    #[error("no token is sealed for {}", escape(registry))]
    NotSealed {
        /// Name or URL.
        registry: String,
    },
    /// A registry without a proof of a version.
    #[error("the registry has no proof of {version}")]
    NoProof {
        /// Crate and version.
        version: String,
    },
    /// No such registry here.
    #[error("{} is not enrolled", escape(registry))]
    NotEnrolled {
        /// Name or URL.
        registry: String,
    },
    /// The card that is to be replaced, or whose keys are to be used, is not enrolled there.
    #[error("YubiKey {serial} is not enrolled for {}", escape(index))]
    NotOneOfItsCards {
        /// The card.
        serial: Serial,
        /// The registry.
        index: IndexUrl,
        /// The cards that are enrolled there; empty if there are none.
        enrolled: String,
    },
    /// Not a .crate file.
    #[error("{} is not a .crate file: {reason}", file.display())]
    NotACrate {
        /// The file.
        file: PathBuf,
        /// Why not.
        reason: String,
    },
    /// `verify` found something that does not hold; it has said what.
    #[error("{failed} {} not hold: do not use this crate for what it says it is", if *.failed == 1 { "check does" } else { "checks do" })]
    NotProven {
        /// How many checks failed.
        failed: usize,
    },
    /// The touch did not come.
    #[error("YubiKey {serial} was not touched in time; nothing was signed or opened")]
    NotTouched {
        /// The card.
        serial: Serial,
    },
    /// Old firmware does not show imported keys.
    #[error(
        "YubiKey {serial} has firmware {firmware}, which does not show imported keys: one may be in slot {slots}"
    )]
    OnlyLooksEmpty {
        /// The card.
        serial: Serial,
        /// Its firmware.
        firmware: piv::Version,
        /// The slots that look empty, as `--slot` takes them.
        slots: String,
    },
    /// A project gives a name another URL than the person's own configuration.
    #[error(
        "cargo asks for registry `{}` at\n    {}\nbut in your own configuration it is\n    {}",
        escape(name),
        escape(asked),
        escape(known)
    )]
    OtherIndex {
        /// The name.
        name: String,
        /// What cargo says now.
        asked: IndexUrl,
        /// What the person's configuration says.
        known: IndexUrl,
    },
    /// Another card is enrolled, and nobody said that this one be added.
    #[error("this registry is enrolled with {enrolled}, and YubiKey {serial} is plugged in")]
    OtherCardEnrolled {
        /// The card that is there.
        serial: Serial,
        /// The cards that are enrolled.
        enrolled: String,
    },
    /// One key is enrolled and two were asked for, the other way round, or those of another registry.
    #[error("YubiKey {serial} is enrolled there already, with other keys")]
    OtherKeysEnrolled {
        /// The card.
        serial: Serial,
    },
    /// A registry has one key subject for all its keys.
    #[error("this registry is enrolled with the key subject `{}`", escape(enrolled))]
    OtherSubject {
        /// The subject; empty if there is none.
        enrolled: String,
    },
    /// A PIN that cannot be one.
    #[error(transparent)]
    Pin(#[from] pin::PinError),
    /// The pinentry program.
    #[error(transparent)]
    Pinentry(#[from] PinentryError),
    /// The PIV application.
    #[error(transparent)]
    Piv(#[from] piv::Error),
    /// A proof that cannot be read.
    #[error(transparent)]
    Proof(#[from] proof::Error),
    /// PC/SC.
    #[error(transparent)]
    Reader(#[from] reader::Error),
    /// The credential provider was given arguments.
    #[error(
        "yk-cargo takes no arguments as credential provider, and was given `{arguments}`; nothing was signed"
    )]
    ProviderArguments {
        /// Which, escaped.
        arguments: String,
    },
    /// The registry did not take the keys.
    #[error(transparent)]
    Registration(#[from] registration::Error),
    /// `--replace` names the card that is to be enrolled.
    #[error("YubiKey {serial} is to be replaced, but no other YubiKey is there to be enrolled")]
    ReplacesItself {
        /// The card.
        serial: Serial,
    },
    /// A sealed token cannot be used.
    #[error("the sealed token of `{registry}` cannot be used ({})", file.display())]
    Sealed {
        /// The registry's name, escaped.
        registry: String,
        /// The file.
        file: PathBuf,
        /// Why not.
        #[source]
        problem: sealed::FileError,
    },
    /// The file is sealed for keys that this computer does not know.
    #[error("the token of `{registry}` is sealed for no card that is known here")]
    SealedForOthers {
        /// The registry's name, escaped.
        registry: String,
    },
    /// What is sealed is not what lies in clear.
    #[error("the sealed token of `{registry}` is not the one in clear")]
    SealedIsAnother {
        /// The registry's name, escaped.
        registry: String,
    },
    /// A key that tokens are sealed to is no longer there.
    #[error("slot {slot} of YubiKey {serial} no longer holds the key that tokens are sealed to")]
    SealingKeyGone {
        /// The card.
        serial: Serial,
        /// The slot.
        slot: Slot,
    },
    /// Several cards and no choice.
    #[error("several YubiKeys are plugged in: {}", list(found))]
    SeveralCards {
        /// Their numbers.
        found: Vec<Serial>,
    },
    /// Old firmware, and nobody who could read what is printed on the key.
    #[error("this YubiKey's firmware does not tell its number")]
    SerialNeeded,
    /// The settings.
    #[error(transparent)]
    Settings(#[from] settings::Error),
    /// The trusted keys.
    #[error(transparent)]
    TrustedKeys(#[from] trusted_keys::Error),
    /// A program that was to print a secret.
    #[error(transparent)]
    SecretProgram(#[from] secret_program::Error),
    /// A slot that was asked for is taken.
    #[error("slot {slot} of YubiKey {serial} is not empty; nothing is ever overwritten")]
    SlotTaken {
        /// The card.
        serial: Serial,
        /// The slot.
        slot: Slot,
    },
    /// This registry verifies signed tokens; a bearer token would be the weaker thing.
    #[error("{} is enrolled: its tokens are signed, and there is nothing to seal", escape(registry))]
    Signs {
        /// Name or URL.
        registry: String,
    },
    /// Standard input or output.
    #[error("standard input or output failed")]
    Stdio(#[source] std::io::Error),
    /// A token.
    #[error(transparent)]
    Token(#[from] asymmetric_token::Error),
    /// Tokens would cross the network in clear.
    #[error("{} is not protected by TLS", escape(index))]
    Unprotected {
        /// The registry.
        index: IndexUrl,
    },
    /// `doctor` found something that has to be mended; it has said what.
    #[error("{failed} {} to be mended", if *.failed == 1 { "thing has" } else { "things have" })]
    Unwell {
        /// How many checks failed.
        failed: usize,
    },
    /// Wrong arguments that clap cannot see.
    #[error("{0}")]
    Usage(&'static str),
    /// A key asks for less than what was agreed to.
    #[error(
        "the key in slot {slot} of YubiKey {serial} has PIN {pin}, touch {touch}, less than was asked for; it is not enrolled"
    )]
    WeakerKey {
        /// The card.
        serial: Serial,
        /// The slot.
        slot: Slot,
        /// As it is.
        pin: PinPolicy,
        /// As it is.
        touch: TouchPolicy,
    },
    /// A card was chosen by its number, or found, and another one is there.
    #[error("{} is plugged in, not YubiKey {wanted}", named(found))]
    NotTheChosenCard {
        /// What is there, as far as it tells its number.
        found: Vec<Serial>,
        /// The chosen one.
        wanted: Serial,
    },
    /// The enrolled card is not the one plugged in.
    #[error("{} is plugged in, but this needs {wanted}", named(found))]
    WrongCard {
        /// What is there, as far as it tells its number.
        found: Vec<Serial>,
        /// What would do.
        wanted: String,
    },
    /// A wrong PIN, and nobody to try again.
    #[error("wrong PIN, {tries} {} left", if *.tries == 1 { "try" } else { "tries" })]
    WrongPin {
        /// Tries left.
        tries: u8,
    },
}

impl Error {
    pub(crate) fn no_key(registry: &Registry, mutation: bool) -> Self {
        Self::NoKeyForRole {
            registry: escape(registry.display_name()),
            role: if mutation { "publish" } else { "read" },
        }
    }
}

fn named(serials: &[Serial]) -> String {
    if serials.is_empty() { "another YubiKey".into() } else { format!("YubiKey {}", list(serials)) }
}

fn list(serials: &[Serial]) -> String {
    serials.iter().map(Serial::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
#[cfg(unix)]
mod tests;

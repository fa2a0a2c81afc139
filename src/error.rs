//! What can go wrong, in the words of the person it happens to, with the next step beside it.

use std::path::PathBuf;

use crate::enrollment::{self, ChallengeSource, Registry, Role};
use crate::folder;
use crate::index_url::IndexUrl;
use crate::piv::pin;
use crate::piv::{PinPolicy, Serial, Slot, TouchPolicy};
use crate::process::secret_program::{self, PIN_COMMAND};
use crate::registry::{enrollment as registration, greeting, staged};
use crate::text::{escape, escape_path, foreign_word};
use crate::ui::pinentry::PinentryError;
use crate::ui::{AskError, FOREGROUND, Nobody};
use crate::{cargo_config, lock_file, piv, proof, reader, sealed, sealed_files, settings, trust};

/// Everything that stops an operation. Variants are for matching; messages, and [`Error::hint`], are for people.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "a variant's message says what it is")]
pub enum Error {
    #[error("a token for `{registry}` is already sealed")]
    AlreadySealed {
        /// Its name, escaped.
        registry: String,
    },
    /// Another run of this program is making the same key.
    #[error("another yk-cargo is making this key in slot {slot} of YubiKey {serial}")]
    AnotherRun { serial: Serial, slot: Slot },
    /// A key asks for a PIN or a touch, and is enrolled as one that does not.
    #[error("a key of YubiKey {serial} asks for more than its enrollment says")]
    AsksMore { serial: Serial },
    #[error(transparent)]
    Ask(#[from] AskError),
    /// `--slot` names another slot than the one in which the key was begun.
    #[error("this key was already started in slot {slot} of YubiKey {serial}")]
    BegunElsewhere { serial: Serial, slot: Slot },
    #[error(transparent)]
    BearerToken(#[from] sealed::TokenError),
    #[error(transparent)]
    CargoConfig(#[from] cargo_config::Error),
    #[error("cargo asked for a signature on something that is not a crate")]
    CargoRequest(#[source] asymmetric_token::Error),
    #[error("the card's signature does not match the enrolled key; no token was made")]
    CardSignature(#[source] asymmetric_token::Error),
    #[error(transparent)]
    Certificate(#[from] piv::certificate::CertificateError),
    #[error(
        "cannot get a challenge from `{registry}`, which would refuse a token without one; nothing was signed"
    )]
    Challenge {
        /// Its name, escaped.
        registry: String,
        source: greeting::Error,
    },
    /// The person said no.
    #[error("nothing was changed")]
    Declined,
    #[error("YubiKey {serial} still has the default PIN 123456: anyone who finds it could publish")]
    DefaultPin { serial: Serial },
    /// `--backup`, and the only enrolled card is the one that is there.
    #[error("YubiKey {serial} is already enrolled, and no other YubiKey is plugged in to be its backup")]
    BacksUpItself { serial: Serial },
    /// `--backup`, and there is no first card.
    #[error("`{}` is not enrolled yet, so that there is no card to back up", escape(registry))]
    BacksUpNone { registry: String, proofs: bool },
    /// `--proofs` for a registry that takes signed tokens, or the other way round.
    #[error("this registry is enrolled {}", if *.proofs { "for proofs only, because it takes no signed tokens" } else { "as one that takes signed tokens" })]
    ForSomethingElse { proofs: bool },
    /// `--slot` names another slot than the one with the enrolled key.
    #[error("the {role} key for this registry is already in slot {slot} of YubiKey {serial}")]
    EnrolledElsewhere { serial: Serial, role: Role, slot: Slot },
    /// A project has the token take another way than the person's own configuration.
    #[error("the token of `{registry}` was not opened: {}", settings(detours))]
    Detour {
        /// The registry's name, escaped.
        registry: String,
        detours: Vec<cargo_config::Detour>,
    },
    #[error(transparent)]
    Enrollments(#[from] enrollment::Error),
    #[error("cannot get {what} from the registry")]
    Fetch { what: String, source: Box<greeting::Error> },
    /// A file given on the command line.
    #[error("cannot read {}", file.display())]
    File { file: PathBuf, source: std::io::Error },
    /// A file that is to be written, and nobody said that it may be written over.
    #[error("{} already exists", escape_path(file))]
    FileExists { file: PathBuf },
    /// A folder given on the command line.
    #[error("cannot write into {}", file.display())]
    WriteFile { file: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Folder(#[from] folder::Error),
    #[error("the index cannot be used for {name}: {}", escape(&problem.to_string()))]
    IndexFile { name: String, problem: crate_file::index::NotServed },
    /// `--key-file`.
    #[error("there is no secret key in {}", file.display())]
    KeyFile { file: PathBuf },
    #[error("slot {slot} of YubiKey {serial} no longer holds the enrolled key")]
    KeyGone { serial: Serial, slot: Slot },
    #[error("only one try is left before the PIN of YubiKey {serial} is blocked; it was not spent")]
    LastTry { serial: Serial },
    #[error(transparent)]
    LockFile(#[from] lock_file::Error),
    /// `audit` has not seen that the log is what it was; it has said so.
    #[error("the log of {registry} could not be shown to be the one you know")]
    Log {
        /// What the person calls it, safe to show.
        registry: String,
        /// The process ends with it.
        code: u8,
        next: &'static str,
    },
    #[error("YubiKey {serial} has its own management key, which is needed to make keys")]
    ManagementKeyNeeded { serial: Serial },
    #[error("YubiKey {serial} was not touched in time for its management key")]
    ManagementKeyNotTouched { serial: Serial },
    #[error("a management key is 32, 48 or 64 hexadecimal digits")]
    ManagementKeySyntax,
    #[error("no YubiKey is plugged in; this needs {wanted}")]
    NoCard { wanted: String },
    /// `seal --add-card`, and only cards are there that open the tokens.
    #[error("no other YubiKey is plugged in than those that already open the tokens")]
    NoOtherCard,
    /// A registry's token is opened for changes only, and its index refuses reads without one.
    #[error(
        "the index of `{registry}` refuses reads without a token, but the sealed one is opened for changes only"
    )]
    SealedForChanges {
        /// The registry's name, escaped.
        registry: String,
        /// Then its index needs no token, whatever a server answers.
        is_crates_io: bool,
    },
    #[error("YubiKey {serial} does not have {wanted} empty retired slots (82 to 95)")]
    NoEmptySlot { serial: Serial, wanted: usize },
    /// `--existing` found nothing.
    #[error("YubiKey {serial} has no key that could be adopted for {}", escape(index))]
    NothingToAdopt { serial: Serial, index: IndexUrl },
    #[error("no {role} key is enrolled for `{registry}`")]
    NoKeyForRole { registry: String, role: &'static str },
    #[error("YubiKey {serial} needs its PIN, and {nobody}")]
    NoPin { serial: Serial, nobody: Nobody },
    /// `cargo login` without a token, and nobody to ask for one.
    #[error("no token was given, and {nobody}")]
    NoToken { nobody: Nobody },
    /// `--registry` where a machine is to stage.
    #[error(
        "{}", if *.is_there { "the token that cargo has for this registry is not a staging token: the registry would publish at once" } else { "cargo has no token for this registry" }
    )]
    NoStagingToken {
        /// Its name.
        registry: String,
        /// Whether there is another token.
        is_there: bool,
    },
    #[error("{version} is not staged at `{registry}`, or it does not concern you")]
    NotStaged {
        version: String,
        /// Its name, escaped.
        registry: String,
    },
    #[error("{version} is not in the list of `{registry}` as far as it is read: {cut}")]
    NotAmongTheFirst {
        version: String,
        /// Its name, escaped.
        registry: String,
        /// How far that is.
        cut: String,
    },
    #[error("{version} is staged more than once")]
    StagedTwice {
        version: String,
        /// Numbers at the registry.
        ids: String,
    },
    /// The registry keeps another file than it says, or one that cannot be read.
    #[error(
        "the file that the registry keeps as {version} is not what its description says: {why}; nothing was signed"
    )]
    NotTheStaged {
        version: String,
        /// Safe to show.
        why: String,
    },
    #[error("{version} cannot be approved or rejected: it is {state}")]
    NotOpen { version: String, state: &'static str },
    #[error("{version} was staged again in the meantime; nothing was signed for it")]
    Restaged { version: String },
    #[error("you have already approved {version}; somebody else has to approve it as well")]
    ApprovedAlready { version: String },
    #[error("the registry does not let you approve {version}")]
    MayNotApprove { version: String },
    #[error("{versions} depend on each other in a circle")]
    Circle { versions: String },
    #[error("{version} depends on {dependency}, which is staged but not published; nothing was signed")]
    DependencyFirst {
        version: String,
        dependency: String,
        /// The command that approves both.
        next: String,
    },
    #[error("{version} depends on {dependency}, which waits for somebody else's approval")]
    DependencyWaits { version: String, dependency: String },
    /// An approval of several has failed.
    #[error("stopped at {version}; {}", approved(done, *.of))]
    Stopped {
        version: String,
        /// The versions that were approved.
        done: Vec<String>,
        of: usize,
        source: Box<Error>,
    },
    #[error("no token is sealed for {}", escape(registry))]
    NotSealed {
        /// Name or URL.
        registry: String,
    },
    #[error("the registry has no proof of {version}")]
    NoProof { version: String },
    /// A change names what is not there, by the registry's own index.
    #[error(
        "`{registry}` has no {version}: the crate is called `{}` there; nothing was signed",
        escape(spelling)
    )]
    NoSuchVersion {
        /// Name or URL.
        registry: String,
        /// Name and version as they were given.
        version: String,
        /// The crate's name in the index.
        spelling: String,
    },
    /// The registry has not all of its log.
    #[error("the log is missing {path}, which is part of it")]
    NoTile {
        /// A tile's.
        path: String,
    },
    #[error("{registry} {why}, and was not asked again")]
    GivenUp {
        /// What the person calls it, safe to show.
        registry: String,
        why: &'static str,
    },
    #[error("{} is not enrolled", escape(registry))]
    NotEnrolled {
        /// Name or URL.
        registry: String,
    },
    /// The card that is to be replaced, or whose keys are to be used, is not enrolled there.
    #[error("YubiKey {serial} is not enrolled for {}", escape(index))]
    NotOneOfItsCards {
        serial: Serial,
        index: IndexUrl,
        /// The cards that are enrolled there; empty if there are none.
        enrolled: String,
    },
    #[error("{} is not a .crate file: {reason}", file.display())]
    NotACrate { file: PathBuf, reason: String },
    /// Cargo builds something that the lock file does not name, so there is no use in verifying that.
    #[error("{origin} sets `{}`, so cargo builds something other than what the lock file names", escape(key))]
    NotAsLocked { key: String, origin: cargo_config::Origin },
    /// `verify` found something that does not hold; it has said what.
    #[error("{failed} {} failed: do not trust this crate to be what it claims", if *.failed == 1 { "check" } else { "checks" })]
    NotProven { failed: usize },
    /// Not every package of a lock file is trusted; `verify` has said which.
    #[error("{packages} {} not trusted; the worst verdict is: {worst}", if *.packages == 1 { "package is" } else { "packages are" })]
    NotTrusted {
        packages: usize,
        /// A verdict.
        worst: &'static str,
        /// The process ends with it.
        code: u8,
        next: &'static str,
    },
    /// The card made something else than what it was asked for.
    #[error("YubiKey {serial} was asked for a new key in slot {slot}, but {what}; it was not enrolled")]
    NotAsMade { serial: Serial, slot: Slot, what: &'static str },
    #[error("YubiKey {serial} needs a touch, which is not possible on an NFC reader; nothing was done")]
    NoTouchOverNfc { serial: Serial },
    /// Something answers there, but no index.
    #[error("there is no index at this URL, so no keys were made for it")]
    NoIndex { source: greeting::Error },
    /// `--refresh`, and the registry does not say what it wants.
    #[error("cannot ask `{registry}`; nothing was changed, and yk-cargo still assumes that it {}", known.in_words())]
    NotRefreshed {
        /// Its name, escaped.
        registry: String,
        known: ChallengeSource,
        source: greeting::Error,
    },
    #[error("YubiKey {serial} was not touched in time; nothing was signed or opened")]
    NotTouched { serial: Serial },
    #[error(
        "YubiKey {serial} has firmware {firmware}, which does not show imported keys: one may be in slot {slots}"
    )]
    OnlyLooksEmpty {
        serial: Serial,
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
    OtherIndex { name: String, asked: IndexUrl, known: IndexUrl },
    /// Another card is enrolled, and nobody said that this one be added.
    #[error("this registry is enrolled with {enrolled}, and YubiKey {serial} is plugged in")]
    OtherCardEnrolled { serial: Serial, enrolled: String },
    /// One key is enrolled and two were asked for, the other way round, or those of another registry.
    #[error("YubiKey {serial} is already enrolled there, with other keys")]
    OtherKeysEnrolled { serial: Serial },
    /// A registry has one key subject for all its keys.
    #[error("this registry is enrolled with the key subject `{}`", escape(enrolled))]
    OtherSubject {
        /// The subject; empty if there is none.
        enrolled: String,
    },
    #[error(transparent)]
    Pin(#[from] pin::PinError),
    #[error("the PIN of YubiKey {serial} is blocked")]
    PinBlocked { serial: Serial },
    #[error(transparent)]
    Pinentry(#[from] PinentryError),
    #[error(transparent)]
    Piv(#[from] piv::Error),
    #[error(transparent)]
    Proof(#[from] proof::Error),
    /// It is signed for, and not published as far as the index says.
    #[error("the index does not have {version} yet, so its proof stays pending")]
    ProofPending { version: String },
    #[error("the index does not have {version}")]
    NotListed { version: String },
    #[error("no key for proofs is enrolled for {}", escape(registry))]
    NotProving {
        /// Name or URL.
        registry: String,
    },
    /// A crate file is not what a repository has, or cannot be compared.
    #[error("nothing was signed: {why}")]
    NotFromSource {
        /// Safe to show.
        why: String,
    },
    /// The registry gives no proofs, and none was signed on this computer.
    #[error("no proof of {version} was signed on this computer, and the registry gives none")]
    NotSignedHere { version: String },
    /// It is at a place of its own.
    #[error("there may be a proof, but it cannot be fetched: {why}")]
    ProofWithheld {
        /// Safe to show.
        why: String,
    },
    /// A proof that does not hold.
    #[error("the proof is not saved: {why}")]
    ProofNotSaved {
        /// Safe to show.
        why: String,
    },
    #[error(transparent)]
    Reader(#[from] reader::Error),
    #[error(
        "yk-cargo takes no arguments as a credential provider, but was given `{arguments}`; nothing was signed"
    )]
    ProviderArguments {
        /// Which, escaped.
        arguments: String,
    },
    #[error(transparent)]
    Registration(#[from] registration::Error),
    #[error("YubiKey {serial} is to be replaced, but no other YubiKey is plugged in")]
    ReplacesItself { serial: Serial },
    #[error(transparent)]
    Sealed(#[from] sealed_files::Error),
    #[error("the token of `{registry}` is not sealed for any card known on this computer")]
    SealedForOthers {
        /// The registry's name, escaped.
        registry: String,
    },
    #[error("the sealed token of `{registry}` differs from the plaintext one")]
    SealedIsAnother {
        /// The registry's name, escaped.
        registry: String,
    },
    #[error("slot {slot} of YubiKey {serial} no longer holds the key that tokens are sealed to")]
    SealingKeyGone { serial: Serial, slot: Slot },
    #[error("several YubiKeys are plugged in: {}", list(found))]
    SeveralCards { found: Vec<Serial> },
    /// A card that does not tell its number, and nobody who could read what is printed on it.
    #[error("this YubiKey does not report its serial number")]
    SerialNeeded,
    #[error(transparent)]
    Settings(#[from] settings::Error),
    #[error(transparent)]
    Trust(#[from] trust::Error),
    #[error(transparent)]
    Staging(#[from] staged::Error),
    #[error(transparent)]
    SecretProgram(#[from] secret_program::Error),
    #[error("slot {slot} of YubiKey {serial} is not empty, and yk-cargo never overwrites a key")]
    SlotTaken { serial: Serial, slot: Slot },
    /// This registry verifies signed tokens; a bearer token would be the weaker thing.
    #[error("{} is enrolled: its tokens are signed, so there is nothing to seal", escape(registry))]
    Signs {
        /// Name or URL.
        registry: String,
    },
    #[error("standard input or output failed")]
    Stdio(#[source] std::io::Error),
    #[error(transparent)]
    Token(#[from] asymmetric_token::Error),
    /// Tokens would cross the network in clear.
    #[error("{} is not protected by TLS", escape(index))]
    Unprotected { index: IndexUrl },
    /// `doctor` found something that stops cargo; it has said what.
    #[error("{failed} {} failed", if *.failed == 1 { "check" } else { "checks" })]
    Unwell { failed: usize },
    /// The card that is there is of no use, and others would do.
    #[error("{error}")]
    UseAnother { error: Box<Error>, others: String },
    /// Wrong arguments that clap cannot see.
    #[error("{0}")]
    Usage(&'static str),
    #[error(
        "the key in slot {slot} of YubiKey {serial} has PIN {pin}, touch {touch}, less than was asked for; it was not enrolled"
    )]
    WeakerKey { serial: Serial, slot: Slot, pin: PinPolicy, touch: TouchPolicy },
    /// A card was chosen by its number, or found, and another one is there.
    #[error("{} plugged in, not YubiKey {wanted}", present(found))]
    NotTheChosenCard {
        /// What is there, as far as it tells its number.
        found: Vec<Serial>,
        wanted: Serial,
    },
    #[error("{} plugged in, but this needs {wanted}", present(found))]
    WrongCard {
        /// What is there, as far as it tells its number.
        found: Vec<Serial>,
        wanted: String,
    },
    /// A wrong PIN, and nobody to try again.
    #[error("wrong PIN, {tries} {} left", if *.tries == 1 { "try" } else { "tries" })]
    WrongPin { tries: u8 },
}

impl Error {
    /// What the process ends with: 2 for wrong arguments, as clap has it; what `verify --lock` documents; else 1.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::NotTrusted { code, .. } | Self::Log { code, .. } => *code,
            _ => 1,
        }
    }

    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Ask(error) => return error.hint(),
            Self::BearerToken(error) => error.hint().into(),
            Self::CargoConfig(error) => return error.hint(),
            Self::Enrollments(error) => error.hint(),
            Self::GivenUp { .. } | Self::NoTile { .. } => "try again when the registry answers".into(),
            Self::Log { next, .. } => (*next).into(),
            Self::Folder(error) => error.hint(),
            Self::Pinentry(error) => error.hint().into(),
            Self::LockFile(error) => error.hint().into(),
            Self::NotTrusted { next, .. } => (*next).into(),
            Self::Piv(error) => return error.hint().map(str::to_owned),
            Self::Proof(error) => return error.hint().map(str::to_owned),
            Self::Reader(error) => error.hint().into(),
            Self::Registration(error) => error.hint(),
            Self::Sealed(error) => error.hint(),
            Self::SecretProgram(error) => error.hint().into(),
            Self::Settings(error) => error.hint(),
            Self::Staging(error) => return error.hint(),
            Self::Trust(error) => error.hint(),

            Self::NoStagingToken { registry, .. } => format!(
                "put the staging token that the registry gives to machines into {}",
                cargo_config::registry_variable(registry, "token")
            ),
            Self::NotStaged { .. } => "`yk-cargo stage list` shows what is there".into(),
            Self::NotAmongTheFirst { .. } => {
                "give its number in place of its name; the registry's administrator knows it, and should find out who stages so many".into()
            }
            Self::StagedTwice { ids, .. } => format!("give the number of the one you mean: {ids}"),
            Self::NotTheStaged { .. } => "tell the registry's administrator, and do not approve it".into(),
            Self::NotOpen { .. } => "`yk-cargo stage list` shows what can be".into(),
            Self::Restaged { .. } => "look at it again: `yk-cargo stage view hello@1.0.0`".into(),
            Self::ApprovedAlready { .. } | Self::DependencyWaits { .. } => {
                "`yk-cargo stage list` shows who has approved what".into()
            }
            Self::MayNotApprove { .. } => {
                "only the crate's owner and its approvers may; the registry's administrator can make you an approver".into()
            }
            Self::Circle { .. } => "such crates cannot be built: do not approve them".into(),
            Self::DependencyFirst { next, .. } => format!("approve them in this order, or all at once: {next}"),
            Self::Stopped { source, .. } => match source.hint() {
                Some(hint) => format!("{hint}; the same command goes on with the rest"),
                None => "run the same command again, which goes on with the rest".into(),
            },

            Self::NotAsLocked { key, origin } => {
                format!("take `{}` out of {origin}, then build with `cargo --locked`", escape(key))
            }
            Self::WriteFile { .. } => "name a folder that you can write to and that is not a symbolic link".into(),
            Self::AlreadySealed { registry } => {
                format!("to replace it: yk-cargo seal {} --rotate", foreign_word(registry))
            }
            Self::AnotherRun { .. } => "let it finish, then run the command again".into(),
            Self::AsksMore { .. } => {
                "another program may have changed enrollments.toml: `yk-cargo doctor` compares it with the card".into()
            }
            Self::BegunElsewhere { .. } => "leave out --slot to finish it there".into(),
            Self::IndexFile { .. } => "tell the registry's administrator".into(),
            Self::ForSomethingElse { proofs: true } => "add --proofs to the command; to change it: `yk-cargo forget REGISTRY`, then enroll again".into(),
            Self::ForSomethingElse { proofs: false } => {
                "a registry that takes signed tokens keeps the proofs itself: `yk-cargo proof hello@1.0.0 --registry REGISTRY`; to change it: `yk-cargo forget REGISTRY`, then enroll again".into()
            }
            Self::FileExists { .. } => "to overwrite it, add --force".into(),
            Self::ProofNotSaved { .. } => "find out who published this version before you tell anybody that it is signed".into(),
            Self::ProofWithheld { .. } => "ask the crate's publisher for the proof, and pass it with --proof".into(),
            Self::ProofPending { .. } => "run the command again once it is published".into(),
            Self::NotListed { .. } => "publish it first, or give the crate file instead".into(),
            Self::NotProving { registry } => format!("yk-cargo enroll {} --proofs", foreign_word(registry)),
            Self::NotFromSource { .. } => {
                "find out where this file came from; without --source it is signed as it is".into()
            }
            Self::NotSignedHere { .. } => "`yk-cargo sign hello@1.0.0` signs one, if you are its publisher".into(),
            Self::Fetch { source, .. } => return source.hint(),
            Self::Detour { detours, .. } if detours.iter().any(|detour| detour.key.starts_with("alias.")) => {
                "run cargo from another folder, with --manifest-path; or take the alias out of that file".into()
            }
            Self::Detour { .. } => {
                "run cargo from another folder, with --manifest-path; or, if you trust this setting, add it to $CARGO_HOME/config.toml too".into()
            }
            Self::SealedForChanges { is_crates_io: true, .. } => {
                "crates.io's index needs no token: before you publish, find out who is answering in its place".into()
            }
            Self::SealedForChanges { registry, .. } => format!(
                "if the registry now requires it for every read: yk-cargo seal {} --reads auth-required",
                foreign_word(registry)
            ),
            Self::CardSignature(_) => {
                "if another program replaced the key, `yk-cargo enroll REGISTRY` makes a new one; otherwise, stop using this card".into()
            }
            Self::Challenge { registry, source } => source.hint().unwrap_or_else(|| {
                format!(
                    "try again when the registry answers; if its settings have changed: yk-cargo enroll {} --refresh",
                    foreign_word(registry)
                )
            }),
            Self::DefaultPin { .. } => {
                "choose a PIN: `ykman piv access change-pin` (or accept the risk: --allow-default-pin)".into()
            }
            Self::BacksUpNone { registry, proofs } => format!(
                "yk-cargo enroll {}{}",
                foreign_word(registry),
                if *proofs { " --proofs" } else { "" }
            ),
            Self::BacksUpItself { .. } => "plug in the other one; both may stay plugged in".into(),
            Self::EnrolledElsewhere { .. } => {
                "leave out --slot to keep using it; to make new keys in other slots: `yk-cargo forget REGISTRY`, then enroll again".into()
            }
            Self::KeyFile { .. } => "`yk-cargo stage new-key FILE` makes one, which begins with `k3.secret.`".into(),
            Self::KeyGone { serial, .. } => format!(
                "if the key was deleted or PIV was reset: `yk-cargo enroll REGISTRY --serial {serial}` makes new ones"
            ),
            Self::LastTry { .. } => {
                "if you are sure of the PIN, run the command again in a terminal, and answer yes there; if you are not, set a new one with the PUK: `ykman piv access unblock-pin`".into()
            }
            Self::ManagementKeyNeeded { .. } => {
                "give a command that prints it in hexadecimal: --management-key-command 'PROGRAM ARGUMENT…'".into()
            }
            Self::ManagementKeyNotTouched { .. } => {
                "run the command again, and touch the YubiKey when it blinks; if you did touch it, the card has another management key".into()
            }
            Self::NoCard { .. } => "plug it in and try again".into(),
            Self::NoOtherCard => "plug in the YubiKey that is to open them too, and run the command again".into(),
            Self::NoEmptySlot { .. } => {
                "`ykman piv info` lists what is there; `ykman piv keys delete SLOT` (firmware 5.7) makes room".into()
            }
            Self::NoKeyForRole { .. } => {
                "enroll again: `yk-cargo forget REGISTRY`, then `yk-cargo enroll REGISTRY`".into()
            }
            Self::NoPin { nobody: Nobody::InForeground, .. } => {
                format!("{FOREGROUND}, or let a program give the PIN: {PIN_COMMAND}='PROGRAM ARGUMENT…'")
            }
            Self::NoPin { .. } => format!(
                "run the command in a terminal, or let a program give the PIN: {PIN_COMMAND}='PROGRAM ARGUMENT…'; on a desktop, pinentry can ask for it"
            ),
            Self::NoProof { .. } => {
                "only registry-gateway keeps proofs, and only for versions published through it".into()
            }
            Self::NoSuchVersion { spelling, .. } => {
                format!("run the command again with the name {}", foreign_word(spelling))
            }
            Self::NoToken { nobody: Nobody::InForeground } => {
                format!("{FOREGROUND}, or give the token on standard input")
            }
            Self::NoToken { .. } => "run the command in a terminal, or give the token on standard input".into(),
            Self::NoTouchOverNfc { .. } => "plug it into a USB port".into(),
            Self::NotAsMade { .. } => "do not use this card".into(),
            Self::NotACrate { .. } => {
                "`cargo package` makes one: target/package/NAME-VERSION.crate".into()
            }
            Self::NotEnrolled { registry } => format!(
                "`yk-cargo list` shows what is enrolled; to enroll this one: yk-cargo enroll {}",
                foreign_word(registry)
            ),
            Self::NotOneOfItsCards { enrolled, .. } if enrolled.is_empty() => {
                "`yk-cargo list` shows what is enrolled".into()
            }
            Self::NotOneOfItsCards { enrolled, .. } => format!("it is enrolled with {enrolled}"),
            Self::NotProven { .. } => "each failed check says what it found".into(),
            Self::NoIndex { .. } => {
                "check the URL against the registry's own instructions: cargo finds nothing there either".into()
            }
            Self::NotRefreshed { .. } => "run the command again when the registry answers".into(),
            Self::NotSealed { registry } => format!("yk-cargo seal {}", foreign_word(registry)),
            Self::NotTheChosenCard { .. } => {
                "plug in the one you mean; `yk-cargo status` shows which ones are plugged in".into()
            }
            Self::NotTouched { .. } => "run the command again, and touch the key when it blinks".into(),
            Self::NothingToAdopt { .. } => "enroll new keys: the same command without --existing".into(),
            Self::OnlyLooksEmpty { slots, .. } => {
                format!("if you never imported a key there, name the slots: --slot {slots}")
            }
            Self::OtherCardEnrolled { .. } => "to use both: the same command with --backup".into(),
            Self::OtherIndex { .. } => {
                "leave the project's folder and give the token there; a token belongs to one registry".into()
            }
            Self::OtherKeysEnrolled { .. } => {
                "to change from two keys to one or back, or to those of another URL: `yk-cargo forget REGISTRY`, then enroll again".into()
            }
            Self::OtherSubject { .. } => {
                "to change it: `yk-cargo forget REGISTRY`, then enroll with --existing --subject".into()
            }
            Self::PinBlocked { serial } => format!(
                "set a new PIN with the PUK: `ykman --device {serial} piv access unblock-pin`; a YubiKey Bio has no PUK, and can only be reset"
            ),
            Self::ProviderArguments { .. } => {
                "a project can set them: look at its .cargo/config.toml; your own configuration needs only credential-provider = \"yk-cargo\"".into()
            }
            Self::ReplacesItself { .. } => "plug in the new one; both may stay plugged in".into(),
            Self::SealedForOthers { registry } => sealed_files::make_a_new_one(registry),
            Self::SealedIsAnother { registry } => format!(
                "`yk-cargo seal {} --rotate` seals a new one; or revoke the plaintext one and remove it yourself",
                foreign_word(registry)
            ),
            Self::SealingKeyGone { serial, .. } => format!(
                "if it was deleted or PIV was reset: get a new token from the registry, and seal it to a new key with `yk-cargo seal REGISTRY --rotate --serial {serial}`; if another card opens the tokens: `yk-cargo seal --add-card --serial {serial}`"
            ),
            Self::SerialNeeded => {
                "it is printed on the key: --serial NUMBER; if an OTP slot hides it, `ykman otp settings SLOT` makes it visible again".into()
            }
            Self::SeveralCards { .. } => "choose one: --serial NUMBER".into(),
            Self::Signs { registry } => {
                format!("to go back to a bearer token: yk-cargo forget {}", foreign_word(registry))
            }
            Self::SlotTaken { .. } => {
                "run the command again, without --slot, to use the next empty one".into()
            }
            Self::Token(asymmetric_token::Error::TooLong { .. }) => {
                "it contains crate name, version, key subject, challenge and index URL; shorten the longest of them".into()
            }
            Self::UseAnother { error, others } => match error.hint() {
                Some(hint) => format!("plug in {others} instead; for this one: {hint}"),
                None => format!("plug in {others} instead"),
            },
            Self::Unprotected { .. } => {
                "use its https URL; otherwise tokens and crates can be read and replaced on the way (--insecure-http if you must)".into()
            }
            Self::Unwell { .. } => "the line after each, `next:`, says how to fix it".into(),
            Self::WeakerKey { slot, .. } => format!(
                "give the policies it was made with (--pin-policy, --touch-policy), or delete it: `ykman piv keys delete {slot}` with firmware 5.7; on older firmware `ykman piv certificates delete {slot}`, then overwrite it with `ykman piv keys generate --algorithm ECCP384 --pin-policy ONCE --touch-policy ALWAYS {slot} -`"
            ),
            Self::WrongCard { .. } => {
                "plug in the right one, or add this one: yk-cargo enroll REGISTRY --backup (for sealed tokens: yk-cargo seal --add-card)".into()
            }
            Self::WrongPin { tries: 1 } => {
                "if you are not sure of it, set a new one with the PUK: `ykman piv access unblock-pin`".into()
            }
            Self::WrongPin { .. } => {
                "run the command in a terminal to type the PIN, or fix what YK_CARGO_PIN_COMMAND prints".into()
            }

            Self::CargoRequest(_)
            | Self::Certificate(_)
            | Self::Declined
            | Self::File { .. }
            | Self::ManagementKeySyntax
            | Self::Pin(_)
            | Self::Stdio(_)
            | Self::Token(_)
            | Self::Usage(_) => return None,
        })
    }

    /// The card that cannot be used until somebody has repaired it, if that is what this says.
    pub(crate) fn of_no_use(&self) -> Option<Serial> {
        match *self {
            Self::KeyGone { serial, .. }
            | Self::SealingKeyGone { serial, .. }
            | Self::PinBlocked { serial }
            | Self::LastTry { serial }
            | Self::NoTouchOverNfc { serial } => Some(serial),
            _ => None,
        }
    }

    /// Whether the card did not give what it is there for, or is not there any more; no person and no registry is to blame.
    pub(crate) fn is_of_the_card(&self) -> bool {
        matches!(self, Self::CardSignature(_) | Self::KeyGone { .. } | Self::Piv(_) | Self::Reader(_))
    }

    pub(crate) fn not_one_of_its_cards(
        serial: Serial,
        index: &IndexUrl,
        registry: Option<&Registry>,
    ) -> Self {
        let enrolled = registry.map(Registry::cards_for_display).unwrap_or_default();
        Self::NotOneOfItsCards { serial, index: index.clone(), enrolled }
    }

    pub(crate) fn no_key(registry: &Registry, mutation: bool) -> Self {
        Self::NoKeyForRole {
            registry: escape(registry.display_name()),
            role: if mutation { "publish" } else { "read" },
        }
    }
}

fn approved(done: &[String], of: usize) -> String {
    match done {
        [] => "nothing was approved".into(),
        done => format!("{} of {of} were approved: {}", done.len(), done.join(", ")),
    }
}

fn settings(detours: &[cargo_config::Detour]) -> String {
    let in_one_file = |group: &[cargo_config::Detour]| {
        let keys: Vec<_> = group.iter().map(|detour| format!("`{}`", escape(&detour.key))).collect();
        format!("{} sets {}", group[0].origin, keys.join(" and "))
    };
    let files: Vec<_> = detours.chunk_by(|one, other| one.origin == other.origin).map(in_one_file).collect();
    files.join(", ") + ", which your own configuration does not"
}

/// `YubiKey 1 is`, `YubiKeys 1, 2 are`
fn present(serials: &[Serial]) -> String {
    match serials {
        [] => "another YubiKey is".into(),
        [one] => format!("YubiKey {one} is"),
        several => format!("YubiKeys {} are", list(several)),
    }
}

fn list(serials: &[Serial]) -> String {
    serials.iter().map(Serial::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
#[cfg(unix)]
mod tests;

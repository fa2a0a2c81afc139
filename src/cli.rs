//! The command line, as definitions only: help, completions and the man page come from them.

use std::path::PathBuf;

use asymmetric_token::{CrateName, PublicKey};
use clap::{Args, Parser, Subcommand};
use semver::Version;

use crate::piv::{PinPolicy, Serial, Slot, TouchPolicy};

/// Publish crates with a key that cannot leave your YubiKey.
///
/// As `credential-provider = "yk-cargo"` in a registry's section of $CARGO_HOME/config.toml it signs one short-lived
/// token for each thing cargo does there. `yk-cargo enroll REGISTRY` makes the keys and sets that up.
#[derive(Debug, Parser)]
#[command(name = "yk-cargo", version, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make keys on a YubiKey for a registry, or adopt the ones it has.
    Enroll(Enroll),
    /// Show which cards are plugged in, and what the next publish will ask for.
    Status(Status),
    /// Look for what could stop cargo from signing, and say what to do about it.
    Doctor(Doctor),
    /// Show enrolled registries, cards and keys; no card is needed.
    List(List),
    /// Show what a token says, without judging it.
    Inspect(Inspect),
    /// Seal a bearer token to a YubiKey, for registries that take nothing else, such as crates.io.
    Seal(Seal),
    /// Seal the tokens that lie in clear in cargo's files, and remove them there.
    Migrate(Migrate),
    /// Print one token, for tools that do not run credential providers.
    Token(Token),
    /// Check that a version is the one that a key you trust has signed.
    Verify(Verify),
    /// Print the card's certificates that it made the enrolled keys itself, in PEM.
    Attest(Attest),
    /// Print a sealed token, or give it back to cargo.
    Unseal(Unseal),
    /// Remove an enrollment from this computer; the keys stay on their cards.
    Forget(Forget),
    /// Print a completion script for a shell.
    Completions(Completions),
    /// Write the man pages, for packagers.
    #[command(hide = true)]
    Man(Man),
}

/// Arguments of `enroll`.
#[derive(Debug, Args)]
pub struct Enroll {
    /// The registry's name in cargo's configuration, or its index URL.
    pub registry: String,
    /// Never ask: take the defaults, and fail where a default would be unsafe.
    #[arg(long)]
    pub yes: bool,
    /// The YubiKey to use, by the number printed on it.
    #[arg(long, value_name = "NUMBER", value_parser = serial)]
    pub serial: Option<Serial>,
    /// What to call the key on this card, 1 to 64 characters.
    #[arg(long, default_value = "yk-cargo", value_parser = label)]
    pub label: String,
    /// The key subject, if the registry gave you one.
    #[arg(long, value_parser = subject)]
    pub subject: Option<String>,
    /// One key for reads and mutations, for registries that take one key.
    #[arg(long)]
    pub single_key: bool,
    /// Adopt keys that the card already has for this registry, after showing them.
    #[arg(long, conflicts_with_all = ["pin_policy", "touch_policy", "read_touch"])]
    pub existing: bool,
    /// Add this card to a registry that is enrolled with another one.
    #[arg(long)]
    pub backup: bool,
    /// Have the registry take the keys at once, with the code that its administrator gave you: it is the first line of
    /// standard input, or typed without echo.
    #[arg(long, conflicts_with_all = ["refresh", "subject"])]
    pub invite: bool,
    /// Have the registry take the keys at once, because another card of yours that is enrolled there vouches for this
    /// one; it asks for its PIN and a touch.
    #[arg(long, value_name = "NUMBER", value_parser = serial, conflicts_with_all = ["refresh", "subject", "invite"])]
    pub endorse_with: Option<Serial>,
    /// Take this card out of the enrollment as soon as another one has its keys there.
    #[arg(long, value_name = "NUMBER", value_parser = serial, conflicts_with = "backup")]
    pub replace: Option<Serial>,
    /// Use the keys that this card has for another registry: for one whose URL has changed.
    #[arg(long, value_name = "REGISTRY", conflicts_with_all = ["existing", "replace", "slot", "single_key", "label"])]
    #[arg(conflicts_with_all = ["pin_policy", "touch_policy", "read_touch"])]
    pub same_keys_as: Option<String>,
    /// Ask an enrolled registry again what it wants: challenges, and how long a token lasts.
    #[arg(long, conflicts_with_all = ["existing", "backup", "replace", "same_keys_as", "slot", "single_key"])]
    pub refresh: bool,
    /// The slots for the keys: read, publish. [default: the first empty ones from 82]
    #[arg(long, value_name = "SLOT[,SLOT]", value_delimiter = ',', value_parser = retired_slot)]
    pub slot: Vec<Slot>,
    /// When the publish key asks for the PIN: never, once, always.
    #[arg(long, value_name = "POLICY", default_value = "once")]
    pub pin_policy: PinPolicy,
    /// When the publish key asks for a touch: never, cached, always. [default: always; cached with --single-key]
    #[arg(long, value_name = "POLICY")]
    pub touch_policy: Option<TouchPolicy>,
    /// When the read key asks for a touch: never, cached, always.
    #[arg(long, value_name = "POLICY", default_value = "never")]
    pub read_touch: TouchPolicy,
    /// Enroll although the card still has its default PIN.
    #[arg(long)]
    pub allow_default_pin: bool,
    /// Card, registry and cargo.
    #[command(flatten)]
    pub setup: Setup,
}

/// Arguments of `status`.
#[derive(Debug, Args)]
pub struct Status {
    /// One JSON object on stdout.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `doctor`.
#[derive(Debug, Args)]
pub struct Doctor {
    /// One JSON object on stdout.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `list`.
#[derive(Debug, Args)]
pub struct List {
    /// One JSON object on stdout.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `inspect`.
#[derive(Debug, Args)]
pub struct Inspect {
    /// The token, or `-` for standard input.
    #[arg(default_value = "-")]
    pub token: String,
    /// One JSON object on stdout.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `seal`.
#[derive(Debug, Args)]
pub struct Seal {
    /// crates-io, another registry's name in cargo's configuration, or an index URL.
    ///
    /// The token is asked for at the terminal, without echo; where standard input is no terminal, it is its first line.
    #[arg(required_unless_present = "add_card")]
    pub registry: Option<String>,
    /// Put a new token in place of the sealed one.
    #[arg(long)]
    pub rotate: bool,
    /// Have every sealed token open with one more card, which gets a key for it.
    #[arg(long, conflicts_with_all = ["registry", "rotate", "configure", "no_configure", "insecure_http"])]
    pub add_card: bool,
    /// Do not open the token again to see that it opens, which takes PIN and touch.
    #[arg(long)]
    pub no_check: bool,
    /// Never ask: take the defaults, and fail where a default would be unsafe.
    #[arg(long)]
    pub yes: bool,
    /// The YubiKey to make the key on, by the number printed on it.
    #[arg(long, value_name = "NUMBER", value_parser = serial)]
    pub serial: Option<Serial>,
    /// What to call that YubiKey, 1 to 64 characters.
    #[arg(long, default_value = "yk-cargo", value_parser = label)]
    pub label: String,
    /// The slot for the key. [default: the last empty one, from 95 downward]
    #[arg(long, value_name = "SLOT")]
    pub slot: Option<Slot>,
    /// Make a key although the card still has its default PIN.
    #[arg(long)]
    pub allow_default_pin: bool,
    /// Card, registry and cargo.
    #[command(flatten)]
    pub setup: Setup,
}

/// What `enroll` and `seal` may be told about card, registry and cargo.
#[derive(Debug, Args)]
pub struct Setup {
    /// A program that prints the management key in hexadecimal; split at blanks, run without a shell.
    #[arg(long, value_name = "COMMAND")]
    pub management_key_command: Option<String>,
    /// Allow a registry without TLS that is not on this computer.
    #[arg(long)]
    pub insecure_http: bool,
    /// Set `credential-provider` for this registry in $CARGO_HOME/config.toml, without asking.
    #[arg(long, overrides_with = "no_configure")]
    pub configure: bool,
    /// Leave $CARGO_HOME/config.toml alone, without asking.
    #[arg(long, overrides_with = "configure")]
    pub no_configure: bool,
}

/// Arguments of `migrate`.
#[derive(Debug, Args)]
pub struct Migrate {
    /// Only the token of this registry: crates-io, its name in cargo's configuration, or its index URL.
    ///
    /// With it, a token in a project's `.cargo/config.toml` is migrated too.
    #[arg(long)]
    pub registry: Option<String>,
    /// The tokens of all registries; so it is without --registry.
    #[arg(long, conflicts_with = "registry")]
    pub all: bool,
    /// Show what would be done, and do nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Never ask: take the defaults, and fail where a default would be unsafe. Needs --registry or --all.
    #[arg(long)]
    pub yes: bool,
    /// The YubiKey to make the key on, by the number printed on it, if there is no key yet.
    #[arg(long, value_name = "NUMBER", value_parser = serial)]
    pub serial: Option<Serial>,
    /// Make a key although the card still has its default PIN.
    #[arg(long)]
    pub allow_default_pin: bool,
    /// A program that prints the management key in hexadecimal; split at blanks, run without a shell.
    #[arg(long, value_name = "COMMAND")]
    pub management_key_command: Option<String>,
}

/// Arguments of `unseal`.
#[derive(Debug, Args)]
pub struct Unseal {
    /// crates-io, another registry's name in cargo's configuration, or an index URL.
    pub registry: String,
    /// Write the token into cargo's credentials in place of sealing it, and have cargo use it from there.
    #[arg(long)]
    pub restore: bool,
    /// Do not ask.
    #[arg(long, requires = "restore")]
    pub yes: bool,
}

/// Arguments of `token`.
#[derive(Debug, Args)]
pub struct Token {
    /// The registry's name in cargo's configuration, or its index URL.
    pub registry: String,
    /// What it is for.
    #[command(flatten)]
    pub purpose: Purpose,
}

/// What a token is for.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Purpose {
    /// Reading index and crates.
    #[arg(long)]
    pub read: bool,
    /// Publishing exactly this file.
    #[arg(long, value_name = "FILE.crate")]
    pub publish: Option<PathBuf>,
    /// Yanking a version.
    #[arg(long, value_name = "NAME@VERS", value_parser = name_and_version)]
    pub yank: Option<(CrateName, Version)>,
    /// Taking a yank back.
    #[arg(long, value_name = "NAME@VERS", value_parser = name_and_version)]
    pub unyank: Option<(CrateName, Version)>,
    /// Listing or changing a crate's owners.
    #[arg(long, value_name = "NAME")]
    pub owners: Option<CrateName>,
}

/// Arguments of `forget`.
#[derive(Debug, Args)]
pub struct Forget {
    /// The registry's name in cargo's configuration, or its index URL.
    pub registry: String,
    /// Do not ask.
    #[arg(long)]
    pub yes: bool,
}

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// The crate and its version.
    #[arg(value_name = "NAME@VERS", value_parser = name_and_version, required_unless_present = "proof")]
    pub version: Option<(CrateName, Version)>,
    /// The registry's name in cargo's configuration, or its index URL: it is asked for the proof.
    #[arg(long, required_unless_present = "proof")]
    pub registry: Option<String>,
    /// The crate file. [default: download it from the registry]
    #[arg(long = "crate", value_name = "FILE.crate")]
    pub crate_file: Option<PathBuf>,
    /// A proof that was kept; the registry is not asked.
    #[arg(long, value_name = "FILE", requires = "crate_file")]
    pub proof: Option<PathBuf>,
    /// A key that you trust; may be given more than once.
    #[arg(long, value_name = "K3PUBLIC")]
    pub key: Vec<PublicKey>,
    /// Record the key as trusted for this crate in $CARGO_HOME/yk-cargo/signers.toml, after asking.
    #[arg(long)]
    pub remember: bool,
    /// Do not ask.
    #[arg(long, requires = "remember")]
    pub yes: bool,
    /// One JSON object on stdout.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `attest`.
#[derive(Debug, Args)]
pub struct Attest {
    /// The registry's name in cargo's configuration, or its index URL.
    pub registry: String,
}

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell.
    pub shell: clap_complete::Shell,
}

/// Arguments of `man`.
#[derive(Debug, Args)]
pub struct Man {
    /// The folder for the pages; it is made if it is not there.
    pub directory: PathBuf,
}

fn serial(text: &str) -> Result<Serial, String> {
    text.parse().map(Serial).map_err(|_| "a serial number is a number, printed on the YubiKey".into())
}

/// Keys are made and adopted there only; the other slots are for logging in, signing mail and the like.
fn retired_slot(text: &str) -> Result<Slot, String> {
    match text.parse() {
        Ok(slot @ Slot::Retired(_)) => Ok(slot),
        _ => Err("yk-cargo uses the retired slots only, 82 to 95".into()),
    }
}

/// As a certificate's common name holds it (RFC 5280, ub-common-name), and as it can be shown.
fn label(text: &str) -> Result<String, String> {
    let fits = (1..=64).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    if fits {
        Ok(text.to_owned())
    } else {
        Err("a label has 1 to 64 characters, none of them a control character".into())
    }
}

/// RFC 3231, "Setting and storing login information".
fn subject(text: &str) -> Result<String, String> {
    let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    if fits { Ok(text.to_owned()) } else { Err("a key subject is printable ASCII without blanks".into()) }
}

fn name_and_version(text: &str) -> Result<(CrateName, Version), String> {
    let (name, version) = text.split_once('@').ok_or("write NAME@VERSION, like serde@1.0.0")?;
    let name = name.parse().map_err(|error: asymmetric_token::Error| error.to_string())?;
    let version = version.parse().map_err(|error: semver::Error| error.to_string())?;
    Ok((name, version))
}

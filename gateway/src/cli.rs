//! The command line.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use asymmetric_token::{CrateName, PublicKey};
use clap::builder::{OsStringValueParser, TypedValueParser as _};
use clap::{Args, Parser, Subcommand, ValueEnum, value_parser};
use jiff::{SignedDuration, Timestamp};
use registry_gateway::attestation::{Firmware, Mode, Settings};
use registry_gateway::audit::Point;
use registry_gateway::challenge::Challenges;
use registry_gateway::config::{Config, ConfigError};
use registry_gateway::keys::{self, Role, User};
use registry_gateway::store::{Store, StoreError};
use registry_gateway::store_place::{AddressError, NamedStore};

/// The configuration file that `init` makes, and that is read if no other is named.
pub(crate) const CONFIG_FILE: &str = "registry-gateway.toml";
/// The one that is read if that is not here either.
const SYSTEM_CONFIG: &str = "/etc/registry-gateway/registry-gateway.toml";
/// The store that is used if there is no configuration, and this is one.
const STORE_HERE: &str = "registry";

/// A Cargo registry that takes RFC 3231 asymmetric tokens.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
pub(crate) struct Arguments {
    /// How the log on standard error is written
    #[arg(long, global = true, value_name = "FORMAT", value_enum, default_value_t)]
    pub(crate) log_format: LogFormat,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    #[default]
    Text,
    /// One JSON object a line
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a configuration with comments, a key for credentials, and an empty store
    Init {
        /// The folder or postgres://USER@HOST/DATABASE for the store, if it is not to be `registry` beside the configuration
        #[arg(long, value_name = "DIR|URL", value_parser = OsStringValueParser::new().map(NamedStore::from))]
        store: Option<NamedStore>,
        /// Where; made if it is not there
        #[arg(value_name = "DIR", default_value = ".")]
        folder: PathBuf,
    },
    /// Keep or forget a user's token for the registry behind
    #[command(subcommand)]
    Credential(CredentialCommand),
    /// Look at everything that users would stumble over later; exits with 1 if something is to be done
    Doctor {
        #[command(flatten)]
        place: Place,
        /// Crates whose index files are looked at, besides those that were published here
        #[arg(value_name = "CRATE")]
        crates: Vec<CrateName>,
    },
    /// Serve the registry until SIGTERM or Ctrl-C
    Serve(Serve),
    /// Make, migrate and copy a store, and go on after PostgreSQL was restored
    #[command(subcommand)]
    Store(StoreCommand),
    /// Add, list and remove people; also while the registry is served
    #[command(subcommand)]
    User(UserCommand),
    /// Print a code with which a user enrolls keys: once, within 24 hours
    Invite {
        #[command(flatten)]
        place: Place,
        /// Whom; an invite they did not use is void then
        #[arg(value_name = "USER")]
        user: User,
    },
    /// Register, list and revoke keys; also while the registry is served
    #[command(subcommand)]
    Key(KeyCommand),
    /// Show changes whose outcome is not known, and settle one by hand; also while the registry is served
    #[command(subcommand)]
    Change(ChangeCommand),
    /// Verify and export the log of everything that was changed here
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Show who published what, and verify it again: token against key, file against token
    Record {
        #[command(flatten)]
        place: Place,
        /// One version, as NAME@VERS; without it all
        version: Option<String>,
    },
}

/// The gateway to work on, named by its configuration or by its store.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// The configuration file [default: ./registry-gateway.toml or /etc/registry-gateway/registry-gateway.toml]
    #[arg(long, value_name = "FILE", env = "REGISTRY_GATEWAY_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// The store's folder, or postgres://USER@HOST/DATABASE; wins over the one in the configuration
    #[arg(
        long,
        value_name = "DIR|URL",
        env = "REGISTRY_GATEWAY_STORE",
        hide_env_values = true,
        value_parser = OsStringValueParser::new().map(NamedStore::from)
    )]
    pub(crate) store: Option<NamedStore>,
}

impl Place {
    /// The configuration, with the store that was named.
    pub(crate) fn config(&self) -> Result<Config, PlaceError> {
        let mut config = match self.file() {
            Some(file) => Config::read(&file)?,
            None if self.store.is_some() || Store::is_in(Path::new(STORE_HERE)) => Config::default(),
            None => return Err(PlaceError::Nowhere),
        };
        if let Some(store) = &self.store {
            config.store = store.place()?;
        }
        Ok(config)
    }

    /// The named configuration file; else the one here; else the system's, unless a store is named.
    fn file(&self) -> Option<PathBuf> {
        let named = self.config.clone();
        let here = || Some(PathBuf::from(CONFIG_FILE)).filter(|file| is_there(file));
        let system =
            || Some(PathBuf::from(SYSTEM_CONFIG)).filter(|file| self.store.is_none() && is_there(file));
        named.or_else(here).or_else(system)
    }

    /// The gateway's store, which must exist.
    pub(crate) fn store(&self) -> Result<Store, PlaceError> {
        let config = self.config()?;
        Ok(Store::existing_at(&config.store, &config.postgres)?)
    }
}

/// Whether there is such a file, also if this user may not see it: reading it says so then.
fn is_there(file: &Path) -> bool {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    file.metadata().map_or_else(|error| !matches!(error.kind(), NotFound | NotADirectory), |_| true)
}

/// Why there is no gateway to work on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlaceError {
    #[error("no gateway is named, and there is neither ./{CONFIG_FILE} nor {SYSTEM_CONFIG}")]
    Nowhere,
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl PlaceError {
    /// What to do next, where that is known.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Nowhere => Some(
                "run this in the folder where the gateway was started, or name its configuration with --config (`registry-gateway \
                 init DIR` makes one) or its store with --store"
                    .to_owned(),
            ),
            Self::Address(error) => Some(error.hint().to_owned()),
            Self::Config(error) => Some(error.hint().to_owned()),
            Self::Store(error) => error.hint(),
        }
    }
}

/// An address in digits, because a name may stand for several.
fn socket(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "write an IP address and a port, such as 127.0.0.1:8000 or [::1]:8000")
}

/// Options that take precedence over the configuration file.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Where to listen; without a certificate it must be a loopback address, for a proxy that ends TLS [default: 127.0.0.1:8000]
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = socket)]
    pub(crate) listen: Option<SocketAddr>,
    /// The registry's base URL as cargo sees it [default: http:// and the listen address]
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Let everybody read index and crates without a token; changes always need one
    #[arg(long)]
    pub(crate) open: bool,
    /// How old a token may be [default: 900]
    #[arg(long, value_name = "SECONDS", value_parser = value_parser!(u64).range(1..=86_400))]
    pub(crate) window: Option<u64>,
    /// How far in the future a token may be dated, for clocks that differ [default: 60]
    #[arg(long, value_name = "SECONDS", value_parser = value_parser!(u64).range(0..=3_600))]
    pub(crate) skew: Option<u64>,
    /// Whether a token that changes something answers a challenge: off, optional or required [default: off]
    #[arg(long, value_name = "HOW")]
    pub(crate) challenges: Option<Challenges>,
    #[command(flatten)]
    pub(crate) attestation: Attestation,
}

#[derive(Debug, Args)]
pub(crate) struct Attestation {
    /// Whether people who enroll have to show that a YubiKey made their keys: off, record or require [default: off]
    #[arg(long, value_name = "POLICY")]
    pub(crate) attestation: Option<Mode>,
    /// A PEM file with more certificates to believe, beside Yubico's: roots, and what stands below them
    #[arg(long, value_name = "FILE")]
    pub(crate) attestation_roots: Vec<PathBuf>,
    /// Where attestation is required: refuse YubiKeys with firmware before this one
    #[arg(long, value_name = "VERSION")]
    pub(crate) minimum_firmware: Option<Firmware>,
    /// Take early YubiKeys whose attestation certificate does not say that it may issue
    #[arg(long)]
    pub(crate) allow_legacy_devices: bool,
}

impl Attestation {
    /// Applies these options to the settings.
    pub(crate) fn over(self, settings: &mut Settings) {
        settings.policy = self.attestation.unwrap_or(settings.policy);
        settings.roots.extend(self.attestation_roots);
        settings.minimum_firmware = self.minimum_firmware.or(settings.minimum_firmware);
        settings.allow_legacy_devices |= self.allow_legacy_devices;
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Make the tables, or bring them to the present layout; run it as the owner of the database
    Migrate {
        #[command(flatten)]
        place: Place,
        /// Give this role of PostgreSQL the rights to serve the store, and no others
        #[arg(long, value_name = "ROLE")]
        role: Option<String>,
    },
    /// Copy everything to another place, verify it there, and mark the store here as moved; no gateway may run
    Copy {
        /// The configuration with the key file, and with [postgres]; as for the other commands
        #[arg(long, value_name = "FILE", env = "REGISTRY_GATEWAY_CONFIG")]
        config: Option<PathBuf>,
        /// The store's folder, or postgres://OWNER@HOST/DATABASE
        #[arg(long, value_name = "DIR|URL", value_parser = OsStringValueParser::new().map(NamedStore::from))]
        from: NamedStore,
        /// Where it goes: an empty folder, or an empty database
        #[arg(long, value_name = "DIR|URL", value_parser = OsStringValueParser::new().map(NamedStore::from))]
        to: NamedStore,
    },
    /// Go on although the audit log has lost its end in a PostgreSQL that was restored; the log keeps that it was said
    AcceptRestore {
        #[command(flatten)]
        place: Place,
        /// What a gateway has seen of the log and is lost, as it says itself [default: what the gateway here has seen]
        #[arg(long, value_name = "SEQ:HASH")]
        lost: Option<Point>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Add a user
    Add {
        #[command(flatten)]
        place: Place,
        /// The name, for good: nobody else will have it
        #[arg(value_name = "NAME")]
        user: User,
        /// It is the person who had this name before
        #[arg(long)]
        again: bool,
    },
    /// List all users, and how many keys each has
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Remove a user: all their keys are revoked, at once and for ever
    Remove {
        #[command(flatten)]
        place: Place,
        /// The name
        #[arg(value_name = "NAME")]
        user: User,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum CredentialCommand {
    /// Keep a user's token for the registry behind, from a prompt or standard input; it is encrypted
    Set {
        #[command(flatten)]
        place: Place,
        /// Whose
        user: User,
    },
    /// Forget it
    Remove {
        #[command(flatten)]
        place: Place,
        /// Whose
        user: User,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Register a public key
    Add(Box<AddKey>),
    /// List all keys
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Revoke a key, at once and for ever
    Revoke {
        #[command(flatten)]
        place: Place,
        /// The key's id, `k3.pid.…`, or as much of its beginning as no other has
        #[arg(value_name = "KEYID")]
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ChangeCommand {
    /// List them: number, time, mutation, crate, version, user, and why the outcome is not known
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Say what came of one, after a look at the registry behind; the audit log keeps that it was said
    Settle {
        #[command(flatten)]
        place: Place,
        /// Its number in `change list`
        #[arg(value_name = "ID")]
        id: i64,
        #[command(flatten)]
        decision: DecisionOption,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct DecisionOption {
    /// It was made
    #[arg(long)]
    pub(crate) done: bool,
    /// It was not made
    #[arg(long)]
    pub(crate) not_done: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Follow the log from its first entry and compare it with its signed heads
    Verify {
        #[command(flatten)]
        place: Place,
        /// A head that was kept elsewhere: a file with what /audit/head answered, or `SEQ:HASH` from an X-Audit field
        #[arg(long, value_name = "FILE|SEQ:HASH")]
        head: Option<KeptHead>,
    },
    /// Print the entries as they are stored, one a line
    Export {
        #[command(flatten)]
        place: Place,
    },
}

/// A head that was kept elsewhere: its place and hash, or a file.
#[derive(Clone, Debug)]
pub(crate) enum KeptHead {
    Point(Point),
    File(PathBuf),
}

impl FromStr for KeptHead {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text.parse().map_or_else(|_| Self::File(text.into()), Self::Point))
    }
}

#[derive(Debug, Args)]
pub(crate) struct AddKey {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Whose key it is; the user is made if new
    #[arg(long, value_name = "NAME")]
    pub(crate) user: User,
    /// What the key may sign: read, publish (every change) or both
    #[arg(long, value_name = "ROLE")]
    pub(crate) role: Role,
    /// A word to tell keys apart
    #[arg(long, value_parser = label)]
    pub(crate) label: Option<String>,
    /// The `sub` that the key's tokens must carry
    #[arg(long, value_parser = subject)]
    pub(crate) subject: Option<String>,
    /// From when on the key is good for nothing: a time (RFC 3339), or days from now as 90d
    #[arg(long, value_name = "TIME|DAYSd")]
    pub(crate) expires: Option<Expiry>,
    /// The public key, `k3.public.…`
    #[arg(value_name = "K3PUBLIC")]
    pub(crate) public: PublicKey,
}

/// When a key expires.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Expiry {
    At(Timestamp),
    Days(u32),
}

impl Expiry {
    /// The time, or `None` if that is not in the future.
    pub(crate) fn after(self, now: Timestamp) -> Option<Timestamp> {
        let at = match self {
            Self::At(at) => at,
            Self::Days(days) => now.checked_add(SignedDuration::from_hours(24 * i64::from(days))).ok()?,
        };
        (at > now).then_some(at)
    }
}

impl FromStr for Expiry {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_suffix('d').map(str::parse) {
            Some(Ok(days)) => Ok(Self::Days(days)),
            _ => {
                text.parse().map(Self::At).map_err(|_| "a time such as 2027-01-31T00:00:00Z, or days as 90d")
            }
        }
    }
}

fn label(text: &str) -> Result<String, String> {
    if keys::is_label(text) { Ok(text.to_owned()) } else { Err(format!("a label is {}", keys::LABEL)) }
}

fn subject(text: &str) -> Result<String, &'static str> {
    let fits = (1..=256).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if fits { Ok(text.to_owned()) } else { Err("a subject is printable ASCII without blanks") }
}

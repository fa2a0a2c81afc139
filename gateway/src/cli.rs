//! The command line.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use asymmetric_token::{CrateName, PublicKey};
use clap::builder::{OsStringValueParser, TypedValueParser as _};
use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum, value_parser};
use clap_complete::{ArgValueCandidates, CompletionCandidate, Shell};
use jiff::{SignedDuration, Timestamp};
use registry_gateway::attestation::{Firmware, Mode, Settings};
use registry_gateway::challenge::Challenges;
use registry_gateway::config::{Config, ConfigError};
use registry_gateway::keys::{self, Role, User};
use registry_gateway::publishers::{CratePattern, Pattern, PublisherName, is_issuer};
use registry_gateway::store::{LastSeen, Store, StoreError};
use registry_gateway::store_place::{AddressError, NamedStore};
use transparency_log::{KeyName, Verifier};

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
        /// The folder or postgres://USER@HOST/DATABASE for the store [default: `registry` beside the configuration]
        #[arg(long, value_name = "DIR|URL", value_parser = OsStringValueParser::new().map(NamedStore::from))]
        store: Option<NamedStore>,
        /// The folder; it is created if necessary
        #[arg(value_name = "DIR", default_value = ".")]
        folder: PathBuf,
    },
    /// Keep or forget a user's token for the registry behind
    #[command(subcommand)]
    Credential(CredentialCommand),
    /// Check everything that users could stumble over later; exits with 1 if there is something to do
    Doctor {
        #[command(flatten)]
        place: Place,
        /// More crates whose index files to check, besides those that were published here
        #[arg(value_name = "CRATE")]
        crates: Vec<CrateName>,
    },
    /// Serve the registry until SIGTERM or Ctrl-C
    Serve(Serve),
    /// Make, migrate and copy a store, and continue after a restore
    #[command(subcommand)]
    Store(StoreCommand),
    /// Add, list and remove people; also while the registry is served
    #[command(subcommand)]
    User(UserCommand),
    /// Print a code with which a user enrolls keys: once, within 24 hours
    Invite {
        #[command(flatten)]
        place: Place,
        /// The user; an earlier invite that they did not use becomes void
        #[arg(value_name = "USER")]
        user: User,
    },
    /// Register, list and revoke keys; also while the registry is served
    #[command(subcommand)]
    Key(KeyCommand),
    /// Say who, besides a crate's owner, may approve versions that machines have staged; also while the registry is served
    #[command(subcommand)]
    Approver(ApproverCommand),
    /// Add, list and remove publishers: machines whose jobs may stage versions, identified by an OIDC issuer
    #[command(subcommand)]
    Publisher(PublisherCommand),
    /// Show changes whose outcome is unknown, and settle them by hand; also while the registry is served
    #[command(subcommand)]
    Change(ChangeCommand),
    /// Verify and export the log of all changes made here
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Make and serve a witness, which cosigns the logs of other registries as long as each of them only grows
    #[command(subcommand)]
    Witness(WitnessCommand),
    /// Show who published what, and verify it again: the token against the key, the file against the token
    Record {
        #[command(flatten)]
        place: Place,
        /// One version, as NAME@VERS; without it all
        version: Option<String>,
    },
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the man pages, for packagers
    #[command(hide = true)]
    Man {
        /// The folder for the pages; it is created if necessary
        directory: PathBuf,
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
    #[error("no gateway was given, and neither ./{CONFIG_FILE} nor {SYSTEM_CONFIG} exists")]
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
    /// Whether a token that changes something must answer a challenge: off, optional or required [default: off]
    #[arg(long, value_name = "HOW", add = words(&["off", "optional", "required"]))]
    pub(crate) challenges: Option<Challenges>,
    #[command(flatten)]
    pub(crate) attestation: Attestation,
}

#[derive(Debug, Args)]
pub(crate) struct Attestation {
    /// Whether people who enroll must show that a YubiKey made their keys: off, record or require [default: off]
    #[arg(long, value_name = "POLICY", add = words(&["off", "record", "require"]))]
    pub(crate) attestation: Option<Mode>,
    /// A PEM file with more certificates to trust, besides Yubico's: roots and intermediates
    #[arg(long, value_name = "FILE")]
    pub(crate) attestation_roots: Vec<PathBuf>,
    /// Where attestation is required: refuse YubiKeys with firmware before this one
    #[arg(long, value_name = "VERSION")]
    pub(crate) minimum_firmware: Option<Firmware>,
    /// Accept early YubiKeys whose attestation certificate does not say that it may issue
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
    /// Make the tables, or bring them to the current layout; run it as the owner of the database
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
        /// The destination: an empty folder or an empty database
        #[arg(long, value_name = "DIR|URL", value_parser = OsStringValueParser::new().map(NamedStore::from))]
        to: NamedStore,
    },
    /// Continue with a new generation of the audit log, because a restored store has lost the log's end, or the log has lost its key
    AcceptRestore {
        #[command(flatten)]
        place: Place,
        /// What a gateway of a PostgreSQL has seen of the log and is lost, as it says itself [default: what the gateway here has seen]
        #[arg(long, value_name = "GENERATION:SEQ:HASH")]
        lost: Option<LastSeen>,
        /// The last checkpoint that was kept of the log before [default: the one that the gateway here has shown last]
        #[arg(long, value_name = "FILE")]
        checkpoint: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Add a user
    Add {
        #[command(flatten)]
        place: Place,
        /// The name, which nobody else can ever get
        #[arg(value_name = "NAME")]
        user: User,
        /// This is the person who had the name before
        #[arg(long)]
        again: bool,
        /// Print a code with which they enroll keys, as `invite` does
        #[arg(long)]
        invite: bool,
    },
    /// List all users, how many keys each has, and until when an invite is good
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Remove a user: all their keys are revoked, immediately and forever
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
    /// Store a user's token for the registry behind, encrypted; it is asked for, or read from standard input
    Set {
        #[command(flatten)]
        place: Place,
        /// Store it as given, without asking the registry behind whether it accepts it alone or with `Bearer`
        #[arg(long)]
        as_is: bool,
        /// Whose
        user: User,
    },
    /// Get a user's credentials for the registry behind from a cargo credential provider, for registries where they expire
    #[command(
        after_help = "It is run as cargo would run it, as the user of the gateway, with HOME and PATH and no other \
                            environment, and without a terminal."
    )]
    Provider {
        #[command(flatten)]
        place: Place,
        /// Store it without running it now
        #[arg(long)]
        as_is: bool,
        /// Whose
        user: User,
        /// The program, looked up in PATH now, and the arguments that cargo would pass on from `credential-provider`
        #[arg(last = true, required = true, value_name = "PROGRAM")]
        program: Vec<String>,
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
    /// Revoke a key, immediately and forever
    Revoke {
        #[command(flatten)]
        place: Place,
        /// The key's id, `k3.pid.…`, or an unambiguous beginning of it
        #[arg(value_name = "KEYID")]
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ApproverCommand {
    /// Let a user approve and reject staged versions of a crate
    Add {
        #[command(flatten)]
        place: Place,
        /// The crate, which need not exist yet
        #[arg(value_name = "CRATE")]
        name: CrateName,
        /// Who
        #[arg(value_name = "USER")]
        user: User,
    },
    /// List them: the crate, with `_` for `-`, and the user
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Take that right away; the user's approvals that wait for others become void
    Remove {
        #[command(flatten)]
        place: Place,
        /// The crate
        #[arg(value_name = "CRATE")]
        name: CrateName,
        /// Who
        #[arg(value_name = "USER")]
        user: User,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ChangeCommand {
    /// List them: number, time, mutation, crate, version, user, and why the outcome is unknown
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Say what the outcome was, after checking the registry behind; the audit log records who decided
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
    /// Follow the log from its first entry, and compare it with its tree and its checkpoints
    Verify {
        #[command(flatten)]
        place: Place,
        /// A checkpoint that was kept elsewhere, as /log/checkpoint answered it
        #[arg(long, value_name = "FILE")]
        checkpoint: Option<PathBuf>,
    },
    /// Check whether given crates got a version that given keys did not sign: exits with 3 if one did, or may have
    Watch {
        #[command(flatten)]
        place: Place,
        /// A crate; may be given several times
        #[arg(long = "crate", value_name = "NAME", required = true)]
        crates: Vec<CrateName>,
        /// A key that may sign its versions, `k3.public.…`; may be given several times
        #[arg(long = "key", value_name = "K3PUBLIC", required = true)]
        keys: Vec<PublicKey>,
        /// Skip intents before this entry: one more than where the last check ended
        #[arg(long, value_name = "SEQ", default_value_t = 1)]
        from: u64,
        /// A checkpoint that was kept elsewhere, as /log/checkpoint answered it
        #[arg(long, value_name = "FILE")]
        checkpoint: Option<PathBuf>,
    },
    /// Print the entries as they are stored, one per line
    Export {
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum WitnessCommand {
    /// Make its folder and its key, and print the verifier key, which people who check logs need
    Init {
        /// The name of the key: a URL without its scheme, such as witness.example.org
        #[arg(long, value_name = "NAME")]
        name: KeyName,
        /// The folder; it is created if necessary
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// Serve it until SIGTERM or Ctrl-C
    Serve {
        /// Where to listen, in plain HTTP: nothing that it says is secret or can be changed unnoticed [port 0 chooses a free one]
        #[arg(long, value_name = "ADDRESS:PORT", value_parser = socket)]
        listen: SocketAddr,
        /// The verifier key of a log, as its registry's /log/key answers; may be given several times
        #[arg(long = "log", value_name = "VKEY", required = true)]
        logs: Vec<Verifier>,
        /// The folder
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct AddKey {
    #[command(flatten)]
    pub(crate) place: Place,
    /// The user who owns the key; a new user is added
    #[arg(long, value_name = "NAME")]
    pub(crate) user: User,
    /// What the key may sign: read, publish (every change) or both; or stage, for a machine that only stages
    #[arg(long, value_name = "ROLE", add = words(&["read", "publish", "both", "stage"]))]
    pub(crate) role: Role,
    /// With the role stage: a crate that it may stage, or the beginning of existing names, as acme-*; may be given several times
    #[arg(long = "crate", value_name = "NAME")]
    pub(crate) crates: Vec<CratePattern>,
    /// A name to tell keys apart
    #[arg(long, value_parser = label)]
    pub(crate) label: Option<String>,
    /// The `sub` that the key's tokens must carry
    #[arg(long, value_parser = subject)]
    pub(crate) subject: Option<String>,
    /// When the key expires: a time (RFC 3339), or days from now as 90d
    #[arg(long, value_name = "TIME|DAYSd")]
    pub(crate) expires: Option<Expiry>,
    /// The public key, `k3.public.…`
    #[arg(value_name = "K3PUBLIC")]
    pub(crate) public: PublicKey,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PublisherCommand {
    /// Add one: a workflow of GitHub, a pipeline of GitLab, or claims of any OIDC issuer
    Add(Box<AddPublisher>),
    /// List them: name, state, the user they read as, their crates, and their identity
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Remove one: its staging tokens become invalid immediately
    Remove {
        #[command(flatten)]
        place: Place,
        /// The name
        #[arg(value_name = "NAME")]
        name: PublisherName,
    },
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("who").args(["github", "gitlab", "claims"]).required(true))]
pub(crate) struct AddPublisher {
    #[command(flatten)]
    pub(crate) place: Place,
    /// The user whose rights and whose credential for the registry behind its reads use; best a separate one
    #[arg(long, value_name = "USER")]
    pub(crate) reads_as: User,
    /// A crate that it may stage, or the beginning of existing names, as acme-*; may be given several times
    #[arg(long = "crate", value_name = "NAME", required = true)]
    pub(crate) crates: Vec<CratePattern>,
    /// A repository of GitHub
    #[arg(long, value_name = "OWNER/NAME", value_parser = repository, requires_all = REPOSITORY)]
    pub(crate) github: Option<String>,
    /// A project of GitLab
    #[arg(long, value_name = "GROUP/NAME", value_parser = repository, requires_all = REPOSITORY)]
    pub(crate) gitlab: Option<String>,
    /// The number of its owner, or in GitLab of its namespace: somebody else may get the name later, but not the number
    #[arg(long, value_name = "NUMBER")]
    pub(crate) owner_id: Option<u64>,
    /// Its own number, or in GitLab that of the project
    #[arg(long, value_name = "NUMBER")]
    pub(crate) repository_id: Option<u64>,
    /// The workflow's file: its name in .github/workflows, or its path in GitLab
    #[arg(long, value_name = "FILE", value_parser = workflow)]
    pub(crate) workflow: Option<String>,
    /// The ref it must run on, as refs/tags/v* or refs/heads/main; may be given several times
    #[arg(long = "ref", value_name = "REF")]
    pub(crate) refs: Vec<Pattern>,
    /// The environment that the job must have
    #[arg(long, value_name = "NAME", conflicts_with = "claims")]
    pub(crate) environment: Option<String>,
    /// A claim that the identity token must have, as sub=VALUE or sub=BEGINNING*; may be given several times
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = claim, requires = "issuer")]
    pub(crate) claims: Vec<(String, Pattern)>,
    /// The issuer, https:// [default: that of github.com, or of gitlab.com]
    #[arg(long, value_name = "URL", value_parser = issuer)]
    pub(crate) issuer: Option<String>,
    /// The audience that the identity token must have [default: this registry's `url` without https://, as at crates.io]
    #[arg(long, value_name = "AUDIENCE", value_parser = subject)]
    pub(crate) audience: Option<String>,
    /// The name that people see when it stages a version
    #[arg(value_name = "NAME")]
    pub(crate) name: PublisherName,
}

/// What names a workflow of a repository.
const REPOSITORY: [&str; 4] = ["owner_id", "repository_id", "workflow", "refs"];

fn repository(text: &str) -> Result<String, &'static str> {
    let is_name = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    let fits = text.len() <= 255 && text.contains('/') && text.split('/').all(is_name);
    if fits { Ok(text.to_owned()) } else { Err("a repository is OWNER/NAME, without its server") }
}

fn workflow(text: &str) -> Result<String, &'static str> {
    let fits =
        (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'@');
    if fits { Ok(text.to_owned()) } else { Err("a workflow's file name contains no spaces and no `@`") }
}

fn issuer(text: &str) -> Result<String, &'static str> {
    if is_issuer(text) {
        Ok(text.to_owned())
    } else {
        Err("an issuer is https:// and a host, perhaps with a path")
    }
}

/// A claim that says something about who asks, and a value that not everybody has.
fn claim(text: &str) -> Result<(String, Pattern), &'static str> {
    let wrong = "write NAME=VALUE, such as sub=system:builder: a claim about the requester, and not only `*`";
    let (name, value) = text.split_once('=').ok_or(wrong)?;
    let is_about_the_token = ["iss", "aud", "exp", "iat", "nbf", "jti"].contains(&name);
    let pattern: Pattern = value.parse().map_err(|_| wrong)?;
    if name.is_empty() || is_about_the_token || value == "*" {
        Err(wrong)
    } else {
        Ok((name.to_owned(), pattern))
    }
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

/// What the TAB key offers.
fn words(words: &'static [&'static str]) -> ArgValueCandidates {
    ArgValueCandidates::new(move || words.iter().map(CompletionCandidate::new).collect())
}

fn label(text: &str) -> Result<String, String> {
    if keys::is_label(text) { Ok(text.to_owned()) } else { Err(format!("a label is {}", keys::LABEL)) }
}

fn subject(text: &str) -> Result<String, &'static str> {
    let fits = (1..=256).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if fits { Ok(text.to_owned()) } else { Err("a subject is printable ASCII without spaces") }
}

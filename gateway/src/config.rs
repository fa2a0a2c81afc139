//! How a gateway is set up: from a TOML file, the command line, or a program that runs one.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use axum::http::Uri;
use ipnet::IpNet;
use serde::Deserialize;
use serde::de::{Error as _, Unexpected};
use transparency_log::{Algorithm, Verifier};

use crate::attestation;
use crate::challenge::Challenges;
use crate::policy::{LONGEST_SKEW, LONGEST_WINDOW};
use crate::private;
use crate::store_place::StorePlace;
use crate::tls::TlsFiles;

/// How to serve a registry. In the file, names have hyphens and durations are seconds.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Where the store is. In the file it is a folder or `postgres://USER@HOST/DATABASE`.
    pub store: StorePlace,
    /// How a PostgreSQL that has the store is reached.
    pub postgres: PostgresConfig,
    /// Where to listen; port 0 takes a free one.
    #[serde(deserialize_with = "address")]
    pub listen: SocketAddr,
    /// The public base URL as cargo sees it. By default it is `http://` and the address that is listened on.
    pub url: Option<String>,
    /// The index URL as cargo's users have it, if it is not `sparse+URL/index/`: the one that a registry had before, or
    /// with reads that bypass the gateway, the index of the registry behind.
    pub index_url: Option<String>,
    /// Who may read index and crates.
    pub reads: Reads,
    /// What `cargo owner` may do.
    pub owners: Owners,
    /// How old a token may be.
    #[serde(deserialize_with = "seconds")]
    pub window: Duration,
    /// How far in the future a token may be dated.
    #[serde(deserialize_with = "seconds")]
    pub skew: Duration,
    /// What is required of keys that people enroll themselves. Keys that an administrator adds need no attestation.
    pub attestation: attestation::Settings,
    /// The largest crate file, in bytes.
    pub max_crate: u64,
    /// How long the other end may take for a TLS handshake, for a request's header, for the next piece of its body, or
    /// to accept the next piece of an answer.
    #[serde(deserialize_with = "seconds")]
    pub patience: Duration,
    /// Whether challenges are issued, and whether mutation tokens must contain one.
    pub challenges: Challenges,
    /// Whether to serve plain HTTP to other computers. This is only for a proxy that ends TLS, on a network of its own.
    pub plain_http: bool,
    /// The TLS certificate. Without one, plain HTTP is served.
    pub tls: Option<TlsFiles>,
    /// Where to serve `/metrics`, `/healthz` and `/readyz` to operators, in plain HTTP.
    #[serde(deserialize_with = "some_address")]
    pub metrics: Option<SocketAddr>,
    /// Networks of proxies. Their `X-Forwarded-For` is believed, and their connections are not limited by address. In
    /// the file, a single address is a network too.
    #[serde(deserialize_with = "networks")]
    pub trusted_proxies: Vec<IpNet>,
    /// Connections at a time; one address may have half of them. A newcomer takes the place of one without a good token.
    pub connections: usize,
    /// The most signatures that are verified in a minute for one address (an IPv6 /64 counts as one). Remembered read
    /// tokens do not count.
    pub verifications_per_peer: NonZeroU32,
    /// The most signatures that are verified in a minute for one key from one address.
    pub verifications_per_key: NonZeroU32,
    /// How versions are approved that machines have staged.
    pub staging: StagingConfig,
    /// Witnesses that are asked to cosign the checkpoints of the audit log. Those who check the log name the ones they want.
    pub witness: Vec<WitnessConfig>,
    /// The registry behind. Without one, the built-in registry is served.
    pub upstream: Option<UpstreamConfig>,
}

/// Who may read index and crates.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Reads {
    /// Whoever has an enrolled key.
    #[default]
    Token,
    /// Everybody.
    Open,
    /// Nobody reads index or crates here: cargo reads them from the registry behind, and only its requests to the API
    /// come through the gateway. Everybody may search and see proofs. The index has only `config.json`, which is to be
    /// served in place of the registry's own.
    Bypass,
}

/// What `cargo owner` may do.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Owners {
    /// Only list them: the token does not say whom to add or remove, nor which of the two.
    #[default]
    List,
    /// Also add and remove them. Whoever gets hold of a valid owners token can add or remove somebody else with it.
    Change,
}

/// How versions are approved that machines have staged, and how much of them is kept.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct StagingConfig {
    /// How many people have to approve a version.
    pub approvals: u32,
    /// After how many days it cannot be approved any more.
    pub days: u32,
    /// How much one publisher or key may have staged, in bytes.
    pub bytes_per_publisher: u64,
    /// How much all together may have staged, in bytes.
    pub bytes: u64,
    /// How many versions one publisher or key may have staged: people have to look through them.
    pub versions_per_publisher: u32,
    /// How many versions all together may have staged.
    pub versions: u32,
}

impl Default for StagingConfig {
    fn default() -> Self {
        Self {
            approvals: 1,
            days: 14,
            bytes_per_publisher: 1 << 30,
            bytes: 8 << 30,
            versions_per_publisher: 200,
            versions: 1000,
        }
    }
}

/// A witness: somebody else's server, which cosigns checkpoints of a log that only grows (C2SP tlog-witness).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WitnessConfig {
    /// What it is called in the log and by `doctor`.
    pub name: String,
    /// Its submission prefix, http:// or https://; in the field, with `/add-checkpoint` behind it.
    #[serde(rename = "url", deserialize_with = "add_checkpoint")]
    pub address: Uri,
    /// Its verifier key, of type 4: `NAME+ID+BASE64`.
    #[serde(deserialize_with = "witness_key")]
    pub vkey: Verifier,
}

/// A registry that takes bearer tokens.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct UpstreamConfig {
    /// Its sparse index, with or without `sparse+`.
    pub index: String,
    /// Its API, if it is not the one that its `config.json` names.
    pub api: Option<String>,
    /// Its downloads, if they are not where its `config.json` says: a prefix or a template, as there.
    pub dl: Option<String>,
    /// Other index URLs of it. A crate that depends on the registry behind by one of its own addresses is refused.
    #[serde(default)]
    pub also_known_as: Vec<String>,
    /// The key that the users' credentials are encrypted with: a file of 32 bytes in base64, not open to others.
    /// `credential:NAME` is `$CREDENTIALS_DIRECTORY/NAME` (systemd), or without that variable NAME beside the
    /// configuration.
    pub key_file: PathBuf,
    /// More certificate authorities, in PEM.
    pub ca_file: Option<PathBuf>,
    /// How long to wait for its answer, and for each piece of it.
    #[serde(default = "upstream_timeout", deserialize_with = "seconds")]
    pub timeout: Duration,
}

/// How a PostgreSQL is reached. Its password is in no address, where others would see it.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct PostgresConfig {
    /// A file with the password alone, not open to others. In the configuration file `credential:NAME` is
    /// `$CREDENTIALS_DIRECTORY/NAME` (systemd). Without this, it is the credential `postgres-password` if there is one, else
    /// the line for the server in `$PGPASSFILE` or `~/.pgpass`. Of another user than the one in `store`, only that line counts.
    pub password_file: Option<PathBuf>,
    /// Whose password that is: the user's whom `store` names in the configuration. Without one, it is that of every user.
    #[serde(skip)]
    pub password_of: Option<String>,
    /// The certificate authorities of the servers, in PEM, in the place of the system's. With them TLS is spoken on loopback
    /// too.
    pub ca_file: Option<PathBuf>,
    /// The key that the gateway's own secrets in the database are encrypted with: a file as [`UpstreamConfig::key_file`], and the
    /// same one if there is a registry behind. Without this, it is that one, or the credential `credentials.key` if there is
    /// one. All gateways of one store have the same.
    pub key_file: Option<PathBuf>,
    /// A folder of this gateway's own, for the last place in the log that it has seen. Without this, it is `$STATE_DIRECTORY`
    /// (systemd), or in the configuration file `state` beside it.
    pub state: Option<PathBuf>,
}

impl PostgresConfig {
    /// Whether the password in the file is this user's.
    pub(crate) fn is_password_of(&self, user: &str) -> bool {
        self.password_of.as_ref().is_none_or(|owner| owner == user)
    }

    /// The key file, if one is named or systemd has given it.
    pub(crate) fn key_file(&self) -> Option<PathBuf> {
        let given = || credential("credential:credentials.key".as_ref(), None).filter(|file| file.exists());
        self.key_file.clone().or_else(given)
    }

    /// The folder for what this gateway has seen, if one is named or systemd has given it.
    pub(crate) fn state(&self) -> Option<PathBuf> {
        self.state.clone().or_else(given_state)
    }
}

/// Why a configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "a field's name says what it is")]
pub enum ConfigError {
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    File { path: PathBuf, source: io::Error },
    /// It is not a valid configuration.
    #[error("{} is not a valid configuration", path.display())]
    Syntax { path: PathBuf, source: SyntaxError },
}

/// Where a configuration is wrong, and why. It repeats neither the line nor a value, which may be a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {why}")]
#[allow(missing_docs, reason = "a field's name says what it is")]
pub struct SyntaxError {
    pub line: usize,
    pub column: usize,
    pub why: String,
}

impl ConfigError {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::File { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                private::NOT_PERMITTED
            }
            Self::File { .. } => "`registry-gateway init` makes one",
            Self::Syntax { source, .. } if source.why.starts_with("unknown field `password`") => {
                "write the password alone into a file that nobody else may read, and name that as `password-file` in [postgres]"
            }
            Self::Syntax { .. } => {
                "`registry-gateway init DIR`, with a new folder, makes one that explains every setting"
            }
        }
    }
}

impl Config {
    /// The default configuration, on a free port of 127.0.0.1.
    pub fn new(store: impl Into<StorePlace>) -> Self {
        Self {
            store: store.into(),
            postgres: PostgresConfig::default(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            url: None,
            index_url: None,
            reads: Reads::default(),
            owners: Owners::default(),
            window: Duration::from_secs(900),
            skew: Duration::from_secs(60),
            attestation: attestation::Settings::default(),
            max_crate: 20 << 20,
            patience: Duration::from_secs(30),
            challenges: Challenges::default(),
            tls: None,
            plain_http: false,
            metrics: None,
            trusted_proxies: Vec::new(),
            connections: 512,
            verifications_per_peer: const { NonZeroU32::new(3000).unwrap() },
            verifications_per_key: const { NonZeroU32::new(1200).unwrap() },
            staging: StagingConfig::default(),
            witness: Vec::new(),
            upstream: None,
        }
    }

    /// Reads a configuration file. Paths in it are taken from its folder.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text =
            fs::read_to_string(path).map_err(|source| ConfigError::File { path: path.to_owned(), source })?;
        let mut config: Self = toml::from_str(&text).map_err(|source| syntax(path, &text, source))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        config.store = config.store.relative_to(folder);
        config.attestation.relative_to(folder);
        let secret = |file: &Path| credential(file, Some(folder)).unwrap_or_else(|| folder.join(file));
        if let Some(tls) = &mut config.tls {
            tls.certificate = folder.join(&tls.certificate);
            tls.key = secret(&tls.key);
        }
        let postgres = &mut config.postgres;
        if let StorePlace::Postgres(url) = &config.store {
            postgres.password_of = Some(url.user.clone());
        }
        postgres.password_file = postgres.password_file.as_deref().map(secret);
        postgres.ca_file = postgres.ca_file.as_ref().map(|file| folder.join(file));
        postgres.key_file = postgres.key_file.as_deref().map(secret);
        let state = postgres.state.take().map(|state| folder.join(state));
        postgres.state = state.or_else(given_state).or_else(|| Some(folder.join("state")));
        if let Some(upstream) = &mut config.upstream {
            upstream.key_file = secret(&upstream.key_file);
            upstream.ca_file = upstream.ca_file.as_ref().map(|file| folder.join(file));
        }
        config.has_one_key_file();
        Ok(config)
    }

    /// A gateway in front of a registry names its key file there, and needs no other one for a PostgreSQL.
    pub(crate) fn has_one_key_file(&mut self) {
        let behind = self.upstream.as_ref().map(|upstream| upstream.key_file.clone());
        self.postgres.key_file = self.postgres.key_file.take().or(behind);
    }

    fn has_few_witnesses(&self) -> bool {
        let keys = self.witness.iter().map(|witness| witness.vkey.to_string()).collect::<BTreeSet<_>>();
        keys.len() == self.witness.len() && keys.len() <= MOST_WITNESSES
    }

    /// Whether plain HTTP would go over a network without leave.
    fn speaks_plainly_to_a_network(&self) -> bool {
        self.tls.is_none() && !self.plain_http && !self.listen.ip().is_loopback()
    }

    /// Checks that a gateway can serve with these settings. Spent tokens are remembered for the longest window and skew
    /// that are allowed here; with longer ones they could be spent again.
    ///
    /// # Errors
    /// [`OutOfBounds`] for the first setting that does not fit.
    pub(crate) fn is_within_bounds(&self) -> Result<(), OutOfBounds> {
        let timeout = self.upstream.as_ref().map(|upstream| upstream.timeout);
        let (one, other) =
            (&self.postgres.key_file, self.upstream.as_ref().map(|upstream| &upstream.key_file));
        let has_one_key_file = self.store.folder().is_some() || other.is_none() || one.as_ref() == other;
        let bounds = [
            (!self.window.is_zero() && self.window <= LONGEST_WINDOW, "window", "1 to 86400 seconds"),
            (self.skew <= LONGEST_SKEW, "skew", "0 to 3600 seconds"),
            (is_a_wait(self.patience), "patience", WAIT),
            (timeout.is_none_or(is_a_wait), "timeout", WAIT),
            ((1..=u64::from(u32::MAX)).contains(&self.max_crate), "max-crate", "1 to 4294967295 bytes"),
            (self.connections >= 2, "connections", "2 or more"),
            ((1..=10).contains(&self.staging.approvals), "approvals", "1 to 10"),
            ((1..=365).contains(&self.staging.days), "days", "1 to 365"),
            (self.has_few_witnesses(), "witness", "given once for each `vkey`, and at most 32 times"),
            (has_one_key_file, "key-file", "the same file in [postgres] and in [upstream]"),
            (
                !self.speaks_plainly_to_a_network(),
                "listen",
                "a loopback address, as long as there is no [tls]",
            ),
        ];
        match bounds.into_iter().find(|(is_within, ..)| !is_within) {
            Some((_, name, bounds)) => Err(OutOfBounds { name, bounds }),
            None => Ok(()),
        }
    }
}

/// A setting has a value that is not allowed.
#[derive(Debug, thiserror::Error)]
#[error("`{name}` must be {bounds}")]
pub struct OutOfBounds {
    /// The setting's name in the file.
    pub name: &'static str,
    /// What is allowed, in words that follow "must be".
    pub bounds: &'static str,
}

impl UpstreamConfig {
    /// Its index URL as cargo has it.
    pub(crate) fn index_url(&self) -> String {
        let index = self.index.strip_prefix("sparse+").unwrap_or(&self.index);
        format!("sparse+{}/", index.trim_end_matches('/'))
    }

    /// All index URLs by which a manifest may name it.
    pub(crate) fn addresses(&self) -> Vec<String> {
        std::iter::once(self.index_url()).chain(self.also_known_as.iter().cloned()).collect()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 8000)), ..Self::new("registry") }
    }
}

/// The parser would show the line where it is, with a password that may be there.
fn syntax(path: &Path, text: &str, mut error: toml::de::Error) -> ConfigError {
    let start = error.span().map_or(0, |span| span.start).min(text.len());
    let before = &text.as_bytes()[..start];
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let from = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let column = String::from_utf8_lossy(&before[from..]).chars().count() + 1;
    error.set_input(None);
    let why = without_secrets(error.to_string().trim_end().replace('\n', " "));
    ConfigError::Syntax { path: path.to_owned(), source: SyntaxError { line, column, why } }
}

/// Of a value that has the wrong type, and of an address with a user, the reason repeats the text.
fn without_secrets(why: String) -> String {
    let typed = why.strip_prefix("invalid type: string ").and_then(|rest| rest.rsplit_once(", expected "));
    match typed {
        Some((_, expected)) => format!("invalid type: a string, expected {expected}"),
        None if why.replace("USER@", "").contains('@') => "what stands there is not allowed there".to_owned(),
        None => why,
    }
}

/// systemd.exec, "Credentials". A command that systemd has not started takes the file from the configuration's folder.
fn credential(path: &Path, folder: Option<&Path>) -> Option<PathBuf> {
    let name = path.to_str()?.strip_prefix("credential:")?;
    let given = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    Some(given.or_else(|| folder.map(Path::to_owned))?.join(name))
}

/// systemd.exec, "StateDirectory=". The first, if there are several.
fn given_state() -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("STATE_DIRECTORY")?).next()
}

/// As many as a consumer may want.
const MOST_WITNESSES: usize = 32;

const WAIT: &str = "1 to 3600 seconds";

/// A program that runs a gateway may set fractions of a second; the file cannot.
fn is_a_wait(duration: Duration) -> bool {
    !duration.is_zero() && duration <= Duration::from_secs(3600)
}

fn upstream_timeout() -> Duration {
    Duration::from_secs(30)
}

fn some_address<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    address(deserializer).map(Some)
}

/// The parser's own message, "invalid socket address syntax", does not help if the port is missing or a name is
/// written.
fn address<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    let like = "an address and a port, such as \"127.0.0.1:8000\" or \"[::1]:8000\"";
    text.parse().map_err(|_| D::Error::invalid_value(Unexpected::Str(&text), &like))
}

fn networks<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let like = "an address, or a network such as \"10.0.0.0/8\"";
    let network = |text: &String| {
        let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network.map_err(|_| D::Error::invalid_value(Unexpected::Str(text), &like))
    };
    Vec::<String>::deserialize(deserializer)?.iter().map(network).collect()
}

fn add_checkpoint<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Uri, D::Error> {
    let text = String::deserialize(deserializer)?;
    let like = "an address with http:// or https://, such as \"https://witness.example.org\"";
    let is_http = text.starts_with("http://") || text.starts_with("https://");
    let address = format!("{}/add-checkpoint", text.trim_end_matches('/')).parse::<Uri>().ok();
    address
        .filter(|address| is_http && address.query().is_none() && address.host().is_some())
        .ok_or_else(|| D::Error::invalid_value(Unexpected::Str(&text), &like))
}

fn witness_key<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Verifier, D::Error> {
    let text = String::deserialize(deserializer)?;
    let key: Verifier = text.parse().map_err(D::Error::custom)?;
    match key.algorithm() {
        Algorithm::CosignatureV1 => Ok(key),
        _ => Err(D::Error::custom("this is the key of a log, and not of a witness (type 4)")),
    }
}

fn seconds<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::Config;
    use crate::attestation::Rules;

    const FILE: &str = include_str!("registry-gateway.toml");

    /// What has no default: the file shows an example.
    const EXAMPLES: [&str; 4] = ["url", "index-url", "metrics", "trusted-proxies"];

    /// The lines of the file that are settings, those that are commented out too.
    fn settings() -> impl Iterator<Item = &'static str> {
        let setting =
            |line: &&str| line.starts_with(|first: char| first.is_ascii_lowercase() || first == '[');
        FILE.lines().map(|line| line.strip_prefix('#').unwrap_or(line)).filter(setting)
    }

    fn text(lines: impl Iterator<Item = &'static str>) -> String {
        lines.map(|line| format!("{line}\n")).collect()
    }

    /// What may stand in a table of the configuration, as the parser says it.
    fn names(table: &str) -> Vec<String> {
        let refused = toml::from_str::<Config>(&format!("{table}\nno-such-setting = 1\n")).unwrap_err();
        let (_, names) = refused
            .message()
            .split_once("expected one of ")
            .or(refused.message().split_once("expected "))
            .unwrap();
        names.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }

    #[test]
    fn the_file_that_init_makes_shows_every_setting() {
        for table in ["", "[attestation]", "[postgres]", "[tls]", "[staging]", "[[witness]]", "[upstream]"] {
            let names = names(table);
            assert!(names.len() > 1, "{names:?}");
            for name in names {
                let shown = |line: &str| {
                    line.starts_with(&format!("{name} = ")) || line.trim_matches(['[', ']']) == name
                };
                assert!(settings().any(shown), "{table} {name}");
            }
        }
    }

    #[test]
    fn addresses_as_people_write_them() {
        let config: Config =
            toml::from_str("trusted-proxies = [\"127.0.0.1\", \"10.0.0.0/8\", \"::1\"]").unwrap();
        let proxies: Vec<_> = config.trusted_proxies.iter().map(ToString::to_string).collect();
        assert_eq!(proxies, ["127.0.0.1/32", "10.0.0.0/8", "::1/128"]);
        for (wrong, like) in [
            ("listen = \"localhost:8000\"", "\"localhost:8000\", expected an address and a port, such as"),
            ("metrics = \"9100\"", "\"9100\", expected an address and a port, such as"),
            ("trusted-proxies = [\"proxy\"]", "\"proxy\", expected an address, or a network such as"),
        ] {
            let refused = toml::from_str::<Config>(wrong).unwrap_err().to_string();
            assert!(refused.contains(like), "{refused}");
        }
    }

    #[test]
    fn no_number_makes_the_gateway_useless_or_forgetful() {
        let upstream = "[upstream]\nindex = \"x\"\nkey-file = \"x\"\n";
        for (wrong, name) in [
            ("window = 0", "window"),
            ("window = 86401", "window"),
            ("skew = 3601", "skew"),
            ("patience = 0", "patience"),
            ("patience = 9223372036854775807", "patience"),
            ("max-crate = 0", "max-crate"),
            ("max-crate = 4294967296", "max-crate"),
            ("connections = 1", "connections"),
            ("[staging]\napprovals = 0", "approvals"),
            ("[staging]\ndays = 366", "days"),
            ("listen = \"0.0.0.0:8000\"", "listen"),
            ("listen = \"[2001:db8::1]:8000\"", "listen"),
            (&format!("{upstream}timeout = 0"), "timeout"),
        ] {
            let config: Config = toml::from_str(wrong).unwrap();
            assert_eq!(config.is_within_bounds().unwrap_err().name, name, "{wrong}");
        }
        let network = "listen = \"0.0.0.0:443\"\n";
        for good in [
            "",
            "window = 86400\nskew = 3600",
            "skew = 0",
            "connections = 2",
            upstream,
            "listen = \"[::1]:8000\"",
            &format!("{network}plain-http = true"),
            &format!("{network}[tls]\ncertificate = \"chain.pem\"\nkey = \"key.pem\""),
        ] {
            toml::from_str::<Config>(good).unwrap().is_within_bounds().unwrap();
        }
    }

    #[test]
    fn what_it_shows_is_valid_and_the_default() {
        let all: Config = toml::from_str(&text(settings())).unwrap();
        assert!(all.upstream.is_some() && all.tls.is_some() && all.witness.len() == 1);
        let (shown, usual) = (all.attestation.rules().unwrap(), Rules::default());
        assert_eq!((shown.read, shown.publish), (usual.read, usual.publish));

        let is_default = |line: &&str| !EXAMPLES.iter().any(|name| line.starts_with(&format!("{name} = ")));
        let defaults = settings().take_while(|line| !line.starts_with('[')).filter(is_default);
        let defaults: Config = toml::from_str(&text(defaults)).unwrap();
        assert_eq!(format!("{defaults:?}"), format!("{:?}", Config::default()));
        let untouched: Config = toml::from_str(FILE).unwrap();
        assert_eq!(format!("{untouched:?}"), format!("{:?}", Config::default()));
    }
}

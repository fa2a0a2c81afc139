//! How a connection to a PostgreSQL is made, and what it has to be.

use std::error::Error as _;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use aws_lc_rs::rand;
use deadpool::managed::{Manager, Metrics, RecycleError, RecycleResult};
use deadpool_postgres::ClientWrapper;
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::password::Passwords;
use super::{CONNECT, IDLE_IN_TRANSACTION, PostgresError, STATEMENT};
use crate::causes::{escaped, with_causes};
use crate::config::PostgresConfig;
use crate::http_client::{AuthoritiesError, authorities};
use crate::store_place::{PostgresHost, PostgresUrl};

/// The oldest version of PostgreSQL, as `server_version_num` has it.
const OLDEST: u32 = 150_000;
/// How long one address of a server's name may take to accept a connection.
const ACCEPT: Duration = Duration::from_secs(2);
/// How long a connection may be quiet before the system asks whether the other end is there, how long it waits for the answer,
/// and how often it asks.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(15), Duration::from_secs(5), 3);
/// How long what was sent may stay unacknowledged (Linux).
const UNACKNOWLEDGED: Duration = Duration::from_secs(10);
/// A setting of our own, which only says by which connection a session was begun.
const MARK: &str = "registry_gateway.session";

/// Why one server cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// There is no connection, or it broke, or its TLS is not good.
    #[error("no connection: {}", said(.0))]
    Unreachable(tokio_postgres::Error),
    /// It did not answer in time.
    #[error("no answer within {} seconds", CONNECT.as_secs())]
    Late,
    /// It refused the user or the database, or has no place.
    #[error("it refused: {}", said(.0))]
    Refused(tokio_postgres::Error),
    /// It does not take the password.
    #[error("it refused: {}", said(error))]
    #[allow(missing_docs, reason = "a field's name says what it is")]
    WrongPassword { error: tokio_postgres::Error, user: String, from: String },
    /// It asks for a password, and none was found for it.
    #[error("it asks for a password, but none is set")]
    NoPassword,
    /// It cannot be written to: a standby.
    #[error("it is read-only")]
    ReadOnly,
    /// Its version is too old.
    #[error("it is PostgreSQL {}.{}, but the oldest supported version is {}", .0 / 10_000, .0 % 10_000, OLDEST / 10_000)]
    TooOld(u32),
    /// Its database has another encoding.
    #[error("its database has the encoding {0}, but must have UTF8")]
    Encoding(String),
    /// A pooler is in front of it.
    #[error(
        "there is a connection pooler in front of it, such as PgBouncer{}",
        .0.as_ref().map(|error| format!(": {}", said(error))).unwrap_or_default()
    )]
    Pooler(Option<tokio_postgres::Error>),
    /// It said something else than what it was asked.
    #[error("it sent an unexpected answer")]
    Nonsense,
}

impl Unusable {
    /// What to do next, where that is known.
    pub(super) fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::WrongPassword { user, from, .. } => {
                return Some(format!(
                    "the password of {user} that was tried is from {from}; ALTER ROLE {user} PASSWORD sets a new one. \
                     `password-file` in [postgres] is for the user of `store` in the configuration, and a line in ~/.pgpass for \
                     another one"
                ));
            }
            Self::Unreachable(error) => unreachable(error),
            Self::Late => "check whether it runs, and whether a firewall drops the traffic",
            Self::Refused(error) => refused(error)?,
            Self::NoPassword => {
                "name a file with it as `password-file` in [postgres], if the user is that of `store` in the configuration, or write \
                 a line for this server, database and user into ~/.pgpass"
            }
            Self::ReadOnly => {
                "name its primary too: every server of the address is tried until one can be written to"
            }
            Self::TooOld(_) => "upgrade it with pg_upgrade",
            Self::Encoding(_) => "make one with CREATE DATABASE … TEMPLATE template0 ENCODING 'UTF8'",
            Self::Pooler(_) => {
                "name PostgreSQL itself: the gateway has a pool of its own, and in another one's sessions its time limits and \
                 locks would be those of others"
            }
            Self::Nonsense => "check that the address is that of a PostgreSQL",
        };
        Some(hint.to_owned())
    }

    /// Names the password that was tried, where it was refused.
    fn with_password_of(self, user: &str, passwords: &Passwords) -> Self {
        match self {
            Self::Refused(error) if error.code() == Some(&SqlState::INVALID_PASSWORD) => {
                Self::WrongPassword { error, user: user.to_owned(), from: passwords.from().to_owned() }
            }
            other => other,
        }
    }

    /// Whether it may be otherwise later, with nothing changed here.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Late | Self::ReadOnly => true,
            Self::Refused(error) => {
                let passing = [&SqlState::TOO_MANY_CONNECTIONS, &SqlState::CANNOT_CONNECT_NOW];
                error.code().is_some_and(|code| passing.contains(&code))
            }
            Self::WrongPassword { .. } => false,
            Self::NoPassword | Self::TooOld(_) | Self::Encoding(_) | Self::Pooler(_) | Self::Nonsense => {
                false
            }
        }
    }

    /// Whether it says more of what is to be done than that a server is not there.
    pub(super) fn is_telling(&self) -> bool {
        !matches!(self, Self::Unreachable(_) | Self::Late | Self::ReadOnly)
    }
}

/// The server's own sentence, or what the library says.
fn said(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| with_causes(error), |error| escaped(error.message()))
}

fn unreachable(error: &tokio_postgres::Error) -> &'static str {
    let is_tls = error.to_string().contains("TLS");
    if is_tls {
        "a server on a network has to have `ssl = on`, and a certificate for the very name that the address has, by an authority \
         of this system or of `ca-file` in [postgres]"
    } else {
        "check whether it runs, and whether `listen_addresses` and `port` in its postgresql.conf match the address"
    }
}

fn refused(error: &tokio_postgres::Error) -> Option<&'static str> {
    let code = error.code()?;
    let known = [
        (
            &SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
            "check the server's pg_hba.conf: it says who may connect from where, and how",
        ),
        (
            &SqlState::INVALID_CATALOG_NAME,
            "make it with CREATE DATABASE … TEMPLATE template0 ENCODING 'UTF8'",
        ),
        (
            &SqlState::TOO_MANY_CONNECTIONS,
            "raise `max_connections` in its postgresql.conf: docs/gateway.md says how many a gateway has",
        ),
        (&SqlState::CANNOT_CONNECT_NOW, "wait until it has started"),
    ];
    known.iter().find(|(known, _)| *known == code).map(|(_, hint)| *hint)
}

/// A connection, and the task that moves its bytes.
#[derive(Debug)]
pub(super) struct Connection {
    client: Arc<ClientWrapper>,
    task: AbortHandle,
    is_given_up: AtomicBool,
    /// The connector's when it was made.
    trust: u64,
}

impl Connection {
    pub(super) fn client(&self) -> &Arc<ClientWrapper> {
        &self.client
    }

    /// Closes it at once. A transaction that is open on it ends then, and nobody is lent it again.
    pub(super) fn close(&self) {
        self.is_given_up.store(true, Ordering::Relaxed);
        self.task.abort();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_given_up.load(Ordering::Relaxed) || self.client.is_closed()
    }
}

/// Makes connections, to the first server that may be written to.
pub(super) struct Connector {
    url: PostgresUrl,
    settings: PostgresConfig,
    /// `None` if all servers are on this computer.
    tls: Option<MakeRustlsConnect>,
    /// The server that the last connection was made to: it is tried first.
    last: AtomicUsize,
    /// It is raised when what was connected before may be another server than the present primary.
    trust: AtomicU64,
}

impl Connector {
    pub(super) fn new(url: &PostgresUrl, settings: &PostgresConfig) -> Result<Self, PostgresError> {
        let needs_tls = url.hosts.iter().any(|host| wants_tls(host, settings));
        let tls = if needs_tls { Some(tls(settings.ca_file.as_deref())?) } else { None };
        Ok(Self {
            url: url.clone(),
            settings: settings.clone(),
            tls,
            last: AtomicUsize::new(0),
            trust: AtomicU64::new(0),
        })
    }

    /// From now on no connection is lent that was made before.
    pub(super) fn distrust_connections(&self) {
        self.trust.fetch_add(1, Ordering::Relaxed);
    }

    async fn connect(&self, host: &PostgresHost, passwords: &Passwords) -> Result<Connection, Unusable> {
        let mark = mark();
        let mut config = self.config(host, &mark);
        if let Some(password) = passwords.of(&self.url, host) {
            config.password(password.as_bytes());
        }
        let connecting = async {
            let connection = match &self.tls {
                Some(tls) if wants_tls(host, &self.settings) => opened(&config, tls.clone()).await?,
                _ => opened(&config, NoTls).await?,
            };
            judge(&connection.client, &mark).await?;
            Ok(connection)
        };
        let connected = timeout(CONNECT, connecting).await.unwrap_or(Err(Unusable::Late));
        connected.map_err(|error| error.with_password_of(&self.url.user, passwords))
    }

    /// The limits are given with the first message, so that no session is without them. What is committed is on disk, and where
    /// the server has synchronous standbys on theirs, whatever `synchronous_commit` the server, the database or the role have.
    /// Statements are planned once on each connection, since an index leads to what each of them reads, however much there is: planning
    /// anew takes longer than most of them do.
    fn config(&self, host: &PostgresHost, mark: &str) -> Config {
        let (idle, interval, retries) = KEEPALIVE;
        let mut config = Config::new();
        config
            .host(&host.host)
            .port(host.port)
            .user(&self.url.user)
            .dbname(&self.url.database)
            .application_name("registry-gateway")
            .options(format!(
                "-c {MARK}={mark} -c synchronous_commit=on -c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c jit=off \
                 -c statement_timeout={} -c idle_in_transaction_session_timeout={}",
                STATEMENT.as_millis(),
                IDLE_IN_TRANSACTION.as_millis()
            ))
            .ssl_mode(if wants_tls(host, &self.settings) { SslMode::Require } else { SslMode::Disable })
            .connect_timeout(ACCEPT)
            .tcp_user_timeout(UNACKNOWLEDGED)
            .keepalives_idle(idle)
            .keepalives_interval(interval)
            .keepalives_retries(retries);
        config
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connector").field(&self.url).finish()
    }
}

impl Manager for Connector {
    type Type = Connection;
    type Error = PostgresError;

    async fn create(&self) -> Result<Connection, PostgresError> {
        let trust = self.trust.load(Ordering::Relaxed);
        let passwords = Passwords::read(&self.settings, &self.url.user)?;
        let mut failures = Vec::new();
        let last = self.last.load(Ordering::Relaxed);
        for at in (0..self.url.hosts.len()).map(|at| (last + at) % self.url.hosts.len()) {
            let host = &self.url.hosts[at];
            match self.connect(host, &passwords).await {
                Ok(connection) => {
                    self.last.store(at, Ordering::Relaxed);
                    return Ok(Connection { trust, ..connection });
                }
                Err(error) => failures.push((host.to_string(), error)),
            }
        }
        Err(PostgresError::NoServer(failures))
    }

    async fn recycle(&self, connection: &mut Connection, _: &Metrics) -> RecycleResult<PostgresError> {
        if connection.is_closed() || connection.trust != self.trust.load(Ordering::Relaxed) {
            return Err(RecycleError::message("it is closed, or of another server"));
        }
        Ok(())
    }
}

/// On the way to another computer TLS is no choice. On this one it is, by naming an authority.
fn wants_tls(host: &PostgresHost, settings: &PostgresConfig) -> bool {
    !host.is_here() || !host.is_socket() && settings.ca_file.is_some()
}

/// With a file, its authorities alone are believed: those of the system vouch for names of everybody.
fn tls(ca_file: Option<&Path>) -> Result<MakeRustlsConnect, AuthoritiesError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(AuthoritiesError::None)?;
    let builder = match ca_file {
        None => builder.with_platform_verifier().map_err(AuthoritiesError::None)?,
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for authority in authorities(path)? {
                let unusable = |source| AuthoritiesError::File { path: path.to_owned(), source };
                roots.add(authority).map_err(|error| unusable(error.into()))?;
            }
            builder.with_root_certificates(roots)
        }
    };
    Ok(MakeRustlsConnect::new(builder.with_no_client_auth()))
}

async fn opened<T>(config: &Config, tls: T) -> Result<Connection, Unusable>
where
    T: MakeTlsConnect<Socket>,
    T::Stream: Send + 'static,
{
    let (client, connection) = config.connect(tls).await.map_err(because)?;
    let task = tokio::spawn(async {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to PostgreSQL broke");
        }
    });
    let (abort, is_given_up) = (task.abort_handle(), AtomicBool::new(false));
    let client = Arc::new(ClientWrapper::new(client, task));
    Ok(Connection { client, task: abort, is_given_up, trust: 0 })
}

/// PgBouncer refuses what it does not know of the first message ("ignore_startup_parameters"), as a violation of the protocol.
fn because(error: tokio_postgres::Error) -> Unusable {
    match error.code() {
        Some(&SqlState::PROTOCOL_VIOLATION) => Unusable::Pooler(Some(error)),
        Some(_) => Unusable::Refused(error),
        None if error.source().is_some_and(|why| why.to_string() == "password missing") => {
            Unusable::NoPassword
        }
        None => Unusable::Unreachable(error),
    }
}

/// Looks whether this session can be used.
///
/// A pooler is recognised by the mark: PostgreSQL begins a session with the settings of the first message, and a pooler gives
/// sessions that it began itself before. It either refuses that message or drops what it does not know of it. Other signs are
/// not reliable: `SHOW pool_mode` answers on PgBouncer's own console only, `pg_backend_pid()` stays the same as long as
/// nobody else is there, and prepared statements work in transaction mode since PgBouncer 1.21. A pooler in session mode is
/// refused as well, because nothing tells the two apart.
async fn judge(client: &Client, mark: &str) -> Result<(), Unusable> {
    let query =
        format!("SHOW server_version_num; SHOW server_encoding; SHOW transaction_read_only; SHOW {MARK}");
    let messages = client.simple_query(&query).await.map_err(|error| match error.code() {
        // The session was begun without the mark.
        Some(&SqlState::UNDEFINED_OBJECT) => Unusable::Pooler(None),
        _ => because(error),
    })?;
    let values = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    let [version, encoding, read_only, marked] = values.collect::<Vec<_>>()[..] else {
        return Err(Unusable::Nonsense);
    };
    let version = version.parse().map_err(|_| Unusable::Nonsense)?;
    if version < OLDEST {
        return Err(Unusable::TooOld(version));
    }
    if marked != mark {
        return Err(Unusable::Pooler(None));
    }
    if encoding != "UTF8" {
        return Err(Unusable::Encoding(encoding.to_owned()));
    }
    if read_only != "off" {
        return Err(Unusable::ReadOnly);
    }
    Ok(())
}

/// Another one for each connection. It need not be secret, and without random numbers it is the same for all.
fn mark() -> String {
    let mut mark = [0; 8];
    let _ = rand::fill(&mut mark);
    format!("m{:016x}", u64::from_be_bytes(mark))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use tokio_postgres::config::SslMode;

    use super::{AtomicU64, AtomicUsize, Connector, PostgresConfig};
    use crate::store_place::StorePlace;

    #[test]
    fn no_server_on_a_network_is_spoken_to_without_tls() {
        use SslMode::{Disable, Require};
        for (host, usual, with_authority) in [
            ("db.example", Require, Require),
            ("192.0.2.1", Require, Require),
            ("[2001:db8::1]", Require, Require),
            ("localhost.example", Require, Require),
            ("127.0.0.1.example", Require, Require),
            ("localhost", Disable, Require),
            ("127.0.0.2", Disable, Require),
            ("[::1]", Disable, Require),
            ("%2Frun%2Fpostgresql", Disable, Disable),
        ] {
            let StorePlace::Postgres(url) = format!("postgres://gateway@{host}/crates").parse().unwrap()
            else {
                panic!("{host}")
            };
            for (ca_file, mode) in [(None, usual), (Some(PathBuf::from("ca.pem")), with_authority)] {
                let settings = PostgresConfig { ca_file, ..PostgresConfig::default() };
                let (url, last, trust) = (url.clone(), AtomicUsize::new(0), AtomicU64::new(0));
                let connector = Connector { url, settings, tls: None, last, trust };
                let config = connector.config(&connector.url.hosts[0], "m");
                assert_eq!(config.get_ssl_mode(), mode, "{host} {:?}", connector.settings);
            }
        }
    }
}

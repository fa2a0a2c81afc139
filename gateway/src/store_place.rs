//! Where a store is: a folder of this computer, or a PostgreSQL.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, de};
use tokio_postgres::config::Host;

/// Where the store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorePlace {
    /// A folder with a database of its own.
    Folder(PathBuf),
    /// A PostgreSQL, which several gateways can share.
    Postgres(PostgresUrl),
}

/// `postgres://USER@HOST:PORT,HOST:PORT/DATABASE`, without a password.
///
/// It is libpq's form of a connection URI. A host that begins with a slash, in the query or encoded, is the folder of a Unix
/// socket; without a host it is [`SOCKETS`]. The port is 5432 and the database has the user's name, unless they are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresUrl {
    /// The role.
    pub user: String,
    /// The servers, in the order in which they are tried.
    pub hosts: Vec<PostgresHost>,
    /// The database.
    pub database: String,
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresHost {
    /// A name, an IP address, or the folder of a Unix socket, which begins with a slash.
    pub host: String,
    /// The port. It is part of a socket's name.
    pub port: u16,
}

/// Where Linux distributions have the socket of their PostgreSQL.
pub const SOCKETS: &str = "/var/run/postgresql";

/// How the address of a PostgreSQL begins.
const SCHEMES: [&str; 2] = ["postgres", "postgresql"];

/// A store on the command line or in the environment. What is wrong with it is told later: clap would repeat the text, and a
/// password with it.
#[derive(Clone, Debug)]
pub struct NamedStore(Result<StorePlace, AddressError>);

/// Why an address is not taken. None of them repeats it, because it may have a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It has a password, which others would see in the list of processes, in the configuration, or in a log.
    #[error("the address of the store has a password in it")]
    Password,
    /// A parameter that would weaken TLS, or that says no more than what holds anyway.
    #[error("the address of the store has `{0}`, but TLS settings do not belong there")]
    Tls(String),
    /// A parameter that the gateway sets itself or does not know.
    #[error("the address of the store has `{0}`, which does not belong there")]
    Parameter(String),
    /// No user is named.
    #[error("the address of the store has no user")]
    NoUser,
    /// It is another kind of address.
    #[error("a store is a folder or a PostgreSQL, and {0} is neither")]
    Scheme(String),
    /// It cannot be read.
    #[error("the address of the store cannot be read{}", .0.as_ref().map(|why| format!(": {why}")).unwrap_or_default())]
    Malformed(Option<String>),
}

impl AddressError {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Password => {
                "take it out, and change it, because it has been seen; put the new one alone into a file that nobody else may read, \
                 and name that as `password-file` in [postgres], or use ~/.pgpass or a systemd credential `postgres-password`"
            }
            Self::Tls(_) => {
                "take it out: every server on a network has to show a certificate for its name. An authority of your own is \
                 `ca-file` in [postgres]"
            }
            Self::Parameter(_) => {
                "remove it: the gateway sets time limits itself, and uses only a server that it can write to"
            }
            Self::NoUser | Self::Scheme(_) | Self::Malformed(_) => {
                "write postgres://USER@HOST/DATABASE, with HOST:PORT for another port, or HOST,HOST for several servers; \
                 postgres://USER@/DATABASE?host=/FOLDER is a Unix socket"
            }
        }
    }
}

impl StorePlace {
    /// Text with `://` is an address, and so is what begins as one of a PostgreSQL. Anything else is a folder.
    ///
    /// # Errors
    /// [`AddressError`].
    pub fn of(path: PathBuf) -> Result<Self, AddressError> {
        let text = path.to_string_lossy();
        if let Some((scheme, rest)) = text.split_once("://")
            && SCHEMES.iter().any(|name| scheme.eq_ignore_ascii_case(name))
        {
            return PostgresUrl::of(rest).map(Self::Postgres);
        }
        if is_mistyped(&text) {
            return Err(AddressError::Malformed(Some("`postgres` must be followed by `://`".to_owned())));
        }
        match text.split_once("://") {
            None => Ok(Self::Folder(path)),
            // Of a mistyped address, a password may stand before it.
            Some((scheme, _)) if scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
                Err(AddressError::Scheme(format!("{scheme}://")))
            }
            Some(_) => Err(AddressError::Malformed(None)),
        }
    }

    /// The folder, if it is one.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        if let Self::Folder(folder) = self { Some(folder) } else { None }
    }

    /// The same, with a folder taken from another one.
    #[must_use]
    pub fn relative_to(self, folder: &Path) -> Self {
        match self {
            Self::Folder(store) => Self::Folder(folder.join(store)),
            place @ Self::Postgres(_) => place,
        }
    }
}

/// Whether it was meant as the address of a PostgreSQL, with a slash or a colon too few. A folder of that name would have a
/// password in it.
fn is_mistyped(text: &str) -> bool {
    let rest =
        |name: &&str| text.get(..name.len()).filter(|begin| begin.eq_ignore_ascii_case(name)).map(str::len);
    let mut rests = SCHEMES.iter().filter_map(rest).map(|end| &text[end..]);
    rests.any(|rest| rest.starts_with(':') || rest.starts_with("//"))
}

impl PostgresUrl {
    /// Reads what stands after `postgres://`.
    fn of(rest: &str) -> Result<Self, AddressError> {
        if rest.split_once('@').is_some_and(|(user, _)| user.contains(':')) {
            return Err(AddressError::Password);
        }
        let query = rest.split_once('?').map(|(_, query)| query).unwrap_or_default();
        query.split('&').filter(|parameter| !parameter.is_empty()).try_for_each(is_allowed)?;
        let read: tokio_postgres::Config = format!("postgres://{rest}").parse().map_err(unreadable)?;
        if read.get_password().is_some() {
            return Err(AddressError::Password);
        }
        let user = read.get_user().filter(|user| !user.is_empty()).ok_or(AddressError::NoUser)?.to_owned();
        let ports = read.get_ports();
        // The library takes several folders of sockets in one parameter for one folder.
        let several = |host: String| host.split(',').map(str::to_owned).collect::<Vec<_>>();
        let mut hosts: Vec<String> = read.get_hosts().iter().map(host).flat_map(several).collect();
        if hosts.is_empty() {
            hosts.push(SOCKETS.to_owned());
        }
        let port = |at: usize| match ports {
            [] => Some(5432),
            [port] => Some(*port),
            ports if ports.len() == hosts.len() => Some(ports[at]),
            _ => None,
        };
        let hosts = hosts.iter().enumerate().map(|(at, host)| {
            let port = port(at).filter(|port| *port > 0 && !host.is_empty());
            Some(PostgresHost { host: host.clone(), port: port? })
        });
        let hosts = hosts.collect::<Option<Vec<_>>>().ok_or(AddressError::Malformed(None))?;
        let database = read.get_dbname().filter(|name| !name.is_empty()).unwrap_or(&user).to_owned();
        Ok(Self { user, hosts, database })
    }
}

fn is_allowed(parameter: &str) -> Result<(), AddressError> {
    let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
    match name {
        "host" | "port" | "user" | "dbname" => Ok(()),
        "target_session_attrs" if value == "read-write" => Ok(()),
        "password" | "passfile" => Err(AddressError::Password),
        name if name.starts_with("ssl") || name == "channel_binding" => {
            Err(AddressError::Tls(name.to_owned()))
        }
        name => Err(AddressError::Parameter(name.to_owned())),
    }
}

fn host(host: &Host) -> String {
    match host {
        Host::Tcp(name) => name.clone(),
        #[cfg(unix)]
        Host::Unix(folder) => folder.display().to_string(),
    }
}

/// The reason names the part that is wrong, and not what it is.
fn unreadable(error: tokio_postgres::Error) -> AddressError {
    AddressError::Malformed(error.into_source().map(|why| why.to_string()))
}

impl PostgresHost {
    /// Whether it is a Unix socket.
    #[must_use]
    pub fn is_socket(&self) -> bool {
        self.host.starts_with('/')
    }

    /// Whether nobody outside this computer can be on the way: a socket, or loopback (RFC 6761, 6.3 for the name).
    #[must_use]
    pub fn is_here(&self) -> bool {
        let is_loopback = self.host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        self.is_socket() || is_loopback || self.host.eq_ignore_ascii_case("localhost")
    }
}

impl fmt::Display for PostgresHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// As it can be given again.
impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (user, database) = (encoded(&self.user, ""), encoded(&self.database, ""));
        if self.hosts.iter().all(PostgresHost::is_socket) {
            let folders = self.joined(|host| encoded(&host.host, "/"));
            let ports = self.joined(|host| host.port.to_string());
            return write!(f, "postgres://{user}@/{database}?host={folders}&port={ports}");
        }
        let hosts = self.joined(|host| match host.is_socket() {
            true => format!("{}:{}", encoded(&host.host, ""), host.port),
            false => host.to_string(),
        });
        write!(f, "postgres://{user}@{hosts}/{database}")
    }
}

impl PostgresUrl {
    fn joined(&self, of: impl Fn(&PostgresHost) -> String) -> String {
        self.hosts.iter().map(of).collect::<Vec<_>>().join(",")
    }
}

/// RFC 3986, 2.1: all but what is unreserved (2.3), and these characters.
fn encoded(text: &str, plain: &str) -> String {
    let is_plain = |byte: u8| {
        byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || plain.as_bytes().contains(&byte)
    };
    let encode = |byte: u8| {
        if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    text.bytes().map(encode).collect()
}

impl fmt::Display for StorePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => folder.display().fmt(f),
            Self::Postgres(url) => url.fmt(f),
        }
    }
}

impl<P: Into<PathBuf>> From<P> for StorePlace {
    fn from(folder: P) -> Self {
        Self::Folder(folder.into())
    }
}

impl From<OsString> for NamedStore {
    fn from(text: OsString) -> Self {
        Self(StorePlace::of(text.into()))
    }
}

impl From<StorePlace> for NamedStore {
    fn from(place: StorePlace) -> Self {
        Self(Ok(place))
    }
}

impl NamedStore {
    /// The place, if it is one.
    ///
    /// # Errors
    /// [`AddressError`].
    pub fn place(&self) -> Result<StorePlace, AddressError> {
        self.0.clone()
    }
}

impl FromStr for StorePlace {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::of(text.into())
    }
}

impl<'de> Deserialize<'de> for StorePlace {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(|error: AddressError| de::Error::custom(format_args!("{error}; {}", error.hint())))
    }
}

#[cfg(test)]
mod tests {
    use super::{AddressError, StorePlace};

    /// How it is shown, which is another way to write it.
    fn shown(text: &str) -> Result<String, AddressError> {
        text.parse().map(|place: StorePlace| place.to_string())
    }

    #[test]
    fn addresses_as_people_write_them() {
        for (written, meant) in [
            ("postgres://gateway@db.example/crates", "postgres://gateway@db.example:5432/crates"),
            ("postgresql://gateway@db.example", "postgres://gateway@db.example:5432/gateway"),
            ("POSTGRES://gateway@db.example/crates", "postgres://gateway@db.example:5432/crates"),
            ("postgres://gateway@a,b:5433/crates", "postgres://gateway@a:5432,b:5433/crates"),
            ("postgres://gateway@[2001:db8::1]:5433/crates", "postgres://gateway@[2001:db8::1]:5433/crates"),
            ("postgres://gateway@/crates", "postgres://gateway@/crates?host=/var/run/postgresql&port=5432"),
            (
                "postgres:///crates?user=gateway",
                "postgres://gateway@/crates?host=/var/run/postgresql&port=5432",
            ),
            (
                "postgres://gateway@/crates?host=/run/pg&port=5433",
                "postgres://gateway@/crates?host=/run/pg&port=5433",
            ),
            ("postgres://gateway@%2Frun%2Fpg/crates", "postgres://gateway@/crates?host=/run/pg&port=5432"),
            (
                "postgres://gateway@/crates?host=/run/a,/run/b",
                "postgres://gateway@/crates?host=/run/a,/run/b&port=5432,5432",
            ),
            (
                "postgres://gateway@db.example,%2Frun%2Fpg/crates",
                "postgres://gateway@db.example:5432,%2Frun%2Fpg:5432/crates",
            ),
            ("postgres://a%40b%2Fc@db.example/d%3Fe%20f", "postgres://a%40b%2Fc@db.example:5432/d%3Fe%20f"),
            ("postgres://gateway@a?target_session_attrs=read-write", "postgres://gateway@a:5432/gateway"),
            ("registry", "registry"),
            ("/var/lib/registry-gateway", "/var/lib/registry-gateway"),
            ("postgres-registry", "postgres-registry"),
            ("postgres/registry", "postgres/registry"),
        ] {
            assert_eq!(shown(written).unwrap(), meant, "{written}");
            assert_eq!(written.parse::<StorePlace>(), meant.parse(), "{written}");
        }
    }

    #[test]
    fn what_is_refused_is_not_repeated() {
        use AddressError::{Malformed, NoUser, Parameter, Password, Scheme, Tls};
        let malformed = |why: &str| Malformed(Some(why.to_owned()));
        for (written, refused) in [
            ("postgres://gateway:hunter2@db.example/crates", Password),
            ("postgres://gateway:hunter2%@db.example/crates", Password),
            ("postgres://gateway:hun@ter2@db.example/crates", Password),
            ("postgres://gateway:@db.example/crates", Password),
            ("postgres://gateway:hunter2?/@db.example/crates", Password),
            ("postgres://gateway@db.example/crates?password=hunter2", Password),
            ("postgres://gateway@db.example/crates?pass%77ord=hunter2", Parameter("pass%77ord".to_owned())),
            ("postgres://gateway@db.example/crates?sslmode=disable", Tls("sslmode".to_owned())),
            ("postgres://gateway@db.example/crates?sslrootcert=ca.pem", Tls("sslrootcert".to_owned())),
            ("postgres://gateway@db.example/crates?options=-cfsync", Parameter("options".to_owned())),
            (
                "postgres://gateway@db.example/crates?target_session_attrs=any",
                Parameter("target_session_attrs".to_owned()),
            ),
            ("postgres://gateway@db.example/crates?hostaddr=192.0.2.1", Parameter("hostaddr".to_owned())),
            ("postgres://db.example/crates", NoUser),
            ("postgres://@db.example/crates", NoUser),
            ("postgres://", NoUser),
            ("postgres://gateway@db.example:54321a/crates", malformed("invalid value for option `port`")),
            ("postgres://gateway@db.example:0/crates", Malformed(None)),
            ("postgres://gateway@a,,b/crates", Malformed(None)),
            ("postgres://gateway@a/crates?host=/run/pg&port=1,2,3", Malformed(None)),
            ("postgres:registry", malformed("`postgres` must be followed by `://`")),
            (
                "postgres:/gateway:hunter2@db.example/crates",
                malformed("`postgres` must be followed by `://`"),
            ),
            ("POSTGRESQL//gateway:hunter2@x://y", malformed("`postgres` must be followed by `://`")),
            (" postgres://gateway:hunter2@db.example/crates", Malformed(None)),
            ("gateway:hunter2@db.example://crates", Malformed(None)),
            ("mysql://gateway:hunter2@db.example/crates", Scheme("mysql://".to_owned())),
        ] {
            let error = shown(written).unwrap_err();
            assert_eq!(error, refused, "{written}");
            let text = format!("{error} {error:?} {}", error.hint());
            assert!(!text.contains("hunter2") && !text.contains("ter2"), "{text}");
        }
    }
}

//! The password for a PostgreSQL: from a file of its own, or from the one that libpq's users have.

use std::path::{Path, PathBuf};
use std::{env, io};

use zeroize::Zeroizing;

use crate::config::PostgresConfig;
use crate::private::{self, SecretError};
use crate::store_place::{PostgresHost, PostgresUrl, SOCKETS};

/// Where systemd has the password, unless the configuration names a file.
const CREDENTIAL: &str = "postgres-password";
/// The longest file with passwords, in bytes.
const MOST: u64 = 64 << 10;

/// Why there is no password, although there should be one.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// The file cannot be read, or others can.
    #[error("the password of PostgreSQL cannot be used")]
    File(#[from] SecretError),
    /// The file has none in it.
    #[error("{} has no password in its first line", .0.display())]
    Empty(PathBuf),
}

impl PasswordError {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::File(error) => {
                error.hint().unwrap_or_else(|| "see `password-file` in [postgres]".to_owned())
            }
            Self::Empty(_) => "write only the password into it, on one line".to_owned(),
        }
    }
}

/// The passwords that a connection can be made with, and where they are from.
pub(super) struct Passwords {
    known: Known,
    from: String,
}

enum Known {
    /// None: the server may know the user otherwise.
    None,
    /// One for each server.
    One(Zeroizing<String>),
    /// A file in libpq's form ("The Password File").
    Pgpass(Zeroizing<String>),
}

impl Passwords {
    /// Reads them. Every new connection does, so that a password can be changed while the gateway runs.
    pub(super) fn read(settings: &PostgresConfig, user: &str) -> Result<Self, PasswordError> {
        if let Some(file) = of_the_gateway(settings).filter(|_| settings.is_password_of(user)) {
            return Ok(Self { known: Known::One(one(&file)?), from: file.display().to_string() });
        }
        let named = env::var_os("PGPASSFILE").map(PathBuf::from);
        let Some(file) = named.or_else(|| Some(env::home_dir()?.join(".pgpass"))) else {
            return Ok(Self { known: Known::None, from: String::new() });
        };
        let known = match private::read_secret(&file, MOST) {
            Ok(text) => Known::Pgpass(text),
            Err(SecretError::File { source, .. }) if is_absent(&source) => Known::None,
            Err(error) => return Err(error.into()),
        };
        Ok(Self { known, from: file.display().to_string() })
    }

    /// The file.
    pub(super) fn from(&self) -> &str {
        &self.from
    }

    /// The one for a server.
    pub(super) fn of(&self, url: &PostgresUrl, host: &PostgresHost) -> Option<Zeroizing<String>> {
        match &self.known {
            Known::None => None,
            Known::One(password) => Some(password.clone()),
            Known::Pgpass(text) => text.lines().find_map(|line| matching(line, url, host)),
        }
    }
}

/// The file with nothing but the password, if one is named or systemd has given it.
fn of_the_gateway(settings: &PostgresConfig) -> Option<PathBuf> {
    let given = || Some(Path::new(&env::var_os("CREDENTIALS_DIRECTORY")?).join(CREDENTIAL));
    settings.password_file.clone().or_else(|| given().filter(|file| file.exists()))
}

fn one(file: &Path) -> Result<Zeroizing<String>, PasswordError> {
    let text = private::read_secret(file, MOST)?;
    match text.lines().next().filter(|line| !line.is_empty()) {
        Some(line) => Ok(Zeroizing::new(line.to_owned())),
        None => Err(PasswordError::Empty(file.to_owned())),
    }
}

/// A home folder that is not there is none of ours, as `/nonexistent` of a service's user.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The password of a line `HOST:PORT:DATABASE:USER:PASSWORD`, if it is for this server. A field may be `*`, and a colon or a
/// backslash has a backslash before it; `localhost` stands for the usual socket too.
fn matching(line: &str, url: &PostgresUrl, host: &PostgresHost) -> Option<Zeroizing<String>> {
    if line.starts_with('#') {
        return None;
    }
    let port = host.port.to_string();
    let host = if host.host == SOCKETS { "localhost" } else { &host.host };
    let mut rest = line;
    for wanted in [host, &port, &url.database, &url.user] {
        let (field, after) = field(rest);
        rest = after?;
        if *field != "*" && *field != wanted {
            return None;
        }
    }
    Some(field(rest).0).filter(|password| !password.is_empty())
}

/// The field that a line begins with, and what stands after its colon.
fn field(line: &str) -> (Zeroizing<String>, Option<&str>) {
    let mut field = Zeroizing::new(String::with_capacity(line.len()));
    let mut characters = line.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            ':' => return (field, line.get(at + 1..)),
            '\\' => field.extend(characters.next().map(|(_, escaped)| escaped)),
            character => field.push(character),
        }
    }
    (field, None)
}

#[cfg(test)]
mod tests {
    use super::{PostgresUrl, matching};
    use crate::store_place::StorePlace;

    fn url(text: &str) -> PostgresUrl {
        match text.parse() {
            Ok(StorePlace::Postgres(url)) => url,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_line_for_a_server() {
        for (line, address, password) in [
            ("db.example:5432:crates:gateway:secret", "postgres://gateway@db.example/crates", Some("secret")),
            ("*:*:*:*:secret", "postgres://gateway@db.example:5433/crates", Some("secret")),
            ("db.example:5433:*:*:secret", "postgres://gateway@db.example/crates", None),
            ("*:*:*:another:secret", "postgres://gateway@db.example/crates", None),
            ("*:*:another:*:secret", "postgres://gateway@db.example/crates", None),
            (r"*:*:*:*:a\:b\\c", "postgres://gateway@db.example/crates", Some(r"a:b\c")),
            (r"\:\:1:*:*:*:six", "postgres://gateway@[::1]/crates", Some("six")),
            ("localhost:*:*:*:here", "postgres://gateway@/crates", Some("here")),
            ("/run/pg:*:*:*:there", "postgres://gateway@/crates?host=/run/pg", Some("there")),
            ("#*:*:*:*:secret", "postgres://gateway@db.example/crates", None),
            ("*:*:*:*", "postgres://gateway@db.example/crates", None),
            ("*:*:*:*:", "postgres://gateway@db.example/crates", None),
            ("", "postgres://gateway@db.example/crates", None),
        ] {
            let url = url(address);
            let found = matching(line, &url, &url.hosts[0]);
            assert_eq!(found.as_ref().map(|found| found.as_str()), password, "{line} for {address}");
        }
    }
}

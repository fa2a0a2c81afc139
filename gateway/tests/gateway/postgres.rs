//! How a PostgreSQL is reached: a real one.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use registry_gateway::config::PostgresConfig;
use registry_gateway::store::postgres::{CONNECTIONS, Postgres, PostgresError, Session, Unusable};
use registry_gateway::store_place::StorePlace;
use tempfile::TempDir;

use crate::common::certificate;
use crate::common::cluster::{Cluster, GUARDED, OWNER, PASSWORD};
use crate::common::served::program;

fn open_with(url: &str, settings: &PostgresConfig) -> Result<Postgres, PostgresError> {
    match url.parse().unwrap() {
        StorePlace::Postgres(url) => Postgres::open(&url, settings),
        StorePlace::Folder(folder) => panic!("{}", folder.display()),
    }
}

fn open(url: &str) -> Result<Postgres, PostgresError> {
    open_with(url, &PostgresConfig::default())
}

/// The one value that a query has, as text.
fn asked(session: &Session, query: &str) -> String {
    let row = session.wait(session.client().query_one(query, &[])).unwrap();
    row.get(0)
}

fn backend(session: &Session) -> String {
    asked(session, "SELECT pg_backend_pid()::text")
}

/// Why the last server was refused.
#[track_caller]
fn refused(opened: Result<Postgres, PostgresError>) -> (Unusable, String) {
    let error = opened.unwrap_err();
    let text = format!("{error} {}", error.hint().unwrap_or_default());
    match error {
        PostgresError::NoServer(mut failures) => (failures.pop().unwrap().1, text),
        other => panic!("{other:?}"),
    }
}

/// A file with a secret, and its folder.
fn secret(content: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    fs::write(&file, content).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    (folder, file)
}

fn with_password(file: &Path) -> PostgresConfig {
    PostgresConfig { password_file: Some(file.to_owned()), ..PostgresConfig::default() }
}

/// What the program says, with a store named in its environment, and with these arguments.
fn fails(store: &str, arguments: &[&str]) -> String {
    let mut command = program(Path::new(store));
    let output = command.current_dir(std::env::temp_dir()).args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{arguments:?} {output:?}");
    [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat()
}

#[test]
fn a_password_in_an_address_is_refused_and_not_repeated() {
    let url = "postgres://gateway:hunter2@db.example/crates";
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.toml");
    for (named, content) in [
        ("a password in it", format!("store = \"{url}\"")),
        ("a password in it", format!("# é\nstore = \"{url}\" # as in psql\n[tls]")),
        // A slip in the same line, which the parser would show.
        ("not a valid configuration", format!("store = \"{url}")),
        ("not a valid configuration", format!("listen = \"127.0.0.1:80\"\nstore \"{url}\"")),
        // A password where none belongs, and an address in the place of something else.
        ("line 2, column 1", "[postgres]\npassword = \"hunter2\"".to_owned()),
        ("`password-file` in [postgres]", "[postgres]\npassword = \"hunter2\"".to_owned()),
        ("line 2, column", "[postgres]\npassword-file = \"hunter2".to_owned()),
        ("line 1, column 12", "postgres = \"hunter2\"".to_owned()),
        ("line 1, column 10", format!("listen = \"{url}\"")),
        ("line 1, column 9", format!("reads = \"{url}\"")),
    ] {
        fs::write(&config, content).unwrap();
        let said = fails("", &["user", "list", "--config", config.to_str().unwrap()]);
        assert!(said.contains(named) && !said.contains("hunter2"), "{said}");
    }
    for mistyped in ["postgres:/gateway:hunter2@x/icu", "PostgreSQL//gateway:hunter2@x/a://b"] {
        fs::write(&config, format!("store = \"{mistyped}\"")).unwrap();
        let dir = folder.path().to_str().unwrap();
        for said in [
            fails("", &["user", "list", "--config", config.to_str().unwrap()]),
            fails(mistyped, &["store", "migrate"]),
            fails("", &["store", "copy", "--from", mistyped, "--to", mistyped]),
            fails("", &["init", "--store", mistyped, dir]),
        ] {
            assert!(said.contains("the address of the store cannot be read"), "{said}");
            assert!(!said.contains("hunter2"), "{said}");
        }
    }
    for said in [fails(url, &["user", "list"]), fails("", &["serve", "--store", url])] {
        assert!(said.contains("a password in it") && said.contains("`password-file`"), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    let mut help = program(Path::new(url));
    let help = String::from_utf8(help.args(["serve", "--help"]).output().unwrap().stdout).unwrap();
    assert!(help.contains("REGISTRY_GATEWAY_STORE") && !help.contains("hunter2"), "{help}");
}

#[test]
fn a_store_in_a_postgresql_makes_no_folder_of_that_name() {
    let folder = tempfile::tempdir().unwrap();
    let url = "postgres://gateway@db.example/crates";
    for arguments in [&["user", "add", "alice"][..], &["doctor"], &["store", "migrate"]] {
        let output = program(Path::new(url)).current_dir(&folder).args(arguments).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("db.example:5432"), "{arguments:?}: {said}");
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
}

#[test]
fn a_session_has_limits_of_its_own() {
    let Some(cluster) = Cluster::shared() else { return };
    let postgres = open(&cluster.url(OWNER, &cluster.database())).unwrap();
    let session = postgres.session().unwrap();
    for (setting, value) in [
        ("statement_timeout", "10s"),
        ("idle_in_transaction_session_timeout", "10s"),
        ("application_name", "registry-gateway"),
        ("client_encoding", "UTF8"),
    ] {
        assert_eq!(asked(&session, &format!("SHOW {setting}")), value, "{setting}");
    }
}

#[test]
fn a_session_that_is_given_back_is_used_again_and_another_is_not() {
    let Some(cluster) = Cluster::shared() else { return };
    let postgres = open(&cluster.url(OWNER, &cluster.database())).unwrap();
    let session = postgres.session().unwrap();
    let first = backend(&session);
    session.keep();
    drop(session);
    let session = postgres.session().unwrap();
    assert_eq!(backend(&session), first);
    // What is asked afterwards may have opened a transaction.
    session.keep();
    session.wait(session.client().batch_execute("BEGIN")).unwrap();
    drop(session);
    let session = postgres.session().unwrap();
    assert_ne!(backend(&session), first);
}

#[test]
fn a_call_past_its_deadline_takes_its_connection_with_it() {
    let Some(cluster) = Cluster::shared() else { return };
    let postgres = open(&cluster.url(OWNER, &cluster.database())).unwrap();
    let session = postgres.session().unwrap();
    let first = backend(&session);
    let limit = Duration::from_millis(50);
    let late = session.wait_for(limit, session.client().batch_execute("SELECT pg_sleep(8)"));
    assert!(matches!(late, Err(PostgresError::Late(waited)) if waited == limit), "{late:?}");
    let after = session.wait(session.client().batch_execute("SELECT 1"));
    assert!(matches!(after, Err(PostgresError::GivenUp)), "{after:?}");
    session.keep();
    drop(session);
    // More of them than there are connections at a time: none of the places is lost.
    for _ in 0..CONNECTIONS {
        let session = postgres.session().unwrap();
        assert_ne!(backend(&session), first);
        let late = session.wait_for(Duration::ZERO, session.client().batch_execute("SELECT pg_sleep(8)"));
        assert!(matches!(late, Err(PostgresError::Late(_))), "{late:?}");
    }
    postgres.session().unwrap();
}

#[test]
fn a_password_is_shown_nowhere() {
    let Some(cluster) = Cluster::shared() else { return };
    let url = cluster.url(GUARDED, &cluster.database());
    let (_folder, file) = secret(&format!("{PASSWORD}\n"));
    let postgres = open_with(&url, &with_password(&file)).unwrap();
    assert!(!format!("{postgres:?}").contains(PASSWORD));

    let (why, text) = refused(open(&url));
    assert!(matches!(why, Unusable::NoPassword) && text.contains("`password-file`"), "{text}");

    fs::write(&file, "wrong-horse").unwrap();
    let error = open_with(&url, &with_password(&file)).unwrap_err();
    let text = format!("{error} {error:?} {}", error.hint().unwrap());
    assert!(text.contains("password authentication failed") && text.contains("`password-file`"), "{text}");
    assert!(text.contains(&format!("of {GUARDED} that was tried is from {}", file.display())), "{text}");
    assert!(!text.contains("wrong-horse") && !cluster.log().contains("wrong-horse"), "{text}");

    // A new connection is made with what is in the file then.
    fs::write(&file, PASSWORD).unwrap();
    let held: Vec<_> = (0..2).map(|_| postgres.session().unwrap()).collect();
    drop(held);

    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let error = open_with(&url, &with_password(&file)).unwrap_err();
    assert_eq!(error.hint().unwrap(), format!("run `chmod 600 {}`", file.display()));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&file, "\n").unwrap();
    assert!(matches!(open_with(&url, &with_password(&file)), Err(PostgresError::Password(_))));
}

/// The gateway's password is not the owner's, who has a line in `~/.pgpass`.
#[test]
fn a_password_file_is_for_the_user_of_the_configuration() {
    let Some(cluster) = Cluster::shared() else { return };
    let url = cluster.url(GUARDED, &cluster.database());
    let (folder, file) = secret(PASSWORD);
    let pgpass = folder.path().join("pgpass");
    fs::write(&pgpass, format!("*:*:*:{GUARDED}:a-line-of-mine")).unwrap();
    fs::set_permissions(&pgpass, fs::Permissions::from_mode(0o600)).unwrap();
    let config = folder.path().join("config.toml");
    let said = |user: &str| {
        let store = url.replace(GUARDED, user);
        let text = format!("store = \"{store}\"\n[postgres]\npassword-file = \"{}\"", file.display());
        fs::write(&config, text).unwrap();
        let mut command = program(Path::new(&url));
        command.env_remove("CREDENTIALS_DIRECTORY").env("PGPASSFILE", &pgpass);
        let listed = command.args(["user", "list", "--config"]).arg(&config).output().unwrap();
        String::from_utf8(listed.stderr).unwrap()
    };
    // It gets in, and finds no store there.
    assert!(said(GUARDED).contains("there is no store in this PostgreSQL"), "{}", said(GUARDED));
    let other = said("gateway");
    assert!(other.contains(&format!("is from {}", pgpass.display())), "{other}");
}

#[test]
fn a_server_that_is_not_there_is_passed_over() {
    let Some(cluster) = Cluster::shared() else { return };
    let database = cluster.database();
    // Nobody listens where somebody listened before.
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let first_dead = cluster.url(OWNER, &database).replace("@/", &format!("@{dead}/"));
    let postgres = open(&first_dead).unwrap();
    assert_eq!(asked(&postgres.session().unwrap(), "SELECT current_database()::text"), database);

    let (why, text) = refused(open(&format!("postgres://{OWNER}@{dead},{dead}/{database}")));
    assert!(matches!(why, Unusable::Unreachable(_)), "{text}");
    assert_eq!(text.matches(&dead.to_string()).count(), 2, "{text}");
    assert!(text.contains("listen_addresses"), "{text}");
}

#[test]
fn what_a_database_must_be() {
    let Some(cluster) = Cluster::shared() else { return };
    let (why, text) = refused(open(&cluster.url(OWNER, "no_such_database")));
    assert!(matches!(why, Unusable::Refused(_)) && text.contains("CREATE DATABASE"), "{text}");

    let standby = cluster.database();
    cluster.sql("postgres", &format!("ALTER DATABASE {standby} SET default_transaction_read_only = on"));
    let (why, text) = refused(open(&cluster.url(OWNER, &standby)));
    assert!(matches!(why, Unusable::ReadOnly), "{text}");

    cluster.sql("postgres", "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'");
    let (why, text) = refused(open(&cluster.url(OWNER, "latin")));
    assert!(matches!(&why, Unusable::Encoding(encoding) if encoding == "LATIN1"), "{text}");
}

#[test]
fn what_is_committed_is_on_disk_and_on_standbys() {
    let Some(cluster) = Cluster::shared() else { return };
    for forgetful in ["off", "local"] {
        let database = cluster.database();
        cluster.sql("postgres", &format!("ALTER DATABASE {database} SET synchronous_commit = {forgetful}"));
        let postgres = open(&cluster.url(OWNER, &database)).unwrap();
        assert_eq!(asked(&postgres.session().unwrap(), "SHOW synchronous_commit"), "on");
    }
}

/// Like a pooler that is told to ignore what it does not know of the first message: it passes on its user and database.
fn pooler(cluster: &'static Cluster) -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let accepting = listener.try_clone().unwrap();
    thread::spawn(move || {
        for stream in accepting.incoming() {
            let stream = stream.unwrap();
            thread::spawn(move || pool(stream, UnixStream::connect(cluster.socket()).unwrap()));
        }
    });
    listener
}

fn pool(mut client: TcpStream, mut server: UnixStream) {
    let mut length = [0; 4];
    client.read_exact(&mut length).unwrap();
    let mut first = vec![0; u32::from_be_bytes(length) as usize - 4];
    client.read_exact(&mut first).unwrap();
    // The version, then names and values, each with a zero at its end.
    let (version, rest) = first.split_at(4);
    let fields: Vec<_> = rest.split_inclusive(|byte| *byte == 0).collect();
    let kept = fields.chunks(2).filter(|pair| !pair[0].starts_with(b"options"));
    let mut message = version.to_vec();
    message.extend(kept.flatten().copied().flatten());
    server.write_all(&(message.len() as u32 + 4).to_be_bytes()).unwrap();
    server.write_all(&message).unwrap();
    let (mut answers, mut asker) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    thread::spawn(move || {
        let _ = std::io::copy(&mut answers, &mut asker);
        let _ = asker.shutdown(Shutdown::Both);
    });
    let _ = std::io::copy(&mut client, &mut server);
    let _ = server.shutdown(Shutdown::Both);
}

#[test]
fn a_pooler_is_recognised() {
    let Some(cluster) = Cluster::shared() else { return };
    let pooler = pooler(cluster);
    let address = pooler.local_addr().unwrap();
    let (why, text) = refused(open(&format!("postgres://{OWNER}@{address}/{}", cluster.database())));
    assert!(matches!(why, Unusable::Pooler(None)), "{text}");
    assert!(text.contains("name PostgreSQL itself"), "{text}");
}

#[test]
fn a_certificate_is_for_the_name_that_the_address_has() {
    let (certificate, key) = certificate::for_localhost(7);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let files = [("server.crt", &*certificate), ("server.key", &*key)];
    let Some(cluster) = Cluster::with(port, &files, &["listen_addresses=127.0.0.1", "ssl=on"]) else {
        return;
    };
    let database = cluster.database();
    let (folder, password_file) = secret(PASSWORD);
    let ca_file = folder.path().join("ca.pem");
    fs::write(&ca_file, &certificate).unwrap();
    let settings = PostgresConfig { ca_file: Some(ca_file.clone()), ..with_password(&password_file) };
    let at = |host: &str| format!("postgres://{GUARDED}@{host}:{port}/{database}");

    let postgres = open_with(&at("localhost"), &settings).unwrap();
    let is_tls = "SELECT ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    assert_eq!(asked(&postgres.session().unwrap(), is_tls), "true");

    let (why, text) = refused(open_with(&at("127.0.0.1"), &settings));
    assert!(matches!(why, Unusable::Unreachable(_)), "{text}");
    assert!(text.contains("not valid for name") && text.contains("`ca-file`"), "{text}");

    fs::write(&ca_file, certificate::for_localhost(8).0).unwrap();
    let (why, text) = refused(open_with(&at("localhost"), &settings));
    assert!(matches!(why, Unusable::Unreachable(_)) && text.contains("`ca-file`"), "{text}");

    // Without an authority loopback is spoken to plainly, and this server does not take that.
    let (why, text) = refused(open_with(&at("localhost"), &with_password(&password_file)));
    assert!(matches!(why, Unusable::Refused(_)) && text.contains("pg_hba.conf"), "{text}");
}

#[test]
fn a_server_that_says_nothing_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (why, text) = refused(open(&format!("postgres://{OWNER}@{}/crates", listener.local_addr().unwrap())));
    assert!(matches!(why, Unusable::Late), "{text}");
}

#[test]
fn whoever_comes_when_all_connections_are_taken() {
    let Some(cluster) = Cluster::shared() else { return };
    let postgres = open(&cluster.url(OWNER, &cluster.database())).unwrap();
    let held: Vec<_> = (0..CONNECTIONS).map(|_| postgres.session().unwrap()).collect();
    assert!(matches!(postgres.session(), Err(PostgresError::Busy)));
    drop(held);
    postgres.session().unwrap();
}

#[test]
fn a_task_may_ask_too() {
    let Some(cluster) = Cluster::shared() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let database = cluster.database();
    let asked = runtime.block_on(async {
        let postgres = open(&cluster.url(OWNER, &database)).unwrap();
        asked(&postgres.session().unwrap(), "SELECT current_database()::text")
    });
    assert_eq!(asked, database);
}

//! The store: a folder with one SQLite database and the crate files beside it, or a PostgreSQL that has all of it.
//!
//! ```text
//! DIR/registry.db                      users, keys, single-use keys, secrets, the audit log; crates and versions
//! DIR/log-1.key                        the key that signs the audit log
//! DIR/crates/NAME/NAME-VERSION.crate   what was published
//! DIR/tmp/                             uploads under way
//! DIR/staged/NUMBER.crate              what was staged, and waits for people's approval
//! DIR/serve.lock                       held while a server runs
//! ```
//!
//! A version is on disk before it is in the database: the file is written and fsynced, renamed into place, its folder
//! is fsynced, and then the row is committed (WAL, `synchronous = FULL`). A crash can leave a file without a row, which
//! [`Store::recover`] removes at the next start. It cannot leave a row without a file. In a PostgreSQL the pieces of a file
//! are committed before the version's row.
//!
//! The command line opens the same database while a server runs, so revoking a key needs no signal to the server.
//!
//! The tables' files ask `sql`, and know no engine.

mod audit;
mod checkpoints;
mod copy;
mod cosignatures;
mod counts;
mod crate_files;
mod crates;
mod credentials;
mod deciding;
mod derived;
mod enrolling;
mod files;
mod gateways;
mod in_doubt;
mod intent;
mod keys;
mod ledger;
mod log_end;
mod names;
mod open;
#[cfg(test)]
mod plans;
pub mod postgres;
mod publishers;
mod publishing;
mod restored;
mod revision;
mod schema;
mod search;
mod secret;
mod seen;
mod share;
mod spent;
mod sql;
mod staged;
mod staging_tokens;
mod tables;
mod tree;
mod unrecorded;
mod users;
mod verified;
mod void;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::{fs, io};

use jiff::Timestamp;
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::background::{Panicked, blocking, soon};
use crate::config::PostgresConfig;
use crate::keys::Role;
use crate::private;
use crate::store_place::{PostgresUrl, StorePlace};
use crate::vault::VaultError;
pub use checkpoints::StoredCheckpoint;
pub use checkpoints::key::Public as LogKey;
pub(crate) use checkpoints::{Checkpoints, Newest};
pub use copy::Copied;
use crate_files::Leftovers;
pub(crate) use crate_files::{CrateFile, Pieces};
pub(crate) use crates::{CratesError, IndexFile, IndexState, Owner};
pub(crate) use deciding::{Rejection, Seen};
pub use enrolling::{EnrollError, Enrolled, Enrolling, ProvenKey, Right};
pub use gateways::{DEAD_AFTER, Difference, Heartbeat, Keeper, LivingGateway, SharedSettings};
pub use intent::Intent;
pub(crate) use ledger::INTERRUPTED;
pub use ledger::{Outcome, Record};
use log_end::End;
pub use open::{Decision, DecisionError, OpenChange};
use postgres::PostgresError;
pub(crate) use publishing::{NewVersion, Settled};
pub use restored::{Begun, Loss};
pub use revision::{Contents, Revision};
pub use search::Found;
use secret::Seal;
pub use seen::LastSeen;
pub use spent::{Signed, SpendError};
pub use sql::EngineError;
use sql::{Engine, Moved, Postgres, Sql, Sqlite};
pub use staged::{ApprovalError, Staged, State};
pub(crate) use staged::{ApprovalRule, Approving, Deciders, Given, StageError, Staging, StagingLimits};
pub use staging_tokens::Exchange;
pub use tables::Discrepancy;
use unrecorded::Unrecorded;
pub use users::Person;
pub use verified::{AuditError, VerifiedLog};

/// The store of one registry.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    /// The folder, where it is this process's own, and goes with it.
    _own: Option<TempDir>,
    engine: Engine,
    #[cfg(target_os = "linux")]
    wal_index: revision::WalIndex,
    unrecorded: Unrecorded,
    leftovers: Arc<Leftovers>,
    /// What secrets are sealed with in a PostgreSQL. In a folder they are as they are.
    seal: Option<Seal>,
    /// Of those who ask a PostgreSQL, as many as it has connections for are on threads.
    threads: Arc<Semaphore>,
    /// Under which this process serves a PostgreSQL, once it does.
    epoch: Mutex<Option<gateways::Epoch>>,
}

/// The database's file in the store's folder.
const DATABASE: &str = "registry.db";
/// The WAL-index, which SQLite keeps beside it.
#[cfg(target_os = "linux")]
const WAL_INDEX: &str = "registry.db-shm";

/// Why the store cannot be used or changed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "a field's name says what it is")]
pub enum StoreError {
    /// The database failed.
    #[error("the store's database failed")]
    Database(#[from] EngineError),
    /// A file or folder of the store cannot be read or written.
    #[error("cannot use {}", path.display())]
    File { path: PathBuf, source: io::Error },
    /// Other users could read or change the folder.
    #[error("{} is open to other users of this computer", path.display())]
    OpenToOthers { path: PathBuf },
    /// The database has a layout that this program does not know.
    #[error("the store was written by a newer registry-gateway (layout {found}, this one knows {known})")]
    Newer {
        /// The layout of the database.
        found: i64,
        /// The newest one that this program knows.
        known: i64,
    },
    /// The database has a layout of an earlier program.
    #[error("the store has the layout {found} of an earlier registry-gateway, and this one needs {known}")]
    Older {
        /// The layout of the database.
        found: i64,
        /// The one that this program needs.
        known: i64,
    },
    /// Another server runs on this store.
    #[error("another registry-gateway serves {}", path.display())]
    Served { path: PathBuf },
    /// A gateway that lives serves the same store with another setting.
    #[error(transparent)]
    Differs(Box<Difference>),
    /// A thread cannot be started.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
    /// There is no store in this folder.
    #[error("there is no store in {}", path.display())]
    Missing { path: PathBuf },
    /// The file of a version is missing.
    #[error("{} is missing", path.display())]
    CrateFileMissing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The database contains something that this program cannot have written.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// A change has an outcome on record already.
    #[error("the outcome of {0} is already recorded")]
    Settled(String),
    /// Pieces of an upload were removed, because another attempt with the same file was given up.
    #[error("another attempt with the same file was abandoned during this upload, and removed parts of it")]
    PiecesGone,
    /// The log had a change, and has lost it.
    #[error("the audit log has lost {0}, with its end")]
    IntentLost(String),
    /// The audit log cannot represent something.
    #[error("the audit log cannot represent this: {0}")]
    Entry(String),
    /// The key that signs the audit log cannot be used.
    #[error("the audit log cannot be signed: {0}")]
    LogKey(String),
    /// A checkpoint that was kept elsewhere is none of this log's.
    #[error("this is not a checkpoint of this store's log: {0}")]
    OtherCheckpoint(String),
    /// There is no store in this PostgreSQL.
    #[error("there is no store in this PostgreSQL")]
    NotMade,
    /// The log was signed, and the key is not there. A new key would make the log look as if it were another's.
    #[error("the key that signed the audit log (generation {generation}) is lost or was replaced")]
    LogKeyLost { generation: u64 },
    /// The store is served elsewhere now.
    #[error("this store was moved to {to}")]
    Moved { to: String },
    /// The store is a copy that did not become whole.
    #[error("this store is a copy of {from} that is not complete")]
    Incomplete { from: String },
    /// There is something in the store that a copy is to be made into.
    #[error("there is already a store at the destination")]
    NotEmpty,
    /// The log does not have what this gateway has seen in it.
    #[error(
        "the audit log has lost its end: entry {}, which this gateway has seen, is not there, or is another one. PostgreSQL was \
         restored from a backup, or failed over to a standby that was behind, or `store` names another database than before",
        lost.point.seq
    )]
    Restored { lost: LastSeen },
    /// Nothing is known to be lost.
    #[error("the audit log has lost nothing: it has {0}")]
    NotLost(String),
    /// Another place is said to be lost than the one that this gateway has seen.
    #[error("--lost names {lost}, but the last entry that this gateway has seen is {seen}")]
    OtherLoss { lost: Box<LastSeen>, seen: Box<LastSeen> },
    /// A log without entries is not what is left of one that had some.
    #[error(
        "the audit log has no entry at all, although one was seen: `store` may name another database than before"
    )]
    EmptyLog,
    /// There is no folder for what the gateway has seen.
    #[error(
        "a gateway of a PostgreSQL needs a folder of its own, for the last place in the audit log that it has seen"
    )]
    NoState,
    /// The file with what the gateway has seen has something else in it.
    #[error("{} does not say which entry of the audit log was seen last", path.display())]
    State { path: PathBuf },
    /// The role owns the tables.
    #[error("{0} owns the tables, and can give itself every right")]
    OwnRole(String),
    /// The role can give itself every right.
    #[error("{role} is {is}, and can give itself every right")]
    PowerfulRole { role: String, is: &'static str },
    /// There is no role of this name.
    #[error("there is no role {0}")]
    NoRole(String),
    /// There is no key file for the secrets in a PostgreSQL.
    #[error("a store in a PostgreSQL has its secrets sealed with a key file, but none was given")]
    NoKeyFile,
    /// The key file, or what is sealed with it.
    #[error(transparent)]
    KeyFile(#[from] VaultError),
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    Random,
    /// The key is registered already.
    #[error("the key {id} is already registered, for {user}{}", if *.revoked { ", and revoked" } else { "" })]
    KeyKnown { id: String, user: String, revoked: bool },
    /// There are too few characters to name a key.
    #[error("`{0}` is too short to name a key: give at least 8 characters of its id")]
    KeyPrefix(String),
    /// No key id begins like this.
    #[error("no key id begins with `{0}`")]
    KeyNotFound(String),
    /// Several key ids begin like this.
    #[error("several key ids begin with `{0}`")]
    KeyAmbiguous(String),
    /// The key is revoked already.
    #[error("the key {0} is already revoked")]
    KeyRevoked(String),
    /// A machine's key gets no other role, and no other key gets that of a machine's.
    #[error(
        "the key {id} has the role `{role}`: a key that may stage never gets another role, and no other key gets that one"
    )]
    StageKey { id: String, role: Role },
    /// There is a publisher of this name.
    #[error("there is already a publisher {0}")]
    PublisherKnown(String),
    /// There is no publisher of this name.
    #[error("there is no publisher {0}")]
    PublisherUnknown(String),
    /// There is a user of this name.
    #[error("there is already a user {0}")]
    UserKnown(String),
    /// There is no user of this name.
    #[error("there is no user {0}")]
    UserUnknown(String),
    /// The user was removed. The name remains that person's.
    #[error("the user {user} was removed at {at:.0}")]
    UserRemoved { user: String, at: Timestamp },
}

impl StoreError {
    /// Whether the same may be asked again later: the store's PostgreSQL cannot be asked at present, or two came at once.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Database(EngineError::Postgres(error)) => error.is_passing(),
            Self::Database(EngineError::InDoubt(_)) | Self::PiecesGone => true,
            _ => false,
        }
    }

    /// Whether the log has that already, because it is the same for many requests.
    pub(crate) fn is_told(&self) -> bool {
        matches!(self, Self::Database(EngineError::Postgres(PostgresError::Together(_))))
    }

    /// Whether what was to be written may be written all the same.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        matches!(self, Self::Database(EngineError::InDoubt(_)))
    }

    /// What to do next, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::OpenToOthers { path } => Some(format!("run `chmod 700 {}`", path.display())),
            Self::Missing { .. } => {
                Some(
                    "give its folder with --store, or the configuration with --config; `registry-gateway init` makes a new one"
                        .to_owned(),
                )
            }
            Self::Newer { .. } => Some("install the newer registry-gateway".to_owned()),
            Self::NoKeyFile => Some(
                "name the one that `registry-gateway init` makes as `key-file` in [postgres]; every gateway of the store has the \
                 same one"
                    .to_owned(),
            ),
            Self::KeyFile(error) => error.hint(),
            Self::Moved { .. } => Some(
                "name that one as `store` in the configuration; to move back, run `registry-gateway store copy` into an empty place"
                    .to_owned(),
            ),
            Self::Incomplete { from } => {
                Some(format!("run `registry-gateway store copy --from {from}` once more, with this one as --to"))
            }
            Self::NotEmpty => Some("name an empty place".to_owned()),
            Self::Restored { lost } => Some(format!(
                "check the address in `store`. If the end is lost, revoke again what was revoked since, wait until the tokens of that time are too old (`window` and `skew`), and run \
                 `registry-gateway store accept-restore --lost {lost}`, which goes on record"
            )),
            Self::OtherLoss { .. } => Some(
                "leave --lost out; or if the message is of another gateway, run this on that one's host, with its `state`".to_owned(),
            ),
            Self::EmptyLog => Some(
                "check the address in `store`. If everything is lost, restore a backup; a new registry needs a new `state` folder"
                    .to_owned(),
            ),
            Self::NoRole(role) => Some(format!(
                "make it with CREATE ROLE {} LOGIN, and run the command again",
                schema::quoted(role)
            )),
            Self::OwnRole(_) | Self::PowerfulRole { .. } => {
                Some("give the gateway a role of its own, and name it with --role; or leave --role out".to_owned())
            }
            Self::NoState => Some("name it as `state` in [postgres], or give the unit a StateDirectory=".to_owned()),
            Self::State { path } => Some(format!(
                "check whether another program wrote to it; if you remove {}, the gateway starts, but does not notice an earlier loss",
                path.display()
            )),
            Self::Differs(difference) => Some(format!(
                "give all gateways of a store the same `{}`; to change it, stop all of them before one starts with another",
                difference.setting
            )),
            Self::Served { .. } => Some("stop the other one, or give this one its own --store".to_owned()),
            Self::CrateFileMissing { .. } | Self::Damaged(_) => {
                Some("restore the store from a backup".to_owned())
            }
            Self::KeyKnown { .. } => {
                Some("a key belongs to one user; see `registry-gateway key list`".to_owned())
            }
            Self::KeyPrefix(_) | Self::KeyNotFound(_) => Some("see `registry-gateway key list`".to_owned()),
            Self::StageKey { .. } => Some("make a key of its own for the machine".to_owned()),
            Self::PublisherKnown(name) => Some(format!("to give it other settings, run `registry-gateway publisher remove {name}` first")),
            Self::PublisherUnknown(_) => Some("see `registry-gateway publisher list`".to_owned()),
            Self::KeyAmbiguous(_) => Some("give more of it".to_owned()),
            Self::NotMade | Self::Older { .. } => Some(
                "as the owner of the database, run `registry-gateway store migrate`".to_owned(),
            ),
            Self::LogKeyLost { generation } => Some(format!(
                "restore it from a backup of the store (`log-{generation}.key`, or in a PostgreSQL the secret `log key {generation}`). If it \
                 is lost for good, `registry-gateway store accept-restore` begins a new generation of the log with a new key, which \
                 whoever checks the log has to accept"
            )),
            Self::LogKey(_) => Some("check the log's key in the store's folder".to_owned()),
            Self::UserUnknown(user) => Some(format!("`registry-gateway user list` shows all users; `registry-gateway user add {user}` adds this one")),
            Self::UserRemoved { user, .. } => Some(format!(
                "give another person another name; if it is the same person again: `registry-gateway user add --again {user}`"
            )),
            Self::File { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some(private::NOT_PERMITTED.to_owned())
            }
            Self::Database(error) => error.hint(),
            Self::Entry(_)
            | Self::File { .. }
            | Self::IntentLost(_)
            | Self::KeyRevoked(_)
            | Self::NotLost(_)
            | Self::OtherCheckpoint(_)
            | Self::PiecesGone
            | Self::Random
            | Self::Settled(_)
            | Self::Thread(_)
            | Self::UserKnown(_) => None,
        }
    }
}

/// A lock that the one server of a folder holds. It goes when this is dropped.
#[derive(Debug)]
pub struct ServeLock {
    _file: fs::File,
}

impl Store {
    /// Opens the store at a place. A folder gets one if there is none in it.
    ///
    /// # Errors
    /// Those of [`open`](Self::open) and [`open_in_postgres`](Self::open_in_postgres).
    pub fn at(place: &StorePlace, settings: &PostgresConfig) -> Result<Self, StoreError> {
        match place {
            StorePlace::Folder(folder) => Self::open(folder),
            StorePlace::Postgres(url) => Self::open_in_postgres(url, settings),
        }
    }

    /// Opens the existing store at a place.
    ///
    /// # Errors
    /// Those of [`open_existing`](Self::open_existing) and [`open_in_postgres`](Self::open_in_postgres).
    pub fn existing_at(place: &StorePlace, settings: &PostgresConfig) -> Result<Self, StoreError> {
        match place {
            StorePlace::Folder(folder) => Self::open_existing(folder),
            StorePlace::Postgres(url) => Self::open_in_postgres(url, settings),
        }
    }

    /// Opens an existing store.
    ///
    /// # Errors
    /// [`StoreError::Missing`], and those of [`open`](Self::open).
    pub fn open_existing(folder: &Path) -> Result<Self, StoreError> {
        let database = folder.join(DATABASE);
        match fs::metadata(&database) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(files::at(&database)(error)),
            _ if !Self::is_in(folder) => Err(StoreError::Missing { path: folder.to_owned() }),
            _ => Self::open(folder),
        }
    }

    /// Whether there is a store in this folder. An empty database is one that could not be made.
    #[must_use]
    pub fn is_in(folder: &Path) -> bool {
        fs::metadata(folder.join(DATABASE)).is_ok_and(|database| database.is_file() && database.len() > 0)
    }

    /// Makes the store in a folder, unless there is one; returns whether it was made. If that fails, what was begun is removed.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub fn make(folder: &Path) -> Result<bool, StoreError> {
        let is_new = !Self::is_in(folder);
        let begun = files::missing(folder, &[DATABASE, "registry.db-wal", "registry.db-shm"]);
        match Self::open(folder) {
            Ok(_) => Ok(is_new),
            Err(error) => {
                if is_new {
                    files::remove(&begun);
                }
                Err(error)
            }
        }
    }

    /// Opens the store in a folder. Both are made if they do not exist (folder 0700, files 0600).
    ///
    /// # Errors
    /// [`StoreError::OpenToOthers`], [`StoreError::Newer`], [`StoreError::File`], [`StoreError::Database`].
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        files::private_folder(folder)?;
        for inner in [files::CRATES, files::UPLOADS] {
            files::private_folder(&folder.join(inner))?;
        }
        let path = folder.join(DATABASE);
        files::private_file(&path)?;
        Ok(Self::with(folder, Engine::Sqlite(Sqlite::open(&path, schema::migrate)?)))
    }

    /// Opens the store in a PostgreSQL. Uploads under way and what is served are in a folder of this process's own among the
    /// system's temporary files.
    ///
    /// # Errors
    /// [`StoreError::NotMade`], [`StoreError::Newer`], [`StoreError::File`], [`StoreError::Database`].
    pub fn open_in_postgres(url: &PostgresUrl, settings: &PostgresConfig) -> Result<Self, StoreError> {
        let own = tempfile::tempdir().map_err(files::at(&std::env::temp_dir()))?;
        files::private_folder(&own.path().join(files::UPLOADS))?;
        let postgres = Postgres::open(url, settings, schema::POSTGRES_VERSION)?;
        schema::judge(&postgres.session()?)?;
        let folder = own.path().to_owned();
        let seal = Some(Seal::with(settings.key_file()));
        Ok(Self { _own: Some(own), seal, ..Self::with(&folder, Engine::Postgres(Box::new(postgres))) })
    }

    /// Makes the store in a PostgreSQL, or brings it to the present layout. It is called as the owner of the tables, who need
    /// not be the user that serves them.
    ///
    /// # Errors
    /// [`StoreError::Newer`], [`StoreError::Database`].
    pub fn migrate_postgres(url: &PostgresUrl, settings: &PostgresConfig) -> Result<(), StoreError> {
        Postgres::open(url, settings, schema::POSTGRES_VERSION)?.transaction(schema::migrate)
    }

    /// Gives a role of a PostgreSQL the rights to serve the store there, and no others. It is called as the owner of the tables.
    ///
    /// # Errors
    /// [`StoreError::OwnRole`], [`StoreError::PowerfulRole`], [`StoreError::NoRole`], [`StoreError::Database`].
    pub fn grant_in_postgres(
        url: &PostgresUrl,
        settings: &PostgresConfig,
        role: &str,
    ) -> Result<(), StoreError> {
        if url.user == role {
            return Err(StoreError::OwnRole(role.to_owned()));
        }
        let postgres = Postgres::open(url, settings, schema::POSTGRES_VERSION)?;
        postgres.transaction(|transaction| schema::grant(transaction, role))
    }

    fn with(folder: &Path, engine: Engine) -> Self {
        Self {
            folder: folder.to_owned(),
            _own: None,
            engine,
            #[cfg(target_os = "linux")]
            wal_index: revision::WalIndex::default(),
            unrecorded: Unrecorded::default(),
            leftovers: Arc::default(),
            seal: None,
            threads: Arc::new(Semaphore::new(postgres::CONNECTIONS)),
            epoch: Mutex::default(),
        }
    }

    /// Looks whether a gateway with these settings can serve this store: its key file, whether it was moved, and whether its log
    /// still has what this gateway has seen in it. From then on, every change looks so.
    ///
    /// # Errors
    /// [`StoreError::NoKeyFile`], [`StoreError::KeyFile`], [`StoreError::NoState`], [`StoreError::Moved`],
    /// [`StoreError::Incomplete`], [`StoreError::Restored`].
    pub fn can_be_served(&self, settings: &PostgresConfig) -> Result<(), StoreError> {
        self.key_file_fingerprint()?;
        if let Engine::Postgres(postgres) = &self.engine {
            postgres.seen().keep_in(&settings.state().ok_or(StoreError::NoState)?)?;
        }
        self.can_be_changed()
    }

    /// What keeps a gateway with these settings from serving this store. Nothing is written for that, and nothing made in the
    /// gateway's own folder.
    #[must_use]
    pub fn keeps_from_serving(&self, settings: &PostgresConfig) -> Vec<StoreError> {
        let checks = [self.has_open_secrets(), self.is_here(), self.has_what_was_seen(settings)];
        checks.into_iter().filter_map(Result::err).collect()
    }

    fn is_here(&self) -> Result<(), StoreError> {
        Moved::read(&self.reader()?)?.is_here()
    }

    /// Whether the log has what a gateway with these settings has seen, or goes on without it.
    ///
    /// # Errors
    /// [`StoreError::Restored`]; those of [`last_seen`](Self::last_seen); [`StoreError::Database`].
    pub fn has_what_was_seen(&self, settings: &PostgresConfig) -> Result<(), StoreError> {
        if let Engine::Sqlite(_) = &self.engine {
            return Ok(());
        }
        let Some(lost) = Self::last_seen(settings)? else { return Ok(()) };
        let reader = self.reader()?;
        let is_accepted = || Ok::<_, StoreError>(End::read(&reader)?.generation > lost.generation);
        if restored::is_lost(&reader, lost)? && !is_accepted()? {
            return Err(StoreError::Restored { lost });
        }
        Ok(())
    }

    /// Whether the store may be changed: it is the one that is served, is complete, and has lost nothing that was seen of it.
    ///
    /// # Errors
    /// [`StoreError::Moved`], [`StoreError::Incomplete`], [`StoreError::Restored`], [`StoreError::Database`].
    pub fn can_be_changed(&self) -> Result<(), StoreError> {
        self.write(|_| Ok(()))
    }

    /// What a gateway with these settings has seen of the log last, if it has seen something.
    ///
    /// # Errors
    /// [`StoreError::NoState`], [`StoreError::State`], [`StoreError::File`].
    pub fn last_seen(settings: &PostgresConfig) -> Result<Option<LastSeen>, StoreError> {
        seen::in_folder(&settings.state().ok_or(StoreError::NoState)?)
    }

    /// The checkpoint that a gateway with these settings has shown last, if it has shown one.
    ///
    /// # Errors
    /// [`StoreError::NoState`], [`StoreError::File`].
    pub fn last_shown(settings: &PostgresConfig) -> Result<Option<String>, StoreError> {
        seen::checkpoint_in_folder(&settings.state().ok_or(StoreError::NoState)?)
    }

    /// Notes a place of the log that others will see with this checkpoint, and has it on disk.
    fn saw(&self, seen: LastSeen, checkpoint: &str) -> Result<(), StoreError> {
        let Engine::Postgres(postgres) = &self.engine else { return Ok(()) };
        postgres.seen().saw(seen);
        postgres.seen().sync(checkpoint)
    }

    /// Waits for what a reader asked of the store. A PostgreSQL has [`READ`](postgres::READ) for it.
    ///
    /// # Errors
    /// [`StoreError::Database`] if that is over.
    pub(crate) async fn in_time<T, E: From<StoreError>>(
        &self,
        reading: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        match &self.engine {
            Engine::Sqlite(_) => reading.await,
            Engine::Postgres(_) => timeout(postgres::READ, reading).await.unwrap_or_else(|_| {
                Err(StoreError::from(EngineError::Postgres(PostgresError::Late(postgres::READ))).into())
            }),
        }
    }

    /// Runs short work that may wait for the disk, here as it is [`soon`] done, or for a database elsewhere.
    ///
    /// # Errors
    /// If the work panicked.
    pub(crate) async fn work<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, Panicked> {
        let store = self.clone();
        match &self.engine {
            Engine::Sqlite(_) => soon(move || work(&store)).await,
            Engine::Postgres(_) => blocking(move || work(&store)).await,
        }
    }

    /// Asks for something short: here, if the answer is on this computer, else on a thread that may wait for it. As long as all
    /// connections are in use, no thread is taken.
    pub(crate) async fn asked<T, E>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        if let Engine::Sqlite(_) = &self.engine {
            return work(self);
        }
        let (store, turn) = (self.clone(), self.threads.clone().acquire_owned().await);
        let asking = blocking(move || {
            let _turn = turn;
            work(&store)
        });
        asking.await.unwrap_or_else(Panicked::resume)
    }

    /// Where the store is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Locks a folder for one server, and cleans up after a crash: unfinished uploads, and crate files whose version was
    /// never committed, are removed. Those who serve a PostgreSQL [join](Self::join) the others instead.
    ///
    /// # Errors
    /// [`StoreError::Served`]; [`StoreError::CrateFileMissing`] if a version's file is gone.
    pub fn recover(&self) -> Result<Option<ServeLock>, StoreError> {
        let Some(lock) = self.lock()? else { return Ok(None) };
        files::empty(&self.folder.join(files::UPLOADS))?;
        let known = self.crate_files()?;
        files::keep_only(&self.folder.join(files::CRATES), &known)?;
        Ok(Some(lock))
    }

    /// The lock of the one server, which a folder has.
    fn lock(&self) -> Result<Option<ServeLock>, StoreError> {
        match &self.engine {
            Engine::Sqlite(_) => files::lock(&self.folder).map(Some),
            Engine::Postgres(_) => Ok(None),
        }
    }

    /// Runs one writing transaction, and commits it if the work succeeds. There is one at a time.
    fn write<T, E: From<StoreError>>(&self, work: impl FnOnce(&Sql<'_>) -> Result<T, E>) -> Result<T, E> {
        self.engine.write(work)
    }

    /// The same, with what it is foreseen to read: [`Engine::write_foreseen`].
    fn write_foreseen<T, F, E: From<StoreError>>(
        &self,
        foreseen: impl FnOnce(&Sql<'_>) -> Result<F, E>,
        work: impl FnOnce(&Sql<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.engine.write_foreseen(foreseen, work)
    }

    /// A connection for reading, which does not wait for those who write.
    fn reader(&self) -> Result<Sql<'_>, StoreError> {
        self.engine.reader()
    }
}

/// Reads a column that this program has written as text.
fn parsed<T: std::str::FromStr>(text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|_| StoreError::Damaged(format!("`{text}` in the database")))
}

fn time(text: &str) -> Result<Timestamp, StoreError> {
    parsed(text)
}

#[cfg(test)]
mod tests {
    use super::Store;

    /// SQLite's words: 2 is FULL. In WAL mode anything less can lose the last commits in a power cut.
    #[test]
    fn every_commit_is_on_disk() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let pragma = |name| {
            store
                .engine
                .sqlite()
                .unwrap()
                .writer()
                .pragma_query_value(None, name, |row| row.get::<_, i64>(0))
                .unwrap()
        };
        assert_eq!(pragma("synchronous"), 2);
        assert_eq!(pragma("foreign_keys"), 1);
    }
}

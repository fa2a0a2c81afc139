//! Signed heads of the audit log. They are in the file `heads` beside the database, one on a line, oldest first. The
//! key that signs them is in `heads.key` (PKCS#8, DER, 0600), and is made at the first start. In a PostgreSQL both are in
//! tables.

mod postgres;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use asymmetric_token::PublicKey;
use jiff::Timestamp;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::sql::{Engine, Sql};
use super::{Store, StoreError, audit, files};
use crate::audit::{Broken, Head, HeadKey, Point};

/// The distance between two heads, in entries.
const INTERVAL: u64 = 64;

const FILE: &str = "heads";
const KEY: &str = "heads.key";

/// The heads, as a server keeps them.
#[derive(Debug)]
pub(crate) struct Heads {
    key: HeadKey,
    index: String,
    place: Place,
}

#[derive(Debug)]
enum Place {
    File {
        path: PathBuf,
        signed: Mutex<Signed>,
    },
    /// A table of a PostgreSQL.
    Table,
}

/// The file, and for each head in it the entry it is of and the offset of its line.
#[derive(Debug)]
struct Signed {
    file: File,
    lines: Vec<(u64, u64)>,
    end: u64,
}

impl Heads {
    /// Opens the heads of a store, checks that its log still contains the last of them, and signs the entries after it.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if the log was cut or written anew; [`StoreError::HeadKeyLost`]; [`StoreError::File`];
    /// [`StoreError::Database`].
    pub(crate) fn open(store: &Store, index: &str, now: Timestamp) -> Result<Self, StoreError> {
        let (key, place) = match &store.engine {
            Engine::Sqlite(_) => Self::in_file(store)?,
            Engine::Postgres(_) => Self::in_table(store)?,
        };
        let heads = Self { key, index: index.to_owned(), place };
        heads.sign_end(store, now)?;
        Ok(heads)
    }

    fn in_file(store: &Store) -> Result<(HeadKey, Place), StoreError> {
        let path = store.folder.join(FILE);
        files::private_file(&path)?;
        let mut file = OpenOptions::new().read(true).write(true).open(&path).map_err(files::at(&path))?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(files::at(&path))?;
        let is_new = text.is_empty();
        // A line without its line break was being written in a crash. The log is signed again below.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        text.truncate(whole);
        file.set_len(whole as u64).map_err(files::at(&path))?;
        let (mut lines, mut end, mut last) = (Vec::new(), 0, None);
        for line in text.lines() {
            let seq = seq_of(line).ok_or_else(|| damaged(&path))?;
            lines.push((seq, end));
            end += line.len() as u64 + 1;
            last = Some(line);
        }
        let key = match last {
            Some(line) => signer(store, line, existing_key(&store.folder))?,
            None if is_new => key(&store.folder)?,
            None => existing_key(&store.folder)?.ok_or(StoreError::HeadKeyLost)?,
        };
        Ok((key, Place::File { path, signed: Mutex::new(Signed { file, lines, end }) }))
    }

    fn in_table(store: &Store) -> Result<(HeadKey, Place), StoreError> {
        let key = match postgres::last(store)? {
            Some((_, line)) => signer(store, &line, postgres::existing_key(store))?,
            None => postgres::key(store)?,
        };
        Ok((key, Place::Table))
    }

    /// Signs the heads that are due: one for every 64th entry.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn keep_up(&self, store: &Store, now: Timestamp) -> Result<(), StoreError> {
        let end = store.audit_end()?;
        let mut kept = self.kept(store);
        let mut due = (kept.end()? / INTERVAL + 1) * INTERVAL;
        while due <= end.seq {
            let missing = || StoreError::Damaged(Broken::Removed { seq: due }.to_string());
            self.sign(&mut kept, store.audit_point(due)?.ok_or_else(missing)?, now)?;
            due += INTERVAL;
        }
        Ok(())
    }

    /// Signs everything up to the last entry.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn sign_end(&self, store: &Store, now: Timestamp) -> Result<(), StoreError> {
        self.keep_up(store, now)?;
        let end = store.audit_end()?;
        let mut kept = self.kept(store);
        if end.seq > kept.end()? { self.sign(&mut kept, end, now) } else { Ok(()) }
    }

    /// The last head, as its line.
    ///
    /// # Errors
    /// [`StoreError::File`], [`StoreError::Database`].
    pub(crate) fn last(&self, store: &Store) -> Result<Option<String>, StoreError> {
        Ok(self.kept(store).last()?.map(|(_, line)| line))
    }

    /// The first head that covers this entry: the entry that it is of, and its line.
    ///
    /// # Errors
    /// [`StoreError::File`], [`StoreError::Database`].
    pub(crate) fn after(&self, store: &Store, seq: u64) -> Result<Option<(u64, String)>, StoreError> {
        self.kept(store).after(seq)
    }

    fn sign(&self, kept: &mut Kept<'_>, point: Point, now: Timestamp) -> Result<(), StoreError> {
        let head = self.key.sign(&self.index, point, now);
        let head = head.map_err(|error| StoreError::HeadKey(error.to_string()))?;
        kept.append(point, &head.to_json())
    }

    fn kept<'a>(&'a self, store: &'a Store) -> Kept<'a> {
        match &self.place {
            Place::File { path, signed } => {
                Kept::File { path, signed: signed.lock().unwrap_or_else(PoisonError::into_inner) }
            }
            Place::Table => Kept::Table(store),
        }
    }
}

/// The heads that are signed already. Those of a file nobody else reads or signs meanwhile.
enum Kept<'a> {
    File { path: &'a Path, signed: MutexGuard<'a, Signed> },
    Table(&'a Store),
}

impl Kept<'_> {
    /// The last entry that a head is of; 0 if there is none.
    fn end(&self) -> Result<u64, StoreError> {
        match self {
            Self::File { signed, .. } => Ok(signed.last()),
            Self::Table(store) => Ok(postgres::last(store)?.map_or(0, |(seq, _)| place(seq))),
        }
    }

    fn append(&mut self, point: Point, line: &str) -> Result<(), StoreError> {
        match self {
            Self::File { path, signed } => signed.append(point.seq, line).map_err(files::at(path)),
            Self::Table(store) => postgres::append(store, point, line),
        }
    }

    fn last(&mut self) -> Result<Option<(u64, String)>, StoreError> {
        match self {
            Self::File { path, signed } => {
                let last = signed.lines.last().copied();
                last.map(|head| signed.head(head)).transpose().map_err(files::at(path))
            }
            Self::Table(store) => Ok(postgres::last(store)?.map(|(seq, line)| (place(seq), line))),
        }
    }

    fn after(&mut self, seq: u64) -> Result<Option<(u64, String)>, StoreError> {
        match self {
            Self::File { path, signed } => {
                let position = signed.lines.partition_point(|(head, _)| *head < seq);
                let next = signed.lines.get(position).copied();
                next.map(|head| signed.head(head)).transpose().map_err(files::at(path))
            }
            Self::Table(store) => {
                let after = postgres::after(store, audit::column(seq)?)?;
                Ok(after.map(|(seq, line)| (place(seq), line)))
            }
        }
    }
}

/// The place of an entry, from its column.
fn place(seq: i64) -> u64 {
    u64::try_from(seq).unwrap_or_default()
}

/// The key that goes on after this head, which the log has to contain.
fn signer(
    store: &Store,
    last: &str,
    key: Result<Option<HeadKey>, StoreError>,
) -> Result<HeadKey, StoreError> {
    let head = Head::parse(last).map_err(|error| StoreError::Damaged(error.to_string()))?;
    has(store, head.point)?;
    key?.filter(|key| key.public() == head.key).ok_or(StoreError::HeadKeyLost)
}

impl Signed {
    fn last(&self) -> u64 {
        self.lines.last().map_or(0, |(seq, _)| *seq)
    }

    fn append(&mut self, seq: u64, line: &str) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.end))?;
        self.file.write_all(format!("{line}\n").as_bytes())?;
        self.file.sync_data()?;
        self.lines.push((seq, self.end));
        self.end += line.len() as u64 + 1;
        Ok(())
    }

    /// The entry of a head, and its line, which begins there.
    fn head(&mut self, (seq, at): (u64, u64)) -> io::Result<(u64, String)> {
        let position = self.lines.partition_point(|(_, begin)| *begin <= at);
        let end = self.lines.get(position).map_or(self.end, |(_, begin)| *begin);
        self.file.seek(SeekFrom::Start(at))?;
        let mut line = String::new();
        (&self.file).take(end - at).read_to_string(&mut line)?;
        Ok((seq, line.trim_end().to_owned()))
    }
}

impl Store {
    /// The public half of the key that signs the heads, once a server has run on this store.
    ///
    /// # Errors
    /// [`StoreError::HeadKey`], [`StoreError::File`].
    pub fn head_key(&self) -> Result<Option<PublicKey>, StoreError> {
        match &self.engine {
            Engine::Sqlite(_) => Ok(existing_key(&self.folder)?.map(|key| key.public())),
            Engine::Postgres(_) => postgres::public_key(self),
        }
    }

    /// All heads, oldest first. Each is verified, and signed by this store's key.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] with the first that does not hold; [`StoreError::HeadKeyLost`], [`StoreError::File`].
    pub fn heads(&self) -> Result<Vec<Head>, StoreError> {
        let lines = match &self.engine {
            Engine::Sqlite(_) => lines(&self.folder)?,
            Engine::Postgres(_) => postgres::lines(self)?,
        };
        if lines.is_empty() {
            return Ok(Vec::new());
        }
        let ours = self.head_key()?.ok_or(StoreError::HeadKeyLost)?;
        let mut heads = Vec::new();
        for line in lines {
            let head = Head::parse(&line).map_err(|error| StoreError::Damaged(error.to_string()))?;
            if head.key != ours {
                let seq = head.point.seq;
                return Err(StoreError::Damaged(format!(
                    "the head of entry {seq} was signed by another key"
                )));
            }
            heads.push(head);
        }
        Ok(heads)
    }
}

impl Store {
    /// Copies another store's heads, and the key that signed them.
    pub(super) fn take_heads(&self, source: &Self, transaction: &Sql<'_>) -> Result<(), StoreError> {
        let (lines, key) = match &source.engine {
            Engine::Sqlite(_) => (lines(&source.folder)?, key_file(&source.folder)?),
            Engine::Postgres(_) => (postgres::lines(source)?, source.secret(postgres::KEY)?),
        };
        if let Engine::Postgres(_) = &self.engine {
            return postgres::take(self, transaction, &lines, key.as_deref().map(Vec::as_slice));
        }
        if let Some(key) = key {
            files::write_private(&self.folder.join(KEY), &key)?;
        }
        let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
        files::write_private(&self.folder.join(FILE), lines.as_bytes())
    }

    /// Removes the heads and their key from a folder.
    pub(super) fn forget_heads(&self) -> Result<(), StoreError> {
        for path in [FILE, KEY].map(|name| self.folder.join(name)) {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(files::at(&path)(error)),
                _ => {}
            }
        }
        Ok(())
    }
}

fn lines(folder: &Path) -> Result<Vec<String>, StoreError> {
    let path = folder.join(FILE);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(text.lines().map(ToOwned::to_owned).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(files::at(&path)(error)),
    }
}

fn has(store: &Store, head: Point) -> Result<(), StoreError> {
    let broken = match store.audit_point(head.seq)? {
        Some(found) if found == head => return Ok(()),
        Some(found) => Broken::Rewritten { seq: head.seq, found: found.hash, head: head.hash },
        None => Broken::CutOff { last: store.audit_end()?.seq, head: head.seq },
    };
    Err(StoreError::Damaged(format!("in the audit log, {broken}")))
}

/// The key of this store. It is made if there is none.
fn key(folder: &Path) -> Result<HeadKey, StoreError> {
    if let Some(key) = existing_key(folder)? {
        return Ok(key);
    }
    let der = HeadKey::generate().map_err(|error| StoreError::HeadKey(error.to_string()))?;
    files::write_private(&folder.join(KEY), &der)?;
    HeadKey::from_pkcs8(&der).map_err(|error| StoreError::HeadKey(error.to_string()))
}

fn existing_key(folder: &Path) -> Result<Option<HeadKey>, StoreError> {
    let key = key_file(folder)?.map(|der| HeadKey::from_pkcs8(&der)).transpose();
    key.map_err(|error| StoreError::HeadKey(error.to_string()))
}

/// The key as it is in its file.
fn key_file(folder: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
    let path = folder.join(KEY);
    match fs::read(&path) {
        Ok(der) => Ok(Some(Zeroizing::new(der))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(files::at(&path)(error)),
    }
}

/// The entry that a head is of. All lines are looked at when the server starts, so nothing else is kept of them.
fn seq_of(line: &str) -> Option<u64> {
    #[derive(Deserialize)]
    struct Place {
        seq: u64,
    }
    serde_json::from_str::<Place>(line).ok().map(|head| head.seq)
}

fn damaged(path: &Path) -> StoreError {
    StoreError::Damaged(format!("{} has a line that is not a head", path.display()))
}

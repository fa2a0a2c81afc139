//! A copy of a store in another place, which takes its place.
//!
//! ```text
//! source   locked, from here to the end                                         moved to the target
//! target              incomplete │ crate files │ rows, in one transaction │ verified            complete
//! ```
//!
//! So at no moment two stores can be served. Whatever ends a copy before its source is marked leaves the source as it was, and a
//! target that nobody serves and that the next copy begins with anew. After that, the next copy has only the last step to do.

use std::fs::File;
use std::io::{self, Read as _, Write as _};

use asymmetric_token::Checksum;
use sha2::{Digest as _, Sha256};

use super::checkpoints::key::{self, Public};
use super::crate_files::{self, Sent};
use super::log_end::End;
use super::secret::CHALLENGE_KEYS;
use super::sql::{Copy, Moved, Sql, Value, values};
use super::{Store, StoreError, files, parsed, search};
use crate::audit::Point;
use crate::index::Line;
use crate::store_place::StorePlace;

/// The tables whose rows are the same in every engine, and their columns. What a row refers to stands in a table before.
const TABLES: [(&str, &[&str]); 24] = [
    ("user", &["id", "name", "removed"]),
    (
        "key",
        &[
            "rowid",
            "id",
            "public",
            "user",
            "role",
            "label",
            "subject",
            "added",
            "expires",
            "revoked",
            "attestation",
            "crates",
        ],
    ),
    ("invite", &["hash", "user", "issued", "expires", "used"]),
    ("audit", &["seq", "entry", "hash"]),
    ("tile", &["level", "number", "hash"]),
    ("checkpoint", &["size", "origin", "note"]),
    ("signer", &["generation", "public"]),
    ("cosignature", &["origin", "size", "witness", "line"]),
    ("shown", &["origin", "size"]),
    ("open_intent", &["seq"]),
    ("open_reason", &["seq", "why"]),
    ("published", &["name", "version", "intent", "outcome"]),
    ("in_doubt", &["name", "version", "cksum", "user", "intent"]),
    ("spent", &["single_use_key", "kept_until"]),
    ("spender", &["user", "owed", "at"]),
    ("forgotten", &["of", "until"]),
    ("counted", &["what", "number"]),
    ("publisher", &["id", "name", "settings", "reads_as", "added", "removed"]),
    ("staging_token", &["hash", "publisher", "key", "identity", "issued", "expires", "revoked"]),
    (
        "staged",
        &[
            "id", "name", "folded", "version", "core", "cksum", "size", "line", "stager", "token",
            "identity", "state", "is_new", "intent", "staged", "changed", "expires", "words",
        ],
    ),
    ("approval", &["staged", "user", "key", "token", "time", "seq", "void"]),
    ("approver", &["folded", "user"]),
    ("crate", &["folded", "name", "owner", "description", "changed", "revision"]),
    ("version", &["id", "crate", "version", "core", "line"]),
];

/// Tables whose rows are made anew, because they are sealed or searched for, and those that are files in a folder.
const MADE_ANEW: [&str; 3] = ["credential", "secret", "offered"];
const FILES: [&str; 2] = ["file", "piece"];

/// The columns that PostgreSQL counts by itself.
const COUNTED_THERE: [(&str, &str); 5] =
    [("user", "id"), ("key", "rowid"), ("version", "id"), ("publisher", "id"), ("staged", "id")];

/// Numbers that may be missing. PostgreSQL takes what is missing for a text, unless it is told otherwise.
const MAY_BE_NO_NUMBER: [(&str, &str); 2] = [("staging_token", "publisher"), ("staged", "intent")];

/// What was copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// The end of the log, which is the same in both places.
    pub end: Point,
    /// How many crate files there are.
    pub files: usize,
}

impl Store {
    /// Copies everything into a store that is empty or the rest of another copy, verifies both, and leaves this one marked as
    /// moved. Nobody can change either of them meanwhile.
    ///
    /// # Errors
    /// [`StoreError::Served`] if a gateway lives on either of them, [`StoreError::NotEmpty`], [`StoreError::Moved`],
    /// [`StoreError::Incomplete`]; and what `verified` says.
    pub fn move_to<E: From<StoreError>>(
        &self,
        target: &Self,
        (here, there): (&StorePlace, &StorePlace),
        verified: impl Fn(&Self) -> Result<(), E>,
    ) -> Result<Copied, E> {
        let _locks = [self.lock()?, target.lock()?];
        let copied = self.engine.write_wherever_it_is(|source, moved| {
            source.without_limits()?;
            self.has_no_gateway()?;
            let end = self.audit_end()?;
            let is_done = moved.is_source_of(&target.mark()?) && target.audit_end()? == end;
            if is_done {
                verified(target)?;
                return Ok::<_, E>(Copied { end, files: self.versions()?.len() });
            }
            moved.is_here()?;
            // Whoever may not mark it shall not copy it first.
            Moved::to(source, None)?;
            verified(self)?;
            let copy = Copy::new()?;
            target.begin_copy(&copy.mark(here), &key::verifiers(source)?)?;
            let files = target.take_files(self)?;
            target.take_staged_files(self)?;
            target.take_rows(self, source, &files)?;
            verified(target)?;
            if target.audit_end()? != end {
                return Err(StoreError::Damaged("the copy of the audit log".to_owned()).into());
            }
            Moved::to(source, Some(&copy.mark(there)))?;
            Ok(Copied { end, files: files.len() })
        })?;
        target.engine.write_wherever_it_is(|rows, _| Moved::from(rows, None))?;
        Ok(copied)
    }

    /// Whether no gateway lives. It is asked by who keeps others from writing, which whoever begins to live has to do.
    fn has_no_gateway(&self) -> Result<(), StoreError> {
        match self.living_gateways()?.into_iter().next() {
            Some(gateway) => Err(StoreError::Served { path: gateway.name.into() }),
            None => Ok(()),
        }
    }

    fn mark(&self) -> Result<Moved, StoreError> {
        Moved::read(&self.reader()?)
    }

    /// Marks this store as incomplete, and removes what an earlier copy has left. The `keys` of the log that is copied may lie here in files,
    /// without the rows that would name them.
    fn begin_copy(&self, from: &str, keys: &[Public]) -> Result<(), StoreError> {
        self.engine.write_wherever_it_is(|target, moved| {
            target.without_limits()?;
            self.has_no_gateway()?;
            match moved.is_here() {
                Ok(()) if self.is_used(target)? => return Err(StoreError::NotEmpty),
                Ok(()) | Err(StoreError::Incomplete { .. }) => {}
                Err(error) => return Err(error),
            }
            Moved::from(target, Some(from))?;
            let tables = TABLES.iter().rev().map(|(table, _)| *table);
            let tables = MADE_ANEW.into_iter().chain(tables);
            if target.is_postgres() {
                let all: Vec<_> = FILES.into_iter().chain(tables).collect();
                return target.execute(&format!("TRUNCATE {} CASCADE", all.join(", ")), values![]).map(drop);
            }
            search::clear(target)?;
            key::forget(self, &key::verifiers(target)?)?;
            key::forget(self, keys)?;
            for table in tables {
                target.execute(&format!("DELETE FROM {table}"), values![])?;
            }
            Ok(())
        })
    }

    /// Whether anybody has used it. Secrets come by themselves.
    fn is_used(&self, sql: &Sql<'_>) -> Result<bool, StoreError> {
        for table in ["user", "audit", "crate", "spent"] {
            if sql.exists(&format!("SELECT 1 FROM {table} LIMIT 1"), values![])? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// All versions of the built-in registry: name, version, and the checksum of the file.
    fn versions(&self) -> Result<Vec<(String, String, Checksum)>, StoreError> {
        let versions = "SELECT crate.name, version, line FROM version JOIN crate ON folded = crate";
        self.reader()?.all(versions, values![], |row| {
            let line = Line::from_json(row.get(2)?);
            let line = line.map_err(|error| StoreError::Damaged(error.to_string()))?;
            Ok((row.get(0)?, row.get(1)?, parsed(&line.cksum)?))
        })
    }

    /// Copies all crate files here, each of which has to have its checksum.
    fn take_files(&self, source: &Self) -> Result<Vec<Taken>, StoreError> {
        source.versions()?.into_iter().map(|version| self.take_file(source, version)).collect()
    }

    fn take_file(
        &self,
        source: &Self,
        (name, version, checksum): (String, String, Checksum),
    ) -> Result<Taken, StoreError> {
        let mut upload = self.upload()?;
        let mut file = source.open_crate_file(&name, &version)?;
        if copied(&mut file, upload.as_file_mut()).map_err(files::at(upload.path()))? != checksum {
            return Err(StoreError::Damaged(format!("the file of {name} {version} is another one")));
        }
        let pieces = match self.sent(upload, &checksum.to_string())? {
            Sent::Not(upload) => {
                self.moved(upload, &name, &version)?;
                None
            }
            Sent::Unsent { .. } => unreachable!("all is sent here"),
            Sent::Pieces { pieces, sending } => Some((sending.kept(), pieces)),
        };
        Ok(Taken { name, version, pieces })
    }

    /// Copies the files of what was staged. In a PostgreSQL nothing but their checksums says whose they are.
    fn take_staged_files(&self, source: &Self) -> Result<(), StoreError> {
        for staged in source.all_staged()? {
            let mut upload = self.upload()?;
            let mut file = source.open_staged_file(&staged)?;
            if copied(&mut file, upload.as_file_mut()).map_err(files::at(upload.path()))? != staged.checksum {
                return Err(StoreError::Damaged(format!("the staged file of {staged} is another one")));
            }
            match self.sent(upload, &staged.checksum.to_string())? {
                Sent::Not(upload) => files::place(upload, &self.staged_file(staged.id))?,
                Sent::Unsent { .. } => unreachable!("all is sent here"),
                Sent::Pieces { sending, .. } => drop(sending.kept()),
            }
        }
        Ok(())
    }

    /// Copies all rows here in one transaction.
    fn take_rows(&self, source: &Self, rows: &Sql<'_>, files: &[Taken]) -> Result<(), StoreError> {
        self.engine.write_wherever_it_is(|target, _| {
            target.without_limits()?;
            for (table, columns) in TABLES {
                take_table(target, rows, table, columns)?;
            }
            for (table, column) in COUNTED_THERE.iter().filter(|_| target.is_postgres()) {
                count_on(target, table, column)?;
            }
            search::take(target, rows)?;
            for Taken { name, version, pieces } in files {
                if let Some((checksum, pieces)) = pieces {
                    crate_files::note(target, (name, version), checksum, *pieces)?;
                }
            }
            self.take_credentials(source, rows, target)?;
            self.take_secrets(source, target)?;
            let end = End::read(rows)?;
            end.write(target)?;
            key::take(self, source, end.generation, target)
        })
    }

    /// Copies the credentials for the registry behind. Those that the key file does not open are refused here, and not when
    /// somebody needs them.
    fn take_credentials(&self, source: &Self, rows: &Sql<'_>, target: &Sql<'_>) -> Result<(), StoreError> {
        let credentials = "SELECT id, name, sealed FROM credential JOIN user ON id = user";
        rows.each(credentials, values![], |row| {
            let (id, name): (i64, &str) = (row.get(0)?, row.get(1)?);
            let sealed = row.get::<Vec<u8>>(2)?;
            let sealed = self.sealed_again(source, &parsed(name)?, sealed)?;
            let insert = "INSERT INTO credential (user, sealed) VALUES (?, ?)";
            target.execute(insert, values![id, sealed.as_slice()]).map(drop)
        })
    }

    fn take_secrets(&self, source: &Self, target: &Sql<'_>) -> Result<(), StoreError> {
        for name in CHALLENGE_KEYS {
            if let Some(secret) = source.secret(name)? {
                self.insert_secret(target, name, &secret)?;
            }
        }
        Ok(())
    }
}

/// A crate file that was copied, and where it is in pieces their checksum and number.
struct Taken {
    name: String,
    version: String,
    pieces: Option<(String, i64)>,
}

/// Copies a whole file, and returns its checksum.
fn copied(file: &mut File, to: &mut File) -> io::Result<Checksum> {
    let (mut hash, mut block) = (Sha256::new(), vec![0; 64 << 10]);
    loop {
        match file.read(&mut block)? {
            0 => return Ok(Checksum(hash.finalize().into())),
            read => {
                hash.update(&block[..read]);
                to.write_all(&block[..read])?;
            }
        }
    }
}

fn take_table(target: &Sql<'_>, rows: &Sql<'_>, table: &str, columns: &[&str]) -> Result<(), StoreError> {
    let names = columns.join(", ");
    let over = if target.is_postgres() { "OVERRIDING SYSTEM VALUE" } else { "" };
    let parameter = |column: &&str| match MAY_BE_NO_NUMBER.contains(&(table, *column)) {
        true => "CAST(? AS BIGINT)",
        false => "?",
    };
    let parameters = columns.iter().map(parameter).collect::<Vec<_>>().join(", ");
    let insert = format!("INSERT INTO {table} ({names}) {over} VALUES ({parameters})");
    rows.each(&format!("SELECT {names} FROM {table}"), values![], |row| {
        let values: Result<Vec<Value<'_>>, _> = (0..columns.len()).map(|column| row.get(column)).collect();
        target.execute(&insert, &values?).map(drop)
    })
}

/// Has PostgreSQL count a column on from what is there.
fn count_on(target: &Sql<'_>, table: &str, column: &str) -> Result<(), StoreError> {
    let count = format!(
        "SELECT setval(pg_get_serial_sequence('\"{table}\"', '{column}'), coalesce(max({column}), 0) + 1, false) FROM {table}"
    );
    target.exists(&count, values![]).map(drop)
}

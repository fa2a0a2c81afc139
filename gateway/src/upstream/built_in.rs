//! The built-in registry: index, crate files and owners in the gateway's own store.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::future::ready;
use std::io::{self, Cursor, Read as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use asymmetric_token::{Checksum, CrateName};
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use semver::Version;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt;
use tokio::sync::Semaphore;
use tokio_util::io::ReaderStream;

use super::{Reader, Search, Standing, UpstreamError};
use crate::background::Panicked;
use crate::index::VersionState;
use crate::store::{Contents, CrateFile, CratesError, IndexFile, IndexState, Pieces, Store, StoreError};

/// How much of a crate file is read at once, in bytes. Each read waits for a thread.
const PIECE: usize = 256 << 10;

/// The most crates whose entity tag is remembered. Each takes about a hundred bytes.
const MOST_TAGS: usize = 100_000;

/// The most bytes of index files that are held for whoever wants them next, together.
const MOST_HELD: usize = 8 << 20;

/// As many reads are on threads at once as the store has connections for them. A build asks for hundreds of files at once: with a
/// thread for each, they would wait for each other there, and everybody for them.
const READS: usize = 4;

/// The registry in the gateway's store.
#[derive(Clone, Debug)]
pub(crate) struct BuiltIn {
    store: Arc<Store>,
    files: Arc<IndexFiles>,
    reads: Arc<Semaphore>,
}

impl BuiltIn {
    pub(crate) fn new(store: Arc<Store>) -> Self {
        Self { store, files: Arc::default(), reads: Arc::new(Semaphore::new(READS)) }
    }

    /// Runs work that may block on the disk or the database.
    async fn ask<T: Send + 'static, E: Into<UpstreamError> + Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, E> + Send + 'static,
    ) -> Result<T, UpstreamError> {
        self.store.work(work).await.unwrap_or_else(Panicked::resume).map_err(Into::into)
    }

    /// The same for what is short and asked for often.
    async fn read<T: Send + 'static, E: Into<UpstreamError> + Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, E> + Send + 'static,
    ) -> Result<T, UpstreamError> {
        let reading = async {
            let turn = self.reads.clone().acquire_owned().await;
            self.ask(move |store| {
                // The work goes on if nobody waits for it any more, and has its turn until then.
                let _turn = turn;
                work(store)
            })
            .await
        };
        self.store.in_time(reading).await
    }

    pub(super) async fn index_file(
        &self,
        reader: Option<&Reader>,
        path: &str,
        conditions: &HeaderMap,
    ) -> Result<Response, UpstreamError> {
        let wanted = path.rsplit('/').next().unwrap_or_default();
        let contents = match reader {
            Some(reader) => reader.contents,
            None => self.store.present().await?.1,
        };
        // No thread is taken for a glance into memory: on busy processors, to wait for one would be the longest part.
        let at_once = |known: &Known| match contents {
            Some(contents) => Ok(known.contents == Some(contents)),
            None => Ok(self.store.index_state_at_once(wanted)? == Some(known.state)),
        };
        if let Some(answer) = answer_from_memory(&self.files, wanted, conditions, self.store.now(), at_once)?
        {
            return Ok(answer);
        }
        let (files, wanted, conditions) = (self.files.clone(), wanted.to_owned(), conditions.clone());
        let answer =
            self.read(move |store| index_answer(store, &files, (&wanted, contents), &conditions)).await?;
        answer.ok_or_else(|| UpstreamError::NotFound("nothing here".to_owned()))
    }

    pub(super) async fn download(
        &self,
        name: &CrateName,
        version: &Version,
    ) -> Result<Response, UpstreamError> {
        let none = || UpstreamError::NotFound(format!("no {name} {version} here"));
        let (crate_name, number) = (name.to_string(), version.to_string());
        let opened = self.read(move |store| {
            let failed = |source| StoreError::File { path: store.crate_file(&crate_name, &number), source };
            match store.published_file(&crate_name, &number)? {
                Some(CrateFile::InFolder(file)) => Opened::new(file).map(Some).map_err(failed),
                Some(CrateFile::InPieces(pieces)) => {
                    let begin = store.piece(&pieces, 0)?;
                    Ok(Some(Opened { length: pieces.length, begin, rest: Rest::Pieces(pieces) }))
                }
                None => Ok(None),
            }
        });
        let opened = opened.await?.ok_or_else(none)?;
        let fields = [
            (header::CONTENT_TYPE, "application/gzip".to_owned()),
            (header::CONTENT_LENGTH, opened.length.to_string()),
        ];
        Ok((fields, self.body(opened)).into_response())
    }

    fn body(&self, Opened { length, begin, rest }: Opened) -> Body {
        // To learn that nothing follows, a thread would have to be waited for.
        if begin.len() as u64 == length {
            return begin.into();
        }
        match rest {
            Rest::File(file) => {
                let whole = AsyncReadExt::chain(Cursor::new(begin), tokio::fs::File::from_std(file));
                Body::from_stream(ReaderStream::with_capacity(whole, PIECE))
            }
            Rest::Pieces(pieces) => {
                let (built_in, pieces) = (self.clone(), Arc::new(pieces));
                let others = stream::try_unfold(1, move |number| {
                    let (built_in, pieces) = (built_in.clone(), pieces.clone());
                    async move {
                        if number == pieces.count {
                            return Ok(None);
                        }
                        let piece = built_in.read(move |store| store.piece(&pieces, number)).await?;
                        Ok::<_, UpstreamError>(Some((piece, number + 1)))
                    }
                });
                Body::from_stream(stream::once(ready(Ok(begin))).chain(others))
            }
        }
    }

    pub(super) async fn search(&self, search: &Search) -> Result<Response, UpstreamError> {
        let (text, limit) = (search.q.clone(), search.per_page.unwrap_or(10).min(100));
        let (found, total) = self.read(move |store| store.search(&text, limit)).await?;
        let crates: Vec<_> = found
            .into_iter()
            .map(|found| {
                json!({
                    "name": found.name,
                    "max_version": found.max_version.to_string(),
                    "description": found.description,
                })
            })
            .collect();
        let answer = json!({ "crates": crates, "meta": { "total": total } }).to_string();
        Ok(([(header::CONTENT_TYPE, "application/json")], answer).into_response())
    }

    pub(super) async fn standing(
        &self,
        name: &CrateName,
        version: &Version,
    ) -> Result<Standing, UpstreamError> {
        let (name, version) = (name.to_string(), version.to_string());
        self.ask(move |store| {
            Ok::<_, StoreError>(match (store.owner(&name)?, store.line(&name, &version)?) {
                (_, Some(_)) => Standing::Published,
                (Some(_), None) => Standing::NewVersion,
                (None, None) => Standing::NewCrate,
            })
        })
        .await
    }

    pub(super) async fn state(
        &self,
        name: &CrateName,
        version: &Version,
    ) -> Result<Option<VersionState>, UpstreamError> {
        let (name, version) = (name.to_string(), version.to_string());
        self.ask(move |store| {
            let Some(line) = store.line(&name, &version)? else { return Ok(None) };
            let damaged = |_| StoreError::Damaged(format!("the checksum of {name} {version}"));
            let checksum: Checksum = line.cksum.parse().map_err(damaged)?;
            Ok::<_, StoreError>(Some(VersionState { checksum, yanked: line.yanked }))
        })
        .await
    }
}

/// A crate file of which the first piece was read, so that a small file leaves together with the answer's head.
struct Opened {
    length: u64,
    begin: Vec<u8>,
    rest: Rest,
}

/// What follows the first piece.
enum Rest {
    File(File),
    /// In the database. However slowly they are received, a connection is in use only while one of them is read.
    Pieces(Pieces),
}

impl Opened {
    fn new(mut rest: File) -> io::Result<Self> {
        let length = rest.metadata()?.len();
        let mut begin = Vec::new();
        rest.by_ref().take(PIECE as u64).read_to_end(&mut begin)?;
        Ok(Self { length, begin, rest: Rest::File(rest) })
    }
}

impl From<CratesError> for UpstreamError {
    fn from(error: CratesError) -> Self {
        match error {
            CratesError::Refused(refusal) => Self::Refused(refusal),
            CratesError::VersionExists { .. } | CratesError::NameTaken { .. } => {
                Self::Conflict(error.to_string())
            }
            CratesError::NotFound(_) => Self::NotFound(error.to_string()),
            CratesError::Store(error) => Self::Store(error),
        }
    }
}

/// The answer to a request for a crate's index file, if there is such a crate. What is read now is so at least since the contents that
/// were told before.
fn index_answer(
    store: &Store,
    files: &IndexFiles,
    (name, contents): (&str, Option<Contents>),
    conditions: &HeaderMap,
) -> Result<Option<Response>, StoreError> {
    let is_present = |known: &Known| {
        let is_present = store.index_state(name)? == Some(known.state);
        if is_present {
            files.is_so(name, known.state, contents);
        }
        Ok(is_present)
    };
    if let Some(answer) = answer_from_memory(files, name, conditions, store.now(), is_present)? {
        return Ok(Some(answer));
    }
    let Some(IndexFile { lines, state }) = store.index_file(name)? else { return Ok(None) };
    let lines = Arc::new(lines);
    let known = Known { state, contents, tag: entity_tag(&lines), lines: Arc::downgrade(&lines) };
    files.remember(name, known.clone(), &lines);
    Ok(known.answer(conditions, store.now()))
}

/// The same, if the file is in memory or the client has it: it is neither read nor hashed then.
fn answer_from_memory(
    files: &IndexFiles,
    name: &str,
    conditions: &HeaderMap,
    now: Timestamp,
    is_present: impl FnOnce(&Known) -> Result<bool, StoreError>,
) -> Result<Option<Response>, StoreError> {
    let Some(known) = files.known(name) else { return Ok(None) };
    Ok(if is_present(&known)? { known.answer(conditions, now) } else { None })
}

/// A text in memory once for all who are being sent it, however slowly they read.
struct Shared(Arc<String>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// What was read of a crate's index file: its entity tag, and the lines, if somebody is being sent them or they are held.
#[derive(Clone, Debug)]
struct Known {
    state: IndexState,
    /// At which contents of the store that was so, where the store tells.
    contents: Option<Contents>,
    tag: String,
    lines: Weak<String>,
}

impl Known {
    /// The answer, unless the lines would have to be read for it.
    fn answer(self, conditions: &HeaderMap, now: Timestamp) -> Option<Response> {
        let Self { state, tag, lines, .. } = self;
        let modified = http_date(state.changed);
        if client_has_it(conditions, &tag, &modified) {
            return Some((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
        }
        let lines = Body::from(Bytes::from_owner(Shared(lines.upgrade()?)));
        let fields = [(header::CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()), (header::ETAG, tag)];
        let mut response = (fields, lines).into_response();
        // A date has whole seconds, so within the second of a change there could be another one of the same date. The answer's
        // own `Date` may be a second old.
        if state.changed + 1 < now.as_second()
            && let Ok(modified) = modified.try_into()
        {
            response.headers_mut().insert(header::LAST_MODIFIED, modified);
        }
        Some(response)
    }
}

/// The index files that were read. What is read from the store is always hashed, so an entity tag stands for nothing but the bytes
/// that went with it.
#[derive(Debug, Default)]
struct IndexFiles(Mutex<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    known: HashMap<String, Known>,
    /// The lines that were read last, up to [`MOST_HELD`].
    held: VecDeque<Arc<String>>,
    bytes: usize,
}

impl IndexFiles {
    fn known(&self, name: &str) -> Option<Known> {
        self.remembered().known.get(name).cloned()
    }

    /// A file's state was looked up again.
    fn is_so(&self, name: &str, state: IndexState, contents: Option<Contents>) {
        if let Some(known) = self.remembered().known.get_mut(name)
            && known.state == state
        {
            known.contents = contents;
        }
    }

    fn remember(&self, name: &str, file: Known, lines: &Arc<String>) {
        let mut remembered = self.remembered();
        if remembered.known.len() >= MOST_TAGS {
            remembered.known.clear();
        }
        remembered.known.insert(name.to_owned(), file);
        remembered.bytes += lines.len();
        remembered.held.push_back(lines.clone());
        while remembered.bytes > MOST_HELD
            && let Some(oldest) = remembered.held.pop_front()
        {
            remembered.bytes -= oldest.len();
        }
    }

    fn remembered(&self) -> MutexGuard<'_, Remembered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn entity_tag(text: &str) -> String {
    let hash = Sha256::digest(text);
    let hex: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hex}\"")
}

/// RFC 9110, 13.2.2: If-Modified-Since is ignored where there is If-None-Match. A date is compared as the text that was
/// sent out.
fn client_has_it(headers: &HeaderMap, tag: &str, modified: &str) -> bool {
    match headers.get(header::IF_NONE_MATCH) {
        Some(tags) => tags.to_str().is_ok_and(|tags| {
            tags.split(',')
                .map(|tag| tag.trim().trim_start_matches("W/"))
                .any(|known| known == tag || known == "*")
        }),
        None => headers.get(header::IF_MODIFIED_SINCE).is_some_and(|date| date == modified),
    }
}

fn http_date(second: i64) -> String {
    let time = Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH);
    rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&time).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader that takes nothing keeps what it is sent in memory, and there can be as many as there are connections.
    #[tokio::test]
    async fn all_readers_of_an_index_file_share_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let database = rusqlite::Connection::open(folder.path().join("registry.db")).unwrap();
        let change = |sql| database.execute_batch(sql).unwrap();
        change(
            "INSERT INTO user (id, name) VALUES (1, 'alice');
             INSERT INTO crate (folded, name, owner, changed) VALUES ('hello', 'hello', 1, 0);
             INSERT INTO version (crate, version, core, line) VALUES ('hello', '1.0.0', '1.0.0', 'first');",
        );
        let files = IndexFiles::default();
        let file = async || {
            let answer = index_answer(&store, &files, ("hello", None), &HeaderMap::new()).unwrap().unwrap();
            axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap()
        };
        let [one, other] = [file().await, file().await];
        assert_eq!((&*one, one.as_ptr()), (&b"first\n"[..], other.as_ptr()));
        change("UPDATE version SET line = 'second'; UPDATE crate SET revision = revision + 1;");
        assert_eq!(&*file().await, b"second\n");
        let held = || files.remembered().held.iter().map(|lines| lines.len()).collect::<Vec<_>>();
        assert_eq!(held(), [6, 7]);
        let large = Arc::new("x".repeat(MOST_HELD - 7));
        let state = IndexState { revision: 1, changed: 0 };
        let known = Known { state, contents: None, tag: String::new(), lines: Weak::new() };
        files.remember("large", known.clone(), &large);
        assert_eq!(held(), [7, large.len()], "the oldest made room");
        files.remember("more", known, &large);
        assert_eq!(held(), [large.len()]);
        drop((one, other));
        assert_eq!(&*file().await, b"second\n", "nobody is being sent it any more");
    }
}

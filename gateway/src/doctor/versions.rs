//! Whether the registry behind has what was signed for: each version's line of its index is compared with the one that
//! follows from its crate file, and the file with the record.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::pin::pin;

use asymmetric_token::{Checksum, CrateName};
use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::response::Response;
use crate_file::index::served;
use crate_file::metadata;
use futures_util::StreamExt as _;
use futures_util::stream;
use http_body_util::{BodyExt as _, Limited};
use semver::Version;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use super::{AT_ONCE, Finding, bad, good, note, the_first};
use crate::causes::with_causes;
use crate::index::{self, IndexUrls};
use crate::record;
use crate::store::{Record, Store, StoreError};
use crate::upstream::{Reader, Remote, UpstreamError};

/// The longest index file that is looked at, in bytes.
const MOST_INDEX: usize = 64 << 20;
/// The longest crate file that is read, in bytes. It may have been published when longer ones were accepted than now.
const MOST_CRATE: u64 = 64 << 20;

/// Looks at the registry behind, as one user.
pub(super) struct Looking<'a> {
    remote: &'a Remote,
    reader: Reader,
    store: &'a Store,
    /// The longest crate file that is read, in bytes.
    most_crate: usize,
    /// Whoever asks or has a crate file in memory holds one of these.
    at_once: Semaphore,
}

/// What was seen in the index files.
#[derive(Default)]
struct Seen {
    crates: usize,
    versions: usize,
    leading_past: Vec<String>,
    /// Versions without a time of publishing.
    undated: Vec<String>,
    unread: Vec<String>,
    changed: Vec<String>,
}

impl<'a> Looking<'a> {
    /// The longest crate file that is taken now is so many bytes long.
    pub(super) fn new(remote: &'a Remote, reader: Reader, store: &'a Store, most_crate: u64) -> Self {
        let most_crate = usize::try_from(most_crate.max(MOST_CRATE)).unwrap_or(usize::MAX);
        Self { remote, reader, store, most_crate, at_once: Semaphore::new(AT_ONCE) }
    }

    /// Every crate that was published through the gateway, and these. `behind` is the registry behind.
    pub(super) async fn at_all(
        &self,
        crates: &[CrateName],
        behind: &IndexUrls,
    ) -> Result<Vec<Finding>, StoreError> {
        let mut records: BTreeMap<String, Vec<Record>> =
            crates.iter().map(|name| (name.to_string(), Vec::new())).collect();
        for record in self.store.published(None)?.into_iter().filter(|record| !record.is_here) {
            records.entry(record.name.clone()).or_default().push(record);
        }
        let looks = stream::iter(&records)
            .map(|(name, records)| self.at_crate(name, records, behind))
            .buffered(AT_ONCE);
        Ok(looks.fold(Seen::default(), async |seen, more| seen.and(more)).await.findings())
    }

    async fn at_crate(&self, name: &str, records: &[Record], behind: &IndexUrls) -> Seen {
        let mut seen = Seen { crates: 1, ..Seen::default() };
        let Some(file) = self.index_file(name).await else {
            seen.unread.push(name.to_owned());
            return seen;
        };
        seen.undated.extend(index::without_pubtime(&file).map(|version| format!("{name} {version}")));
        let past = index::depending_on(&file, behind);
        seen.leading_past.extend(past.map(|version| format!("{name} {version}")));
        let look = async |record| (record, self.is_as_signed(&file, record).await);
        let mut looks = pin!(stream::iter(records).map(look).buffered(AT_ONCE));
        while let Some((record, signed)) = looks.next().await {
            if let Err(reason) = signed {
                seen.changed.push(format!("{name} {}: {reason}", record.version));
            }
            seen.versions += 1;
        }
        seen
    }

    async fn is_as_signed(&self, index_file: &[u8], record: &Record) -> Result<(), String> {
        let checked = match record::check(self.store, record) {
            Ok(checked) => checked,
            // The check of the store reports that.
            Err(_) => return Ok(()),
        };
        let _turn = self.at_once.acquire().await;
        let crate_file = self.crate_file(record).await.map_err(|error| with_causes(&error))?;
        let Some(crate_file) = crate_file else {
            return Err("its file is too long to be looked at".to_owned());
        };
        let found = Checksum(Sha256::digest(&crate_file).into());
        if found != record.checksum {
            return Err(format!("its file has the checksum {found}, but {} was signed", record.checksum));
        }
        let length = crate_file.len() as u64;
        let (name, version, url) = (&record.name, &record.version, &checked.index_url);
        let signed = metadata::of_signed(Cursor::new(crate_file), length, name, version, url);
        let signed = signed.map_err(|error| error.to_string())?;
        served(index_file, &signed, record.checksum, url).map(drop).map_err(|error| error.to_string())
    }

    async fn index_file(&self, name: &str) -> Option<Bytes> {
        let _turn = self.at_once.acquire().await;
        let response =
            self.remote.index_file(Some(&self.reader), &index::path(name), &HeaderMap::new()).await;
        whole(response.ok()?, MOST_INDEX).await
    }

    async fn crate_file(&self, record: &Record) -> Result<Option<Bytes>, UpstreamError> {
        let none = || UpstreamError::NotFound("its name or version is none".to_owned());
        let name: CrateName = record.name.parse().map_err(|_| none())?;
        let version = Version::parse(&record.version).map_err(|_| none())?;
        let response = self.remote.download(Some(&self.reader), &name, &version).await?;
        Ok(whole(response, self.most_crate).await)
    }
}

async fn whole(response: Response, most: usize) -> Option<Bytes> {
    Some(Limited::new(response.into_body(), most).collect().await.ok()?.to_bytes())
}

impl Seen {
    /// This, and what was seen next.
    fn and(mut self, more: Self) -> Self {
        self.crates += more.crates;
        self.versions += more.versions;
        self.leading_past.extend(more.leading_past);
        self.undated.extend(more.undated);
        self.unread.extend(more.unread);
        self.changed.extend(more.changed);
        self
    }

    fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        if !self.changed.is_empty() {
            findings.push(bad(
                format!("the registry behind does not have what was signed: {}", the_first(&self.changed)),
                "nobody should build these: find out who can write there, yank them, and publish new versions",
            ));
        } else if self.versions > 0 {
            findings.push(good(format!(
                "the registry behind has the signed files, and its index says what they say (versions looked at: {})",
                self.versions
            )));
        }
        findings.push(if !self.leading_past.is_empty() {
            bad(
                format!(
                    "cargo is led around this gateway by the dependencies of {}",
                    self.leading_past.join(", ")
                ),
                "publish new versions that name this registry's index URL, and yank those",
            )
        } else if !self.unread.is_empty() {
            bad(
                format!("the index files of {} cannot be read", self.unread.join(", ")),
                "check that these crates are in the registry behind",
            )
        } else {
            good(format!(
                "no crate depends on the registry behind by its own address (looked at: {})",
                self.crates
            ))
        });
        if !self.undated.is_empty() {
            findings.push(note(
                format!(
                    "the registry behind does not say when these were published: {}",
                    the_first(&self.undated)
                ),
                "cargo's `min-publish-age`, which keeps from builds what was published a moment ago, lets such versions pass; ask for \
                 `pubtime` in that registry's index",
            ));
        }
        findings
    }
}

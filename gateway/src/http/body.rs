//! The body of a request, above all of a publish request. Its length has to be announced, and its pieces are limited in
//! size and time.
//!
//! Layout of a publish request: u32 little-endian length, JSON, u32 little-endian length, crate file, and nothing more.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use asymmetric_token::Checksum;
use axum::body::{Body, Bytes};
use axum::http::header;
use axum::http::request::Parts;
use http_body_util::BodyExt as _;
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;
use tokio::time::{Instant, timeout_at};

use super::App;
use crate::background::soon;
use crate::connections::Place;
use crate::metadata::MAX_JSON_BYTES;

/// How often the patience for one piece is granted to a whole body that comes with a good token.
const PIECES: u32 = 20;
/// How much of an upload is written at once, in bytes.
const TO_DISK: usize = 256 << 10;

/// A body that is still being received. What is not read of it when the answer goes out is read and forgotten when the
/// connection ends ([`Watched`](crate::connections::Watched)).
pub(super) struct RequestBody {
    body: Body,
    /// Bytes that are received and not used yet.
    ahead: Bytes,
    /// What is left of the announced length. A chunked body has none: hyper removes its Content-Length (RFC 9112, 6.3).
    length: Option<u64>,
    place: Option<Arc<Place>>,
    patience: Duration,
    until: Instant,
}

/// A received crate file in the store's folder for uploads.
pub(super) struct Spooled {
    pub(super) file: NamedTempFile,
    pub(super) length: u64,
    pub(super) checksum: Checksum,
}

/// Why a body is not received.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// Its length is not announced.
    #[error("this request needs a Content-Length")]
    NoLength,
    /// The three lengths disagree.
    #[error("the lengths in the request do not add up to its Content-Length")]
    Lengths,
    /// It ended early.
    #[error("the request's body ended early")]
    Ended,
    /// It came too slowly.
    #[error("the request's body came too slowly")]
    Slow,
    /// A part is too large.
    #[error("{what} has {bytes} bytes, but at most {most} are accepted")]
    TooLarge { what: &'static str, bytes: u64, most: u64 },
    /// The store's disk failed.
    #[error("the upload could not be stored")]
    Disk(#[from] io::Error),
}

impl RequestBody {
    /// A body that is read once its token is found to be good.
    pub(super) fn new(app: &App, request: &Parts, body: Body) -> Self {
        Self::within(app.patience * PIECES, app, request, body)
    }

    /// A body that is read before anybody knows who sends it. All of it has to come in the time for one piece.
    pub(super) fn of_a_stranger(app: &App, request: &Parts, body: Body) -> Self {
        Self::within(app.patience, app, request, body)
    }

    fn within(limit: Duration, app: &App, request: &Parts, body: Body) -> Self {
        let length = request.headers.get(header::CONTENT_LENGTH);
        Self {
            body,
            ahead: Bytes::new(),
            length: length.and_then(|length| length.to_str().ok()?.parse().ok()),
            place: request.extensions.get().cloned(),
            patience: app.patience,
            until: Instant::now() + limit,
        }
    }

    /// Whether there is no body.
    pub(super) fn is_empty(&self) -> bool {
        self.length.unwrap_or(0) == 0
    }

    /// Receives the JSON part into a file, before a crate file that may have so many bytes. What is too large for both is refused
    /// before any of it is read.
    pub(super) async fn json(
        &mut self,
        file: NamedTempFile,
        most_crate: u64,
    ) -> Result<NamedTempFile, BodyError> {
        let whole = self.length.ok_or(BodyError::NoLength)?;
        let most = 8 + MAX_JSON_BYTES as u64 + most_crate;
        if whole > most {
            let what = "the upload, crate file and metadata,";
            return Err(BodyError::TooLarge { what, bytes: whole, most });
        }
        let length = self.part_length().await?;
        let most = MAX_JSON_BYTES as u64;
        if length > most {
            return Err(BodyError::TooLarge { what: "the metadata", bytes: length, most });
        }
        if whole < 8 + length {
            return Err(BodyError::Lengths);
        }
        self.length = Some(whole - 4 - length);
        self.spool(&file, length, |_| {}).await?;
        Ok(file)
    }

    /// Receives the crate file, which follows the JSON part. It is hashed on the way.
    pub(super) async fn crate_file(&mut self, file: NamedTempFile, most: u64) -> Result<Spooled, BodyError> {
        let whole = self.length.ok_or(BodyError::NoLength)?;
        let length = self.part_length().await?;
        if whole != 4 + length {
            return Err(BodyError::Lengths);
        }
        if length > most {
            return Err(BodyError::TooLarge { what: "the crate file", bytes: length, most });
        }
        let mut hash = Sha256::new();
        self.spool(&file, length, |piece| hash.update(piece)).await?;
        Ok(Spooled { file, length, checksum: Checksum(hash.finalize().into()) })
    }

    /// Receives so many bytes into a file.
    async fn spool(
        &mut self,
        file: &NamedTempFile,
        mut left: u64,
        mut look: impl FnMut(&[u8]),
    ) -> Result<(), BodyError> {
        let mut disk = file.reopen()?;
        let mut held = Vec::new();
        while left > 0 {
            let piece = self.piece(left).await?;
            left -= piece.len() as u64;
            look(&piece);
            held.extend_from_slice(&piece);
            if left == 0 || held.len() >= TO_DISK {
                let write = move || disk.write_all(&held).map(|()| (disk, held));
                (disk, held) = soon(write).await.map_err(io::Error::other)??;
                held.clear();
            }
        }
        Ok(())
    }

    /// Receives the whole body, if it has no more than `most` bytes. `what` names it in an error.
    pub(super) async fn whole(&mut self, what: &'static str, most: u64) -> Result<Vec<u8>, BodyError> {
        let length = self.length.ok_or(BodyError::NoLength)?;
        if length > most {
            return Err(BodyError::TooLarge { what, bytes: length, most });
        }
        self.exactly(usize::try_from(length).unwrap_or(usize::MAX)).await
    }

    async fn part_length(&mut self) -> Result<u64, BodyError> {
        let bytes = self.exactly(4).await?;
        let bytes: [u8; 4] = bytes.try_into().map_err(|_| BodyError::Ended)?;
        Ok(u32::from_le_bytes(bytes).into())
    }

    async fn exactly(&mut self, length: usize) -> Result<Vec<u8>, BodyError> {
        let mut bytes = Vec::new();
        while bytes.len() < length {
            let piece = self.piece((length - bytes.len()) as u64).await?;
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    /// Receives at least one byte, and at most `most`.
    async fn piece(&mut self, most: u64) -> Result<Bytes, BodyError> {
        while self.ahead.is_empty() {
            let _waiting = self.place.as_ref().map(Place::wait);
            let patience = self.until.min(Instant::now() + self.patience);
            let frame = timeout_at(patience, self.body.frame()).await.map_err(|_| BodyError::Slow)?;
            let frame = frame.ok_or(BodyError::Ended)?.map_err(|_| BodyError::Ended)?;
            self.ahead = frame.into_data().unwrap_or_default();
        }
        let take = usize::try_from(most).map_or(self.ahead.len(), |most| most.min(self.ahead.len()));
        Ok(self.ahead.split_to(take))
    }
}

//! The body of an answer, read within its time and without the coding that it came in.
//!
//! Only `identity` is asked for. Some servers nevertheless send the gzipped file from their disk, and passing that on
//! without its Content-Encoding would be passing on something else (RFC 9110, 8.4).

use std::io::{self, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, header};
use flate2::write::{MultiGzDecoder, ZlibDecoder};
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::NoAnswer;
use crate::patience::{Patience, Silent};

/// How much is decoded at once, in bytes: what comes out is at most about a thousand times as long.
const PIECE: usize = 4 << 10;

/// A body of which each next piece comes in time, decoded.
#[derive(Debug)]
pub(crate) struct AnswerBody {
    body: Incoming,
    patience: Patience,
    /// Decoded and put back.
    begun: Bytes,
    /// Come and not yet decoded.
    ahead: Bytes,
    coding: Coding,
}

#[derive(Debug)]
enum Coding {
    None,
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
    /// "deflate", which is the zlib format (RFC 9110, 8.4.1.2).
    Zlib(Box<ZlibDecoder<Vec<u8>>>),
    /// Nothing can be read of it.
    Unknown(String),
    /// All is decoded.
    Over,
}

impl AnswerBody {
    /// `fields` are those of the answer. A coding that is not known here is an error of whoever reads the body: a status
    /// says what it says all the same.
    pub(super) fn new(fields: &HeaderMap, body: Incoming, patience: Duration) -> Self {
        let coding = if body.is_end_stream() { Coding::None } else { Coding::of(fields) };
        Self { body, patience: Patience::new(patience), begun: Bytes::new(), ahead: Bytes::new(), coding }
    }

    /// Puts back the beginning of the body, which was taken out.
    pub(crate) fn put_back(&mut self, begun: Bytes) {
        self.begun = begun;
    }

    fn poll_incoming(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, NoAnswer>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        Poll::Ready(match ready!(self.patience.poll(context, polled)) {
            Ok(frame) => frame.map(|frame| frame.map_err(|error| NoAnswer::Broken(error.into()))),
            Err(Silent) => Some(Err(NoAnswer::Silent)),
        })
    }
}

impl Coding {
    fn of(fields: &HeaderMap) -> Self {
        let mut codings = fields.get_all(header::CONTENT_ENCODING).iter();
        let Some(first) = codings.next() else { return Self::None };
        let name = String::from_utf8_lossy(first.as_bytes()).trim().to_ascii_lowercase();
        match (name.as_str(), codings.next()) {
            ("identity" | "", None) => Self::None,
            ("gzip" | "x-gzip", None) => Self::Gzip(Box::new(MultiGzDecoder::new(Vec::new()))),
            ("deflate", None) => Self::Zlib(Box::new(ZlibDecoder::new(Vec::new()))),
            _ => Self::Unknown(name),
        }
    }

    /// Decodes a piece; `None` checks that the body ends where its coding does.
    fn decode(&mut self, piece: Option<&[u8]>) -> io::Result<Vec<u8>> {
        match self {
            Self::None | Self::Unknown(_) | Self::Over => Ok(Vec::new()),
            Self::Gzip(decoder) => {
                match piece {
                    Some(piece) => decoder.write_all(piece)?,
                    None => decoder.try_finish()?,
                }
                Ok(std::mem::take(decoder.get_mut()))
            }
            Self::Zlib(decoder) => {
                match piece {
                    Some(piece) => decoder.write_all(piece)?,
                    None => decoder.try_finish()?,
                }
                Ok(std::mem::take(decoder.get_mut()))
            }
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = NoAnswer;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, NoAnswer>>> {
        let this = &mut *self;
        if !this.begun.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.begun)))));
        }
        loop {
            match &mut this.coding {
                Coding::None => return this.poll_incoming(context),
                Coding::Over => return Poll::Ready(None),
                Coding::Unknown(name) => {
                    let unknown = NoAnswer::Coding(std::mem::take(name));
                    this.coding = Coding::Over;
                    return Poll::Ready(Some(Err(unknown)));
                }
                Coding::Gzip(_) | Coding::Zlib(_) => {}
            }
            let decoded = if this.ahead.is_empty() {
                match ready!(this.poll_incoming(context)) {
                    Some(Ok(frame)) => {
                        this.ahead = frame.into_data().unwrap_or_default();
                        continue;
                    }
                    Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                    None => {
                        let rest = this.coding.decode(None);
                        this.coding = Coding::Over;
                        rest
                    }
                }
            } else {
                let piece = this.ahead.split_to(PIECE.min(this.ahead.len()));
                this.coding.decode(Some(&piece))
            };
            match decoded {
                Ok(decoded) if decoded.is_empty() => {}
                Ok(decoded) => return Poll::Ready(Some(Ok(Frame::data(decoded.into())))),
                Err(error) => {
                    this.coding = Coding::Over;
                    return Poll::Ready(Some(Err(NoAnswer::Broken(error.into()))));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.begun.is_empty()
            && match self.coding {
                Coding::None => self.body.is_end_stream(),
                Coding::Gzip(_) | Coding::Zlib(_) | Coding::Unknown(_) => false,
                Coding::Over => true,
            }
    }

    fn size_hint(&self) -> SizeHint {
        match self.coding {
            Coding::None if self.begun.is_empty() => self.body.size_hint(),
            _ => SizeHint::default(),
        }
    }
}

//! The bytes of a connection on their way: when the last ones came or went, and how a connection ends.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::Place;
use crate::patience::{Patience, Silent};

/// How much of what nobody wants is read at the end, in bytes, and how long silence is listened to.
const UNWANTED: usize = 256 << 20;
const SILENCE: Duration = Duration::from_secs(5);

/// A stream of which it is noted when something came or went. It ends in two steps (RFC 9112, 9.6): we say that nothing more
/// comes from us, and then read and forget what the other end still sends. If we closed a connection with bytes in it that
/// nobody read, the other end would be told that it broke, and might not read the answer that came before.
#[derive(Debug)]
pub(crate) struct Watched<S> {
    stream: S,
    place: Arc<Place>,
    limit: Duration,
    patience: Patience,
    farewell: Option<Farewell>,
}

/// After our end is closed.
#[derive(Debug)]
struct Farewell {
    over: Pin<Box<Sleep>>,
    silence: Patience,
    left: usize,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, place: Arc<Place>, limit: Duration) -> Self {
        Self { stream, place, limit, patience: Patience::new(limit), farewell: None }
    }

    fn written<T>(&mut self, context: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.place.progress();
        }
        let in_time = self.patience.poll(context, result);
        in_time.map(|in_time| in_time.unwrap_or_else(|Silent| Err(io::ErrorKind::TimedOut.into())))
    }
}

impl Farewell {
    fn new(limit: Duration) -> Self {
        Self { over: Box::pin(sleep(limit)), silence: Patience::new(limit.min(SILENCE)), left: UNWANTED }
    }

    /// Ready once the other end has closed its end too, or enough was waited for.
    fn poll<S: AsyncRead + Unpin>(&mut self, context: &mut Context<'_>, stream: &mut S) -> Poll<()> {
        let mut unwanted = [0; 8 << 10];
        while self.over.as_mut().poll(context).is_pending() {
            let mut buffer = ReadBuf::new(&mut unwanted);
            let read = Pin::new(&mut *stream).poll_read(context, &mut buffer);
            match ready!(self.silence.poll(context, read)) {
                Ok(Ok(())) if !buffer.filled().is_empty() && self.left > 0 => {
                    self.left = self.left.saturating_sub(buffer.filled().len());
                }
                Ok(Ok(()) | Err(_)) | Err(Silent) => break,
            }
        }
        Poll::Ready(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_ready() {
            self.place.progress();
        }
        read
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.written(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.written(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.farewell.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(context))?;
        }
        let limit = this.limit;
        let farewell = this.farewell.get_or_insert_with(|| Farewell::new(limit));
        farewell.poll(context, &mut this.stream).map(Ok)
    }
}

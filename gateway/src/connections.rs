//! The open connections, and which one is closed when there is no room for another.
//!
//! A connection is idle while no request on it is being worked on: before its first request is complete, between two
//! requests, and while the other end reads an answer. When there is no room, the idle connection that has been silent
//! longest is closed, so that holding connections keeps nobody out.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use crate::limits::Network;
use crate::metrics::Metrics;
use crate::patience::{Patience, Silent};

/// The connections of one listener.
#[derive(Debug)]
pub(crate) struct Connections {
    table: Mutex<Table>,
    freed: Notify,
    started: Instant,
    most: usize,
    most_per_peer: usize,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    open: HashMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    peer: Option<Network>,
    state: Arc<Activity>,
}

/// What is known of a connection from outside.
#[derive(Debug, Default)]
struct Activity {
    /// When the last byte went in either direction, in milliseconds since the listener started.
    last: AtomicU64,
    works: AtomicBool,
    close: Notify,
}

/// The place of one connection. It is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    connections: Arc<Connections>,
    id: u64,
    activity: Arc<Activity>,
}

impl Connections {
    /// At most `most` connections, and `most_per_peer` from one address.
    pub(crate) fn new(most: usize, most_per_peer: usize, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            table: Mutex::default(),
            freed: Notify::new(),
            started: Instant::now(),
            most,
            most_per_peer,
            metrics,
        })
    }

    /// Waits for a place for a new connection. A trusted proxy may have any number of places.
    ///
    /// `None` if this address has as many connections as it may have, and all of them are being worked on.
    pub(crate) async fn place(self: &Arc<Self>, peer: IpAddr, is_proxy: bool) -> Option<Place> {
        let peer = (!is_proxy).then(|| Network::of(peer));
        if peer.is_some() {
            let mut table = self.table();
            if table.open.values().filter(|entry| entry.peer == peer).count() >= self.most_per_peer {
                self.evict(&mut table, |entry| entry.peer == peer)?;
            }
        }
        loop {
            let freed = self.freed.notified();
            {
                let mut table = self.table();
                if table.open.len() < self.most || self.evict(&mut table, |_| true).is_some() {
                    return Some(self.seat(&mut table, peer));
                }
            }
            freed.await;
        }
    }

    fn seat(self: &Arc<Self>, table: &mut Table, peer: Option<Network>) -> Place {
        table.next += 1;
        let (id, activity) = (table.next, Arc::new(Activity::default()));
        activity.last.store(self.now(), Relaxed);
        table.open.insert(id, Entry { peer, state: activity.clone() });
        self.metrics.connected();
        Place { connections: self.clone(), id, activity }
    }

    /// Closes the idle connection among these that has been silent longest.
    fn evict(&self, table: &mut Table, among: impl Fn(&Entry) -> bool) -> Option<()> {
        let idle = table.open.iter().filter(|(_, entry)| !entry.state.works.load(Relaxed) && among(entry));
        let (&id, _) = idle.min_by_key(|(id, entry)| (entry.state.last.load(Relaxed), **id))?;
        let entry = table.open.remove(&id)?;
        entry.state.close.notify_one();
        self.metrics.evicted();
        Some(())
    }

    fn now(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Resolves when the connection has to make room for another.
    pub(crate) async fn lost(&self) {
        self.activity.close.notified().await;
    }

    /// Marks the connection as working until the returned value is dropped.
    pub(crate) fn work(self: &Arc<Self>) -> Work {
        self.activity.works.store(true, Relaxed);
        Work(self.clone())
    }

    /// Watches the stream for activity. The connection ends if the other end does not read an answer for so long.
    pub(crate) fn watch<S>(self: &Arc<Self>, stream: S, patience: Duration) -> Watched<S> {
        Watched { stream, place: self.clone(), patience: Patience::new(patience) }
    }

    fn progress(&self) {
        self.activity.last.store(self.connections.now(), Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.table().open.remove(&self.id);
        self.connections.metrics.disconnected();
        self.connections.freed.notify_one();
    }
}

/// A request that is being worked on.
#[derive(Debug)]
pub(crate) struct Work(Arc<Place>);

impl Drop for Work {
    fn drop(&mut self) {
        self.0.progress();
        self.0.activity.works.store(false, Relaxed);
        // Whoever waits for a place has to look again, because this connection can be closed now.
        self.0.connections.freed.notify_one();
    }
}

/// A stream whose activity is noted.
#[derive(Debug)]
pub(crate) struct Watched<S> {
    stream: S,
    place: Arc<Place>,
    patience: Patience,
}

impl<S> Watched<S> {
    fn written<T>(&mut self, context: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.place.progress();
        }
        let in_time = self.patience.poll(context, result);
        in_time.map(|in_time| in_time.unwrap_or_else(|Silent| Err(io::ErrorKind::TimedOut.into())))
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

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
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
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

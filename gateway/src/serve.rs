//! The server: a listener, a thread with its own runtime, and a way to stop.
//!
//! HTTP/1.1 without TLS and without upgrades: for loopback, or behind a proxy that ends TLS.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use jiff::Timestamp;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use tokio_util::task::TaskTracker;

use crate::attestation;
use crate::config::{Config, Reads, UpstreamConfig};
use crate::http::{self, App, InTurn};
use crate::policy::Rules;
use crate::settlement;
use crate::store::{Heads, ServeLock, Store, StoreError};
use crate::upstream::{BuiltIn, Remote, RemoteConfigError, Upstream};

/// Connections at a time. More wait in the listener's queue.
const MAX_CONNECTIONS: usize = 512;
/// The whole of a request's header, in bytes.
const MAX_HEADER: usize = 32 << 10;
const MAX_HEADER_FIELDS: usize = 64;
/// What requests under way get when the server stops.
const FAREWELL: Duration = Duration::from_secs(5);

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The address.
    #[error("cannot listen on {address}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The public URL.
    #[error(
        "`{0}` cannot be the registry's URL: it must be http:// or https:// and a host, perhaps with a port, without a path"
    )]
    Url(String),
    /// The registry behind.
    #[error(transparent)]
    Upstream(#[from] RemoteConfigError),
    /// What was under way at the last end cannot be settled.
    #[error("{0}; until then nobody can be served")]
    Unsettled(String),
    /// Nowhere to read.
    #[error("with reads that bypass the gateway, `dl` in [upstream] must say where crates are downloaded")]
    Bypass,
    /// The index URL.
    #[error(
        "`{0}` cannot be the index URL: it must be `sparse+`, http:// or https://, a host and a path with `/` at its end"
    )]
    IndexUrl(String),
    /// The certificates for attestation.
    #[error(transparent)]
    Attestation(#[from] attestation::SettingsError),
    /// Threads could not be had.
    #[error("cannot start the server's threads")]
    Threads(#[source] io::Error),
}

/// The gateway.
#[derive(Debug)]
pub struct Gateway;

impl Gateway {
    /// Opens the store, listens, and serves from threads of its own until the returned value is stopped or dropped.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(config: Config) -> Result<Running, StartError> {
        let store = Arc::new(Store::open(&config.store)?);
        let lock = store.recover()?;
        let listening = |source| StartError::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).map_err(listening)?;
        listener.set_nonblocking(true).map_err(listening)?;
        let address = listener.local_addr().map_err(listening)?;
        let base_url = base_url(config.url.unwrap_or_else(|| format!("http://{address}")))?;
        let index_url = config.index_url.unwrap_or_else(|| format!("sparse+{base_url}/index/"));
        let index_path = index_path(&index_url, &base_url)?;
        let dl = match (config.reads, &config.upstream) {
            (Reads::Bypass, Some(UpstreamConfig { dl: Some(dl), .. })) => dl.clone(),
            (Reads::Bypass, _) => return Err(StartError::Bypass),
            _ => format!("{base_url}/api/v1/crates"),
        };
        let rules = Rules { url: index_url, window: config.window, skew: config.skew };
        let heads = Heads::open(&store, &rules.url, Timestamp::now())?;
        let upstream: Arc<dyn Upstream> = match &config.upstream {
            Some(upstream) => Arc::new(Remote::new(upstream, store.clone())?),
            None => Arc::new(BuiltIn::new(store.clone())),
        };
        let app = Arc::new(App {
            store: store.clone(),
            heads,
            upstream,
            rules,
            attestation: config.attestation.rules()?,
            server_key: store.server_key()?,
            base_url,
            dl,
            index_path,
            past_the_gateway: config.upstream.map(|upstream| upstream.addresses()).unwrap_or_default(),
            reads: config.reads,
            owners: config.owners,
            max_crate: config.max_crate,
            patience: config.patience,
            changes: TaskTracker::new(),
            in_turn: InTurn::default(),
        });
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("registry-gateway")
            .enable_all()
            .build()
            .map_err(StartError::Threads)?;
        runtime
            .block_on(settlement::settle(&app.store, app.upstream.as_ref(), Timestamp::MAX))
            .map_err(|error| StartError::Unsettled(error.to_string()))?;
        let (stop, stopped) = oneshot::channel();
        let serving = app.clone();
        let thread = thread::Builder::new()
            .name("registry-gateway".to_owned())
            .spawn(move || serve(&runtime, listener, serving, stopped, lock))
            .map_err(StartError::Threads)?;
        Ok(Running { app, address, stop: Some(stop), thread: Some(thread) })
    }
}

/// A server that serves. Dropping it stops it.
#[derive(Debug)]
pub struct Running {
    app: Arc<App>,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    /// The index URL as cargo has it: `sparse+http…/index/`.
    #[must_use]
    pub fn index_url(&self) -> &str {
        &self.app.rules.url
    }

    /// The public base URL, without a final slash.
    #[must_use]
    pub fn base_url(&self) -> &str {
        &self.app.base_url
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The store that is served: keys can be added and revoked while it is.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.app.store
    }

    /// Takes no more connections, lets requests under way end (up to 5 s), and returns when all is closed.
    pub fn stop(mut self) {
        self.shut_down();
    }

    fn shut_down(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the server's thread was reported by its own hook.
            let _ = thread.join();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shut_down();
    }
}

fn serve(
    runtime: &Runtime,
    listener: TcpListener,
    app: Arc<App>,
    stopped: oneshot::Receiver<()>,
    lock: ServeLock,
) {
    let ending = app.clone();
    runtime.block_on(async {
        match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => accept(listener, app, stopped).await,
            Err(error) => tracing::error!(%error, "the listener is unusable"),
        }
    });
    if let Err(error) = ending.heads.sign_end(&ending.store, Timestamp::now()) {
        tracing::error!(%error, "the end of the audit log is not signed");
    }
    drop(lock);
}

async fn accept(listener: tokio::net::TcpListener, app: Arc<App>, mut stopped: oneshot::Receiver<()>) {
    let (patience, changes) = (app.patience, app.changes.clone());
    let settling = tokio::spawn(settlement::keep_settling(app.store.clone(), app.upstream.clone()));
    let service = TowerToHyperService::new(http::router(app));
    let connections = GracefulShutdown::new();
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let (stream, slot) = tokio::select! {
            accepted = next_connection(&listener, &slots) => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, or a client that left before it was served.
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            _ = &mut stopped => break,
        };
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(patience)
            .max_headers(MAX_HEADER_FIELDS)
            .max_buf_size(MAX_HEADER)
            .serve_connection(TokioIo::new(stream), service.clone());
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection broke");
            }
            drop(slot);
        });
    }
    drop(listener);
    settling.abort();
    if tokio::time::timeout(FAREWELL, connections.shutdown()).await.is_err() {
        tracing::warn!("connections were cut: they did not end in time");
    }
    changes.close();
    changes.wait().await;
}

async fn next_connection(
    listener: &tokio::net::TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let slot = slots.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, slot))
}

/// Where the index is served: at the path of its URL if that is here, else where it is by default.
fn index_path(index_url: &str, base_url: &str) -> Result<String, StartError> {
    let wrong = || StartError::IndexUrl(index_url.to_owned());
    let url = index_url.strip_prefix("sparse+").ok_or_else(wrong)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:[]/+".contains(&byte);
    if !url.ends_with('/') || !url.bytes().all(plain) {
        return Err(wrong());
    }
    match url.strip_prefix(base_url) {
        Some(path) if path.starts_with('/') => Ok(path.to_owned()),
        _ => Ok("/index/".to_owned()),
    }
}

fn base_url(url: String) -> Result<String, StartError> {
    let base = url.strip_suffix('/').unwrap_or(&url);
    let host = base.strip_prefix("https://").or_else(|| base.strip_prefix("http://"));
    let plain = |text: &str| {
        !text.is_empty()
            && !text.starts_with(':')
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~:[]".contains(&byte))
    };
    match host {
        Some(host) if plain(host) => Ok(base.to_owned()),
        _ => Err(StartError::Url(url)),
    }
}

//! The server: its listeners, a thread with its own runtime, and a way to stop.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::attestation;
use crate::background::blocking;
use crate::causes::with_causes;
use crate::challenge::Issuer;
use crate::changes::{Changes, Rooms};
use crate::config::{Config, OutOfBounds, Owners, PostgresConfig, Reads};
use crate::connections::Connections;
use crate::cosigning::Witnesses;
use crate::http::{App, Registry};
use crate::http_client::AuthoritiesError;
use crate::index::IndexUrls;
use crate::limits::Limits;
use crate::listener::Listener;
use crate::metrics::Metrics;
use crate::operators::Operators;
use crate::policy::Rules;
use crate::publishers::Issuers;
use crate::staging::{self, StagingRules};
use crate::store::{Checkpoints, Heartbeat, ServeLock, SharedSettings, Store, StoreError};
use crate::store_place::StorePlace;
use crate::tls::{Tls, TlsError};
use crate::unpacking::Unpacking;
use crate::upstream::{BuiltIn, Remote, RemoteConfigError, Upstream};
use crate::verified_reads::VerifiedReads;
pub(crate) use addresses::Addresses;

mod addresses;

/// The most connections to the operators' listener.
const MOST_OPERATORS: usize = 16;
/// The time until a database that could not be used at the start is tried again.
const TRIED_AGAIN: Duration = Duration::from_secs(1);
/// How long a PostgreSQL may take at the end, when nobody asks for anything any more.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// Connections that wait to be taken; the system may have a lower limit.
#[cfg(unix)]
const MOST_KNOCKING: i32 = 4096;

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "a field's name says what it is")]
pub enum StartError {
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A setting is not allowed.
    #[error(transparent)]
    Bounds(#[from] OutOfBounds),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen { address: SocketAddr, source: io::Error },
    /// The TLS certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The public URL is not one.
    #[error(
        "`{0}` cannot be the registry's URL: it must be http:// or https:// and a host, perhaps with a port, without a path"
    )]
    Url(String),
    /// The registry behind cannot be used.
    #[error(transparent)]
    Upstream(#[from] RemoteConfigError),
    /// Witnesses cannot be asked.
    #[error("witnesses cannot be asked")]
    Witnesses(#[source] AuthoritiesError),
    /// There is no address for downloads.
    #[error("with reads that bypass the gateway, `dl` in [upstream] must say where crates are downloaded")]
    Bypass,
    /// The index URL is not one.
    #[error(
        "`{0}` cannot be the index URL: it must be `sparse+`, http:// or https://, a host and a path with `/` at its end"
    )]
    IndexUrl(String),
    /// The certificates for attestation cannot be used.
    #[error(transparent)]
    Attestation(#[from] attestation::SettingsError),
    /// Threads cannot be started.
    #[error("cannot start the server's threads")]
    Threads(#[source] io::Error),
}

impl StartError {
    /// What to do next, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Store(error) => return error.hint(),
            Self::Upstream(RemoteConfigError::Vault(error)) => return error.hint(),
            Self::Threads(_) | Self::Witnesses(_) => return None,
            Self::Listen { source, .. } => return Some(instead_of_listening(source).to_owned()),
            Self::Url(_) => {
                "set `url` (or --url) to the address that cargo's users will use, such as https://crates.example.org"
            }
            Self::Tls(_) => "give the chain of certificates and the private key, both in PEM",
            Self::Bounds(OutOfBounds { name: "listen", .. }) => {
                "put a proxy that ends TLS in front, or give a certificate with [tls]; see also `plain-http` in the configuration's comments"
            }
            Self::Bounds(_) | Self::Upstream(_) | Self::IndexUrl(_) | Self::Bypass => {
                "see the comments in the configuration that `registry-gateway init` makes"
            }
            Self::Attestation(_) => "--attestation-roots takes PEM files with certificates and nothing else",
        };
        Some(hint.to_owned())
    }
}

fn instead_of_listening(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program has this port, unless `listen` and `metrics` are the same; stop it, or choose another port"
        }
        io::ErrorKind::AddrNotAvailable => "`listen` and `metrics` must be addresses of this computer",
        io::ErrorKind::PermissionDenied => {
            "a port below 1024 needs CAP_NET_BIND_SERVICE; choose a higher one, with a proxy in front"
        }
        _ => "choose another address or port",
    }
}

/// The gateway.
#[derive(Debug)]
pub struct Gateway;

impl Gateway {
    /// Opens the store, and serves on threads of its own until the returned value is stopped or dropped.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(config: Config) -> Result<Running, StartError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let opened = runtime.map_err(StartError::Threads)?.block_on(Opened::of(config))?;
        Self::serve(opened)
    }

    /// The same with a store that is open.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn serve(Opened { config, store }: Opened) -> Result<Running, StartError> {
        let lock = store.recover()?;
        let tls = config.tls.clone().map(Tls::open).transpose()?.map(Arc::new);
        let (listener, address) = bound(config.listen)?;
        let operators = config.metrics.map(bound).transpose()?;
        let Addresses { base_url, index_url, index_path, dl } = Addresses::of(&config, address)?;
        let issuer = Issuer::new(&store.challenge_key()?, &index_url);
        let enrollment_issuer = Issuer::of_enrollments(&store.enrollment_key()?, &index_url);
        let (window, skew, challenges) = (config.window, config.skew, config.challenges);
        let shared = shared_settings(&config, &index_url, store.key_file_fingerprint()?);
        let heartbeat = store.join(&name_of_this(address), shared)?;
        let rules = Rules { url: index_url, window, skew, challenges, issuer };
        let checkpoints = Arc::new(Checkpoints::open(&store, &rules.url)?);
        let witnesses = Arc::new(Witnesses::new(&config.witness).map_err(StartError::Witnesses)?);
        witnesses.begin(&store, &checkpoints)?;
        let upstream = Arc::new(match &config.upstream {
            Some(upstream) => Upstream::Remote(Box::new(Remote::new(upstream, store.clone())?)),
            None => Upstream::BuiltIn(BuiltIn::new(store.clone())),
        });
        let is_built_in = config.upstream.is_none();
        let metrics = Arc::new(Metrics::new());
        let changes = Changes::new(store.clone(), checkpoints.clone(), upstream.clone(), metrics.clone());
        let app = Arc::new(App {
            store: store.clone(),
            checkpoints,
            witnesses,
            upstream,
            changes,
            rules,
            attestation: config.attestation.rules()?,
            issuers: Issuers::new(config.patience),
            enrollment_issuer,
            base_url,
            dl,
            index_path,
            behind: config.upstream.map(|upstream| IndexUrls::new(upstream.addresses())).unwrap_or_default(),
            staging: StagingRules::new(&config.staging, is_built_in),
            staging_rooms: Rooms::default(),
            reads: config.reads,
            owners: config.owners,
            max_crate: config.max_crate,
            limits: Limits::new(config.verifications_per_peer, config.verifications_per_key),
            unpacking: Unpacking::new(worker_threads()),
            verified_reads: VerifiedReads::default(),
            trusted_proxies: config.trusted_proxies,
            most_connections: config.connections,
            metrics,
            patience: config.patience,
        });
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(worker_threads())
            .thread_name("registry-gateway")
            .enable_all()
            .build()
            .map_err(StartError::Threads)?;
        app.changes.take_up()?;
        // Its own store answers at once. A registry behind is asked while others are served.
        if let Upstream::BuiltIn(_) = *app.upstream
            && let Err(error) = runtime.block_on(app.changes.settle_together(store.now()))
        {
            tracing::error!(%error, "the outcome of some changes is not recorded yet");
        }
        let (stop, stopped) = watch::channel(());
        let operators_address = operators.as_ref().map(|(_, address)| *address);
        let operators = operators.map(|(socket, _)| socket);
        let sockets = Sockets { registry: listener, tls: tls.clone(), operators };
        let serving = app.clone();
        let thread = thread::Builder::new()
            .name("registry-gateway".to_owned())
            .spawn(move || serve(runtime, sockets, serving, stopped, (lock, heartbeat)))
            .map_err(StartError::Threads)?;
        let (stop, thread) = (Some(stop), Some(thread));
        Ok(Running { app, address, operators: operators_address, tls, stop, thread })
    }
}

/// A store that can be served, and how it will be.
#[derive(Debug)]
pub struct Opened {
    config: Config,
    store: Arc<Store>,
}

impl Opened {
    /// Opens the store. A database that cannot be used yet is waited for: this computer may have started before that one. Whoever
    /// does not want to wait any longer drops this.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn of(mut config: Config) -> Result<Self, StartError> {
        config.has_one_key_file();
        config.is_within_bounds()?;
        let mut told = String::new();
        loop {
            tracing::debug!("trying the store's database");
            let (place, settings) = (config.store.clone(), config.postgres.clone());
            match blocking(move || opened(&place, &settings)).await {
                Ok(Err(error)) if error.is_passing() => tell(&error, &mut told),
                Ok(opened) => return Ok(Self { config, store: Arc::new(opened?) }),
                Err(panic) => return Err(StartError::Threads(io::Error::other(panic))),
            }
            tokio::time::sleep(TRIED_AGAIN).await;
        }
    }
}

fn opened(place: &StorePlace, settings: &PostgresConfig) -> Result<Store, StoreError> {
    let store = Store::at(place, settings)?;
    store.can_be_served(settings)?;
    Ok(store)
}

/// Says once why the database cannot be used, as long as that is the reason. A system has several words for one reason; what there is
/// to do is the same.
fn tell(error: &StoreError, told: &mut String) {
    let (cause, hint) = (with_causes(error), error.hint());
    let reason = hint.clone().unwrap_or_else(|| cause.clone());
    if reason != *told {
        tracing::warn!(cause, hint, "the store's database cannot be used yet; waiting for it");
        *told = reason;
    }
}

/// A running server. Dropping it stops it.
#[derive(Debug)]
pub struct Running {
    app: Arc<App>,
    address: SocketAddr,
    operators: Option<SocketAddr>,
    tls: Option<Arc<Tls>>,
    stop: Option<watch::Sender<()>>,
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

    /// Where it listens for operators, if it does.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.operators
    }

    /// The store that is served: keys can be added and revoked while it is.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.app.store
    }

    /// Reads the TLS certificate and its key again, also if their files look as before. All other settings hold until the end.
    pub fn reload(&self) {
        match &self.tls {
            Some(tls) => tls.reload(),
            None => tracing::info!(
                "there is no certificate to reload; the configuration is read only at the start"
            ),
        }
    }

    /// Accepts no more connections, lets requests under way end (up to 5 s), and returns when everything is closed.
    pub fn stop(mut self) {
        self.shut_down();
    }

    fn shut_down(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // If the server's thread has panicked, the panic hook has reported that.
            let _ = thread.join();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shut_down();
    }
}

/// The gateway as others see it that serve the same store.
fn name_of_this(address: SocketAddr) -> String {
    #[cfg(unix)]
    let computer = rustix::system::uname().nodename().to_string_lossy().into_owned();
    #[cfg(not(unix))]
    let computer = std::env::var("COMPUTERNAME").unwrap_or_default();
    format!("{computer} ({address})")
}

/// What has to be the same at all gateways that serve the store. Of the key file that is a fingerprint.
fn shared_settings(config: &Config, index_url: &str, key_file: Option<&str>) -> SharedSettings {
    let behind = config.upstream.as_ref();
    let behind = behind.and_then(|upstream| upstream.addresses().into_iter().next());
    let owners = match config.owners {
        Owners::List => "list",
        Owners::Change => "change",
    };
    let none = || "none".to_owned();
    let mut witnesses: Vec<_> = config.witness.iter().map(|witness| witness.vkey.to_string()).collect();
    witnesses.sort();
    let reads = match config.reads {
        Reads::Token => "token",
        Reads::Open => "open",
        Reads::Bypass => "bypass",
    };
    let settings = [
        ("reads", reads.to_owned()),
        ("max-crate", config.max_crate.to_string()),
        ("policy in [attestation]", config.attestation.policy.as_str().to_owned()),
        ("index-url", index_url.to_owned()),
        ("window", config.window.as_secs().to_string()),
        ("skew", config.skew.as_secs().to_string()),
        ("challenges", config.challenges.as_str().to_owned()),
        ("owners", owners.to_owned()),
        ("index in [upstream]", behind.unwrap_or_else(none)),
        ("approvals in [staging]", config.staging.approvals.to_string()),
        ("days in [staging]", config.staging.days.to_string()),
        ("witness", Some(witnesses.join(", ")).filter(|keys| !keys.is_empty()).unwrap_or_else(none)),
        ("key-file", key_file.map_or_else(none, str::to_owned)),
    ];
    settings.map(|(name, value)| (name.to_owned(), value)).into()
}

/// One thread for each processor that this process may use, so that requests are verified and hashed in parallel. There
/// are at least two, because the little that waits for the database on one of them must not keep everybody else
/// waiting.
fn worker_threads() -> usize {
    thread::available_parallelism().map_or(2, |processors| processors.get().max(2))
}

/// The sockets that are listened on.
struct Sockets {
    registry: TcpListener,
    tls: Option<Arc<Tls>>,
    operators: Option<TcpListener>,
}

fn bound(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let listening = |source| StartError::Listen { address, source };
    let listener = TcpListener::bind(address).map_err(listening)?;
    // std lets 128 wait until they are taken. Where others fill that in a burst, the next one comes in a second later.
    #[cfg(unix)]
    rustix::net::listen(&listener, MOST_KNOCKING).map_err(|error| listening(error.into()))?;
    listener.set_nonblocking(true).map_err(listening)?;
    let address = listener.local_addr().map_err(listening)?;
    Ok((listener, address))
}

/// What a folder's one server holds, or one of those that share a store.
type Held = (Option<ServeLock>, Option<Heartbeat>);

fn serve(runtime: Runtime, sockets: Sockets, app: Arc<App>, stopped: watch::Receiver<()>, held: Held) {
    let ending = app.clone();
    runtime.block_on(async {
        if let Err(error) = serve_all(sockets, app, stopped).await {
            tracing::error!(%error, "the listener cannot be used");
        }
    });
    let is_shared = ending.store.is_shared();
    let (ends, has_ended) = mpsc::channel();
    let end = move || {
        // Requests that did not end in time may still run. They end here, so that nothing is written to a folder once another
        // server may have it.
        drop(runtime);
        if let Err(error) = ending.checkpoints.keep_up(&ending.store) {
            tracing::error!(%error, "the end of the audit log could not be signed");
        }
        drop(held);
        let _ = ends.send(());
    };
    match is_shared {
        false => end(),
        true => drop(thread::spawn(end)),
    }
    // The others do without what a database that is silent is not told.
    if is_shared && has_ended.recv_timeout(LAST_WORDS).is_err() {
        tracing::warn!(
            "the store's database does not answer, and is not waited for: the end of the audit log is signed by the next gateway, \
             and the others take this one for alive for some seconds"
        );
    }
}

async fn serve_all(sockets: Sockets, app: Arc<App>, stopped: watch::Receiver<()>) -> io::Result<()> {
    // Resolves when the sender is dropped; nothing is ever sent.
    let stopped = || {
        let mut stopped = stopped.clone();
        async move { stopped.changed().await.is_err() }
    };
    if let Some(socket) = sockets.operators {
        let operators = Listener {
            socket: tokio::net::TcpListener::from_std(socket)?,
            tls: None,
            connections: Connections::new(MOST_OPERATORS, MOST_OPERATORS, Arc::new(Metrics::new())),
            proxies: Vec::new(),
            patience: app.patience,
        };
        tokio::spawn(operators.serve(Operators::new(app.store.clone(), app.metrics.clone()), stopped()));
    }
    let registry = Listener {
        socket: tokio::net::TcpListener::from_std(sockets.registry)?,
        tls: sockets.tls,
        connections: Connections::new(app.most_connections, app.most_connections / 2, app.metrics.clone()),
        proxies: app.trusted_proxies.clone(),
        patience: app.patience,
    };
    let settling = tokio::spawn(app.changes.clone().keep_settling());
    let expiring = tokio::spawn(staging::keep_expiring(app.store.clone(), app.checkpoints.clone()));
    let signing = tokio::spawn(app.checkpoints.clone().keep_signing(app.store.clone()));
    let witnesses = app.witnesses.clone();
    let asking = tokio::spawn(witnesses.keep_asking(app.store.clone(), app.checkpoints.clone()));
    registry.serve(Registry::new(app.clone()), stopped()).await;
    asking.abort();
    settling.abort();
    expiring.abort();
    signing.abort();
    app.changes.end().await;
    Ok(())
}

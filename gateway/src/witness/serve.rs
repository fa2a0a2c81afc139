//! A witness's HTTP: `POST /add-checkpoint`, and `GET /ORIGIN/checkpoint` for monitors, with the SHA-256 of the origin in
//! hexadecimal digits.
//!
//! Source: C2SP tlog-witness, "add-checkpoint" and the monitoring API. There is no TLS: nothing here is secret, and signatures show what was
//! changed on the way. What is in front of it may end TLS.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Request, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::time::timeout;
use transparency_log::Refusal;
use transparency_log::witness::MAX_REQUEST_BYTES;

use super::{NotCosigned, Witness, WitnessError};
use crate::background::blocking;
use crate::causes::with_causes;
use crate::connections::Connections;
use crate::listener::{Listener, Service, names_one_host, routed};
use crate::metrics::Metrics;

/// The most connections. A log has one at a time, but there may be a proxy that has all of them.
pub(super) const CONNECTIONS: usize = 64;
/// How long the other end may take for a request's header, for the whole of its body, and to accept an answer's next piece.
const PATIENCE: Duration = Duration::from_secs(10);
const THREADS: usize = 2;

/// A served witness. Dropping it stops it.
#[derive(Debug)]
pub struct ServedWitness {
    address: SocketAddr,
    stop: Option<watch::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl ServedWitness {
    /// How many connections there may be at a time.
    pub const CONNECTIONS: usize = CONNECTIONS;

    /// Serves on threads of its own until the returned value is dropped.
    ///
    /// # Errors
    /// [`WitnessError::Listen`], [`WitnessError::Threads`].
    pub fn start(witness: Witness, address: SocketAddr) -> Result<Self, WitnessError> {
        let listening = |source| WitnessError::Listen { address, source };
        let socket = TcpListener::bind(address).map_err(listening)?;
        socket.set_nonblocking(true).map_err(listening)?;
        let bound = socket.local_addr().map_err(listening)?;
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
        let runtime = runtime.map_err(WitnessError::Threads)?;
        let (stop, stopped) = watch::channel(());
        let thread = thread::Builder::new()
            .name("witness".to_owned())
            .spawn(move || serve(&runtime, socket, witness, stopped))
            .map_err(WitnessError::Threads)?;
        Ok(Self { address: bound, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for ServedWitness {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // If it has panicked, the panic hook has reported that.
            let _ = thread.join();
        }
    }
}

fn serve(runtime: &Runtime, socket: TcpListener, witness: Witness, mut stopped: watch::Receiver<()>) {
    runtime.block_on(async {
        let socket = match tokio::net::TcpListener::from_std(socket) {
            Ok(socket) => socket,
            Err(error) => return tracing::error!(%error, "the listener cannot be used"),
        };
        let listener = Listener {
            socket,
            tls: None,
            connections: Connections::new(CONNECTIONS, CONNECTIONS / 2, Arc::new(Metrics::new())),
            proxies: Vec::new(),
            patience: PATIENCE,
        };
        // Resolves when the sender is dropped; nothing is ever sent.
        listener.serve(Asked::new(witness), async move { stopped.changed().await.is_err() }).await;
    });
}

/// What answers the requests.
#[derive(Clone)]
struct Asked(Router);

impl Asked {
    fn new(witness: Witness) -> Self {
        let router = Router::new()
            .route("/add-checkpoint", post(add_checkpoint))
            .route("/{origin}/checkpoint", get(checkpoint));
        Self(router.with_state(Arc::new(witness)))
    }
}

impl Service for Asked {
    async fn answer(&self, _: IpAddr, request: Request<Incoming>) -> Response {
        if !names_one_host(&request) {
            return (StatusCode::BAD_REQUEST, "a request has one `Host`\n").into_response();
        }
        routed(&self.0, request).await
    }
}

async fn add_checkpoint(State(witness): State<Arc<Witness>>, request: Request<Body>) -> Response {
    let too_large = || {
        refused(StatusCode::PAYLOAD_TOO_LARGE, &format!("a request has at most {MAX_REQUEST_BYTES} bytes"))
    };
    if request.body().size_hint().lower() > MAX_REQUEST_BYTES as u64 {
        return too_large();
    }
    let body = match timeout(PATIENCE, Limited::new(request.into_body(), MAX_REQUEST_BYTES).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return too_large(),
        Ok(Err(_)) => return refused(StatusCode::BAD_REQUEST, "the request's body ended early"),
        Err(_) => return refused(StatusCode::REQUEST_TIMEOUT, "the request's body came too slowly"),
    };
    let Ok(body) = String::from_utf8(body.into()) else {
        return refused(StatusCode::BAD_REQUEST, "a request is UTF-8");
    };
    let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    match blocking(move || witness.cosign(&body, time)).await {
        Ok(Ok(lines)) => ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], lines).into_response(),
        Ok(Err(error)) => not_cosigned(&error),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn not_cosigned(error: &NotCosigned) -> Response {
    let status = match error {
        NotCosigned::Refused(Refusal::Conflict { latest }) => {
            let size = [(header::CONTENT_TYPE, "text/x.tlog.size")];
            return (StatusCode::CONFLICT, size, format!("{latest}\n")).into_response();
        }
        NotCosigned::Syntax(_) | NotCosigned::Refused(Refusal::Shrinks) => StatusCode::BAD_REQUEST,
        NotCosigned::NotSigned => StatusCode::FORBIDDEN,
        NotCosigned::UnknownLog => StatusCode::NOT_FOUND,
        NotCosigned::Refused(Refusal::Inconsistent) => StatusCode::UNPROCESSABLE_ENTITY,
        NotCosigned::Disk(_) | NotCosigned::Clock => {
            let error = with_causes(error);
            tracing::error!(error, "nothing is cosigned");
            StatusCode::INTERNAL_SERVER_ERROR
        }
    };
    refused(status, &error.to_string())
}

async fn checkpoint(State(witness): State<Arc<Witness>>, Path(origin): Path<String>) -> Response {
    match blocking(move || witness.checkpoint(&origin)).await {
        Ok(Ok(Some(note))) => ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], note).into_response(),
        Ok(Ok(None)) => refused(StatusCode::NOT_FOUND, "nothing of that log was cosigned here"),
        Ok(Err(_)) | Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn refused(status: StatusCode, why: &str) -> Response {
    (status, format!("{why}\n")).into_response()
}

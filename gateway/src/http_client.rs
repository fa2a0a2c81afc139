//! The client for requests to other servers. It speaks HTTP/1.1, and TLS by rustls with the system's certificate
//! authorities and perhaps more. It follows no redirects, uses no proxies, and does not wait without end. Connections
//! are kept for requests that only read.

mod body;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Method, Request, Uri, header};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls_platform_verifier::Verifier;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::{self, ClientConfig};
use tower_service::Service;

pub(crate) use body::AnswerBody;

/// An answer whose body is yet to come.
pub(crate) type Response = axum::http::Response<AnswerBody>;

/// Why an answer is missing or incomplete.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    /// There is no connection, so nothing was sent.
    #[error("no connection")]
    Unreachable(#[source] legacy::Error),
    /// Nothing was received for too long.
    #[error("no answer in time")]
    Silent,
    /// The connection broke.
    #[error("the connection broke")]
    Broken(#[source] Box<dyn Error + Send + Sync>),
    /// It came in a coding that nobody asked for.
    #[error("the answer is encoded as `{0}`, which was not requested")]
    Coding(String),
}

/// Why certificate authorities cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "a field's name says what it is")]
pub enum AuthoritiesError {
    /// Those in a file cannot be used.
    #[error("cannot use the certificates in {}", path.display())]
    File { path: PathBuf, source: Box<dyn Error + Send + Sync> },
    /// The system has none.
    #[error("this system has no certificate authorities; install the package ca-certificates")]
    None(#[source] rustls::Error),
}

/// How long a connection is kept that nobody uses. What was sent over it, credentials too, may still be in its buffers.
const KEPT: Duration = Duration::from_secs(15);

type Connections = legacy::Client<Connector, Body>;

/// A client with its connections.
#[derive(Debug)]
pub(crate) struct Client {
    kept: Connections,
    /// A new connection for each request.
    fresh: Connections,
    patience: Duration,
}

impl Client {
    /// A client that gives up when the other end is silent for longer than `patience`.
    ///
    /// # Errors
    /// [`AuthoritiesError`].
    pub(crate) fn new(patience: Duration, ca_file: Option<&Path>) -> Result<Self, AuthoritiesError> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        // All addresses of a name are tried within this time.
        tcp.set_connect_timeout(Some(patience / 2));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls(ca_file)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let connector = Connector { connector, patience: patience * 3 / 4 };
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(KEPT);
        let kept = builder.build(connector.clone());
        let fresh = builder.pool_max_idle_per_host(0).build(connector);
        Ok(Self { kept, fresh, patience })
    }

    /// Sends a request and waits for the answer's header. A GET has no body.
    ///
    /// The other end may close a kept connection when a request is on its way already. What changes nothing is asked again
    /// then (RFC 9112, 9.3.1); what may change something is given a connection of its own, and is sent once.
    pub(crate) async fn send(&self, mut request: Request<Body>) -> Result<Response, NoAnswer> {
        request.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if request.method() != Method::GET {
            return self.send_over(&self.fresh, request).await;
        }
        let mut again = Request::new(Body::empty());
        *again.uri_mut() = request.uri().clone();
        *again.headers_mut() = request.headers().clone();
        match self.send_over(&self.kept, request).await {
            Err(NoAnswer::Broken(_)) => self.send_over(&self.fresh, again).await,
            answer => answer,
        }
    }

    async fn send_over(
        &self,
        connections: &Connections,
        request: Request<Body>,
    ) -> Result<Response, NoAnswer> {
        let answer = if request.body().is_end_stream() {
            timeout(self.patience, connections.request(request)).await.map_err(|_| NoAnswer::Silent)
        } else {
            self.upload(connections, request).await
        };
        let (head, body) = answer?
            .map_err(|error| match error.is_connect() {
                true => NoAnswer::Unreachable(error),
                false => NoAnswer::Broken(error.into()),
            })?
            .into_parts();
        let body = AnswerBody::new(&head.headers, body, self.patience);
        Ok(Response::from_parts(head, body))
    }

    /// Sends a request with a body. The time to wait begins anew with each piece of it that the other end takes.
    async fn upload(
        &self,
        connections: &Connections,
        mut request: Request<Body>,
    ) -> Result<Result<axum::http::Response<Incoming>, legacy::Error>, NoAnswer> {
        let (taken, last) = watch::channel(Instant::now());
        let noting = move |frame| {
            taken.send_replace(Instant::now());
            frame
        };
        if let Some(length) = request.body().size_hint().exact() {
            request.headers_mut().insert(header::CONTENT_LENGTH, length.into());
        }
        let request = request.map(|body| Body::new(body.map_frame(noting)));
        let mut answer = pin!(connections.request(request));
        loop {
            let until = *last.borrow() + self.patience;
            match timeout_at(until, &mut answer).await {
                Ok(answer) => return Ok(answer),
                Err(_) if *last.borrow() + self.patience > until => {}
                Err(_) => return Err(NoAnswer::Silent),
            }
        }
    }
}

/// Resolves the name, and makes the TCP and TLS connection, within less than the request's time. If that fails, it is
/// known that nothing was sent.
#[derive(Clone, Debug)]
struct Connector {
    connector: HttpsConnector<HttpConnector>,
    patience: Duration,
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.connector.poll_ready(context)
    }

    fn call(&mut self, address: Uri) -> Self::Future {
        let connecting = timeout(self.patience, self.connector.call(address));
        Box::pin(async move { connecting.await? })
    }
}

fn tls(ca_file: Option<&Path>) -> Result<ClientConfig, AuthoritiesError> {
    let unusable = |error: rustls::Error| match ca_file {
        None => AuthoritiesError::None(error),
        Some(path) => AuthoritiesError::File { path: path.to_owned(), source: error.into() },
    };
    let authorities = ca_file.map(authorities).transpose()?.unwrap_or_default();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Verifier::new_with_extra_roots(authorities, provider.clone()).map_err(unusable)?;
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

/// The certificates in a PEM file, at least one.
///
/// # Errors
/// [`AuthoritiesError::File`].
pub(crate) fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, AuthoritiesError> {
    let unusable = |source| AuthoritiesError::File { path: path.to_owned(), source };
    let certificates = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = certificates.map_err(|error| unusable(error.into()))?;
    if certificates.is_empty() { Err(unusable("there are none, in PEM".into())) } else { Ok(certificates) }
}

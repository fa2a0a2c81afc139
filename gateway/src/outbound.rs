//! What we ask others: HTTP/1.1 over connections that are kept, TLS by rustls with the system's certificate authorities and
//! perhaps more; no redirects, no proxies, and nobody is waited for without end.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{Request, header};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls_platform_verifier::Verifier;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::{self, ClientConfig};

use crate::patience::{Patience, Silent};

/// An answer whose body is yet to come.
pub(crate) type Response = axum::http::Response<Incoming>;

/// Why there is no answer, or not all of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    /// No connection: nothing was sent.
    #[error("no connection")]
    Unreachable(#[source] legacy::Error),
    /// Nothing came for too long.
    #[error("no answer in time")]
    Silent,
    /// The connection broke.
    #[error("the connection broke")]
    Broken(#[source] Box<dyn Error + Send + Sync>),
}

/// Why there are no certificate authorities.
#[derive(Debug, thiserror::Error)]
pub enum AuthoritiesError {
    /// Those of a file.
    #[error("cannot use the certificates in {}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The system's.
    #[error("this system has no certificate authorities; install its package ca-certificates")]
    None(#[source] rustls::Error),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Client {
    pool: legacy::Client<HttpsConnector<HttpConnector>, Body>,
    patience: Duration,
}

impl Client {
    /// `patience`: how long the other end may be silent.
    ///
    /// # Errors
    /// Certificate authorities that cannot be had.
    pub(crate) fn new(patience: Duration, ca_file: Option<&Path>) -> Result<Self, AuthoritiesError> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        // Before the whole request's time is over: then it is known that nothing was sent.
        tcp.set_connect_timeout(Some(patience / 2));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls(ca_file)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let pool =
            legacy::Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
        Ok(Self { pool, patience })
    }

    /// Sends a request and waits for the answer's header.
    pub(crate) async fn send(&self, request: Request<Body>) -> Result<Response, NoAnswer> {
        let answer = if request.body().is_end_stream() {
            timeout(self.patience, self.pool.request(request)).await.map_err(|_| NoAnswer::Silent)
        } else {
            self.upload(request).await
        };
        answer?.map_err(|error| {
            if error.is_connect() { NoAnswer::Unreachable(error) } else { NoAnswer::Broken(error.into()) }
        })
    }

    /// The time to wait begins anew with each piece of the body that is taken.
    async fn upload(&self, mut request: Request<Body>) -> Result<Result<Response, legacy::Error>, NoAnswer> {
        let (taken, last) = watch::channel(Instant::now());
        let noting = move |frame| {
            taken.send_replace(Instant::now());
            frame
        };
        if let Some(length) = request.body().size_hint().exact() {
            request.headers_mut().insert(header::CONTENT_LENGTH, length.into());
        }
        let request = request.map(|body| Body::new(body.map_frame(noting)));
        let mut answer = pin!(self.pool.request(request));
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

fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, AuthoritiesError> {
    let certificates = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    certificates.map_err(|source| AuthoritiesError::File { path: path.to_owned(), source: source.into() })
}

/// A body of which each next piece comes in time.
#[derive(Debug)]
pub(crate) struct InTime {
    body: Incoming,
    patience: Patience,
}

impl InTime {
    pub(crate) fn new(body: Incoming, patience: Duration) -> Self {
        Self { body, patience: Patience::new(patience) }
    }
}

impl hyper::body::Body for InTime {
    type Data = Bytes;
    type Error = NoAnswer;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, NoAnswer>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        Poll::Ready(match ready!(self.patience.poll(context, polled)) {
            Ok(frame) => frame.map(|frame| frame.map_err(|error| NoAnswer::Broken(error.into()))),
            Err(Silent) => Some(Err(NoAnswer::Silent)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

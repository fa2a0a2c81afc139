//! Serves HTTP/1.1 on a listening socket, plain or within TLS, without upgrades. The other end may only take so long
//! for the handshake, for a request's header, and to read the next byte of an answer.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::uri::Authority;
use axum::http::{Request, Version, header};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use ipnet::IpNet;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

use crate::connections::{Connections, Place};
use crate::limits::Network;
use crate::tls::Tls;
use waiting::Waiting;

mod waiting;

/// The longest header of a request, in bytes.
const MAX_HEADER: usize = 32 << 10;
const MAX_HEADER_FIELDS: usize = 64;
/// How long requests under way may take when the server stops.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// What answers the requests.
pub(crate) trait Service: Clone + Send + Sync + 'static {
    /// Answers a request that came from an address, on a connection whose `Arc<Place>` is among its extensions.
    fn answer(&self, peer: IpAddr, request: Request<Incoming>) -> impl Future<Output = Response> + Send;
}

/// What a router answers.
pub(crate) async fn routed(router: &Router, request: Request<Incoming>) -> Response {
    let answer = TowerToHyperService::new(router.clone()).call(request.map(Body::new)).await;
    answer.unwrap_or_else(|never| match never {})
}

/// Whether a request says for which host it is, once (RFC 9112, 3.2). With HTTP/1.0 it need not.
pub(crate) fn names_one_host<B>(request: &Request<B>) -> bool {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) => request.version() < Version::HTTP_11,
        (Some(host), None) => {
            let is_host = |host: &str| !host.contains('@') && host.parse::<Authority>().is_ok();
            host.is_empty() || host.to_str().is_ok_and(is_host)
        }
        (Some(_), Some(_)) => false,
    }
}

/// A listening socket, and how to treat its connections.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) socket: TcpListener,
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) connections: Arc<Connections>,
    /// Trusted proxies, whose connections are not limited by address.
    pub(crate) proxies: Vec<IpNet>,
    pub(crate) patience: Duration,
}

impl Listener {
    /// Serves until `stopped` resolves. Then it accepts no more connections, and lets requests under way end within
    /// five seconds.
    pub(crate) async fn serve(self, service: impl Service, stopped: impl Future) {
        let graceful = GracefulShutdown::new();
        let mut stopped = std::pin::pin!(stopped);
        let mut waiting = Waiting::new(self.connections.most());
        if let Some(tls) = &self.tls {
            tokio::spawn(tls.clone().watch());
        }
        loop {
            let (stream, accepted) = tokio::select! {
                accepted = self.next(&mut waiting) => match accepted {
                    Ok(Some(accepted)) => accepted,
                    Ok(None) => continue,
                    Err(error) => {
                        // There are no file descriptors left, or the client has gone already.
                        tracing::warn!(%error, "a connection was not accepted");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        continue;
                    }
                },
                _ = &mut stopped => break,
            };
            let acceptor = self.tls.as_ref().map(|tls| tls.acceptor());
            let connection = Connection {
                service: service.clone(),
                place: accepted.place,
                peer: accepted.peer,
                patience: self.patience,
                watcher: graceful.watcher(),
            };
            tokio::spawn(async move {
                let place = connection.place.clone();
                let served = async {
                    let stream = place.watch(stream, connection.patience);
                    match acceptor {
                        None => connection.serve(stream).await,
                        Some(acceptor) => {
                            let patience = connection.patience;
                            match tokio::time::timeout(patience, acceptor.accept(stream)).await {
                                Ok(Ok(stream)) => connection.serve(stream).await,
                                Ok(Err(error)) => tracing::debug!(%error, "the TLS handshake failed"),
                                Err(_) => tracing::debug!("the TLS handshake took too long"),
                            }
                        }
                    }
                };
                tokio::select! {
                    () = served => {}
                    () = place.lost() => tracing::debug!("a connection made room for another"),
                }
            });
            // A new client gets to send its request before the next ones come: until then they may take its place.
            tokio::task::yield_now().await;
        }
        drop(self.socket);
        if tokio::time::timeout(SHUTDOWN_GRACE, graceful.shutdown()).await.is_err() {
            tracing::warn!("closed connections that did not end in time");
        }
    }

    /// The next one of those who wait. `None` if the address has as many connections as it may have.
    async fn next(&self, waiting: &mut Waiting<Knock>) -> io::Result<Option<(TcpStream, Accepted)>> {
        self.let_in(waiting).await?;
        let Some(Knock { stream, peer, is_proxy }) = waiting.next() else { return Ok(None) };
        // Without it, the second write of an answer waits until the client acknowledges the first (RFC 896), which a client
        // that has nothing to send delays for 40 ms (RFC 1122, 4.2.3.2). It may fail for a client that has gone already.
        let _ = stream.set_nodelay(true);
        let place = self.connections.place(peer, is_proxy).await;
        Ok(place.map(|place| (stream, Accepted { place: Arc::new(place), peer })))
    }

    /// Lets in all who have knocked, so that somebody's turn does not depend on how many came before. If nobody waits, somebody
    /// is waited for.
    async fn let_in(&self, waiting: &mut Waiting<Knock>) -> io::Result<()> {
        if waiting.is_empty() {
            self.add(waiting, self.socket.accept().await?);
        }
        // There are pauses for others: tokio lets one task do so much and no more.
        while waiting.has_room()
            && let Poll::Ready(Ok(knock)) =
                poll_fn(|context| Poll::Ready(self.socket.poll_accept(context))).await
        {
            self.add(waiting, knock);
        }
        Ok(())
    }

    fn add(&self, waiting: &mut Waiting<Knock>, (stream, address): (TcpStream, SocketAddr)) {
        let peer = address.ip().to_canonical();
        let is_proxy = self.proxies.iter().any(|proxies| proxies.contains(&peer));
        waiting.add((!is_proxy).then(|| Network::of(peer)), Knock { stream, peer, is_proxy });
    }
}

/// A connection that was accepted and has no place yet.
struct Knock {
    stream: TcpStream,
    peer: IpAddr,
    is_proxy: bool,
}

struct Accepted {
    place: Arc<Place>,
    peer: IpAddr,
}

struct Connection<S> {
    service: S,
    place: Arc<Place>,
    peer: IpAddr,
    patience: Duration,
    watcher: Watcher,
}

impl<S: Service> Connection<S> {
    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let Self { service, place, peer, patience, watcher } = self;
        let service = service_fn(move |mut request: Request<Incoming>| {
            let (service, place) = (service.clone(), place.clone());
            request.extensions_mut().insert(place.clone());
            async move {
                // Strangers' requests come one after the other, those that are sent at once too. In between it is the turn of
                // all other connections.
                if place.is_strange() {
                    tokio::task::yield_now().await;
                }
                let work = place.work();
                let answer = service.answer(peer, request).await;
                drop(work);
                Ok::<_, Infallible>(answer)
            }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(patience)
            .max_headers(MAX_HEADER_FIELDS)
            .max_buf_size(MAX_HEADER)
            .serve_connection(TokioIo::new(stream), service);
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(%error, "a connection broke");
        }
    }
}

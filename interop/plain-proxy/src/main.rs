//! `plain-proxy LISTEN UPSTREAM`: passes every request to `http://UPSTREAM` and every answer back, and looks at none. Both
//! are an address and a port.
//!
//! hyper alone on both sides, with connections kept open: what a gateway costs beyond this is its own work.

use std::process::ExitCode;

use http_body_util::{Either, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, HOST, HeaderName, HeaderValue, UPGRADE};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};

type Upstream = Client<HttpConnector, Incoming>;
type Error = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, upstream] = &arguments[..] else {
        eprintln!("usage: plain-proxy LISTEN UPSTREAM");
        return ExitCode::from(2);
    };
    match serve(listen, upstream).await {
        Ok(never) => never,
        Err(error) => {
            eprintln!("plain-proxy: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(listen: &str, upstream: &str) -> Result<ExitCode, Error> {
    let listener = TcpListener::bind(listen).await?;
    let upstream: HeaderValue = upstream.parse()?;
    let client = Client::builder(TokioExecutor::new()).build_http();
    // Port 0 takes a free one; who started it wants to know which.
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(serve_connection(stream, client.clone(), upstream.clone()));
    }
}

async fn serve_connection(stream: TcpStream, client: Upstream, upstream: HeaderValue) {
    let service = service_fn(|request| pass_on(request, &client, &upstream));
    // A client that leaves is no event here.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn pass_on(
    mut request: Request<Incoming>,
    client: &Upstream,
    upstream: &HeaderValue,
) -> Result<Response<Either<Incoming, Empty<Bytes>>>, Error> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = Uri::try_from(format!("http://{}{path}", upstream.to_str()?))?;
    request.headers_mut().insert(HOST, upstream.clone());
    // They are about the connection to us (RFC 9110, 7.6.1): cargo offers to go on in HTTP/2.
    for name in [CONNECTION, UPGRADE, HeaderName::from_static("http2-settings")] {
        request.headers_mut().remove(name);
    }
    match client.request(request).await {
        Ok(answer) => Ok(answer.map(Either::Left)),
        Err(_) => {
            let mut answer = Response::new(Either::Right(Empty::new()));
            *answer.status_mut() = StatusCode::BAD_GATEWAY;
            Ok(answer)
        }
    }
}

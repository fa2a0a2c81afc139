//! Index reads a second, in turns: the upstream itself, a plain reverse proxy made of the same hyper in front of it, and
//! the gateway in front of it with one read token that it remembers. All get the same requests, and all share this
//! process and its cores with the clients, so only the ratios mean anything. Then the memory of the whole process with
//! 200 connections open.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Instant;

use asymmetric_token::Claims;
use http_body_util::BodyExt as _;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use jiff::Timestamp;

use crate::front::{Body, Front, serve, whole};

const CLIENTS: usize = 4;
const REQUESTS: usize = 250;
const ROUNDS: usize = 60;
const PATH: &str = "/index/he/ll/hello";
const CONNECTIONS: usize = 200;

/// Prints the table.
pub(crate) fn measure() {
    let upstream = serve("upstream", |_| async { Response::new(whole(line())) });
    let client: Client<HttpConnector, Body> = Client::builder(TokioExecutor::new()).build_http();
    let proxy = serve("proxy", move |request| forwarded(client.clone(), upstream, request));
    let front = Front::of(upstream);
    let token = front.token(&Claims::read(Timestamp::now()));
    let contenders = [
        ("the upstream itself", upstream),
        ("a plain hyper reverse proxy", proxy),
        ("registry-gateway, token remembered", front.address()),
    ];
    let mut rounds = Vec::new();
    for _ in 0..=ROUNDS {
        rounds.push(contenders.map(|(_, address)| rate(address, &token)));
    }
    // The first one opens connections and fills caches.
    rounds.remove(0);
    println!("Index reads a second over {CLIENTS} connections ({ROUNDS} rounds in turns, medians)");
    for (at, (name, _)) in contenders.iter().enumerate() {
        println!("   {:>7.0} /s  {name}", median(rounds.iter().map(|rates| rates[at])));
    }
    println!(
        "registry-gateway has {:.0} % of the proxy's rate (median of the rounds; aim: 80 at least)\n",
        100.0 * median(rounds.iter().map(|rates| rates[2] / rates[1]))
    );
    let _open: Vec<_> = (0..CONNECTIONS).map(|_| asked(front.address(), &token)).collect();
    println!(
        "{} kB resident with {CONNECTIONS} connections open, clients, proxy and upstream included (aim: 65536)",
        resident()
    );
}

pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// What an index says of a crate with some versions.
fn line() -> Bytes {
    let line = format!(
        r#"{{"name":"hello","vers":"1.0.0","deps":[],"cksum":"{}","features":{{}},"yanked":false}}"#,
        "ab".repeat(32)
    );
    Bytes::from(format!("{line}\n").repeat(8))
}

async fn forwarded(
    client: Client<HttpConnector, Body>,
    upstream: SocketAddr,
    request: Request<Incoming>,
) -> Response<Body> {
    let (mut parts, body) = request.into_parts();
    parts.uri = format!("http://{upstream}{}", parts.uri.path()).parse().expect("a path");
    let answer = client.request(Request::from_parts(parts, body.boxed())).await.expect("an answer");
    answer.map(|body| body.boxed())
}

fn rate(address: SocketAddr, token: &str) -> f64 {
    rate_of(address, PATH, token, [CLIENTS, REQUESTS])
}

/// How often a second a path is answered, over so many connections, each of which asks so often.
pub(crate) fn rate_of(address: SocketAddr, path: &str, token: &str, [clients, requests]: [usize; 2]) -> f64 {
    let started = Instant::now();
    thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                let mut stream = asked_for(address, path, token);
                for _ in 1..requests {
                    ask_for(&mut stream, path, token);
                }
            });
        }
    });
    (clients * requests) as f64 / started.elapsed().as_secs_f64()
}

/// A connection on which one request was answered.
fn asked(address: SocketAddr, token: &str) -> BufReader<TcpStream> {
    asked_for(address, PATH, token)
}

/// The same for a path.
pub(crate) fn asked_for(address: SocketAddr, path: &str, token: &str) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_nodelay(true).expect("a socket");
    let mut stream = BufReader::new(stream);
    ask_for(&mut stream, path, token);
    stream
}

/// One request, and its whole answer.
pub(crate) fn ask_for(stream: &mut BufReader<TcpStream>, path: &str, token: &str) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: {token}\r\n\r\n");
    stream.get_mut().write_all(request.as_bytes()).expect("sent");
    let (mut line, mut length) = (String::new(), 0);
    let mut first = true;
    loop {
        line.clear();
        stream.read_line(&mut line).expect("an answer");
        assert!(!first || line.starts_with("HTTP/1.1 200"), "{line}");
        first = false;
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().expect("a number");
            }
            Some(_) => {}
            None if line.starts_with("HTTP/") => {}
            None => break,
        }
    }
    assert!(length > 0, "an answer without a length");
    stream.read_exact(&mut vec![0; length]).expect("the body");
}

pub(crate) fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

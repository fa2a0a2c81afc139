//! Who holds connections, and whom that keeps out: nobody.
// Only there 127.0.0.2 and so on are this computer without further ado.
#![cfg(target_os = "linux")]

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use asymmetric_token::Claims;
use jiff::Timestamp;
use registry_gateway::Config;
use registry_gateway::config::Reads;
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

use crate::common::bearer_registry::Say;
use crate::common::front::Front;
use crate::common::{Fixture, Response, SoftwareKey, Upload};

const PLACES: usize = 128;
/// For one address; more than its share where there are twenty.
const MOST_OF_ONE: usize = PLACES / 2;
/// Whoever is kept out by one silent request waits for longer than that.
const PATIENCE: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(10);

/// A connection that comes from 127.0.0.`from`.
fn connection(to: SocketAddr, from: u8) -> Option<TcpStream> {
    let SocketAddr::V4(to) = to else { panic!("{to} is not IPv4") };
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, from), 0)).unwrap();
    connect(&socket, &to).ok()?;
    Some(socket.into())
}

/// From some addresses: more connections than there are places, each with this request. In each round, those that were
/// answered or closed are made anew; then somebody else has a turn.
fn hold(to: SocketAddr, addresses: u8, request: &[u8], rounds: usize, turn: &Barrier) {
    let each = MOST_OF_ONE.min(2 * PLACES / usize::from(addresses));
    let begun = |from| {
        let mut stream = connection(to, from)?;
        stream.write_all(request).ok()?;
        stream.set_nonblocking(true).ok()?;
        Some(stream)
    };
    let mut held: Vec<_> = (0..addresses).flat_map(|n| (0..each).map(move |_| (10 + n, None))).collect();
    for _ in 0..rounds {
        for (from, stream) in &mut held {
            let waits = stream.as_mut().is_some_and(|stream: &mut TcpStream| {
                stream.read(&mut [0; 512]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
            });
            if !waits {
                *stream = begun(*from);
            }
        }
        turn.wait();
    }
    // They are held until the last one was served.
    turn.wait();
}

fn gateway(change: impl FnOnce(&mut Config)) -> Fixture {
    Fixture::with(|config| {
        (config.connections, config.patience) = (PLACES, PATIENCE);
        config.metrics = Some("127.0.0.1:0".parse().unwrap());
        change(config);
    })
}

fn connections(fixture: &Fixture) -> usize {
    metric(fixture, "connections")
}

fn metric(fixture: &Fixture, name: &str) -> usize {
    let mut stream = TcpStream::connect(fixture.running().metrics_address().unwrap()).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let text = Response::read(stream).text();
    let name = format!("registry_gateway_{name} ");
    text.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
}

/// Somebody else's request, answered soon.
fn read(fixture: &Fixture) -> Result<(), String> {
    let begun = Instant::now();
    let mut stream = connection(fixture.running().address(), 2).ok_or("no connection")?;
    stream.set_read_timeout(Some(SOON)).unwrap();
    let header = format!(
        "GET /index/config.json HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nConnection: close\r\n\r\n",
        fixture.read_token()
    );
    stream.write_all(header.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let is_answered = answer.starts_with(b"HTTP/1.1 200 ");
    is_answered.then_some(()).ok_or_else(|| format!("{read:?} after {:?}", begun.elapsed()))
}

/// What can be begun and not ended without a token, on every route.
fn unfinished(fixture: &Fixture) -> Vec<String> {
    let stranger = SoftwareKey::new(9);
    let forged = stranger.token(fixture.url(), &Claims::read(Timestamp::now()));
    let mut requests = vec![
        String::new(),
        "GET /index/config.json HTTP/1.1\r\nX: ".to_owned(),
        "POST /api/v1/enroll HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{".to_owned(),
        "POST /api/v1/enroll HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
    ];
    for (method, path) in [
        ("PUT", "/api/v1/crates/new"),
        ("DELETE", "/api/v1/crates/hello/1.0.0/yank"),
        ("PUT", "/api/v1/crates/hello/1.0.0/unyank"),
        ("GET", "/api/v1/crates/hello/owners"),
        ("PUT", "/api/v1/crates/hello/owners"),
        ("DELETE", "/api/v1/crates/hello/owners"),
        ("GET", "/api/v1/crates/hello/1.0.0/download"),
        ("GET", "/api/v1/crates/hello/1.0.0/proof"),
        ("GET", "/api/v1/crates?q=a"),
        ("GET", "/api/v1/enroll"),
        ("GET", "/log/checkpoint"),
        ("GET", "/log/tile/0/000.p/1"),
        ("GET", "/log/leaves/0"),
        ("GET", "/me"),
        ("POST", "/me"),
        ("GET", "/index/config.json"),
        ("GET", "/index/he/ll/hello"),
        ("POST", "/no/such/thing"),
        ("BREW", "/a%20b"),
    ] {
        for length in ["Content-Length: 1000000", "Transfer-Encoding: chunked"] {
            requests.push(format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{length}\r\n\r\n"));
        }
        let authorization = format!("Authorization: {forged}\r\nContent-Length: 1000000");
        requests.push(format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{authorization}\r\n\r\n"));
    }
    requests
}

/// While these requests are held, others are served.
#[track_caller]
fn keep_nobody_out(fixture: &Fixture, addresses: u8, requests: &[&str], rounds: usize) {
    let (to, turn) = (fixture.running().address(), &Barrier::new(requests.len() + 1));
    let served = thread::scope(|scope| {
        for request in requests {
            scope.spawn(move || hold(to, addresses, request.as_bytes(), rounds, turn));
        }
        let served = (0..rounds).map(|_| {
            turn.wait();
            // Asked and answered, so that what has just arrived is read, too.
            connections(fixture);
            read(fixture)
        });
        let served: Vec<_> = served.collect();
        turn.wait();
        served
    });
    for served in served {
        served.unwrap_or_else(|failed| panic!("{failed}: {requests:?}"));
    }
}

/// Those who were here before have gone.
fn is_empty(fixture: &Fixture) {
    while connections(fixture) > 0 {
        thread::yield_now();
    }
}

#[test]
fn two_addresses_keep_nobody_out_by_any_request() {
    let fixture = gateway(|_| {});
    for request in unfinished(&fixture) {
        is_empty(&fixture);
        keep_nobody_out(&fixture, 2, &[&request], 3);
    }
    is_empty(&fixture);
}

#[test]
fn twenty_addresses_keep_nobody_out() {
    let fixture = gateway(|_| {});
    let all = unfinished(&fixture);
    keep_nobody_out(&fixture, 20, &[&all[1], &all[2], &all[4]], 20);
}

/// Who comes after many others of one address does not wait for a place for each of them: most of them are turned away at once.
#[test]
fn an_address_that_knocks_too_often_is_turned_away() {
    let front = Front::with(|config| {
        (config.connections, config.patience) = (4, PATIENCE);
        config.metrics = Some("127.0.0.1:0".parse().unwrap());
    });
    let (begun, has_begun) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let may_go_on = Mutex::new(may_go_on);
    let slowly = Say::Ask(Arc::new(move |_| {
        begun.send(()).unwrap();
        may_go_on.lock().unwrap().recv_timeout(SOON).unwrap();
        Say::ok("{}")
    }));
    front.registry.on("GET /index/he/ll/hello", slowly);
    let to = front.gateway.running().address();
    let request = |path: &str, from: u8| {
        let mut stream = connection(to, from).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let token = front.gateway.read_token();
        let header =
            format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nConnection: close\r\n\r\n");
        stream.write_all(header.as_bytes()).unwrap();
        stream
    };
    let at_work: Vec<_> = (2..6).map(|from| request("/index/he/ll/hello", from)).collect();
    for _ in &at_work {
        has_begun.recv_timeout(SOON).unwrap();
    }
    let _many: Vec<_> = (0..300).map(|_| connection(to, 10).unwrap()).collect();
    for _ in &at_work {
        go_on.send(()).unwrap();
    }
    for stream in at_work {
        Response::read(stream).assert_ok();
    }
    Response::read(request("/index/config.json", 6)).assert_ok();
    let places = metric(&front.gateway, "connections_total");
    assert!(places < 60, "{places} others had a place");
}

/// As many connections as there are places, from two addresses, each with this request.
fn full(fixture: &Fixture, request: &str) -> Vec<TcpStream> {
    let to = fixture.running().address();
    let held: Vec<_> = (0..PLACES as u8).filter_map(|n| connection(to, 10 + n % 2)).collect();
    for mut stream in &held {
        stream.write_all(request.as_bytes()).unwrap();
    }
    while connections(fixture) < PLACES {}
    held
}

/// A proxy passes on what it gets as it gets it: all connections are the proxy's, and strangers have them all.
#[test]
fn strangers_behind_a_proxy_keep_nobody_out() {
    let fixture = gateway(|config| config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()]);
    for path in ["POST /api/v1/enroll", "PUT /api/v1/crates/new"] {
        let request = format!(
            "{path} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.1\r\nContent-Length: 1000\r\n\r\n{{"
        );
        is_empty(&fixture);
        let _held = full(&fixture, &request);
        for _ in 0..10 {
            read(&fixture).unwrap();
        }
    }
}

#[test]
fn answers_that_nobody_reads_keep_nobody_out() {
    let fixture = gateway(|config| config.reads = Reads::Open);
    fixture.publish(&Upload::new("hello", "1.0.0")).assert_ok();
    let request = "GET /api/v1/crates/hello/1.0.0/download HTTP/1.1\r\nHost: x\r\n\r\n";
    let _held = full(&fixture, &request.repeat(64));
    for _ in 0..10 {
        read(&fixture).unwrap();
    }
}

/// An upload with a good token holds its place against all who come without one.
#[test]
fn an_upload_is_not_pushed_out() {
    let fixture = gateway(|_| {});
    let upload = Upload::new("hello", "1.0.0");
    let (token, body) = (fixture.publish_token(&upload), upload.body());
    let mut stream = connection(fixture.running().address(), 2).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let header = format!(
        "PUT /api/v1/crates/new HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nContent-Length: {}\r\n\
         Expect: 100-continue\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(header.as_bytes()).unwrap();
    let mut leave = [0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
    stream.read_exact(&mut leave).unwrap();
    let request = "POST /api/v1/enroll HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n";
    keep_nobody_out(&fixture, 20, &[request], 20);
    stream.write_all(&body).unwrap();
    Response::read(stream).assert_ok();
}

//! A publish of 10 MB, in turns: straight to the upstream, and through the gateway in front of it.
//!
//! The upstream does the least that a registry can do with a crate: it takes the body, hashes the crate file, and puts it
//! into a folder, fsynced. A real one also unpacks it, as the gateway does. The gateway must have the whole file before
//! it lets the first byte pass, since what was signed is the file's hash; so over loopback, where receiving costs next
//! to nothing, the bytes go twice where they went once, and every millisecond shows. Over a line as publishers have one,
//! most of the gateway's work is done while the next piece is on its way.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use asymmetric_token::Claims;
use aws_lc_rs::digest::{SHA256, digest};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::AUTHORIZATION;
use hyper::{Request, Response, StatusCode};
use jiff::Timestamp;

use crate::front::{Body, CREDENTIAL, Front, folder, remove, serve, verdict, whole};
use crate::package::Package;

const ROUNDS: usize = 21;
/// Bytes of the file that is packed; about 10 MB come of it.
const UNPACKED: usize = 18 << 20;
const PIECE: usize = 16 << 10;

/// How fast the client sends.
const LINES: [(&str, Option<f64>); 2] =
    [("over loopback, as fast as it takes them", None), ("over a line of 100 Mbit/s", Some(100e6 / 8.0))];

/// Prints the table.
pub(crate) fn measure() {
    let kept = folder("kept");
    let upstream = {
        let kept = kept.clone();
        serve("upstream", move |request| published(kept.clone(), request))
    };
    let front = Front::of(upstream);
    let package = Package::new("large", "1.0.0", UNPACKED);
    let body = package.body();
    println!(
        "A publish of {:.1} MB that unpack to {:.1} MB ({ROUNDS} rounds in turns, medians)",
        package.file.len() as f64 / 1e6,
        UNPACKED as f64 / 1e6
    );
    for (line, bytes_per_second) in LINES {
        let mut times = [Vec::new(), Vec::new()];
        for round in 0..=ROUNDS {
            let token = front.token(&Claims::mutate(Timestamp::now(), package.mutation()));
            let direct = put(upstream, CREDENTIAL, &body, bytes_per_second);
            let through = put(front.address(), &token, &body, bytes_per_second);
            if round > 0 {
                times[0].push(direct);
                times[1].push(through);
            }
        }
        let [direct, through] = times.map(|mut times| {
            times.sort();
            times[times.len() / 2].as_secs_f64() * 1e3
        });
        println!("   {line}:");
        println!("   {direct:>7.1} ms  straight to the upstream");
        println!(
            "   {through:>7.1} ms  through registry-gateway: {:.2} times as long (aim: 1.15 at most){}",
            through / direct,
            verdict(through / direct <= 1.15)
        );
    }
    println!();
    remove(&kept);
}

/// From the connection to the end of the answer.
pub(crate) fn put(address: SocketAddr, token: &str, body: &[u8], bytes_per_second: Option<f64>) -> Duration {
    let started = Instant::now();
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_nodelay(true).expect("a socket");
    let head = format!(
        "PUT /api/v1/crates/new HTTP/1.1\r\nHost: bench\r\nAuthorization: {token}\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("sent");
    for (n, piece) in body.chunks(PIECE).enumerate() {
        if let Some(rate) = bytes_per_second {
            let due = Duration::from_secs_f64((n * PIECE) as f64 / rate);
            thread::sleep(due.saturating_sub(started.elapsed()));
        }
        stream.write_all(piece).expect("sent");
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    started.elapsed()
}

/// What a registry answers that takes Alice's bearer token.
pub(crate) async fn published(kept: PathBuf, request: Request<Incoming>) -> Response<Body> {
    if request.headers().get(AUTHORIZATION).is_none_or(|value| value != CREDENTIAL) {
        let mut refused = Response::new(whole("{}"));
        *refused.status_mut() = StatusCode::UNAUTHORIZED;
        return refused;
    }
    let body = request.into_body().collect().await.expect("a body").to_bytes();
    let keeping = tokio::task::spawn_blocking(move || keep(&kept, &body));
    keeping.await.expect("kept");
    Response::new(whole(r#"{"warnings":{"invalid_categories":[],"invalid_badges":[],"other":[]}}"#))
}

fn keep(folder: &Path, body: &[u8]) {
    let length = |at: usize| u32::from_le_bytes(body[at..at + 4].try_into().expect("4 bytes")) as usize;
    let json = length(0);
    let file = &body[8 + json..];
    assert_eq!(length(4 + json), file.len());
    std::hint::black_box(digest(&SHA256, file));
    let path = folder.join("last.crate");
    let mut new = fs::File::create(path.with_extension("new")).expect("a file");
    new.write_all(file).and_then(|()| new.sync_all()).expect("room on the disk");
    fs::rename(path.with_extension("new"), &path)
        .and_then(|()| fs::File::open(folder)?.sync_all())
        .expect("kept");
}

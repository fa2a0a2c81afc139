//! Index reads a second, in turns: the upstream itself, a plain reverse proxy made of the same hyper in front of it, and
//! the gateway in front of it with one read token that it remembers. All share this process and its cores with the
//! clients, so only the ratios mean anything. Then the memory of the whole process with 200 connections open.

use std::convert::Infallible;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::thread;
use std::time::{Duration, Instant};

use asymmetric_token::{Claims, Footer, Prepared, PublicKey};
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use jiff::Timestamp;
use p384::ecdsa::signature::hazmat::PrehashSigner as _;
use p384::ecdsa::{Signature, SigningKey};
use registry_gateway::config::UpstreamConfig;
use registry_gateway::keys::{NewKey, Role};
use registry_gateway::vault::Vault;
use registry_gateway::{Config, Gateway, Running};

const CLIENTS: usize = 4;
const REQUESTS: usize = 500;
const ROUNDS: usize = 15;
const PATH: &str = "/index/he/ll/hello";
const CONNECTIONS: usize = 200;

/// Prints the table.
pub(crate) fn measure() {
    let upstream = serve(|_| async { Response::new(whole(line())) });
    let client: Client<HttpConnector, BoxBody<Bytes, hyper::Error>> =
        Client::builder(TokioExecutor::new()).build_http();
    let proxy = serve(move |request| forwarded(client.clone(), upstream, request));
    let folder = std::env::temp_dir().join(format!("gateway-bench-{}", std::process::id()));
    let (gateway, token) = gateway(&folder, upstream);
    let contenders = [
        ("the upstream itself", upstream, None),
        ("a plain hyper reverse proxy", proxy, None),
        ("registry-gateway, token remembered", gateway.address(), Some(token.as_str())),
    ];
    let mut rates = contenders.map(|_| Vec::new());
    for round in 0..=ROUNDS {
        for ((_, address, token), rates) in contenders.iter().zip(&mut rates) {
            let rate = rate(*address, *token);
            if round > 0 {
                rates.push(rate);
            }
        }
    }
    println!("Index reads a second over {CLIENTS} connections ({ROUNDS} rounds in turns, medians)");
    let medians = rates.map(|mut rates| {
        rates.sort_by(f64::total_cmp);
        rates[rates.len() / 2]
    });
    for ((name, ..), median) in contenders.iter().zip(medians) {
        println!("   {median:>7.0} /s  {name}");
    }
    println!(
        "registry-gateway has {:.0} % of the proxy's rate (aim: 80 at least)\n",
        100.0 * medians[2] / medians[1]
    );
    let open: Vec<_> = (0..CONNECTIONS).map(|_| asked(gateway.address(), Some(&token))).collect();
    println!(
        "{} kB resident with {CONNECTIONS} connections open, clients, proxy and upstream included (aim: 65536)",
        resident()
    );
    drop(open);
    gateway.stop();
    let _ = fs::remove_dir_all(folder);
}

/// What an index says of a crate with some versions.
fn line() -> Bytes {
    let line = format!(
        r#"{{"name":"hello","vers":"1.0.0","deps":[],"cksum":"{}","features":{{}},"yanked":false}}"#,
        "ab".repeat(32)
    );
    Bytes::from(format!("{line}\n").repeat(8))
}

fn whole(bytes: Bytes) -> BoxBody<Bytes, hyper::Error> {
    Full::new(bytes).map_err(|never: Infallible| match never {}).boxed()
}

async fn forwarded(
    client: Client<HttpConnector, BoxBody<Bytes, hyper::Error>>,
    upstream: SocketAddr,
    request: Request<Incoming>,
) -> Response<BoxBody<Bytes, hyper::Error>> {
    let (mut parts, body) = request.into_parts();
    parts.uri = format!("http://{upstream}{}", parts.uri.path()).parse().expect("a path");
    let answer = client.request(Request::from_parts(parts, body.boxed())).await.expect("an answer");
    answer.map(|body| body.boxed())
}

/// A server with as many threads as the gateway has. It ends with the process.
fn serve<F>(answer: impl Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static) -> SocketAddr
where
    F: Future<Output = Response<BoxBody<Bytes, hyper::Error>>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a socket");
    let address = listener.local_addr().expect("bound");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("threads");
    thread::spawn(move || {
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                let answer = answer.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| {
                        let answer = answer(request);
                        async move { Ok::<_, Infallible>(answer.await) }
                    });
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
    });
    address
}

/// In front of the upstream, with a read token of Alice's.
fn gateway(folder: &std::path::Path, upstream: SocketAddr) -> (Running, String) {
    fs::create_dir_all(folder).expect("a folder");
    let key_file = folder.join("key");
    fs::write(&key_file, Vault::new_key().expect("random bytes").as_bytes()).expect("a file");
    fs::set_permissions(&key_file, fs::Permissions::from_mode(0o600)).expect("ours");
    let mut config = Config::new(folder.join("store"));
    config.upstream = Some(UpstreamConfig {
        index: format!("http://{upstream}/index/"),
        api: Some(format!("http://{upstream}/")),
        dl: Some(format!("http://{upstream}/dl")),
        also_known_as: Vec::new(),
        key_file: key_file.clone(),
        ca_file: None,
        timeout: Duration::from_secs(5),
    });
    let gateway = Gateway::start(config).expect("a gateway");
    let secret = SigningKey::from_slice(&[7; 48]).expect("a scalar below the group order");
    let point = secret.verifying_key().to_sec1_point(true);
    let public = PublicKey::from_sec1(point.as_bytes()).expect("a point of the curve");
    let alice: registry_gateway::keys::User = "alice".parse().expect("a name");
    let new = NewKey { public, user: alice.clone(), role: Role::Read, label: None, subject: None };
    gateway.store().add_key(new, Timestamp::now()).expect("a new key");
    let sealed = Vault::open(&key_file).and_then(|vault| vault.seal(&alice, "alices")).expect("sealed");
    gateway.store().set_credential(&alice, &sealed).expect("kept");
    let claims = Claims::read(Timestamp::now());
    let footer = Footer::new(gateway.index_url(), public.id());
    let prepared = Prepared::new(&public, &claims, &footer).expect("printable claims");
    let signature: Signature = secret.sign_prehash(prepared.digest()).expect("48 bytes");
    let token = prepared.finish(&signature.to_bytes().into()).expect("its own signature");
    (gateway, token)
}

fn rate(address: SocketAddr, token: Option<&str>) -> f64 {
    let started = Instant::now();
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut stream = asked(address, token);
                for _ in 1..REQUESTS {
                    ask(&mut stream, token);
                }
            });
        }
    });
    (CLIENTS * REQUESTS) as f64 / started.elapsed().as_secs_f64()
}

/// A connection on which one request was answered.
fn asked(address: SocketAddr, token: Option<&str>) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_nodelay(true).expect("a socket");
    let mut stream = BufReader::new(stream);
    ask(&mut stream, token);
    stream
}

fn ask(stream: &mut BufReader<TcpStream>, token: Option<&str>) {
    let authorization = token.map(|token| format!("Authorization: {token}\r\n")).unwrap_or_default();
    let request = format!("GET {PATH} HTTP/1.1\r\nHost: bench\r\n{authorization}\r\n");
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

fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

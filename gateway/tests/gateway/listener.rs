//! Who gets a connection, for how long, and with which certificate.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use registry_gateway::{Config, Gateway, TlsFiles};
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, pki_types};

use crate::common::{Fixture, Response, Upload, crate_file};

const LIMIT: Duration = Duration::from_secs(20);

/// Has the other end closed it? Waits for that.
fn is_closed(mut stream: TcpStream) -> bool {
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    match stream.read(&mut [0]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

fn answers(fixture: &Fixture) {
    fixture.get("/index/config.json").assert_ok();
}

/// What `/metrics` says of this name.
fn metric(fixture: &Fixture, name: &str) -> u64 {
    let address = fixture.running().metrics_address().unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let text = Response::read(stream).text();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("registry_gateway_{name} ")));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

fn with_operators(change: impl FnOnce(&mut Config)) -> Fixture {
    Fixture::with(|config| {
        config.metrics = Some("127.0.0.1:0".parse().unwrap());
        change(config);
    })
}

#[test]
fn silence_keeps_nobody_out() {
    let fixture = with_operators(|config| {
        config.connections = 8;
        // All come from one address here, as behind a proxy.
        config.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    });
    let mut silent = vec![fixture.connect()];
    // Whoever is served after it came later, whichever thread has its turn first.
    while metric(&fixture, "connections") < 1 {}
    answers(&fixture);
    // Its connection must not be the ninth.
    while metric(&fixture, "connections") > 1 {}
    silent.extend((1..8).map(|_| fixture.connect()));
    for (n, stream) in silent.iter_mut().enumerate().skip(1) {
        // One that has begun a request is as silent as one that has not.
        if n % 2 == 0 {
            stream.write_all(b"GET /index/config.json HTTP/1.1\r\nX: ").unwrap();
        }
    }
    while metric(&fixture, "connections") < 8 {}
    for _ in 0..3 {
        answers(&fixture);
    }
    assert!(metric(&fixture, "connections_evicted_total") >= 1);
    assert!(is_closed(silent.swap_remove(0)), "the one that was silent longest");
}

#[test]
fn one_address_has_half() {
    let fixture = with_operators(|config| config.connections = 8);
    // One after the other: of those who come at once some are turned away before they have a place.
    let come = || metric(&fixture, "connections") + metric(&fixture, "connections_evicted_total");
    let connect = |n| {
        let stream = fixture.connect();
        while come() <= n {}
        stream
    };
    let silent: Vec<_> = (0..8).map(connect).collect();
    answers(&fixture);
    let closed = silent.into_iter().take(4).filter(|stream| is_closed(stream.try_clone().unwrap())).count();
    assert_eq!(closed, 4);
    assert!(metric(&fixture, "connections_evicted_total") >= 5);
}

/// The answer is larger than all that lies between us.
#[test]
fn an_answer_that_nobody_reads() {
    let fixture = with_operators(|config| {
        config.patience = Duration::from_millis(300);
        config.reads = registry_gateway::config::Reads::Open;
    });
    let mut state = 1_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        // xorshift64: gzip finds nothing in it.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    })
    .take(14_000_000)
    .collect();
    let manifest = b"[package]\nname = \"hello\"\nversion = \"1.0.0\"\nedition = \"2024\"\n";
    let file = crate_file("hello", "1.0.0", &[("Cargo.toml", manifest), ("noise", &noise)]);
    let upload =
        Upload::of("hello", "1.0.0", &serde_json::json!({ "name": "hello", "vers": "1.0.0" }), &file);
    fixture.publish(&upload).assert_ok();
    let mut stream = fixture.connect();
    stream.write_all(b"GET /api/v1/crates/hello/1.0.0/download HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    stream.read_exact(&mut [0; 12]).unwrap();
    let until = Instant::now() + LIMIT;
    while metric(&fixture, "connections") > 0 {
        assert!(Instant::now() < until, "it is still open");
    }
}

mod tls {
    use super::*;
    use crate::common::certificate::for_localhost;

    fn files(folder: &std::path::Path, seed: u8) -> (TlsFiles, String) {
        let files = TlsFiles { certificate: folder.join("chain.pem"), key: folder.join("key.pem") };
        let (certificate, key) = for_localhost(seed);
        fs::write(&files.certificate, &certificate).unwrap();
        fs::write(&files.key, key).unwrap();
        (files, certificate)
    }

    /// Asks for `/me`, trusting this certificate and no other.
    fn get(fixture: &Fixture, trusted: &str) -> std::io::Result<String> {
        let mut roots = RootCertStore::empty();
        roots.add(pki_types::CertificateDer::from_pem_slice(trusted.as_bytes()).unwrap()).unwrap();
        let provider = tokio_rustls::rustls::crypto::aws_lc_rs::default_provider();
        let config = ClientConfig::builder_with_provider(Arc::new(provider));
        let config = config.with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(roots).with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut stream = StreamOwned::new(connection, fixture.connect());
        stream.write_all(b"GET /me HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn a_certificate_is_shown_and_replaced_without_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let (tls, first) = files(folder.path(), 5);
        let fixture = Fixture::with(|config| config.tls = Some(tls.clone()));
        assert!(fixture.url().starts_with("sparse+https://127.0.0.1:"), "{}", fixture.url());
        assert!(get(&fixture, &first).unwrap().starts_with("HTTP/1.1 200 OK\r\n"));
        // Half a change is none: the old certificate stays until key and certificate fit.
        fs::write(&tls.key, "nonsense, and of another length").unwrap();
        let until = Instant::now() + LIMIT;
        while Instant::now() < until - LIMIT + Duration::from_millis(1500) {
            assert!(get(&fixture, &first).is_ok());
        }
        let (_, second) = files(folder.path(), 6);
        while get(&fixture, &second).is_err() {
            assert!(Instant::now() < until, "the new certificate is not shown");
        }
        assert!(get(&fixture, &first).is_err());
    }

    /// What a SIGHUP does. These files look as those before them did, to whoever goes by time and size.
    #[test]
    fn a_certificate_is_read_again_when_it_is_asked_for() {
        let (folder, then) = (tempfile::tempdir().unwrap(), SystemTime::UNIX_EPOCH);
        let of_then = |seed| {
            let (tls, certificate) = files(folder.path(), seed);
            for path in [&tls.certificate, &tls.key] {
                let mut text = fs::read(path).unwrap();
                text.resize(4096, b'\n');
                fs::write(path, text).unwrap();
                fs::File::options().write(true).open(path).unwrap().set_modified(then).unwrap();
            }
            (tls, certificate)
        };
        let (tls, first) = of_then(5);
        let fixture = Fixture::with(|config| config.tls = Some(tls.clone()));
        assert!(get(&fixture, &first).is_ok());
        let (_, second) = of_then(6);
        fixture.running().reload();
        assert!(get(&fixture, &second).is_ok());
        assert!(get(&fixture, &first).is_err());
        fs::write(&tls.key, "nonsense").unwrap();
        fixture.running().reload();
        assert!(get(&fixture, &second).is_ok(), "what cannot be used is not used");
    }

    /// Whoever opens a pipe waits until somebody writes into it. Nobody else has to.
    #[test]
    #[cfg(unix)]
    fn a_certificate_that_nobody_writes_keeps_nobody_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let (tls, certificate) = files(folder.path(), 5);
        let fixture = Fixture::with(|config| config.tls = Some(tls.clone()));
        let is_served_after_a_reload = || {
            fixture.running().reload();
            get(&fixture, &certificate).is_ok()
        };
        for path in [&tls.certificate, &tls.key] {
            let text = fs::read(path).unwrap();
            fs::remove_file(path).unwrap();
            assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
            std::thread::scope(|scope| {
                let (tell, told) = std::sync::mpsc::channel();
                let served = &is_served_after_a_reload;
                scope.spawn(move || tell.send(served()));
                let served = told.recv_timeout(LIMIT);
                // For whoever waits nevertheless.
                drop(fs::File::options().read(true).write(true).open(path).unwrap());
                assert_eq!(served, Ok(true), "{}", path.display());
            });
            fs::remove_file(path).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    #[test]
    fn nobody_is_understood_without_tls() {
        let folder = tempfile::tempdir().unwrap();
        let fixture = Fixture::with(|config| config.tls = Some(files(folder.path(), 5).0));
        let mut stream = fixture.connect();
        stream.write_all(b"GET /me HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        assert!(!bytes.starts_with(b"HTTP"), "{}", String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn a_handshake_that_stalls() {
        let folder = tempfile::tempdir().unwrap();
        let fixture = Fixture::with(|config| {
            config.tls = Some(files(folder.path(), 5).0);
            config.patience = Duration::from_millis(300);
        });
        let mut stream = fixture.connect();
        stream.write_all(&[0x16, 3, 1, 2]).unwrap();
        assert!(is_closed(stream));
    }

    #[test]
    fn files_that_cannot_be_used() {
        let folder = tempfile::tempdir().unwrap();
        let start = |tls| {
            let store = tempfile::tempdir().unwrap();
            let mut config = Config::new(store.path());
            config.tls = Some(tls);
            Gateway::start(config).map(drop).unwrap_err().to_string()
        };
        let (tls, _) = files(folder.path(), 5);
        let none = folder.path().join("none.pem");
        let text = start(TlsFiles { certificate: none.clone(), ..tls.clone() });
        assert_eq!(text, format!("cannot read {}", none.display()));
        let text = start(TlsFiles { key: tls.certificate.clone(), ..tls.clone() });
        assert_eq!(text, format!("{} does not contain what it should, in PEM", tls.certificate.display()));
        fs::write(&tls.key, for_localhost(6).1).unwrap();
        assert_eq!(start(tls), "the certificate and its key cannot be used");
    }
}

/// Each piece in time, and there is no end of them: a body as a whole has its time too.
#[test]
fn an_upload_that_comes_byte_by_byte() {
    let fixture = Fixture::with(|config| config.patience = Duration::from_millis(100));
    let upload = Upload::new("hello", "1.0.0");
    let mut stream = fixture.connect();
    let header = format!(
        "PUT /api/v1/crates/new HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nContent-Length: 100000\r\n\r\n",
        fixture.publish_token(&upload),
    );
    stream.write_all(header.as_bytes()).unwrap();
    stream.write_all(&50_000_u32.to_le_bytes()).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let begun = Instant::now();
    let mut answer = [0; 64];
    let length = loop {
        assert!(begun.elapsed() < LIMIT, "it is still listened to");
        match stream.read(&mut answer) {
            Ok(length) => break length,
            // Not yet: one byte more.
            Err(_) => stream.write_all(b" ").unwrap(),
        }
    };
    assert!(answer[..length].starts_with(b"HTTP/1.1 400 "), "{:?}", String::from_utf8_lossy(&answer));
}

/// Whoever sends all of it before reading anything, as a proxy does that has it all, still gets to read why.
#[test]
fn a_refusal_reaches_whoever_is_still_sending() {
    let fixture = Fixture::with(|config| config.max_crate = 1_000_000);
    let token = fixture.publish_token(&Upload::new("hello", "1.0.0"));
    let good = format!("Authorization: {token}\r\n");
    for (method, path, field, status, text) in [
        ("PUT", "/api/v1/crates/new", "", 401, "needs a token"),
        ("PUT", "/api/v1/crates/new", &*good, 413, "the upload, crate file and metadata, has 12000000 bytes"),
        ("POST", "/api/v1/enroll", "", 413, "an enrollment has 12000000 bytes"),
        ("PUT", "/api/v1/crates/hello/owners", "", 401, "needs a token"),
        ("DELETE", "/api/v1/crates/hello/1.0.0/yank", "", 401, "needs a token"),
        ("GET", "/index/config.json", "", 401, "needs a token"),
        ("POST", "/nothing", "", 404, "nothing here"),
    ] {
        let header =
            format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{field}Content-Length: 12000000\r\n\r\n");
        let answer = fixture.raw(&header, &vec![0; 12_000_000]);
        answer.assert_refused(status, text);
        assert_eq!(answer.field("connection"), Some("close"), "{path}");
    }
}

/// The refusal is there at once; who does not stop sending then is not listened to for long.
#[test]
fn a_refusal_is_not_waited_for_and_ends_the_connection() {
    let fixture = Fixture::with(|config| config.patience = Duration::from_millis(300));
    let mut stream = fixture.connect();
    stream
        .write_all(b"PUT /api/v1/crates/new HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000000\r\n\r\n")
        .unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 401");
    let begun = Instant::now();
    while stream.write_all(&[0; 4096]).is_ok() {
        assert!(begun.elapsed() < LIMIT, "it is still listened to");
    }
}

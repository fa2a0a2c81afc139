//! The part of the internet that a test wants: hosts with names and certificates of their own, behind a proxy on loopback that a person
//! has set for cargo.

use std::io::{BufReader, Write as _};
use std::sync::{Arc, Mutex};

use rustls::{ServerConnection, StreamOwned};

use crate::certificates::for_names;
use crate::loopback::{self, Reply, Request};
use crate::world::{Computer, Run};

pub(crate) struct Internet {
    proxy: String,
    certificates: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Internet {
    /// With these hosts, of which each answers every path.
    pub(crate) fn new(
        hosts: &[&str],
        answer: impl Fn(&str, &Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let (certificates, tls) = for_names(hosts);
        let (listener, proxy) = loopback::bind(false);
        let (tls, asked) = (Arc::new(tls), Arc::new(Mutex::new(Vec::new())));
        let seen = Arc::clone(&asked);
        loopback::each_connection(listener, move |mut stream| {
            let Some(host) = connect(&mut BufReader::new(&stream)) else { return };
            if stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").is_err() {
                return;
            }
            let tls = ServerConnection::new(Arc::clone(&tls)).unwrap();
            loopback::exchange(StreamOwned::new(tls, stream), |request| {
                seen.lock().unwrap().push(format!("{host}{}", request.path));
                answer(&host, request)
            });
        });
        Self { proxy, certificates, asked }
    }

    /// Has a child go there.
    pub(crate) fn leads(&self, computer: &Computer, run: Run) -> Run {
        let file = computer.write("internet.pem", &self.certificates);
        run.env("CARGO_HTTP_PROXY", &self.proxy).env("CARGO_HTTP_CAINFO", file)
    }

    /// The variables that do so, for a shell.
    pub(crate) fn variables(&self, computer: &Computer) -> String {
        let file = computer.write("internet.pem", &self.certificates);
        format!("CARGO_HTTP_PROXY={} CARGO_HTTP_CAINFO={}", self.proxy, file.display())
    }

    /// What was asked for since this was asked last.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

/// The host that a client wants to be connected to (RFC 9110, 9.3.6).
fn connect(stream: &mut impl std::io::BufRead) -> Option<String> {
    let mut line = String::new();
    stream.read_line(&mut line).ok()?;
    let host = line.strip_prefix("CONNECT ")?.split(':').next()?.to_owned();
    while line.trim_end() != "" {
        line.clear();
        stream.read_line(&mut line).ok()?;
    }
    Some(host)
}

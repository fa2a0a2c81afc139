//! Servers on loopback, as small as tests need them: each connection has a thread, which ends with the test's process.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

/// One request of HTTP/1.1.
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Its `Authorization`.
    pub(crate) token: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// What it is answered, before the connection is closed.
pub(crate) struct Reply {
    pub(crate) status: &'static str,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// The crate in a publish: its metadata and its file (Cargo reference, "Registry Web API").
    pub(crate) fn published(&self) -> (Value, &[u8]) {
        let length = u32::from_le_bytes(self.body[..4].try_into().unwrap()) as usize;
        let (metadata, file) = self.body[4..].split_at(length);
        (serde_json::from_slice(metadata).unwrap(), &file[4..])
    }

    fn read(stream: impl Read) -> Option<Self> {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let mut words = line.split_whitespace().map(str::to_owned);
        let (method, path) = (words.next()?, words.next()?);
        let (mut token, mut length) = (None, 0);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            match name.to_ascii_lowercase().as_str() {
                "authorization" => token = Some(value.to_owned()),
                "content-length" => length = value.parse().ok()?,
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        Some(Self { method, path, token, body })
    }
}

impl Reply {
    pub(crate) fn new(status: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }
    }

    pub(crate) fn with(mut self, header: &'static str, value: String) -> Self {
        self.headers.push((header, value));
        self
    }

    fn write(&self, mut stream: impl Write) -> std::io::Result<()> {
        let headers: String =
            self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let (status, length) = (self.status, self.body.len());
        let head =
            format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n");
        stream.write_all(&[head.as_bytes(), &self.body].concat())?;
        stream.flush()
    }
}

/// A listener, and the URL that leads to it: `https://localhost` with TLS.
pub(crate) fn bind(tls: bool) -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let base =
        if tls { format!("https://localhost:{}", address.port()) } else { format!("http://{address}") };
    (listener, base)
}

/// Answers one request on each connection.
pub(crate) fn serve(
    listener: TcpListener,
    tls: Option<ServerConfig>,
    answer: impl Fn(&Request) -> Reply + Send + Sync + 'static,
) {
    let tls = tls.map(Arc::new);
    each_connection(listener, move |stream| {
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        match tls.clone() {
            None => exchange(stream, &answer),
            Some(tls) => exchange(StreamOwned::new(ServerConnection::new(tls).unwrap(), stream), &answer),
        }
    });
}

pub(crate) fn exchange(mut stream: impl Read + Write, answer: impl Fn(&Request) -> Reply) {
    let Some(request) = Request::read(&mut stream) else { return };
    // The other side may have gone.
    let _ = answer(&request).write(stream);
}

/// Answers every connection with the same bytes, one piece after the other, and then holds it open until the other side
/// lets go.
pub(crate) fn answering(pieces: impl Iterator<Item = Vec<u8>> + Clone + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    each_connection(listener, move |mut stream| {
        for piece in pieces.clone() {
            if stream.write_all(&piece).is_err() {
                return;
            }
        }
        let _ = stream.read_to_end(&mut Vec::new());
    });
    address
}

pub(crate) fn each_connection(listener: TcpListener, meet: impl Fn(TcpStream) + Send + Sync + 'static) {
    let meet = Arc::new(meet);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let meet = Arc::clone(&meet);
            std::thread::spawn(move || meet(stream));
        }
    });
}

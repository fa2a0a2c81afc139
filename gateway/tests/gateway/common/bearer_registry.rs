//! A registry that takes bearer tokens, as a test wants it: it keeps what it was sent and answers what it is told.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) header: String,
    pub(crate) body: Vec<u8>,
}

/// What to answer.
#[derive(Clone)]
pub(crate) enum Say {
    /// A status line without `HTTP/1.1`, fields, and a body.
    Answer(&'static str, Vec<(&'static str, String)>, Vec<u8>),
    /// What this says, when it is asked.
    Ask(Arc<dyn Fn(&Received) -> Say + Send + Sync>),
    /// These bytes as they are; then the connection is closed.
    Bytes(Vec<u8>),
    /// Nothing: the connection is closed after the request was read.
    HangUp,
    /// Nothing, with the connection kept open.
    Silence,
    /// This status line, and a body of which there is always one byte more.
    Endless(&'static str),
}

type Answers = Arc<Mutex<HashMap<String, Say>>>;

/// A registry on loopback. It answers 404 to what it was not told about, except `config.json`.
pub(crate) struct BearerRegistry {
    pub(crate) address: SocketAddr,
    answers: Answers,
    received: Mutex<mpsc::Receiver<Received>>,
}

impl BearerRegistry {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = listener.local_addr().expect("bound");
        let answers: Answers = Arc::default();
        let (sender, received) = mpsc::channel();
        let known = answers.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (known, sender) = (known.clone(), sender.clone());
                thread::spawn(move || serve(stream, &known, &sender));
            }
        });
        let registry = Self { address, answers, received: Mutex::new(received) };
        let config = format!(r#"{{"dl":"{0}/dl","api":"{0}"}}"#, registry.url());
        registry.on("GET /index/config.json", Say::ok(config));
        registry
    }

    /// Without a final slash.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on, this is the answer to `METHOD PATH`.
    pub(crate) fn on(&self, request: &str, say: Say) {
        self.answers.lock().unwrap().insert(request.to_owned(), say);
    }

    /// What came since the last call, without the requests for `config.json`.
    pub(crate) fn received(&self) -> Vec<Received> {
        let received = self.received.lock().unwrap();
        received.try_iter().filter(|request| !request.path.ends_with("config.json")).collect()
    }
}

impl Say {
    pub(crate) fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::Answer("200 OK", Vec::new(), body.into())
    }

    /// A refusal in the form of a registry.
    pub(crate) fn no(status: &'static str, detail: &str) -> Self {
        let body = serde_json::json!({ "errors": [{ "detail": detail }] });
        Self::Answer(status, Vec::new(), body.to_string().into_bytes())
    }
}

impl Received {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.header.lines().skip(1).find_map(|line| {
            let (field, value) = line.split_once(": ")?;
            field.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

fn serve(stream: TcpStream, answers: &Answers, sender: &mpsc::Sender<Received>) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut stream = stream;
    loop {
        let mut header = String::new();
        while !header.ends_with("\r\n\r\n") {
            if reader.read_line(&mut header).ok()? == 0 {
                return None;
            }
        }
        let mut words = header.split(' ');
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut received = Received { method, path, header, body: Vec::new() };
        let length: usize =
            received.field("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        received.body.resize(length, 0);
        reader.read_exact(&mut received.body).ok()?;
        let request = format!("{} {}", received.method, received.path);
        let say = answers.lock().unwrap().get(&request).cloned();
        let mut say = say.unwrap_or_else(|| Say::no("404 Not Found", "no such thing"));
        while let Say::Ask(answer) = say {
            say = answer(&received);
        }
        let _ = sender.send(received);
        match say {
            Say::Ask(_) => unreachable!("asked above"),
            Say::Answer(status, fields, body) => {
                let fields: String =
                    fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
                let length = if status.starts_with("304") {
                    String::new()
                } else {
                    format!("Content-Length: {}\r\n", body.len())
                };
                stream.write_all(format!("HTTP/1.1 {status}\r\n{fields}{length}\r\n").as_bytes()).ok()?;
                stream.write_all(&body).ok()?;
            }
            Say::Bytes(bytes) => {
                stream.write_all(&bytes).ok()?;
                return None;
            }
            Say::HangUp => return None,
            Say::Endless(status) => {
                stream
                    .write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 1000000\r\n\r\n").as_bytes())
                    .ok()?;
                stream.set_read_timeout(Some(Duration::from_millis(50))).ok()?;
                while reader.read(&mut [0]).is_err() {
                    stream.write_all(b" ").ok()?;
                }
                return None;
            }
            Say::Silence => {
                // Until the other side gives up.
                let _ = reader.read_line(&mut String::new());
                return None;
            }
        }
    }
}

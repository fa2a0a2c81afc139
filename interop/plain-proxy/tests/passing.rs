//! What comes in goes out, in both directions.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

struct Proxy {
    child: Child,
    address: String,
}

impl Proxy {
    fn before(upstream: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plain-proxy"));
        let mut child = command.args(["127.0.0.1:0", upstream]).stdout(Stdio::piped()).spawn().unwrap();
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
        Self { child, address: address.trim_end().to_owned() }
    }

    /// The whole answer to a request that ends the connection.
    fn answer_to(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_request_and_its_answer_pass() {
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = upstream.local_addr().unwrap().to_string();
    let registry = thread::spawn(move || {
        let (mut stream, _) = upstream.accept().unwrap();
        let mut request = String::new();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        while !request.ends_with("\r\n\r\n") {
            reader.read_line(&mut request).unwrap();
        }
        let mut body = [0; 4];
        reader.read_exact(&mut body).unwrap();
        stream.write_all(b"HTTP/1.1 418 Odd\r\nETag: \"1\"\r\nContent-Length: 3\r\n\r\ntea").unwrap();
        request + std::str::from_utf8(&body).unwrap()
    });

    let proxy = Proxy::before(&address);
    let answer = proxy.answer_to(
        "PUT /a/b?c=d HTTP/1.1\r\nHost: here\r\nAuthorization: secret\r\nConnection: close, Upgrade\r\n\
         Upgrade: h2c\r\nContent-Length: 4\r\n\r\nbody",
    );
    assert!(answer.starts_with("HTTP/1.1 418 "), "{answer}");
    assert!(answer.contains("etag: \"1\"\r\n") && answer.ends_with("\r\n\r\ntea"), "{answer}");
    let request = registry.join().unwrap();
    assert!(
        request.starts_with("PUT /a/b?c=d HTTP/1.1\r\n") && request.ends_with("\r\n\r\nbody"),
        "{request}"
    );
    assert!(request.contains("authorization: secret\r\n"), "{request}");
    assert!(request.contains(&format!("host: {address}\r\n")), "{request}");
    assert!(!request.contains("h2c"), "{request}");
}

#[test]
fn a_registry_that_is_not_there_is_a_bad_gateway() {
    // tcpmux: no port that anybody is given, and nobody serves it.
    let answer =
        Proxy::before("127.0.0.1:1").answer_to("GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
}

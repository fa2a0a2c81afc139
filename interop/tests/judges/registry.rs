//! The registry of Cargo's own test suite, with its verifier for asymmetric tokens (RFC 3231).
//!
//! It knows one key by its *secret*, so the card that publishes here holds an imported one. It serves one
//! request at a time, over HTTP on the loopback interface, and takes tokens up to a minute old.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use cargo_test_support::paths::{self, TestIdGuard};
use cargo_test_support::registry::{RegistryBuilder, TestRegistry, Token};
use mock_card::ImportedKey;
use p384::pkcs8::EncodePrivateKey as _;
use serde_json::json;

/// The name under which a project publishes there.
pub(crate) const NAME: &str = "judge";

pub(crate) struct Registry {
    registry: TestRegistry,
    _test: TestIdGuard,
}

impl Registry {
    /// A registry that knows the key published in RFC 3231, with its subject. The folder is for this test
    /// alone.
    pub(crate) fn with_rfc_key(folder: &str) -> Self {
        let test = paths::init_root(env!("CARGO_TARGET_TMPDIR"), folder.into());
        let registry = RegistryBuilder::new()
            .alternative_named(NAME)
            .http_api()
            .http_index()
            .auth_required()
            .token(Token::rfc_key())
            .no_configure_registry()
            .no_configure_token()
            .build();
        Self { registry, _test: test }
    }

    /// `sparse+http://127.0.0.1:PORT/index/`.
    pub(crate) fn index(&self) -> &str {
        self.registry.index_url().as_str()
    }

    /// The status code of a request.
    pub(crate) fn status(&self, method: &str, path: &str, token: &str, body: &[u8]) -> u16 {
        let api = self.registry.api_url();
        let mut stream = TcpStream::connect((api.host_str().unwrap(), api.port().unwrap())).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        write!(stream, "{method} {path} HTTP/1.1\r\nAuthorization: {token}\r\n").unwrap();
        write!(stream, "Content-Length: {}\r\n\r\n", body.len()).unwrap();
        stream.write_all(body).unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        let (status_line, _) = response.split_once("\r\n").expect("a status line");
        status_line
            .strip_prefix("HTTP/1.1 ")
            .expect("a status")
            .parse()
            .expect("a code, and no reason phrase")
    }
}

/// The body of a publish request: metadata and file, the length of each before it as 32 bits, little-endian.
pub(crate) fn publish_body(name: &str, version: &str, file: &[u8]) -> Vec<u8> {
    let metadata = json!({
        "name": name, "vers": version, "deps": [], "features": {}, "authors": [],
        "keywords": [], "categories": [], "badges": {},
    });
    let mut body = Vec::new();
    for part in [metadata.to_string().as_bytes(), file] {
        body.extend(u32::try_from(part.len()).expect("a small crate").to_le_bytes());
        body.extend(part);
    }
    body
}

/// The key that the RFC publishes, and its subject.
pub(crate) fn rfc_key() -> (ImportedKey, String) {
    let Token::Keys(secret, Some(subject)) = Token::rfc_key() else { unreachable!("a key with a subject") };
    let scalar = secret.strip_prefix("k3.secret.").expect("a PASERK");
    let key = p384::SecretKey::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(scalar).unwrap()).unwrap();
    let key = ImportedKey::from_pkcs8(key.to_pkcs8_der().unwrap().as_bytes()).unwrap();
    (key, subject)
}

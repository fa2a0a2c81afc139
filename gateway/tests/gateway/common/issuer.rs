//! A local OIDC issuer: discovery and keys over HTTP, and identity tokens with real RSA and EC keys.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::{self, JoinHandle};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use der::Decode as _;
use der::asn1::UintRef;
use jiff::Timestamp;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::{Value, json};

/// A key of an issuer.
pub(crate) enum Key {
    Rsa(&'static RsaKeyPair),
    P256(SigningKey),
}

/// RSAPublicKey (RFC 8017, A.1.1).
#[derive(der::Sequence)]
struct RsaPublicKey<'a> {
    modulus: UintRef<'a>,
    exponent: UintRef<'a>,
}

impl Key {
    /// One RSA key of a process: it takes a while to find the primes.
    pub(crate) fn rsa() -> Self {
        static KEY: OnceLock<RsaKeyPair> = OnceLock::new();
        Self::Rsa(KEY.get_or_init(|| RsaKeyPair::generate(KeySize::Rsa2048).unwrap()))
    }

    pub(crate) fn p256(seed: u8) -> Self {
        Self::P256(SigningKey::from_slice(&[seed; 32]).unwrap())
    }

    /// The public key, as an issuer publishes it.
    pub(crate) fn jwk(&self, id: &str) -> Value {
        match self {
            Self::Rsa(pair) => {
                let key = RsaPublicKey::from_der(pair.public_key().as_ref()).unwrap();
                let [n, e] = [key.modulus, key.exponent].map(|number| encoded(number.as_bytes()));
                json!({ "kty": "RSA", "use": "sig", "alg": "RS256", "kid": id, "n": n, "e": e })
            }
            Self::P256(key) => {
                let point = key.verifying_key().to_sec1_point(false);
                let [x, y] = [&point.as_bytes()[1..33], &point.as_bytes()[33..]].map(encoded);
                json!({ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": id, "x": x, "y": y })
            }
        }
    }

    pub(crate) fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "RS256",
            Self::P256(_) => "ES256",
        }
    }

    /// A token with this key's signature, whatever its header says.
    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        self.sign_text(&header.to_string(), &claims.to_string())
    }

    pub(crate) fn sign_text(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", encoded(header.as_bytes()), encoded(claims.as_bytes()));
        let signature = match self {
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature)
                    .unwrap();
                signature
            }
            Self::P256(key) => {
                let signature: Signature = key.sign(message.as_bytes());
                signature.to_bytes().to_vec()
            }
        };
        format!("{message}.{}", encoded(&signature))
    }
}

pub(crate) fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The other ECDSA signature for the same statement.
pub(crate) fn twin(token: &str) -> String {
    let (message, signature) = token.rsplit_once('.').unwrap();
    let signature = Signature::from_slice(&URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
    let (r, s) = signature.split_scalars();
    let twin = Signature::from_scalars(r.to_bytes(), (-*s).to_bytes()).unwrap();
    format!("{message}.{}", encoded(&twin.to_bytes()))
}

/// What it answers, and what it was asked.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) discovery: String,
    pub(crate) keys: String,
    pub(crate) status: u16,
    /// It takes requests and answers none.
    pub(crate) is_silent: bool,
    pub(crate) asked: Vec<String>,
    held: Vec<TcpStream>,
    is_over: bool,
}

/// An issuer that listens.
pub(crate) struct Issuer {
    pub(crate) url: String,
    address: SocketAddr,
    pub(crate) state: Arc<Mutex<State>>,
    thread: Option<JoinHandle<()>>,
}

impl Issuer {
    pub(crate) fn new(keys: &[(&str, &Key)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let url = format!("http://{address}");
        let discovery = json!({ "issuer": url, "jwks_uri": format!("{url}/keys") }).to_string();
        let state = Arc::new(Mutex::new(State { discovery, status: 200, ..State::default() }));
        let shared = state.clone();
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.lock().unwrap().is_over {
                    break;
                }
                answer(stream.unwrap(), &shared);
            }
        });
        let issuer = Self { url, address, state, thread: Some(thread) };
        issuer.publish(keys);
        issuer
    }

    /// Replaces its keys.
    pub(crate) fn publish(&self, keys: &[(&str, &Key)]) {
        let keys: Vec<_> = keys.iter().map(|(id, key)| key.jwk(id)).collect();
        self.state.lock().unwrap().keys = json!({ "keys": keys }).to_string();
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.state.lock().unwrap().asked.clone()
    }

    /// The claims of a job of GitHub's, for a registry at this address.
    pub(crate) fn github(&self, audience: &str) -> Value {
        let now = Timestamp::now().as_second();
        let workflow = "acme/widget/.github/workflows/release.yml@refs/tags/v1.0.0";
        json!({
            "iss": self.url, "aud": audience, "sub": "repo:acme/widget:environment:release",
            "jti": unique(), "iat": now - 5, "nbf": now - 10, "exp": now + 300,
            "repository": "acme/widget", "repository_id": "7001", "repository_owner": "acme",
            "repository_owner_id": "42", "repository_visibility": "private",
            "workflow": "Release", "workflow_ref": workflow, "job_workflow_ref": workflow,
            "ref": "refs/tags/v1.0.0", "ref_type": "tag", "sha": "0f3c1d2e4b5a69788796a5b4c3d2e1f00f1e2d3c",
            "event_name": "push", "environment": "release", "actor": "octocat", "actor_id": "12",
            "run_id": "900", "run_number": "3", "run_attempt": "1", "runner_environment": "github-hosted",
        })
    }

    /// The claims of a job of GitLab's.
    pub(crate) fn gitlab(&self, audience: &str) -> Value {
        let now = Timestamp::now().as_second();
        let host = self.url.strip_prefix("http://").unwrap();
        json!({
            "iss": self.url, "aud": audience, "sub": "project_path:acme/tools/widget:ref_type:tag:ref:v1.0.0",
            "jti": unique(), "iat": now, "nbf": now - 5, "exp": now + 3600,
            "namespace_id": "72", "namespace_path": "acme/tools", "project_id": "20", "project_path": "acme/tools/widget",
            "pipeline_id": "574", "pipeline_source": "push", "job_id": "302", "ref": "v1.0.0", "ref_type": "tag",
            "ref_path": "refs/tags/v1.0.0", "ref_protected": "true", "environment": "production",
            "sha": "714a629c0b401fdce83e847fc9589983fc6f46bc",
            "ci_config_ref_uri": format!("{host}/acme/tools/widget//.gitlab-ci.yml@refs/tags/v1.0.0"),
        })
    }
}

/// A name that no other token has.
fn unique() -> String {
    super::now().as_microsecond().to_string()
}

impl Drop for Issuer {
    fn drop(&mut self) {
        if let Ok(mut state) = self.state.lock() {
            state.is_over = true;
            state.held.clear();
        }
        // It waits for a connection, and looks then whether it is over.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer(mut stream: TcpStream, state: &Mutex<State>) {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        request.push(byte[0]);
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let Some(path) = request.split(' ').nth(1) else { return };
    let mut state = state.lock().unwrap();
    state.asked.push(path.to_owned());
    if state.is_silent {
        state.held.push(stream);
        return;
    }
    let body = match path {
        "/.well-known/openid-configuration" => &state.discovery,
        "/keys" => &state.keys,
        _ => "",
    };
    let answer = format!(
        "HTTP/1.1 {} x\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        state.status,
        body.len()
    );
    // The other end may have gone.
    let _ = stream.write_all(answer.as_bytes());
}

//! A gateway in front of a registry, with one person who may read and publish; and servers to put it in front of.

use std::convert::Infallible;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroU32;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use asymmetric_token::{Claims, Footer, Prepared, PublicKey};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use p384::ecdsa::signature::hazmat::PrehashSigner as _;
use p384::ecdsa::{Signature, SigningKey};
use registry_gateway::config::UpstreamConfig;
use registry_gateway::keys::{NewKey, Role, User};
use registry_gateway::store_place::StorePlace;
use registry_gateway::vault::Vault;
use registry_gateway::{Config, Gateway, Running};

pub(crate) type Body = BoxBody<Bytes, hyper::Error>;

/// What the upstream knows Alice by.
pub(crate) const CREDENTIAL: &str = "alices";

/// The gateway, and Alice.
pub(crate) struct Front {
    folder: PathBuf,
    gateway: Running,
    secret: SigningKey,
    public: PublicKey,
}

impl Front {
    /// In front of a registry.
    pub(crate) fn of(upstream: SocketAddr) -> Self {
        let folder = folder("front");
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
        let front = Self::started(folder, config);
        let alice: User = "alice".parse().expect("a name");
        let sealed = Vault::open(&key_file).and_then(|vault| vault.seal(&alice, CREDENTIAL)).expect("sealed");
        front.gateway.store().set_credential(&alice, &sealed, Timestamp::now()).expect("kept");
        front
    }

    /// With a store of its own.
    pub(crate) fn with_a_store() -> Self {
        let folder = folder("own");
        let config = Config::new(folder.join("store"));
        Self::started(folder, config)
    }

    /// With a store of its own, from which everybody may read.
    pub(crate) fn with_an_open_store() -> Self {
        let folder = folder("open");
        let mut config = Config::new(folder.join("store"));
        config.reads = registry_gateway::config::Reads::Open;
        Self::started(folder, config)
    }

    /// With its store in a PostgreSQL that has the tables. Whoever is first there adds Alice.
    pub(crate) fn in_postgres(store: StorePlace, first: bool) -> Self {
        let folder = folder(if first { "first" } else { "second" });
        let mut config = Config::new(store);
        config.url = Some("http://registry.example".to_owned());
        let key_file = std::env::temp_dir().join(format!("gateway-bench-{}.key", std::process::id()));
        Vault::make_key(&key_file).expect("a key file");
        config.postgres.key_file = Some(key_file);
        config.postgres.state = Some(folder.join("state"));
        if first { Self::started(folder, config) } else { Self::running(folder, config) }
    }

    fn started(folder: PathBuf, config: Config) -> Self {
        let front = Self::running(folder, config);
        let user = "alice".parse().expect("a name");
        let new = NewKey {
            public: front.public,
            user,
            role: Role::Both,
            label: None,
            subject: None,
            expires: None,
        };
        front.gateway.store().add_key(new, Timestamp::now()).expect("a new key");
        front
    }

    fn running(folder: PathBuf, mut config: Config) -> Self {
        config.verifications_per_peer = NonZeroU32::MAX;
        config.verifications_per_key = NonZeroU32::MAX;
        let gateway = Gateway::start(config).expect("a gateway");
        let secret = SigningKey::from_slice(&[7; 48]).expect("a scalar below the group order");
        let point = secret.verifying_key().to_sec1_point(true);
        let public = PublicKey::from_sec1(point.as_bytes()).expect("a point of the curve");
        Self { folder, gateway, secret, public }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.gateway.address()
    }

    pub(crate) fn index_url(&self) -> &str {
        self.gateway.index_url()
    }

    /// Alice's key.
    pub(crate) fn public(&self) -> &PublicKey {
        &self.public
    }

    pub(crate) fn token(&self, claims: &Claims) -> String {
        let footer = Footer::new(self.index_url(), self.public.id());
        let prepared = Prepared::new(&self.public, claims, &footer).expect("printable claims");
        let signature: Signature = self.secret.sign_prehash(prepared.digest()).expect("48 bytes");
        prepared.finish(&signature.to_bytes().into()).expect("its own signature")
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        remove(&self.folder);
    }
}

/// Of what there is an aim for.
pub(crate) fn verdict(held: bool) -> &'static str {
    if held { ": held" } else { ": MISSED" }
}

/// A new folder, beside the others of this run.
pub(crate) fn folder(name: &str) -> PathBuf {
    folder_in(std::env::temp_dir(), name)
}

pub(crate) fn folder_in(place: PathBuf, name: &str) -> PathBuf {
    let folder = place.join(format!("gateway-bench-{}-{name}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

pub(crate) fn remove(folder: &Path) {
    // What is left of it is in the folder for temporary files.
    let _ = fs::remove_dir_all(folder);
}

pub(crate) fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed()
}

/// A server with as many threads as the gateway has, which a profile shows by this name. It ends with the process.
pub(crate) fn serve<F>(
    name: &str,
    answer: impl Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
) -> SocketAddr
where
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a socket");
    let address = listener.local_addr().expect("bound");
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).thread_name(name).enable_all().build().expect("threads");
    thread::spawn(move || {
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                stream.set_nodelay(true).expect("a socket");
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

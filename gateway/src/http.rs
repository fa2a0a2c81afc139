//! The HTTP API: which request goes to which handler.
//!
//! Source: the Cargo book, "Registry Web API" and "Registry Index". Paths must be plain ASCII without escapes, without
//! empty or dot segments, and without a query except on a search. Then no two programs between cargo and the store can
//! read one path in two ways.

mod authorization;
mod body;
mod client_address;
mod enrollment;
mod failure;
mod log;
mod mutations;
mod proof;
mod reads;
mod staged;
mod staging;
mod trusted_publishing;
mod upload;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, put};
use hyper::body::{Body as _, Incoming};
use ipnet::IpNet;
use tracing::Instrument as _;
use tracing::field::Empty;

use crate::attestation;
use crate::background;
use crate::causes::escaped;
use crate::challenge::{Challenges, Issuer};
use crate::changes::{Changes, Rooms};
use crate::config::{Owners, Reads};
use crate::connections::Place;
use crate::cosigning::Witnesses;
use crate::index::IndexUrls;
use crate::limits::Limits;
use crate::listener::{Service, names_one_host, routed};
use crate::metrics::Metrics;
use crate::policy::Rules;
use crate::publishers::Issuers;
use crate::staging::StagingRules;
use crate::store::{Checkpoints, Store};
use crate::unpacking::Unpacking;
use crate::upstream::Upstream;
use crate::verified_reads::VerifiedReads;
use client_address::ClientAddress;
use failure::Failure;

const SEARCH: &str = "/api/v1/crates";
/// A body that is there with the request's header, in bytes: it is read, and the next request follows.
const SHORT_BODY: u64 = 4 << 10;
/// The longest path that is looked at, and how much of any is in the log, in bytes.
const MAX_PATH: usize = 2 << 10;
const LOGGED: usize = 256;

/// What the handlers share.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) store: Arc<Store>,
    /// The signed checkpoints of the store's audit log.
    pub(crate) checkpoints: Arc<Checkpoints>,
    /// Who cosigns them.
    pub(crate) witnesses: Arc<Witnesses>,
    /// Where the crates are.
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) changes: Arc<Changes>,
    pub(crate) rules: Rules,
    /// What is required of keys that are enrolled over HTTP.
    pub(crate) attestation: attestation::Rules,
    /// Whose identity tokens are taken for staging tokens.
    pub(crate) issuers: Issuers,
    /// Issues the challenges that keys sign to be enrolled over HTTP.
    pub(crate) enrollment_issuer: Issuer,
    /// The public base URL, without a final slash.
    pub(crate) base_url: String,
    /// Where downloads are: a prefix, or a template, as `config.json` has it.
    pub(crate) dl: String,
    /// The path of the index URL, with a slash at both ends.
    pub(crate) index_path: String,
    /// How much may be staged, and who approves it.
    pub(crate) staging: StagingRules,
    /// Whose uploads to be staged are under way.
    pub(crate) staging_rooms: Rooms,
    pub(crate) reads: Reads,
    pub(crate) owners: Owners,
    /// Index URLs of the registry behind, on which no manifest may depend.
    pub(crate) behind: IndexUrls,
    /// The largest crate file, in bytes.
    pub(crate) max_crate: u64,
    /// How many signatures are verified for whom.
    pub(crate) limits: Limits,
    /// Whose uploads are unpacked.
    pub(crate) unpacking: Unpacking,
    pub(crate) verified_reads: VerifiedReads,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub(crate) trusted_proxies: Vec<IpNet>,
    pub(crate) most_connections: usize,
    pub(crate) metrics: Arc<Metrics>,
    /// How long to wait for the next piece of a body.
    pub(crate) patience: Duration,
}

/// The registry, as it is served.
#[derive(Clone)]
pub(crate) struct Registry {
    app: Arc<App>,
    /// The routes of all but the index.
    api: Router,
}

impl Registry {
    pub(crate) fn new(app: Arc<App>) -> Self {
        Self { api: api(app.clone()), app }
    }

    async fn answer_known(&self, request: Request<Incoming>) -> Response {
        if !names_one_host(&request) {
            return Failure::BadRequest("a request has one `Host`").into_response();
        }
        if !is_strict(request.method(), request.uri()) {
            let only = "nothing here; paths are plain ASCII without escapes";
            return Failure::NotFound(only.to_owned()).into_response();
        }
        // Index files do not go through the router: in a build cargo asks for hundreds of them.
        let (request, body) = request.into_parts();
        let response = match reads::index_path(&self.app, &request) {
            Some(path) => reads::index_file(&self.app, path, &request).await.into_response(),
            None => routed(&self.api, Request::from_parts(request, body)).await,
        };
        if response.status() == StatusCode::UNAUTHORIZED {
            say_how_to_come_in(&self.app, response)
        } else {
            response
        }
    }
}

impl Service for Registry {
    /// Notes the client's address, names the request in the log, and counts the answer.
    async fn answer(&self, peer: IpAddr, mut request: Request<Incoming>) -> Response {
        let (app, started) = (&self.app, Instant::now());
        let client = ClientAddress::of(peer, request.headers(), &app.trusted_proxies);
        if client.0 != peer
            && let Some(place) = request.extensions().get::<Arc<Place>>()
        {
            place.asks_for(client.0);
        }
        request.extensions_mut().insert(client);
        let is_long = request.body().size_hint().exact().is_none_or(|length| length > SHORT_BODY);
        let id = app.metrics.request_id();
        let (method, path) = (request.method(), request.uri().path());
        let path = escaped(&path[..path.floor_char_boundary(LOGGED)]);
        let (user, key) = (Empty, Empty);
        let span = tracing::info_span!("request", id, client = %client.0, %method, path, user, key);
        async {
            let mut response = self.answer_known(request).await;
            let (status, took) = (response.status().as_u16(), started.elapsed());
            app.metrics.answered(status, took);
            if let Some(failure) = response.extensions().get() {
                app.metrics.upstream_failed(*failure);
            }
            tracing::debug!(status, micros = took.as_micros(), "answered");
            // What is refused is not read to its end, and then nothing can follow it.
            if is_long && status >= 400 {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            if let Ok(id) = HeaderValue::try_from(id) {
                response.headers_mut().insert("x-request-id", id);
            }
            response
        }
        .instrument(span)
        .await
    }
}

fn api(app: Arc<App>) -> Router {
    Router::new()
        .route(SEARCH, get(reads::search))
        .route("/api/v1/crates/new", put(mutations::publish))
        .route("/api/v1/crates/{name}/{version}/download", get(reads::download))
        .route("/api/v1/crates/{name}/{version}/proof", get(proof::proof))
        .route("/api/v1/crates/{name}/{version}/yank", axum::routing::delete(mutations::yank))
        .route("/api/v1/crates/{name}/{version}/unyank", put(mutations::unyank))
        .route(
            "/api/v1/crates/{name}/owners",
            get(mutations::list_owners).put(mutations::add_owner).delete(mutations::remove_owner),
        )
        .route("/api/v1/enroll", get(enrollment::terms).post(enrollment::enroll))
        .route("/api/v1/staged", get(staged::list))
        .route("/api/v1/staged/{id}", get(staged::view))
        .route("/api/v1/staged/{id}/download", get(staged::download))
        .route("/api/v1/staged/{id}/approve", put(staged::approve))
        .route("/api/v1/staged/{id}/reject", put(staged::reject))
        .route("/api/v1/keys/{id}", get(enrollment::key))
        .route(
            "/api/v1/trusted_publishing/tokens",
            axum::routing::post(trusted_publishing::exchange).delete(trusted_publishing::revoke),
        )
        .route("/log/checkpoint", get(log::checkpoint))
        .route("/log/key", get(log::key))
        .route("/log/leaves/{from}", get(log::leaves))
        .route("/log/{*tile}", get(log::tile))
        .route("/me", get(reads::me))
        .fallback(reads::nothing)
        .method_not_allowed_fallback(reads::nothing)
        .with_state(app)
}

fn is_strict(method: &Method, uri: &Uri) -> bool {
    let path = uri.path();
    let search = path == SEARCH && (method == Method::GET || method == Method::HEAD);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._+-".contains(&byte);
    (uri.query().is_none() || search)
        && path.len() <= MAX_PATH
        && path.bytes().all(plain)
        && path
            .strip_prefix('/')
            .is_some_and(|path| path.split('/').all(|part| !matches!(part, "" | "." | "..")))
}

/// Adds to every 401 where to log in, and a challenge for the next mutation token.
fn say_how_to_come_in(app: &App, mut response: Response) -> Response {
    let mut parameters = format!("Cargo login_url=\"{0}/me\", enroll=\"{0}\"", app.base_url);
    let challenges = app.rules.challenges;
    // Without random bytes no challenge is issued. Whoever needs one is told so by the next refusal.
    if challenges != Challenges::Off
        && let Some(challenge) = app.rules.issuer.issue_random(app.store.now())
    {
        parameters += &format!(", challenge=\"{challenge}\", challenges=\"{}\"", challenges.as_str());
    }
    if let Ok(value) = HeaderValue::from_str(&parameters) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
    }
    response
}

/// Runs work that may block on the disk or the database.
async fn blocking<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, Failure>
where
    T: Send + 'static,
    E: Into<Failure> + Send + 'static,
{
    background::blocking(work).await.map_err(Failure::internal)?.map_err(Into::into)
}

/// The same for short work with the store: [`Store::work`].
async fn work<T, E>(app: &App, work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, Failure>
where
    T: Send + 'static,
    E: Into<Failure> + Send + 'static,
{
    app.store.work(move |_| work()).await.map_err(Failure::internal)?.map_err(Into::into)
}

fn json(value: &serde_json::Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

#[cfg(test)]
mod tests {
    use axum::http::{Method, Uri};

    use super::is_strict;

    #[test]
    fn a_path_has_one_reading() {
        let strict = |path: &str| is_strict(&Method::GET, &path.parse::<Uri>().unwrap());
        for good in [
            "/me",
            "/index/he/ll/hello_w-x",
            "/api/v1/crates/a/1.0.0-rc.1+b.2/download",
            "/api/v1/crates?q=a%20b",
        ] {
            assert!(strict(good), "{good}");
        }
        for bad in [
            &format!("/{}", "x".repeat(super::MAX_PATH)),
            "/",
            "/me/",
            "//me",
            "/index/../me",
            "/index/./config.json",
            "/api/v1/crates/%68ello/1.0.0/download",
            "/me?x",
            "/index/config.json?",
            "/index/a~b",
            "/api/v1/crates/a;b/owners",
        ] {
            assert!(!strict(bad), "{bad}");
        }
        assert!(is_strict(&Method::HEAD, &"/api/v1/crates?q=a".parse().unwrap()));
        assert!(!is_strict(&Method::PUT, &"/api/v1/crates?q=a".parse().unwrap()));
    }
}

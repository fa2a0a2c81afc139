//! Metrics and health checks for operators, on a listener of their own.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::body::Incoming;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::background::blocking;
use crate::causes::with_causes;
use crate::listener::{Service, names_one_host, routed};
use crate::metrics::Metrics;
use crate::store::{Store, StoreError};

/// A store that takes longer counts as not ready.
const READY_WITHIN: Duration = Duration::from_secs(2);

/// `GET /metrics`, `GET /healthz` and `GET /readyz`.
#[derive(Clone)]
pub(crate) struct Operators(Router);

/// What the handlers need.
#[derive(Clone)]
struct Asked {
    store: Arc<Store>,
    counters: Arc<Metrics>,
    /// One tries to write at a time, however often it is asked: each may wait for a disk or a database that does not answer.
    trying: Arc<Semaphore>,
}

impl Operators {
    pub(crate) fn new(store: Arc<Store>, counters: Arc<Metrics>) -> Self {
        let router = Router::new()
            .route("/metrics", get(metrics))
            .route("/healthz", get(async || "alive\n"))
            .route("/readyz", get(ready));
        Self(router.with_state(Asked { store, counters, trying: Arc::new(Semaphore::new(1)) }))
    }
}

impl Service for Operators {
    async fn answer(&self, _: IpAddr, request: Request<Incoming>) -> Response {
        if !names_one_host(&request) {
            return (StatusCode::BAD_REQUEST, "a request has one `Host`\n").into_response();
        }
        routed(&self.0, request).await
    }
}

async fn metrics(State(Asked { store, counters, .. }): State<Asked>) -> Response {
    let open = blocking(move || store.open_count());
    let open = timeout(READY_WITHIN, open).await.ok().and_then(Result::ok).and_then(Result::ok);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], counters.text(open)).into_response()
}

/// Tells whether a change could be written down now.
async fn ready(State(Asked { store, trying, .. }): State<Asked>) -> Response {
    let written = async {
        let turn = trying.acquire_owned().await;
        blocking(move || {
            let _turn = turn;
            store.write_nothing()
        })
        .await
    };
    let reason = match timeout(READY_WITHIN, written).await {
        Ok(Ok(Ok(()))) => return "ready\n".into_response(),
        Ok(Ok(Err(error))) => why(&error),
        Ok(Err(panic)) => panic.to_string(),
        Err(_) => format!("the store did not complete a write within {} seconds", READY_WITHIN.as_secs()),
    };
    tracing::warn!(reason, "not ready");
    (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response()
}

/// With what to do, where that is known.
fn why(error: &StoreError) -> String {
    let why = with_causes(error);
    error.hint().map_or(why.clone(), |hint| format!("{why}; {hint}"))
}

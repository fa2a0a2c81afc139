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
use tokio::time::timeout;

use crate::background::blocking;
use crate::listener::{Service, names_one_host, routed};
use crate::metrics::Metrics;
use crate::store::Store;

/// A store that takes longer counts as not ready.
const READY_WITHIN: Duration = Duration::from_secs(2);

/// `GET /metrics`, `GET /healthz` and `GET /readyz`.
#[derive(Clone)]
pub(crate) struct Operators(Router);

/// What the handlers need.
type Asked = (Arc<Store>, Arc<Metrics>);

impl Operators {
    pub(crate) fn new(store: Arc<Store>, counters: Arc<Metrics>) -> Self {
        let router = Router::new()
            .route("/metrics", get(metrics))
            .route("/healthz", get(async || "alive\n"))
            .route("/readyz", get(ready));
        Self(router.with_state((store, counters)))
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

async fn metrics(State((store, counters)): State<Asked>) -> Response {
    let open = blocking(move || store.open_count());
    let open = timeout(READY_WITHIN, open).await.ok().and_then(Result::ok).and_then(Result::ok);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], counters.text(open)).into_response()
}

/// Tells whether a change could be written down now.
async fn ready(State((store, _)): State<Asked>) -> Response {
    let written = blocking(move || store.write_nothing());
    let reason = match timeout(READY_WITHIN, written).await {
        Ok(Ok(Ok(()))) => return "ready\n".into_response(),
        Ok(Ok(Err(error))) => error.to_string(),
        Ok(Err(panic)) => panic.to_string(),
        Err(_) => "the store is too slow".to_owned(),
    };
    tracing::warn!(reason, "not ready");
    (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response()
}

//! Whether the gateway starts with this configuration, and whether cargo finds it at its URL.

use std::error::Error;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use serde_json::Value;
use tokio::time::timeout;
use url::{Host, Url};

use super::{Finding, bad, good};
use crate::causes::with_causes;
use crate::config::Config;
use crate::http_client::{Client, Response};
use crate::serve::{Addresses, StartError};
use crate::tls::Tls;

/// How long to wait for the gateway's answer, for which it asks nobody else.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest `config.json` that is read, in bytes.
const MOST_CONFIG: usize = 64 << 10;

/// What the configuration alone tells, and the addresses if it has usable ones.
pub(super) fn configured(config: &Config) -> (Vec<Finding>, Option<Addresses>) {
    let mut findings = Vec::from_iter(url(config));
    findings.extend(proxy(config));
    match usable(config) {
        Ok(addresses) => (findings, Some(addresses)),
        Err(error) => {
            let advice = error.hint().unwrap_or_default();
            findings.push(bad(format!("the gateway does not start: {}", with_causes(&error)), advice));
            (findings, None)
        }
    }
}

/// Checks what a start would check of the configuration, except for the port and the registry behind.
fn usable(config: &Config) -> Result<Addresses, StartError> {
    config.is_within_bounds()?;
    config.tls.clone().map(Tls::open).transpose()?;
    config.attestation.rules()?;
    Addresses::of(config, config.listen)
}

/// `None` for one that the gateway does not start with, of which the start's own words speak.
fn url(config: &Config) -> Option<Finding> {
    if let Err(StartError::Url(_)) = Addresses::of(config, config.listen) {
        return None;
    }
    Some(match &config.url {
        None => bad(
            "no `url` is set, so users would need to reach the listen address itself",
            "set `url` to the address that cargo's users will use; it cannot be changed later",
        ),
        Some(url) if url.starts_with("http://") && !loopback(url) => bad(
            format!("{url} is plain HTTP: crates and read tokens can be read and changed on the way"),
            "put a proxy that ends TLS in front, and set `url` to its https:// address",
        ),
        Some(url) => good(format!("the registry is {url}")),
    })
}

fn loopback(url: &str) -> bool {
    match Url::parse(url).ok().as_ref().and_then(Url::host) {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Without a certificate, an https:// address means a proxy that ends TLS.
fn proxy(config: &Config) -> Option<Finding> {
    let https = config.url.as_ref().is_some_and(|url| url.starts_with("https://"));
    (https && config.tls.is_none() && config.trusted_proxies.is_empty()).then(|| {
        bad(
            "all users share the address of the proxy that ends TLS, and so its limits",
            "name the proxy in `trusted-proxies`",
        )
    })
}

/// Asks without a token, as cargo does first. `None` if the port is not known before the gateway starts.
pub(super) async fn reached(config: &Config, addresses: &Addresses) -> Option<Finding> {
    if config.url.is_none() && config.listen.port() == 0 {
        return None;
    }
    let index = addresses.index_url.strip_prefix("sparse+").unwrap_or(&addresses.index_url);
    let listen = config.listen;
    let response = match ask(&format!("{index}config.json")).await {
        Ok(response) => response,
        Err(error) => {
            return Some(bad(
                format!("cargo gets no answer at {index}: {}", with_causes(error.as_ref())),
                format!(
                    "check that the gateway runs, that the name and the proxy lead to {listen}, and that the certificate is valid"
                ),
            ));
        }
    };
    let status = response.status();
    if is_ours(response, &addresses.base_url).await {
        return Some(good(format!("cargo finds this gateway at {index}")));
    }
    Some(bad(
        format!("something other than this gateway with this configuration ({status}) answers at {index}"),
        format!(
            "restart the gateway if `url` was changed, and make the proxy pass each path on to {listen} unchanged"
        ),
    ))
}

async fn ask(url: &str) -> Result<Response, Box<dyn Error>> {
    Ok(Client::new(PATIENCE, None)?.send(Request::get(url).body(Body::empty())?).await?)
}

/// Whether the answer is this gateway's. Both answers that cargo can get name the gateway's URL.
async fn is_ours(response: Response, base_url: &str) -> bool {
    match response.status() {
        StatusCode::UNAUTHORIZED => {
            let asked = response.headers().get(header::WWW_AUTHENTICATE);
            let login = format!("login_url=\"{base_url}/me\"");
            asked.and_then(|asked| asked.to_str().ok()).is_some_and(|asked| asked.contains(&login))
        }
        StatusCode::OK => {
            let body = timeout(PATIENCE, Limited::new(response.into_body(), MOST_CONFIG).collect()).await;
            let body = body.ok().and_then(Result::ok);
            let config: Option<Value> = body.and_then(|body| serde_json::from_slice(&body.to_bytes()).ok());
            config.is_some_and(|config| config["api"] == base_url && !config["asymmetric"].is_null())
        }
        _ => false,
    }
}

//! Where cargo finds the registry: as the configuration says, or else at the address that is listened on.

use std::net::SocketAddr;

use super::StartError;
use crate::config::{Config, Reads, UpstreamConfig};

/// The addresses of a registry, as cargo has them.
#[derive(Debug)]
pub(crate) struct Addresses {
    /// The public base URL, without a final slash.
    pub(crate) base_url: String,
    /// The index URL as cargo has it: `sparse+http…/index/`.
    pub(crate) index_url: String,
    /// The path where the index is served, with a slash at both ends.
    pub(crate) index_path: String,
    /// Where downloads are: a prefix, or a template, as `config.json` has it.
    pub(crate) dl: String,
}

impl Addresses {
    /// The addresses of a gateway that listens here.
    ///
    /// # Errors
    /// [`StartError::Url`], [`StartError::IndexUrl`], [`StartError::Bypass`].
    pub(crate) fn of(config: &Config, listening: SocketAddr) -> Result<Self, StartError> {
        let scheme = if config.tls.is_some() { "https" } else { "http" };
        let base_url = base_url(config.url.clone().unwrap_or_else(|| format!("{scheme}://{listening}")))?;
        let index_url = config.index_url.clone().unwrap_or_else(|| format!("sparse+{base_url}/index/"));
        let index_path = index_path(&index_url, &base_url)?;
        let dl = match (config.reads, &config.upstream) {
            (Reads::Bypass, Some(UpstreamConfig { dl: Some(dl), .. })) => dl.clone(),
            (Reads::Bypass, _) => return Err(StartError::Bypass),
            _ => format!("{base_url}/api/v1/crates"),
        };
        Ok(Self { base_url, index_url, index_path, dl })
    }
}

/// The path where the index is served: that of its URL if that URL is the gateway's, and else the default.
fn index_path(index_url: &str, base_url: &str) -> Result<String, StartError> {
    let wrong = || StartError::IndexUrl(index_url.to_owned());
    let url = index_url.strip_prefix("sparse+").ok_or_else(wrong)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:[]/+".contains(&byte);
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let is_url = host
        .is_some_and(|host| host.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '['));
    if !is_url || !url.ends_with('/') || !url.bytes().all(plain) {
        return Err(wrong());
    }
    match url.strip_prefix(base_url) {
        Some(path) if path.starts_with('/') => Ok(path.to_owned()),
        _ => Ok("/index/".to_owned()),
    }
}

fn base_url(url: String) -> Result<String, StartError> {
    let base = url.strip_suffix('/').unwrap_or(&url);
    let host = base.strip_prefix("https://").or_else(|| base.strip_prefix("http://"));
    let plain = |text: &str| {
        !text.is_empty()
            && !text.starts_with(':')
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~:[]".contains(&byte))
    };
    match host {
        Some(host) if plain(host) => Ok(base.to_owned()),
        _ => Err(StartError::Url(url)),
    }
}

//! What an administrator should know of a gateway before its users do.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use axum::http::HeaderMap;
use http_body_util::{BodyExt as _, Limited};
use serde_json::Value;

use crate::config::{Config, Reads, UpstreamConfig};
use crate::keys::{Role, User};
use crate::store::{Store, StoreError};
use crate::upstream::{Remote, Upstream as _};
use crate::vault::Vault;

/// The longest index file that is looked at, in bytes.
const MOST_INDEX: usize = 64 << 20;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was found, in one sentence.
    pub text: String,
    /// What to do about it; `None` if it is as it should be.
    pub advice: Option<String>,
}

/// Looks at everything. `crates` are names whose index files are looked at besides those that were published here.
///
/// # Errors
/// If there is no store to look at, or no thread to look with.
pub fn examine(config: &Config, crates: &[String]) -> Result<Vec<Finding>, ExamineError> {
    let store = Arc::new(Store::open_existing(&config.store)?);
    let mut findings = vec![address(config)];
    findings.extend(keys(&store)?);
    if let Some(upstream) = &config.upstream {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(behind(config, upstream, &store, crates, &mut findings))?;
    }
    findings.push(match store.open_intents()?.len() {
        0 => good("every change on record has an outcome"),
        open => bad(
            format!("{open} changes on record have no outcome yet"),
            "they are settled within minutes, or when the gateway starts; see its log if they are not",
        ),
    });
    Ok(findings)
}

/// Why nothing could be looked at.
#[derive(Debug, thiserror::Error)]
pub enum ExamineError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No thread.
    #[error("cannot start")]
    Runtime(#[from] io::Error),
}

fn address(config: &Config) -> Finding {
    match &config.url {
        None => bad(
            "no `url` is set: users would have to reach the address that is listened on",
            "set `url` to the registry's address as cargo's users will have it; it cannot be changed later",
        ),
        Some(url) if url.starts_with("http://") && !loopback(url) => bad(
            format!("{url} is plain HTTP: crates and read tokens can be read and changed on the way"),
            "put a proxy that ends TLS in front, and set `url` to its https:// address",
        ),
        Some(url) => good(format!("the registry is {url}")),
    }
}

fn loopback(url: &str) -> bool {
    let host = url.trim_start_matches("http://");
    ["127.", "localhost", "[::1]"].iter().any(|start| host.starts_with(start))
}

fn keys(store: &Store) -> Result<Vec<Finding>, StoreError> {
    let keys = store.keys()?;
    let live = keys.iter().filter(|key| key.revoked.is_none()).count();
    Ok(vec![match live {
        0 => bad(
            "nobody has a key",
            "run `registry-gateway invite USER`, or `registry-gateway key add` with what `yk-cargo enroll` prints",
        ),
        _ => good(format!("{live} keys are in use")),
    }])
}

async fn behind(
    config: &Config,
    upstream: &UpstreamConfig,
    store: &Arc<Store>,
    crates: &[String],
    findings: &mut Vec<Finding>,
) -> Result<(), StoreError> {
    let opened = Vault::open(&upstream.key_file).and_then(|vault| with_credentials(store, &vault, findings));
    let users = match opened {
        Ok(users) => users,
        Err(error) => {
            let advice = error.hint().unwrap_or_default();
            findings.push(bad(error.to_string(), advice));
            return Ok(());
        }
    };
    let remote = match Remote::new(upstream, store.clone()) {
        Ok(remote) => remote,
        Err(error) => {
            findings.push(bad(error.to_string(), "see [upstream] in the configuration"));
            return Ok(());
        }
    };
    if remote.is_open_to_all().await {
        findings.push(if config.reads == Reads::Token {
            bad(
                format!("{} gives its crates to everybody who reaches it", upstream.index),
                "let only the gateway reach it, or have it ask for a token",
            )
        } else {
            good(format!("{} can be read without a token, like this gateway", upstream.index))
        });
    }
    for user in &users {
        findings.push(match remote.ask_for_places(Some(user)).await {
            Ok(_) => good(format!("the registry behind takes the credential of {user}")),
            Err(error) => bad(
                error.to_string(),
                format!("see that it runs, or set the credential again with `registry-gateway credential set {user}`"),
            ),
        });
    }
    if let Some(user) = users.first() {
        let mut names: BTreeSet<String> = crates.iter().cloned().collect();
        names.extend(store.published(None)?.into_iter().map(|record| record.name));
        findings.push(lines_past_the_gateway(&remote, user, &names, &upstream.addresses()).await);
    }
    Ok(())
}

/// Users who can change something, and whose credential opens.
fn with_credentials(
    store: &Store,
    vault: &Vault,
    findings: &mut Vec<Finding>,
) -> Result<Vec<User>, crate::vault::VaultError> {
    let mut users = Vec::new();
    let mut seen = BTreeSet::new();
    for key in store.keys().unwrap_or_default() {
        if key.revoked.is_some() || !seen.insert(key.user.to_string()) {
            continue;
        }
        match store.credential(&key.user) {
            Ok(Some(sealed)) => match vault.unseal(&key.user, &sealed) {
                Ok(_) => users.push(key.user),
                Err(error) => findings.push(bad(error.to_string(), error.hint().unwrap_or_default())),
            },
            _ => {
                let what = if key.role == Role::Read { "read" } else { "do anything" };
                findings.push(bad(
                    format!("{} cannot {what}: there is no credential for the registry behind", key.user),
                    format!("run `registry-gateway credential set {}`", key.user),
                ));
            }
        }
    }
    Ok(users)
}

/// A dependency on the registry behind by its own address leads cargo around the gateway.
async fn lines_past_the_gateway(
    remote: &Remote,
    user: &User,
    names: &BTreeSet<String>,
    addresses: &[String],
) -> Finding {
    let mut leading_past = Vec::new();
    for name in names {
        let Ok(response) = remote.index_file(Some(user), name, &HeaderMap::new()).await else { continue };
        let Ok(body) = Limited::new(response.into_body(), MOST_INDEX).collect().await else { continue };
        for line in body.to_bytes().split(|byte| *byte == b'\n') {
            let line: Value = serde_json::from_slice(line).unwrap_or_default();
            let dependencies = line["deps"].as_array().map(Vec::as_slice).unwrap_or_default();
            let past = |dependency: &Value| {
                dependency["registry"].as_str().is_some_and(|url| addresses.iter().any(|one| one == url))
            };
            if dependencies.iter().any(past) {
                leading_past.push(format!("{name} {}", line["vers"].as_str().unwrap_or("?")));
            }
        }
    }
    if leading_past.is_empty() {
        return good(format!(
            "no version of {} crates depends on the registry behind by its own address",
            names.len()
        ));
    }
    bad(
        format!("cargo is led around this gateway by the dependencies of {}", leading_past.join(", ")),
        "publish new versions that name this registry's index URL, and yank those",
    )
}

fn good(text: impl Into<String>) -> Finding {
    Finding { text: text.into(), advice: None }
}

fn bad(text: impl Into<String>, advice: impl Into<String>) -> Finding {
    Finding { text: text.into(), advice: Some(advice.into()) }
}

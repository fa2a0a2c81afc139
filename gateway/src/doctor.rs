//! `doctor`: problems of a gateway that an administrator should know of before its users do.

mod address;
mod publishers;
mod staged;
mod versions;
mod witnesses;

use std::io;
use std::pin::pin;
use std::sync::Arc;

use asymmetric_token::CrateName;
use futures_util::StreamExt as _;
use futures_util::stream;

use crate::causes::{escaped, with_causes};
use crate::config::{Config, PostgresConfig, Reads, UpstreamConfig};
use crate::credential_provider::Lasts;
use crate::credentials::may_run_providers;
use crate::index::IndexUrls;
use crate::inspection::{self, Inspection};
use crate::keys::{Key, User};
use crate::store::{Intent, OpenChange, Store, StoreError};
use crate::store_place::StorePlace;
use crate::upstream::{Reader, Remote, RemoteError, Taken, UpstreamError};
use crate::vault::{Credential, Vault};

/// How many faults are named in one finding.
const MOST_FAULTS: usize = 5;
/// How many questions the registry behind gets at once.
const AT_ONCE: usize = 8;

/// One thing that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was found, in one sentence.
    pub text: String,
    /// What to do about it, or what to know; `None` if it is as it should be.
    pub advice: Option<String>,
    /// Whether something has to be done.
    pub to_do: bool,
}

/// Checks everything. The index files of `crates` are read too, besides those of crates that were published here.
///
/// # Errors
/// If there is no store, or no thread can be started.
pub fn examine(config: &Config, crates: &[CrateName]) -> Result<Vec<Finding>, ExamineError> {
    let store = Arc::new(Store::existing_at(&config.store, &config.postgres)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut findings, addresses) = address::configured(config);
    let unserved_for = store.keeps_from_serving(&settings(config));
    // A key file that cannot be read is told once, with the credentials that it is for.
    let is_told = |error: &&StoreError| config.upstream.is_some() && matches!(error, StoreError::KeyFile(_));
    findings.extend(unserved_for.iter().filter(|error| !is_told(error)).map(unserved));
    if let Some(addresses) = addresses {
        findings.extend(runtime.block_on(address::reached(config, &addresses)));
    }
    let mut keys = store.keys()?;
    let now = store.now();
    keys.retain(|key| key.revoked.is_none() && key.expires.is_none_or(|end| now < end));
    findings.push(in_use(&keys));
    if let Some(upstream) = &config.upstream {
        runtime.block_on(behind(config, upstream, &store, crates, &mut findings))?;
    }
    if let StorePlace::Postgres(url) = &config.store {
        findings.push(role(&url.user, store.can_change_log()?));
    }
    findings.extend(runtime.block_on(witnesses::asked(config, &store))?);
    findings.extend(runtime.block_on(publishers::asked(&store))?);
    findings.push(inspected(&inspection::inspect(&store, now)?));
    findings.push(outcomes(&store.open_changes()?));
    findings.extend(staged::found(config, &store, now)?);
    Ok(findings)
}

/// Why nothing could be checked.
#[derive(Debug, thiserror::Error)]
pub enum ExamineError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A thread could not be started.
    #[error("cannot start")]
    Runtime(#[from] io::Error),
}

/// As [`Gateway::start`](crate::Gateway::start) has them.
fn settings(config: &Config) -> PostgresConfig {
    let mut config = config.clone();
    config.has_one_key_file();
    config.postgres
}

/// Why a gateway does not start, in its own words.
fn unserved(error: &StoreError) -> Finding {
    bad(
        format!("a gateway cannot serve this store: {}", with_causes(error)),
        error.hint().unwrap_or_default(),
    )
}

fn in_use(keys: &[Key]) -> Finding {
    match keys.len() {
        0 => bad(
            "nobody has a key",
            "run `registry-gateway invite USER`, or `registry-gateway key add` with what `yk-cargo enroll` prints",
        ),
        1 => good("1 key is in use"),
        many => good(format!("{many} keys are in use")),
    }
}

/// What the role in the address of a PostgreSQL can do.
fn role(name: &str, can_change_log: bool) -> Finding {
    if can_change_log {
        return bad(
            format!("the role {name} can change the audit log, not only add to it"),
            "make another role for the gateway, give it its rights with `registry-gateway store migrate --role ROLE` as the owner, \
             and name it in `store`",
        );
    }
    good(format!("the role {name} can add to the audit log, but not change it"))
}

/// The log, the tables, the files and the lines of this store.
fn inspected(found: &Inspection) -> Finding {
    if found.faults.is_empty() {
        return good(match found.versions {
            0 => "the store holds what its log says".to_owned(),
            versions => format!(
                "the store holds what its log says, and its index what the signed files say (versions looked at: {versions})"
            ),
        });
    }
    bad(
        format!("the store was changed behind its log's back: {}", the_first(&found.faults)),
        "see `registry-gateway audit verify`, keep a copy of the folder, restore a backup, and find out who can write to it",
    )
}

/// Changes without an outcome. Of those of which there is a reason for that, the gateway has asked in vain.
fn outcomes(open: &[OpenChange]) -> Finding {
    if open.is_empty() {
        return good("every recorded change has an outcome");
    }
    let described = |OpenChange { intent, why, .. }: &OpenChange| {
        let Intent { seq, user, time, .. } = intent;
        let why = why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        format!("{intent} by {user}, number {seq}, since {time:.0}{why}")
    };
    let described: Vec<_> = open.iter().map(described).collect();
    let settled = "they are settled within minutes once the registry behind tells their outcome";
    let advice = match open.iter().find(|open| open.why.is_some()) {
        None => "they are settled within minutes while the gateway runs; if not, see its log".to_owned(),
        Some(OpenChange { intent, .. }) => format!(
            "{settled}; if that does not happen, check there, and run `registry-gateway change settle {} --done` or `--not-done`",
            intent.seq
        ),
    };
    bad(
        format!("recorded changes whose outcome is unknown: {}: {}", open.len(), the_first(&described)),
        advice,
    )
}

/// The first faults, and how many more there are.
fn the_first<T: ToString>(faults: &[T]) -> String {
    let shown: Vec<_> = faults.iter().take(MOST_FAULTS).map(ToString::to_string).collect();
    match faults.len() - shown.len() {
        0 => shown.join("; "),
        more => format!("{}; and {more} more", shown.join("; ")),
    }
}

fn no_answer(error: &UpstreamError) -> Finding {
    bad(with_causes(error), SEE_INDEX)
}

const SEE_INDEX: &str = "check that it runs and that `index` in [upstream] is the address of its index";

/// Compares who may read here with who may read at the registry behind.
fn who_may_read(here: Reads, index: &str, open: bool) -> Finding {
    match (here, open) {
        (Reads::Token, true) => bad(
            format!("{index} gives its crates to everybody who can reach it"),
            "make it reachable only for the gateway, or make it require a token",
        ),
        (Reads::Open, false) => bad(
            format!("nobody can read: this gateway asks for no token, but {index} requires one"),
            "set `reads = \"token\"`, or allow reads without a token at the registry behind",
        ),
        (_, true) => good(format!("{index} can be read without a token")),
        (_, false) => good(format!("{index} gives nothing without a token")),
    }
}

async fn behind(
    config: &Config,
    upstream: &UpstreamConfig,
    store: &Arc<Store>,
    crates: &[CrateName],
    findings: &mut Vec<Finding>,
) -> Result<(), StoreError> {
    let users = match Vault::open(&upstream.key_file) {
        Ok(vault) => with_credentials(config, store, &vault, findings)?,
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
    match remote.is_open_to_all().await {
        Ok(open) => findings.push(who_may_read(config.reads, &upstream.index, open)),
        Err(error) => {
            findings.push(no_answer(&error));
            return Ok(());
        }
    }
    let mut reader = None;
    let ask = async |user| (user, remote.takes(user).await);
    let mut answers = pin!(stream::iter(&users).map(ask).buffered(AT_ONCE));
    while let Some((user, answer)) = answers.next().await {
        findings.push(match answer {
            Ok(taken) => {
                reader = reader.or(Some(user));
                good(format!("the registry behind accepts the credential of {user}{}", described(&taken)))
            }
            Err(UpstreamError::Remote(RemoteError::CredentialRefused(_))) => bad(
                format!("the registry behind refuses the credential of {user}"),
                format!("make a token for {user} there, and run `registry-gateway credential set {user}`"),
            ),
            Err(UpstreamError::Remote(RemoteError::Provider { source, .. })) => bad(
                format!("the credential provider of {user} gives nothing: {source}"),
                format!(
                    "check that it can be run here, or name another one with `registry-gateway credential provider {user} -- PROGRAM …`"
                ),
            ),
            Err(UpstreamError::NotFound(_)) => {
                bad(format!("there is no config.json below {}", upstream.index), SEE_INDEX)
            }
            Err(error) => no_answer(&error),
        });
    }
    if let Some(user) = reader {
        let (revision, contents) = store.present().await?;
        let reader = Reader { user: user.clone(), revision, contents };
        let looking = versions::Looking::new(&remote, reader, store, config.max_crate);
        findings.extend(looking.at_all(crates, &IndexUrls::new(upstream.addresses())).await?);
    }
    Ok(())
}

/// In which form a credential is taken, and how long it is good.
fn described(Taken { scheme, lasts }: &Taken) -> String {
    let form = scheme
        .as_ref()
        .map_or_else(|| " as it is".to_owned(), |scheme| format!(" with `{}`", escaped(scheme)));
    let life = match lasts {
        None => String::new(),
        Some(Lasts::Once) => ", which a provider gives for each request".to_owned(),
        Some(Lasts::Session) => ", which a provider gives once".to_owned(),
        Some(Lasts::Until(end)) => format!(", which a provider gives; this one is valid until {end:.0}"),
    };
    format!("{form}{life}")
}

/// The users whose credential can be opened, including those who have no key yet.
fn with_credentials(
    config: &Config,
    store: &Store,
    vault: &Vault,
    findings: &mut Vec<Finding>,
) -> Result<Vec<User>, StoreError> {
    let mut users = Vec::new();
    for user in store.users()?.into_iter().filter(|person| person.removed.is_none()).map(|person| person.user)
    {
        match store.credential(&user)?.map(|sealed| vault.unseal(&user, &sealed)) {
            Some(Ok(Credential::Provider(_))) if !may_run_providers(config) => findings.push(good(format!(
                "the credential provider of {user} was not tested: it runs as the gateway's user, not as root"
            ))),
            Some(Ok(_)) => users.push(user),
            Some(Err(error)) => findings.push(bad(error.to_string(), error.hint().unwrap_or_default())),
            None => findings.push(bad(
                format!("{user} can do nothing: there is no credential for the registry behind"),
                format!("run `registry-gateway credential set {user}`"),
            )),
        }
    }
    Ok(users)
}

fn good(text: impl Into<String>) -> Finding {
    Finding { text: text.into(), advice: None, to_do: false }
}

fn bad(text: impl Into<String>, advice: impl Into<String>) -> Finding {
    Finding { text: text.into(), advice: Some(advice.into()), to_do: true }
}

/// What is worth knowing, and not for this gateway's administrator alone to mend.
fn note(text: impl Into<String>, advice: impl Into<String>) -> Finding {
    Finding { to_do: false, ..bad(text, advice) }
}

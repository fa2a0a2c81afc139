//! Visits to registries: what time it is there, and whether an enrolled key is known there.
//!
//! Several are visited at once, so that one which does not answer delays none of the others.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::thread;

use asymmetric_token::KeyId;
use jiff::Timestamp;
use serde::Deserialize;

use super::clock::ClockError;
use super::greeting::{ANY_CRATE, Asked, Error, Greeting, greet, owners_url};
use super::http::Answer;
use super::staged::{self, Listed, Staging};
use crate::index_url::IndexUrl;
use crate::settings::Settings;

/// How many are visited at once: fewer than the files that a process may have open.
const AT_ONCE: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// What a visit showed.
#[derive(Debug)]
pub struct Visit {
    /// How far this computer's clock is wrong, if it is and the registry tells.
    pub clock: Option<ClockError>,
    /// What became of the read token.
    pub welcome: Welcome,
    /// What the registry says of the key that signs changes, which has signed nothing.
    pub changes: Welcome,
    /// What is staged there, as far as it concerns whoever has the token; `None` if that is not told.
    pub staged: Option<Result<Listed, staged::Error>>,
}

/// What a visitor has to show.
#[derive(Clone, Debug)]
pub struct Credential {
    /// A read token.
    pub token: String,
    /// The key that would sign a change.
    pub changes: Option<KeyId>,
}

/// A gateway's answer about a key.
#[derive(Deserialize)]
struct Standing {
    version: u64,
    key: String,
    refusal: Option<String>,
}

/// Whether a registry takes a read token.
#[derive(Debug, PartialEq, Eq)]
pub enum Welcome {
    /// It does.
    Taken,
    /// It does not know the key, or not any more: its own words, which are not safe to show.
    Refused(Option<String>),
    /// None was sent, or the answer tells nothing of it.
    Untold,
}

/// Visits registries, each with a credential for it if there is one. The answers are in the order of the questions.
pub fn all(registries: &[(&IndexUrl, Option<Credential>)], settings: &Settings) -> Vec<Result<Visit, Error>> {
    at_once(registries, |(index, credential)| visit(index, credential.as_ref(), settings))
}

/// What registries tell somebody without a token.
pub type Greetings = BTreeMap<IndexUrl, Result<Greeting, Error>>;

/// Has registries greet somebody without a token, all at once.
pub fn greetings(registries: &[IndexUrl], settings: &Settings) -> Greetings {
    let answers = at_once(registries, |index| greet(index, ANY_CRATE, settings));
    registries.iter().cloned().zip(answers).collect()
}

/// Asks each of many, [`AT_ONCE`] together.
fn at_once<T: Sync, A: Send>(asked: &[T], ask: impl Fn(&T) -> A + Sync) -> Vec<A> {
    let together = |asked: &[T]| {
        thread::scope(|scope| {
            let asking: Vec<_> = asked.iter().map(|one| scope.spawn(|| ask(one))).collect();
            let answers =
                asking.into_iter().map(|asking| asking.join().unwrap_or_else(|panic| resume_unwind(panic)));
            answers.collect::<Vec<_>>()
        })
    };
    asked.chunks(AT_ONCE.get()).flat_map(together).collect()
}

fn visit(index: &str, credential: Option<&Credential>, settings: &Settings) -> Result<Visit, Error> {
    let registry = Asked::new(index, settings)?;
    let token = credential.map(|credential| credential.token.as_str());
    let mut config = registry.get_config(None)?;
    let clock = ClockError::of(&config, Timestamp::now());
    let mut is_taken = None;
    if let (401 | 403, Some(token)) = (config.status, token)
        && let Ok(with_token) = registry.get_config(Some(token))
    {
        is_taken = match &with_token {
            Answer { status: 200, .. } => Some(Welcome::Taken),
            Answer { status: 401 | 403, .. } => Some(Welcome::Refused(with_token.detail())),
            _ => None,
        };
        config = with_token;
    }
    let api = match config.status {
        200 => registry.config(&config)?.api.filter(|api| registry.is_own(api)),
        401 | 403 => None,
        _ if is_taken.is_some() => None,
        status => return Err(registry.status(status)),
    };
    let welcome = match (is_taken, &api, token) {
        (Some(welcome), ..) => welcome,
        (None, Some(api), Some(token)) => owners_welcome(&registry, &owners_url(api, ANY_CRATE), token),
        (None, ..) => Welcome::Untold,
    };
    let changes = match (&welcome, &api, credential) {
        (Welcome::Taken, Some(api), Some(credential)) => changes_welcome(&registry, api, credential),
        _ => Welcome::Untold,
    };
    let staged = match (&welcome, token) {
        (Welcome::Taken, Some(token)) => {
            let listed = Staging::at(registry, api, settings).and_then(|staging| staging.list(token));
            Some(listed).filter(|listed| !listed.as_ref().is_err_and(|error| has_no_list(error, &changes)))
        }
        _ => None,
    };
    Ok(Visit { clock, welcome, changes, staged })
}

/// Whether there may be no list at all. What only a gateway says shows that there is one.
fn has_no_list(error: &staged::Error, changes: &Welcome) -> bool {
    match error {
        staged::Error::NotOffered { .. } => true,
        staged::Error::Http(_) => false,
        _ => *changes == Welcome::Untold,
    }
}

/// Only a gateway has an answer to this.
fn changes_welcome(registry: &Asked, api: &str, credential: &Credential) -> Welcome {
    let Some(key) = credential.changes else { return Welcome::Untold };
    let url = format!("{}/api/v1/keys/{key}", api.trim_end_matches('/'));
    let answer = registry.client.get(&url, Some(&credential.token));
    let Ok(Answer { status: 200, body, .. }) = answer else { return Welcome::Untold };
    match serde_json::from_slice(&body) {
        Ok(Standing { version: 1, key: about, refusal }) if about == key.to_string() => {
            refusal.map_or(Welcome::Taken, |words| Welcome::Refused(Some(words)))
        }
        _ => Welcome::Untold,
    }
}

/// Where everybody reads there is only the API's list of owners to try a read token on, which wants a token that names the crate.
/// Another one is answered with 403 if its key is known, and else with 401 (RFC 9110, 15.5). A registry that says the same to
/// somebody without a token has not looked at this one.
fn owners_welcome(registry: &Asked, url: &str, token: &str) -> Welcome {
    match registry.owners(url, Some(token)) {
        Ok(Answer { status: 403, .. }) => Welcome::Taken,
        Ok(answer @ Answer { status: 401, .. }) => {
            let words = answer.detail();
            let without = registry.owners(url, None).map(|answer| answer.detail());
            if without.is_ok_and(|without| without != words) {
                Welcome::Refused(words)
            } else {
                Welcome::Untold
            }
        }
        _ => Welcome::Untold,
    }
}

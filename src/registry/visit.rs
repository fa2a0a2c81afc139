//! Visits to registries: what time it is there, and whether an enrolled key is known there.
//!
//! Several are visited at once, so that one which does not answer delays none of the others.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::thread;

use jiff::Timestamp;

use super::clock::ClockError;
use super::greeting::{ANY_CRATE, Asked, Error, Greeting, greet, owners_url};
use super::http::Answer;
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

/// Visits registries, each with a read token for it if there is one. The answers are in the order of the questions.
pub fn all(registries: &[(&IndexUrl, Option<String>)], settings: &Settings) -> Vec<Result<Visit, Error>> {
    at_once(registries, |(index, token)| visit(index, token.as_deref(), settings))
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

fn visit(index: &str, token: Option<&str>, settings: &Settings) -> Result<Visit, Error> {
    let registry = Asked::new(index, settings)?;
    let answer = registry.get_config(None)?;
    let clock = ClockError::of(&answer, Timestamp::now());
    let welcome = match (answer.status, token) {
        (200, _) => {
            let api = registry.config(&answer)?.api;
            let owners = api.map(|api| owners_url(&api, ANY_CRATE)).filter(|url| registry.is_own(url));
            match owners.zip(token) {
                Some((url, token)) => owners_welcome(&registry, &url, token),
                None => Welcome::Untold,
            }
        }
        (401 | 403, Some(token)) => match registry.get_config(Some(token)) {
            Ok(Answer { status: 200, .. }) => Welcome::Taken,
            Ok(answer @ Answer { status: 401 | 403, .. }) => Welcome::Refused(answer.detail()),
            _ => Welcome::Untold,
        },
        (401 | 403, None) => Welcome::Untold,
        (status, _) => return Err(registry.status(status)),
    };
    Ok(Visit { clock, welcome })
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

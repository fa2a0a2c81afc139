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
                Some((url, token)) => welcome(registry.owners(&url, Some(token)), 403),
                None => Welcome::Untold,
            }
        }
        (401 | 403, Some(token)) => welcome(registry.get_config(Some(token)), 200),
        (401 | 403, None) => Welcome::Untold,
        (status, _) => return Err(registry.status(status)),
    };
    Ok(Visit { clock, welcome })
}

/// A read token opens what needs one. Where everybody reads there is only the API's list of owners to try it on, which wants
/// a token that names the crate: another one is answered with 403 if its key is known, and else with 401 (RFC 9110, 15.5).
fn welcome(answer: Result<Answer, Error>, taken: u16) -> Welcome {
    let Ok(answer) = answer else { return Welcome::Untold };
    match answer.status {
        status if status == taken => Welcome::Taken,
        401 => Welcome::Refused(answer.detail()),
        403 if taken == 200 => Welcome::Refused(answer.detail()),
        _ => Welcome::Untold,
    }
}

//! The commands `user`, `invite` and `key`: who may use the registry, and with which keys.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use jiff::Timestamp;
use registry_gateway::escaped;
use registry_gateway::keys::{Key, NewKey, Role, User};
use registry_gateway::publishers::{CratePattern, CratePatterns};
use registry_gateway::store::{Person, Store, StoreError};

use super::{Outcome, say};
use crate::cli::{AddKey, KeyCommand, Place, PlaceError, UserCommand};

pub(super) fn user(command: UserCommand) -> Outcome {
    match command {
        UserCommand::Add { place, user, again, invite } => {
            let store = open_or_create(&place)?;
            store.add_user(&user, again, store.now())?;
            if invite {
                return invite_to(&store, &user);
            }
            say(&format!("{user}\n"))?;
        }
        UserCommand::List { place } => {
            let store = place.store()?;
            for person in store.users()? {
                say(&person_line(&person, store.now()))?;
            }
        }
        UserCommand::Remove { place, user } => {
            let store = place.store()?;
            let revoked = store.remove_user(&user, store.now())?;
            say(&format!("{user}\t{} revoked\n", count(revoked)))?;
            if store.credential(&user)?.is_some() {
                hint(&format!(
                    "{user}'s token for the registry behind is still good there: revoke it there, and run \
                     `registry-gateway credential remove {user}`\n"
                ));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints only the code on standard output. It cannot be shown again.
pub(super) fn invite(place: &Place, user: &User) -> Outcome {
    invite_to(&place.store()?, user)
}

fn invite_to(store: &Store, user: &User) -> Outcome {
    let (code, expires) = store.invite(user, store.now())?;
    say(&format!("{code}\n"))?;
    hint(&format!(
        "valid once, until {expires:.0}; only its hash is stored. {user} runs: yk-cargo enroll REGISTRY --invite\n"
    ));
    Ok(ExitCode::SUCCESS)
}

/// Tells on standard error what to do next. The command has succeeded already, so a failure to write is ignored.
pub(super) fn hint(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

pub(super) fn key(command: KeyCommand) -> Outcome {
    match command {
        KeyCommand::Add(add) => {
            let AddKey { place, user, role, crates, label, subject, expires, public } = *add;
            let crates = crates_of(role, crates)?;
            let store = open_or_create(&place)?;
            let now = store.now();
            let expires = match expires {
                Some(expires) => Some(expires.after(now).ok_or("--expires is not in the future")?),
                None => None,
            };
            let is_new = matches!(store.has_user(&user), Err(StoreError::UserUnknown(_)));
            let new = NewKey { public, user: user.clone(), role, label, subject, expires };
            say(&format!("{}\n", store.add_key_for(new, &crates, now)?.id()))?;
            if is_new {
                hint(&format!("added the new user {user}\n"));
            }
        }
        KeyCommand::List { place } => {
            let store = place.store()?;
            for key in store.keys()? {
                say(&key_line(&key, store.now()))?;
                if key.role == Role::Stage {
                    // On standard error: who reads the lines finds the same columns for every key.
                    let crates = store.crates_of_key(key.id())?;
                    hint(&format!("{} may stage {}\n", key.id(), crates.words()));
                }
            }
        }
        KeyCommand::Revoke { place, id } => {
            let store = place.store()?;
            let key = store.revoke_key(&id, store.now())?;
            say(&format!("{}\n", key.id()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The crates that a machine's key may stage. Nobody else's key has any.
fn crates_of(role: Role, crates: Vec<CratePattern>) -> Result<CratePatterns, &'static str> {
    match (role == Role::Stage, crates.is_empty()) {
        (true, true) => Err("a key with the role `stage` needs --crate for each crate that it may stage"),
        (false, false) => Err("--crate is only for keys with the role `stage`"),
        _ => Ok(CratePatterns(crates)),
    }
}

/// The store that is named, also if it is not there yet.
fn open_or_create(place: &Place) -> Result<Store, PlaceError> {
    let config = place.config()?;
    if let Some(folder) = config.store.folder().filter(|folder| !Store::is_in(folder)) {
        warn_of_new_store(folder);
    }
    Ok(Store::at(&config.store, &config.postgres)?)
}

/// Warns of a new store. Nothing else would show a slip in its name before people are refused.
pub(super) fn warn_of_new_store(folder: &Path) {
    tracing::warn!("there is no store in {} yet; making one", folder.display());
}

/// A line with name, state, number of keys and an invite that waits, separated by tabs.
fn person_line(person: &Person, now: Timestamp) -> String {
    let state = person.removed.map_or("active".to_owned(), |at| format!("removed {at:.0}"));
    let invited = person.invited.filter(|end| *end > now);
    let invited = invited.map(|end| format!("\tinvited until {end:.0}")).unwrap_or_default();
    format!("{}\t{state}\t{}{invited}\n", person.user, count(person.keys))
}

fn count<N: Display + PartialEq + From<u8>>(keys: N) -> String {
    let s = if keys == N::from(1) { "" } else { "s" };
    format!("{keys} key{s}")
}

/// A line with id, user, role, state and label, separated by tabs.
fn key_line(key: &Key, now: Timestamp) -> String {
    let state = match (key.revoked, key.expires) {
        (Some(at), _) => format!("revoked {at:.0}"),
        (None, Some(at)) if at <= now => format!("expired {at:.0}"),
        (None, Some(at)) => format!("until {at:.0}"),
        (None, None) => format!("since {:.0}", key.added),
    };
    let label = key.label.as_deref().map_or_else(|| "-".to_owned(), escaped);
    format!("{}\t{}\t{}\t{state}\t{label}\n", key.id(), key.user, key.role)
}

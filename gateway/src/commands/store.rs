//! `store`: make, migrate and copy a store, and go on after a restore.

use std::process::ExitCode;

use jiff::Timestamp;
use registry_gateway::config::PostgresConfig;
use registry_gateway::copying;
use registry_gateway::store::{Begun, LastSeen, Loss, Store, StoreError};
use registry_gateway::store_place::StorePlace;

use super::{Outcome, audit, people, say};
use crate::cli::{Place, PlaceError, StoreCommand};

pub(super) fn store(command: StoreCommand) -> Outcome {
    match command {
        StoreCommand::Migrate { place, role } => migrate(&place, role.as_deref())?,
        StoreCommand::Copy { config, from, to } => {
            let [from, to] = [from.place().map_err(PlaceError::from)?, to.place().map_err(PlaceError::from)?];
            let place = Place { config, store: Some(from.clone().into()) };
            let copied = copying::copy(&from, &to, &place.config()?.postgres)?;
            say(&format!("{to}\t{}\t{} crate files\n", copied.end, copied.files))?;
            people::hint(&format!(
                "{from} is marked as moved and is not served any more; set `store` in the configuration to the new place\n"
            ));
        }
        StoreCommand::AcceptRestore { place, lost, checkpoint } => {
            let config = place.config()?;
            let checkpoint = checkpoint.as_deref().map(audit::note).transpose()?;
            let mut loss = Loss { seen: lost, checkpoint, shown: None };
            let store = place.store()?;
            if let (StorePlace::Postgres(_), Some(lost)) = (&config.store, lost) {
                agrees(&store, lost, &config.postgres)?;
            }
            if let StorePlace::Postgres(_) = &config.store
                && loss.seen.is_none()
                && loss.checkpoint.is_none()
            {
                loss.seen = Store::last_seen(&config.postgres)?;
                loss.shown = Store::last_shown(&config.postgres)?;
            }
            let Begun { generation, found } = store.accept_restore(&loss, Timestamp::now())?;
            say(&format!("{generation}\t{found}\n"))?;
            people::hint(&format!(
                "the log goes on as generation {generation}, after entry {}; whoever checks it has to accept its new key, which \
                 `/log/key` tells once a gateway serves it\n",
                found.seq
            ));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether what is said to be lost is what this gateway has seen, if it has a folder that says so: a mistyped place would begin a new
/// generation of a log that has lost nothing. A gateway that has gone on in a later one has seen more, and all of that must be there.
fn agrees(store: &Store, lost: LastSeen, settings: &PostgresConfig) -> Result<(), StoreError> {
    match Store::last_seen(settings) {
        Ok(Some(seen)) if seen.generation > lost.generation => store.has_what_was_seen(settings),
        Ok(Some(seen)) if seen != lost => Err(StoreError::OtherLoss { lost: lost.into(), seen: seen.into() }),
        Ok(_) | Err(StoreError::NoState) => Ok(()),
        Err(error) => Err(error),
    }
}

/// A folder is brought to the present layout by whoever opens it.
fn migrate(place: &Place, role: Option<&str>) -> Result<(), Box<dyn std::error::Error>> {
    let config = place.config()?;
    match (&config.store, role) {
        (StorePlace::Folder(_), Some(_)) => return Err("a store in a folder has no roles".into()),
        (StorePlace::Folder(folder), None) => drop(Store::open_existing(folder)?),
        (StorePlace::Postgres(url), role) => {
            Store::migrate_postgres(url, &config.postgres)?;
            if let Some(role) = role {
                Store::grant_in_postgres(url, &config.postgres, role)?;
            }
        }
    }
    Ok(say(&format!("{} has the current layout\n", config.store))?)
}

//! Whether the issuers of publishers show their keys, and whether publishers have somebody to read as.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;

use super::{Finding, bad, good};
use crate::causes::escaped;
use crate::publishers::{Issuers, Publisher};
use crate::store::{Store, StoreError};

/// How long an issuer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is found of publishers that were not removed.
pub(super) async fn asked(store: &Store) -> Result<Vec<Finding>, StoreError> {
    let mut publishers = store.publishers()?;
    publishers.retain(|publisher| publisher.removed.is_none());
    let findings = publishers.iter().filter_map(|publisher| of_one(store, publisher).transpose());
    let mut findings = findings.collect::<Result<Vec<_>, _>>()?;
    let issuers: BTreeSet<_> = publishers.iter().map(|publisher| &publisher.settings.issuer).collect();
    let asking = Issuers::new(PATIENCE);
    findings.extend(join_all(issuers.into_iter().map(|issuer| of_issuer(&asking, issuer))).await);
    Ok(findings)
}

fn of_one(
    store: &Store,
    Publisher { name, reads_as, .. }: &Publisher,
) -> Result<Option<Finding>, StoreError> {
    match store.has_user(reads_as) {
        Ok(()) => Ok(None),
        Err(StoreError::UserRemoved { .. } | StoreError::UserUnknown(_)) => Ok(Some(bad(
            format!(
                "the publisher {name} reads as {reads_as}, who was removed, so it gets no staging tokens"
            ),
            format!(
                "run `registry-gateway publisher remove {name}`, and add it with another --reads-as if it is to stage"
            ),
        ))),
        Err(error) => Err(error),
    }
}

async fn of_issuer(asking: &Issuers, issuer: &str) -> Finding {
    let shown = escaped(issuer);
    match asking.answers(issuer).await {
        Ok(()) => good(format!("the issuer {shown} shows the keys of its identity tokens")),
        Err(why) => bad(
            format!(
                "the issuer {shown} does not show the keys of its identity tokens: {}",
                escaped(&why.to_string())
            ),
            "its publishers get no staging tokens until it does: check that this computer reaches it and that its address is right",
        ),
    }
}

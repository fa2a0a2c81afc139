//! What is kept beside the tables so that nobody has to count or to look for it, against the tables that it follows from.

use std::collections::BTreeMap;

use semver::Version;

use super::counts::{self, Counted};
use super::sql::{Sql, values};
use super::{StoreError, search};

/// What does not follow, in words.
pub(super) fn wrong(store: &Sql<'_>) -> Result<Vec<String>, StoreError> {
    let mut wrong = Vec::new();
    let counted = [
        (Counted::Spent, "the number of spent tokens", "SELECT count(*) FROM spent"),
        (Counted::Open, "the number of changes without an outcome", "SELECT count(*) FROM open_intent"),
    ];
    for (what, words, sql) in counted {
        let there: i64 = store.one(sql, values![], |row| row.get(0))?;
        if counts::number(store, what)? != there {
            wrong.push(words.to_owned());
        }
    }
    let (offered, highest) = (offered(store)?, highest(store)?);
    let differ = |crate_name: &&String| offered.get(*crate_name) != highest.get(*crate_name);
    let mut crates: Vec<_> = offered.keys().chain(highest.keys()).filter(differ).collect();
    crates.sort();
    crates.dedup();
    wrong.extend(crates.iter().map(|crate_name| format!("the highest version of {crate_name} in searches")));
    Ok(wrong)
}

/// What searches show, by crate.
fn offered(store: &Sql<'_>) -> Result<BTreeMap<String, String>, StoreError> {
    let sql = "SELECT crate, max_version FROM offered";
    let rows = store.all(sql, values![], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.into_iter().collect())
}

/// What they have to show.
fn highest(store: &Sql<'_>) -> Result<BTreeMap<String, String>, StoreError> {
    let mut highest = BTreeMap::<String, Version>::new();
    store.each("SELECT crate, version, line FROM version", values![], |row| {
        // A line that is none is found where lines are compared with the signed files.
        let version = search::offered(row.get(1)?, row.get(2)?);
        let Ok(Some(version)) = version else { return Ok(()) };
        let known = highest.entry(row.get(0)?).or_insert_with(|| version.clone());
        if *known < version {
            *known = version;
        }
        Ok::<_, StoreError>(())
    })?;
    Ok(highest.into_iter().map(|(crate_name, version)| (crate_name, version.to_string())).collect())
}

//! What machines have staged, and waits for people.

use jiff::Timestamp;

use super::{Finding, bad, good, the_first};
use crate::causes::with_causes;
use crate::config::Config;
use crate::staging::{self, StagingRules};
use crate::store::{Deciders, Staged, Store, StoreError};

/// What waits, what nobody can approve, and of which versions the kept file is another one.
pub(super) fn found(config: &Config, store: &Store, now: Timestamp) -> Result<Vec<Finding>, StoreError> {
    let mut all = store.all_staged()?;
    all.retain(|staged| staged.expires > now);
    if all.is_empty() {
        return Ok(Vec::new());
    }
    let mut findings = vec![good(format!(
        "staged versions that wait for people: {}: {}",
        all.len(),
        the_first(&words(&all))
    ))];
    let rule = StagingRules::new(&config.staging, config.upstream.is_none()).approval;
    let mut stuck = Vec::new();
    for staged in &all {
        if store.deciders(staged.name.as_str(), rule)? == Deciders::Nobody {
            stuck.push(staged.clone());
        }
    }
    if let Some(first) = stuck.first() {
        findings.push(bad(
            format!(
                "nobody can approve {}, because that takes {} people, and this gateway does not know who owns the crates",
                the_first(&stuck),
                rule.needed
            ),
            format!("run `registry-gateway approver add {} USER` for each of them", first.name),
        ));
    }
    let spoilt = all.iter().filter_map(|staged| {
        let error = staging::is_kept(store, staged).err()?;
        Some(format!("{staged} (number {}): {}", staged.id, with_causes(&error)))
    });
    let spoilt: Vec<_> = spoilt.collect();
    if !spoilt.is_empty() {
        findings.push(bad(
            format!("staged versions cannot be approved: {}", the_first(&spoilt)),
            "have them rejected and staged again, and find out who can write to the store",
        ));
    }
    Ok(findings)
}

fn words(all: &[Staged]) -> Vec<String> {
    let describe = |staged: &Staged| {
        let Staged { id, stager, staged: since, state, .. } = staged;
        format!("{staged} (number {id}) of {stager}, {}, since {since:.0}", state.as_str())
    };
    all.iter().map(describe).collect()
}

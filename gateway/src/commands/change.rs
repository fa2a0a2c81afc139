//! `change`: what is not known of changes, and an administrator's word on it.

use std::process::ExitCode;

use registry_gateway::store::{Decision, Keeper, OpenChange};
use semver::Version;

use super::{Outcome, say};
use crate::cli::{ChangeCommand, DecisionOption};

pub(super) fn change(command: ChangeCommand) -> Outcome {
    match command {
        ChangeCommand::List { place } => {
            for open in place.store()?.open_changes()? {
                say(&line(&open))?;
            }
        }
        ChangeCommand::Settle { place, id, decision: DecisionOption { done, .. } } => {
            let (decision, word) =
                if done { (Decision::Done, "done") } else { (Decision::NotDone, "not done") };
            let store = place.store()?;
            let intent = store.decide(id, decision, store.now())?;
            say(&format!("{intent}\t{word}\n"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A line with number, time, mutation, crate, version, user and reason, separated by tabs.
fn line(OpenChange { intent, why, keeper }: &OpenChange) -> String {
    let mutation = &intent.mutation;
    let version = mutation.version().map_or("-".to_owned(), Version::to_string);
    let why = why.clone().unwrap_or_else(|| match keeper {
        Keeper::This => {
            "it is in progress, or the gateway stopped during it and has not checked it yet".to_owned()
        }
        Keeper::Another(name) => format!("it is in progress at the gateway {name}"),
        Keeper::Nobody { .. } => "the gateway stopped during it, and no other has checked it yet".to_owned(),
    });
    format!(
        "{}\t{:.0}\t{}\t{}\t{version}\t{}\t{why}\n",
        intent.seq,
        intent.time,
        mutation.kind(),
        mutation.name(),
        intent.user
    )
}

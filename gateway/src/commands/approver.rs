//! `approver`: who may approve what machines have staged.

use std::process::ExitCode;

use super::{Outcome, say};
use crate::cli::ApproverCommand;

pub(super) fn approver(command: ApproverCommand) -> Outcome {
    match command {
        ApproverCommand::Add { place, name, user } => {
            let store = place.store()?;
            store.add_approver(&name, &user, store.now())?;
            say(&format!("{name}\t{user}\n"))?;
        }
        ApproverCommand::List { place } => {
            for (name, user) in place.store()?.approvers()? {
                say(&format!("{name}\t{user}\n"))?;
            }
        }
        ApproverCommand::Remove { place, name, user } => {
            let store = place.store()?;
            if !store.remove_approver(&name, &user, store.now())? {
                return Err(format!("{user} was not an approver of {name}").into());
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

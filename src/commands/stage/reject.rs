//! `stage reject`: the registry forgets a staged version, on record. Its number can be staged again.

use clap::Args;

use super::session::Session;
use super::shown::from;
use super::{At, Which, which};
use crate::commands::print;
use crate::context::Context;
use crate::error::Error;
use crate::registry::staged::State;

/// The longest reason, in bytes.
const LONGEST_REASON: usize = 500;

/// Arguments of `stage reject`.
#[derive(Debug, Args)]
pub struct Reject {
    /// The versions, or their numbers at the registry.
    #[arg(value_name = "NAME@VERS|NUMBER", value_parser = which, required = true)]
    pub which: Vec<Which>,
    /// Where.
    #[command(flatten)]
    pub at: At,
    /// Why, for whoever reads the registry's log.
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub reason: Option<String>,
    /// Do not ask.
    #[arg(long)]
    pub yes: bool,
}

fn reason(text: &str) -> Result<String, String> {
    let fits = text.len() <= LONGEST_REASON;
    if fits { Ok(text.to_owned()) } else { Err(format!("a reason has up to {LONGEST_REASON} bytes")) }
}

/// Runs `yk-cargo stage reject`.
///
/// # Errors
/// [`Error::Declined`]; the registry cannot be asked, or refuses.
pub(super) fn run(arguments: &Reject, context: &Context) -> Result<(), Error> {
    Session::with(&arguments.at, context, |session| rejected(arguments, session))
}

fn rejected(arguments: &Reject, session: &mut Session<'_>) -> Result<(), Error> {
    let mut stages = Vec::new();
    for which in &arguments.which {
        let stage = session.find(which)?;
        let version = format!("{} {}", stage.name, stage.version);
        if !stage.state.is_open() {
            return Err(Error::NotOpen { version, state: stage.state.as_str() });
        }
        print(format_args!("{version}, SHA-256 {}, from {}", stage.checksum, from(&stage.stager)))?;
        stages.push(stage);
    }
    if !arguments.yes {
        session.agreed(match stages.len() {
            1 => "Reject it?",
            _ => "Reject them?",
        })?;
    }
    for stage in stages {
        let version = format!("{} {}", stage.name, stage.version);
        // Each is spent by what it does.
        let token = session.fresh_token()?;
        let now = session.staging.reject(stage.id, arguments.reason.as_deref(), &token)?;
        if now.state != State::Rejected {
            return Err(Error::NotOpen { version, state: now.state.as_str() });
        }
        print(format_args!("rejected {version}"))?;
    }
    Ok(())
}

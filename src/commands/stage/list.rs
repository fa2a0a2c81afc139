//! `stage list`.

use clap::Args;
use jiff::Timestamp;
use serde_json::json;

use super::At;
use super::session::Session;
use super::shown;
use crate::commands::{print, print_json};
use crate::context::Context;
use crate::error::Error;
use crate::text::{escape, foreign_word};
use crate::ui::Ui;

/// Arguments of `stage list`.
#[derive(Debug, Args)]
pub struct List {
    /// Where.
    #[command(flatten)]
    pub at: At,
    /// One JSON object on stdout.
    #[arg(long)]
    pub json: bool,
}

/// Runs `yk-cargo stage list`.
///
/// # Errors
/// The registry cannot be asked, or refuses.
pub(super) fn run(arguments: &List, context: &Context) -> Result<(), Error> {
    Session::with(&arguments.at, context, |session| listed(arguments, session))
}

fn listed(arguments: &List, session: &mut Session<'_>) -> Result<(), Error> {
    let listed = session.list()?;
    let stages = &listed.stages;
    if arguments.json {
        let staged: Vec<_> = stages.iter().map(shown::json).collect();
        let (registry, more) = (&session.registry.index, listed.more);
        return print_json(&json!({ "version": 1, "registry": registry, "staged": staged, "more": more }));
    }
    let name = session.registry.display_name();
    if stages.is_empty() {
        return print(format_args!("nothing is staged at `{}`", escape(name)));
    }
    let now = Timestamp::now();
    stages.iter().try_for_each(|stage| print(shown::line(stage, now)))?;
    if let Some(cut) = listed.cut() {
        Ui::silent().warn(format_args!("this is not all: {cut}"));
    }
    match stages.iter().filter(|stage| stage.waits_for(session.keys())).count() {
        0 => Ui::silent().note("nothing here waits for you"),
        count => Ui::silent().note(format_args!(
            "{count} of {} wait for you: yk-cargo stage view --registry {1} NUMBER, then yk-cargo stage approve --registry {1} NUMBER",
            stages.len(),
            foreign_word(name),
        )),
    }
    Ok(())
}

//! `audit`: whether a registry's log is the one that is known, and continues what was seen of it.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use serde_json::Value;

use crate::commands::candidates;
use crate::commands::verify::fetch::Remote;
use crate::commands::verify::log::{Keeping, LogState, Registry};
use crate::commands::verify::patience::Patience;
use crate::commands::verify::version::registry;
use crate::commands::{BAD, GOOD, WARNING, print, print_json, print_styled};
use crate::context::Context;
use crate::enrollment::Enrollments;
use crate::error::Error;
use crate::text::escape;
use crate::trust::Trust;

/// Arguments of `audit`.
#[derive(Debug, Args)]
pub struct Audit {
    /// The registry's name in cargo's configuration, or its index URL.
    #[arg(add = candidates::registries())]
    pub registry: String,
    /// Also compare with the checkpoint that --save-proofs has put into this folder.
    #[arg(long, value_name = "DIR")]
    pub proofs: Option<PathBuf>,
    /// Also keep the checkpoint in this folder, to commit it with the lock file.
    #[arg(long, value_name = "DIR")]
    pub save_proofs: Option<PathBuf>,
    /// Record the log's key in $CARGO_HOME/yk-cargo/signers.toml, after asking; or accept a log that was started anew.
    #[arg(long)]
    pub remember: bool,
    /// Do not ask, unless a log was started anew.
    #[arg(long, requires = "remember")]
    pub yes: bool,
    /// One JSON object on stdout.
    #[arg(long)]
    pub json: bool,
}

/// Runs `yk-cargo audit`.
///
/// # Errors
/// [`Error::Log`] if it is not shown that the log is what it was; the registry cannot be asked at all.
pub fn run(arguments: &Audit, context: &Context) -> Result<(), Error> {
    let home = context.cargo.home();
    let enrollments = Enrollments::load(home)?;
    let (index, enrolled) = registry(&arguments.registry, &enrollments, context)?;
    let trust = Trust::load(home, &[], None)?;
    let remote = Remote::open(&index, enrolled, context)?;
    let patience = Patience::from(Instant::now());
    let shown = escape(&arguments.registry);
    let registry = Registry { index: &index, shown: shown.clone(), remote: &remote, patience: &patience };
    let keeping = Keeping {
        context,
        proofs: arguments.proofs.as_deref(),
        save: arguments.save_proofs.as_deref(),
        remember: arguments.remember,
        yes: arguments.yes,
    };
    let state = keeping.look(&registry, &trust, 0)?;
    let given = match state {
        LogState::KeyUnknown => {
            remote.log_key()?.map(|key| String::from_utf8_lossy(&key).trim_end().to_owned())
        }
        _ => None,
    };
    if arguments.json {
        let mut json = state.json();
        json["index"] = index.as_str().into();
        json["given-vkey"] = given.as_deref().map_or(Value::Null, Value::from);
        print_json(&json)?;
    } else {
        tell(&state, given.as_deref())?;
    }
    let (code, next) = match &state {
        LogState::Seen(_) => return Ok(()),
        LogState::KeyUnknown => (
            10,
            "ask the registry's administrator for the key; then `yk-cargo audit REGISTRY --remember` records it",
        ),
        LogState::Unreachable(_) => (13, "try again when the registry answers"),
        LogState::Refused(refused) => (17, refused.hint()),
    };
    Err(Error::Log { registry: shown, code, next })
}

fn tell(state: &LogState, given: Option<&str>) -> Result<(), Error> {
    let (style, word) = match state {
        LogState::Seen(_) => (GOOD, "ok"),
        LogState::KeyUnknown => (WARNING, "key unknown"),
        LogState::Unreachable(_) => (BAD, "unreachable"),
        LogState::Refused(_) => (BAD, "refused"),
    };
    print_styled(style, word, format_args!("  {}", state.in_words()))?;
    match state {
        LogState::Seen(seen) => {
            print(format_args!("origin  {}", escape(seen.log.origin().as_str())))?;
            print(format_args!("root    {}", seen.checkpoint.head.root))?;
            print(format_args!("key     {}", escape(&seen.log.key.to_string())))
        }
        LogState::KeyUnknown => {
            let given = given.map_or("the registry shows no log".into(), |key| {
                format!("the registry says that its key is {}", escape(key))
            });
            print(given)
        }
        LogState::Unreachable(_) | LogState::Refused(_) => Ok(()),
    }
}

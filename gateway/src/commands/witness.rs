//! `witness`: make and serve one.

use std::process::ExitCode;

use registry_gateway::witness::{ServedWitness, Witness};

use super::{Asked, Outcome, Signals, announce, say};
use crate::cli::WitnessCommand;
use crate::process;

pub(super) fn witness(command: WitnessCommand) -> Outcome {
    match command {
        WitnessCommand::Init { name, folder } => {
            say(&format!("{}\n", Witness::init(&folder, name)?))?;
            Ok(ExitCode::SUCCESS)
        }
        WitnessCommand::Serve { listen, logs, folder } => {
            std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let mut signals = runtime.block_on(async { Signals::catch() })?;
            process::room_for(ServedWitness::CONNECTIONS)?;
            let witness = Witness::open(&folder, logs)?;
            let verifier = witness.verifier().clone();
            let served = ServedWitness::start(witness, listen)?;
            announce(format!("witness {verifier}\nurl http://{}\nready\n", served.address()));
            while runtime.block_on(signals.next()) == Asked::Reload {
                tracing::info!("a witness has no configuration to reload");
            }
            drop(served);
            Ok(ExitCode::SUCCESS)
        }
    }
}

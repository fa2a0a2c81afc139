//! The command line: `mock-card [serve] OPTIONS` and `mock-card exec OPTIONS -- COMMAND…`.

mod arguments;
mod completions;
mod exec;
mod man;

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory as _, Parser as _};
use p256::pkcs8::LineEnding;
use p256::pkcs8::der::pem;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::applet::attestation::authorities;
use crate::control;
use crate::pcscd::{Daemon, remove_socket};
use crate::settings::StartError;
use arguments::{Arguments, Command, Options};

/// Runs the program. The exit code is 0 for success, 1 for a failure and 2 for a wrong command line; `exec` ends as its
/// command does.
pub fn run() -> ExitCode {
    if completions::answered(Arguments::command) {
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::try_parse().unwrap_or_else(|error| with_tip(error).exit());
    let outcome = match arguments.command {
        Some(Command::Exec { options, command }) => exec::run(&options, &command),
        Some(Command::Serve(options)) => serve(&options),
        Some(Command::Completions { shell }) => written(completions::print(shell), "standard output"),
        Some(Command::Man { directory }) => written(man::write(&directory, Arguments::command()), &directory),
        Some(Command::Ca) => print_authorities(),
        None => serve(&arguments.options),
    };
    outcome.unwrap_or_else(|error| {
        let _ = writeln!(io::stderr(), "mock-card: {error}");
        ExitCode::FAILURE
    })
}

/// clap says of options before `exec` only that the two exclude each other.
fn with_tip(mut error: clap::Error) -> clap::Error {
    if error.kind() == ErrorKind::ArgumentConflict && error.get(ContextKind::InvalidSubcommand).is_some() {
        let tip = "options come after the subcommand: mock-card exec OPTIONS -- COMMAND".into();
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
    }
    error
}

fn written(outcome: io::Result<()>, place: impl AsRef<Path>) -> Result<ExitCode, StartError> {
    outcome.map(|()| ExitCode::SUCCESS).map_err(|error| StartError::file(place.as_ref(), error))
}

/// Prints each certificate as PEM, after a line with its name. Programs that read PEM skip that line.
fn print_authorities() -> Result<ExitCode, StartError> {
    let mut output = io::stdout();
    for authority in authorities() {
        let pem = pem::encode_string("CERTIFICATE", LineEnding::LF, &authority.certificate);
        let pem = pem.expect("a certificate is short enough for PEM");
        let _ = write!(output, "# {}\n{pem}", authority.name);
    }
    Ok(ExitCode::SUCCESS)
}

/// Serves until SIGTERM, SIGINT or the line `quit`. It goes on when standard input ends.
fn serve(options: &Options) -> Result<ExitCode, StartError> {
    let (quit, wanted) = mpsc::channel();
    watch_signals({
        let quit = quit.clone();
        move |_| {
            let _ = quit.send(());
        }
    })?;
    let daemon = Arc::new(Daemon::start(&options.settings()?)?);
    if let Some(path) = &options.control {
        control::listen(&daemon, &quit, path).map_err(|error| StartError::file(path, error))?;
    }
    let events = daemon.events();
    attach(&daemon, options);
    let mut output = io::stdout();
    let _ = writeln!(output, "PCSCLITE_CSOCK_NAME={}\nready", daemon.socket().display());
    let _ = output.flush();
    thread::spawn({
        let daemon = Arc::clone(&daemon);
        move || control::converse(&daemon, &quit, events, io::stdin(), io::stdout())
    });
    let _ = wanted.recv();
    stop(&daemon, options.control.as_deref());
    Ok(ExitCode::SUCCESS)
}

fn attach(daemon: &Daemon, options: &Options) {
    if let Some(address) = &options.vpcd {
        daemon.attach(address);
    }
}

fn stop(daemon: &Daemon, control: Option<&Path>) {
    daemon.stop();
    if let Some(path) = control {
        remove_socket(path);
    }
}

fn watch_signals(mut act: impl FnMut(i32) + Send + 'static) -> Result<(), StartError> {
    let mut signals =
        Signals::new([SIGTERM, SIGINT]).map_err(|error| StartError::file(Path::new("signals"), error))?;
    thread::spawn(move || signals.forever().for_each(&mut act));
    Ok(())
}

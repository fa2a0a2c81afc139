//! `mock-card exec`: a command with a mock of its own, for as long as it runs.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use signal_hook::consts::SIGTERM;

use super::arguments::Options;
use super::{stop, watch_signals};
use crate::control;
use crate::pcscd::{self, Daemon};
use crate::settings::StartError;

/// Runs the command and returns its status; 128 + number for a signal, 127 where it cannot be started.
pub(super) fn run(options: &Options, command: &[OsString]) -> Result<ExitCode, StartError> {
    let daemon = Arc::new(Daemon::start(&options.settings()?)?);
    let folder = if options.control.is_none() { Some(pcscd::new_folder()?) } else { None };
    let path =
        options.control.clone().or(folder.as_ref().map(|folder| folder.join("control"))).unwrap_or_default();
    let (quit, wanted) = mpsc::channel();
    control::listen(&daemon, &quit, &path).map_err(|error| StartError::file(&path, error))?;
    let child = command.split_first().map(|(program, arguments)| {
        Command::new(program)
            .args(arguments)
            .env("PCSCLITE_CSOCK_NAME", daemon.socket())
            .env("MOCK_CARD_CONTROL", &path)
            .spawn()
    });
    let status = match child {
        Some(Ok(child)) => wait(child, wanted),
        Some(Err(error)) => {
            let _ = writeln!(io::stderr(), "mock-card: {}: {error}", command[0].to_string_lossy());
            Ok(ExitCode::from(127))
        }
        None => Ok(ExitCode::from(2)),
    };
    stop(&daemon, Some(&path));
    if let Some(folder) = folder {
        let _ = fs::remove_dir(folder);
    }
    status
}

/// Passes SIGTERM and `quit` on to the command. SIGINT from the keyboard has reached it already.
fn wait(mut child: Child, quit: mpsc::Receiver<()>) -> Result<ExitCode, StartError> {
    let running = Arc::new(Mutex::new(Pid::from_raw(child.id() as i32)));
    let terminate = {
        let running = Arc::clone(&running);
        move || {
            if let Some(pid) = *running.lock().unwrap_or_else(PoisonError::into_inner) {
                let _ = kill_process(pid, Signal::TERM);
            }
        }
    };
    watch_signals({
        let terminate = terminate.clone();
        move |signal| {
            if signal == SIGTERM {
                terminate();
            }
        }
    })?;
    thread::spawn(move || {
        for () in quit {
            terminate();
        }
    });
    // The number must not be given to another process while a signal may still be sent to it.
    if let Some(pid) = Pid::from_raw(child.id() as i32) {
        while waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
            .is_err_and(|error| error == rustix::io::Errno::INTR)
        {}
    }
    *running.lock().unwrap_or_else(PoisonError::into_inner) = None;
    let status = child.wait().map_err(|error| StartError::file("the command".as_ref(), error))?;
    Ok(ExitCode::from(exit_code(status)))
}

fn exit_code(status: ExitStatus) -> u8 {
    let number = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    u8::try_from(number).unwrap_or(u8::MAX)
}

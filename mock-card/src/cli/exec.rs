//! `mock-card exec`: a command with a mock that ends when the command ends.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use signal_hook::consts::SIGTERM;

use super::arguments::Options;
use super::{attach, stop, watch_signals};
use crate::control;
use crate::pcscd::{self, Daemon};
use crate::settings::StartError;

/// Runs the command. The exit code is that of the command, 128 and the number of the signal that ended it, or 127 if it
/// cannot be started.
pub(super) fn run(options: &Options, command: &[OsString]) -> Result<ExitCode, StartError> {
    let terminator = Terminator::default();
    watch_signals({
        let terminator = terminator.clone();
        // A SIGINT from the keyboard reaches the command without us.
        move |signal| {
            if signal == SIGTERM {
                terminator.terminate();
            }
        }
    })?;
    let daemon = Arc::new(Daemon::start(&options.settings()?)?);
    let folder = if options.control.is_none() { Some(pcscd::new_folder()?) } else { None };
    let path =
        options.control.clone().or(folder.as_ref().map(|folder| folder.join("control"))).unwrap_or_default();
    let (quit, wanted) = mpsc::channel();
    control::listen(&daemon, &quit, &path).map_err(|error| StartError::file(&path, error))?;
    thread::spawn({
        let terminator = terminator.clone();
        move || wanted.iter().for_each(|()| terminator.terminate())
    });
    let (program, arguments) = command.split_first().expect("clap requires a command");
    let mut command = Command::new(program);
    command.args(arguments).env("MOCK_CARD_CONTROL", &path);
    if options.vpcd.is_none() {
        command.env("PCSCLITE_CSOCK_NAME", daemon.socket());
    }
    attach(&daemon, options);
    let status = match command.spawn() {
        Ok(child) => terminator.wait(child).map_err(|error| StartError::file(program.as_ref(), error)),
        Err(error) => {
            let _ = writeln!(io::stderr(), "mock-card: {}: {error}", program.to_string_lossy());
            Ok(ExitCode::from(127))
        }
    };
    stop(&daemon, Some(&path));
    if let Some(folder) = folder {
        let _ = fs::remove_dir(folder);
    }
    status
}

/// Sends SIGTERM to the command while it runs. If that is wanted before the command is started, it is sent then.
#[derive(Clone, Default)]
struct Terminator(Arc<Mutex<Target>>);

#[derive(Default)]
struct Target {
    pid: Option<Pid>,
    wanted: bool,
}

impl Terminator {
    fn terminate(&self) {
        let mut target = self.target();
        target.wanted = true;
        target.send();
    }

    fn wait(&self, mut child: Child) -> io::Result<ExitCode> {
        let pid = Pid::from_child(&child);
        {
            let mut target = self.target();
            target.pid = Some(pid);
            if target.wanted {
                target.send();
            }
        }
        // The process is not reaped yet, so that its number cannot belong to another one while a signal may be sent to
        // it.
        let without_reaping = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while waitid(WaitId::Pid(pid), without_reaping).is_err_and(|error| error == Errno::INTR) {}
        self.target().pid = None;
        child.wait().map(|status| ExitCode::from(exit_code(status)))
    }

    fn target(&self) -> MutexGuard<'_, Target> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Target {
    fn send(&self) {
        if let Some(pid) = self.pid {
            let _ = kill_process(pid, Signal::TERM);
        }
    }
}

fn exit_code(status: ExitStatus) -> u8 {
    let number = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    u8::try_from(number).unwrap_or(u8::MAX)
}

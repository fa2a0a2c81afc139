//! The controls as lines of text, for standard input and the control socket.
//!
//! Every line is answered with `ok [VALUE]` or `error TEXT`. Lines that begin with `event ` come by themselves.

use std::io::{self, BufRead as _, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::event::Event;
use crate::fault::{Fault, FaultUsage};
use crate::pcscd::{self, Condition, ControlError, Daemon};

/// Receives a message when somebody wants the mock to end.
pub(crate) type Quit = Sender<()>;

/// The line that ends the mock after it is answered.
const QUIT: &str = "quit";

/// Answers one line.
fn answer(daemon: &Daemon, words: &[&str]) -> String {
    match obey(daemon, words) {
        Ok(value) if value.is_empty() => "ok".to_owned(),
        Ok(value) => format!("ok {value}"),
        Err(error) => format!("error {error}"),
    }
}

/// Why a line was not obeyed.
#[derive(Debug, thiserror::Error)]
enum LineError {
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error(
        "no such command; there are touch, unplug, plug, remove, insert, reset, power-off, hold, release, wait, pin-tries, fault, clear, state, quit"
    )]
    UnknownCommand,
    #[error("write {0}")]
    Usage(&'static str),
    #[error(transparent)]
    Fault(#[from] FaultUsage),
    #[error("the mock is stopping")]
    Stopping,
}

fn obey(daemon: &Daemon, words: &[&str]) -> Result<String, LineError> {
    match words {
        ["wait", what @ ..] => wait(daemon, what),
        ["pin-tries", arguments @ ..] => pin_tries(daemon, arguments),
        // These two are events, although their lines begin as those of faults do.
        ["fault", what @ ("mute" | "gone"), rest @ ..] => cause(daemon, &[&[*what], rest].concat()),
        ["fault", what @ ..] => {
            let (fault, rest) = Fault::parse(what)?;
            Ok(daemon.inject(fault, serial(rest)?).map(nothing)?)
        }
        ["clear", what @ ..] => clear(daemon, what),
        ["state"] => Ok(daemon.describe()),
        [QUIT] => Ok(String::new()),
        _ => cause(daemon, words),
    }
}

fn cause(daemon: &Daemon, words: &[&str]) -> Result<String, LineError> {
    let (event, rest) = Event::parse(words).map_err(|_| match words {
        ["hold", ..] => LineError::Usage("hold exclusive [SERIAL] or hold transaction [SERIAL]"),
        _ => LineError::UnknownCommand,
    })?;
    Ok(daemon.cause(event, serial(rest)?).map(nothing)?)
}

fn nothing((): ()) -> String {
    String::new()
}

fn pin_tries(daemon: &Daemon, arguments: &[&str]) -> Result<String, LineError> {
    let [left, rest @ ..] = arguments else { return Ok(daemon.pin_tries(None)?.to_string()) };
    let left = left.parse().map_err(|_| LineError::Usage("pin-tries [N [SERIAL]], N from 0 to 255"))?;
    Ok(daemon.set_pin_tries(left, serial(rest)?).map(nothing)?)
}

fn clear(daemon: &Daemon, what: &[&str]) -> Result<String, LineError> {
    let (faults, trace) = match what {
        [] => (true, true),
        ["faults"] => (true, false),
        ["trace"] => (false, true),
        _ => return Err(LineError::Usage("clear, clear faults or clear trace")),
    };
    if faults {
        daemon.clear_faults();
    }
    if trace {
        daemon.clear_trace();
    }
    Ok(String::new())
}

fn serial(words: &[&str]) -> Result<Option<u32>, LineError> {
    match words {
        [] => Ok(None),
        [number] => number.parse().map(Some).map_err(|_| LineError::Usage("the serial number in digits")),
        _ => Err(LineError::Usage("one serial number at most")),
    }
}

fn wait(daemon: &Daemon, what: &[&str]) -> Result<String, LineError> {
    /// Longer than any test. A test that waits in vain is ended by its own time limit.
    const A_DAY: Duration = Duration::from_secs(86_400);
    let usage = LineError::Usage("wait touch, wait idle, wait blocked N or wait apdu N");
    let condition = match what {
        ["touch"] => Condition::TouchWanted,
        ["idle"] => Condition::Idle,
        ["blocked", count] => Condition::Blocked(count.parse().map_err(|_| usage)?),
        ["apdu", count] => Condition::Apdus(count.parse().map_err(|_| usage)?),
        _ => return Err(usage),
    };
    if daemon.wait_until(condition, A_DAY) { Ok(String::new()) } else { Err(LineError::Stopping) }
}

/// Answers the lines of `input` on `output` until the input ends. The `events` are written to `output` as they come,
/// also after that.
pub(crate) fn converse<W: Write + Send + 'static>(
    daemon: &Daemon,
    quit: &Quit,
    events: Receiver<String>,
    input: impl io::Read,
    output: W,
) {
    let output = Arc::new(Mutex::new(output));
    thread::spawn({
        let output = Arc::clone(&output);
        move || {
            for event in events {
                if write_line(&output, &event).is_err() {
                    break;
                }
            }
        }
    });
    for line in BufReader::new(input).lines() {
        let Ok(line) = line else { break };
        let words: Vec<&str> = line.split_whitespace().collect();
        if words.is_empty() {
            continue;
        }
        let written = write_line(&output, &answer(daemon, &words));
        // Not before the answer is written, because the process may end at once.
        if words == [QUIT] {
            let _ = quit.send(());
        }
        if written.is_err() {
            break;
        }
    }
}

fn write_line(output: &Mutex<impl Write>, line: &str) -> io::Result<()> {
    let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
    output.write_all(format!("{line}\n").as_bytes())?;
    output.flush()
}

/// Listens on a control socket. Each connection has a thread, and the socket is served until the process ends.
pub(crate) fn listen(daemon: &Arc<Daemon>, quit: &Quit, path: &Path) -> io::Result<()> {
    let listener = pcscd::listen(path)?;
    listener.set_nonblocking(false)?;
    let (daemon, quit) = (Arc::clone(daemon), quit.clone());
    thread::spawn(move || accept(&listener, &daemon, &quit));
    Ok(())
}

fn accept(listener: &UnixListener, daemon: &Arc<Daemon>, quit: &Quit) {
    for stream in listener.incoming() {
        let Ok(stream) = stream else { continue };
        let (daemon, quit) = (Arc::clone(daemon), quit.clone());
        thread::spawn(move || serve(stream, &daemon, &quit));
    }
}

fn serve(stream: UnixStream, daemon: &Daemon, quit: &Quit) {
    let Ok(output) = stream.try_clone() else { return };
    converse(daemon, quit, daemon.events(), &stream, output);
    let _ = stream.shutdown(std::net::Shutdown::Both);
}

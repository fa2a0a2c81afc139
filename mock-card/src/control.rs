//! The controls as lines of text, for standard input and the control socket.
//!
//! Every line is answered with `ok [VALUE]` or `error TEXT`; lines beginning with `event ` come unasked.

use std::io::{self, BufRead as _, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::fault::{self, Fault};
use crate::pcscd::{self, Condition, Daemon, Hold, OutsideError};

/// Told once somebody wants the mock to end.
pub(crate) type Quit = Sender<()>;

/// Ends the mock, once it is answered.
const QUIT: &str = "quit";

/// Answers one line.
fn answer(daemon: &Daemon, words: &[&str]) -> String {
    match obey(daemon, words) {
        Ok(value) if value.is_empty() => "ok".to_owned(),
        Ok(value) => format!("ok {value}"),
        Err(error) => format!("error {error}"),
    }
}

/// A line that was not obeyed.
#[derive(Debug, thiserror::Error)]
enum ControlError {
    #[error(transparent)]
    Outside(#[from] OutsideError),
    #[error(
        "no such command; there are touch, unplug, plug, remove, insert, reset, power-off, hold, release, wait, pin-tries, fault, clear, state, quit"
    )]
    UnknownCommand,
    #[error("write {0}")]
    Usage(&'static str),
    #[error(transparent)]
    Fault(#[from] fault::Usage),
    #[error("the mock is stopping")]
    Stopping,
}

fn obey(daemon: &Daemon, words: &[&str]) -> Result<String, ControlError> {
    let (command, arguments) = words.split_first().ok_or(ControlError::UnknownCommand)?;
    let nothing = |()| String::new();
    match (*command, arguments) {
        ("touch", rest) => Ok(daemon.touch(serial(rest)?).map(nothing)?),
        ("unplug", rest) => Ok(daemon.unplug(serial(rest)?).map(nothing)?),
        ("plug", rest) => Ok(daemon.plug(serial(rest)?).map(nothing)?),
        ("remove", rest) => Ok(daemon.remove(serial(rest)?).map(nothing)?),
        ("insert", rest) => Ok(daemon.insert(serial(rest)?).map(nothing)?),
        ("reset", rest) => Ok(daemon.reset(serial(rest)?).map(nothing)?),
        ("power-off", rest) => Ok(daemon.power_off(serial(rest)?).map(nothing)?),
        ("hold", ["exclusive", rest @ ..]) => Ok(daemon.hold(Hold::Exclusive, serial(rest)?).map(nothing)?),
        ("hold", ["transaction", rest @ ..]) => {
            Ok(daemon.hold(Hold::Transaction, serial(rest)?).map(nothing)?)
        }
        ("hold", _) => Err(ControlError::Usage("hold exclusive [SERIAL] or hold transaction [SERIAL]")),
        ("release", rest) => Ok(daemon.release(serial(rest)?).map(nothing)?),
        ("wait", what) => wait(daemon, what),
        ("pin-tries", []) => Ok(daemon.pin_tries(None)?.to_string()),
        ("pin-tries", [left, rest @ ..]) => {
            let left =
                left.parse().map_err(|_| ControlError::Usage("pin-tries [N [SERIAL]], N from 0 to 255"))?;
            Ok(daemon.set_pin_tries(left, serial(rest)?).map(nothing)?)
        }
        ("fault", what) => {
            let (fault, rest) = Fault::parse(what)?;
            Ok(daemon.fault(fault, serial(rest)?).map(nothing)?)
        }
        ("clear", what) => clear(daemon, what),
        ("state", []) => Ok(daemon.describe()),
        (QUIT, []) => Ok(String::new()),
        _ => Err(ControlError::UnknownCommand),
    }
}

fn clear(daemon: &Daemon, what: &[&str]) -> Result<String, ControlError> {
    let (faults, trace) = match what {
        [] => (true, true),
        ["faults"] => (true, false),
        ["trace"] => (false, true),
        _ => return Err(ControlError::Usage("clear, clear faults or clear trace")),
    };
    if faults {
        daemon.clear_faults();
    }
    if trace {
        daemon.clear_trace();
    }
    Ok(String::new())
}

fn serial(words: &[&str]) -> Result<Option<u32>, ControlError> {
    match words {
        [] => Ok(None),
        [number] => number.parse().map(Some).map_err(|_| ControlError::Usage("the serial number in digits")),
        _ => Err(ControlError::Usage("one serial number at most")),
    }
}

fn wait(daemon: &Daemon, what: &[&str]) -> Result<String, ControlError> {
    /// Longer than any test; who waits in vain is ended by its own time limit.
    const A_DAY: Duration = Duration::from_secs(86_400);
    let usage = ControlError::Usage("wait touch, wait idle, wait blocked N or wait apdu N");
    let condition = match what {
        ["touch"] => Condition::TouchWanted,
        ["idle"] => Condition::Idle,
        ["blocked", count] => Condition::Blocked(count.parse().map_err(|_| usage)?),
        ["apdu", count] => Condition::Apdus(count.parse().map_err(|_| usage)?),
        _ => return Err(usage),
    };
    if daemon.wait_until(condition, A_DAY) { Ok(String::new()) } else { Err(ControlError::Stopping) }
}

/// Takes lines from `input` and writes answers and `events` to `output`, until the input ends. Events go on.
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
        // Told only now: the process may end before another line gets out.
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

/// Listens on a control socket; a thread a connection, for as long as the process lives.
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

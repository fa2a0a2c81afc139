//! A server in a child process, which says on standard output when it listens.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// They are there within a second, unless the machine is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that runs. Dropping it kills it.
#[derive(Debug)]
pub struct Server {
    child: Child,
}

impl Server {
    /// Starts it, and goes through the lines that it writes to standard output until one tells what is waited for. `None` if
    /// it ends before, or a minute passes.
    ///
    /// # Panics
    /// If there is no such program.
    pub fn start<T>(command: &mut Command, mut told: impl FnMut(&str) -> Option<T>) -> Option<(Self, T)> {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("a program that was built");
        let lines = lines_of(child.stdout.take().expect("piped"));
        // Made before the server is ready: dropping it ends the child.
        let server = Self { child };
        let deadline = Instant::now() + PATIENCE;
        loop {
            let line = lines.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()?;
            if let Some(value) = told(&line) {
                return Some((server, value));
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads on when nobody listens any more, or the child would stop at a full pipe.
fn lines_of(output: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    receiver
}

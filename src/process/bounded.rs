//! A program that has so long, and may say so much.

use std::io::{self, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use super::child::Owned;

const POLL: Duration = Duration::from_millis(10);

/// What a program said, and how it ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

/// Runs a program without input. After `limit`, or beyond `longest` bytes, it is ended.
///
/// # Errors
/// It cannot be started; [`io::ErrorKind::TimedOut`]; it says more.
pub(crate) fn run(command: &mut Command, limit: Duration, longest: u64) -> io::Result<Ended> {
    let until = Instant::now() + limit;
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = Owned::spawn(command)?;
    let stdout = child.child().stdout.take();
    let stderr = child.child().stderr.take();
    let (stdout, stderr) = (read(stdout, longest), read(stderr, longest));
    let received = |output: &Receiver<io::Result<Vec<u8>>>| {
        let left = until.saturating_duration_since(Instant::now());
        output.recv_timeout(left).map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    };
    let (stdout, stderr) = (received(&stdout)?, received(&stderr)?);
    loop {
        if let Some(status) = child.child().try_wait()? {
            return Ok(Ended { status, stdout, stderr });
        }
        if Instant::now() >= until {
            return Err(io::ErrorKind::TimedOut.into());
        }
        std::thread::sleep(POLL);
    }
}

/// Reads in a thread of its own: a grandchild may keep the pipe open for ever.
fn read(pipe: Option<impl Read + Send + 'static>, longest: u64) -> Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = pipe.map_or(Ok(0), |pipe| pipe.take(longest + 1).read_to_end(&mut bytes));
        let _ = sender.send(match read {
            Ok(_) if bytes.len() as u64 > longest => Err(io::Error::other("it says too much")),
            Ok(_) => Ok(bytes),
            Err(error) => Err(error),
        });
    });
    receiver
}

//! The log's lines on their way out. Whoever logs neither waits for them to be written nor learns that they could not be: a
//! full disk or a reader that hangs must not hold a request. A thread of its own writes them. What cannot be queued or
//! written is lost and counted, and once a line can be written again, one before it says how many are missing.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// As many bytes may wait. A stranger's request can make a line of 32 KiB and more, so lines are not counted.
const MOST_WAITING: usize = 4 << 20;
/// How long the last lines are waited for when the process ends.
const LAST_LINES: Duration = Duration::from_secs(2);

/// A process has one log, so this is the process's.
static LOST: AtomicU64 = AtomicU64::new(0);

/// Lines lost since the process started.
pub(crate) fn lost() -> u64 {
    LOST.load(Relaxed)
}

/// Where the log's lines go: each [`Write::write`] is one, and none fails.
#[derive(Clone, Debug)]
pub struct Log {
    queue: Sender<Queued>,
    waiting: Arc<AtomicUsize>,
}

#[derive(Debug)]
enum Queued {
    Line(Vec<u8>),
    /// Everything before it is to be written; then this is answered.
    Last(SyncSender<()>),
}

impl Log {
    /// Begins to write to `out`. `notice` makes the line that says how many are missing, with its line break.
    pub fn to(out: impl Write + Send + 'static, notice: impl Fn(u64) -> String + Send + 'static) -> Self {
        let (queue, queued) = channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let taken = waiting.clone();
        // Without a thread nothing can be queued, and every line is counted as lost.
        let _ = thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || Page { out, notice, told: lost(), is_torn: false }.keep(&queued, &taken));
        Self { queue, waiting }
    }

    /// Waits until everything that was queued is written, or for two seconds.
    pub fn end(&self) {
        let (written, is_written) = sync_channel(1);
        if self.queue.send(Queued::Last(written)).is_ok() {
            // What is not written by then is lost, and nobody is left who could be told.
            let _ = is_written.recv_timeout(LAST_LINES);
        }
    }

    fn queue(&self, line: &[u8]) -> bool {
        let before = self.waiting.fetch_add(line.len(), Relaxed);
        let has_room = before + line.len() <= MOST_WAITING;
        let queued = has_room && self.queue.send(Queued::Line(line.to_vec())).is_ok();
        if !queued {
            self.waiting.fetch_sub(line.len(), Relaxed);
        }
        queued
    }
}

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if !self.queue(line) {
            LOST.fetch_add(1, Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// What is written to.
struct Page<W, N> {
    out: W,
    notice: N,
    /// As many lost lines have been told of.
    told: u64,
    /// The last line broke off.
    is_torn: bool,
}

impl<W: Write, N: Fn(u64) -> String> Page<W, N> {
    fn keep(mut self, queued: &Receiver<Queued>, waiting: &AtomicUsize) {
        for next in queued {
            match next {
                Queued::Line(line) => {
                    if self.tell_of_lost().and_then(|()| self.write(&line)).is_err() {
                        LOST.fetch_add(1, Relaxed);
                    }
                    // Only now is there room for another: what is being written is held in memory too.
                    waiting.fetch_sub(line.len(), Relaxed);
                }
                Queued::Last(written) => {
                    // If the notice cannot be written, nothing can.
                    let _ = self.tell_of_lost();
                    // Whoever asked may have stopped waiting.
                    let _ = written.send(());
                }
            }
        }
    }

    fn tell_of_lost(&mut self) -> io::Result<()> {
        let lost = lost();
        if lost > self.told {
            let notice = (self.notice)(lost - self.told);
            self.write(notice.as_bytes())?;
            self.told = lost;
        }
        Ok(())
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.is_torn {
            self.out.write_all(b"\n")?;
            self.is_torn = false;
        }
        let mut left = line;
        while !left.is_empty() {
            match self.out.write(left) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    left = &left[written..];
                    self.is_torn = !left.is_empty();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.out.flush()
    }
}

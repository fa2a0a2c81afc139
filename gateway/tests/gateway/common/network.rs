//! A network between a gateway and a cluster, or between clients and a gateway, which a test can break.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::thread;

use rustix::net::{Shutdown, shutdown};

/// What becomes of what is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weather {
    /// It arrives.
    Good,
    /// Nothing arrives, and nobody is told: what is sent is kept until that changes.
    Silent,
    /// Questions arrive, and answers are kept until that changes.
    NoAnswers,
    /// Connections are closed, old and new ones.
    Away,
}

/// What becomes of one COMMIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Commit {
    /// It arrives; the connection breaks before its answer does.
    Unanswered,
    /// The same, and nothing can be reached from then on.
    UnansweredAndAway,
    /// The connection breaks before it arrives.
    Lost,
    /// It does not arrive, and the connection stays as it is.
    Stuck,
}

#[derive(Debug)]
struct State {
    weather: Weather,
    /// How many COMMITs pass until that happens to one.
    commit: Option<(u32, Commit)>,
    /// Whether answers are kept.
    has_answers: bool,
    round_trips: u32,
    open: Vec<Weak<Ends>>,
}

/// PostgreSQL's documentation, 55.7: `C`, a length, the command and a zero.
const COMMITTED: &[u8] = b"C\0\0\0\x0bCOMMIT\0";

/// The client's, and the server's.
type Ends = [File; 2];

/// An address that leads to a cluster or a gateway.
pub(crate) struct Network {
    pub(crate) address: SocketAddr,
    state: Shared,
}

type Shared = Arc<(Mutex<State>, Condvar)>;

impl Network {
    pub(crate) fn to(socket: PathBuf) -> Self {
        Self::by(move || Ok(UnixStream::connect(&socket)?.into()))
    }

    pub(crate) fn to_gateway(address: SocketAddr) -> Self {
        Self::by(move || {
            let server = TcpStream::connect(address)?;
            server.set_nodelay(true)?;
            Ok(server.into())
        })
    }

    fn by(server: impl Fn() -> io::Result<OwnedFd> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let weather = Weather::Good;
        let state = State { weather, commit: None, has_answers: false, round_trips: 0, open: Vec::new() };
        let state: Shared = Arc::new((Mutex::new(state), Condvar::new()));
        let known = state.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // What comes in pieces is passed on in pieces, none of which waits for the last one's acknowledgement.
                let _ = client.set_nodelay(true);
                if lock(&known).weather != Weather::Away
                    && let Ok(server) = server()
                {
                    connect([OwnedFd::from(client), server].map(File::from), &known);
                }
            }
        });
        Self { address, state }
    }

    pub(crate) fn is(&self, weather: Weather) {
        let mut state = lock(&self.state);
        state.weather = weather;
        if weather == Weather::Away {
            for ends in state.open.drain(..).filter_map(|ends| ends.upgrade()) {
                close(&ends);
            }
        }
        self.state.1.notify_all();
    }

    /// That happens to the COMMIT after this many others.
    pub(crate) fn after_commits(&self, others: u32, commit: Commit) {
        lock(&self.state).commit = Some((others, commit));
    }

    /// How often a client has asked something, and waited for the answer.
    pub(crate) fn round_trips(&self) -> u32 {
        lock(&self.state).round_trips
    }

    /// Returns when an answer is kept.
    pub(crate) fn keeps_an_answer(&self) {
        let mut state = lock(&self.state);
        while !state.has_answers {
            state = self.state.1.wait(state).unwrap();
        }
    }
}

fn lock(state: &Shared) -> MutexGuard<'_, State> {
    state.0.lock().unwrap()
}

/// Whoever reads from either is told.
fn close(ends: &Ends) {
    for end in ends {
        let _ = shutdown(end, Shutdown::Both);
    }
}

fn connect(ends: Ends, state: &Shared) {
    let ends = Arc::new(ends);
    let mut known = lock(state);
    known.open.retain(|ends| ends.strong_count() > 0);
    known.open.push(Arc::downgrade(&ends));
    drop(known);
    let is_unanswered = Arc::new(Mutex::new(false));
    let has_asked = Arc::new(AtomicBool::new(false));
    let (known, unanswered, both) = (state.clone(), is_unanswered.clone(), ends.clone());
    let is_answered = has_asked.clone();
    thread::spawn(move || {
        let [mut to_client, mut from_server] = both.each_ref();
        let mut bytes = [0; 8 << 10];
        while let Ok(length @ 1..) = from_server.read(&mut bytes) {
            is_answered.store(false, Ordering::Relaxed);
            if *unanswered.lock().unwrap() {
                // The answers to what was sent with it come first. If they were the last, it would not be carried out.
                if bytes[..length].windows(COMMITTED.len()).any(|part| part == COMMITTED) {
                    break;
                }
                continue;
            }
            if !comes_through(&known, Weather::NoAnswers) || to_client.write_all(&bytes[..length]).is_err() {
                break;
            }
        }
        close(&both);
    });
    let known = state.clone();
    thread::spawn(move || {
        let [mut client, mut server] = ends.each_ref();
        let mut bytes = [0; 8 << 10];
        while let Ok(length @ 1..) = client.read(&mut bytes) {
            if !has_asked.swap(true, Ordering::Relaxed) {
                lock(&known).round_trips += 1;
            }
            let mut arrives = comes_through(&known, Weather::Silent);
            // A query of its own (PostgreSQL's documentation, 55.7: `Q`, a length, the text and a zero).
            if bytes[..length].ends_with(b"Q\0\0\0\x0bCOMMIT\0") {
                let commit = next_commit(&known);
                arrives &= commit != Some(Commit::Lost);
                if commit == Some(Commit::Stuck) {
                    // Until the gateway gives it up.
                    while let Ok(1..) = client.read(&mut bytes) {}
                    arrives = false;
                }
                *is_unanswered.lock().unwrap() = arrives && commit.is_some();
                if commit == Some(Commit::UnansweredAndAway) {
                    lock(&known).weather = Weather::Away;
                }
            }
            if !arrives || server.write_all(&bytes[..length]).is_err() {
                break;
            }
        }
        if !*is_unanswered.lock().unwrap() {
            close(&ends);
        }
    });
}

/// Whether what was sent arrives, which it may do later.
fn comes_through(state: &Shared, kept_in: Weather) -> bool {
    let mut known = lock(state);
    while known.weather == Weather::Silent || known.weather == kept_in {
        if kept_in == Weather::NoAnswers && !known.has_answers {
            known.has_answers = true;
            state.1.notify_all();
        }
        known = state.1.wait(known).unwrap();
    }
    known.has_answers = false;
    known.weather != Weather::Away
}

fn next_commit(state: &Shared) -> Option<Commit> {
    let mut known = lock(state);
    let (others, commit) = known.commit?;
    known.commit = others.checked_sub(1).map(|others| (others, commit));
    (others == 0).then_some(commit)
}

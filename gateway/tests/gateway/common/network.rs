//! A network between a gateway and a cluster, which a test can break.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;

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
    open: Vec<(TcpStream, UnixStream)>,
}

/// An address that leads to a cluster.
pub(crate) struct Network {
    pub(crate) address: SocketAddr,
    state: Shared,
}

type Shared = Arc<(Mutex<State>, Condvar)>;

impl Network {
    pub(crate) fn to(socket: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = State { weather: Weather::Good, commit: None, has_answers: false, open: Vec::new() };
        let state: Shared = Arc::new((Mutex::new(state), Condvar::new()));
        let known = state.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if lock(&known).weather != Weather::Away
                    && let Ok(server) = UnixStream::connect(&socket)
                {
                    connect(client, server, &known);
                }
            }
        });
        Self { address, state }
    }

    pub(crate) fn is(&self, weather: Weather) {
        let mut state = lock(&self.state);
        state.weather = weather;
        if weather == Weather::Away {
            for (client, server) in state.open.drain(..) {
                let _ = client.shutdown(Shutdown::Both);
                let _ = server.shutdown(Shutdown::Both);
            }
        }
        self.state.1.notify_all();
    }

    /// That happens to the COMMIT after this many others.
    pub(crate) fn after_commits(&self, others: u32, commit: Commit) {
        lock(&self.state).commit = Some((others, commit));
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

fn connect(mut client: TcpStream, mut server: UnixStream, state: &Shared) {
    let both = (client.try_clone().unwrap(), server.try_clone().unwrap());
    lock(state).open.push(both);
    let (mut to_client, mut from_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let is_unanswered = Arc::new(Mutex::new(false));
    let (known, unanswered) = (state.clone(), is_unanswered.clone());
    thread::spawn(move || {
        let mut bytes = [0; 8 << 10];
        while let Ok(length @ 1..) = from_server.read(&mut bytes) {
            let arrives = !*unanswered.lock().unwrap() && comes_through(&known, Weather::NoAnswers);
            if !arrives || to_client.write_all(&bytes[..length]).is_err() {
                break;
            }
        }
        let _ = to_client.shutdown(Shutdown::Both);
        let _ = from_server.shutdown(Shutdown::Both);
    });
    let known = state.clone();
    thread::spawn(move || {
        let mut bytes = [0; 8 << 10];
        while let Ok(length @ 1..) = client.read(&mut bytes) {
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
            let _ = client.shutdown(Shutdown::Both);
            let _ = server.shutdown(Shutdown::Both);
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

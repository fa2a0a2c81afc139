//! A daemon that takes the place of pcsc-lite's `pcscd`, for an unmodified `libpcsclite`.
//!
//! Each connection has a thread, and one lock guards all state. A call that has to wait for another program's
//! transaction or for a touch waits on one condition variable. It ends when its client is gone.

mod busy;
mod calls;
mod code;
mod controls;
mod injected;
mod reader;
mod session;
mod socket;
mod transmit;
mod vpcd;
mod waiting;
mod wire;

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;

pub use controls::{Condition, ControlError};

use crate::settings::{Settings, StartError};
use crate::trace::{Entry, Recorder};
use reader::{HandleId, Reader};
pub(crate) use socket::{listen, new_folder, remove_socket};
use socket::{place_socket, random_number};
use waiting::{ConnectionId, WaitingList};
use wire::{READER_RECORD, READER_SLOTS};

/// A running daemon. When it is dropped, its connections are closed and its socket is removed.
pub struct Daemon {
    shared: Arc<Shared>,
    /// The folder that was made for the socket.
    folder: Option<PathBuf>,
    acceptor: Mutex<Option<Acceptor>>,
    /// The threads that serve virtual readers.
    links: Mutex<Vec<JoinHandle<()>>>,
}

/// The thread that accepts connections.
struct Acceptor {
    /// The thread ends when this is closed.
    stop: UnixStream,
    thread: JoinHandle<()>,
}

impl Daemon {
    /// Starts the daemon. Its socket gets its name when it already listens, so that no client is refused.
    ///
    /// # Errors
    /// [`StartError`]. Nothing is left behind then.
    pub fn start(settings: &Settings) -> Result<Self, StartError> {
        let state = State::new(settings)?;
        let (socket, folder) = place_socket(settings.socket.as_deref())?;
        let listening = listen(&socket).and_then(|listener| Ok((listener, UnixStream::pair()?)));
        let (listener, (stop, stopped)) = listening.map_err(|error| {
            if let Some(folder) = &folder {
                let _ = fs::remove_dir(folder);
            }
            StartError::file(&socket, error)
        })?;
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new(), socket });
        let thread = thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept_until_stopped(&listener, &stopped, &shared)
        });
        Ok(Self {
            shared,
            folder,
            acceptor: Mutex::new(Some(Acceptor { stop, thread })),
            links: Mutex::default(),
        })
    }

    /// The value for `PCSCLITE_CSOCK_NAME`.
    pub fn socket(&self) -> &Path {
        &self.shared.socket
    }

    /// Removes the socket, closes every connection and waits until all threads have ended. A second call does nothing.
    pub fn stop(&self) {
        let Some(acceptor) = self.acceptor.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return;
        };
        let mut state = self.shared.lock();
        self.shared.shut_down(&mut state);
        state.event_listeners.clear();
        self.shared.commit(state);
        drop(acceptor.stop);
        let _ = acceptor.thread.join();
        for link in self.links.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = link.join();
        }
        if let Some(folder) = &self.folder {
            // If somebody else has put a file there, the folder stays.
            let _ = fs::remove_dir(folder);
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop();
    }
}

fn accept_until_stopped(listener: &UnixListener, stopped: &UnixStream, shared: &Arc<Shared>) {
    let mut sessions: Vec<JoinHandle<()>> = Vec::new();
    loop {
        let mut ready = [PollFd::new(listener, PollFlags::IN), PollFd::new(stopped, PollFlags::IN)];
        if poll(&mut ready, None).is_err() {
            continue;
        }
        if !ready[1].revents().is_empty() {
            break;
        }
        if let Ok((stream, _)) = listener.accept()
            && stream.set_nonblocking(false).is_ok()
            && let Some(session) = session::Session::open(shared, stream)
        {
            sessions.retain(|session| !session.is_finished());
            sessions.push(thread::spawn(move || session.run()));
        }
    }
    for session in sessions {
        let _ = session.join();
    }
}

/// What all threads of a daemon share.
struct Shared {
    state: Mutex<State>,
    /// Notified by every [`Shared::commit`].
    changed: Condvar,
    socket: PathBuf,
}

/// How often a waiting call checks whether its client is still connected.
const CLIENT_CHECK_INTERVAL: Duration = Duration::from_millis(20);

/// The connection is to be closed: its client is gone, sends what no client sends, or the daemon is stopping.
#[derive(Debug)]
struct Disconnected;

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends a change of the state: saves it, and notifies clients and threads that wait for a change.
    fn commit(&self, mut state: MutexGuard<'_, State>) {
        state.save_and_notify();
        drop(state);
        self.changed.notify_all();
    }

    /// Removes the socket and closes every connection.
    fn shut_down(&self, state: &mut State) {
        if !state.stopping {
            remove_socket(&self.socket);
        }
        state.stopping = true;
        for stream in state.connections.values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        state.disconnect_link();
    }

    /// Waits until the state changes, or until it is time to check whether the client is still connected.
    fn wait_for_change<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        client: &impl AsFd,
    ) -> Result<MutexGuard<'a, State>, Disconnected> {
        state.blocked += 1;
        let mut state = self.wait_at_most(state, CLIENT_CHECK_INTERVAL);
        state.blocked -= 1;
        if state.stopping || is_disconnected(client) { Err(Disconnected) } else { Ok(state) }
    }

    fn wait_at_most<'a>(&'a self, state: MutexGuard<'a, State>, at_most: Duration) -> MutexGuard<'a, State> {
        self.changed.wait_timeout(state, at_most).unwrap_or_else(PoisonError::into_inner).0
    }
}

fn is_disconnected(client: &impl AsFd) -> bool {
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut ready = [PollFd::new(client, PollFlags::empty())];
    poll(&mut ready, Some(&now)).is_ok() && ready[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
}

/// All state of a daemon.
struct State {
    readers: Vec<Reader>,
    waiting: WaitingList,
    contexts: HashMap<u32, ConnectionId>,
    connections: BTreeMap<ConnectionId, Arc<UnixStream>>,
    /// The connection to the virtual reader of a real daemon.
    link: Option<Arc<TcpStream>>,
    /// The handles of the other program that [`Event::Hold`](crate::Event::Hold) stands for, by reader.
    other_program: HashMap<usize, HandleId>,
    /// The number of readers that came or went, which clients ask for. It is never 0.
    reader_events: u32,
    recorder: Recorder,
    event_listeners: Vec<Sender<String>>,
    stopping: bool,
    /// The number of calls that wait for another program's transaction, or for a card that is busy.
    blocked: usize,
    /// Whether new connections are closed before they are read.
    refuses_connections: bool,
    started: Instant,
    last_number: u32,
    last_connection: ConnectionId,
    /// The reader list that clients were last told of.
    last_list: Vec<u8>,
}

impl State {
    fn new(settings: &Settings) -> Result<Self, StartError> {
        let readers = settings
            .cards
            .iter()
            .enumerate()
            .map(|(index, card)| {
                let mut reader =
                    Reader::new(card.reader_name(index), card.card()?, card.touch, card.touch_timeout);
                reader.idle_off = card.idle_off;
                reader.state_file.clone_from(&card.state);
                if let Some(atr) = &card.atr {
                    reader.atr.clone_from(atr);
                }
                Ok(reader)
            })
            .collect::<Result<Vec<_>, StartError>>()?;
        require_distinct(&readers)?;
        let file = settings.trace_file.as_deref().map(open_trace).transpose()?;
        let mut state = Self {
            readers,
            waiting: WaitingList::default(),
            contexts: HashMap::new(),
            connections: BTreeMap::new(),
            link: None,
            other_program: HashMap::new(),
            reader_events: 1,
            recorder: Recorder::new(file, settings.trace_secrets),
            event_listeners: Vec::new(),
            stopping: false,
            blocked: 0,
            refuses_connections: false,
            started: Instant::now(),
            last_number: 0,
            last_connection: 0,
            last_list: Vec::new(),
        };
        state.save_cards().map_err(|(path, error)| StartError::file(&path, error))?;
        state.last_list = state.reader_list();
        Ok(state)
    }

    /// The time since the daemon started.
    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// A number for a context or handle. It is not 0, below 2^31, and none is given twice.
    fn new_number(&mut self) -> u32 {
        self.last_number += 1;
        self.last_number
    }

    /// The reader list of the protocol. Records without a reader are zero.
    fn reader_list(&self) -> Vec<u8> {
        let mut list = vec![0; READER_SLOTS * READER_RECORD];
        for (slot, reader) in list.chunks_exact_mut(READER_RECORD).zip(&self.readers) {
            if let Some(record) = reader.record() {
                slot.copy_from_slice(&record);
            }
        }
        list
    }

    fn reader_named(&self, name: &str) -> Option<usize> {
        self.readers.iter().position(|reader| reader.is_plugged() && reader.name == name)
    }

    fn record(&mut self, entry: Entry) {
        let now = self.now();
        self.recorder.record(now, entry);
    }

    /// Sends a line to those who listen to [`Daemon::events`].
    fn send_event(&mut self, event: &str) {
        self.event_listeners.retain(|listener| listener.send(format!("event {event}")).is_ok());
    }

    /// Notifies the clients that wait for a change of the reader list, and saves the memory of the cards.
    fn save_and_notify(&mut self) {
        let list = self.reader_list();
        if list != self.last_list {
            self.last_list = list;
            self.waiting.wake_all();
        }
        if !self.readers.first().is_some_and(Reader::has_responsive_card) {
            self.disconnect_link();
        }
        if let Err((path, error)) = self.save_cards() {
            self.send_event(&format!("state-not-saved {}: {error}", path.display()));
        }
    }

    /// Closes the connection to a virtual reader, which takes the card out of it.
    fn disconnect_link(&mut self) {
        if let Some(link) = self.link.take() {
            let _ = link.shutdown(Shutdown::Both);
        }
    }

    fn save_cards(&mut self) -> Result<(), (PathBuf, io::Error)> {
        for reader in &mut self.readers {
            if reader.card.take_changed()
                && let Some(path) = &reader.state_file
            {
                write_private(path, &reader.card.save()).map_err(|error| (path.clone(), error))?;
            }
        }
        Ok(())
    }
}

fn require_distinct(readers: &[Reader]) -> Result<(), StartError> {
    if readers.len() > READER_SLOTS {
        return Err(StartError::TooManyReaders { most: READER_SLOTS });
    }
    for (index, reader) in readers.iter().enumerate() {
        if !(2..=wire::LONGEST_ATR).contains(&reader.atr.len()) {
            return Err(StartError::AnswerToReset);
        }
        if reader.name.is_empty() || reader.name.len() >= wire::READER_NAME || reader.name.contains('\0') {
            return Err(StartError::ReaderName);
        }
        let earlier = &readers[..index];
        if earlier.iter().any(|other| other.name == reader.name) {
            return Err(StartError::Twice("reader name"));
        }
        if earlier.iter().any(|other| other.card.serial() == reader.card.serial()) {
            return Err(StartError::Twice("serial number"));
        }
    }
    Ok(())
}

/// A pipe that nobody reads is refused, and not waited for.
fn open_trace(path: &Path) -> Result<File, StartError> {
    let mut options = OpenOptions::new();
    options.create(true).append(true).mode(0o600);
    options.custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    let file = options.open(path).map_err(|error| match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NXIO) => io::Error::other("nobody reads what is written there"),
        _ => error,
    });
    let file = file.map_err(|error| StartError::file(path, error))?;
    // Whoever reads slowly loses nothing.
    let waiting = fcntl_getfl(&file).and_then(|flags| fcntl_setfl(&file, flags - OFlags::NONBLOCK));
    waiting.map_err(|error| StartError::file(path, error.into()))?;
    Ok(file)
}

/// Writes a file that no other user can read. It is either written as a whole or stays as it was.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{:08x}", random_number()));
    let unfinished = path.with_file_name(name);
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&unfinished)?;
    file.write_all(text.as_bytes()).and_then(|()| fs::rename(&unfinished, path)).inspect_err(|_| {
        let _ = fs::remove_file(&unfinished);
    })
}

//! A stand-in for pcsc-lite's daemon, behind an unmodified `libpcsclite`.
//!
//! A thread a connection, one lock over everything. A call that must wait (for another program's transaction,
//! for a finger) waits on one condition variable, and gives up when its client is gone.

mod armed;
mod busy;
mod calls;
mod code;
mod outside;
mod reader;
mod session;
mod transmit;
mod vpcd;
mod waiting;
pub(crate) mod wire;

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write as _;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};

pub use outside::{Condition, Hold, OutsideError};

use crate::settings::{MAX_SOCKET_PATH, Settings, StartError};
use crate::trace::{Entry, Recorder};
use reader::{HandleId, Reader};
use waiting::{ConnectionId, WaitingList};
use wire::{READER_RECORD, READER_SLOTS};

/// The running daemon. Dropping it closes every connection and takes the socket away.
pub struct Daemon {
    shared: Arc<Shared>,
    /// A folder made for the socket, removed with it.
    folder: Option<PathBuf>,
    accepting: Mutex<Option<Accepting>>,
    /// Threads of virtual readers.
    links: Mutex<Vec<JoinHandle<()>>>,
}

struct Accepting {
    /// Closed to end the thread.
    stop: UnixStream,
    thread: JoinHandle<()>,
}

impl Daemon {
    /// Binds, listens, and only then shows the socket under its name: clients in between would be refused.
    ///
    /// # Errors
    /// [`StartError`], with nothing left behind.
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
            accepting: Mutex::new(Some(Accepting { stop, thread })),
            links: Mutex::default(),
        })
    }

    /// The value for `PCSCLITE_CSOCK_NAME`.
    pub fn socket(&self) -> &Path {
        &self.shared.socket
    }

    /// Takes the socket away, closes every connection and waits until all threads are done. Once is enough.
    pub fn stop(&self) {
        let Some(accepting) = self.accepting.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return;
        };
        let mut state = self.shared.lock();
        self.shared.go_down(&mut state);
        state.listeners.clear();
        self.shared.commit(state);
        drop(accepting.stop);
        let _ = accepting.thread.join();
        for link in self.links.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = link.join();
        }
        if let Some(folder) = &self.folder {
            // Somebody else may have put a file there; then it is theirs to remove.
            let _ = fs::remove_dir(folder);
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A path of the caller's, or one in a new folder that only we can enter.
fn place_socket(wanted: Option<&Path>) -> Result<(PathBuf, Option<PathBuf>), StartError> {
    let checked = |path: PathBuf| match path.as_os_str().len() {
        length if length > MAX_SOCKET_PATH => Err(StartError::SocketPath { length }),
        _ => Ok(path),
    };
    if let Some(path) = wanted {
        return Ok((checked(path.to_owned())?, None));
    }
    let folder = new_folder()?;
    match checked(folder.join("pcscd.comm")) {
        Ok(socket) => Ok((socket, Some(folder))),
        Err(error) => {
            let _ = fs::remove_dir(&folder);
            Err(error)
        }
    }
}

/// An empty folder among the temporary files.
pub(crate) fn new_folder() -> Result<PathBuf, StartError> {
    let folder = std::env::temp_dir().join(format!("mock-card-{:08x}", random_number()));
    DirBuilder::new().mode(0o700).create(&folder).map_err(|error| StartError::file(&folder, error))?;
    Ok(folder)
}

/// Takes the place of a stale socket, never of one that somebody listens on.
pub(crate) fn listen(socket: &Path) -> std::io::Result<UnixListener> {
    if UnixStream::connect(socket).is_ok() {
        return Err(std::io::ErrorKind::AddrInUse.into());
    }
    let unfinished = socket.with_file_name(format!("{:08x}", random_number()));
    let listener = match UnixListener::bind(&unfinished) {
        Ok(listener) => {
            fs::rename(&unfinished, socket).inspect_err(|_| drop(fs::remove_file(&unfinished)))?;
            listener
        }
        // The name may be too long where the real one just fits.
        Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => {
            let _ = fs::remove_file(socket);
            UnixListener::bind(socket)?
        }
        Err(error) => return Err(error),
    };
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn random_number() -> u32 {
    getrandom::u32().expect("the operating system has randomness")
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

/// What all threads share.
struct Shared {
    state: Mutex<State>,
    /// Signalled by every [`Shared::commit`].
    changed: Condvar,
    socket: PathBuf,
}

/// How often a waiting call looks whether its client is still there.
const GLANCE: Duration = Duration::from_millis(20);

/// The client is not there any more, or the daemon is about to go.
#[derive(Debug)]
struct Gone;

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets everybody see what was done: clients that wait for a change, threads that wait for their turn.
    fn commit(&self, mut state: MutexGuard<'_, State>) {
        state.settle();
        drop(state);
        self.changed.notify_all();
    }

    /// Takes the socket away and closes every connection, at once and for good.
    fn go_down(&self, state: &mut State) {
        if !state.stopping {
            let _ = fs::remove_file(&self.socket);
        }
        state.stopping = true;
        for stream in state.connections.values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        state.drop_link();
    }

    /// Waits for something to change, looking every now and then whether the client is still there.
    fn pause<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        client: &impl AsFd,
    ) -> Result<MutexGuard<'a, State>, Gone> {
        state.blocked += 1;
        let mut state = self.wait(state, GLANCE);
        state.blocked -= 1;
        if state.stopping || is_gone(client) { Err(Gone) } else { Ok(state) }
    }

    fn wait<'a>(&'a self, state: MutexGuard<'a, State>, at_most: Duration) -> MutexGuard<'a, State> {
        self.changed.wait_timeout(state, at_most).unwrap_or_else(PoisonError::into_inner).0
    }
}

fn is_gone(client: &impl AsFd) -> bool {
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut ready = [PollFd::new(client, PollFlags::empty())];
    poll(&mut ready, Some(&now)).is_ok() && ready[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
}

/// Everything there is, under one lock.
struct State {
    readers: Vec<Reader>,
    waiting: WaitingList,
    contexts: HashMap<u32, ConnectionId>,
    connections: BTreeMap<ConnectionId, Arc<UnixStream>>,
    /// To a real daemon's virtual reader.
    link: Option<Arc<TcpStream>>,
    /// Handles of the other program that the controls play, by reader.
    strangers: HashMap<usize, HandleId>,
    /// Readers that came or went, as clients are told: from 1, never 0.
    reader_events: u32,
    recorder: Recorder,
    listeners: Vec<Sender<String>>,
    stopping: bool,
    /// Calls that wait for another program, or for the card, to be done.
    blocked: usize,
    /// New connections are closed unread.
    refusing: bool,
    started: Instant,
    last_number: u32,
    last_connection: ConnectionId,
    /// The reader list that clients know.
    listed: Vec<u8>,
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
                reader.power_off_when_idle(card.idle_off);
                reader.state_file.clone_from(&card.state);
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
            strangers: HashMap::new(),
            reader_events: 1,
            recorder: Recorder::new(file, settings.trace_secrets),
            listeners: Vec::new(),
            stopping: false,
            blocked: 0,
            refusing: false,
            started: Instant::now(),
            last_number: 0,
            last_connection: 0,
            listed: Vec::new(),
        };
        state.save_cards().map_err(|(path, error)| StartError::file(&path, error))?;
        state.listed = state.reader_list();
        Ok(state)
    }

    /// Time since the daemon started.
    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// A context or handle: never 0, never twice, below 2^31.
    fn new_number(&mut self) -> u32 {
        self.last_number += 1;
        self.last_number
    }

    /// All records, as many as the protocol has room for; the unused ones are zero.
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

    /// Tells everybody at the controls.
    fn tell(&mut self, event: &str) {
        self.listeners.retain(|listener| listener.send(format!("event {event}")).is_ok());
    }

    /// Wakes the waiting clients if the reader list is another, and saves what the cards must not forget.
    fn settle(&mut self) {
        let list = self.reader_list();
        if list != self.listed {
            self.listed = list;
            self.waiting.wake_all();
        }
        if !self.readers.first().is_some_and(Reader::is_there) {
            self.drop_link();
        }
        if let Err((path, error)) = self.save_cards() {
            self.tell(&format!("state-not-saved {}: {error}", path.display()));
        }
    }

    /// The card leaves the virtual reader.
    fn drop_link(&mut self) {
        if let Some(link) = self.link.take() {
            let _ = link.shutdown(Shutdown::Both);
        }
    }

    fn save_cards(&mut self) -> Result<(), (PathBuf, std::io::Error)> {
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
        return Err(StartError::TooManyReaders);
    }
    for (index, reader) in readers.iter().enumerate() {
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

fn open_trace(path: &Path) -> Result<File, StartError> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| StartError::file(path, error))
}

/// Readable by us alone, and whole or not there at all.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{:08x}", random_number()));
    let unfinished = path.with_file_name(name);
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&unfinished)?;
    file.write_all(text.as_bytes()).and_then(|()| fs::rename(&unfinished, path)).inspect_err(|_| {
        let _ = fs::remove_file(&unfinished);
    })
}

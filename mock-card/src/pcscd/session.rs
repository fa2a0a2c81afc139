//! A connection: requests and their replies, until the client is gone.

use std::collections::{BTreeSet, HashMap};
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{RecvFlags, recv};

use super::code::{Code, Disposition, rv};
use super::reader::{HandleId, Refusal};
use super::waiting::{ConnectionId, send_now};
use super::wire::{Command, Message, READER_SLOTS, pair};
use super::{Disconnected, Shared, State};
use crate::trace::Entry;

/// The state of a connection that concerns no other.
pub(super) struct Session {
    pub(super) shared: Arc<Shared>,
    pub(super) id: ConnectionId,
    pub(super) stream: Arc<UnixStream>,
    /// The minor version of the protocol that the client speaks.
    minor: u32,
    /// Whether it is to be closed before it is read.
    is_refused: bool,
    pub(super) contexts: BTreeSet<u32>,
    pub(super) handles: HashMap<HandleId, OpenHandle>,
}

/// A card handle of this connection. If the reader was unplugged since, it does not know the handle any more.
#[derive(Clone, Copy)]
pub(super) struct OpenHandle {
    pub(super) context: u32,
    pub(super) reader: usize,
}

impl Session {
    /// Registers a connection. `None` if the daemon is stopping.
    pub(super) fn open(shared: &Arc<Shared>, stream: UnixStream) -> Option<Self> {
        let stream = Arc::new(stream);
        let mut state = shared.lock();
        if state.stopping {
            return None;
        }
        state.last_connection += 1;
        let (id, is_refused) = (state.last_connection, state.refuses_connections);
        state.connections.insert(id, Arc::clone(&stream));
        send_client_count(&mut state);
        shared.commit(state);
        let shared = Arc::clone(shared);
        Some(Self {
            shared,
            id,
            stream,
            minor: OLDEST_MINOR,
            is_refused,
            contexts: BTreeSet::new(),
            handles: HashMap::new(),
        })
    }

    /// Serves the client until it is gone, or sends what no client sends.
    pub(super) fn run(mut self) {
        if self.is_refused {
            self.wait_for_first_message();
            return self.close();
        }
        while let Ok(message) = Message::read(&mut &*self.stream) {
            if self.serve(&message).is_err() {
                break;
            }
        }
        self.close();
    }

    /// Waits until the client has sent its first message, which comes in two parts. Were it closed earlier, the client
    /// would take the daemon for one that is not there.
    fn wait_for_first_message(&self) {
        const HEADER_AND_VERSION: usize = 20;
        let mut ready = [PollFd::new(&*self.stream, PollFlags::IN)];
        while poll(&mut ready, None).is_err() {}
        let mut message = [0; HEADER_AND_VERSION];
        while let Ok((1..HEADER_AND_VERSION, _)) = recv(&self.stream, &mut message, RecvFlags::PEEK) {
            if self.shared.wait_for_change(self.shared.lock(), &*self.stream).is_err() {
                break;
            }
        }
    }

    fn serve(&mut self, message: &Message) -> Result<(), Disconnected> {
        let reply = match message.command {
            Command::Version => self.agree_on_version(message),
            Command::EstablishContext => self.establish_context(message),
            Command::ReleaseContext => self.release_context(message)?,
            Command::Connect => self.connect(message)?,
            Command::Reconnect => self.reconnect(message)?,
            Command::Disconnect => self.disconnect(message)?,
            Command::BeginTransaction => self.begin_transaction(message)?,
            Command::EndTransaction => self.end_transaction(message)?,
            Command::Transmit => self.transmit(message)?,
            Command::Control => self.control(message)?,
            Command::Status => self.status(message)?,
            Command::GetAttribute => self.get_attribute(message)?,
            Command::SetAttribute => self.set_attribute(message)?,
            Command::Cancel => self.cancel(message),
            Command::ReaderEvents => pair(self.shared.lock().reader_events, 0).to_vec(),
            Command::ReadersState => self.shared.lock().reader_list(),
            Command::ReadersStateSize => (READER_SLOTS as u32).to_ne_bytes().to_vec(),
            Command::ReadersStateArray => {
                self.send_list();
                return Ok(());
            }
            Command::WaitReaderStateChange => {
                self.wait_for_list_change();
                return Ok(());
            }
            Command::StopWaiting => {
                self.shared.lock().waiting.stop(self.id);
                return Ok(());
            }
        };
        (&*self.stream).write_all(&reply).map_err(|_| Disconnected)
    }

    /// Agrees to the version that the client names, from 4:4 to 4:6, because some versions of the library work with no
    /// other. The version in a refusal is one with which no library tries again.
    fn agree_on_version(&mut self, message: &Message) -> Vec<u8> {
        const MAJOR: u32 = 4;
        let (answer, result) = match (message.word(0), message.word(4)) {
            (MAJOR, minor @ OLDEST_MINOR..=NEWEST_MINOR) => {
                self.minor = minor;
                (minor, Ok(()))
            }
            (MAJOR, minor) if minor > NEWEST_MINOR && minor < i32::MAX as u32 => {
                (NEWEST_MINOR, Err(Code::SERVICE_STOPPED))
            }
            _ => (OLDEST_MINOR - 1, Err(Code::SERVICE_STOPPED)),
        };
        message.reply(&[(0, MAJOR), (4, answer), (8, rv(&result))], &[])
    }

    fn establish_context(&mut self, message: &Message) -> Vec<u8> {
        const SCOPES: std::ops::RangeInclusive<u32> = 0..=3;
        let mut state = self.shared.lock();
        let result =
            if SCOPES.contains(&message.word(0)) { Ok(state.new_number()) } else { Err(Code::INVALID_VALUE) };
        if let Ok(context) = result {
            state.contexts.insert(context, self.id);
            self.contexts.insert(context);
        }
        state.record(Entry { conn: self.id, rv: rv(&result), ..Entry::of("establishcontext") });
        message.reply(&[(4, result.unwrap_or(0)), (8, rv(&result))], &[])
    }

    fn release_context(&mut self, message: &Message) -> Result<Vec<u8>, Disconnected> {
        let context = message.word(0);
        let result = if self.contexts.remove(&context) { Ok(()) } else { Err(Code::INVALID_VALUE) };
        if result.is_ok() {
            self.drop_context(context);
        }
        let mut state = self.shared.lock();
        state.record(Entry { conn: self.id, rv: rv(&result), ..Entry::of("releasecontext") });
        Ok(message.reply(&[(4, rv(&result))], &[]))
    }

    /// The client waits for a change of the reader list. With 4:4 and 4:5 the list is the answer. With 4:6 the client
    /// asks for it next, and no message may come in between.
    fn wait_for_list_change(&self) {
        const LIST_IS_ASKED_FOR: u32 = 6;
        let mut state = self.shared.lock();
        let stream = Arc::clone(&self.stream);
        if self.minor >= LIST_IS_ASKED_FOR {
            state.waiting.register_before_list(self.id, stream);
        } else {
            send_now(&self.stream, &state.reader_list());
            state.waiting.register(self.id, stream);
        }
    }

    fn send_list(&self) {
        let mut state = self.shared.lock();
        send_now(&self.stream, &state.reader_list());
        state.waiting.list_was_sent(self.id);
    }

    /// SCardCancel comes over a connection of its own, and names the context whose wait it ends.
    fn cancel(&self, message: &Message) -> Vec<u8> {
        let mut state = self.shared.lock();
        let result = match state.contexts.get(&message.word(0)).copied() {
            Some(connection) => {
                state.waiting.wake(connection, Code::CANCELLED.0);
                Ok(())
            }
            None => Err(Code::INVALID_HANDLE),
        };
        state.record(Entry { conn: self.id, rv: rv(&result), ..Entry::of("cancel") });
        message.reply(&[(4, rv(&result))], &[])
    }

    fn close(mut self) {
        self.shared.lock().waiting.forget(self.id);
        for context in std::mem::take(&mut self.contexts) {
            self.drop_context(context);
        }
        let mut state = self.shared.lock();
        state.connections.remove(&self.id);
        send_client_count(&mut state);
        self.shared.commit(state);
    }

    /// Ends a context. Card handles that the client has not closed are closed as the real daemon does.
    fn drop_context(&mut self, context: u32) {
        let open: Vec<(HandleId, usize)> = self
            .handles
            .iter()
            .filter(|(_, owned)| owned.context == context)
            .map(|(handle, owned)| (*handle, owned.reader))
            .collect();
        for (handle, reader) in open {
            self.handles.remove(&handle);
            self.abandon(handle, reader);
        }
        self.shared.lock().contexts.remove(&context);
    }

    fn abandon(&self, handle: HandleId, reader: usize) {
        let mut state = self.shared.lock();
        let done = loop {
            let now = state.now();
            match state.readers[reader].abandon(handle, now) {
                Ok(disposition) => break disposition,
                // A card that another client's command keeps busy is reset after that.
                Err(Refusal::Wait) if !state.stopping => {
                    state = self.shared.wait_at_most(state, super::CLIENT_CHECK_INTERVAL);
                }
                Err(_) => break Disposition::Leave,
            }
        };
        let serial = state.readers[reader].card.serial();
        state.record(Entry {
            conn: self.id,
            serial,
            disposition: Some(done as u32),
            implicit: true,
            ..Entry::of("disconnect")
        });
        self.shared.commit(state);
    }
}

/// pcsc-lite 1.8.24 to 2.2.3 speak 4:4, 2.3.0 to 2.4.1 speak 4:5, and 2.5 speaks 4:6.
const OLDEST_MINOR: u32 = 4;
const NEWEST_MINOR: u32 = 6;

fn send_client_count(state: &mut State) {
    let clients = state.connections.len();
    state.send_event(&format!("client {clients}"));
}

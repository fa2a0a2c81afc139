//! One connection: requests in, replies out, until the client is gone.

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
use super::{Gone, Shared, State};
use crate::trace::Entry;

/// The state of a connection that is nobody else's business.
pub(super) struct Session {
    pub(super) shared: Arc<Shared>,
    pub(super) id: ConnectionId,
    pub(super) stream: Arc<UnixStream>,
    /// The protocol's minor version that the client speaks.
    minor: u32,
    refused: bool,
    contexts: BTreeSet<u32>,
    pub(super) handles: HashMap<HandleId, Owned>,
}

/// A card handle of this connection. The reader may have gone since; then it does not know the handle.
#[derive(Clone, Copy)]
pub(super) struct Owned {
    pub(super) context: u32,
    pub(super) reader: usize,
}

impl Session {
    /// Registers the connection; `None` while the daemon stops.
    pub(super) fn open(shared: &Arc<Shared>, stream: UnixStream) -> Option<Self> {
        let stream = Arc::new(stream);
        let mut state = shared.lock();
        if state.stopping {
            return None;
        }
        state.last_connection += 1;
        let (id, refused) = (state.last_connection, state.refusing);
        state.connections.insert(id, Arc::clone(&stream));
        tell_clients(&mut state);
        shared.commit(state);
        let shared = Arc::clone(shared);
        Some(Self {
            shared,
            id,
            stream,
            minor: OLDEST_MINOR,
            refused,
            contexts: BTreeSet::new(),
            handles: HashMap::new(),
        })
    }

    /// Serves until the client goes, or says something no client says.
    pub(super) fn run(mut self) {
        if self.refused {
            self.wait_for_words();
            return self.close();
        }
        while let Ok(message) = Message::read(&mut &*self.stream) {
            if self.serve(&message).is_err() {
                break;
            }
        }
        self.close();
    }

    /// Only a client that has spoken learns that it was not heard: closed earlier, the daemon just seems gone.
    /// Its first message comes in two parts.
    fn wait_for_words(&self) {
        const HEADER_AND_VERSION: usize = 20;
        let mut ready = [PollFd::new(&*self.stream, PollFlags::IN)];
        while poll(&mut ready, None).is_err() {}
        let mut words = [0; HEADER_AND_VERSION];
        while let Ok((1..HEADER_AND_VERSION, _)) = recv(&self.stream, &mut words, RecvFlags::PEEK) {
            if self.shared.pause(self.shared.lock(), &*self.stream).is_err() {
                break;
            }
        }
    }

    fn serve(&mut self, message: &Message) -> Result<(), Gone> {
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
                self.wait_for_change();
                return Ok(());
            }
            Command::StopWaiting => {
                self.shared.lock().waiting.stop(self.id);
                return Ok(());
            }
        };
        (&*self.stream).write_all(&reply).map_err(|_| Gone)
    }

    /// Echoes what the client speaks, from 4:4 to 4:6: some versions of the library work with nothing else.
    /// A refusal names a version that no library takes for an invitation to try again.
    fn agree_on_version(&mut self, message: &Message) -> Vec<u8> {
        const MAJOR: u32 = 4;
        let (answer, result) = match (message.word(0), message.word(4)) {
            (MAJOR, minor @ OLDEST_MINOR..=NEWEST_MINOR) => {
                self.minor = minor;
                (minor, Ok(()))
            }
            (MAJOR, minor) if minor > NEWEST_MINOR && minor < i32::MAX as u32 => {
                (NEWEST_MINOR, Err(Code::ServiceStopped))
            }
            _ => (OLDEST_MINOR - 1, Err(Code::ServiceStopped)),
        };
        message.reply(&[(0, MAJOR), (4, answer), (8, rv(&result))], &[])
    }

    fn establish_context(&mut self, message: &Message) -> Vec<u8> {
        const SCOPES: std::ops::RangeInclusive<u32> = 0..=3;
        let mut state = self.shared.lock();
        let result =
            if SCOPES.contains(&message.word(0)) { Ok(state.new_number()) } else { Err(Code::InvalidValue) };
        if let Ok(context) = result {
            state.contexts.insert(context, self.id);
            self.contexts.insert(context);
        }
        state.record(Entry { conn: self.id, rv: rv(&result), ..Entry::of("establishcontext") });
        message.reply(&[(4, result.unwrap_or(0)), (8, rv(&result))], &[])
    }

    fn release_context(&mut self, message: &Message) -> Result<Vec<u8>, Gone> {
        let context = message.word(0);
        let result = if self.contexts.remove(&context) { Ok(()) } else { Err(Code::InvalidValue) };
        if result.is_ok() {
            self.drop_context(context);
        }
        let mut state = self.shared.lock();
        state.record(Entry { conn: self.id, rv: rv(&result), ..Entry::of("releasecontext") });
        Ok(message.reply(&[(4, rv(&result))], &[]))
    }

    pub(super) fn owns_context(&self, context: u32) -> bool {
        self.contexts.contains(&context)
    }

    /// 4:4 and 4:5 get the list in the same step; 4:6 asks for it next, and no wake-up may come in between.
    fn wait_for_change(&self) {
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

    /// SCardCancel comes on a connection of its own and names the context whose wait it ends.
    fn cancel(&self, message: &Message) -> Vec<u8> {
        let mut state = self.shared.lock();
        let result = match state.contexts.get(&message.word(0)).copied() {
            Some(connection) => {
                state.waiting.wake(connection, Code::Cancelled.number());
                Ok(())
            }
            None => Err(Code::InvalidHandle),
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
        tell_clients(&mut state);
        self.shared.commit(state);
    }

    /// Closes the context's card handles as the daemon does when a client forgets to.
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
                // A card that still blinks for somebody else is reset after that.
                Err(Refusal::Wait) if !state.stopping => state = self.shared.wait(state, super::GLANCE),
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

/// pcsc-lite 1.8.24 to 2.2.3 speak 4:4, 2.3.0 to 2.4.1 4:5, 2.5 4:6.
const OLDEST_MINOR: u32 = 4;
const NEWEST_MINOR: u32 = 6;

fn tell_clients(state: &mut State) {
    let clients = state.connections.len();
    state.tell(&format!("client {clients}"));
}

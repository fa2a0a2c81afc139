//! A script of calls that PC/SC clients make, right and wrong ones, with a note of every result.
//!
//! It leaves out what the reader's driver of the real daemon decides (vendor attributes, control codes), what changed
//! between versions of pcsc-lite (CANCEL of a context that does not wait), and what the protocol of the virtual reader
//! cannot carry (APDUs of one byte or more than 65535).

mod scenes;

use std::path::Path;
use std::time::Instant;

use crate::client::{Client, to_bytes, to_words};
use crate::real_daemon::RealDaemon;
use crate::{LEAVE, PATIENCE, READER, SELECT, SHARING_VIOLATION, SUCCESS, UNSUPPORTED_FEATURE};
use mock_card::MockCard;

/// The daemon that the script is played with.
pub(crate) enum World {
    Mock(MockCard),
    Real(RealDaemon),
}

impl World {
    fn socket(&self) -> &Path {
        match self {
            Self::Mock(card) => card.socket(),
            Self::Real(daemon) => daemon.socket(),
        }
    }

    fn remove(&mut self) {
        match self {
            Self::Mock(card) => card.remove(),
            Self::Real(daemon) => daemon.control("remove"),
        }
    }

    fn insert(&mut self) {
        match self {
            Self::Mock(card) => card.insert(),
            Self::Real(daemon) => daemon.control("insert"),
        }
    }
}

/// The results.
#[derive(Default)]
pub(crate) struct Notes {
    pub(crate) lines: Vec<String>,
    pub(crate) calls: usize,
}

impl Notes {
    fn note(&mut self, call: &str, result: impl std::fmt::Debug) {
        self.calls += 1;
        self.lines.push(format!("{call}: {result:X?}"));
    }

    fn title(&mut self, title: &str) {
        self.lines.push(format!("== {title}"));
    }
}

/// The state of a script: the daemon, the notes, and a client that looks at the reader.
struct Stage {
    world: World,
    notes: Notes,
    watcher: Client,
    /// The first reader's event counter when the script began.
    first_event: u32,
}

pub(crate) fn play(world: World) -> Notes {
    let begun = Instant::now();
    while std::os::unix::net::UnixStream::connect(world.socket()).is_err() {
        assert!(begun.elapsed() < PATIENCE, "nobody listens");
        std::thread::yield_now();
    }
    let watcher = Client::establish_at(world.socket(), 4);
    let mut stage = Stage { world, notes: Notes::default(), watcher, first_event: 0 };
    stage.until(|(state, ..)| state & PRESENT != 0);
    stage.first_event = stage.watcher.reader().2;
    scenes::all(&mut stage);
    stage.notes
}

/// A bit in the state of a reader.
const PRESENT: u32 = 4;

impl Stage {
    fn client(&self) -> Client {
        Client::establish_at(self.world.socket(), 4)
    }

    /// Waits until the reader is in a state. The real daemon looks at its readers only from time to time.
    fn until(&mut self, reached: impl Fn((u32, i32, u32)) -> bool) {
        let begun = Instant::now();
        while !reached(self.watcher.reader()) {
            assert!(begun.elapsed() < PATIENCE, "{:?}", self.watcher.reader());
            std::thread::yield_now();
        }
    }

    fn reader(&mut self, when: &str) {
        let (state, sharing, events) = self.watcher.reader();
        self.notes.note(&format!("reader {when}"), (state, sharing, events.wrapping_sub(self.first_event)));
    }

    fn open(&mut self, client: &mut Client, share: u32, mask: u32) -> u32 {
        self.open_named(client, READER, share, mask)
    }

    fn open_named(&mut self, client: &mut Client, name: &str, share: u32, mask: u32) -> u32 {
        let (handle, protocol, rv) = client.open_named(name, share, mask);
        let given = if rv == SUCCESS { protocol } else { 0 };
        self.notes.note(&format!("connect {name} {share:X} {mask:X}"), (handle != 0, given, rv));
        handle
    }

    fn reconnect(&mut self, client: &mut Client, handle: u32, share: u32, mask: u32, initialization: u32) {
        let rv = client.reconnect(handle, share, mask, initialization);
        self.notes.note(&format!("reconnect {share:X} {mask:X} {initialization:X}"), rv);
    }

    fn close(&mut self, client: &mut Client, handle: u32, disposition: u32) {
        let rv = client.close(handle, disposition);
        self.notes.note(&format!("disconnect {disposition:X}"), rv);
    }

    fn begin(&mut self, client: &mut Client, handle: u32) {
        client.send(0x07, &to_bytes(&[handle, 0]));
        self.begun(client, handle);
    }

    /// Begins a transaction as libpcsclite does, which asks again when it is refused. The mock does not refuse; it
    /// answers when the card is free.
    fn begun(&mut self, client: &mut Client, handle: u32) {
        let mut rv = to_words(&client.receive(8))[1];
        while rv == SHARING_VIOLATION {
            rv = client.begin(handle);
        }
        self.notes.note("begin", rv);
    }

    fn end(&mut self, client: &mut Client, handle: u32, disposition: u32) {
        let rv = client.end(handle, disposition);
        self.notes.note(&format!("end {disposition:X}"), rv);
    }

    fn status(&mut self, client: &mut Client, handle: u32) {
        let rv = client.status(handle);
        self.notes.note("status", rv);
    }

    fn transmit(&mut self, client: &mut Client, handle: u32, command: &str) {
        let result = client.transmit(handle, command);
        self.notes.note(&format!("transmit {command}"), result);
    }

    /// All calls on a handle that do not change much.
    fn all(&mut self, client: &mut Client, handle: u32) {
        self.status(client, handle);
        self.transmit(client, handle, SELECT);
        // The driver decides whether there is an answer to reset.
        let rv = attribute(client, handle, 0x0009_0303, 264);
        self.notes.note("attribute", if rv == UNSUPPORTED_FEATURE { SUCCESS } else { rv });
        self.end(client, handle, LEAVE);
    }
}

fn attribute(client: &mut Client, handle: u32, number: u32, room: u32) -> u32 {
    client.send(0x0F, &[to_bytes(&[handle, number]), vec![0; 264], to_bytes(&[room, 0])].concat());
    to_words(&client.receive(280)[276..])[0]
}

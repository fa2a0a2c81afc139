//! The connections that wait for a change of the reader list (SCardGetStatusChange).
//!
//! Each registration gets exactly one message of 8 bytes, and never before the reader list that the client also gets. A
//! client that receives them in another order takes one for the other from then on (pcsc-lite 2.5, `eventhandler.c`).

use std::collections::BTreeMap;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use rustix::net::{SendFlags, send};

use super::wire::pair;

/// The number of a connection. The first one is 1.
pub(crate) type ConnectionId = u64;

/// The list. It is changed under the daemon's lock only, so that leaving it and sending the message are one step.
#[derive(Default)]
pub(crate) struct WaitingList(BTreeMap<ConnectionId, Waiting>);

struct Waiting {
    stream: Arc<UnixStream>,
    wake_up: WakeUp,
}

enum WakeUp {
    /// The message is sent when something happens.
    Direct,
    /// With version 4:6 the client has yet to ask for the list. What happens meanwhile is sent after it.
    AfterList(Option<u32>),
}

impl WaitingList {
    /// Registers a connection whose reader list is sent in the same step.
    pub(crate) fn register(&mut self, id: ConnectionId, stream: Arc<UnixStream>) {
        self.0.insert(id, Waiting { stream, wake_up: WakeUp::Direct });
    }

    /// Registers a connection that will ask for the reader list.
    pub(crate) fn register_before_list(&mut self, id: ConnectionId, stream: Arc<UnixStream>) {
        self.0.insert(id, Waiting { stream, wake_up: WakeUp::AfterList(None) });
    }

    /// The reader list was sent. A message that was held back follows it.
    pub(crate) fn list_was_sent(&mut self, id: ConnectionId) {
        let Some(waiting) = self.0.get_mut(&id) else { return };
        match waiting.wake_up {
            WakeUp::AfterList(Some(rv)) => {
                send_now(&waiting.stream, &pair(0, rv));
                self.0.remove(&id);
            }
            WakeUp::AfterList(None) => waiting.wake_up = WakeUp::Direct,
            WakeUp::Direct => {}
        }
    }

    /// Ends the wait of every connection, because the list has changed.
    pub(crate) fn wake_all(&mut self) {
        let everybody: Vec<_> = self.0.keys().copied().collect();
        for id in everybody {
            self.wake(id, 0);
        }
    }

    /// Ends the wait of one connection with a result. `false` if it was not waiting.
    pub(crate) fn wake(&mut self, id: ConnectionId, rv: u32) -> bool {
        let Some(waiting) = self.0.get_mut(&id) else { return false };
        match &mut waiting.wake_up {
            WakeUp::AfterList(held) => {
                held.get_or_insert(rv);
            }
            WakeUp::Direct => {
                send_now(&waiting.stream, &pair(0, rv));
                self.0.remove(&id);
            }
        }
        true
    }

    /// The client does not wait any more. It gets an answer only if its message has not been sent already.
    pub(crate) fn stop(&mut self, id: ConnectionId) {
        if let Some(waiting) = self.0.remove(&id) {
            let rv = if let WakeUp::AfterList(Some(rv)) = waiting.wake_up { rv } else { 0 };
            send_now(&waiting.stream, &pair(0, rv));
        }
    }

    /// The connection is closed.
    pub(crate) fn forget(&mut self, id: ConnectionId) {
        self.0.remove(&id);
    }
}

/// Sends bytes without waiting, because the daemon's lock is held here. A client whose buffer is full does not read its
/// answers; its connection is closed.
pub(crate) fn send_now(stream: &UnixStream, bytes: &[u8]) {
    let sent = send(stream, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
    if sent != Ok(bytes.len()) {
        let _ = stream.shutdown(std::net::Shutdown::Both);
    }
}

//! A client that speaks the protocol itself, without libpcsclite. The structures are those of `winscard_msg.h`.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use mock_card::{MockCard, hex};

use crate::{INVALID_HANDLE, NO_CONTEXT, PATIENCE, READER, SHARED, SUCCESS, T0, T1};

/// A connection.
pub(crate) struct Client {
    pub(crate) stream: UnixStream,
    pub(crate) context: u32,
}

impl Client {
    pub(crate) fn connect(card: &MockCard) -> Self {
        Self::connect_to(card.socket())
    }

    pub(crate) fn connect_to(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream, context: 0 }
    }

    /// A connection with version 4:`minor` and a context.
    pub(crate) fn establish(card: &MockCard, minor: u32) -> Self {
        Self::establish_at(card.socket(), minor)
    }

    pub(crate) fn establish_at(socket: &Path, minor: u32) -> Self {
        let mut client = Self::connect_to(socket);
        assert_eq!(client.call(0x11, &[4, minor, 0]), [4, minor, SUCCESS]);
        let reply = client.call(0x01, &[2, 0, 0]);
        assert_eq!(reply[2], SUCCESS);
        client.context = reply[1];
        client
    }

    pub(crate) fn send(&mut self, command: u32, body: &[u8]) {
        let header = [(body.len() as u32).to_ne_bytes(), command.to_ne_bytes()].concat();
        self.stream.write_all(&[&header, body].concat()).unwrap();
    }

    pub(crate) fn receive(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Sends a request of numbers. The answer has as many.
    pub(crate) fn call(&mut self, command: u32, words: &[u32]) -> Vec<u32> {
        self.send(command, &to_bytes(words));
        to_words(&self.receive(words.len() * 4))
    }

    /// Handle, protocol and result.
    pub(crate) fn open(&mut self, share: u32, mask: u32) -> (u32, u32, u32) {
        self.open_named(READER, share, mask)
    }

    pub(crate) fn open_named(&mut self, name: &str, share: u32, mask: u32) -> (u32, u32, u32) {
        self.send_open(name, share, mask);
        self.receive_open()
    }

    pub(crate) fn send_open(&mut self, name: &str, share: u32, mask: u32) {
        let mut body = to_bytes(&[self.context]);
        body.extend(name.as_bytes());
        body.resize(132, 0);
        body.extend(to_bytes(&[share, mask, 0, 0, 0]));
        self.send(0x04, &body);
    }

    pub(crate) fn receive_open(&mut self) -> (u32, u32, u32) {
        let reply = to_words(&self.receive(152));
        (reply[35], reply[36], reply[37])
    }

    pub(crate) fn open_shared(&mut self) -> u32 {
        let (handle, protocol, rv) = self.open(SHARED, T0 | T1);
        assert_eq!((protocol, rv), (T1, SUCCESS));
        handle
    }

    pub(crate) fn reconnect(&mut self, handle: u32, share: u32, mask: u32, initialization: u32) -> u32 {
        self.call(0x05, &[handle, share, mask, initialization, 0, 0])[5]
    }

    pub(crate) fn close(&mut self, handle: u32, disposition: u32) -> u32 {
        self.call(0x06, &[handle, disposition, 0])[2]
    }

    pub(crate) fn begin(&mut self, handle: u32) -> u32 {
        self.call(0x07, &[handle, 0])[1]
    }

    pub(crate) fn end(&mut self, handle: u32, disposition: u32) -> u32 {
        self.call(0x08, &[handle, disposition, 0])[2]
    }

    pub(crate) fn status(&mut self, handle: u32) -> u32 {
        self.call(0x0B, &[handle, 0])[1]
    }

    pub(crate) fn send_transmit(&mut self, handle: u32, protocol: u32, command: &[u8], room: u32) {
        let words = [handle, protocol, 16, command.len() as u32, 3, 16, room, 0];
        let body = to_bytes(&words);
        let header = [(body.len() as u32).to_ne_bytes(), 9_u32.to_ne_bytes()].concat();
        self.stream.write_all(&[&header[..], &body, command].concat()).unwrap();
    }

    pub(crate) fn receive_transmit(&mut self) -> Result<String, u32> {
        let reply = to_words(&self.receive(32));
        match reply[7] {
            SUCCESS => Ok(hex::encode(&self.receive(reply[6] as usize))),
            rv => Err(rv),
        }
    }

    pub(crate) fn transmit(&mut self, handle: u32, command: &str) -> Result<String, u32> {
        self.send_transmit(handle, T1, &hex::decode(command).unwrap(), 65_548);
        self.receive_transmit()
    }

    /// Waits for a change, and gets the reader list in the way of this version.
    pub(crate) fn wait(&mut self, minor: u32) -> Vec<u8> {
        self.send(0x13, &[]);
        if minor >= 6 { self.list(minor) } else { self.receive(16 * 184) }
    }

    pub(crate) fn list(&mut self, minor: u32) -> Vec<u8> {
        if minor < 6 {
            self.send(0x12, &[]);
            return self.receive(16 * 184);
        }
        self.send(0x16, &[]);
        assert_eq!(to_words(&self.receive(4)), [16]);
        self.send(0x17, &[]);
        self.receive(16 * 184)
    }

    /// State, sharing and event counter of the first reader.
    pub(crate) fn reader(&mut self) -> (u32, i32, u32) {
        let list = self.list(4);
        let words = to_words(&list[128..140]);
        (words[1], words[2] as i32, words[0])
    }

    pub(crate) fn wake_up(&mut self) -> u32 {
        let words = to_words(&self.receive(8));
        assert_eq!(words[0], 0);
        words[1]
    }

    /// Asserts that no other message arrives before the answer to the next request.
    pub(crate) fn assert_in_step(&mut self) {
        assert_eq!(self.call(0x0D, &[NO_CONTEXT, 0]), [NO_CONTEXT, INVALID_HANDLE]);
    }

    pub(crate) fn assert_closed(mut self) {
        let mut byte = [0];
        match self.stream.read(&mut byte) {
            Ok(0) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            other => panic!("the connection is not closed: {other:?}"),
        }
    }
}

pub(crate) fn to_bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

pub(crate) fn to_words(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks_exact(4).map(|word| u32::from_ne_bytes(word.try_into().unwrap())).collect()
}

//! The daemon's protocol, byte for byte, by a client of our own: what libpcsclite would never send, and what it
//! cannot show. Layouts from pcsc-lite's `winscard_msg.h`.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use mock_card::{ImportedKey, MockCard, PinPolicy, Touch, TouchPolicy, hex};
use p256::pkcs8::EncodePrivateKey as _;

const PATIENCE: Duration = Duration::from_secs(20);

const SUCCESS: u32 = 0;
const CANCELLED: u32 = 0x8010_0002;
const INVALID_HANDLE: u32 = 0x8010_0003;
const INSUFFICIENT_BUFFER: u32 = 0x8010_0008;
const UNKNOWN_READER: u32 = 0x8010_0009;
const SHARING_VIOLATION: u32 = 0x8010_000B;
const NO_SMARTCARD: u32 = 0x8010_000C;
const PROTO_MISMATCH: u32 = 0x8010_000F;
const INVALID_VALUE: u32 = 0x8010_0011;
const NOT_TRANSACTED: u32 = 0x8010_0016;
const READER_UNAVAILABLE: u32 = 0x8010_0017;
const SERVICE_STOPPED: u32 = 0x8010_001E;
const UNSUPPORTED_FEATURE: u32 = 0x8010_001F;
const RESET_CARD: u32 = 0x8010_0068;
const REMOVED_CARD: u32 = 0x8010_0069;

const EXCLUSIVE: u32 = 1;
const SHARED: u32 = 2;
const DIRECT: u32 = 3;
const LEAVE: u32 = 0;
const RESET: u32 = 1;
const UNPOWER: u32 = 2;
const T0: u32 = 1;
const T1: u32 = 2;
const RAW: u32 = 4;

const READER: &str = "Yubico YubiKey OTP+FIDO+CCID 00 00";
const SELECT: &str = "00A4040005A000000308";

/// A context that nobody has.
const NO_CONTEXT: u32 = 0x7FFF_FFFF;

/// One connection.
struct Client {
    stream: UnixStream,
    context: u32,
}

impl Client {
    fn connect(card: &MockCard) -> Self {
        let stream = UnixStream::connect(card.socket()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream, context: 0 }
    }

    /// Speaks 4:`minor` and has a context.
    fn establish(card: &MockCard, minor: u32) -> Self {
        let mut client = Self::connect(card);
        assert_eq!(client.call(0x11, &[4, minor, 0]), [4, minor, SUCCESS]);
        let reply = client.call(0x01, &[2, 0, 0]);
        assert_eq!(reply[2], SUCCESS);
        client.context = reply[1];
        client
    }

    fn send(&mut self, command: u32, body: &[u8]) {
        let header = [(body.len() as u32).to_ne_bytes(), command.to_ne_bytes()].concat();
        self.stream.write_all(&[&header, body].concat()).unwrap();
    }

    fn receive(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// A request of numbers, answered by as many.
    fn call(&mut self, command: u32, words: &[u32]) -> Vec<u32> {
        self.send(command, &to_bytes(words));
        to_words(&self.receive(words.len() * 4))
    }

    /// Handle, protocol and result.
    fn open(&mut self, share: u32, mask: u32) -> (u32, u32, u32) {
        self.open_named(READER, share, mask)
    }

    fn open_named(&mut self, name: &str, share: u32, mask: u32) -> (u32, u32, u32) {
        self.send_open(name, share, mask);
        self.receive_open()
    }

    fn send_open(&mut self, name: &str, share: u32, mask: u32) {
        let mut body = to_bytes(&[self.context]);
        body.extend(name.as_bytes());
        body.resize(132, 0);
        body.extend(to_bytes(&[share, mask, 0, 0, 0]));
        self.send(0x04, &body);
    }

    fn receive_open(&mut self) -> (u32, u32, u32) {
        let reply = to_words(&self.receive(152));
        (reply[35], reply[36], reply[37])
    }

    fn open_shared(&mut self) -> u32 {
        let (handle, protocol, rv) = self.open(SHARED, T0 | T1);
        assert_eq!((protocol, rv), (T1, SUCCESS));
        handle
    }

    fn reconnect(&mut self, handle: u32, share: u32, mask: u32, initialization: u32) -> u32 {
        self.call(0x05, &[handle, share, mask, initialization, 0, 0])[5]
    }

    fn close(&mut self, handle: u32, disposition: u32) -> u32 {
        self.call(0x06, &[handle, disposition, 0])[2]
    }

    fn begin(&mut self, handle: u32) -> u32 {
        self.call(0x07, &[handle, 0])[1]
    }

    fn end(&mut self, handle: u32, disposition: u32) -> u32 {
        self.call(0x08, &[handle, disposition, 0])[2]
    }

    fn status(&mut self, handle: u32) -> u32 {
        self.call(0x0B, &[handle, 0])[1]
    }

    fn send_transmit(&mut self, handle: u32, protocol: u32, command: &[u8], room: u32) {
        let words = [handle, protocol, 16, command.len() as u32, 3, 16, room, 0];
        let body = to_bytes(&words);
        let header = [(body.len() as u32).to_ne_bytes(), 9_u32.to_ne_bytes()].concat();
        self.stream.write_all(&[&header[..], &body, command].concat()).unwrap();
    }

    fn receive_transmit(&mut self) -> Result<String, u32> {
        let reply = to_words(&self.receive(32));
        match reply[7] {
            SUCCESS => Ok(hex::encode(&self.receive(reply[6] as usize))),
            rv => Err(rv),
        }
    }

    fn transmit(&mut self, handle: u32, command: &str) -> Result<String, u32> {
        self.send_transmit(handle, T1, &hex::decode(command).unwrap(), 65_548);
        self.receive_transmit()
    }

    /// 0x13, and the list as the dialect has it; the first record.
    fn wait(&mut self, minor: u32) -> Vec<u8> {
        self.send(0x13, &[]);
        if minor >= 6 { self.list(minor) } else { self.receive(16 * 184) }
    }

    fn list(&mut self, minor: u32) -> Vec<u8> {
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
    fn reader(&mut self) -> (u32, i32, u32) {
        let list = self.list(4);
        let words = to_words(&list[128..140]);
        (words[1], words[2] as i32, words[0])
    }

    fn wake_up(&mut self) -> u32 {
        let words = to_words(&self.receive(8));
        assert_eq!(words[0], 0);
        words[1]
    }

    /// Proves that nothing is under way: the answer to the next question comes first.
    fn assert_in_step(&mut self) {
        assert_eq!(self.call(0x0D, &[NO_CONTEXT, 0]), [NO_CONTEXT, INVALID_HANDLE]);
    }

    fn assert_closed(mut self) {
        let mut byte = [0];
        match self.stream.read(&mut byte) {
            Ok(0) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            other => panic!("the connection is not closed: {other:?}"),
        }
    }
}

fn to_bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn to_words(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks_exact(4).map(|word| u32::from_ne_bytes(word.try_into().unwrap())).collect()
}

fn start() -> MockCard {
    MockCard::builder().start().unwrap()
}

/// A key in slot 9E that wants a touch each time, and the command that signs with it.
fn start_with_touch_key(touch: Touch, timeout: Duration) -> (MockCard, Vec<u8>) {
    let key = p256::SecretKey::from_slice(&[0x5A; 32]).unwrap().to_pkcs8_der().unwrap();
    let key = ImportedKey::from_pkcs8(key.as_bytes()).unwrap();
    let card = MockCard::builder()
        .import(0x9E, key, PinPolicy::Never, TouchPolicy::Always)
        .touch(touch)
        .touch_timeout(timeout)
        .start()
        .unwrap();
    (card, [hex::decode("0087119E267C2482008120").unwrap(), vec![0x11; 32]].concat())
}

#[test]
fn versions_are_echoed_or_refused_for_good() {
    let card = start();
    for minor in 4..=6 {
        assert_eq!(Client::connect(&card).call(0x11, &[4, minor, 0]), [4, minor, SUCCESS]);
    }
    assert_eq!(Client::connect(&card).call(0x11, &[4, 7, 0]), [4, 6, SERVICE_STOPPED]);
    for (major, minor) in [(4, 3), (4, 0), (3, 4), (5, 0), (4, u32::MAX)] {
        // A minor below 4 is what no library takes for an invitation to try again.
        assert_eq!(Client::connect(&card).call(0x11, &[major, minor, 0]), [4, 3, SERVICE_STOPPED]);
    }
}

#[test]
fn what_no_client_sends_closes_that_connection_only() {
    let card = start();
    let mut good = Client::establish(&card, 4);
    let handle = good.open_shared();
    let frames: [(u32, Vec<u8>); 9] = [
        (0x03, vec![0; 8]),
        (0x0C, vec![0; 8]),
        (0x0E, vec![0; 8]),
        (0xFFFF_FFFF, vec![]),
        (0x01, vec![0; 11]),
        (0x04, vec![0; 2_000_000]),
        (0x09, to_bytes(&[handle, T1, 16, 65_549, 3, 16, 258, 0])),
        (0x0A, to_bytes(&[handle, 0, 70_000, 0, 0, 0])),
        (0x0F, [to_bytes(&[handle, 0x0009_0303]), vec![0; 264], to_bytes(&[265, 0])].concat()),
    ];
    for (command, body) in frames {
        let mut bad = Client::establish(&card, 4);
        let header = [(body.len() as u32).to_ne_bytes(), command.to_ne_bytes()].concat();
        // The daemon may close before it has read everything.
        let _ = bad.stream.write_all(&[&header[..], &body].concat());
        bad.assert_closed();
        assert!(good.transmit(handle, SELECT).unwrap().ends_with("9000"), "after command {command:#x}");
    }
}

#[test]
fn another_connections_handle_closes_the_connection() {
    let card = start();
    let mut owner = Client::establish(&card, 4);
    let handle = owner.open_shared();
    let mut thief = Client::establish(&card, 4);
    thief.send(0x0B, &to_bytes(&[handle, 0]));
    thief.assert_closed();
    assert_eq!(owner.status(handle), SUCCESS);
}

#[test]
fn contexts_are_unique_and_belong_to_their_connection() {
    let card = start();
    let mut one = Client::establish(&card, 4);
    let mut two = Client::establish(&card, 4);
    assert_ne!(one.context, two.context);
    assert_eq!(one.call(0x01, &[4, 0, 0])[2], INVALID_VALUE);
    assert_eq!(one.call(0x02, &[two.context, 0])[1], INVALID_VALUE);
    let foreign = two.context;
    assert_eq!(one.call(0x02, &[one.context, 0])[1], SUCCESS);
    one.context = foreign;
    assert_eq!(one.open(SHARED, T1).2, INVALID_VALUE);
    assert_eq!(two.open(SHARED, T1).2, SUCCESS);
}

#[test]
fn connect_is_checked_in_the_daemons_order() {
    let card = start();
    let mut client = Client::establish(&card, 4);
    assert_eq!(client.open(SHARED, 8), (0, 0, PROTO_MISMATCH));
    assert_eq!(client.open(7, 8), (0, 0, PROTO_MISMATCH));
    assert_eq!(client.open(7, T1), (0, 0, INVALID_VALUE));
    assert_eq!(client.open_named("Gemalto", SHARED, T1), (0, 0, UNKNOWN_READER));
    assert_eq!(client.open(SHARED, T0), (0, 0, PROTO_MISMATCH));
    card.remove();
    assert_eq!(client.open(SHARED, T1), (0, 0, NO_SMARTCARD));
    let (direct, protocol, rv) = client.open(DIRECT, 0);
    assert_eq!((protocol, rv), (0, SUCCESS));
    assert_eq!(client.transmit(direct, SELECT), Err(NO_SMARTCARD));
}

#[test]
fn a_raw_protocol_sticks_until_reset() {
    let card = start();
    let mut client = Client::establish(&card, 4);
    let (raw, protocol, rv) = client.open(SHARED, RAW);
    assert_eq!((protocol, rv), (RAW, SUCCESS));
    assert_eq!(client.close(raw, LEAVE), SUCCESS);
    assert_eq!(client.open(SHARED, T1).2, PROTO_MISMATCH);
    let (raw, ..) = client.open(SHARED, RAW);
    assert_eq!(client.close(raw, RESET), SUCCESS);
    assert_eq!(client.open(SHARED, T1).2, SUCCESS);
}

#[test]
fn the_wrong_protocol_is_not_sent() {
    let card = start();
    let mut client = Client::establish(&card, 4);
    let handle = client.open_shared();
    for (protocol, fits) in [(T0, false), (T1, true), (RAW, true), (0x1000, true)] {
        client.send_transmit(handle, protocol, &hex::decode(SELECT).unwrap(), 258);
        assert_eq!(client.receive_transmit().err(), (!fits).then_some(PROTO_MISMATCH), "{protocol}");
    }
}

#[test]
fn exclusive_means_alone() {
    let card = start();
    let mut one = Client::establish(&card, 4);
    let mut two = Client::establish(&card, 4);
    let shared = two.open_shared();
    assert_eq!(one.open(EXCLUSIVE, T1).2, SHARING_VIOLATION);
    assert_eq!(one.reader().1, 1);
    assert_eq!(two.close(shared, LEAVE), SUCCESS);
    let (handle, _, rv) = one.open(EXCLUSIVE, T1);
    assert_eq!(rv, SUCCESS);
    assert_eq!(one.reader().1, -1);
    assert_eq!(two.open(SHARED, T1).2, SHARING_VIOLATION);
    assert_eq!(two.open(DIRECT, 0).2, SHARING_VIOLATION);
    // The mode counts as one transaction that END cannot end.
    assert_eq!(one.begin(handle), SUCCESS);
    assert_eq!(one.end(handle, LEAVE), SUCCESS);
    assert_eq!(one.end(handle, LEAVE), NOT_TRANSACTED);
    assert_eq!(one.close(handle, LEAVE), SUCCESS);
    two.open_shared();
}

#[test]
fn reconnecting_changes_the_mode() {
    let card = start();
    let mut one = Client::establish(&card, 4);
    let mut two = Client::establish(&card, 4);
    let (first, second) = (one.open_shared(), two.open_shared());
    assert_eq!(one.reconnect(first, EXCLUSIVE, T1, 0), SHARING_VIOLATION);
    assert_eq!(one.reconnect(first, 9, T1, 0), INVALID_VALUE);
    assert_eq!(one.reconnect(first, SHARED, T1, 3), INVALID_VALUE);
    assert_eq!(one.reconnect(first, SHARED, T0, 0), PROTO_MISMATCH);
    assert_eq!(two.close(second, LEAVE), SUCCESS);
    assert_eq!(one.reconnect(first, EXCLUSIVE, T1, 0), SUCCESS);
    assert_eq!(two.open(SHARED, T1).2, SHARING_VIOLATION);
    assert_eq!(one.reconnect(first, SHARED, T1, 0), SUCCESS);
    // The real daemon's quirk: the lock stays until END.
    assert_eq!(one.reader().1, 1);
    assert_eq!(one.end(first, LEAVE), SUCCESS);
    two.open_shared();
}

#[test]
fn transactions_nest_and_belong_to_their_handle() {
    let card = start();
    let mut one = Client::establish(&card, 4);
    let mut two = Client::establish(&card, 4);
    let (first, second) = (one.open_shared(), two.open_shared());
    assert_eq!(one.end(first, LEAVE), NOT_TRANSACTED);
    assert_eq!(one.begin(first), SUCCESS);
    assert_eq!(one.begin(first), SUCCESS);
    assert_eq!(two.transmit(second, SELECT), Err(SHARING_VIOLATION));
    assert_eq!(two.status(second), SHARING_VIOLATION);
    assert_eq!(two.end(second, LEAVE), SHARING_VIOLATION);
    assert_eq!(two.end(second, 4), INVALID_VALUE);
    assert_eq!(two.reconnect(second, SHARED, T1, 0), SHARING_VIOLATION);
    assert_eq!(one.end(first, LEAVE), SUCCESS);
    assert_eq!(two.status(second), SHARING_VIOLATION);
    assert_eq!(one.end(first, LEAVE), SUCCESS);
    assert_eq!(two.status(second), SUCCESS);
    // Closing ends whatever is nested.
    assert_eq!(one.begin(first), SUCCESS);
    assert_eq!(one.begin(first), SUCCESS);
    assert_eq!(one.close(first, LEAVE), SUCCESS);
    assert_eq!(two.transmit(second, SELECT).map(|answer| answer.len()), Ok(42));
}

#[test]
fn begin_and_connect_wait_for_their_turn() {
    let card = start();
    let mut one = Client::establish(&card, 4);
    let mut two = Client::establish(&card, 4);
    let mut three = Client::establish(&card, 4);
    let (first, second) = (one.open_shared(), two.open_shared());
    assert_eq!(one.begin(first), SUCCESS);
    two.send(0x07, &to_bytes(&[second, 0]));
    three.send_open(READER, SHARED, T1);
    assert_eq!(one.end(first, LEAVE), SUCCESS);
    assert_eq!(to_words(&two.receive(8))[1], SUCCESS);
    // The connection may have come later; then it waits for the second transaction, too.
    assert_eq!(two.end(second, LEAVE), SUCCESS);
    assert_eq!(three.receive_open().2, SUCCESS);
    let calls: Vec<_> = card.trace().iter().map(|entry| entry.call).collect();
    let ended = calls.iter().position(|call| *call == "endtransaction").unwrap();
    let begun = calls.iter().rposition(|call| *call == "begintransaction").unwrap();
    let opened = calls.iter().rposition(|call| *call == "connect").unwrap();
    assert!(ended < begun && ended < opened, "{calls:?}");
}

#[test]
fn a_transaction_of_the_same_connection_is_answered_at_once() {
    let card = start();
    let mut client = Client::establish(&card, 4);
    let (first, second) = (client.open_shared(), client.open_shared());
    assert_eq!(client.begin(first), SUCCESS);
    // Held back, this answer would keep END from ever being said.
    assert_eq!(client.begin(second), SHARING_VIOLATION);
    assert_eq!(client.end(first, LEAVE), SUCCESS);
    assert_eq!(client.begin(second), SUCCESS);
}

#[test]
fn who_waits_and_goes_away_is_forgotten() {
    let card = start();
    let mut one = Client::establish(&card, 4);
    let first = one.open_shared();
    assert_eq!(one.begin(first), SUCCESS);
    let mut two = Client::establish(&card, 4);
    two.send_open(READER, SHARED, T1);
    drop(two);
    assert_eq!(one.end(first, LEAVE), SUCCESS);
    assert_eq!(one.close(first, LEAVE), SUCCESS);
    assert!(card.wait_idle(PATIENCE), "the abandoned connect has a handle: {}", card.daemon().describe());
}

#[test]
fn a_client_that_vanishes_in_a_transaction_costs_a_reset() {
    let card = start();
    let mut one = Client::establish(&card, 4);
    let mut two = Client::establish(&card, 4);
    let (first, second) = (one.open_shared(), two.open_shared());
    assert_eq!(one.begin(first), SUCCESS);
    drop(one);
    // Comes through once the lock is free, and then meets the reset.
    assert_eq!(two.begin(second), RESET_CARD);
    assert_eq!(two.reconnect(second, SHARED, T1, LEAVE), SUCCESS);
    assert_eq!(two.transmit(second, "00FD0000"), Ok("6D00".to_owned()), "the selection is lost");
    let implicit = card.trace().into_iter().find(|entry| entry.implicit).unwrap();
    assert_eq!((implicit.call, implicit.disposition), ("disconnect", Some(RESET)));
}

#[test]
fn a_client_that_vanishes_outside_one_costs_nothing() {
    let card = start();
    let mut one = Client::establish(&card, 4);
    let mut two = Client::establish(&card, 4);
    one.open_shared();
    let second = two.open_shared();
    assert!(two.transmit(second, SELECT).is_ok());
    assert_eq!(one.call(0x02, &[one.context, 0])[1], SUCCESS);
    assert_eq!(two.reader().1, 1);
    assert_eq!(two.transmit(second, "00FD0000"), Ok("0507049000".to_owned()));
    let implicit = card.trace().into_iter().find(|entry| entry.implicit).unwrap();
    assert_eq!((implicit.call, implicit.disposition), ("disconnect", Some(LEAVE)));
}

#[test]
fn a_reset_is_told_to_every_handle() {
    let card = start();
    let mut one = Client::establish(&card, 4);
    let mut two = Client::establish(&card, 4);
    let (first, second) = (one.open_shared(), two.open_shared());
    let counter = one.reader().2;
    for disposition in [RESET, UNPOWER] {
        assert_eq!(one.begin(first), SUCCESS);
        assert_eq!(one.end(first, disposition), SUCCESS);
        for rv in [two.status(second), two.begin(second), two.end(second, LEAVE), one.status(first)] {
            assert_eq!(rv, RESET_CARD);
        }
        assert_eq!(two.transmit(second, SELECT), Err(RESET_CARD));
        assert_eq!(two.reconnect(second, SHARED, T1, LEAVE), SUCCESS);
        assert_eq!(one.reconnect(first, SHARED, T1, LEAVE), SUCCESS);
        assert!(two.transmit(second, SELECT).is_ok());
    }
    assert_eq!(one.reconnect(first, SHARED, T1, RESET), SUCCESS);
    assert_eq!(one.status(first), SUCCESS, "reconnecting with a reset clears its own");
    assert_eq!(two.status(second), RESET_CARD);
    assert_eq!(one.reader().2, counter, "resets are not counted");
}

#[test]
fn unpower_shows_until_somebody_connects() {
    let card = start();
    let mut client = Client::establish(&card, 4);
    assert_eq!(client.reader().0, 0x34);
    let handle = client.open_shared();
    assert_eq!(client.close(handle, UNPOWER), SUCCESS);
    assert_eq!(client.reader().0, 0x04);
    client.open_shared();
    assert_eq!(client.reader().0, 0x34);
}

#[test]
fn a_removed_card_is_told_until_reconnecting() {
    let card = start();
    let mut client = Client::establish(&card, 4);
    let handle = client.open_shared();
    assert_eq!(client.begin(handle), SUCCESS);
    card.remove();
    assert_eq!(client.reader(), (0x02, 1, 1));
    assert_eq!(client.transmit(handle, SELECT), Err(REMOVED_CARD));
    assert_eq!(client.reconnect(handle, SHARED, T1, LEAVE), NO_SMARTCARD);
    card.insert();
    assert_eq!(client.reader(), (0x34, 1, 2));
    assert_eq!(client.transmit(handle, SELECT), Err(REMOVED_CARD));
    assert_eq!(client.reconnect(handle, SHARED, T1, LEAVE), SUCCESS);
    assert!(client.transmit(handle, SELECT).is_ok());
}

#[test]
fn an_unplugged_reader_forgets_its_handles() {
    let card = start();
    let mut client = Client::establish(&card, 4);
    let handle = client.open_shared();
    card.unplug();
    assert_eq!(client.list(4), vec![0; 16 * 184]);
    assert_eq!(client.transmit(handle, SELECT), Err(INVALID_VALUE));
    assert_eq!(client.begin(handle), INVALID_VALUE);
    assert_eq!(client.reconnect(handle, SHARED, T1, LEAVE), INVALID_VALUE);
    assert_eq!(client.open(SHARED, T1).2, UNKNOWN_READER);
    card.plug();
    assert_eq!(client.transmit(handle, SELECT), Err(INVALID_VALUE));
    assert_eq!(client.close(handle, RESET), SUCCESS);
    client.open_shared();
}

#[test]
fn another_program_can_be_played() {
    let card = start();
    let mut client = Client::establish(&card, 4);
    card.hold_exclusive();
    assert_eq!(client.open(SHARED, T1).2, SHARING_VIOLATION);
    card.release();
    let handle = client.open_shared();
    card.hold_transaction();
    assert_eq!(client.transmit(handle, SELECT), Err(SHARING_VIOLATION));
    card.release();
    assert!(client.transmit(handle, SELECT).is_ok());
    card.reset();
    assert_eq!(client.transmit(handle, SELECT), Err(RESET_CARD));
    assert_eq!(client.reconnect(handle, SHARED, T1, LEAVE), SUCCESS);
    card.power_off();
    assert_eq!(client.reader().0, 0x04);
    assert_eq!(client.transmit(handle, SELECT), Err(RESET_CARD));
}

#[test]
fn an_answer_too_long_for_its_buffer_is_not_sent() {
    let card = start();
    let mut client = Client::establish(&card, 4);
    let handle = client.open_shared();
    client.send_transmit(handle, T1, &hex::decode(SELECT).unwrap(), 20);
    let reply = to_words(&client.receive(32));
    assert_eq!((reply[6], reply[7]), (21, INSUFFICIENT_BUFFER));
    client.assert_in_step();
}

#[test]
fn commands_too_short_to_be_any_are_answered() {
    let card = start();
    let mut client = Client::establish(&card, 4);
    let handle = client.open_shared();
    for command in ["", "00", "00A404"] {
        assert_eq!(client.transmit(handle, command), Ok("6700".to_owned()));
    }
}

#[test]
fn attributes_and_control_codes() {
    let card = start();
    let mut client = Client::establish(&card, 4);
    let handle = client.open_shared();
    let mut attribute = |number: u32| {
        client
            .send(0x0F, &[to_bytes(&[handle, number]), vec![0; 264], to_bytes(&[264, 0x8010_001D])].concat());
        let reply = client.receive(280);
        let words = to_words(&reply[272..]);
        (words[1], reply[8..8 + words[0] as usize].to_vec())
    };
    let atr = hex::decode("3BFD1300008131FE158073C021C057597562694B657940").unwrap();
    assert_eq!(attribute(0x0009_0303), (SUCCESS, atr));
    assert_eq!(attribute(0x0001_0100), (SUCCESS, b"Yubico\0".to_vec()));
    assert_eq!(attribute(0x7FFF_0003), (SUCCESS, format!("{READER}\0").into_bytes()));
    assert_eq!(attribute(0x0001_0102), (UNSUPPORTED_FEATURE, vec![]));
    client.send(0x10, &[to_bytes(&[handle, 1]), vec![0; 264], to_bytes(&[4, 0])].concat());
    assert_eq!(to_words(&client.receive(280))[69], UNSUPPORTED_FEATURE);
    assert_eq!(client.call(0x0A, &[handle, 0x4200_0D48, 0, 64, 0, 0])[4..], [0, SUCCESS]);
    assert_eq!(client.call(0x0A, &[handle, 0x4200_0001, 0, 64, 0, 0])[4..], [0, UNSUPPORTED_FEATURE]);
}

#[test]
fn a_wait_is_woken_once() {
    let card = start();
    for minor in 4..=6 {
        let mut client = Client::establish(&card, minor);
        let list = client.wait(minor);
        assert!(list.starts_with(READER.as_bytes()));
        card.remove();
        card.insert();
        assert_eq!(client.wake_up(), SUCCESS);
        client.assert_in_step();
        // Nobody waits: the answer to "stop" would be one too many.
        client.send(0x14, &[]);
        client.assert_in_step();
        client.wait(minor);
        client.send(0x14, &[]);
        assert_eq!(client.wake_up(), SUCCESS);
        client.assert_in_step();
    }
}

#[test]
fn every_kind_of_change_wakes() {
    let card = start();
    let mut watcher = Client::establish(&card, 5);
    let mut user = Client::establish(&card, 5);
    let mut changes: Vec<Box<dyn FnMut()>> = vec![
        Box::new(|| card.unplug()),
        Box::new(|| card.plug()),
        Box::new(|| card.remove()),
        Box::new(|| card.insert()),
        Box::new(|| {
            user.open_shared();
        }),
    ];
    for (index, change) in changes.iter_mut().enumerate() {
        watcher.wait(5);
        change();
        assert_eq!(watcher.wake_up(), SUCCESS, "change {index}");
    }
    watcher.send(0x15, &[]);
    assert_eq!(to_words(&watcher.receive(8)), [3, SUCCESS], "a reader went and one came");
}

#[test]
fn from_4_6_on_a_wake_up_is_held_back_until_the_list_is_out() {
    let card = start();
    let mut client = Client::establish(&card, 6);
    client.send(0x13, &[]);
    client.send(0x16, &[]);
    assert_eq!(to_words(&client.receive(4)), [16]);
    card.remove();
    client.send(0x17, &[]);
    let list = client.receive(16 * 184);
    assert!(list.starts_with(READER.as_bytes()), "the list came before the wake-up");
    assert_eq!(client.wake_up(), SUCCESS);
    client.assert_in_step();
}

#[test]
fn a_wait_can_be_cancelled_from_another_connection() {
    let card = start();
    let mut waiting = Client::establish(&card, 4);
    waiting.wait(4);
    // No version is spoken on the connection that cancels.
    assert_eq!(Client::connect(&card).call(0x0D, &[waiting.context, 0])[1], SUCCESS);
    assert_eq!(waiting.wake_up(), CANCELLED);
    assert_eq!(
        Client::connect(&card).call(0x0D, &[waiting.context, 0])[1],
        SUCCESS,
        "known, but not waiting"
    );
    waiting.assert_in_step();
    assert_eq!(Client::connect(&card).call(0x0D, &[NO_CONTEXT, 0])[1], INVALID_HANDLE);
}

#[test]
fn a_touch_keeps_nobody_else_waiting() {
    let (card, sign) = start_with_touch_key(Touch::Manual, PATIENCE);
    let mut one = Client::establish(&card, 4);
    let mut two = Client::establish(&card, 4);
    let (first, second) = (one.open_shared(), two.open_shared());
    assert!(one.transmit(first, SELECT).is_ok());
    one.send_transmit(first, T1, &sign, 258);
    assert!(card.wait_touch(PATIENCE));
    assert_eq!(two.status(second), SUCCESS);
    assert_eq!(two.reader().1, 2);
    card.touch();
    assert!(one.receive_transmit().unwrap().ends_with("9000"));
    let calls: Vec<_> = card.trace().iter().map(|entry| (entry.call, entry.slot.clone())).collect();
    assert_eq!(calls.iter().filter(|(call, _)| *call == "touch").count(), 1);
    let touch = calls.iter().position(|call| *call == ("touch", Some("9E".to_owned()))).unwrap();
    assert_eq!(calls[touch + 1].0, "transmit");
}

#[test]
fn a_touch_may_come_before_it_is_wanted_but_only_once() {
    let (card, sign) = start_with_touch_key(Touch::Manual, Duration::from_millis(20));
    let mut client = Client::establish(&card, 4);
    let handle = client.open_shared();
    assert!(client.transmit(handle, SELECT).is_ok());
    card.touch();
    client.send_transmit(handle, T1, &sign, 258);
    assert!(client.receive_transmit().unwrap().ends_with("9000"));
    client.send_transmit(handle, T1, &sign, 258);
    assert_eq!(client.receive_transmit(), Ok("6982".to_owned()));
}

#[test]
fn nobody_touches() {
    let (card, sign) = start_with_touch_key(Touch::Never, Duration::from_millis(20));
    let mut client = Client::establish(&card, 4);
    let handle = client.open_shared();
    assert!(client.transmit(handle, SELECT).is_ok());
    client.send_transmit(handle, T1, &sign, 258);
    assert_eq!(client.receive_transmit(), Ok("6982".to_owned()));
    assert!(card.trace().iter().all(|entry| entry.call != "touch"));
    assert!(card.daemon().touch(None).is_err());
}

#[test]
fn a_card_pulled_while_it_blinks() {
    for (pull, expected) in [
        (MockCard::unplug as fn(&MockCard), READER_UNAVAILABLE),
        (MockCard::remove, NO_SMARTCARD),
        (MockCard::reset, NOT_TRANSACTED),
    ] {
        let (card, sign) = start_with_touch_key(Touch::Manual, PATIENCE);
        let mut client = Client::establish(&card, 4);
        let handle = client.open_shared();
        assert!(client.transmit(handle, SELECT).is_ok());
        client.send_transmit(handle, T1, &sign, 258);
        assert!(card.wait_touch(PATIENCE));
        pull(&card);
        assert_eq!(client.receive_transmit(), Err(expected));
    }
}

#[test]
fn a_reset_waits_until_the_card_has_done_blinking() {
    let (card, sign) = start_with_touch_key(Touch::Manual, PATIENCE);
    let mut one = Client::establish(&card, 4);
    let mut two = Client::establish(&card, 4);
    let (first, second) = (one.open_shared(), two.open_shared());
    assert!(one.transmit(first, SELECT).is_ok());
    one.send_transmit(first, T1, &sign, 258);
    assert!(card.wait_touch(PATIENCE));
    two.send(0x06, &to_bytes(&[second, RESET, 0]));
    card.touch();
    assert!(one.receive_transmit().unwrap().ends_with("9000"));
    assert_eq!(to_words(&two.receive(12))[2], SUCCESS);
    assert_eq!(one.transmit(first, SELECT), Err(RESET_CARD));
}

#[test]
fn stopping_ends_every_wait_and_leaves_nothing() {
    let (card, sign) = start_with_touch_key(Touch::Manual, PATIENCE);
    let socket = card.socket().to_owned();
    let mut blinking = Client::establish(&card, 4);
    let handle = blinking.open_shared();
    assert!(blinking.transmit(handle, SELECT).is_ok());
    blinking.send_transmit(handle, T1, &sign, 258);
    assert!(card.wait_touch(PATIENCE));
    let mut waiting = Client::establish(&card, 4);
    waiting.wait(4);
    drop(card);
    waiting.assert_closed();
    assert!(!socket.exists() && !socket.parent().unwrap().exists());
}

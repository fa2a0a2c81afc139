//! Anything that clients may send to the daemon.
//!
//! The input is pieces: a byte whose lower two bits pick one of four connections (the next two say what else
//! happens before: nothing, the card is taken out or put in, reset, or the connection is closed and opened
//! again), a length (two bytes, the low one first), and what is sent. Contexts and handles count from 1 in a
//! fresh daemon, so the fuzzer finds them by itself.
#![no_main]

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::Once;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use mock_card::{Event, MockCard, Touch};

const CONNECTIONS: usize = 4;

/// Longer than the daemon needs for anything here; libFuzzer's own limit finds what hangs.
const PATIENCE: Duration = Duration::from_secs(10);

fuzz_target!(|input: &[u8]| {
    ignore_broken_pipes();
    let card = MockCard::builder().touch(Touch::Auto).start().expect("a mock starts");
    let mut clients: [UnixStream; CONNECTIONS] = std::array::from_fn(|_| connect(&card));
    let mut input = input;
    while let [how, low, high, rest @ ..] = input {
        let client = &mut clients[usize::from(how & 3)];
        let daemon = card.daemon();
        match how >> 2 & 3 {
            1 => drop(daemon.cause(Event::Remove, None).or_else(|_| daemon.cause(Event::Insert, None))),
            2 => drop(daemon.cause(Event::Reset, None)),
            3 => *client = connect(&card),
            _ => {}
        }
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(rest.len());
        let (message, rest) = rest.split_at(length);
        input = rest;
        // A connection that the daemon closed, or whose buffer is full, takes no more.
        let _ = client.write_all(message);
    }
    drop(clients);
    let _ = card.daemon().cause(Event::Insert, None);
    assert_serves(&card);
});

fn connect(card: &MockCard) -> UnixStream {
    let stream = UnixStream::connect(card.socket()).expect("the daemon listens");
    stream.set_nonblocking(true).expect("a socket");
    stream
}

/// A client that behaves gets the card. A message that a closed connection left unread may take it once more, so that it asks
/// again as long as somebody has it.
fn assert_serves(card: &MockCard) {
    const EXCLUSIVE: u32 = 1;
    const T1: u32 = 2;
    const SHARING_VIOLATION: u32 = 0x8010_000B;
    let deadline = Instant::now() + PATIENCE;
    let mut client = UnixStream::connect(card.socket()).expect("the daemon listens");
    client.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let version = call(&mut client, 0x11, &words(&[4, 4, 0]));
    assert_eq!(version, words(&[4, 4, 0]));
    let context = call(&mut client, 0x01, &words(&[2, 0, 0]));
    let mut connect = context[4..8].to_vec();
    connect.extend(b"Yubico YubiKey OTP+FIDO+CCID 00 00");
    connect.resize(132, 0);
    // Somebody may have left the raw protocol behind.
    connect.extend(words(&[EXCLUSIVE, T1 | 4, 0, 0, 0]));
    loop {
        assert!(card.wait_idle(PATIENCE), "a handle is left: {}", card.daemon().describe());
        let reply = call(&mut client, 0x04, &connect);
        if reply[148..] != words(&[SHARING_VIOLATION]) || Instant::now() >= deadline {
            assert_eq!(reply[148..], [0; 4], "the card cannot be had: {}", card.daemon().describe());
            return;
        }
    }
}

fn call(client: &mut UnixStream, command: u32, body: &[u8]) -> Vec<u8> {
    client
        .write_all(&[words(&[body.len() as u32, command]), body.to_vec()].concat())
        .expect("the daemon reads");
    let mut reply = vec![0; body.len()];
    client.read_exact(&mut reply).expect("the daemon answers");
    reply
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// libFuzzer's `main` is not Rust's, which does this.
fn ignore_broken_pipes() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let unused = std::sync::Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(signal_hook::consts::SIGPIPE, unused).expect("SIGPIPE can be handled");
    });
}

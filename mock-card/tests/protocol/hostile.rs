//! Clients that disconnect in the middle, send nothing more, or send anything. Other clients do not notice.

use std::io::Write as _;
use std::net::Shutdown;

use crate::client::{Client, to_bytes};
use crate::{
    EXCLUSIVE, LEAVE, PATIENCE, READER, RESET_CARD, SELECT, SHARED, SUCCESS, T1, start, start_with_touch_key,
};
use mock_card::{MockCard, Touch, hex};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Asserts that a client that behaves is served.
fn assert_serves(card: &MockCard) {
    let mut client = Client::establish(card, 4);
    let (handle, _, rv) = client.open(EXCLUSIVE, T1);
    assert_eq!(rv, SUCCESS, "{}", card.daemon().describe());
    assert_eq!(client.begin(handle), SUCCESS);
    assert!(client.transmit(handle, SELECT).unwrap().ends_with("9000"));
    assert_eq!(client.end(handle, LEAVE), SUCCESS);
    assert_eq!(client.close(handle, LEAVE), SUCCESS);
}

/// Every request that a client may send, in bytes.
fn requests(context: u32, handle: u32) -> Vec<Vec<u8>> {
    let frame = |command: u32, body: Vec<u8>, payload: &[u8]| {
        [to_bytes(&[body.len() as u32, command]), body, payload.to_vec()].concat()
    };
    let words = |command: u32, words: &[u32]| frame(command, to_bytes(words), &[]);
    let select = hex::decode(SELECT).unwrap();
    let name = [READER.as_bytes(), &vec![0; 128 - READER.len()]].concat();
    vec![
        words(0x11, &[4, 4, 0]),
        words(0x01, &[2, 0, 0]),
        frame(0x04, [to_bytes(&[context]), name, to_bytes(&[SHARED, T1, 0, 0, 0])].concat(), &[]),
        words(0x05, &[handle, SHARED, T1, 0, 0, 0]),
        words(0x07, &[handle, 0]),
        frame(0x09, to_bytes(&[handle, T1, 16, select.len() as u32, 3, 16, 258, 0]), &select),
        frame(0x0A, to_bytes(&[handle, 0x4200_0D48, 4, 64, 0, 0]), &[1, 2, 3, 4]),
        words(0x0B, &[handle, 0]),
        frame(0x0F, [to_bytes(&[handle, 0x0009_0303]), vec![0; 264], to_bytes(&[264, 0])].concat(), &[]),
        frame(0x10, [to_bytes(&[handle, 1]), vec![0; 264], to_bytes(&[4, 0])].concat(), &[]),
        words(0x12, &[]),
        words(0x13, &[]),
        words(0x14, &[]),
        words(0x15, &[]),
        words(0x16, &[]),
        words(0x17, &[]),
        words(0x08, &[handle, LEAVE, 0]),
        words(0x06, &[handle, LEAVE, 0]),
        words(0x0D, &[context, 0]),
        words(0x02, &[context, 0]),
    ]
}

#[test]
fn a_message_may_break_off_anywhere() {
    let card = start();
    for number in 0..requests(0, 0).len() {
        // The lock is held, so that the test notices if it is lost.
        let mut client = Client::establish(&card, 4);
        let handle = client.open_shared();
        assert_eq!(client.begin(handle), SUCCESS);
        let request = &requests(client.context, handle)[number];
        let half = request.len() / 2;
        let cuts = [1, 4, 7, 8, 9, half, request.len() - 1];
        client.stream.write_all(&request[..cuts[number % cuts.len()].min(request.len() - 1)]).unwrap();
        client.stream.shutdown(Shutdown::Write).unwrap();
        client.assert_closed();
    }
    assert_serves(&card);
}

#[test]
fn a_message_may_come_byte_by_byte() {
    let card = start();
    let mut client = Client::establish(&card, 4);
    let handle = client.open_shared();
    let request = &requests(client.context, handle)[5];
    for byte in request {
        client.stream.write_all(&[*byte]).unwrap();
    }
    assert!(client.receive_transmit().unwrap().ends_with("9000"));
}

#[test]
fn a_client_may_be_killed_after_any_request() {
    let card = start();
    let count = requests(0, 0).len();
    for number in 0..count {
        let mut client = Client::establish(&card, 4);
        let handle = client.open_shared();
        if number % 2 == 0 {
            assert_eq!(client.begin(handle), SUCCESS);
        }
        client.stream.write_all(&requests(client.context, handle)[number]).unwrap();
        drop(client);
    }
    assert!(card.wait_idle(PATIENCE), "{}", card.daemon().describe());
    assert_serves(&card);
}

#[test]
fn many_requests_at_once_are_answered_in_order() {
    let card = start();
    let mut client = Client::establish(&card, 4);
    let handle = client.open_shared();
    let select = hex::decode(SELECT).unwrap();
    for _ in 0..100 {
        client.send_transmit(handle, T1, &select, 258);
    }
    for _ in 0..100 {
        assert!(client.receive_transmit().unwrap().ends_with("9000"));
    }
    client.assert_in_step();
}

/// The socket's buffer has about 200 KiB. When it is full, the daemon cannot send its answers.
#[test]
fn a_client_that_never_reads_keeps_nobody_waiting() {
    let card = start();
    let mut deaf = Client::establish(&card, 4);
    let handle = deaf.open_shared();
    assert_eq!(deaf.begin(handle), SUCCESS);
    deaf.stream.set_nonblocking(true).unwrap();
    // Requests of 8 bytes are answered with 2944. Neither buffer has room for as many as are sent.
    while deaf.stream.write_all(&to_bytes(&[0, 0x12])).is_ok() {}
    let mut other = Client::establish(&card, 4);
    assert_eq!(other.reader().1, 1, "others are served");
    drop(deaf);
    assert!(card.wait_idle(PATIENCE));
    assert_serves(&card);
}

#[test]
fn a_waiting_client_that_never_reads_is_closed() {
    let card = start();
    let mut deaf = Client::establish(&card, 4);
    deaf.stream.set_nonblocking(true).unwrap();
    while deaf.stream.write_all(&to_bytes(&[0, 0x13])).is_ok() {}
    let mut hung_up = [PollFd::new(&deaf.stream, PollFlags::empty())];
    let patience = Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
    assert_eq!(poll(&mut hung_up, Some(&patience)), Ok(1));
    card.remove();
    card.insert();
    assert_serves(&card);
}

#[test]
fn a_client_killed_while_its_card_blinks() {
    let (card, sign) = start_with_touch_key(Touch::Manual, PATIENCE);
    let mut one = Client::establish(&card, 4);
    let mut two = Client::establish(&card, 4);
    let (first, second) = (one.open_shared(), two.open_shared());
    assert!(one.transmit(first, SELECT).is_ok());
    assert_eq!(one.begin(first), SUCCESS);
    one.send_transmit(first, T1, &sign, 258);
    assert!(card.wait_touch(PATIENCE));
    drop(one);
    // The card finishes its command. Then the lock is given up, and the card is reset.
    two.send(0x07, &to_bytes(&[second, 0]));
    card.touch();
    assert_eq!(two.receive(8)[4..], RESET_CARD.to_ne_bytes());
    assert_eq!(two.close(second, LEAVE), SUCCESS);
    assert_serves(&card);
}

#[test]
fn noise_is_no_language() {
    let card = start();
    let mut seed = 0x2545_F491_4F6C_DD1D_u64;
    for length in 0..200 {
        let noise: Vec<u8> = (0..length)
            .map(|_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (seed >> 56) as u8
            })
            .collect();
        let mut client = Client::connect(&card);
        let _ = client.stream.write_all(&noise);
        let _ = client.stream.shutdown(Shutdown::Write);
        client.assert_closed();
    }
    assert_serves(&card);
}

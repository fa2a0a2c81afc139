//! Versions, sizes, handles and contexts. A client that sends what no client sends is disconnected, and no other.

use std::io::Write as _;

use crate::client::{Client, to_bytes, to_words};
use crate::{
    INSUFFICIENT_BUFFER, INVALID_VALUE, NOT_TRANSACTED, PATIENCE, READER, SELECT, SERVICE_STOPPED, SHARED,
    SUCCESS, T1, UNSUPPORTED_FEATURE, start, start_with_touch_key,
};
use mock_card::{Touch, hex};

#[test]
fn versions_are_echoed_or_refused_for_good() {
    let card = start();
    for minor in 4..=6 {
        assert_eq!(Client::connect(&card).call(0x11, &[4, minor, 0]), [4, minor, SUCCESS]);
    }
    assert_eq!(Client::connect(&card).call(0x11, &[4, 7, 0]), [4, 6, SERVICE_STOPPED]);
    for (major, minor) in [(4, 3), (4, 0), (3, 4), (5, 0), (4, u32::MAX)] {
        // With a minor version below 4 in the answer, no library tries again.
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
        // The daemon may close the connection before it has read everything.
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
    assert_eq!(to_words(&client.receive(280))[69], NOT_TRANSACTED);
    assert_eq!(client.call(0x0A, &[handle, 0x4200_0D48, 0, 64, 0, 0])[4..], [0, SUCCESS]);
    assert_eq!(client.call(0x0A, &[handle, 0x4200_0001, 0, 64, 0, 0])[4..], [0, UNSUPPORTED_FEATURE]);
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

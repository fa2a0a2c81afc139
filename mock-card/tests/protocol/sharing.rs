//! Share modes, protocols and transactions: which calls are carried out, which wait, and which are refused.

use crate::client::{Client, to_bytes, to_words};
use crate::{
    DIRECT, EXCLUSIVE, INVALID_VALUE, LEAVE, NO_SMARTCARD, NOT_TRANSACTED, PATIENCE, PROTO_MISMATCH, RAW,
    READER, RESET, SELECT, SHARED, SHARING_VIOLATION, SUCCESS, T0, T1, UNKNOWN_READER, start,
};
use mock_card::hex;

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
    // An exclusive connection counts as a transaction that END cannot end.
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
    // As in the real daemon, the lock stays until END.
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
    // When the handle is closed, all its transactions end.
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
    assert!(card.wait_blocked(2, PATIENCE));
    assert_eq!(one.end(first, LEAVE), SUCCESS);
    assert_eq!(to_words(&two.receive(8))[1], SUCCESS);
    // The connection may have been made later. Then it waits for the second transaction, too.
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
    // If this answer were held back, the client could not send END.
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
    assert!(card.wait_blocked(1, PATIENCE));
    let events = card.daemon().events();
    drop(two);
    assert_eq!(events.recv_timeout(PATIENCE).as_deref(), Ok("event client 1"));
    assert_eq!(one.end(first, LEAVE), SUCCESS);
    assert_eq!(one.close(first, LEAVE), SUCCESS);
    assert!(card.wait_idle(PATIENCE), "the abandoned connect has a handle: {}", card.daemon().describe());
}

//! Resets, removal, unplugging, and clients that are gone: what other clients are told.

use std::time::Duration;

use crate::client::Client;
use crate::{
    INVALID_VALUE, LEAVE, NO_SMARTCARD, REMOVED_CARD, RESET, RESET_CARD, SELECT, SHARED, SHARING_VIOLATION,
    SUCCESS, T1, UNKNOWN_READER, UNPOWER, start,
};
use mock_card::MockCard;

#[test]
fn a_client_that_vanishes_in_a_transaction_costs_a_reset() {
    let card = start();
    let mut one = Client::establish(&card, 4);
    let mut two = Client::establish(&card, 4);
    let (first, second) = (one.open_shared(), two.open_shared());
    assert_eq!(one.begin(first), SUCCESS);
    drop(one);
    // The call is carried out when the lock is free, and is told of the reset.
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
fn an_idle_card_loses_power_and_what_it_knew() {
    for (after, knows) in [(Duration::ZERO, false), (Duration::from_secs(3600), true)] {
        let card = MockCard::builder().idle_off(after).start().unwrap();
        let mut client = Client::establish(&card, 4);
        let first = client.open_shared();
        assert!(client.transmit(first, SELECT).is_ok());
        let second = client.open_shared();
        assert_eq!(client.close(first, LEAVE), SUCCESS);
        assert_eq!(client.transmit(second, "00FD0000"), Ok("0507049000".to_owned()), "it is still in use");
        assert_eq!(client.close(second, LEAVE), SUCCESS);
        let third = client.open_shared();
        let version = if knows { "0507049000" } else { "6D00" };
        assert_eq!(client.transmit(third, "00FD0000"), Ok(version.to_owned()));
    }
}

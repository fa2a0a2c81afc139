//! Commands that wait for a touch.

use crate::client::{Client, to_bytes, to_words};
use crate::{
    NO_SMARTCARD, NOT_TRANSACTED, PATIENCE, READER_UNAVAILABLE, RESET, RESET_CARD, SELECT, SUCCESS, T1,
    start_with_touch_key,
};
use mock_card::{Event, MockCard, Touch};
use std::time::Duration;

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
    assert!(card.daemon().cause(Event::Touch, None).is_err());
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

//! Injected faults have their effect, and no other.

use std::io::Write as _;
use std::time::{Duration, Instant};

use crate::client::{Client, to_bytes};
use crate::{
    INSUFFICIENT_BUFFER, INVALID_VALUE, LEAVE, PATIENCE, READER_UNAVAILABLE, REMOVED_CARD, RESET_CARD,
    SELECT, SHARED, SUCCESS, T1, UNPOWERED_CARD, UNRESPONSIVE_CARD, start, start_with_touch_key,
};
use mock_card::{CardSettings, Effect, Event, Fault, MockCard, Touch, hex};

const SELECTED: &str = "61114F0600001000010079074F05A0000003089000";
const VERSION: &str = "00FD0000";

fn client(card: &MockCard) -> (Client, u32) {
    let mut client = Client::establish(card, 4);
    let handle = client.open_shared();
    (client, handle)
}

fn inject(card: &MockCard, nth: usize, effect: Effect) {
    card.inject(Fault::Transmit { nth, effect });
}

#[test]
fn the_nth_command_fails_and_the_card_does_not_see_it() {
    let card = start();
    let (mut client, handle) = client(&card);
    inject(&card, 2, Effect::Fail(READER_UNAVAILABLE));
    inject(&card, 3, Effect::StatusWord(0x6F00));
    assert_eq!(client.transmit(handle, "00A4040004A0000003"), Ok("6A82".to_owned()));
    assert_eq!(client.transmit(handle, SELECT), Err(READER_UNAVAILABLE));
    assert_eq!(client.transmit(handle, SELECT), Ok("6F00".to_owned()));
    assert_eq!(client.transmit(handle, VERSION), Ok("6D00".to_owned()), "nothing was selected");
    assert_eq!(client.transmit(handle, SELECT), Ok(SELECTED.to_owned()), "and it is over");
    let faults: Vec<_> = card.trace().iter().filter(|entry| entry.fault).map(|entry| entry.rv).collect();
    assert_eq!(faults, [READER_UNAVAILABLE, SUCCESS]);
}

#[test]
fn an_answer_is_lost_cut_or_changed_after_the_card_did_its_work() {
    let card = start();
    let (mut client, handle) = client(&card);
    inject(&card, 1, Effect::LoseAnswer(READER_UNAVAILABLE));
    inject(&card, 2, Effect::Truncate(1));
    inject(&card, 3, Effect::Corrupt(1));
    inject(&card, 4, Effect::Corrupt(5));
    assert_eq!(client.transmit(handle, SELECT), Err(READER_UNAVAILABLE));
    assert_eq!(client.transmit(handle, VERSION), Ok("05".to_owned()), "it was selected");
    assert_eq!(client.transmit(handle, VERSION), Ok("05F8049000".to_owned()));
    assert_eq!(client.transmit(handle, VERSION), Ok("0507049000".to_owned()), "there is no sixth byte");
}

#[test]
fn an_answer_is_longer_than_it_should_be() {
    let card = start();
    let (mut client, handle) = client(&card);
    inject(&card, 2, Effect::Pad(2));
    inject(&card, 3, Effect::Pad(300));
    assert_eq!(client.transmit(handle, SELECT), Ok(SELECTED.to_owned()));
    assert_eq!(client.transmit(handle, VERSION), Ok("05070400009000".to_owned()));
    client.send_transmit(handle, T1, &hex::decode(VERSION).unwrap(), 258);
    assert_eq!(client.receive_transmit(), Err(INSUFFICIENT_BUFFER));
    card.inject(Fault::Endless);
    for command in [VERSION, "00C00000FF", "00C00000FF"] {
        assert_eq!(client.transmit(handle, command), Ok("00".repeat(255) + "61FF"));
    }
    card.clear_faults();
    assert_eq!(client.transmit(handle, VERSION), Ok("0507049000".to_owned()), "the card saw none of it");
}

#[test]
fn a_slow_card_keeps_only_its_own_client_waiting() {
    let card = start();
    let (mut slow, slow_handle) = client(&card);
    let (mut other, handle) = client(&card);
    inject(&card, 1, Effect::Delay(PATIENCE));
    slow.send_transmit(slow_handle, T1, &hex::decode(SELECT).unwrap(), 258);
    let begun = Instant::now();
    while !card.daemon().describe().contains("\"busy\":true") {
        assert!(begun.elapsed() < PATIENCE);
        std::thread::yield_now();
    }
    assert_eq!(other.status(handle), SUCCESS);
    // The card does not wait for a touch.
    assert!(!card.wait_touch(Duration::ZERO));
    card.unplug();
    assert_eq!(slow.receive_transmit(), Err(READER_UNAVAILABLE));
    card.plug();
    let handle = other.open_shared();
    inject(&card, 1, Effect::Delay(Duration::from_millis(1)));
    assert_eq!(other.transmit(handle, SELECT), Ok(SELECTED.to_owned()));
}

#[test]
fn an_event_happens_before_a_command() {
    for (event, expected) in [
        (Event::Unplug, INVALID_VALUE),
        (Event::Remove, REMOVED_CARD),
        (Event::Reset, RESET_CARD),
        (Event::PowerOff, RESET_CARD),
    ] {
        let card = start();
        let (mut client, handle) = client(&card);
        inject(&card, 2, Effect::Before(event));
        assert_eq!(client.transmit(handle, SELECT), Ok(SELECTED.to_owned()));
        assert_eq!(client.transmit(handle, VERSION), Err(expected), "{event:?}");
        assert_eq!(client.transmit(handle, VERSION), Err(expected), "{event:?} stays");
    }
}

#[test]
fn an_event_happens_after_a_command() {
    for (event, expected) in [
        (Event::Unplug, INVALID_VALUE),
        (Event::Remove, REMOVED_CARD),
        (Event::Reset, RESET_CARD),
        (Event::PowerOff, RESET_CARD),
    ] {
        let card = start();
        let (mut client, handle) = client(&card);
        inject(&card, 1, Effect::After(event));
        assert_eq!(client.transmit(handle, SELECT), Ok(SELECTED.to_owned()), "{event:?}");
        assert_eq!(client.transmit(handle, VERSION), Err(expected), "{event:?}");
    }
}

#[test]
fn an_event_that_is_impossible_does_nothing() {
    let card = start();
    let (mut client, handle) = client(&card);
    for event in [Event::Plug, Event::Insert, Event::Release] {
        inject(&card, 1, Effect::Before(event));
        assert_eq!(client.transmit(handle, SELECT), Ok(SELECTED.to_owned()), "{event:?}");
    }
}

#[test]
fn the_daemon_dies_in_mid_call() {
    for (effect, carried_out) in
        [(Effect::Before(Event::DaemonGone), 0), (Effect::After(Event::DaemonGone), 1)]
    {
        let card = start();
        let (mut client, handle) = client(&card);
        let (other, _) = self::client(&card);
        inject(&card, 1, effect);
        client.send_transmit(handle, T1, &hex::decode(SELECT).unwrap(), 258);
        client.assert_closed();
        other.assert_closed();
        assert!(!card.socket().exists());
        assert_eq!(card.trace().iter().filter(|entry| entry.is_apdu()).count(), carried_out, "{effect:?}");
    }
}

#[test]
fn connections_are_closed_unread() {
    let card = start();
    let (mut before, handle) = client(&card);
    card.inject(Fault::Refuse);
    let mut refused = Client::connect(&card);
    // The client that was connected before is still served. The new one is not closed before its first message is
    // complete.
    for part in [to_bytes(&[12, 0x11]), to_bytes(&[4, 4, 0])] {
        for _ in 0..200 {
            assert_eq!(before.status(handle), SUCCESS);
        }
        refused.stream.write_all(&part).unwrap();
    }
    refused.assert_closed();
    // A client that never sends anything does not keep the mock from ending.
    let silent = Client::connect(&card);
    card.clear_faults();
    Client::establish(&card, 4);
    drop(card);
    silent.assert_closed();
}

#[test]
fn a_connect_is_refused() {
    const SECURITY_VIOLATION: u32 = 0x8010_006A;
    let card = start();
    let mut client = Client::establish(&card, 4);
    card.inject(Fault::Connect { nth: 2, rv: SECURITY_VIOLATION });
    client.open_shared();
    assert_eq!(client.open(SHARED, T1), (0, 0, SECURITY_VIOLATION));
    client.open_shared();
}

#[test]
fn a_mute_card_is_there_but_silent() {
    let card = start();
    let (mut client, handle) = client(&card);
    card.cause(Event::InsertUnresponsive);
    assert_eq!(client.reader(), (0x0C, 1, 2));
    assert_eq!(client.transmit(handle, SELECT), Err(REMOVED_CARD));
    assert_eq!(client.reconnect(handle, SHARED, T1, LEAVE), UNRESPONSIVE_CARD);
    assert_eq!(client.open(SHARED, T1).2, UNPOWERED_CARD);
    card.remove();
    card.insert();
    assert_eq!(client.reconnect(handle, SHARED, T1, LEAVE), SUCCESS);
    assert!(client.transmit(handle, SELECT).is_ok());
}

#[test]
fn nobody_touches_for_a_while() {
    let (card, sign) = start_with_touch_key(Touch::Auto, Duration::from_millis(20));
    let (mut client, handle) = client(&card);
    assert!(client.transmit(handle, SELECT).is_ok());
    let mut sign = |card: &MockCard, wanted: &str| {
        client.send_transmit(handle, T1, &sign, 258);
        let answer = client.receive_transmit().unwrap();
        assert!(answer.ends_with(wanted), "{answer}, {}", card.daemon().describe());
    };
    card.inject(Fault::TouchNever);
    sign(&card, "6982");
    card.inject(Fault::TouchLate(PATIENCE));
    sign(&card, "6982");
    card.inject(Fault::TouchLate(Duration::from_millis(1)));
    sign(&card, "9000");
    card.clear_faults();
    sign(&card, "9000");
    assert_eq!(card.trace().iter().filter(|entry| entry.call == "touch").count(), 2);
}

#[test]
fn a_full_card_takes_nothing_more_but_gives_room_back() {
    let management_key = hex::decode("010203040506070801020304050607080102030405060708").unwrap();
    let card = MockCard::builder().management_key(&management_key).start().unwrap();
    let (mut client, handle) = client(&card);
    assert!(client.transmit(handle, SELECT).is_ok());
    let object = |number: &str, value: &str| {
        let data = format!("5C035FC1{number}53{:02X}{value}", value.len() / 2);
        format!("00DB3FFF{:02X}{data}", data.len() / 2)
    };
    card.inject(Fault::CardFull);
    let before = client.transmit(handle, &object("05", "0102")).unwrap();
    assert_eq!(before, "6982", "whose turn it is not is told that first");
    authenticate(&mut client, handle, &management_key);
    assert_eq!(client.transmit(handle, &object("05", "0102")), Ok("6A84".to_owned()));
    assert_eq!(client.transmit(handle, "00CB3FFF055C035FC10500"), Ok("6A82".to_owned()));
    card.clear_faults();
    assert_eq!(client.transmit(handle, &object("05", "0102")), Ok("9000".to_owned()));
    card.inject(Fault::CardFull);
    assert_eq!(client.transmit(handle, &object("0A", "0102")), Ok("6A84".to_owned()));
    assert_eq!(client.transmit(handle, &object("05", "0304")), Ok("9000".to_owned()), "as long as the old");
    assert_eq!(client.transmit(handle, &object("05", "")), Ok("9000".to_owned()));
    assert_eq!(client.transmit(handle, "00CB3FFF055C035FC10500"), Ok("6A82".to_owned()));
}

/// Single authentication: the client encrypts the card's challenge (SP 800-73-4 part 2, A.1).
fn authenticate(client: &mut Client, handle: u32, key: &[u8]) {
    use aes::cipher::{BlockCipherEncrypt as _, KeyInit as _};
    let challenge = client.transmit(handle, "00870A9B047C028100").unwrap();
    let challenge = hex::decode(&challenge).unwrap();
    let mut block: [u8; 16] = challenge[4..20].try_into().unwrap();
    aes::Aes192::new_from_slice(key).unwrap().encrypt_block((&mut block).into());
    let answer = client.transmit(handle, &format!("00870A9B147C128210{}", hex::encode(&block)));
    assert_eq!(answer, Ok("9000".to_owned()));
}

#[test]
fn a_fault_concerns_one_card() {
    let other = CardSettings { serial: 2, ..CardSettings::default() };
    let card = MockCard::builder().serial(1).another_card(other).start().unwrap();
    card.on(2).inject(Fault::Transmit { nth: 1, effect: Effect::StatusWord(0x6F00) });
    let mut client = Client::establish(&card, 4);
    let first = client.open_shared();
    assert_eq!(client.transmit(first, SELECT), Ok(SELECTED.to_owned()));
    let (second, _, rv) = client.open_named("Yubico YubiKey OTP+FIDO+CCID 01 00", SHARED, T1);
    assert_eq!(rv, SUCCESS);
    assert_eq!(client.transmit(second, SELECT), Ok("6F00".to_owned()));
}

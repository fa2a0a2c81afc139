//! Several readers with a card each. What happens to one does not concern the others.

use crate::client::Client;
use crate::{
    EXCLUSIVE, PATIENCE, READER, REMOVED_CARD, RESET_CARD, SELECT, SHARED, SHARING_VIOLATION, SUCCESS, T1,
    UNKNOWN_READER,
};
use mock_card::{CardSettings, Event, Firmware, Hold, MockCard, Touch, hex};

const SECOND: &str = "Yubico YubiKey OTP+FIDO+CCID 01 00";
const THIRD: &str = "A reader of another kind";

fn three() -> MockCard {
    let second = CardSettings { serial: 2, firmware: Firmware::new(5, 4, 3), ..CardSettings::default() };
    let third = CardSettings { serial: 3, reader: Some(THIRD.to_owned()), ..CardSettings::default() };
    MockCard::builder().serial(1).another_card(second).another_card(third).start().unwrap()
}

/// The names in the reader list, in their order.
fn names(client: &mut Client) -> Vec<String> {
    let list = client.list(4);
    let name = |record: &[u8]| {
        let end = record.iter().position(|byte| *byte == 0).unwrap();
        String::from_utf8(record[..end].to_vec()).unwrap()
    };
    list.chunks_exact(184).map(name).filter(|name| !name.is_empty()).collect()
}

fn open(client: &mut Client, name: &str) -> u32 {
    let (handle, _, rv) = client.open_named(name, SHARED, T1);
    assert_eq!(rv, SUCCESS, "{name}");
    handle
}

#[test]
fn each_reader_has_its_own_card() {
    let card = three();
    let mut client = Client::establish(&card, 4);
    assert_eq!(names(&mut client), [READER, SECOND, THIRD]);
    for (name, version, serial) in [(READER, "050704", 1), (SECOND, "050403", 2), (THIRD, "050704", 3)] {
        let handle = open(&mut client, name);
        assert!(client.transmit(handle, SELECT).is_ok());
        assert_eq!(client.transmit(handle, "00FD0000"), Ok(format!("{version}9000")));
        assert_eq!(client.transmit(handle, "00F80000"), Ok(format!("{serial:08X}9000")));
    }
}

#[test]
fn a_pulled_card_takes_only_its_own_handles() {
    let card = three();
    let mut client = Client::establish(&card, 4);
    let handles: Vec<u32> = [READER, SECOND, THIRD].map(|name| open(&mut client, name)).into();
    card.on(2).unplug();
    assert_eq!(names(&mut client), [READER, THIRD]);
    assert_eq!(client.open_named(SECOND, SHARED, T1).2, UNKNOWN_READER);
    assert!(client.transmit(handles[0], SELECT).is_ok());
    assert!(client.transmit(handles[1], SELECT).is_err());
    assert!(client.transmit(handles[2], SELECT).is_ok());
    card.on(2).plug();
    assert_eq!(names(&mut client), [READER, SECOND, THIRD]);
    open(&mut client, SECOND);
}

#[test]
fn what_is_done_to_one_card_is_told_to_its_handles_only() {
    for (event, expected) in [
        (Event::Remove, REMOVED_CARD),
        (Event::Reset, RESET_CARD),
        (Event::PowerOff, RESET_CARD),
        (Event::Hold(Hold::Transaction), SHARING_VIOLATION),
    ] {
        let card = three();
        let mut client = Client::establish(&card, 4);
        let (second, third) = (open(&mut client, SECOND), open(&mut client, THIRD));
        card.on(3).cause(event);
        assert_eq!(client.status(second), SUCCESS);
        assert_eq!(client.status(third), expected);
    }
}

#[test]
fn locks_are_a_readers_own() {
    let card = three();
    let (mut one, mut two) = (Client::establish(&card, 4), Client::establish(&card, 4));
    let first = open(&mut one, READER);
    assert_eq!(one.begin(first), SUCCESS);
    let (second, _, rv) = two.open_named(SECOND, EXCLUSIVE, T1);
    assert_eq!(rv, SUCCESS);
    assert_eq!(one.open_named(SECOND, SHARED, T1).2, SHARING_VIOLATION);
    assert!(two.transmit(second, SELECT).is_ok());
    // The client is gone with a lock on one card. Only that card is reset.
    drop(one);
    let again = open(&mut two, READER);
    assert_eq!(two.status(again), SUCCESS);
    assert_eq!(two.status(second), SUCCESS);
}

#[test]
fn a_pin_counter_is_a_cards_own() {
    let card = three();
    card.on(2).set_pin_tries(1);
    assert_eq!([1, 2, 3].map(|serial| card.on(serial).pin_tries()), [3, 1, 3]);
}

#[test]
fn a_touch_without_a_number_goes_to_the_card_that_blinks() {
    let (mut settings, sign) = touch_settings();
    settings.serial = 9;
    let card = MockCard::builder().touch(Touch::Manual).another_card(settings).start().unwrap();
    let mut client = Client::establish(&card, 4);
    let handle = open(&mut client, SECOND);
    assert!(client.transmit(handle, SELECT).is_ok());
    client.send_transmit(handle, T1, &sign, 258);
    assert!(card.wait_touch(PATIENCE));
    card.touch();
    assert!(client.receive_transmit().unwrap().ends_with("9000"));
}

fn touch_settings() -> (CardSettings, Vec<u8>) {
    use mock_card::{ImportedKey, PinPolicy, TouchPolicy, settings::Import};
    use p256::pkcs8::EncodePrivateKey as _;
    let key = p256::SecretKey::from_slice(&[0x5A; 32]).unwrap().to_pkcs8_der().unwrap();
    let key = ImportedKey::from_pkcs8(key.as_bytes()).unwrap();
    let import = Import { slot: 0x9E, key, pin: PinPolicy::Never, touch: TouchPolicy::Always };
    let settings = CardSettings {
        touch: Touch::Manual,
        touch_timeout: PATIENCE,
        imports: vec![import],
        ..Default::default()
    };
    (settings, [hex::decode("0087119E267C2482008120").unwrap(), vec![0x11; 32]].concat())
}

//! Waiting for a change. Each registration gets one message, and never before the reader list.

use crate::client::{Client, to_words};
use crate::{CANCELLED, INVALID_HANDLE, NO_CONTEXT, READER, SUCCESS, start};

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
        // The client does not wait any more, so an answer to "stop" would be one too many.
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
    // The connection that cancels does not agree on a version.
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

//! The scenes of the script.

use super::{PRESENT, Stage, attribute};
use crate::client::{Client, to_bytes, to_words};
use crate::{
    DIRECT, EXCLUSIVE, LEAVE, NO_CONTEXT, RAW, READER, RESET, SELECT, SHARED, SUCCESS, T0, T1, UNPOWER,
};
use mock_card::hex;

const EJECT: u32 = 3;

pub(super) fn all(stage: &mut Stage) {
    contexts(stage);
    connecting(stage);
    reconnecting(stage);
    ending(stage);
    transactions(stage);
    exclusive(stage);
    resets(stage);
    transmitting(stage);
    attributes(stage);
    waiting(stage);
    removal(stage);
    vanishing(stage);
    frames(stage);
}

fn contexts(stage: &mut Stage) {
    stage.notes.title("contexts");
    let mut one = stage.client();
    let mut two = stage.client();
    for scope in [0, 1, 2, 3, 4, u32::MAX] {
        let mut fresh = Client::connect_to(stage.world.socket());
        fresh.call(0x11, &[4, 4, 0]);
        let reply = fresh.call(0x01, &[scope, 0, 0]);
        stage.notes.note(&format!("establish {scope:X}"), (reply[1] != 0, reply[2]));
    }
    for (name, context) in [("of another", two.context), ("nobody's", NO_CONTEXT), ("own", one.context)] {
        let rv = one.call(0x02, &[context, 0])[1];
        stage.notes.note(&format!("release {name}"), rv);
    }
    let rv = two.call(0x0D, &[NO_CONTEXT, 0])[1];
    stage.notes.note("cancel nobody's", rv);
}

fn connecting(stage: &mut Stage) {
    stage.notes.title("connecting");
    let mut one = stage.client();
    for share in [0, EXCLUSIVE, SHARED, DIRECT, 4, u32::MAX] {
        for mask in [0, T0, T1, T0 | T1, RAW, 8, 0x1000, 0x1_0000] {
            let handle = stage.open(&mut one, share, mask);
            if handle != 0 {
                stage.status(&mut one, handle);
                stage.close(&mut one, handle, RESET);
            }
        }
    }
    let longest = "x".repeat(127);
    for name in ["", "Yubico", "yubico yubikey otp+fido+ccid 00 00", &longest] {
        stage.open_named(&mut one, name, SHARED, T1);
        stage.open_named(&mut one, name, 7, 8);
        stage.open_named(&mut one, name, 7, T1);
    }
    stage.notes.title("a raw protocol sticks");
    let raw = stage.open(&mut one, SHARED, RAW);
    stage.close(&mut one, raw, LEAVE);
    stage.open(&mut one, SHARED, T1);
    let raw = stage.open(&mut one, SHARED, T1 | RAW);
    stage.transmit(&mut one, raw, SELECT);
    stage.close(&mut one, raw, RESET);
    stage.notes.title("raw is for everybody, any for the first");
    let handle = stage.open(&mut one, SHARED, T1);
    stage.open(&mut one, SHARED, 0x1000);
    let raw = stage.open(&mut one, DIRECT, RAW);
    stage.transmit(&mut one, handle, SELECT);
    stage.reconnect(&mut one, handle, SHARED, T1, LEAVE);
    stage.reconnect(&mut one, handle, DIRECT, T1, LEAVE);
    stage.close(&mut one, raw, UNPOWER);
    stage.reader("without power");
    stage.reconnect(&mut one, handle, SHARED, T1, LEAVE);
    stage.reader("reconnected without power");
    stage.close(&mut one, handle, RESET);
    one = stage.client();
    stage.until(|(_, sharing, _)| sharing == 0);
    stage.notes.title("two share");
    let mut two = stage.client();
    let first = stage.open(&mut one, SHARED, T1);
    stage.reader("open once");
    let second = stage.open(&mut two, DIRECT, 0);
    stage.reader("open twice");
    stage.open(&mut two, EXCLUSIVE, T1);
    stage.close(&mut one, first, LEAVE);
    stage.close(&mut two, second, LEAVE);
}

fn reconnecting(stage: &mut Stage) {
    stage.notes.title("reconnecting");
    let (mut one, mut two) = (stage.client(), stage.client());
    let first = stage.open(&mut one, SHARED, T1);
    for share in [0, EXCLUSIVE, SHARED, DIRECT, 4] {
        for mask in [0, T0, T1, T0 | T1, 8] {
            stage.reconnect(&mut one, first, share, mask, LEAVE);
        }
    }
    stage.end(&mut one, first, LEAVE);
    stage.reader("after reconnecting");
    for initialization in [RESET, UNPOWER, EJECT, 4, u32::MAX] {
        stage.reconnect(&mut one, first, SHARED, T1, initialization);
        stage.status(&mut one, first);
    }
    let second = stage.open(&mut two, SHARED, T1);
    stage.reconnect(&mut one, first, EXCLUSIVE, T1, LEAVE);
    stage.reconnect(&mut one, first, SHARED, RAW, LEAVE);
    stage.reconnect(&mut one, first, SHARED, RAW, RESET);
    stage.status(&mut two, second);
    stage.reconnect(&mut two, second, SHARED, T1, LEAVE);
    stage.reconnect(&mut two, second, SHARED, T1, RESET);
    stage.close(&mut two, second, LEAVE);
    stage.close(&mut one, first, RESET);
}

fn ending(stage: &mut Stage) {
    stage.notes.title("dispositions");
    let (mut one, mut two) = (stage.client(), stage.client());
    for disposition in [LEAVE, RESET, UNPOWER, EJECT, 4, u32::MAX] {
        let first = stage.open(&mut one, SHARED, T1);
        let second = stage.open(&mut two, SHARED, T1);
        stage.close(&mut one, first, disposition);
        stage.status(&mut two, second);
        stage.transmit(&mut two, second, SELECT);
        stage.close(&mut two, second, LEAVE);
        if disposition > EJECT {
            stage.close(&mut one, first, LEAVE);
        }
    }
    for disposition in [LEAVE, RESET, UNPOWER, EJECT, 4, u32::MAX] {
        let first = stage.open(&mut one, SHARED, T1);
        let second = stage.open(&mut two, SHARED, T1);
        stage.begin(&mut one, first);
        stage.end(&mut two, second, disposition);
        stage.end(&mut one, first, disposition);
        stage.status(&mut one, first);
        stage.status(&mut two, second);
        stage.close(&mut two, second, LEAVE);
        stage.close(&mut one, first, LEAVE);
    }
}

fn transactions(stage: &mut Stage) {
    stage.notes.title("transactions");
    let (mut one, mut two, mut three) = (stage.client(), stage.client(), stage.client());
    let first = stage.open(&mut one, SHARED, T1);
    let second = stage.open(&mut two, SHARED, T1);
    stage.end(&mut one, first, LEAVE);
    stage.begin(&mut one, first);
    stage.begin(&mut one, first);
    stage.all(&mut two, second);
    stage.reconnect(&mut two, second, SHARED, T1, LEAVE);
    stage.reconnect(&mut two, second, SHARED, T1, RESET);
    stage.end(&mut one, first, LEAVE);
    stage.status(&mut two, second);
    two.send(0x07, &to_bytes(&[second, 0]));
    stage.end(&mut one, first, LEAVE);
    stage.begun(&mut two, second);
    stage.status(&mut one, first);
    stage.end(&mut one, first, LEAVE);
    three.send_open(READER, SHARED, T1);
    stage.end(&mut two, second, LEAVE);
    let (third, protocol, rv) = three.receive_open();
    stage.notes.note("connect that waited", (protocol, rv));
    stage.begin(&mut one, first);
    two.send(0x06, &to_bytes(&[second, RESET, 0]));
    stage.end(&mut one, first, LEAVE);
    stage.notes.note("disconnect that waited", to_words(&two.receive(12))[2]);
    stage.status(&mut one, first);
    stage.reconnect(&mut one, first, SHARED, T1, LEAVE);
    stage.notes.title("closing frees what is nested");
    stage.begin(&mut one, first);
    stage.begin(&mut one, first);
    stage.close(&mut one, first, LEAVE);
    stage.reconnect(&mut three, third, SHARED, T1, LEAVE);
    stage.begin(&mut three, third);
    stage.end(&mut three, third, LEAVE);
    stage.notes.title("another handle leaves the lock alone");
    let second = stage.open(&mut two, SHARED, T1);
    stage.begin(&mut three, third);
    stage.close(&mut two, second, LEAVE);
    stage.end(&mut three, third, LEAVE);
    stage.close(&mut three, third, LEAVE);
}

fn exclusive(stage: &mut Stage) {
    stage.notes.title("exclusive");
    let (mut one, mut two) = (stage.client(), stage.client());
    let first = stage.open(&mut one, EXCLUSIVE, T1);
    stage.reader("exclusive");
    for share in [EXCLUSIVE, SHARED, DIRECT] {
        stage.open(&mut two, share, T1);
    }
    stage.begin(&mut one, first);
    stage.end(&mut one, first, LEAVE);
    stage.end(&mut one, first, LEAVE);
    stage.reconnect(&mut one, first, EXCLUSIVE, T1, RESET);
    stage.all(&mut one, first);
    stage.reconnect(&mut one, first, SHARED, T1, LEAVE);
    stage.reader("shared again");
    stage.end(&mut one, first, LEAVE);
    let second = stage.open(&mut two, SHARED, T1);
    stage.close(&mut two, second, LEAVE);
    stage.close(&mut one, first, LEAVE);
    stage.notes.title("exclusive, reset at its end");
    let first = stage.open(&mut one, EXCLUSIVE, T1);
    stage.begin(&mut one, first);
    stage.end(&mut one, first, RESET);
    stage.all(&mut one, first);
    stage.close(&mut one, first, RESET);
    let second = stage.open(&mut two, SHARED, T1);
    stage.close(&mut two, second, LEAVE);
}

fn resets(stage: &mut Stage) {
    stage.notes.title("resets");
    let (mut one, mut two) = (stage.client(), stage.client());
    let first = stage.open(&mut one, SHARED, T1);
    let second = stage.open(&mut two, SHARED, T1);
    stage.transmit(&mut one, first, SELECT);
    stage.transmit(&mut two, second, "00FD0000");
    stage.reconnect(&mut two, second, SHARED, T1, RESET);
    stage.transmit(&mut two, second, "00FD0000");
    stage.all(&mut one, first);
    stage.begin(&mut one, first);
    stage.end(&mut one, first, RESET);
    stage.reader("reset");
    stage.reconnect(&mut one, first, SHARED, T1, LEAVE);
    stage.all(&mut one, first);
    stage.notes.title("reset inside a transaction");
    stage.begin(&mut one, first);
    stage.end(&mut one, first, RESET);
    stage.all(&mut one, first);
    stage.all(&mut two, second);
    stage.close(&mut two, second, LEAVE);
    stage.close(&mut one, first, UNPOWER);
    let first = stage.open(&mut one, SHARED, T1);
    stage.all(&mut one, first);
    stage.close(&mut one, first, LEAVE);
}

fn transmitting(stage: &mut Stage) {
    stage.notes.title("transmitting");
    let mut one = stage.client();
    let handle = stage.open(&mut one, SHARED, T1);
    let select = hex::decode(SELECT).unwrap();
    for protocol in [0, T0, T1, 3, RAW, 8, 0x1000, u32::MAX] {
        one.send_transmit(handle, protocol, &select, 258);
        let result = one.receive_transmit();
        stage.notes.note(&format!("transmit with protocol {protocol:X}"), result);
    }
    for room in [0, 2, 20, 21, 258, 65_548] {
        one.send_transmit(handle, T1, &select, room);
        let words = to_words(&one.receive(32));
        let payload = if words[7] == SUCCESS { one.receive(words[6] as usize) } else { Vec::new() };
        stage.notes.note(&format!("transmit with room for {room}"), (words[7], words[6], payload));
    }
    for command in
        ["00A4", "00A404", "00FD000000", "00CB3FFF035C017E00", "00CB3FFF0000035C017E0000", "FFCA000000"]
    {
        stage.transmit(&mut one, handle, command);
    }
    stage.transmit(&mut one, handle, &format!("00CB3FFF000C00{}", "00".repeat(0x0C00)));
    stage.close(&mut one, handle, LEAVE);
}

fn attributes(stage: &mut Stage) {
    stage.notes.title("attributes");
    let (mut one, mut two) = (stage.client(), stage.client());
    let first = stage.open(&mut one, SHARED, T1);
    let second = stage.open(&mut two, SHARED, T1);
    for number in [0, 0x0001_0102, 0x7FFF_0007, u32::MAX] {
        let rv = attribute(&mut one, first, number, 264);
        stage.notes.note(&format!("attribute {number:X}"), rv);
        one.send(0x10, &[to_bytes(&[first, number]), vec![0; 264], to_bytes(&[4, 0])].concat());
        let rv = to_words(&one.receive(280)[276..])[0];
        stage.notes.note(&format!("set attribute {number:X}"), rv);
    }
    stage.begin(&mut one, first);
    let rv = attribute(&mut two, second, 0x0001_0100, 264);
    stage.notes.note("attribute in another's transaction", rv);
    let rv = two.call(0x0A, &[second, 0x4200_0D48, 0, 64, 0, 0])[5];
    stage.notes.note("control in another's transaction", rv);
    stage.end(&mut one, first, LEAVE);
    stage.close(&mut two, second, LEAVE);
    stage.close(&mut one, first, LEAVE);
}

fn waiting(stage: &mut Stage) {
    stage.notes.title("waiting");
    let (mut one, mut two) = (stage.client(), stage.client());
    one.wait(4);
    one.send(0x14, &[]);
    stage.notes.note("stop waiting", one.wake_up());
    one.wait(4);
    let handle = stage.open(&mut two, SHARED, T1);
    stage.notes.note("woken by a connection", one.wake_up());
    one.wait(4);
    stage.close(&mut two, handle, LEAVE);
    stage.notes.note("woken by its end", one.wake_up());
    one.wait(4);
    let mut canceller = Client::connect_to(stage.world.socket());
    let rv = canceller.call(0x0D, &[one.context, 0])[1];
    stage.notes.note("cancel", rv);
    stage.notes.note("cancelled", one.wake_up());
    one.wait(4);
    stage.world.remove();
    stage.notes.note("woken by removal", one.wake_up());
    stage.until(|(state, ..)| state & PRESENT == 0);
    stage.reader("empty");
    one.wait(4);
    stage.world.insert();
    stage.notes.note("woken by insertion", one.wake_up());
    stage.until(|(state, ..)| state & PRESENT != 0);
    stage.reader("present again");
    one.assert_in_step();
}

fn removal(stage: &mut Stage) {
    stage.notes.title("removal");
    let (mut one, mut two) = (stage.client(), stage.client());
    let first = stage.open(&mut one, SHARED, T1);
    let second = stage.open(&mut two, SHARED, T1);
    stage.begin(&mut one, first);
    stage.world.remove();
    stage.until(|(state, ..)| state & PRESENT == 0);
    stage.reader("removed");
    stage.all(&mut one, first);
    stage.all(&mut two, second);
    stage.begin(&mut two, second);
    stage.end(&mut one, first, RESET);
    for initialization in [LEAVE, RESET, UNPOWER] {
        stage.reconnect(&mut one, first, SHARED, T1, initialization);
        stage.reconnect(&mut one, first, DIRECT, 0, initialization);
        stage.status(&mut one, first);
        stage.status(&mut two, second);
    }
    for share in [EXCLUSIVE, SHARED] {
        stage.open(&mut two, share, T1);
    }
    let direct = stage.open(&mut two, DIRECT, 0);
    stage.all(&mut two, direct);
    stage.begin(&mut two, direct);
    stage.end(&mut two, direct, LEAVE);
    stage.close(&mut two, direct, LEAVE);
    stage.world.insert();
    stage.until(|(state, ..)| state & PRESENT != 0);
    stage.all(&mut one, first);
    stage.reconnect(&mut one, first, SHARED, T1, LEAVE);
    stage.all(&mut one, first);
    stage.close(&mut two, second, RESET);
    stage.status(&mut one, first);
    stage.close(&mut one, first, LEAVE);
    stage.notes.title("removal from an exclusive connection");
    let first = stage.open(&mut one, EXCLUSIVE, T1);
    stage.world.remove();
    stage.until(|(state, ..)| state & PRESENT == 0);
    stage.reader("removed");
    stage.all(&mut one, first);
    stage.open(&mut two, DIRECT, 0);
    stage.world.insert();
    stage.until(|(state, ..)| state & PRESENT != 0);
    stage.reconnect(&mut one, first, EXCLUSIVE, T1, LEAVE);
    stage.all(&mut one, first);
    stage.begin(&mut one, first);
    stage.end(&mut one, first, LEAVE);
    stage.open(&mut two, SHARED, T1);
    stage.close(&mut one, first, LEAVE);
    let second = stage.open(&mut two, SHARED, T1);
    stage.close(&mut two, second, LEAVE);
}

fn vanishing(stage: &mut Stage) {
    stage.notes.title("a client vanishes");
    let mut two = stage.client();
    let second = stage.open(&mut two, SHARED, T1);
    let mut one = stage.client();
    let first = stage.open(&mut one, SHARED, T1);
    stage.begin(&mut one, first);
    drop(one);
    // The lock is free before the reset is complete. A client that asks in between may see either state.
    stage.until(|(_, sharing, _)| sharing == 1);
    stage.begin(&mut two, second);
    stage.status(&mut two, second);
    stage.reconnect(&mut two, second, SHARED, T1, LEAVE);
    stage.transmit(&mut two, second, SELECT);
    let mut one = stage.client();
    stage.open(&mut one, SHARED, T1);
    let rv = one.call(0x02, &[one.context, 0])[1];
    stage.notes.note("release with a handle open", rv);
    stage.status(&mut two, second);
    stage.transmit(&mut two, second, "00FD0000");
    stage.close(&mut two, second, LEAVE);
    let mut one = stage.client();
    stage.open(&mut one, EXCLUSIVE, T1);
    drop(one);
    stage.until(|(_, sharing, _)| sharing == 0);
    let second = stage.open(&mut two, SHARED, T1);
    stage.transmit(&mut two, second, "00FD0000");
    stage.close(&mut two, second, LEAVE);
}

fn frames(stage: &mut Stage) {
    stage.notes.title("frames that no client sends");
    let mut good = stage.client();
    let handle = stage.open(&mut good, SHARED, T1);
    let requests: [(u32, Vec<u8>); 12] = [
        (0x03, vec![0; 8]),
        (0x0C, vec![0; 8]),
        (0x0E, vec![0; 8]),
        (0x18, vec![]),
        (u32::MAX, vec![]),
        (0x01, vec![0; 11]),
        (0x01, vec![]),
        (0x04, vec![0; 153]),
        (0x0B, to_bytes(&[handle, 0])),
        (0x09, to_bytes(&[handle, T1, 16, 65_549, 3, 16, 258, 0])),
        (0x0A, to_bytes(&[handle, 0, 70_000, 0, 0, 0])),
        (0x0F, [to_bytes(&[handle, 0x0009_0303]), vec![0; 264], to_bytes(&[265, 0])].concat()),
    ];
    for (command, body) in requests {
        let mut bad = stage.client();
        bad.send(command, &body);
        bad.assert_closed();
        stage.notes.note(&format!("frame {command:X} of {} bytes", body.len()), "closed");
        stage.status(&mut good, handle);
    }
    stage.close(&mut good, handle, LEAVE);
}

//! The mock behind the real libpcsclite.
//!
//! The library reads `PCSCLITE_CSOCK_NAME` once in each process, so every client is a child process. It is this test
//! program again, with a variable that tells it to be a client. It reads one command in a line, and answers it in a
//! line.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::{Duration, Instant};

use mock_card::{Effect, Event, Fault, ImportedKey, MockCard, PinPolicy, Touch, TouchPolicy, hex};
use p256::pkcs8::EncodePrivateKey as _;
use support::real_daemon::RealDaemon;
use support::{Client, PATIENCE};

const SELECT: &str = "transmit 00A4040005A000000308";
const SELECTED: &str = "61114F0600001000010079074F05A0000003089000";
const VERIFY: &str = "transmit 0020008008313233343536FFFF";
const READER: &str = "Yubico YubiKey OTP+FIDO+CCID 00 00";

/// The client, if this program was started as one. It is no test.
#[test]
fn client_process() {
    support::be_a_client_if_told();
}

fn start() -> MockCard {
    MockCard::builder().start().unwrap()
}

#[test]
fn a_client_finds_the_reader_and_talks_to_the_card() {
    let card = start();
    let mut client = Client::start(&card);
    assert_eq!(client.ask("readers"), format!("ok {READER}"));
    assert_eq!(client.ask("connect shared"), "ok");
    let status = client.ask("status");
    assert!(
        status.contains("T1") && status.contains("3BFD1300008131FE158073C021C057597562694B657940"),
        "{status}"
    );
    assert_eq!(client.ask("attribute"), "ok 3BFD1300008131FE158073C021C057597562694B657940");
    assert_eq!(client.ask(SELECT), format!("ok {SELECTED}"));
    assert_eq!(client.ask("disconnect leave"), "ok");
    assert!(card.wait_idle(PATIENCE));
}

#[test]
fn a_signature_made_through_the_library_holds() {
    use p384::ecdsa::signature::hazmat::PrehashVerifier as _;
    let secret = p384::SecretKey::from_slice(&[0x42; 48]).unwrap();
    let key = ImportedKey::from_pkcs8(secret.to_pkcs8_der().unwrap().as_bytes()).unwrap();
    let card = MockCard::builder()
        .pin("654321")
        .import(0x82, key, PinPolicy::Once, TouchPolicy::Always)
        .start()
        .unwrap();
    let mut client = Client::start(&card);
    assert_eq!(client.ask("connect shared"), "ok");
    assert_eq!(client.ask("begin"), "ok");
    assert_eq!(client.ask(SELECT), format!("ok {SELECTED}"));
    assert_eq!(client.ask(VERIFY), "ok 63C2");
    assert_eq!(client.ask("transmit 0020008008363534333231FFFF"), "ok 9000");
    let answer = client.ask(&format!("transmit 00871482367C3482008130{}", "77".repeat(48)));
    assert_eq!(client.ask("end leave"), "ok");
    let answer = hex::decode(answer.strip_prefix("ok ").unwrap()).unwrap();
    let signature = p384::ecdsa::Signature::from_der(&answer[4..answer.len() - 2]).unwrap();
    let public = p384::ecdsa::VerifyingKey::from(secret.public_key());
    public.verify_prehash(&[0x77; 48], &signature).unwrap();
    assert_eq!(card.trace().iter().filter(|entry| entry.call == "touch").count(), 1);
    assert!(card.trace().iter().all(|entry| !entry.apdu.iter().any(|apdu| apdu.contains("363534333231"))));
}

#[test]
fn one_clients_transaction_makes_another_wait() {
    let card = start();
    let (mut one, mut two) = (Client::start(&card), Client::start(&card));
    assert_eq!((&*one.ask("connect shared"), &*two.ask("connect shared")), ("ok", "ok"));
    assert_eq!(one.ask("begin"), "ok");
    two.tell("begin");
    assert!(card.wait_blocked(1, PATIENCE));
    assert_eq!(one.ask(SELECT), format!("ok {SELECTED}"));
    assert_eq!(one.ask("end leave"), "ok");
    assert_eq!(two.answer(), "ok");
    assert_eq!(two.ask("transmit 00FD0000"), "ok 0507049000");
    // While one handle has a transaction, commands of the other are refused. The library tries again until they are
    // not.
    one.tell("transmit 00F80000");
    assert_eq!(two.ask("end leave"), "ok");
    assert_eq!(one.answer(), "ok 00BC614E9000");
}

#[test]
fn two_handles_of_one_client_do_not_lock_each_other_out() {
    let card = start();
    let mut client = Client::start(&card);
    assert_eq!(client.ask("rival-transactions"), "ok");
    assert!(card.wait_idle(PATIENCE));
}

#[test]
fn another_program_holds_the_card() {
    let card = start();
    let mut client = Client::start(&card);
    card.hold_exclusive();
    assert_eq!(client.ask("connect shared"), "error SharingViolation");
    card.release();
    assert_eq!(client.ask("connect exclusive"), "ok");
    let mut other = Client::start(&card);
    assert_eq!(other.ask("connect shared"), "error SharingViolation");
}

#[test]
fn a_reset_loses_the_pin_and_is_told() {
    let card = start();
    let (mut one, mut two) = (Client::start(&card), Client::start(&card));
    assert_eq!((&*one.ask("connect shared"), &*two.ask("connect shared")), ("ok", "ok"));
    assert_eq!(one.ask(SELECT), format!("ok {SELECTED}"));
    assert_eq!(one.ask(VERIFY), "ok 9000");
    assert_eq!(two.ask("transmit 00200080"), "ok 9000", "the PIN is the card's, not the connection's");
    assert_eq!(two.ask("disconnect reset"), "ok");
    assert_eq!(one.ask("transmit 00200080"), "error ResetCard");
    assert_eq!(one.ask("reconnect"), "ok");
    assert_eq!(one.ask(SELECT), format!("ok {SELECTED}"));
    assert_eq!(one.ask("transmit 00200080"), "ok 63C3");
}

#[test]
fn a_client_killed_in_a_transaction_costs_the_others_a_reset() {
    let card = start();
    let (mut one, mut two) = (Client::start(&card), Client::start(&card));
    assert_eq!((&*one.ask("connect shared"), &*two.ask("connect shared")), ("ok", "ok"));
    assert_eq!(one.ask("begin"), "ok");
    two.tell("begin");
    assert!(card.wait_blocked(1, PATIENCE));
    one.kill();
    assert_eq!(two.answer(), "error ResetCard");
    assert_eq!(two.ask("reconnect"), "ok");
    assert_eq!(two.ask("begin"), "ok");
}

#[test]
fn pulled_removed_and_put_back() {
    let card = start();
    let mut client = Client::start(&card);
    assert_eq!(client.ask("connect shared"), "ok");
    card.remove();
    assert_eq!(client.ask(SELECT), "error RemovedCard");
    assert_eq!(client.ask("reconnect"), "error NoSmartcard");
    card.insert();
    assert_eq!(client.ask("reconnect"), "ok");
    card.unplug();
    assert_eq!(client.ask("status"), "error ReaderUnavailable");
    assert_eq!(client.ask(SELECT), "error InvalidValue");
    assert_eq!(client.ask("readers"), "error NoReadersAvailable");
    assert_eq!(client.ask("disconnect leave"), "ok");
    assert_eq!(client.ask("connect shared"), "error UnknownReader");
    card.plug();
    assert_eq!(client.ask("connect shared"), "ok");
}

#[test]
fn waiting_for_a_card_ends_when_it_comes() {
    let card = start();
    let mut client = Client::start(&card);
    assert_eq!(client.ask("look"), "ok PRESENT");
    client.tell("wait");
    card.remove();
    assert_eq!(client.answer(), "ok EMPTY");
    client.tell("wait");
    card.insert();
    assert_eq!(client.answer(), "ok PRESENT");
    card.unplug();
    client.tell("wait-for-reader");
    card.plug();
    assert_eq!(client.answer(), format!("ok {READER}"));
}

#[test]
fn a_wait_can_be_cancelled() {
    let card = start();
    let mut client = Client::start(&card);
    assert_eq!(client.ask("wait-and-cancel"), "error Cancelled");
    assert_eq!(client.ask("readers"), format!("ok {READER}"), "the connection is still in step");
}

#[test]
fn a_touch_that_is_not_given() {
    let key = p256::SecretKey::from_slice(&[0x42; 32]).unwrap().to_pkcs8_der().unwrap();
    let key = ImportedKey::from_pkcs8(key.as_bytes()).unwrap();
    let card = MockCard::builder()
        .import(0x9E, key, PinPolicy::Never, TouchPolicy::Always)
        .touch(Touch::Manual)
        .touch_timeout(Duration::from_millis(50))
        .start()
        .unwrap();
    let mut client = Client::start(&card);
    assert_eq!(client.ask("connect shared"), "ok");
    assert_eq!(client.ask(SELECT), format!("ok {SELECTED}"));
    assert_eq!(client.ask(&format!("transmit 0087119E267C2482008120{}", "77".repeat(32))), "ok 6982");
}

#[test]
fn no_daemon_and_a_daemon_that_goes() {
    let card = start();
    let mut client = Client::start(&card);
    assert_eq!(client.ask("connect shared"), "ok");
    let mut late = Client::unconnected(card.socket());
    drop(card);
    assert_eq!(late.ask("establish"), "error NoService");
    assert!(client.ask(SELECT).starts_with("error "));
}

#[test]
fn refused_as_by_polkit() {
    let card = start();
    card.inject(Fault::Refuse);
    // If the connection were closed before the client's message, the client would sometimes take the daemon for one
    // that is not there.
    for _ in 0..10 {
        assert_eq!(Client::unconnected(card.socket()).ask("establish"), "error SecurityViolation");
    }
    card.clear_faults();
    Client::start(&card);
}

#[test]
fn a_daemon_that_dies_in_mid_call() {
    let card = start();
    let mut client = Client::start(&card);
    assert_eq!(client.ask("connect shared"), "ok");
    card.inject(Fault::Transmit { nth: 2, effect: Effect::After(Event::DaemonGone) });
    assert_eq!(client.ask(SELECT), format!("ok {SELECTED}"));
    assert_eq!(client.ask("transmit 00FD0000"), "error CommError");
    assert_eq!(client.ask("establish"), "error NoService");
}

#[test]
fn a_card_pulled_in_mid_call() {
    let card = start();
    let mut client = Client::start(&card);
    assert_eq!(client.ask("connect shared"), "ok");
    card.inject(Fault::Transmit { nth: 1, effect: Effect::LoseAnswer(0x8010_0016) });
    card.inject(Fault::Transmit { nth: 1, effect: Effect::After(Event::Unplug) });
    assert_eq!(client.ask(SELECT), "error NotTransacted");
    assert_eq!(client.ask(SELECT), "error InvalidValue");
    assert_eq!(client.ask("readers"), "error NoReadersAvailable");
}

#[test]
fn twenty_mocks_serve_sixty_clients_without_mixing_them_up() {
    const MOCKS: u32 = 20;
    const CLIENTS: u32 = 60;
    const ROUNDS: u32 = 10;
    let cards: Vec<MockCard> =
        (0..MOCKS).map(|n| MockCard::builder().serial(1_000 + n).start().unwrap()).collect();
    let mut clients: Vec<(u32, Client)> =
        (0..CLIENTS).map(|n| (1_000 + n % MOCKS, Client::start(&cards[(n % MOCKS) as usize]))).collect();
    for (_, client) in &mut clients {
        client.tell("connect shared");
    }
    for (_, client) in &mut clients {
        assert_eq!(client.answer(), "ok");
    }
    for _ in 0..ROUNDS {
        for (_, client) in &mut clients {
            client.tell("serial");
        }
        for (serial, client) in &mut clients {
            assert_eq!(client.answer(), format!("ok {}9000", hex::encode(&serial.to_be_bytes())));
        }
    }
    drop(clients);
    for card in &cards {
        assert!(card.wait_idle(PATIENCE));
        let asked = card
            .trace()
            .iter()
            .filter(|entry| entry.ins.as_deref() == Some("GET SERIAL") && entry.is_apdu())
            .count();
        assert_eq!(asked, (CLIENTS / MOCKS * ROUNDS) as usize);
    }
}

/// In each line a client (`1` or `2`) or the world, and what it does.
const SCRIPT: &str = "
    1 connect unknown-reader
    1 connect no-protocol
    1 connect t0
    1 look-again
    1 connect shared
    1 status
    1 no-attribute
    1 transmit 00A4040005A000000308
    1 small-buffer 00A4040005A000000308
    1 transmit 00A404
    2 connect exclusive
    2 connect direct
    2 disconnect leave
    2 connect shared
    2 transmit 00FD0000
    1 begin
    1 begin-waits
    1 transmit 00FD0000
    1 end leave
    2 comes-through
    2 transmit 00FD0000
    2 end eject
    1 begin
    1 end reset
    1 status
    1 transmit 00FD0000
    2 transmit 00FD0000
    1 reconnect leave
    2 reconnect leave
    1 transmit 00FD0000
    1 reconnect eject
    1 reconnect reset
    2 transmit 00A4040005A000000308
    2 reconnect unpower
    2 transmit 00A4040005A000000308
    1 disconnect eject
    2 disconnect unpower
    1 connect raw
    1 disconnect leave
    1 connect shared
    1 connect raw
    1 disconnect reset
    1 connect exclusive
    2 connect shared
    2 connect direct
    1 begin
    1 transmit 00A4040005A000000308
    1 end leave
    1 disconnect reset
    1 connect shared
    2 connect shared
    world remove
    1 wait
    1 transmit 00A4040005A000000308
    1 reconnect leave
    2 status
    2 disconnect leave
    2 connect shared
    2 connect direct
    2 disconnect leave
    world insert
    1 wait
    1 transmit 00A4040005A000000308
    1 reconnect leave
    1 transmit 00A4040005A000000308
    1 wait-and-cancel
    1 disconnect leave
";

#[test]
fn the_library_finds_a_real_daemon_no_different() {
    let mut real = match RealDaemon::start() {
        Ok(real) => real,
        Err(reason) => return skipped(&reason),
    };
    let socket = real.socket().to_owned();
    let real = play(&socket, |line| real.control(line));
    let card = start();
    let mock = play(card.socket(), |line| match line {
        "remove" => card.remove(),
        _ => card.insert(),
    });
    for (real, mock) in real.iter().zip(&mock) {
        assert_eq!(mock, real, "the mock, then the real daemon");
    }
    assert_eq!(mock.len(), real.len());
}

fn play(socket: &std::path::Path, mut world: impl FnMut(&str)) -> Vec<String> {
    let begun = Instant::now();
    while std::os::unix::net::UnixStream::connect(socket).is_err() {
        assert!(begun.elapsed() < PATIENCE, "nobody listens");
        std::thread::yield_now();
    }
    let mut clients = [Client::start_at(socket), Client::start_at(socket)];
    // The real daemon notices the card a little later than the reader.
    while clients[0].ask("look") != "ok PRESENT" {
        assert!(begun.elapsed() < PATIENCE, "there is no card");
    }
    let lines = SCRIPT.lines().map(str::trim).filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let (who, what) = line.split_once(' ').unwrap();
            let result = match (who, what) {
                ("world", what) => {
                    world(what);
                    String::new()
                }
                (_, "begin-waits") => {
                    clients[1].tell("begin");
                    String::new()
                }
                (_, "comes-through") => clients[1].answer(),
                ("1", what) => clients[0].ask(what),
                (_, what) => clients[1].ask(what),
            };
            format!("{line}: {result}")
        })
        .collect()
}

#[allow(clippy::print_stderr, reason = "nobody shall take a comparison that did not happen for one")]
fn skipped(reason: &str) {
    eprintln!("skipped, the library is not tried behind a real pcscd: {reason}");
}

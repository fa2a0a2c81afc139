//! age-plugin-yubikey (crates.io: 0.5.1) under age (Debian 12: 1.1.1): an identity on the card, a file for it.

use std::path::PathBuf;
use std::process::Command;

use mock_card::{Firmware, MockCard};
use rexpect::session::spawn_command;
use yk_cargo_interop::cache;

use crate::desk::{Desk, MANAGEMENT_KEY};
use crate::ykman::ykman;

const PIN: &str = "654321";

#[test]
fn encrypts_to_the_card_and_decrypts() {
    let desk = desk(Firmware::new(5, 4, 3));
    let said = make_identity(&desk);
    assert!(said.contains("We'll migrate it to a PIN-protected management key"), "{said}");
    uses_the_identity(&desk);
}

/// It is older than AES management keys, says so, and says what to do; so the person does that.
#[test]
fn takes_a_new_card_after_ykman() {
    let desk = desk(Firmware::new(5, 7, 4));
    let said = make_identity(&desk);
    assert!(said.contains("ykman piv access change-management-key -a TDES --protect"), "{said}");
    let change = "piv access change-management-key -a TDES --protect --generate -P 654321";
    ykman(&desk, &format!("{change} -m {MANAGEMENT_KEY}")).succeeds();
    make_identity(&desk);
    uses_the_identity(&desk);
}

/// With the plugin where `age` looks for it.
fn desk(firmware: Firmware) -> Desk {
    let mut desk = Desk::with(MockCard::builder().firmware(firmware).pin(PIN));
    desk.set("PATH", format!("{}:{}", programs().display(), std::env::var("PATH").unwrap()));
    desk
}

fn programs() -> PathBuf {
    cache::crate_programs("age-plugin-yubikey", "0.5.1")
}

/// It asks for the PIN at a terminal and nowhere else. What it says there.
fn make_identity(desk: &Desk) -> String {
    let mut command = Command::new(programs().join("age-plugin-yubikey"));
    command.args(["--generate", "--slot", "1", "--name", "judged", "--pin-policy", "never"]);
    command.args(["--touch-policy", "always"]).env("PCSCLITE_CSOCK_NAME", desk.card().socket());
    let mut session = spawn_command(command, Some(60_000)).unwrap();
    session.exp_string("Enter PIN for YubiKey with serial 7654321").unwrap();
    session.send_line(PIN).unwrap();
    session.exp_eof().unwrap()
}

fn uses_the_identity(desk: &Desk) {
    let plugin = "age-plugin-yubikey";
    let listed = desk.run(plugin, &["--list"]).succeeds().says("age1yubikey1");
    desk.write("recipients", listed.stdout());
    let identity = desk.run(plugin, &["--identity", "--slot", "1"]).succeeds().says("AGE-PLUGIN-YUBIKEY-1");
    desk.write("identity", identity.stdout());
    desk.write("message", "what is secret");
    desk.run("age", &["--encrypt", "-R", "recipients", "-o", "message.age", "message"]).succeeds();
    assert!(desk.read("message.age").starts_with(b"age-encryption.org/v1\n-> piv-p256 "));
    desk.card().clear_trace();
    let decrypted = desk.run("age", &["--decrypt", "-i", "identity", "message.age"]).succeeds();
    decrypted.check(decrypted.stdout() == b"what is secret", "another message");
    decrypted.check(desk.card().trace().iter().any(|entry| entry.call == "touch"), "nobody had to touch");
}

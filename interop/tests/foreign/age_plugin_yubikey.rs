//! age-plugin-yubikey (crates.io: 0.5.1) under age (Debian 12: 1.1.1): an identity on the card, a file for it.

use std::process::Command;

use mock_card::{Firmware, MockCard};
use rexpect::session::spawn_command;
use yk_cargo_interop::cache;

use crate::desk::Desk;

const PIN: &str = "654321";

#[test]
fn encrypts_to_the_card_and_decrypts() {
    let mut desk = Desk::with(MockCard::builder().firmware(Firmware::new(5, 4, 3)).pin(PIN));
    let programs = cache::crate_programs("age-plugin-yubikey", "0.5.1");
    let plugin = programs.join("age-plugin-yubikey");
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    desk.set("PATH", path);

    // It asks for the PIN at a terminal and nowhere else.
    let mut command = Command::new(&plugin);
    command.args(["--generate", "--slot", "1", "--name", "judged", "--pin-policy", "never"]);
    command.args(["--touch-policy", "always"]).env("PCSCLITE_CSOCK_NAME", desk.card().socket());
    let mut session = spawn_command(command, Some(60_000)).unwrap();
    session.exp_string("Enter PIN for YubiKey with serial 7654321").unwrap();
    session.send_line(PIN).unwrap();
    session.exp_eof().unwrap();

    let listed = desk.run(&plugin, &["--list"]).succeeds().says("age1yubikey1");
    desk.write("recipients", listed.stdout());
    let identity = desk.run(&plugin, &["--identity", "--slot", "1"]).succeeds().says("AGE-PLUGIN-YUBIKEY-1");
    desk.write("identity", identity.stdout());
    desk.write("message", "what is secret");
    desk.run("age", &["--encrypt", "-R", "recipients", "-o", "message.age", "message"]).succeeds();
    assert!(desk.read("message.age").starts_with(b"age-encryption.org/v1\n-> piv-p256 "));
    let decrypted = desk.run("age", &["--decrypt", "-i", "identity", "message.age"]).succeeds();
    decrypted.check(decrypted.stdout() == b"what is secret", "another message");
    decrypted.check(desk.card().trace().iter().any(|entry| entry.call == "touch"), "nobody had to touch");
}

//! age (Debian 12: 1.1.1) with age-plugin-yubikey (crates.io: 0.5.1): a sealed token is an age file like any other, and an
//! age file that they made is a sealed token.

use std::process::Command;

use mock_card::{Firmware, MockCard};
use rexpect::session::{PtySession, spawn_command};
use serde_json::Value;
use yk_cargo_interop::cache;
use yk_cargo_interop::computer::{Computer, PIN};

const INDEX: &str = "sparse+http://127.0.0.1:9/index/";
const TOKEN: &str = "cioPretendToBeSecret";

/// A token is sealed on this computer; what `list` says of it.
fn sealed(firmware: Firmware) -> (Computer, Value) {
    let computer = Computer::with(MockCard::builder().firmware(firmware));
    computer.configure(&format!("[registries.somewhere]\nindex = \"{INDEX}\"\n"));
    let seal = ["seal", "somewhere", "--yes", "--no-check", "--no-configure", "--label", "judged"];
    computer.yk_cargo_told(&seal, &format!("{TOKEN}\n"));
    let list = serde_json::from_str(&computer.yk_cargo(&["list", "--json"])).unwrap();
    (computer, list)
}

/// `age`, on a terminal of its own, where it finds the plugin and the plugin finds the card.
fn age(computer: &Computer, arguments: &[&str]) -> PtySession {
    let plugin = cache::crate_programs("age-plugin-yubikey", "0.5.1");
    let mut command = Command::new("age");
    command.args(arguments).current_dir(computer.folder()).env_clear();
    command.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", plugin.display()));
    command.env("HOME", computer.folder()).env("LC_ALL", "C.UTF-8").env("TERM", "xterm");
    command.env("PCSCLITE_CSOCK_NAME", computer.card().socket());
    spawn_command(command, Some(60_000)).unwrap()
}

#[test]
fn age_opens_what_is_sealed() {
    for firmware in [Firmware::new(5, 7, 4), Firmware::new(5, 4, 3)] {
        let (computer, list) = sealed(firmware);
        let key = &list["sealing-keys"][0];
        std::fs::write(computer.folder().join("identity"), key["identity"].as_str().unwrap()).unwrap();
        let file = list["sealed"][0]["file"].as_str().unwrap();
        computer.card().power_off();
        let mut session = age(&computer, &["--decrypt", "-i", "identity", "-o", "opened", file]);
        let serial = key["serial"].as_u64().unwrap();
        session.exp_string(&format!("Enter PIN for YubiKey with serial {serial}")).unwrap();
        session.send_line(PIN).unwrap();
        let said = session.exp_eof().unwrap();
        let opened = std::fs::read_to_string(computer.folder().join("opened"));
        assert_eq!(opened.unwrap_or_else(|_| panic!("{said}")), format!("{TOKEN}\nindex: {INDEX}\n"));
    }
}

#[test]
fn what_age_seals_is_opened() {
    let (computer, list) = sealed(Firmware::new(5, 7, 4));
    let recipient = list["sealing-keys"][0]["recipient"].as_str().unwrap();
    std::fs::write(computer.folder().join("new"), format!("cioAnother\nindex: {INDEX}\n")).unwrap();
    let file = list["sealed"][0]["file"].as_str().unwrap();
    std::fs::remove_file(file).unwrap();
    let said = age(&computer, &["--encrypt", "-r", recipient, "-o", file, "new"]).exp_eof().unwrap();
    assert!(
        std::fs::read(file).unwrap_or_default().starts_with(b"age-encryption.org/v1\n-> piv-p256 "),
        "{said}"
    );
    computer.yk_cargo(&["unseal", "somewhere", "--restore", "--yes"]);
    let credentials =
        std::fs::read_to_string(computer.folder().join("home/.cargo/credentials.toml")).unwrap();
    assert!(credentials.contains("token = \"cioAnother\""), "{credentials}");
}

/// The plugin sees our key as one that it could use, and not as one of its own.
#[test]
fn the_plugin_lists_the_key() {
    let (computer, list) = sealed(Firmware::new(5, 7, 4));
    let plugin = cache::crate_programs("age-plugin-yubikey", "0.5.1").join("age-plugin-yubikey");
    let output = computer.run(&plugin, &["--list-all"], "");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let key = &list["sealing-keys"][0];
    for part in ["recipient", "serial"] {
        let part = key[part].as_str().map_or_else(|| key[part].to_string(), str::to_owned);
        assert!(text.contains(&part), "no {part} in {text}");
    }
    let own = computer.run(&plugin, &["--list"], "");
    assert!(!String::from_utf8_lossy(&own.stdout).contains("age1yubikey1"));
}

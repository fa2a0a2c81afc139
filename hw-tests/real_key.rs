//! A real YubiKey, where `YK_CARGO_HW_SERIAL` names it: enrolled, used and left as it was.
//!
//! Here this process is a PC/SC client too, for it alone knows what it made and has to take away. It follows the
//! caller's `PCSCLITE_CSOCK_NAME`, as its children do. docs/devices.md tells how to run it.

mod card;
mod leave_nothing;

use std::ffi::OsString;
use std::io::Write as _;

use asymmetric_token::PublicKey;
use serde_json::{Value, json};
use x509_cert::Certificate;
use x509_cert::der::Encode as _;
use yk_cargo::enrollment::{Enrollments, Key};
use yk_cargo::piv::attestation::Attestation;
use yk_cargo::piv::{METADATA_SINCE, P384};

use crate::world::{Computer, NAME, Reads};
use card::RealCard;
use leave_nothing::LeaveNothing;

/// The number of the one key that may be used.
const SERIAL: &str = "YK_CARGO_HW_SERIAL";
/// `--slot` of `enroll`, for firmware that does not show whether a slot is empty.
const SLOTS: &str = "YK_CARGO_HW_SLOTS";
const PIN_COMMAND: &str = yk_cargo::process::secret_program::PIN_COMMAND;
const LABEL: &str = "device test";

/// What a PIN command may need of its surroundings, and libpcsclite.
const OF_THE_CALLER: [&str; 10] = [
    "DBUS_SESSION_BUS_ADDRESS",
    "DISPLAY",
    "GNUPGHOME",
    "GPG_TTY",
    "HOME",
    "PCSCLITE_CSOCK_NAME",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
    "XDG_RUNTIME_DIR",
    PIN_COMMAND,
];

#[test]
fn looking_changes_nothing() {
    let Some(card) = named_by_the_caller() else { return };
    let computer = computer();
    let status = json_of(&computer.yk_cargo(["status", "--json"]).succeeds().stdout);
    assert_eq!(status["cards"][0]["serial"], json!(card.serial.0), "{status}");
    // It may well find something to be mended on this computer.
    let doctor = computer.yk_cargo(["doctor", "--json"]).ends();
    let checks = json_of(&doctor.stdout);
    assert_eq!(checks["version"], 1, "{doctor:#?}");
    assert!(checks.to_string().contains(&format!("YubiKey {}", card.serial)), "{checks}");
    assert_eq!(card.slots().unwrap(), card.before);
}

#[test]
fn from_enrolling_to_a_new_computer() {
    let Some(card) = named_by_the_caller() else { return };
    let computer = computer();
    let _clean_up = LeaveNothing::on(&card, &computer);
    enroll(&card, &computer);

    tell(format_args!("touch YubiKey {} whenever it blinks: three times, a few seconds apart", card.serial));
    computer.publish(&computer.package("alpha", "0.1.0", "")).succeeds();
    build(&computer, "beta").succeeds();
    let yank = ["yank", "alpha@0.1.0", "--registry", NAME];
    computer.cargo(&computer.path("work"), yank).succeeds();
    build(&computer, "gamma").fails().says(&["is yanked"]);
    computer.cargo(&computer.path("work"), [&yank[..], &["--undo"]].concat()).succeeds();
    build(&computer, "delta").succeeds();

    let keys = computer.registry().cards[0].keys.clone();
    attested(&computer, &keys);
    found_by_a_new_computer(&card, &computer, &keys);
}

fn enroll(card: &RealCard, computer: &Computer) {
    let serial = card.serial.to_string();
    let mut arguments =
        vec!["enroll", NAME, "--yes", "--configure", "--label", LABEL, "--serial", serial.as_str()];
    let slots = std::env::var(SLOTS);
    if let Ok(slots) = &slots {
        arguments.extend(["--slot", slots.as_str()]);
    } else {
        assert!(
            card.firmware >= METADATA_SINCE,
            "firmware {} does not show which slots are empty: name two that are, {SLOTS}=84,85",
            card.firmware
        );
    }
    let command = std::env::var(card::MANAGEMENT_KEY_COMMAND);
    if let Ok(command) = &command {
        arguments.extend(["--management-key-command", command.as_str()]);
    }
    computer.yk_cargo(arguments).succeeds();
    computer.add_keys("alice");
    let status = json_of(&computer.yk_cargo(["status", "--json"]).succeeds().stdout);
    assert_eq!(status["registries"][0]["next-publish"]["possible"], true, "{status}");
}

/// A crate of this name that needs the published one, with nothing in cargo's caches.
fn build(computer: &Computer, name: &str) -> crate::world::Run {
    computer.make_cold();
    let dependency = format!("[dependencies]\nalpha = {{ version = \"0.1.0\", registry = \"{NAME}\" }}\n");
    let package = computer.package(name, "0.1.0", &dependency);
    computer.cargo(&package, ["build"])
}

/// The card says of each key that it made it.
fn attested(computer: &Computer, keys: &[Key]) {
    let pem = computer.yk_cargo(["attest", NAME]).succeeds().stdout;
    let chain = Certificate::load_pem_chain(pem.as_bytes()).unwrap();
    let statements: Vec<_> =
        chain.iter().filter_map(|found| Attestation::read(&found.to_der().unwrap()).ok()).collect();
    for key in keys {
        let of_key = |point| PublicKey::from_uncompressed(&point).unwrap() == key.public;
        let statement = statements.iter().find(|found| found.point(&P384).is_some_and(of_key)).unwrap();
        assert_eq!((statement.pin, statement.touch), (key.pin, key.touch));
    }
}

fn found_by_a_new_computer(card: &RealCard, computer: &Computer, keys: &[Key]) {
    let config = std::fs::read_to_string(computer.path("home/config.toml")).unwrap();
    computer.write("new/config.toml", &config);
    let serial = card.serial.to_string();
    let existing = ["enroll", NAME, "--existing", "--yes", "--serial", serial.as_str()];
    computer.yk_cargo(existing).env("CARGO_HOME", computer.path("new")).succeeds();
    let enrollments = Enrollments::load(&computer.path("new")).unwrap();
    let registry = enrollments.registry(computer.gateway.index_url()).unwrap();
    assert_eq!((&registry.cards[0].keys[..], registry.cards[0].label.as_str()), (keys, LABEL));
}

/// The card that may be used, with the run's conditions met; without the variable nothing is run.
fn named_by_the_caller() -> Option<RealCard> {
    let Ok(serial) = std::env::var(SERIAL) else {
        tell(format_args!("skipped: no real key, since {SERIAL} is not set (docs/devices.md)"));
        return None;
    };
    let Ok(serial) = serial.parse() else { panic!("{SERIAL}={serial}: not the number of a YubiKey") };
    let command = std::env::var(PIN_COMMAND);
    let command =
        command.unwrap_or_else(|_| panic!("set {PIN_COMMAND} to a program that prints the key's PIN"));
    Some(RealCard::find(serial, command))
}

fn computer() -> Computer {
    let variables = OF_THE_CALLER.into_iter();
    let card = variables.filter_map(|name| Some((name, std::env::var_os(name)?)));
    Computer::new(Reads::AuthRequired, card.collect::<Vec<(_, OsString)>>())
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// To the person, whose key blinks now: what a test prints is kept back until it ends.
fn tell(text: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

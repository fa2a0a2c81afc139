//! pyscard, the PC/SC library of Python programs.

use std::path::PathBuf;

use mock_card::MockCard;
use serde_json::Value;
use yk_cargo_interop::cache;

use crate::desk::Desk;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/pyscard");

fn python() -> PathBuf {
    cache::python("pyscard-2.3.1", &format!("{FOLDER}/requirements.txt"))
}

#[test]
fn talks_to_the_card() {
    let desk = Desk::with(MockCard::builder());
    let step = desk.run(python(), &[&format!("{FOLDER}/card.py")]).succeeds();
    let seen: Value = serde_json::from_slice(step.stdout()).unwrap();
    step.check(seen["reader"] == "Yubico YubiKey OTP+FIDO+CCID 00 00", "another reader");
    let atr = "3B FD 13 00 00 81 31 FE 15 80 73 C0 21 C0 57 59 75 62 69 4B 65 79 40";
    step.check(seen["atr"] == atr, "another ATR");
    step.check(seen["selected"].as_str().is_some_and(|it| it.starts_with("61 11 4F 06")), "no PIV");
    step.check(seen["status"] == "90 00" && seen["version"] == "05 07 04", "another version");
    step.check(seen["exclusive"].as_str().is_some_and(|it| it.contains("haring violation")), "not refused");
    step.check(seen["alone"] == seen["selected"], "an exclusive connection sees the same");
}

#[test]
fn sees_the_card_come_and_go() {
    let desk = Desk::with(MockCard::builder());
    let mut watch = desk.watch(python(), &[&format!("{FOLDER}/watch.py"), "cards"]);
    watch.until_it_says("card came: 3B FD 13");
    desk.card().remove();
    watch.until_it_says("card went: 3B FD 13");
    desk.card().insert();
    watch.until_it_says("card came: 3B FD 13");
}

#[test]
fn sees_the_reader_come_and_go() {
    let desk = Desk::with(MockCard::builder());
    let mut watch = desk.watch(python(), &[&format!("{FOLDER}/watch.py"), "readers"]);
    watch.until_it_says("reader came: Yubico YubiKey");
    desk.card().unplug();
    watch.until_it_says("reader went: Yubico YubiKey");
    desk.card().plug();
    watch.until_it_says("reader came: Yubico YubiKey");
}

//! pcsc-tools (Debian 12: 1.6.2): the scanner, and commands by hand.

use mock_card::MockCard;

use crate::desk::Desk;

const READER: &str = "Yubico YubiKey OTP+FIDO+CCID 00 00";
const ATR: &str = "3B FD 13 00 00 81 31 FE 15 80 73 C0 21 C0 57 59 75 62 69 4B 65 79 40";

#[test]
fn pcsc_scan_lists_readers_and_cards() {
    let desk = Desk::with(MockCard::builder());
    desk.run("pcsc_scan", &["-r"]).says(&format!("0: {READER}"));
    desk.run("pcsc_scan", &["-c"]).says("Card state: Card inserted").says(&format!("ATR: {ATR}"));
    desk.run("ATR_analysis", &[ATR]).succeeds().says("correct checksum").says("Yubico YubiKey 5");
}

#[test]
fn pcsc_scan_follows_the_card() {
    let desk = Desk::with(MockCard::builder());
    let mut scanner = desk.watch("pcsc_scan", &["-n"]);
    scanner.until_it_says("Card inserted");
    desk.card().remove();
    scanner.until_it_says("Card removed");
    desk.card().insert();
    scanner.until_it_says("Card inserted");
    desk.card().unplug();
    // It says so before it waits, and does not notice a reader that comes in between.
    scanner.until_it_says("Waiting for the first reader");
}

#[test]
fn scriptor_talks_to_the_card() {
    let desk = Desk::with(MockCard::builder());
    let commands = "00 A4 04 00 05 A0 00 00 03 08\n00 FD 00 00\n00 FC 00 00\n";
    let step = desk.run_with("scriptor", &[], commands).succeeds().says("Using T=1 protocol");
    step.says("61 11 4F 06 00 00 10 00 01 00").says("05 07 04 90 00").says("6D 00");
}

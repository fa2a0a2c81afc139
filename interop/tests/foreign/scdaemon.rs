//! GnuPG's card daemon (Debian 12: 2.2.40), which knows no PIV: it looks for its own kinds of cards, has the reader
//! for itself meanwhile, and gives it back.

use std::time::Duration;

use mock_card::MockCard;

use crate::desk::{Desk, SERIAL};

const PROGRAM: &str = "/usr/lib/gnupg/scdaemon";
/// Without its own driver for USB readers it goes through PC/SC.
const OPTIONS: [&str; 2] = ["--server", "--disable-ccid"];
const EXCLUSIVE: u32 = 1;

#[test]
fn finds_no_card_of_its_kind_and_lets_go() {
    let desk = Desk::with(MockCard::builder());
    let lines = "SERIALNO\nGETINFO reader_list\nRESTART\nBYE\n";
    let step = desk.run_with(PROGRAM, &OPTIONS, lines).succeeds();
    let step =
        step.says("D Yubico YubiKey OTP+FIDO+CCID 00 00").says("No such device").does_not_say("S SERIALNO");
    let trace = desk.card().trace();
    let of_the_card: Vec<_> = trace.iter().filter(|entry| entry.serial == SERIAL).collect();
    let (first, last) = (of_the_card[0], of_the_card[of_the_card.len() - 1]);
    step.check(first.call == "connect" && first.share == Some(EXCLUSIVE), "did not ask for the card alone");
    step.check(of_the_card.iter().any(|entry| entry.ins.as_deref() == Some("SELECT")), "looked for nothing");
    step.check(last.call == "disconnect" && !last.implicit, "did not give the card back");
    assert!(desk.card().wait_idle(Duration::from_secs(30)));
    desk.run("yubico-piv-tool", &["-a", "verify-pin", "-P", "123456"]).succeeds();
}

#[test]
fn cannot_have_what_another_program_has_alone() {
    let desk = Desk::with(MockCard::builder());
    desk.card().hold_exclusive();
    let step = desk.run_with(PROGRAM, &OPTIONS, "SERIALNO\nBYE\n").succeeds().does_not_say("S SERIALNO");
    let trace = desk.card().trace();
    let connect = trace.iter().find(|entry| entry.call == "connect");
    step.check(connect.is_some_and(|entry| entry.rv != 0), "was let in beside another");
    desk.card().release();
    desk.run_with(PROGRAM, &OPTIONS, "SERIALNO\nBYE\n").succeeds().says("no supported card application");
}

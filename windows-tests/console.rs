//! A person at a console: a pty, which Wine makes a console of. Cargo's requests come through a program for Windows that does as
//! cargo does.

use std::process::Command;

use rexpect::session::{PtySession, spawn_command};
use serde_json::json;

use crate::trace::Seen;
use crate::world::{AT_MOST, NAME, PIN, World};

/// How long any expected text may take, in milliseconds, whatever goes wrong.
const LIMIT: u64 = 60_000;

impl World {
    /// Cargo wants to change the owners, without a PIN command.
    fn at_a_console(&mut self) -> PtySession {
        self.tell_nothing_of("YK_CARGO_PIN_COMMAND");
        let request = self.request(&json!({"operation": "owners", "name": "alpha"}));
        self.on_a_console(self.like_cargo(&request))
    }

    /// A program on a console of its own.
    pub(crate) fn on_a_console(&self, program: Command) -> PtySession {
        let mut wide = Command::new("sh");
        // No row of ours is broken by the console.
        wide.args(["-c", "stty cols 250 rows 50; exec \"$@\"", "sh"]).arg(program.get_program());
        wide.args(program.get_args());
        spawn_command(wide, Some(LIMIT)).unwrap()
    }
}

#[track_caller]
pub(crate) fn expect(session: &mut PtySession, texts: &[&str]) -> String {
    let mut shown = String::new();
    for text in texts {
        shown += &session.exp_string(text).unwrap_or_else(|error| panic!("no {text:?}: {error}"));
        shown += text;
    }
    shown
}

fn send_line(session: &mut PtySession, line: &str) {
    session.send(line).unwrap();
    // What the key sends.
    session.send("\r").unwrap();
    session.flush().unwrap();
}

/// The console echoes no PIN, and a wrong one may be followed by the right one.
#[test]
#[ignore = "cargo xtask windows runs it"]
fn a_wrong_pin_and_then_the_right_one() {
    let mut world = World::enrolled().forgets_its_pin();
    let mut session = world.at_a_console();
    let mut shown = expect(&mut session, &["PIN of YubiKey 12345678 (3 tries left):"]);
    send_line(&mut session, "111222");
    shown += &expect(&mut session, &["wrong PIN, 2 tries left", "PIN of YubiKey 12345678 (2 tries left):"]);
    send_line(&mut session, PIN);
    shown += &expect(&mut session, &["touch YubiKey 12345678 now", "\"token\":\"v3.public."]);
    assert!(!shown.contains(PIN) && !shown.contains("111222"), "a PIN is echoed: {shown}");
    assert_eq!(world.card.pin_tries(), 3);
    let seen = Seen::on(&world.card);
    assert_eq!((seen.pins(), seen.touches(), seen.signatures("83")), (2, 1, 1));
    seen.assert_well_mannered();
}

#[test]
#[ignore = "cargo xtask windows runs it"]
fn nobody_answers_the_prompt_in_time() {
    let mut world = World::enrolled().forgets_its_pin();
    world.write("home/yk-cargo/config.toml", "[wait]\r\npin-prompt = 1\r\n");
    let mut session = world.at_a_console();
    expect(&mut session, &["PIN of YubiKey 12345678", "nobody answered within 1 seconds"]);
    session.exp_eof().unwrap();
    assert_eq!((Seen::on(&world.card).pins(), world.card.pin_tries()), (0, 3));
}

/// The prompt shows a card, and the card is looked at again before the PIN is sent.
#[test]
#[ignore = "cargo xtask windows runs it"]
fn a_card_pulled_out_at_the_prompt_sees_no_pin() {
    let mut world = World::enrolled().forgets_its_pin();
    let mut session = world.at_a_console();
    expect(&mut session, &["PIN of YubiKey 12345678 (3 tries left):"]);
    world.card.unplug();
    assert!(world.card.wait_idle(AT_MOST));
    send_line(&mut session, PIN);
    expect(&mut session, &["the YubiKey was unplugged"]);
    assert_eq!(Seen::on(&world.card).pins(), 0);
}

/// A person is told to plug it in, and one that comes is used.
#[test]
#[ignore = "cargo xtask windows runs it"]
fn a_card_that_comes_late_is_used() {
    let mut world = World::enrolled();
    world.card.unplug();
    let mut session = world.at_a_console();
    expect(&mut session, &["plug in YubiKey 12345678"]);
    world.card.plug();
    expect(&mut session, &["PIN of YubiKey 12345678"]);
    send_line(&mut session, PIN);
    expect(&mut session, &["\"token\":\"v3.public."]);
    assert_eq!(Seen::on(&world.card).signatures("83"), 1);
}

/// A console's letters are those of its code page. What is said goes there as Unicode, or else in ASCII.
#[test]
#[ignore = "cargo xtask windows runs it"]
fn a_label_is_legible_in_another_code_page() {
    // rexpect takes each byte of Wine's UTF-8 for a letter.
    for (stderr, says) in [("&1", "(J\u{c3}\u{bc}rgens)"), ("/dev/null", "(J?rgens)")] {
        let mut world = World::new();
        world.yk_cargo(["enroll", NAME, "--yes", "--configure", "--label", "J\u{fc}rgens"]).succeeds();
        world = world.forgets_its_pin();
        world.tell_nothing_of("YK_CARGO_PIN_COMMAND");
        let request = world.request(&json!({"operation": "owners", "name": "alpha"}));
        let program = world.to_windows(&world.program());
        let in_wine = world.like_cargo_with(&["--code-page", "850", &program, &request]);
        let mut redirected = Command::new("sh");
        redirected.args(["-c", &format!("exec \"$@\" 2>{stderr}"), "sh"]).arg(in_wine.get_program());
        redirected.args(in_wine.get_args());
        let mut session = world.on_a_console(redirected);
        expect(&mut session, &[says, "PIN of YubiKey 12345678"]);
    }
}

//! A person at a terminal: a real pty that is the children's controlling terminal.

use std::process::Command;
use std::time::Duration;

use rexpect::session::{PtySession, spawn_command};
use rustix::process::{Pid, Signal, kill_process};

use crate::trace::Seen;
use crate::world::{Computer, NAME, PIN, Reads, World};

/// How long any expected text may take, in milliseconds, whatever goes wrong.
pub(crate) const LIMIT: u64 = 60_000;

impl Computer {
    /// A shell line on a terminal of its own, without a PIN command.
    pub(crate) fn at_a_terminal(&self, line: &str) -> PtySession {
        let mut command = Command::new("sh");
        self.environment(&mut command);
        command.env_remove("YK_CARGO_PIN_COMMAND").env("NO_COLOR", "1").env("CARGO_TERM_COLOR", "never");
        // The library turns the terminal's echo off; a person's is on.
        command.args(["-c", &format!("stty echo; {line}")]).current_dir(self.path("work"));
        spawn_command(command, Some(LIMIT)).unwrap()
    }
}

impl World {
    pub(crate) fn forgets_its_pin(self) -> Self {
        self.card.power_off();
        self.card.clear_trace();
        self
    }
}

pub(crate) const YANK_ALONE: &str = "yk-cargo token my-reg --yank alpha@0.1.0";

pub(crate) const YANK: &str = "yk-cargo token my-reg --yank alpha@0.1.0 && echo DONE || echo FAILED";

pub(crate) fn expect(session: &mut PtySession, texts: &[&str]) {
    for text in texts {
        session.exp_string(text).unwrap_or_else(|error| panic!("no {text:?}: {error}"));
    }
}

/// The PIN is asked while cargo owns stdin and stdout, is not echoed, and a wrong one may be followed by a right one.
#[test]
fn a_wrong_pin_and_then_the_right_one() {
    let world = World::enrolled();
    let package = world.package("alpha", "0.1.0", "");
    let world = world.forgets_its_pin();
    let publish = format!("cd {} && cargo publish --registry {NAME} && echo DONE", package.display());
    let mut session = world.at_a_terminal(&publish);
    expect(
        &mut session,
        &["signing publish of `alpha 0.1.0` for `my-reg` with YubiKey 12345678 (laptop key)"],
    );
    expect(&mut session, &["PIN of YubiKey 12345678 (3 tries left): "]);
    session.send_line("111222").unwrap();
    expect(&mut session, &["wrong PIN, 2 tries left", "PIN of YubiKey 12345678 (2 tries left): "]);
    session.send_line(PIN).unwrap();
    let shown = session.exp_string("touch YubiKey 12345678 now").unwrap();
    assert!(!shown.contains(PIN), "the PIN is echoed: {shown}");
    expect(&mut session, &["Published alpha", "DONE"]);
    assert_eq!(world.card.pin_tries(), 3);
    Seen::on(&world.card).assert_well_mannered();
}

#[test]
fn the_last_try_needs_a_typed_yes() {
    let world = World::enrolled().forgets_its_pin();
    world.card.set_pin_tries(1);
    let question =
        "One try is left before the PIV PIN of YubiKey 12345678 is blocked. Use it? Type yes to go on: ";
    let mut session = world.at_a_terminal(YANK);
    expect(&mut session, &[question]);
    session.send_line("y").unwrap();
    expect(&mut session, &["it was not spent", "FAILED"]);
    assert_eq!(world.card.pin_tries(), 1);

    let mut session = world.at_a_terminal(YANK);
    expect(&mut session, &[question]);
    session.send_line("yes").unwrap();
    expect(&mut session, &["PIV PIN of YubiKey 12345678 (last try): "]);
    session.send_line(PIN).unwrap();
    expect(&mut session, &["DONE"]);
    assert_eq!(world.card.pin_tries(), 3);
}

/// A one-time password typed by an accidental touch, a slip, nothing at all: none of them costs a try.
#[test]
fn what_is_no_pin_is_asked_again() {
    let world = World::enrolled().forgets_its_pin();
    let mut session = world.at_a_terminal(YANK);
    expect(&mut session, &["PIN of YubiKey"]);
    session.send_line("cccccckdvvulethkhtvkrtbeukiettkhebtekdvvulet").unwrap();
    expect(&mut session, &["this is a one-time password, typed by touching the YubiKey", "PIN of YubiKey"]);
    session.send_line("12345").unwrap();
    expect(&mut session, &["shorter", "PIN of YubiKey"]);
    session.send_line("").unwrap();
    expect(&mut session, &["nothing was entered", "FAILED"]);
    assert_eq!(world.card.pin_tries(), 3);
    assert_eq!(Seen::on(&world.card).pins(), 0);
}

/// Ctrl-C and a kill at the prompt: the terminal echoes again, and nothing was signed.
#[test]
fn the_terminal_echoes_after_an_interruption() {
    for (signal, status) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::QUIT, 131)] {
        let world = World::enrolled().forgets_its_pin();
        let mut session = world.at_a_terminal(
            "trap : INT; sh -c 'echo pid $$; exec yk-cargo token my-reg --yank alpha@0.1.0'; echo status $?; stty -a",
        );
        let (_, pid) = session.exp_regex(r"pid \d+").unwrap();
        expect(&mut session, &["PIN of YubiKey 12345678 (3 tries left): "]);
        if signal == Signal::INT {
            session.send_control('c').unwrap();
        } else {
            let pid = pid.trim_start_matches("pid ").parse().unwrap();
            kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
        }
        expect(&mut session, &[&format!("status {status}")]);
        let settings = session.exp_eof().unwrap();
        assert!(settings.contains(" echo ") && !settings.contains("-echo "), "{signal:?}: {settings}");
        assert_eq!(Seen::on(&world.card).all_signatures(), 0);
    }
}

#[test]
fn rows_end_between_words_where_the_terminal_ends() {
    let world = World::new();
    let mut session = world.at_a_terminal("stty cols 44; yk-cargo enroll nowhere --yes");
    let shown = session.exp_eof().unwrap().replace("\r\x1b[K", "");
    let rows: Vec<_> = shown.lines().map(str::trim_end).collect();
    assert!(rows.len() > 3 && rows.iter().all(|row| row.chars().count() <= 44), "{shown}");
    let whole = rows.iter().map(|row| row.trim()).collect::<Vec<_>>().join(" ");
    assert!(
        whole.contains("add `[registries.nowhere]` with its `index` to $CARGO_HOME/config.toml, or"),
        "{whole}"
    );
}

/// What was found stands beside the word for it, row below row. Commands are to be copied, and stay whole.
#[test]
fn findings_are_broken_between_words_too() {
    let world = World::enrolled();
    let mut session = world.at_a_terminal("stty cols 60; yk-cargo doctor; yk-cargo status");
    let shown = session.exp_eof().unwrap().replace("\r\x1b[K", "");
    let rows: Vec<_> = shown.lines().map(str::trim_end).collect();
    let is_short =
        |row: &&str| row.chars().count() <= 60 || row.contains("next: ") || row.contains("sparse+");
    assert!(rows.iter().all(is_short), "{shown}");
    let pin = rows.iter().position(|row| row.contains(" PIN: ")).unwrap();
    assert!(rows[pin + 1].starts_with("         ") && !rows[pin + 1].contains("next: "), "{shown}");
    let asks = rows.iter().position(|row| row.ends_with("asks for the PIN and a touch")).unwrap();
    assert!(rows[asks + 1].starts_with("    "), "{shown}");
}

#[test]
fn enroll_asks_before_it_does_anything() {
    let world = World::new();
    let mut session = world.at_a_terminal("yk-cargo enroll my-reg && echo DONE || echo FAILED");
    expect(&mut session, &["YubiKey 12345678 (firmware 5.7.4) for sparse+http://127.0.0.1"]);
    expect(&mut session, &["publish  slot 83  PIN once, touch always", "Make these keys? [y/N] "]);
    session.send_line("n").unwrap();
    expect(&mut session, &["nothing was changed", "FAILED"]);
    assert!(!world.enrollments_file().exists());

    let mut session = world.at_a_terminal("yk-cargo enroll my-reg && echo DONE || echo FAILED");
    expect(&mut session, &["Make these keys? [y/N] "]);
    session.send_line("y").unwrap();
    expect(&mut session, &["made the read key in slot 82", "made the publish key in slot 83"]);
    expect(
        &mut session,
        &["Write this into $CARGO_HOME/config.toml?", "credential-provider = \"yk-cargo\"", "[Y/n] "],
    );
    session.send_line("").unwrap();
    expect(
        &mut session,
        &["wrote credential-provider", "Next: send these lines to the registry's administrator"],
    );
    expect(&mut session, &["registry-gateway key add", "Then: cargo publish --registry my-reg"]);
    expect(&mut session, &["Then: yk-cargo enroll my-reg --backup", "DONE"]);
    let config = std::fs::read_to_string(world.path("home/config.toml")).unwrap();
    assert!(config.contains("credential-provider = \"yk-cargo\""), "{config}");
}

#[test]
fn logout_takes_a_typed_yes() {
    let world = World::enrolled();
    let mut session = world.at_a_terminal("cargo logout --registry my-reg && echo DONE || echo FAILED");
    expect(&mut session, &["Remove the enrollment for sparse+http://", "Type yes to go on: "]);
    session.send_line("no").unwrap();
    expect(&mut session, &["nothing was changed", "FAILED"]);
    assert_eq!(world.registry().cards.len(), 1);
    let mut session = world.at_a_terminal("cargo logout --registry my-reg && echo DONE || echo FAILED");
    expect(&mut session, &["Type yes to go on: "]);
    session.send_line("yes").unwrap();
    expect(&mut session, &["the publish key stays in slot 83 of YubiKey 12345678", "DONE"]);
    world.yk_cargo(["list"]).succeeds().says(&["nothing is enrolled yet"]);
}

/// Where a person is there, a key may come late.
#[test]
fn a_key_that_is_plugged_in_late() {
    let world = World::enrolled();
    world.card.unplug();
    let mut session = world.at_a_terminal("yk-cargo token my-reg --read && echo DONE || echo FAILED");
    expect(&mut session, &["plug in YubiKey 12345678 (laptop key) (30 s left)", "(29 s left)"]);
    world.card.plug();
    expect(&mut session, &["v3.public.", "DONE"]);
    world.card.unplug();
    world.wait("insertion = 0");
    let mut session = world.at_a_terminal("yk-cargo token my-reg --read && echo DONE || echo FAILED");
    expect(&mut session, &["plug in YubiKey 12345678 (laptop key)", "no YubiKey is plugged in", "FAILED"]);
}

/// A background job may not stop to ask: it is answered as if nobody were there, and told why.
#[test]
fn a_background_job_is_not_stopped() {
    let world = World::enrolled().forgets_its_pin();
    let yank = "cargo yank alpha@0.1.0 --registry my-reg";
    for line in [
        "set -m; yk-cargo token my-reg --yank alpha@0.1.0 & wait $!".to_owned(),
        format!("set -m; {yank} & wait $!"),
        format!("timeout 60 {yank}"),
    ] {
        let mut session = world.at_a_terminal(&format!("{line}; echo status $?"));
        expect(&mut session, &["this runs in the background of its terminal, where it cannot ask for it"]);
        expect(&mut session, &["bring it to the foreground with `fg`", "timeout --foreground", "status 1"]);
    }
    let mut session = world.at_a_terminal("timeout 60 yk-cargo forget my-reg; echo status $?");
    expect(
        &mut session,
        &["in the background of its terminal, where it cannot ask anything", "--foreground"],
    );
    let mut session = world.at_a_terminal(&format!("timeout --foreground 60 {yank}; echo status $?"));
    expect(&mut session, &["PIV PIN of YubiKey"]);
}

/// A tool keeps what cargo says for itself: what a person has to know at once is said where they are asked.
#[test]
fn a_tool_that_captures_what_is_said() {
    let world = World::enrolled().forgets_its_pin();
    let package = world.package("alpha", "0.1.0", "");
    let publish = format!(
        "cd {} && said=$(cargo publish --registry {NAME} 2>&1) && echo DONE; yk-cargo token my-reg --yank alpha@0.1.0 2>said >token && echo DONE",
        package.display()
    );
    let mut session = world.at_a_terminal(&publish);
    expect(&mut session, &["signing publish of `alpha 0.1.0` for `my-reg`", "PIV PIN of YubiKey"]);
    session.send_line("12345").unwrap();
    expect(&mut session, &["this one is shorter", "PIV PIN of YubiKey"]);
    session.send_line("111222").unwrap();
    expect(&mut session, &["wrong PIN, 2 tries left", "PIV PIN of YubiKey"]);
    session.send_line(PIN).unwrap();
    expect(&mut session, &["touch YubiKey 12345678 now (it blinks)", "DONE"]);
    expect(
        &mut session,
        &["signing yank of `alpha 0.1.0`", "touch YubiKey 12345678 now (it blinks)", "DONE"],
    );
    let said = std::fs::read_to_string(package.join("said")).unwrap();
    assert!(said.contains("touch YubiKey 12345678 now"), "it is said there too: {said}");
}

/// A PIN with letters outside ASCII is right in UTF-8; in another encoding that is said, whatever it comes from, and costs no try.
#[test]
fn a_pin_with_letters_outside_ascii() {
    let world = World::with(crate::world::Reads::AuthRequired, |card| card.pin("z\u{fc}rich1"));
    let utf8 = world.script("utf8.sh", "#!/bin/sh\nprintf 'z\\303\\274rich1\\n'\n");
    world
        .yk_cargo(["enroll", NAME, "--yes", "--configure", "--label", "laptop key"])
        .env("YK_CARGO_PIN_COMMAND", &utf8)
        .succeeds();
    world.add_keys("alice");
    let world = world.forgets_its_pin();

    let latin1 = world.script("latin1.sh", "#!/bin/sh\nprintf 'z\\374rich1\\n'\n");
    let yank = || world.yk_cargo(["token", NAME, "--yank", "alpha@0.1.0"]);
    yank()
        .env("YK_CARGO_PIN_COMMAND", &latin1)
        .fails()
        .says(&["the answer of the PIN command is not in UTF-8"]);
    for (entered, says) in [
        ("z%FCrich1", "what was entered in pinentry is not in UTF-8"),
        ("z\\374rich1", "what was entered in pinentry is not in UTF-8"),
        ("zu%CC%88rich1", "a PIN has 6 to 8 bytes, and this one has 9"),
    ] {
        let pinentry = world.script(
            "pinentry.sh",
            &format!(
                "#!/bin/sh\necho OK\nwhile read -r line; do\ncase $line in\nSETERROR*) echo \"$line\" >>errors; echo OK;;\n\
                 GETPIN) if [ -e asked ]; then rm asked; echo ERR 83886179; else touch asked; printf 'D {}\\nOK\\n'; fi;;\n\
                 *) echo OK;;\nesac\ndone\n",
                entered.replace('%', "%%")
            ),
        );
        world.write("home/yk-cargo/config.toml", &format!("pinentry = \"{}\"\n", pinentry.display()));
        yank().without("YK_CARGO_PIN_COMMAND").fails().says(&["pinentry was cancelled"]);
        let errors = std::fs::read_to_string(world.path("work/errors")).unwrap();
        assert!(errors.contains(says), "no {says:?} in {errors}");
    }
    assert_eq!((world.card.pin_tries(), Seen::on(&world.card).pins()), (3, 0));

    let mut session = world.at_a_terminal(YANK);
    expect(&mut session, &["PIV PIN of YubiKey"]);
    // The library sends text only.
    std::io::Write::write_all(&mut session.process().get_file_handle().unwrap(), b"z\xfcrich1\n").unwrap();
    expect(&mut session, &["what was typed is not in UTF-8", "PIV PIN of YubiKey"]);
    session.send_line("stra\u{df}e12").unwrap();
    expect(&mut session, &["a PIN has 6 to 8 bytes, and this one has 9", "PIV PIN of YubiKey"]);
    session.send_line("z\u{fc}rich1").unwrap();
    expect(&mut session, &["DONE"]);
    assert_eq!(Seen::on(&world.card).pins(), 1);
}

/// Nothing is asked by name alone: the prompt shows a card, and the card is looked at again before the PIN is sent.
#[test]
fn a_card_pulled_out_at_the_prompt_sees_no_pin() {
    let world = World::enrolled().forgets_its_pin();
    let mut session = world.at_a_terminal(YANK);
    expect(&mut session, &["PIN of YubiKey 12345678 (3 tries left): "]);
    world.card.unplug();
    assert!(world.card.wait_idle(Duration::from_secs(60)));
    session.send_line(PIN).unwrap();
    expect(&mut session, &["the YubiKey was unplugged", "hint: plug it back in", "FAILED"]);
    assert_eq!(Seen::on(&world.card).pins(), 0);
}

/// Ctrl-Z gives the shell its echo back; brought to the front again, the prompt hides what is typed.
#[test]
fn the_terminal_echoes_while_the_prompt_is_stopped() {
    let world = World::enrolled().forgets_its_pin();
    let mut session = world.at_a_terminal(
        "set -m; yk-cargo token my-reg --yank alpha@0.1.0; stty -a | grep -o -e '-*echo '; fg; echo status $?",
    );
    expect(&mut session, &["PIN of YubiKey 12345678 (3 tries left): "]);
    session.send_control('z').unwrap();
    let (before, _) = session.exp_regex(r"echo \r").unwrap();
    assert!(!before.ends_with('-'), "{before}");
    expect(&mut session, &["yk-cargo token"]);
    session.send_line(PIN).unwrap();
    let rest = session.exp_string("status 0").unwrap();
    assert!(!rest.contains(PIN), "{rest}");
}

/// While the question stands, another program may have used the slot: it is not generated over. Whether it is one that our
/// enrollments tell of or not, and where the card does not show everything.
#[test]
fn a_slot_that_is_filled_while_the_question_stands() {
    for (firmware, home) in [("5.7.4", "cargo-home"), ("5.7.4", "other"), ("5.2.7", "other")] {
        let world = World::with(Reads::AuthRequired, |card| card.firmware(firmware.parse().unwrap()));
        let home = if home == "other" { world.path(home) } else { world.cargo_home() };
        let mut session =
            world.at_a_terminal("yk-cargo enroll my-reg --slot 82,83 && echo DONE || echo FAILED");
        expect(&mut session, &["publish  slot 83", "Make these keys? [y/N] "]);
        let other = ["enroll", "sparse+http://localhost:9/other/", "--yes", "--slot", "82,83"];
        world.yk_cargo(other).env("CARGO_HOME", home).succeeds();
        world.card.clear_trace();
        session.send_line("y").unwrap();
        expect(
            &mut session,
            &["slot 82 of YubiKey 12345678 is not empty, and yk-cargo never overwrites a key", "FAILED"],
        );
        assert!(!Seen::on(&world.card).changed_anything(), "{firmware}");
    }
}

/// Between two requests the card lost its power: whoever gave the PIN a moment ago is told why it is asked again.
#[test]
fn a_pin_that_the_card_forgot() {
    let world = World::enrolled().forgets_its_pin();
    let mut session = world.at_a_terminal(&format!("{YANK}; read next; {YANK}"));
    let shown = session.exp_string("PIN of YubiKey 12345678 (3 tries left): ").unwrap();
    assert!(!shown.contains("forgotten"), "{shown}");
    session.send_line(PIN).unwrap();
    expect(&mut session, &["DONE"]);
    world.card.power_off();
    session.send_line("").unwrap();
    expect(
        &mut session,
        &["note: the card has forgotten the PIN, as it does after about 5 seconds without use"],
    );
    expect(&mut session, &["PIN of YubiKey 12345678 (3 tries left): "]);
    session.send_line(PIN).unwrap();
    expect(&mut session, &["DONE"]);
}

#[test]
fn a_key_that_always_asks_for_its_pin() {
    let world = World::new().enroll_with(&["--pin-policy", "always"]);
    // A card that has been given its PIN does not tell how many tries are left.
    for tries in [" (3 tries left)", ""] {
        let mut session = world.at_a_terminal(YANK);
        let prompt = format!("PIV PIN of YubiKey 12345678{tries}: ");
        expect(&mut session, &["note: this key asks for its PIN every time", &prompt]);
        session.send_line(PIN).unwrap();
        expect(&mut session, &["DONE"]);
    }
}

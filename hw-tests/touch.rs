//! A key that blinks: who is told, when, and what a missed touch costs.

use std::fs;
use std::process::Command;
use std::time::Duration;

use asymmetric_token::Untrusted;
use mock_card::Touch;

use crate::terminal::{YANK, expect};
use crate::trace::Seen;
use crate::world::{NAME, PIN, Reads, World};

/// Longer than a test's answer to a prompt takes, short enough to be waited for once.
const SHORT: Duration = Duration::from_secs(2);

fn touched_by_hand(timeout: Duration, arguments: &[&str]) -> World {
    World::with(Reads::AuthRequired, |card| card.touch(Touch::Manual).touch_timeout(timeout))
        .enroll_with(arguments)
}

/// The second token is a new one: its time is that of the second attempt. The PIN is not asked again, whatever the
/// key's policy.
#[test]
fn a_missed_touch_has_a_second_chance() {
    for policy in ["once", "always"] {
        let world = touched_by_hand(SHORT, &["--pin-policy", policy]).forgets_its_pin();
        let mut session = world.at_a_terminal(YANK);
        expect(&mut session, &["PIN of YubiKey 12345678 (3 tries left): "]);
        session.send_line(PIN).unwrap();
        expect(&mut session, &["touch YubiKey 12345678 now", "it was not touched in time; asking once more"]);
        let second = jiff::Timestamp::now() - Duration::from_secs(1);
        world.card.touch();
        let (_, token) = session.exp_regex(r"v3\.public\.[A-Za-z0-9_.-]+").unwrap();
        expect(&mut session, &["DONE"]);
        let claims = Untrusted::parse(&token).unwrap().unverified_claims().unwrap();
        assert!(claims.issued_at >= second, "{policy}: {claims:?}");
        assert_eq!(Seen::on(&world.card).signatures("83"), 1);
    }
}

#[test]
fn a_second_missed_touch_is_the_end() {
    let world = touched_by_hand(Duration::from_millis(50), &[]);
    world.yk_cargo(["token", NAME, "--read"]).succeeds();
    let world = world.forgets_its_pin();
    let mut session = world.at_a_terminal(YANK);
    expect(&mut session, &["PIN of YubiKey"]);
    session.send_line(PIN).unwrap();
    expect(&mut session, &["touch YubiKey", "once more", "touch YubiKey"]);
    expect(&mut session, &["YubiKey 12345678 was not touched in time; nothing was signed", "FAILED"]);
    assert_eq!(world.card.pin_tries(), 3);
}

/// The program hangs until somebody reads what it was told, and the token is there before that.
#[test]
fn a_program_is_told_once_what_wants_the_touch_and_is_not_waited_for() {
    let world = touched_by_hand(SHORT, &[]).forgets_its_pin();
    let pipe = world.path("told");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let program = world.script(
        "notice.sh",
        "#!/bin/sh\necho started >> \"$2\"\nprintf '%s|' \"$#\" \"$1\" \"$4\" \"$YK_CARGO_OPERATION\" \"$YK_CARGO_CRATE\" \
         \"$YK_CARGO_VERSION\" \"$YK_CARGO_REGISTRY\" \"$YK_CARGO_CARD\" \"$YK_CARGO_SERIAL\" > \"$3\"\n",
    );
    let count = world.path("count");
    let [program, count_file, told] = [&program, &count, &pipe].map(|path| path.display().to_string());
    let command = [program, "a b; c".to_owned(), count_file, told];
    world.write("home/yk-cargo/config.toml", &format!("[touch]\nnotify = {command:?}\nbell = true\n"));
    // The terminal stays: with it would end what was started in it.
    let mut session = world.at_a_terminal(&format!("{YANK}; read line"));
    expect(&mut session, &["PIN of YubiKey 12345678 (3 tries left): "]);
    session.send_line(PIN).unwrap();
    expect(
        &mut session,
        &["touch YubiKey 12345678 now", "\x07", "it was not touched in time; asking once more"],
    );
    world.card.touch();
    expect(&mut session, &["DONE"]);
    let told = fs::read_to_string(&pipe).unwrap();
    let sentence = "Touch YubiKey 12345678: signing yank of `alpha 0.1.0` for `my-reg` with YubiKey 12345678 (laptop key)";
    assert_eq!(told, format!("4|a b; c|{sentence}|yank|alpha|0.1.0|my-reg|laptop key|12345678|"));
    assert_eq!(fs::read_to_string(&count).unwrap(), "started\n");

    // What does not start is said, and is in nobody's way.
    world.write("home/yk-cargo/config.toml", "[touch]\nnotify = [\"/no/such/program\"]\n");
    let yank = world.yk_cargo(["token", NAME, "--yank", "alpha@0.1.0"]);
    std::thread::scope(|scope| {
        let yank = scope.spawn(|| yank.succeeds());
        assert!(world.card.wait_touch(Duration::from_secs(60)));
        world.card.touch();
        yank.join().unwrap().says(&["the touch notice program /no/such/program cannot be started: "]);
    });
}

/// A cached touch may still count: the notice waits a moment, and a key that answers before never blinked.
#[test]
fn a_cached_touch_is_asked_for_late() {
    let world = touched_by_hand(Duration::from_secs(60), &["--touch-policy", "cached"]);
    let notice_after = |milliseconds| {
        world.write("home/yk-cargo/config.toml", &format!("touch-notice = {milliseconds}\n"));
        world.yk_cargo(["token", NAME, "--yank", "alpha@0.1.0"])
    };
    std::thread::scope(|scope| {
        let yank = scope.spawn(|| notice_after(600_000).succeeds());
        assert!(world.card.wait_touch(Duration::from_secs(60)));
        // In the time of a whole process a hasty notice would have been given.
        world.yk_cargo(["list"]).succeeds();
        world.card.touch();
        let outcome = yank.join().unwrap();
        assert!(!outcome.stderr.contains("touch YubiKey"), "{outcome:#?}");
    });
    // Within 15 seconds the touch counts again; the card is powered off so that it does not.
    world.card.power_off();
    let world = &world;
    world.write("home/yk-cargo/config.toml", "touch-notice = 1\n");
    let mut session = world.at_a_terminal(YANK);
    expect(&mut session, &["PIN of YubiKey"]);
    session.send_line(PIN).unwrap();
    expect(&mut session, &["touch YubiKey 12345678 now (it blinks)"]);
    world.card.touch();
    expect(&mut session, &["DONE"]);
}

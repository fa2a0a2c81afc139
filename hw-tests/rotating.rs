//! `rotate`: two cards sign that the key of one takes the place of the other's, and those who build on the crate take it or not.

use std::fs;

use mock_card::settings::CardSettings;
use yk_cargo::enrollment::Card;

use crate::lock_registry::verdicts;
use crate::terminal::expect;
use crate::trace::Seen;
use crate::verify::OTHER_KEY;
use crate::world::{NAME, PIN, Reads, Run, SERIAL, World};

const NEXT: u32 = 23_456_789;

const ROTATE: [&str; 7] = ["rotate", NAME, "alpha", "--from", "12345678", "--to", "23456789"];

/// A world with two enrolled cards, both plugged in.
fn two_cards() -> World {
    let second = CardSettings { serial: NEXT, pin: Some(PIN.to_owned()), ..CardSettings::default() };
    let world = World::with(Reads::AuthRequired, |card| card.another_card(second));
    let world = world.enroll_with(&["--serial", "12345678"]);
    let backup = ["enroll", NAME, "--yes", "--serial", "23456789", "--label", "next key", "--backup"];
    world.yk_cargo(backup).succeeds();
    world.add_keys("alice");
    world
}

fn key_of(card: &Card) -> String {
    card.key(true).unwrap().public.to_string()
}

/// The first card has published `alpha` 0.1.0, the second one 0.2.0, and somebody who trusts the first one's key builds on both.
fn somebody_builds_on(world: &World) {
    world.publish(&world.package("alpha", "0.1.0", "")).succeeds();
    world.card.unplug();
    world.publish(&world.package("alpha", "0.2.0", "")).succeeds();
    world.card.plug();
    let manifest = format!(
        "[package]\nname = \"user\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[dependencies]\n\
         alpha = {{ version = \"0.1\", registry = \"{NAME}\" }}\n\
         next = {{ package = \"alpha\", version = \"0.2\", registry = \"{NAME}\" }}\n"
    );
    world.write("work/user/Cargo.toml", &manifest);
    world.write("work/user/src/lib.rs", "");
    world.cargo(&world.path("work/user"), ["generate-lockfile"]).succeeds();
    let list = format!(
        "version = 2\n[[key]]\nname = \"alice\"\npublic = \"{}\"\n[[signer]]\nindex = \"{}\"\ncrate = \"alpha\"\nsigners = [\"alice\"]\n",
        key_of(&world.registry().cards[0]),
        world.gateway.index_url()
    );
    fs::write(world.path("home/yk-cargo/signers.toml"), list).unwrap();
}

fn verify(world: &World) -> Run {
    world.yk_cargo(["verify", "--lock", "--json"]).directory(world.path("work/user"))
}

#[test]
fn a_statement_of_two_cards_is_taken_and_no_other() {
    let world = two_cards();
    somebody_builds_on(&world);
    let index = world.gateway.index_url();
    let [from, to] = [0, 1].map(|place| key_of(&world.registry().cards[place]));
    world.card.clear_trace();
    let outcome = world.yk_cargo(ROTATE).succeeds();
    let what = "signing that the key of YubiKey 23456789 (next key) replaces the key of YubiKey 12345678 (laptop key) \
                for the crate alpha at `my-reg`, with YubiKey ";
    for serial in ["12345678", "23456789"] {
        outcome.says(&[&format!("{what}{serial}"), &format!("touch YubiKey {serial} now")]);
    }
    outcome.says(&[&format!("from {from}\nto   {to}\nfor alpha of {index}"), "signers.toml"]);
    Seen::on(&world.card).assert_well_mannered();
    let block = outcome.stdout;
    assert!(block.starts_with("[[rotation]]\n"), "{block}");
    let judged = |block: &str| {
        world.write("work/user/signers.toml", &format!("version = 2\n{block}"));
        let (code, found) = verdicts(&verify(&world).ends());
        assert_eq!((code, found[0].0.as_str(), found[1].0.as_str()), (15, "trusted", "changed signer"));
        found[1].1.contains("both keys have signed")
    };
    assert!(judged(&block));
    for (what, changed) in [
        ("\"alpha\"", "\"alph*\"".to_owned()),
        ("\"alpha\"", "\"Alpha\"".to_owned()),
        (&*from, OTHER_KEY.to_owned()),
        (&*from, to.clone()),
        (index, format!("{index}/")),
    ] {
        assert!(block.contains(what), "{block}");
        assert!(!judged(&block.replace(what, &changed)), "{what} {changed}");
    }
    // That of the other direction is no statement of this one.
    let back = ["rotate", NAME, "alpha", "--to", "12345678", "--from", "23456789"];
    let back = world.yk_cargo(back).succeeds().stdout;
    let statement = |block: &str| block.split("statement = ").nth(1).unwrap().to_owned();
    assert!(!judged(&block.replace(&statement(&block), &statement(&back))));
    // It counts once it is remembered.
    assert!(judged(&block));
    let mut session = world.at_a_terminal("cd user; yk-cargo verify --lock --remember; echo STATUS $?");
    expect(&mut session, &["Trust this key for the log of my-reg? [y/N] "]);
    session.send_line("y").unwrap();
    expect(&mut session, &[&format!("from {from}"), &format!("to   {to}"), "[y/N] "]);
    session.send_line("y").unwrap();
    expect(&mut session, &["STATUS 0"]);
    session.exp_eof().unwrap();
    fs::remove_file(world.path("work/user/signers.toml")).unwrap();
    assert_eq!(verdicts(&verify(&world).ends()).0, 0);
}

/// It says which of them to plug in.
#[test]
fn the_cards_may_be_plugged_in_one_after_the_other() {
    let world = two_cards();
    let next = world.card.on(NEXT);
    for card in [&world.card, &next] {
        card.power_off();
        card.unplug();
    }
    world
        .yk_cargo(ROTATE)
        .fails()
        .says(&["no YubiKey is plugged in; this needs YubiKey 12345678 (laptop key)"]);
    let line = format!("yk-cargo rotate {NAME} 'al*' --from 12345678 --to 23456789 && echo DONE");
    let mut session = world.at_a_terminal(&line);
    expect(&mut session, &["plug in YubiKey 12345678 (laptop key)"]);
    world.card.plug();
    expect(
        &mut session,
        &["for the crate al* at `my-reg`, with YubiKey 12345678", "PIN of YubiKey 12345678"],
    );
    session.send_line(PIN).unwrap();
    expect(&mut session, &["plug in YubiKey 23456789 (next key)"]);
    world.card.unplug();
    next.plug();
    expect(
        &mut session,
        &["for the crate al* at `my-reg`, with YubiKey 23456789", "PIN of YubiKey 23456789"],
    );
    session.send_line(PIN).unwrap();
    expect(&mut session, &["[[rotation]]", "crate = \"al*\"", "DONE"]);
    session.exp_eof().unwrap();
    // Nobody is there to plug in the first one.
    world
        .yk_cargo(ROTATE)
        .fails()
        .says(&["YubiKey 23456789 is plugged in, but this needs YubiKey 12345678 (laptop key)"]);
}

#[test]
fn what_cannot_be_stated_is_refused_before_a_card_is_asked() {
    let world = two_cards();
    world.card.clear_trace();
    let refused = |crates: &str, from: &str, to: &str, says: &str| {
        world.yk_cargo(["rotate", NAME, crates, "--from", from, "--to", to]).fails().says(&[says]);
    };
    let old = SERIAL.to_string();
    refused("alpha", &old, &old, "two cards with a key each");
    refused("alpha", &old, "34567890", "YubiKey 34567890 is not enrolled");
    refused("al*a", &old, "23456789", "invalid value 'al*a' for '<CRATE>'");
    assert!(Seen::on(&world.card).nothing());
}

//! `enroll`: what it makes, what it refuses, and what is left when it is interrupted.

use std::fs;

use mock_card::MockCard;
use yk_cargo::enrollment::{Enrollments, Role};
use yk_cargo::piv::{PinPolicy, TouchPolicy};

use crate::loopback::{self, Reply};
use crate::terminal::expect;
use crate::trace::Seen;
use crate::world::{NAME, PIN, Reads, World};

pub(crate) fn roles_and_slots(world: &World) -> Vec<(Role, String)> {
    world.registry().cards[0].keys.iter().map(|key| (key.role, key.slot.to_string())).collect()
}

#[test]
fn two_keys_and_what_comes_next() {
    let world = World::new();
    let outcome = world.yk_cargo(["enroll", NAME, "--yes", "--label", "it's mine"]).succeeds();
    let registry = world.registry();
    let [read, publish_key] = &registry.cards[0].keys[..] else { panic!("{registry:#?}") };
    assert_eq!((read.role, read.pin, read.touch), (Role::Read, PinPolicy::Never, TouchPolicy::Never));
    assert_eq!(
        (publish_key.role, publish_key.pin, publish_key.touch),
        (Role::Publish, PinPolicy::Once, TouchPolicy::Always)
    );
    for (role, key) in [("read", read), ("publish", publish_key)] {
        let add = format!(
            "registry-gateway key add --user <NAME> --role {role} --label 'it'\\''s mine' {}",
            key.public
        );
        assert!(outcome.stdout.contains(&add), "{outcome:#?}");
    }
    outcome.says(&["making and checking them needs neither PIN nor touch"]);
    outcome.says(&["signed a read token and checked it", "cargo will use yk-cargo once"]);
    let steps: Vec<_> = outcome.stdout.lines().filter(|line| !line.starts_with("   ")).collect();
    let [configure, register, publish, backup] = &steps[..] else { panic!("{outcome:#?}") };
    assert_eq!(*configure, "Next: yk-cargo enroll my-reg --configure", "without it cargo cannot publish");
    assert!(register.starts_with("Then: send these lines to the registry's administrator"), "{outcome:#?}");
    assert_eq!(
        (*publish, *backup),
        ("Then: cargo publish --registry my-reg", "Then: yk-cargo enroll my-reg --backup")
    );
    let seen = Seen::on(&world.card);
    assert_eq!((seen.pins(), seen.touches()), (0, 0), "enrolling costs neither PIN nor touch");
    seen.assert_well_mannered();
    let config = fs::read_to_string(world.path("home/config.toml")).unwrap();
    assert!(!config.contains("credential-provider"), "--yes alone does not write it");
    let configured = world.yk_cargo(["enroll", NAME, "--yes", "--configure"]).succeeds();
    assert!(configured.stdout.starts_with("Next: send these lines"), "{configured:#?}");
}

#[test]
fn again_changes_nothing() {
    let world = World::enrolled();
    let before = world.registry().cards[0].keys.clone();
    let again = world.yk_cargo(["enroll", NAME, "--yes"]).succeeds();
    again.says(&["is already enrolled there"]);
    let next = "Next: cargo publish --registry my-reg\nThen: yk-cargo enroll my-reg --backup --endorse-with 12345678\n";
    assert!(again.stdout.starts_with(next), "what the registry knows is not to be added: {again:#?}");
    assert_eq!(world.registry().cards[0].keys, before);
    let seen = Seen::on(&world.card);
    assert!(!seen.changed_anything(), "{:?}", seen.instructions());
}

/// As ssh calls its keys.
#[test]
fn a_card_is_called_by_whom_and_where_it_is_used() {
    let world = World::new();
    world.yk_cargo(["enroll", NAME, "--yes"]).env("USER", "alice").succeeds();
    let label = world.registry().cards[0].label.clone();
    let computer = rustix::system::uname().nodename().to_string_lossy().into_owned();
    assert_eq!(label, format!("alice@{}", computer.split('.').next().unwrap()));
}

#[test]
fn a_mistyped_name_is_understood() {
    let world = World::new();
    world.yk_cargo(["enroll", "my-rge", "--yes"]).fails().says(&["hint: did you mean `my-reg`?"]);
    world.yk_cargo(["seal", "cratesio", "--yes"]).fails().says(&["hint: did you mean `crates-io`?"]);
    world.yk_cargo(["enroll", "other", "--yes"]).fails().says(&["hint: add `[registries.other]`"]);
    let world = World::enrolled();
    for command in [&["forget", "my-rge", "--yes"][..], &["token", "my-rge", "--read"], &["attest", "my-rge"]]
    {
        world.yk_cargo(command).fails().says(&["hint: did you mean `my-reg`?"]);
    }
    world.yk_cargo(["unseal", "crate-io"]).fails().says(&["hint: did you mean `crates-io`?"]);
    // What is not like anything is not enrolled.
    world
        .yk_cargo(["forget", "other", "--yes"])
        .fails()
        .says(&["other is not enrolled", "hint: `yk-cargo list`"]);
}

/// A key stays where it is: who names other slots is told, also with `--existing`, and may do what the hint says.
#[test]
fn again_with_other_slots() {
    let world = World::enrolled();
    let slots = |slots, more: &[&'static str]| {
        world.yk_cargo([&["enroll", NAME, "--yes", "--slot", slots][..], more].concat())
    };
    slots("82,83", &[]).succeeds().says(&["is already enrolled there"]);
    for (named, more, said) in [
        ("90,91", &[][..], "the read key for this registry is already in slot 82 of"),
        ("82,90", &[], "the publish key for this registry is already in slot 83 of"),
        ("90,91", &["--existing"], "the read key for this registry is already in slot 82 of"),
    ] {
        slots(named, more).fails().says(&[said, "leave out --slot to keep using it"]);
    }
    assert_eq!(roles_and_slots(&world), [(Role::Read, "82".to_owned()), (Role::Publish, "83".to_owned())]);
    let seen = Seen::on(&world.card);
    assert!(!seen.changed_anything(), "{:?}", seen.instructions());
    world.yk_cargo(["forget", NAME, "--yes"]).succeeds();
    slots("90,91", &["--existing"])
        .fails()
        .says(&["the read key for this registry is already in slot 82 of"]);
    slots("90,91", &[]).succeeds();
    assert_eq!(roles_and_slots(&world), [(Role::Read, "90".to_owned()), (Role::Publish, "91".to_owned())]);
}

#[test]
fn one_key_for_registries_that_take_one() {
    let world = World::new().enroll_with(&["--single-key", "--subject", "me@work"]);
    let two = world.yk_cargo(["enroll", NAME, "--yes"]).fails();
    two.says(&["is already enrolled there, with other keys", "yk-cargo forget REGISTRY"]);
    let registry = world.registry();
    let [key] = &registry.cards[0].keys[..] else { panic!("{registry:#?}") };
    assert_eq!((key.role, key.pin, key.touch), (Role::Both, PinPolicy::Once, TouchPolicy::Cached));
    world.publish(&world.package("alpha", "0.1.0", "")).succeeds();
    let token = world.yk_cargo(["token", NAME, "--read"]).succeeds().stdout;
    let token = asymmetric_token::Untrusted::parse(token.trim_end()).unwrap();
    assert_eq!(token.unverified_claims().unwrap().subject.as_deref(), Some("me@work"));
}

#[test]
fn a_second_registry_takes_the_next_slots() {
    let world = World::enrolled();
    let other = "sparse+http://localhost:9/other/";
    world.yk_cargo(["enroll", other, "--yes"]).succeeds();
    let enrollments = Enrollments::load(&world.cargo_home()).unwrap();
    let slots: Vec<_> =
        enrollments.registry(other).unwrap().cards[0].keys.iter().map(|key| key.slot.to_string()).collect();
    assert_eq!(slots, ["84", "85"]);
    assert_eq!(roles_and_slots(&world).len(), 2);
}

#[test]
fn slots_and_policies_by_request() {
    let world = World::new().enroll_with(&[
        "--slot",
        "90,8a",
        "--pin-policy",
        "always",
        "--touch-policy",
        "cached",
        "--read-touch",
        "cached",
    ]);
    assert_eq!(roles_and_slots(&world), [(Role::Read, "90".to_owned()), (Role::Publish, "8a".to_owned())]);
    let keys = &world.registry().cards[0].keys;
    assert_eq!(keys[0].touch, TouchPolicy::Cached);
    assert_eq!((keys[1].pin, keys[1].touch), (PinPolicy::Always, TouchPolicy::Cached));
    world.publish(&world.package("alpha", "0.1.0", "")).succeeds();
    let taken = world.yk_cargo(["enroll", "sparse+http://localhost:9/", "--yes", "--slot", "82,90"]).fails();
    taken.says(&["slot 90 of YubiKey 12345678 is not empty, and yk-cargo never overwrites a key"]);
}

#[test]
fn a_default_pin_is_refused() {
    let world = World::with(Reads::AuthRequired, |card| card.pin("123456"));
    let outcome = world.yk_cargo(["enroll", NAME, "--yes"]).fails();
    outcome.says(&["still has the default PIN", "ykman piv access change-pin", "--allow-default-pin"]);
    assert_eq!(Seen::on(&world.card).pins(), 0, "it is never tried");
    world.yk_cargo(["enroll", NAME, "--yes", "--allow-default-pin"]).succeeds();
}

#[test]
fn a_management_key_of_ones_own() {
    let key = [0xA5; 24];
    let world = World::with(Reads::AuthRequired, |card| card.management_key(&key));
    let enroll = |more: &[&'static str]| world.yk_cargo([&["enroll", NAME, "--yes"][..], more].concat());
    enroll(&[]).fails().says(&["has its own management key", "--management-key-command"]);
    let wrong = world.script("wrong.sh", &format!("#!/bin/sh\necho {}\n", "5A".repeat(24)));
    let command =
        |path: &std::path::Path| ["--management-key-command".to_owned(), path.display().to_string()];
    let with = |path: &std::path::Path| {
        let [option, path] = command(path);
        world.yk_cargo(["enroll", NAME, "--yes", &option, &path])
    };
    with(&wrong).fails().says(&["the card does not accept this management key"]);
    assert!(Enrollments::load(&world.cargo_home()).unwrap().pending.is_empty(), "nothing is begun");
    let right = world.script("right.sh", &format!("#!/bin/sh\necho {}\n", "a5".repeat(24)));
    with(&right).succeeds();
    assert_eq!(roles_and_slots(&world).len(), 2);
}

/// A program that hangs is ended when its time is over, and nothing is begun.
#[test]
fn a_management_key_command_that_sleeps() {
    let world = World::with(Reads::AuthRequired, |card| card.management_key(&[0xA5; 24]));
    world.write("home/yk-cargo/config.toml", "[wait]\npin-command = 1\n");
    let pid = world.path("pid");
    let sleeps = format!("#!/bin/sh\necho $$ > {}\nexec sleep 600\n", pid.display());
    let sleeps = world.script("sleeps.sh", &sleeps).display().to_string();
    let enroll = ["enroll", NAME, "--yes", "--management-key-command", &sleeps];
    let seal = ["seal", NAME, "--yes", "--no-configure", "--management-key-command", &sleeps];
    for command in [&enroll[..], &seal] {
        let outcome = world.yk_cargo(command).input("token\n").fails();
        outcome.says(&[
            "the command for the management key gave no answer within 1 seconds",
            "hint: run it by itself",
        ]);
        assert!(Enrollments::load(&world.cargo_home()).unwrap().pending.is_empty(), "nothing is begun");
        // On a busy machine it may be ended before it says who it is.
        if let Some(pid) = std::fs::read_to_string(&pid).ok().and_then(|pid| pid.trim().parse().ok()) {
            let pid = rustix::process::Pid::from_raw(pid).unwrap();
            assert_eq!(
                rustix::process::test_kill_process(pid),
                Err(rustix::io::Errno::SRCH),
                "it still runs"
            );
        }
    }
    assert!(!Seen::on(&world.card).changed_anything());
}

/// Typed, without echo; 3DES and AES-192.
#[test]
fn a_management_key_from_the_terminal() {
    for firmware in ["5.4.3", "5.7.4"] {
        let world = World::with(Reads::AuthRequired, |card| {
            card.firmware(firmware.parse().unwrap()).management_key(&[0xA5; 24])
        });
        let mut session = world.at_a_terminal("yk-cargo enroll my-reg --no-configure; echo STATUS $?");
        expect(&mut session, &["Make these keys? [y/N] "]);
        session.send_line("y").unwrap();
        expect(&mut session, &["Management key of YubiKey 12345678 (hexadecimal): "]);
        session.send_line(&"A5".repeat(24)).unwrap();
        let shown = session.exp_string("made the publish key").unwrap();
        assert!(!shown.contains("A5A5"), "it is echoed: {shown}");
        expect(&mut session, &["STATUS 0"]);
    }
}

/// As `ykman piv access change-management-key --protect` leaves it: in the object that the PIN opens, and noted in the
/// administrative data.
#[test]
fn a_management_key_behind_the_pin() {
    let key = "A5".repeat(24);
    let world = World::with(Reads::AuthRequired, |card| {
        card.firmware(mock_card::Firmware::new(5, 4, 3)).management_key(&[0xA5; 24])
    });
    for (object, data) in [("0x5fc109", format!("881A8918{key}")), ("0x5fff00", "8003810102".to_owned())] {
        let mut tool = std::process::Command::new("yubico-piv-tool");
        world.environment(&mut tool);
        let file = world.write("object", &data);
        tool.args([
            &format!("--key={key}"),
            "-a",
            "write-object",
            "--id",
            object,
            "-i",
            file.to_str().unwrap(),
        ]);
        let done = tool.output().unwrap();
        assert!(done.status.success(), "{done:?}");
    }
    let enroll = || world.yk_cargo(["enroll", NAME, "--yes"]);
    enroll().without("YK_CARGO_PIN_COMMAND").fails().says(&["needs its PIN"]);
    assert!(Enrollments::load(&world.cargo_home()).unwrap().pending.is_empty(), "nothing is begun");
    world.card.clear_trace();
    enroll()
        .succeeds()
        .says(&["making and checking them needs the PIN but no touch", "made the publish key"]);
    assert_eq!(Seen::on(&world.card).pins(), 1);
    world.card.power_off();
    world.card.clear_trace();
    let unchanged =
        world.yk_cargo(["enroll", OTHER, "--yes", "--management-key-command", &format!("echo {key}")]);
    unchanged.succeeds().says(&["making and checking them needs neither PIN nor touch"]);
    assert_eq!(Seen::on(&world.card).pins(), 0, "the command was to be asked");
}

#[test]
fn registries_that_cannot_be_enrolled() {
    let world = World::new();
    let refused = |registry: &str, texts: &[&str]| {
        world.yk_cargo(["enroll", registry, "--yes"]).fails().says(texts);
    };
    refused("crates-io", &["crates.io takes only bearer tokens"]);
    refused("nowhere", &["no registry `nowhere`", "[registries.nowhere]"]);
    refused("sparse+http://registry.example/", &["is not protected by TLS", "--insecure-http"]);
    refused("sparse+https://registry.example", &["ends in a slash"]);
    assert!(Seen::on(&world.card).nothing());
}

/// A new computer: the certificates in the slots tell what the keys are for.
#[test]
fn a_new_computer_finds_its_keys() {
    let world = World::enrolled();
    let before = world.registry();
    fs::remove_dir_all(world.path("home/yk-cargo")).unwrap();
    let outcome = world.yk_cargo(["enroll", NAME, "--existing", "--yes"]).succeeds();
    outcome.says(&["labelled `laptop key`"]);
    let after = world.registry();
    assert_eq!(after.cards[0].keys, before.cards[0].keys);
    assert_eq!(after.cards[0].label, "laptop key");
    let seen = Seen::on(&world.card);
    assert!(!seen.changed_anything(), "{:?}", seen.instructions());
    let other = world.yk_cargo(["enroll", "sparse+http://localhost:9/", "--existing", "--yes"]).fails();
    other.says(&["has no key that could be adopted"]);
}

/// Somebody on a new computer who does not know of `--existing` is told before two more slots are taken.
#[test]
fn keys_that_are_there_are_mentioned() {
    let world = World::enrolled();
    let mention = "already has keys for this registry in slots 82 and 83; to use them: yk-cargo enroll my-reg --existing";
    fs::remove_dir_all(world.path("home/yk-cargo")).unwrap();
    let mut session = world.at_a_terminal("yk-cargo enroll my-reg; echo STATUS $?");
    expect(&mut session, &["slot 84", mention, "Make these keys? [y/N] "]);
    session.send_line("n").unwrap();
    expect(&mut session, &["STATUS 1"]);
    world.yk_cargo(["enroll", NAME, "--existing", "--yes"]).succeeds();
    let other = world.yk_cargo(["enroll", "sparse+http://localhost:9/", "--yes"]).succeeds();
    assert!(!other.stderr.contains("already has keys"), "{other:#?}");
}

/// Keys for a mistyped URL would take up slots.
#[test]
fn a_mistyped_url_gets_no_keys() {
    let world = World::new();
    let index = world.gateway.index_url();
    let mistyped = index.replace("/index/", "/idx/");
    let cause = format!("caused by: {}config.json answers with status 404", &mistyped["sparse+".len()..]);
    let mut session = world.at_a_terminal(&format!("yk-cargo enroll {mistyped}; echo STATUS $?"));
    expect(&mut session, &["there is no index at this URL, so no keys were made for it", &cause, "STATUS 1"]);
    world.yk_cargo(["enroll", &mistyped, "--yes"]).fails().says(&[&cause]);
    let (listener, page) = loopback::bind(false);
    loopback::serve(listener, None, |_| Reply::new("200 OK", "<html>"));
    let page = format!("sparse+{page}/index/");
    world.yk_cargo(["enroll", &page, "--yes"]).fails().says(&["config.json is not an index configuration"]);
    assert!(!world.yk_cargo(["list"]).succeeds().stdout.contains("slot"));
    for index in [index, "sparse+http://127.0.0.1:9/down/"] {
        let mut session = world.at_a_terminal(&format!("yk-cargo enroll {index}; echo STATUS $?"));
        let shown = session.exp_string("Make these keys? [y/N] ").unwrap();
        session.send_line("n").unwrap();
        expect(&mut session, &["STATUS 1"]);
        assert!(!shown.contains("index at this URL"), "{shown}");
    }
}

/// Who finds the card sets a new PIN with it.
#[test]
fn a_default_puk_is_mentioned() {
    let warning = "warning: YubiKey 12345678 still has the default PUK";
    let world = World::new();
    world.yk_cargo(["enroll", NAME, "--yes"]).succeeds().says(&[warning, "`ykman piv access change-puk`"]);
    let world = World::with(Reads::AuthRequired, |card| card.puk("87654321"));
    let own = world.yk_cargo(["enroll", NAME, "--yes"]).succeeds();
    assert!(!own.stderr.contains("PUK"), "{own:#?}");
    let world = World::with(Reads::AuthRequired, |card| card.firmware("5.7.2-bio".parse().unwrap()));
    let none = world.yk_cargo(["enroll", NAME, "--yes"]).succeeds();
    assert!(!none.stderr.contains("PUK"), "{none:#?}");
}

/// A label stands in the certificates beside the keys, so a rerun does not change it, and says so.
#[test]
fn a_card_keeps_its_label() {
    let world = World::new();
    world.yk_cargo(["enroll", NAME, "--yes", "--label", "first"]).succeeds();
    world
        .yk_cargo(["enroll", NAME, "--yes", "--label", "second"])
        .succeeds()
        .says(&["warning: --label is ignored: YubiKey 12345678 was enrolled as `first`"]);
    assert_eq!(world.registry().cards[0].label, "first");
    for more in [&["--label", "first"][..], &[]] {
        let again = world.yk_cargo([&["enroll", NAME, "--yes"][..], more].concat()).succeeds();
        assert!(!again.stderr.contains("--label"), "{again:#?}");
    }
}

/// What the card made is what is shown, not what it was asked for.
#[test]
fn policies_are_shown_as_read_back() {
    let world = World::new();
    let outcome = world.yk_cargo(["enroll", NAME, "--yes", "--touch-policy", "cached"]).succeeds();
    outcome.says(&[
        "made the read key in slot 82, as read back: PIN never, touch never",
        "made the publish key in slot 83, as read back: PIN once, touch cached",
    ]);
    assert!(!outcome.stderr.contains("without a PIN"), "{outcome:#?}");
    let fips = mock_card::Firmware::new(5, 7, 4).fips();
    let world = World::with(Reads::AuthRequired, |card| card.firmware(fips).pin("87654321"));
    world.script("pin.sh", "#!/bin/sh\necho 87654321\n");
    world.yk_cargo(["enroll", NAME, "--yes"]).succeeds().says(&[
        "made the read key in slot 82, as read back: PIN once, touch never",
        "note: this card cannot make a key without a PIN: the read key asks for it once",
    ]);
}

/// How often somebody will have to be at hand is said before anything is made.
#[test]
fn what_enrolling_takes_is_said_first() {
    let world = World::new();
    let takes = |index: &str, more: &[&'static str], asked: &str| {
        let outcome = world.yk_cargo([&["enroll", index, "--yes"][..], more].concat()).succeeds();
        let said = outcome.stderr.find(&format!("making and checking them needs {asked}\n"));
        assert!(said < outcome.stderr.find("made the ") && said.is_some(), "{outcome:#?}");
        Seen::on(&world.card).touches()
    };
    assert_eq!(takes(OTHER, &["--read-touch", "always"], "one touch"), 1);
    assert_eq!(takes(NAME, &["--single-key", "--touch-policy", "always"], "the PIN and one touch"), 2);
    assert_eq!(
        takes(
            "sparse+http://localhost:9/third/",
            &["--single-key", "--touch-policy", "never"],
            "the PIN but no touch"
        ),
        2
    );
}

/// Another program made a new key where ours was, and left our certificate beside it: the certificate speaks of a key
/// that is gone.
#[test]
fn a_certificate_over_another_key_is_not_believed() {
    let world = World::with(Reads::AuthRequired, |card| card.firmware(mock_card::Firmware::new(5, 4, 3)));
    let world = world.enroll_with(&["--single-key"]);
    let mut generate = std::process::Command::new("yubico-piv-tool");
    world.environment(&mut generate);
    let generated = generate.args(["-a", "generate", "-s", "82", "-A", "ECCP384"]).output().unwrap();
    assert!(generated.status.success(), "{generated:?}");
    fs::remove_dir_all(world.path("home/yk-cargo")).unwrap();
    let existing = world.yk_cargo(["enroll", NAME, "--existing", "--single-key", "--yes"]).fails();
    existing.says(&["has no key that could be adopted"]);
}

#[test]
fn a_backup_of_nothing() {
    let world = World::new();
    let outcome = world.yk_cargo(["enroll", NAME, "--yes", "--backup"]).fails();
    outcome.says(&["`my-reg` is not enrolled yet", "hint: yk-cargo enroll my-reg\n"]);
    assert!(!Seen::on(&world.card).changed_anything());
}

/// A backup card signs when the first one is not there.
#[test]
fn a_backup_card() {
    let world = World::enrolled();
    let backup = MockCard::builder().serial(23_456_789).pin(PIN).start().unwrap();
    let on_backup =
        |arguments: &[&'static str]| world.yk_cargo(arguments).env("PCSCLITE_CSOCK_NAME", backup.socket());
    world
        .yk_cargo(["enroll", NAME, "--yes", "--backup"])
        .fails()
        .says(&["YubiKey 12345678 is already enrolled, and no other YubiKey is plugged in to be its backup"]);
    on_backup(&["enroll", NAME, "--yes"])
        .fails()
        .says(&["this registry is enrolled with YubiKey 12345678", "--backup"]);
    on_backup(&["enroll", NAME, "--yes", "--backup", "--label", "safe"]).succeeds();
    on_backup(&["enroll", NAME, "--yes", "--backup"]).succeeds().says(&["is already enrolled there"]);
    let registry = world.registry();
    assert_eq!(registry.cards.iter().map(|card| card.serial.0).collect::<Vec<_>>(), [12_345_678, 23_456_789]);
    on_backup(&["token", NAME, "--yank", "alpha@0.1.0"]).succeeds();
    world.yk_cargo(["token", NAME, "--yank", "alpha@0.1.0"]).succeeds();
}

const OTHER: &str = "sparse+http://localhost:9/other/";

fn other_slots(world: &World) -> Vec<String> {
    let enrollments = Enrollments::load(&world.cargo_home()).unwrap();
    let keys = enrollments.registry(OTHER).unwrap().cards[0].keys.clone();
    keys.iter().map(|key| key.slot.to_string()).collect()
}

/// Two enrollments at once want the same empty slots. Whoever comes second stops, and finds others when it runs again.
#[test]
fn two_enrollments_at_once_share_no_slot() {
    let world = World::new();
    std::thread::scope(|scope| {
        let one = scope.spawn(|| world.yk_cargo(["enroll", NAME, "--yes"]).ends());
        let two = scope.spawn(|| world.yk_cargo(["enroll", OTHER, "--yes"]).ends());
        for outcome in [one.join().unwrap(), two.join().unwrap()] {
            if !outcome.status.success() {
                outcome.says(&[
                    "is not empty, and yk-cargo never overwrites a key",
                    "hint: run the command again",
                ]);
            }
        }
    });
    for registry in [NAME, OTHER] {
        world.yk_cargo(["enroll", registry, "--yes"]).succeeds();
        world.yk_cargo(["token", registry, "--yank", "alpha@0.1.0"]).succeeds();
    }
    let slots: std::collections::BTreeSet<_> =
        roles_and_slots(&world).into_iter().map(|(_, slot)| slot).chain(other_slots(&world)).collect();
    assert_eq!(slots.len(), 4, "{slots:?}");
}

/// A note in the file gives leave to finish what was begun, not to write over somebody's key.
#[test]
fn a_rerun_does_not_take_a_strangers_key() {
    let imported = |seed: u8| {
        let key = p384::SecretKey::from_slice(&[seed; 48]).unwrap();
        mock_card::ImportedKey::from_pkcs8(
            p384::pkcs8::EncodePrivateKey::to_pkcs8_der(&key).unwrap().as_bytes(),
        )
        .unwrap()
    };
    let world = World::with(Reads::AuthRequired, |card| {
        card.import(0x82, imported(7), mock_card::PinPolicy::Never, mock_card::TouchPolicy::Never)
    });
    let note = format!(
        "version = 1\n[[pending]]\nserial = 12345678\nslot = \"82\"\nrole = \"publish\"\nindex = \"{}\"\n",
        world.gateway.index_url()
    );
    world.write("home/yk-cargo/enrollments.toml", &note);
    let outcome = world.yk_cargo(["enroll", NAME, "--yes"]).fails();
    outcome.says(&["slot 82 of YubiKey 12345678 is not empty, and yk-cargo never overwrites a key"]);
    world.yk_cargo(["enroll", NAME, "--yes"]).succeeds();
    assert_eq!(roles_and_slots(&world), [(Role::Read, "83".to_owned()), (Role::Publish, "84".to_owned())]);
}

/// What was begun with weaker policies is not finished under stricter ones. Firmware before 5.3 has no metadata: there
/// the key's attestation tells.
#[test]
fn a_weaker_key_is_not_enrolled_as_a_strict_one() {
    for firmware in ["5.7.4", "5.4.3", "5.2.7", "4.3.7"] {
        weaker_on(
            World::with(Reads::AuthRequired, |card| card.firmware(firmware.parse().unwrap())),
            firmware,
        );
    }
}

fn weaker_on(world: World, firmware: &str) {
    let strict = ["enroll", NAME, "--yes", "--single-key", "--slot", "82", "--serial", "12345678"];
    let weak = [&strict[..], &["--pin-policy", "never", "--touch-policy", "never"]].concat();
    world.yk_cargo(&weak).succeeds();
    // As if that run had been killed before it wrote its enrollment.
    let note = format!(
        "version = 1\n[[pending]]\nserial = 12345678\nslot = \"82\"\nrole = \"both\"\nindex = \"{}\"\n",
        world.gateway.index_url()
    );
    world.write("home/yk-cargo/enrollments.toml", &note);
    world.yk_cargo(strict).fails().says(&[
        "has PIN never, touch never, less than was asked for; it was not enrolled",
        "ykman piv keys delete 82",
        "ykman piv certificates delete 82",
    ]);
    world.yk_cargo(&weak).succeeds();
    assert_eq!(roles_and_slots(&world), [(Role::Both, "82".to_owned())], "{firmware}");
    if firmware == "5.7.4" {
        return;
    }
    // What the hint says for firmware that cannot delete keys.
    world.write("home/yk-cargo/enrollments.toml", &note);
    let generate = ["generate", "-A", "ECCP384", "--pin-policy=once", "--touch-policy=always"];
    for action in [&["delete-certificate"][..], &generate] {
        let mut tool = std::process::Command::new("yubico-piv-tool");
        world.environment(&mut tool);
        let done = tool.args(["-s", "82", "-a"]).args(action).output().unwrap();
        assert!(done.status.success(), "{firmware}: {done:?}");
    }
    world.yk_cargo(strict).succeeds();
    let key = world.registry().cards[0].keys[0];
    assert_eq!((key.pin, key.touch), (PinPolicy::Once, TouchPolicy::Always), "{firmware}");
}

/// Arguments are looked at before the card is.
#[test]
fn arguments_that_cannot_be_used() {
    let world = World::new();
    for arguments in [
        ["--label", ""],
        ["--label", "two\nlines"],
        ["--label", &"x".repeat(65)],
        ["--subject", "John Doe"],
        ["--subject", ""],
        ["--slot", "9a,9c"],
        ["--slot", "82"],
        ["--slot", "82,82"],
    ] {
        let outcome = world.yk_cargo([&["enroll", NAME, "--yes"], &arguments[..]].concat()).fails();
        assert_eq!(outcome.status.code(), Some(2), "{outcome:#?}");
    }
    let foreign = world.yk_cargo(["enroll", NAME, "--yes", "--slot", "9a,9c"]).fails();
    foreign.says(&["yk-cargo uses only the retired slots, 82 to 95"]);
    assert!(Seen::on(&world.card).nothing());
    let absent = world.yk_cargo(["enroll", NAME, "--yes", "--serial", "99"]).fails();
    absent.says(&["YubiKey 12345678 is plugged in, not YubiKey 99", "hint: plug in the one you mean"]);
    let world = World::new().enroll_with(&["--subject", "me"]);
    let other = world.yk_cargo(["enroll", NAME, "--yes", "--subject", "you"]).fails();
    other.says(&["this registry is enrolled with the key subject `me`"]);
}

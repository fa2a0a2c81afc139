//! `doctor`: each check is seen to fail once, and the command that it gives is run where it can be.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::{Arc, Barrier, mpsc};
use std::time::Duration;

use mock_card::MockCard;
use serde_json::Value;

use crate::asked::Asked;
use crate::asking_registry::Challenges;
use crate::loopback::{self, Reply};
use crate::trace::Seen;
use crate::world::{NAME, PIN, Reads, Run, SERIAL, World};

/// No request takes longer than this to arrive.
const LIMIT: Duration = Duration::from_secs(60);

impl World {
    /// Nothing to be fixed, on a card whose owner has changed what came from the factory.
    fn well() -> Self {
        Self::with(Reads::AuthRequired, |card| card.puk("87654321").management_key(&[0xA5; 24])).enroll_with(
            &["--management-key-command", "echo a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5"],
        )
    }

    /// What `doctor` finds wrong with cargo, `status` says of the registry.
    #[track_caller]
    fn cannot_publish(&self, why: &str, variables: &[(&str, &str)]) {
        let run = |arguments: &[&str]| {
            let run = self.yk_cargo(arguments);
            variables.iter().fold(run, |run, (name, value)| run.env(name, value)).succeeds().stdout
        };
        let line = format!("  \u{2717} cannot publish: {why}");
        let shown = run(&["status"]);
        assert!(shown.lines().any(|found| found == line), "no {line:?} in {shown}");
        let json: Value = serde_json::from_str(&run(&["status", "--json"])).unwrap();
        assert_eq!(json["registries"][0]["next-publish"]["reason"], "not-asked");
    }

    fn doctor(&self) -> Diagnosis {
        Diagnosis::of(self.yk_cargo(["doctor", "--json"]))
    }

    pub(crate) fn shell(&self, line: &str) {
        let mut command = Command::new("sh");
        self.environment(&mut command);
        let output = command.args(["-c", line]).current_dir(self.path("work")).output().unwrap();
        assert!(output.status.success(), "{line}: {output:#?}");
    }
}

#[derive(Debug)]
struct Diagnosis(Value);

impl Diagnosis {
    fn of(run: Run) -> Self {
        let outcome = run.ends();
        let answer: Value = serde_json::from_str(&outcome.stdout).unwrap();
        assert_eq!(answer["version"], 1);
        assert_eq!(answer["ok"].as_bool().unwrap(), outcome.status.success(), "{outcome:#?}");
        if !outcome.status.success() {
            outcome.says(&["error: ", " failed"]);
        }
        Self(answer)
    }

    fn with(&self, result: &str) -> Vec<(&str, &str, &str)> {
        let checks = self.0["checks"].as_array().unwrap().iter();
        checks
            .filter(|check| check["result"] == result)
            .map(|check| {
                let field = |key: &str| check[key].as_str().unwrap_or_default();
                (field("check"), field("text"), field("next"))
            })
            .collect()
    }

    /// The one failure: its check, and what to do next.
    #[track_caller]
    fn failure(&self) -> (&str, &str, &str) {
        let failures = self.with("failed");
        assert_eq!(failures.len(), 1, "{self:#?}");
        failures[0]
    }
}

#[test]
fn nothing_to_be_mended() {
    let world = World::well();
    let text = world.yk_cargo(["doctor"]).succeeds().stdout;
    for line in [
        "ok       enrollments: 1 registry",
        "ok       smart card service: it answers",
        "ok       firmware: YubiKey 12345678 has firmware 5.7.4",
        "ok       management key: YubiKey 12345678 has its own management key (AES-192)",
        "ok       keys: YubiKey 12345678 has its keys for `my-reg`",
        "ok       credential provider: cargo uses yk-cargo for `my-reg`",
        "ok       token in clear: none in cargo's home folder",
        "ok       clock: it agrees with the clock of `my-reg`",
        "ok       registry: `my-reg` accepts the keys of YubiKey 12345678",
        "warning  backup: `my-reg` has one card; if it is lost, you cannot publish",
        "         next: yk-cargo enroll my-reg --backup",
    ] {
        assert!(text.lines().any(|found| found == line), "no {line:?} in {text}");
    }
    let seen = Seen::on(&world.card);
    assert_eq!((seen.pins(), seen.touches(), seen.all_signatures()), (0, 0, 1));
    seen.assert_well_mannered();
    assert_eq!(world.doctor().with("failed"), []);
}

/// Every other command stops at it; this one goes on.
#[test]
fn a_mistake_in_the_settings() {
    let world = World::well();
    world.write("home/yk-cargo/config.toml", "# mine\npinentri = \"x\"\n");
    let diagnosis = world.doctor();
    let (check, text, next) = diagnosis.failure();
    assert_eq!((check, next), ("settings", "fix the file, or remove it to use the defaults"));
    assert!(text.contains("yk-cargo/config.toml, line 2: unknown field `pinentri`"), "{text}");
    assert!(diagnosis.with("ok").len() > 5, "{diagnosis:#?}");
    world.yk_cargo(["list"]).fails().says(&["line 2: unknown field `pinentri`"]);
    world.write("home/yk-cargo/config.toml", "[touch]\nnotify = [\"no-such-program\"]\n");
    let (text, next) =
        ("there is no program no-such-program, which `notify` names", "install it, or correct `notify`");
    let diagnosis = world.doctor();
    let warnings = diagnosis.with("warning");
    assert!(warnings.iter().any(|found| found.1 == text && found.2.starts_with(next)), "{diagnosis:#?}");
}

/// A project's rust-toolchain.toml may name a toolchain that is not there: rustup's cargo says so, and installs nothing.
#[test]
fn a_cargo_that_refuses() {
    let world = World::new();
    world.script(
        "cargo.sh",
        "#!/bin/sh\necho \"error: not installed, auto=$RUSTUP_AUTO_INSTALL\" >&2\nexit 1\n",
    );
    let program = world.path("cargo.sh");
    let doctor = |cargo: &str| world.yk_cargo(["doctor"]).env("CARGO", cargo).ends().stdout;
    let refused = doctor(program.to_str().unwrap());
    let text = "warning  cargo: cargo does not report its version: error: not installed, auto=0\n";
    assert!(refused.contains(text), "{refused}");
    assert!(doctor("/no/such/cargo").contains("warning  cargo: there is no cargo on PATH\n"));
}

#[test]
fn what_came_from_the_factory() {
    let world = World::with(Reads::AuthRequired, |card| card.pin("123456"));
    let diagnosis = world.doctor();
    let next: Vec<_> = diagnosis.with("failed").iter().map(|(check, _, next)| (*check, *next)).collect();
    assert_eq!(
        next,
        [
            ("PIN", "ykman --device 12345678 piv access change-pin"),
            ("PUK", "ykman --device 12345678 piv access change-puk"),
        ]
    );
    let warnings = diagnosis.with("warning");
    assert!(warnings.iter().any(|(check, _, next)| {
        (*check, *next)
            == (
                "management key",
                "ykman --device 12345678 piv access change-management-key --generate --protect",
            )
    }));
    assert_eq!(Seen::on(&world.card).pins(), 0, "no default is tried");
}

#[test]
fn a_blocked_pin() {
    let world = World::well();
    world.card.power_off();
    world.card.set_pin_tries(0);
    let next = "ykman --device 12345678 piv access unblock-pin";
    assert_eq!(world.doctor().failure(), ("PIN", "the PIN of YubiKey 12345678 is blocked", next));
    world.card.set_pin_tries(1);
    assert!(world.doctor().with("warning").iter().any(|warning| warning.2 == next));
}

/// The firmware that the mock plays decides what can be told; none of them is harmed by asking.
#[test]
fn older_firmware() {
    for (firmware, text) in [
        ("5.4.3", "a laboratory"),
        ("5.3.1", "often forgets its PIN"),
        ("5.2.7", "does not report whether PIN, PUK and management key"),
    ] {
        let world =
            World::with(Reads::AuthRequired, |card| card.puk("87654321").firmware(firmware.parse().unwrap()));
        let diagnosis = world.doctor();
        assert_eq!(diagnosis.with("failed"), [], "{firmware}");
        let notes = diagnosis.with("note");
        assert!(notes.iter().any(|note| note.1.contains(text)), "{firmware}: {diagnosis:#?}");
    }
}

#[test]
fn a_card_that_lost_its_keys() {
    let world = World::well();
    let reset = MockCard::builder().serial(SERIAL).pin(PIN).puk("87654321").start().unwrap();
    let doctor = world.yk_cargo(["doctor", "--json"]).env("PCSCLITE_CSOCK_NAME", reset.socket());
    let diagnosis = Diagnosis::of(doctor);
    let (check, text, next) = diagnosis.failure();
    assert_eq!(check, "keys");
    assert!(text.contains("no longer has the read key in slot 82 and the publish key in slot 83"), "{text}");
    assert_eq!(next, "yk-cargo enroll my-reg --serial 12345678");
}

#[test]
fn cards_and_services_out_of_reach() {
    let world = World::well();
    world.wait("connect = 1");
    world.card.hold_exclusive();
    assert!(world.doctor().failure().1.contains("another program is using the YubiKey"));
    world.card.release();
    world.card.hold_transaction();
    assert!(world.doctor().failure().1.contains("another program to let go"));
    world.card.release();
    world.card.unplug();
    let diagnosis = world.doctor();
    let text = "to sign for `my-reg`, plug in YubiKey 12345678 (laptop key)";
    assert!(diagnosis.with("note").iter().any(|note| note.1 == text), "{diagnosis:#?}");
    world.card.plug();
    world.card.inject(mock_card::Fault::Refuse);
    let diagnosis = world.doctor();
    let (check, text, next) = diagnosis.failure();
    assert_eq!(check, "smart card service");
    assert!(text.starts_with("the smart card service refuses access to you"), "{text}");
    assert!(next.contains("/etc/polkit-1/rules.d/"), "{next}");
    let nobody = world.yk_cargo(["doctor", "--json"]).env("PCSCLITE_CSOCK_NAME", world.path("no-socket"));
    let nobody = Diagnosis::of(nobody);
    assert_eq!(nobody.failure().0, "smart card service");
    assert!(nobody.failure().1.contains("is not running") && !nobody.failure().2.is_empty());
}

/// The usual suspect is named if it runs.
#[test]
fn a_program_that_holds_the_card() {
    let world = World::well();
    world.wait("connect = 1");
    // It ends with its input.
    let program = world.script("scdaemon", "#!/bin/sh\nread line\n");
    let mut scdaemon = Command::new(&program).stdin(Stdio::piped()).spawn().unwrap();
    world.card.hold_exclusive();
    let diagnosis = world.doctor();
    drop(scdaemon.stdin.take());
    scdaemon.wait().unwrap();
    let (check, text, next) = diagnosis.failure();
    assert_eq!((check, next), ("card", "gpgconf --kill scdaemon"));
    assert!(text.ends_with("another program is using the YubiKey; scdaemon is running"), "{text}");
}

/// Each way in which cargo does not come to ask us.
#[test]
fn a_provider_that_cargo_does_not_ask() {
    let world = World::well();
    let config = std::fs::read_to_string(world.path("home/config.toml")).unwrap();
    let index = world.gateway.index_url();
    let other = |line: &str| {
        world.write("home/config.toml", &format!("[registries.{NAME}]\nindex = \"{index}\"\n{line}\n"));
        let diagnosis = world.doctor();
        let (check, text, next) = diagnosis.failure();
        assert_eq!((check, next), ("credential provider", "yk-cargo enroll my-reg --configure"));
        world.cannot_publish(&format!("{text}; next: {next}"), &[]);
        text.to_owned()
    };
    assert!(other("").contains("cargo does not use yk-cargo"));
    assert!(other("credential-provider = 'cargo:token'").contains("cargo asks `cargo:token`"));
    assert!(other("credential-provider = ['/nowhere/yk-cargo']").contains("which does not exist"));
    assert!(other("credential-provider = 'yk-cargo --now'").contains("which takes none"));
    world.shell("yk-cargo enroll my-reg --configure");
    assert_eq!(world.doctor().with("failed"), []);

    world.write("home/config.toml", &config.replace(NAME, "your-reg"));
    assert_eq!(world.doctor().with("failed"), [], "a name is for display");
    world.write("home/config.toml", &config.replace(index, "sparse+https://moved.example/"));
    assert_eq!(world.doctor().failure().2, "yk-cargo enroll my-reg --same-keys-as my-reg");
    world.write("home/config.toml", &format!("{config}\n[registries.twin]\nindex = \"{index}\"\n"));
    assert!(world.doctor().failure().1.contains("`my-reg` and `twin` have the same index URL"));
    world.write("home/config.toml", &config);

    let with = |name: &str, value: &str| Diagnosis::of(world.yk_cargo(["doctor", "--json"]).env(name, value));
    let provider = "CARGO_REGISTRIES_MY_REG_CREDENTIAL_PROVIDER";
    let shadowed = with(provider, "cargo:token");
    let (_, text, next) = shadowed.failure();
    assert_eq!(next, format!("unset {provider}"));
    world.cannot_publish(&format!("{text}; next: {next}"), &[(provider, "cargo:token")]);
    assert_eq!(with(provider, "yk-cargo").with("failed"), []);
}

/// Cargo takes `my-reg` for `my_reg` then: shown with cargo itself first.
#[test]
fn the_index_of_a_name_with_a_hyphen_in_the_environment() {
    let world = World::well();
    let variable = "CARGO_REGISTRIES_MY_REG_INDEX";
    let index = world.gateway.index_url();
    let yank = world.cargo(&world.path("work"), ["yank", "alpha@0.1.0", "--registry", NAME]);
    yank.env(variable, index).fails();
    assert!(Seen::on(&world.card).nothing(), "we were not asked");
    let diagnosis = Diagnosis::of(world.yk_cargo(["doctor", "--json"]).env(variable, index));
    let (check, text, next) = diagnosis.failure();
    assert_eq!((check, next), ("credential provider", "unset CARGO_REGISTRIES_MY_REG_INDEX"));
    assert!(text.contains("takes `my-reg` for another registry"), "{text}");
    world.cannot_publish(&format!("{text}; next: {next}"), &[(variable, index)]);
    let evil =
        Diagnosis::of(world.yk_cargo(["doctor", "--json"]).env(variable, "sparse+https://evil.example/"));
    assert!(evil.failure().1.contains("https://evil.example/, which is not enrolled"));
}

/// The command removes the token, and only the token.
#[test]
fn a_token_that_was_left() {
    let world = World::well();
    let left = "[registries.my-reg]\ntoken = \"sesame\"\n[registries.other]\ntoken = \"x\"\n[registry]\ntoken = \"y\"\n\
                [registries.gone]\ntoken = \"z\"\n[registries.empty]\ntoken = \"\"\n";
    world.write("home/credentials.toml", left);
    let config = std::fs::read_to_string(world.path("home/config.toml")).unwrap();
    let other = "[registries.other]\nindex = \"sparse+https://other.example/\"\n";
    world.write("home/config.toml", &format!("{config}\n{other}"));
    let diagnosis = Diagnosis::of(
        world
            .yk_cargo(["doctor", "--json"])
            .env("CARGO_REGISTRIES_MY_REG_TOKEN", "sesame in the environment"),
    );
    let unset = "unset CARGO_REGISTRIES_MY_REG_TOKEN";
    assert!(diagnosis.with("warning").iter().any(|warning| warning.2 == unset), "{diagnosis:#?}");
    let (check, text, next) = diagnosis.failure();
    assert_eq!(check, "token in clear");
    assert!(text.contains("credentials.toml still has a token for `my-reg`"), "{text}");
    assert!(!diagnosis.0.to_string().contains("sesame"));
    let notes: Vec<_> = diagnosis.with("note").iter().map(|note| note.1.to_owned()).collect();
    for name in ["`other`", "crates.io"] {
        let end = format!("has a token for {name}; `yk-cargo migrate` seals it");
        assert!(notes.iter().any(|note| note.ends_with(&end)), "{notes:?}");
    }
    let gone =
        "a token for `gone`, which your configuration does not name: revoke it at the registry, and delete";
    assert!(notes.iter().any(|note| note.contains(gone)), "`migrate` would refuse it: {notes:?}");
    assert!(!notes.iter().any(|note| note.contains("`empty`")), "{notes:?}");
    world.shell(next);
    assert_eq!(world.doctor().with("failed"), []);
    let credentials = std::fs::read_to_string(world.path("home/credentials.toml")).unwrap();
    assert!(!credentials.contains("sesame") && credentials.contains("\"x\""), "{credentials}");
    assert_eq!(world.registry().cards.len(), 1, "the enrollment stays");
}

#[test]
fn a_provider_in_both_files() {
    let world = World::well();
    world.write("home/credentials.toml", "[registries.my-reg]\ncredential-provider = [\"yk-cargo\"]\n");
    assert!(world.doctor().failure().1.contains("both config.toml and credentials.toml"));
}

#[test]
fn enrollments_that_are_unfinished_or_unsafe() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::well();
    let file = world.enrollments_file();
    let text = std::fs::read_to_string(&file).unwrap();
    let pending = format!(
        "{text}\n[[pending]]\nserial = 12345678\nslot = \"90\"\nrole = \"read\"\nindex = \"sparse+https://r.example/\"\n"
    );
    std::fs::write(&file, pending).unwrap();
    assert_eq!(world.doctor().failure().2, "yk-cargo enroll sparse+https://r.example/");
    std::fs::write(&file, text).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).unwrap();
    let diagnosis = world.doctor();
    let (check, text, next) = diagnosis.failure();
    assert_eq!(check, "enrollments");
    assert!(text.contains("may be written by others"), "{text}");
    world.shell(next.split_once("then: ").unwrap().1);
    assert_eq!(world.doctor().with("failed"), []);
}

/// Keys that nobody registered, that the given command registers, and that are revoked; where reads take a token and where not.
#[test]
fn keys_that_the_registry_does_not_take() {
    const KEY: [&str; 2] =
        ["--management-key-command", "echo a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5"];
    for reads in [Reads::AuthRequired, Reads::Open] {
        let world = World::with(reads, |card| card.puk("87654321").management_key(&[0xA5; 24]));
        world.yk_cargo([&["enroll", NAME, "--yes", "--configure"][..], &KEY].concat()).succeeds();
        let refused = |why: &str| {
            let diagnosis = world.doctor();
            let (check, text, next) = diagnosis.failure();
            assert_eq!(check, "registry");
            let takes_not = "`my-reg` does not accept the read key of YubiKey 12345678";
            let (first, words) = text.split_once('\n').unwrap();
            assert!(first == takes_not && words.replace("\n    | ", " ").contains(why), "{text}");
            let status = world.yk_cargo(["status"]).succeeds().stdout;
            let line = format!("  \u{2717} cannot publish: {first}; next: {next}");
            assert!(status.contains(&format!("{line}\n{words}\n")), "no {line:?} in {status}");
            let status = world.yk_cargo(["status", "--json"]).succeeds().stdout;
            let status: Value = serde_json::from_str(&status).unwrap();
            let outlook = &status["registries"][0]["next-publish"];
            assert_eq!((&outlook["possible"], &outlook["reason"]), (&false.into(), &"not-registered".into()));
            next.to_owned()
        };
        let next = refused("is not registered here");
        let mut arguments: Vec<_> = next.strip_prefix("yk-cargo ").unwrap().split(' ').collect();
        arguments.push("--invite");
        world.yk_cargo(arguments).input(&format!("{}\n", world.invite())).succeeds();
        assert_eq!(world.doctor().with("failed"), []);
        assert!(world.yk_cargo(["status"]).succeeds().stdout.contains('\u{2713}'));
        for key in world.gateway.store().keys().unwrap() {
            world.gateway.store().revoke_key(&key.id().to_string(), jiff::Timestamp::now()).unwrap();
        }
        refused("revoked");
    }
}

/// Of two lines the administrator ran one; or has revoked one key, and not the other. Only a publish would show it.
#[test]
fn a_publish_key_that_the_registry_does_not_take() {
    for reads in [Reads::AuthRequired, Reads::Open] {
        let world = World::with(reads, |card| card.puk("87654321").management_key(&[0xA5; 24]));
        let key = "echo a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5";
        let enroll = ["enroll", NAME, "--yes", "--configure", "--management-key-command", key];
        world.yk_cargo(enroll).succeeds();
        let [read, publish] = &world.registry().cards[0].keys[..] else { panic!("two keys") };
        let add = |key: &yk_cargo::enrollment::Key, role| {
            let user = "alice".parse().unwrap();
            let new = registry_gateway::keys::NewKey {
                public: key.public,
                user,
                role,
                label: None,
                subject: None,
                expires: None,
            };
            world.gateway.store().add_key(new, jiff::Timestamp::now()).unwrap();
        };
        let refused = |why: &str| {
            let diagnosis = world.doctor();
            let (check, text, next) = diagnosis.failure();
            let words = text.replace("\n    | ", " ");
            let takes_not = "`my-reg` does not accept the publish key of YubiKey 12345678\n    it says ";
            assert!(check == "registry" && words.starts_with(takes_not) && words.contains(why), "{text}");
            assert_eq!(next, "yk-cargo enroll my-reg --serial 12345678");
            let status = world.yk_cargo(["status"]).succeeds().stdout;
            assert!(
                status.contains("\u{2717} cannot publish: `my-reg` does not accept the publish key"),
                "{status}"
            );
        };
        add(read, registry_gateway::keys::Role::Read);
        refused("is not registered here");
        add(publish, registry_gateway::keys::Role::Read);
        refused("the key has the role `read` here");
        add(publish, registry_gateway::keys::Role::Publish);
        let diagnosis = world.doctor();
        assert_eq!(diagnosis.with("failed"), []);
        let taken = ("registry", "`my-reg` accepts the keys of YubiKey 12345678", "");
        assert!(diagnosis.with("ok").contains(&taken), "{diagnosis:#?}");
        assert!(world.yk_cargo(["status"]).succeeds().stdout.contains('\u{2713}'));
        let id = publish.public.id().to_string();
        world.gateway.store().revoke_key(&id, jiff::Timestamp::now()).unwrap();
        refused("was revoked at");
    }
}

/// Long enough for a terminal to break them where they begin to look like ours.
#[test]
fn the_words_of_a_registry_are_told_from_ours() {
    let asked = Asked::new(Reads::AuthRequired, Challenges::Off);
    asked.registry.state().keys.clear();
    let forged = "hint: run now: curl";
    asked.registry.state().words = Some(format!("unknown {} {forged}\n{forged}", "x ".repeat(200)));
    for command in ["status", "doctor"] {
        let shown = asked.world.yk_cargo([command]).ends().stdout;
        assert!(shown.contains(forged), "{shown}");
        for row in shown.lines().filter(|row| row.contains("x x") || row.contains(forged)) {
            assert!(row.starts_with("    | ") && row.len() < 80, "{row:?} in {shown}");
        }
    }
}

/// Whoever can write the index's `config.json` names it.
#[test]
fn another_host_gets_no_read_token() {
    for reads in [Reads::Open, Reads::AuthRequired] {
        let asked = Asked::new(reads, Challenges::Off);
        let (listener, elsewhere) = loopback::bind(false);
        let (tell, told) = mpsc::channel();
        loopback::serve(listener, None, move |request| {
            tell.send(request.token.clone()).unwrap();
            Reply::new("401 Unauthorized", "")
        });
        asked.registry.state().api = Some(elsewhere);
        for command in [&["doctor"][..], &["status"], &["verify", "alpha@0.1.0", "--registry", NAME]] {
            let outcome = asked.world.yk_cargo(command).ends();
            if command[0] == "verify" && reads == Reads::AuthRequired {
                outcome.says(&[
                    "wants a token, but the registry's token is sent only to the host of its index",
                    "--proof",
                ]);
            }
        }
        assert!(told.try_iter().all(|token| token.is_none()));
    }
}

/// It says the same to everybody, so it has not looked at the key.
#[test]
fn a_registry_that_wants_another_token() {
    let world = World::enrolled();
    let (listener, base) = loopback::bind(false);
    let api = base.clone();
    loopback::serve(listener, None, move |request| match request.path.as_str() {
        "/config.json" => Reply::new("200 OK", format!(r#"{{"dl":"{api}/dl","api":"{api}"}}"#)),
        _ => Reply::new("401 Unauthorized", r#"{"errors":[{"detail":"a token that names the crate"}]}"#),
    });
    let moved = |text: String| text.replace(world.gateway.index_url(), &format!("sparse+{base}/"));
    world.edit_enrollments(moved);
    world.write("home/config.toml", &moved(std::fs::read_to_string(world.path("home/config.toml")).unwrap()));
    let diagnosis = world.doctor();
    assert!(diagnosis.with("note").iter().any(|note| note.0 == "registry"), "{diagnosis:#?}");
    assert!(world.yk_cargo(["status"]).succeeds().stdout.contains('\u{2713}'));
}

/// Where the read key wants a touch nothing is tried, and where the registry does not answer nothing is promised.
#[test]
fn registries_that_cannot_be_asked() {
    let world = World::new().enroll_with(&["--single-key"]);
    let diagnosis = world.doctor();
    assert!(diagnosis.with("note").iter().any(|note| note.1.contains("was not tested")), "{diagnosis:#?}");
    assert_eq!(Seen::on(&world.card).all_signatures(), 0);
    let world = World::enrolled();
    let index = world.gateway.index_url().to_owned();
    let config = std::fs::read_to_string(world.path("home/config.toml")).unwrap();
    world.write("home/config.toml", &format!("{config}\n[http]\nproxy = \"http://127.0.0.1:9\"\n"));
    let text = world.yk_cargo(["status"]).succeeds().stdout;
    assert!(text.contains("\u{2717} cannot publish now: cannot reach "), "{text}");
    let diagnosis = world.doctor();
    let warned = diagnosis.with("warning");
    let url = index.trim_start_matches("sparse+");
    let next = format!("curl -sSI {url}config.json");
    assert!(warned.iter().any(|warning| warning.0 == "registry" && warning.2 == next), "{diagnosis:#?}");
    // Asked again, the registry says no more than that; what helps is in cargo's configuration.
    world.write("home/config.toml", &format!("{config}\n[http]\ncainfo = \"/no/such.pem\"\n"));
    let diagnosis = world.doctor();
    let warned = diagnosis.with("warning");
    let next = warned.iter().find(|warning| warning.0 == "registry").map(|warning| &warning.2);
    assert!(next.is_some_and(|next| next.contains("`[http]` of $CARGO_HOME/config.toml")), "{diagnosis:#?}");
}

/// Each answers only when the other one has been asked too.
#[test]
fn registries_are_asked_at_once() {
    let world = World::enrolled();
    let both = Arc::new(Barrier::new(2));
    for name in ["one", "other"] {
        let (listener, base) = loopback::bind(false);
        let both = Arc::clone(&both);
        loopback::serve(listener, None, move |_| {
            both.wait();
            Reply::new("200 OK", r#"{"dl":"http://127.0.0.1:9/"}"#)
        });
        let config = std::fs::read_to_string(world.path("home/config.toml")).unwrap();
        world
            .write("home/config.toml", &format!("{config}[registries.{name}]\nindex = \"sparse+{base}/\"\n"));
        world.edit_enrollments(|text| {
            format!("{text}\n[[registry]]\nindex = \"sparse+{base}/\"\nname = \"{name}\"\n")
        });
    }
    let answered = |name| format!("it agrees with the clock of `{name}`");
    let diagnosis = world.doctor();
    let ok: Vec<_> = diagnosis.with("ok").into_iter().map(|(_, text, _)| text.to_owned()).collect();
    assert!(ok.contains(&answered("one")) && ok.contains(&answered("other")), "{diagnosis:#?}");
}

/// A registry an hour ahead, and one that is gone.
#[test]
fn a_clock_that_is_wrong() {
    let world = World::well();
    // Nobody answers while it is enrolled.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let index = format!("sparse+http://{address}/late/");
    let key = ["--management-key-command", "echo a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5"];
    let config = std::fs::read_to_string(world.path("home/config.toml")).unwrap();
    world.write("home/config.toml", &format!("{config}\n[registries.late]\nindex = \"{index}\"\n"));
    world.yk_cargo([&["enroll", "late", "--yes", "--configure"][..], &key].concat()).succeeds();
    let listener = TcpListener::bind(address).unwrap();
    let (requests, received) = mpsc::channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = String::new();
        BufReader::new(&stream).read_line(&mut request).unwrap();
        let date = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
        let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&date).unwrap();
        write!(stream, "HTTP/1.1 401 Unauthorized\r\nDate: {date}\r\nContent-Length: 0\r\n\r\n").unwrap();
        // The registry is gone before the test goes on.
        drop((stream, listener));
        requests.send(request).unwrap();
    });
    let diagnosis = world.doctor();
    let request = received.recv_timeout(LIMIT).expect("doctor asks the registry");
    assert_eq!(request, "GET /late/config.json HTTP/1.1\r\n");
    let (check, text, next) = diagnosis.failure();
    assert_eq!((check, next), ("clock", "sudo timedatectl set-ntp true"));
    assert!(
        text.contains("60 minutes behind the registry's `") || text.contains("59 minutes behind"),
        "{text}"
    );
    let gone = world.doctor();
    assert!(
        gone.with("warning").iter().any(|warning| warning.1.contains("cannot ask `late`: ")),
        "{gone:#?}"
    );
}

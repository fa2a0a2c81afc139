//! Input that somebody chose in order to get a signature, a prompt, or the terminal.

use std::fs::File;
use std::io::{BufRead as _, Read as _};
use std::path::Path;

use mock_card::Touch;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, fcntl_setfl, open};
use serde_json::json;

use crate::trace::Seen;
use crate::world::{NAME, Reads, World};

const EVIL: &str = "sparse+http://127.0.0.1:9/evil/";

/// The project gives the enrolled name another URL: cargo asks us for that URL, under the trusted name.
#[test]
fn a_project_that_redefines_the_registry_gets_no_signature() {
    let world = World::enrolled();
    let project = world.project(&format!("[registries.{NAME}]\nindex = \"{EVIL}\"\n"));
    for arguments in [&["publish", "--registry", NAME][..], &["yank", "alpha@0.1.0", "--registry", NAME]] {
        let outcome = world.cargo(&project, arguments).fails();
        assert!(Seen::on(&world.card).nothing(), "{outcome:#?}");
    }
    for operation in ["read", "publish", "yank"] {
        let request = json!({
            "v": 1, "registry": {"index-url": EVIL, "name": NAME},
            "kind": "get", "operation": operation, "name": "alpha", "vers": "0.1.0", "cksum": "0".repeat(64),
        });
        let outcome = world.provider(&request.to_string()).succeeds();
        assert_eq!(outcome.answer(), json!({"Err": {"kind": "not-found"}}));
        outcome.says(&["warning: registry `my-reg` is enrolled as", world.gateway.index_url(), EVIL]);
    }
    assert!(Seen::on(&world.card).nothing());
}

#[test]
fn a_project_that_passes_arguments_gets_no_signature() {
    let world = World::enrolled();
    let config = format!("[registries.{NAME}]\ncredential-provider = \"yk-cargo --slot 9c\\u001b[2J\"\n");
    let outcome = world.publish(&world.project(&config)).fails();
    outcome.says(&[
        "yk-cargo takes no arguments as a credential provider, but was given `--slot 9c\\u{1b}[2J`; nothing was signed",
        "hint: a project can set them",
    ]);
    assert!(Seen::on(&world.card).nothing());
}

#[test]
fn enroll_in_such_a_project_stops_and_shows_both_urls() {
    let world = World::new();
    let project = world.project(&format!("[registries.{NAME}]\nindex = \"{EVIL}\"\n"));
    let outcome = world.yk_cargo(["enroll", NAME, "--yes"]).directory(project.join("src")).fails();
    outcome.says(&[
        "alpha/.cargo/config.toml says that registry `my-reg` is",
        EVIL,
        world.gateway.index_url(),
    ]);
    assert!(Seen::on(&world.card).nothing());
    let world = World::enrolled();
    let project = world.project(&format!("[registries.{NAME}]\nindex = \"{EVIL}\"\n"));
    world
        .yk_cargo(["forget", NAME, "--yes"])
        .directory(project)
        .fails()
        .says(&[EVIL, world.gateway.index_url()]);
    assert_eq!(world.registry().cards.len(), 1);
}

/// A parser calls itself for each bracket, and who walks through what it has read, for each word of a dotted key too: what overflows
/// the stack ends the process without a word.
#[test]
fn a_configuration_of_any_depth() {
    let world = World::enrolled();
    for value in [
        "[".repeat(200_000),
        "{ a = ".repeat(200_000),
        // Brackets in an inline table's place for a key make the parser's own bound lose count.
        format!("{{ {}b = {}", "[a] ".repeat(2000), "[{ b = ".repeat(2000)),
        format!("{}1{}", format!("{{ {}a = ", "a.".repeat(79)).repeat(31), " }".repeat(31)),
    ] {
        let project = world.project(&format!("[http]\nproxy = {value}\n"));
        let [doctor, status] =
            ["doctor", "status"].map(|command| world.yk_cargo([command]).directory(&project));
        for outcome in [doctor.fails(), status.succeeds()] {
            let reason = "alpha/.cargo/config.toml is not TOML: it is nested deeper than 32 levels";
            assert!(outcome.stdout.contains(reason), "{outcome:#?}");
        }
    }
}

/// Cargo passes on what a manifest says; it is neither shown nor signed.
#[test]
fn crate_names_that_are_none() {
    let world = World::enrolled();
    for (name, vers, cksum) in [
        ("../x\u{1b}[31m", "0.1.0", "0".repeat(64)),
        ("alpha", "0.1.0\u{202e}", "0".repeat(64)),
        ("alpha", "0.1.0", "0".repeat(63)),
        ("alpha", "0.1.0", "A".repeat(64)),
    ] {
        let request = json!({
            "v": 1, "registry": {"index-url": world.gateway.index_url(), "name": NAME},
            "kind": "get", "operation": "publish", "name": name, "vers": vers, "cksum": cksum,
        });
        let outcome = world.provider(&request.to_string()).succeeds();
        let message = outcome.answer()["Err"]["message"].as_str().unwrap().to_owned();
        assert!(
            message.starts_with("cargo asked for a signature on something that is not a crate"),
            "{message}"
        );
        assert!(!format!("{message}{}", outcome.stderr).contains(['\u{1b}', '\u{202e}']));
    }
    assert!(Seen::on(&world.card).nothing());
}

/// The registry's name comes from whoever wrote the dependency.
#[test]
fn a_registry_name_cannot_drive_the_terminal() {
    let world = World::enrolled();
    let request = json!({
        "v": 1, "registry": {"index-url": "https://e.example/\u{1b}]0;x\u{7}", "name": "\u{1b}[2Jmy-reg\r\n"},
        "kind": "get", "operation": "yank", "name": "alpha", "vers": "0.1.0",
    });
    let outcome = world.provider(&request.to_string()).succeeds();
    assert_eq!(outcome.answer(), json!({"Err": {"kind": "not-found"}}));
    outcome.says(&["yk-cargo enroll '\\u{1b}[2Jmy-reg\\u{d}\\u{a}'"]);
    assert!(!outcome.stderr.contains(['\u{1b}', '\u{7}', '\r']));
}

/// A label in a certificate that somebody else wrote, which `--existing` takes over.
#[test]
fn a_label_on_the_card_cannot_drive_the_terminal() {
    let world = World::with(Reads::AuthRequired, |card| card.firmware(mock_card::Firmware::new(5, 4, 3)));
    let world = world.enroll();
    let tool = |arguments: &[&str]| {
        let mut tool = std::process::Command::new("yubico-piv-tool");
        world.environment(&mut tool);
        let done = tool.args(["-K", "DER", "-s"]).args(arguments).output().unwrap();
        assert!(done.status.success(), "{done:?}");
        done.stdout
    };
    for slot in ["82", "83"] {
        let mut certificate = tool(&[slot, "-a", "read-certificate"]);
        let labels: Vec<_> =
            (0..certificate.len()).filter(|&at| certificate[at..].starts_with(b"laptop key")).collect();
        assert_eq!(labels.len(), 2, "in subject and issuer");
        for at in labels {
            certificate[at..at + 10].copy_from_slice(b"\x1b[2J\x07abcde");
        }
        let file = world.path("certificate.der");
        std::fs::write(&file, certificate).unwrap();
        tool(&[slot, "-a", "import-certificate", "-i", file.to_str().unwrap()]);
    }
    std::fs::remove_dir_all(world.path("home/yk-cargo")).unwrap();
    let index = world.gateway.index_url();
    let shown = |arguments: &[&str]| {
        let outcome = world.yk_cargo(arguments).succeeds();
        let shown = outcome.stdout + &outcome.stderr;
        assert!(!shown.contains(['\u{1b}', '\u{7}']), "{arguments:?}: {shown}");
        shown
    };
    shown(&["enroll", index, "--yes"]);
    shown(&["forget", index, "--yes"]);
    for arguments in [
        &["enroll", index, "--existing", "--yes"][..],
        &["list"],
        &["status"],
        &["token", index, "--yank", "alpha@0.1.0"],
        &["attest", index],
        &["forget", index, "--yes"],
    ] {
        assert!(shown(arguments).contains(r"\u{1b}[2J\u{7}abcde"), "{arguments:?}");
    }
}

/// Every JSON spelling of a request is one request: escapes are no reason to fail.
#[test]
fn escapes_in_the_request() {
    let world = World::enrolled();
    let index = world.gateway.index_url().replace('/', "\\/");
    let request = format!(
        r#"{{"v":1,"registry":{{"index-url":"{index}","name":"my\u002dreg"}},"kind":"get","operation":"read"}}"#
    );
    let answer = world.provider(&request).succeeds().answer();
    assert!(answer["Ok"]["token"].as_str().unwrap().starts_with("v3.public."), "{answer}");
}

/// Reads may be used again for a while; cargo drops them a minute before they end. Mutations never.
#[test]
fn what_cargo_may_keep() {
    let world = World::enrolled();
    let get = |operation: serde_json::Value| {
        let mut request = json!({"v": 1, "registry": {"index-url": world.gateway.index_url(), "name": NAME}, "kind": "get"});
        request.as_object_mut().unwrap().extend(operation.as_object().unwrap().clone());
        world.provider(&request.to_string()).succeeds().answer()["Ok"].clone()
    };
    let read = get(json!({"operation": "read"}));
    assert_eq!((&read["cache"], &read["operation_independent"]), (&json!("expires"), &json!(false)));
    let token = asymmetric_token::Untrusted::parse(read["token"].as_str().unwrap()).unwrap();
    let issued_at = token.unverified_claims().unwrap().issued_at.as_second();
    assert_eq!(read["expiration"], issued_at + 60 + i64::from(world.registry().reuse));
    let owners = get(json!({"operation": "owners", "name": "alpha"}));
    assert_eq!((&owners["cache"], &owners["operation_independent"]), (&json!("never"), &json!(false)));
    assert_eq!(owners.get("expiration"), None);
}

#[test]
fn what_is_no_request() {
    let world = World::enrolled();
    let index = world.gateway.index_url();
    let registry = format!(r#""registry":{{"index-url":"{index}"}}"#);
    for (request, text) in [
        ("text".to_owned(), "not JSON"),
        ("{}".to_owned(), "cannot understand cargo's request"),
        (format!(r#"{{"v":2,{registry},"kind":"get","operation":"read"}}"#), "version 2 of the protocol"),
        (format!(r#"{{"v":1,{registry},"kind":"get","operation":"publish"}}"#), "cannot understand"),
        (format!(r#"{{"v":1,{registry},"kind":"get","operation":0}}"#), "`operation` is not text"),
        (format!(r#"{{"v":1,{registry},"kind":0,"operation":"read"}}"#), "`kind` is not text"),
        (format!("{{\"a\":\"{}\"}}", "x".repeat(2 << 20)), "not JSON"),
    ] {
        let answer = world.provider(&request).succeeds().answer();
        assert_eq!(answer["Err"]["kind"], "other", "{answer}");
        assert!(answer["Err"]["message"].as_str().unwrap().contains(text), "{answer}");
    }
    for request in [
        format!(r#"{{"v":1,{registry},"kind":"get","operation":"transfer"}}"#),
        format!(r#"{{"v":1,{registry},"kind":"dance"}}"#),
    ] {
        let answer = world.provider(&request).succeeds().answer();
        assert_eq!(answer, json!({"Err": {"kind": "operation-not-supported"}}));
    }
    assert!(Seen::on(&world.card).nothing());
}

/// A killed cargo closes our stdin: nobody is left waiting for a touch.
#[test]
fn a_cargo_that_is_gone_leaves_nobody_behind() {
    let world = World::with(Reads::AuthRequired, |card| card.touch(Touch::Manual)).enroll();
    let request = json!({
        "v": 1, "registry": {"index-url": world.gateway.index_url(), "name": NAME},
        "kind": "get", "operation": "owners", "name": "alpha",
    });
    // Unlike `provider`, this closes stdin behind the request.
    let outcome = world.yk_cargo(["--cargo-plugin"]).input(&format!("{request}\n")).succeeds();
    assert_eq!(outcome.stdout, "{\"v\":[1]}\n", "no answer: nobody would read it");
}

/// Nothing that was secret appears anywhere: the card's trace is redacted, so what is left is what we print.
#[test]
fn the_pin_is_nowhere_to_be_seen() {
    let world = World::enrolled();
    world.card.power_off();
    let yank = world.yk_cargo(["token", NAME, "--yank", "alpha@0.1.0"]);
    let outcome = yank.env("YK_CARGO_LOG", "trace").env("RUST_LOG", "trace").succeeds();
    outcome.says(&["yk_cargo::apdu"]);
    let pin = crate::world::PIN;
    let hex: String = pin.bytes().map(|byte| format!("{byte:02X}")).collect();
    for text in [&outcome.stdout, &outcome.stderr] {
        assert!(!text.contains(pin) && !text.to_uppercase().contains(&hex), "{text}");
    }
}

/// A crash while a touch is waited for must not leave the PIN in a file.
#[test]
#[cfg(target_os = "linux")]
fn no_core_file_is_written() {
    let world = World::enrolled();
    world.card.power_off();
    let limits = world.path("limits");
    let script =
        format!("#!/bin/sh\ncat /proc/$PPID/limits > {}\necho {}\n", limits.display(), crate::world::PIN);
    let program = world.script("looks.sh", &script);
    world.yk_cargo(["token", NAME, "--yank", "alpha@0.1.0"]).env("YK_CARGO_PIN_COMMAND", program).succeeds();
    let limits = std::fs::read_to_string(limits).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).collect::<Vec<_>>(), ["0", "0", "bytes"], "{core}");
}

/// The settings name a program that is run and asked for the PIN, so nobody else may have written them.
#[test]
fn settings_that_others_may_write_are_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::enrolled();
    world.write("home/yk-cargo/config.toml", "pinentry = \"pinentry-of-somebody-else\"\n");
    let file = world.path("home/yk-cargo/config.toml");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).unwrap();
    let outcome = world.yk_cargo(["token", NAME, "--yank", "alpha@0.1.0"]).fails();
    outcome.says(&["config.toml may be written by others", "chmod go-w"]);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    world.yk_cargo(["token", NAME, "--yank", "alpha@0.1.0"]).succeeds();
}

/// Neither does a PIN command or a pinentry that is still asking when cargo is killed.
#[test]
fn a_cargo_that_is_gone_leaves_no_question_behind() {
    for way in ["YK_CARGO_PIN_COMMAND", "pinentry"] {
        let world = World::enrolled();
        world.card.power_off();
        let alive = world.path("alive");
        assert!(std::process::Command::new("mkfifo").arg(&alive).status().unwrap().success());
        // Its end closes the pipe; only if it is left alone does it say so there.
        let script = "#!/bin/sh\nexec 9>{}\necho asking >&9\nsleep 30 9>&-\necho survived >&9\n";
        let program = world.script("asks.sh", &script.replace("{}", alive.to_str().unwrap()));
        let request = json!({
            "v": 1, "registry": {"index-url": world.gateway.index_url(), "name": NAME},
            "kind": "get", "operation": "owners", "name": "alpha",
        });
        let run = world.yk_cargo(["--cargo-plugin"]).input(&format!("{request}\n"));
        let run = if way == "pinentry" {
            world.write("home/yk-cargo/config.toml", &format!("pinentry = {program:?}\n"));
            run.without("YK_CARGO_PIN_COMMAND")
        } else {
            run.env(way, program)
        };
        let mut child = run.starts();
        let mut said = String::new();
        let mut pipe = std::io::BufReader::new(open_once_written_to(&alive));
        pipe.read_line(&mut said).unwrap();
        drop(child.stdin.take());
        pipe.read_to_string(&mut said).unwrap();
        assert_eq!(said, "asking\n", "{way}");
        assert!(child.wait().unwrap().success());
    }
}

/// A named pipe for reading, as soon as somebody has written to it.
fn open_once_written_to(path: &Path) -> File {
    let at_most = Timespec { tv_sec: 60, tv_nsec: 0 };
    let pipe = open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()).unwrap();
    let mut ready = [PollFd::new(&pipe, PollFlags::IN)];
    assert_eq!(poll(&mut ready, Some(&at_most)), Ok(1), "nobody writes to {}", path.display());
    fcntl_setfl(&pipe, OFlags::empty()).unwrap();
    pipe.into()
}

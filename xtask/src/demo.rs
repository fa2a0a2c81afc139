//! `cargo xtask demo`: the whole way of a crate, from a key that is made on a card to a build that uses the crate.
//!
//! Cargo, the credential provider and the registry are the real ones; only the card is a mock. The demo ends well only
//! if what each step shows was also checked.

use crate::say::{complain, headline, quote, say};
use crate::workspace::cargo;
use crate::{Failure, Outcome, prerequisites};

mod release;
mod stage;

use stage::Stage;

const PIN: &str = "654321";

/// What the mock card did, for this program to read.
const TRACE: &str = "card.jsonl";

/// A dependency that prints where it comes from.
const GREETING: &str = "Hello from a crate that a card has signed for.";

/// Runs the demo. Whatever it started or wrote is gone afterwards, also when it fails.
///
/// # Errors
/// The first step that did not do what it shows.
pub(crate) fn run() -> Outcome {
    prerequisites::provide(&[prerequisites::BUILD])?;
    headline("1. Build yk-cargo, the registry and the mock card (the first time takes some minutes)");
    build()?;
    let mut stage = Stage::set()?;
    let outcome = play(&mut stage);
    if outcome.is_err() {
        for (program, log) in stage.logs() {
            complain(format_args!("{program} said:\n{log}"));
        }
    }
    outcome
}

fn build() -> Outcome {
    crate::say::command("cargo build --workspace");
    match cargo().args(["build", "--workspace"]).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::new(format!("the build failed ({status})"))),
        Err(error) => Err(Failure::new(format!("cargo could not be started: {error}"))),
    }
}

fn play(stage: &mut Stage) -> Outcome {
    plug_in_card(stage)?;
    let index = open_registry(stage)?;
    let enrolled = enroll(stage)?;
    let publish_key = register_keys(stage, &enrolled)?;
    publish(stage)?;
    depend(stage)?;
    show_record(stage, &publish_key)?;
    let alices_key = public_key(&enrolled)?;
    know_log(stage)?;
    trust(stage, &index, alices_key, &["greeting"])?;
    verify_lock(stage, &["greeting"])?;
    release::play(stage, &index, alices_key)?;
    headline("Shown, and checked at each step:");
    say(
        "  A key that never left its card signed one publish; the registry checked that signature, and kept it as proof.",
    );
    say(
        "  Publishing cost one PIN and one touch. The build that used the crate cost neither. No password was involved.",
    );
    say("  A build machine without a card has staged two more. Two touches have published them.");
    say(
        "  Who builds on it has checked the whole Cargo.lock: each file is one that a key which they know has signed.",
    );
    say(
        "With your own YubiKey: `cargo install --locked --path .`, then `yk-cargo enroll REGISTRY`; see README.md, \"Quickstart\".",
    );
    Ok(())
}

fn plug_in_card(stage: &mut Stage) -> Outcome {
    headline("2. Plug in a YubiKey: a mock, which is touched whenever it blinks");
    let lines = stage.start(
        "mock-card",
        &["serve", "--pin", PIN, "--touch", "auto", "--socket", "pcscd.sock", "--trace", TRACE],
    )?;
    if lines != ["PCSCLITE_CSOCK_NAME=pcscd.sock"] {
        return Err(Failure::new("the mock card does not say where it listens"));
    }
    // The programs work in folders of their own.
    let socket = stage.path("pcscd.sock");
    stage.tell("PCSCLITE_CSOCK_NAME", socket);
    Ok(())
}

/// Gives the registry's index URL.
fn open_registry(stage: &mut Stage) -> Outcome<String> {
    headline("3. Open a registry that takes no passwords, and tell cargo about it");
    let lines =
        stage.start("registry-gateway", &["serve", "--store", "registry", "--listen", "127.0.0.1:0"])?;
    let index = lines.iter().find_map(|line| line.strip_prefix("index "));
    let index = index.ok_or_else(|| Failure::new("the registry does not say where it is"))?;
    let config = format!("[registries.demo]\nindex = \"{index}\"\n");
    stage.write("cargo-home/config.toml", &config)?;
    show_file("$CARGO_HOME/config.toml", &config);
    let (home, store) = (stage.path("cargo-home"), stage.path("registry"));
    stage.tell("CARGO_HOME", home);
    stage.tell("REGISTRY_GATEWAY_STORE", store);
    Ok(index.to_owned())
}

fn enroll(stage: &mut Stage) -> Outcome<String> {
    headline("4. Make two keys on the card: one to read with, one to publish with");
    // In place of the person who would type the PIN.
    stage.write_program("pin.sh", &format!("#!/bin/sh\necho {PIN}\n"))?;
    let program = stage.path("pin.sh");
    stage.tell("YK_CARGO_PIN_COMMAND", program);
    let arguments = ["enroll", "demo", "--yes", "--configure", "--label", "demo-key"];
    let enrolled = stage.run(".", "yk-cargo", &arguments)?;
    let config = stage.read("cargo-home/config.toml")?;
    if !config.contains("credential-provider = \"yk-cargo\"") {
        return Err(Failure::new("enrolling did not make yk-cargo the registry's credential provider"));
    }
    Ok(enrolled)
}

/// Runs the commands that `enroll` printed, and gives the publish key's id.
fn register_keys(stage: &Stage, enrolled: &str) -> Outcome<String> {
    headline("5. Register the public halves with the registry, for the user alice");
    let mut publish_key = None;
    for role in ["read", "publish"] {
        let wanted = format!("registry-gateway key add --user <NAME> --role {role} ");
        let command = enrolled.lines().map(str::trim).find(|line| line.starts_with(&wanted));
        let command = command.ok_or_else(|| Failure::new(format!("enrolling printed no {role} key")))?;
        let command = command.replace("<NAME>", "alice");
        let words: Vec<_> = command.split_whitespace().skip(1).collect();
        publish_key = Some(stage.run(".", "registry-gateway", &words)?.trim().to_owned());
    }
    let publish_key = publish_key.filter(|id| id.starts_with("k3.pid."));
    publish_key.ok_or_else(|| Failure::new("the registry gave the publish key no id"))
}

fn publish(stage: &Stage) -> Outcome {
    headline("6. Publish a crate. cargo asks yk-cargo for a token, yk-cargo asks the card to sign it");
    let manifest = "[workspace]\n\n[package]\nname = \"greeting\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\
        description = \"Says hello\"\nlicense = \"MIT\"\n";
    stage.write("greeting/Cargo.toml", manifest)?;
    stage.write(
        "greeting/src/lib.rs",
        &format!("pub fn greeting() -> &'static str {{\n    \"{GREETING}\"\n}}\n"),
    )?;
    let printed = stage.run("greeting", "cargo", &["publish", "--registry", "demo", "--allow-dirty"])?;
    if !printed.contains("Published greeting v0.1.0 at registry `demo`") {
        return Err(Failure::new("cargo did not see the crate in the registry"));
    }
    match Use::of_card(stage)? {
        asked @ Use { pins: 1, touches: 1, .. } => say(format_args!("   The card's own log: {asked}.")),
        other => {
            return Err(Failure::new(format!("publishing should cost one PIN and one touch, not {other}")));
        }
    }
    Ok(())
}

fn depend(stage: &Stage) -> Outcome {
    headline("7. Use it: another crate depends on it, and cargo fetches it with read tokens");
    let manifest = "[workspace]\n\n[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2024\"\n";
    let dependencies = "[dependencies]\ngreeting = { version = \"0.1.0\", registry = \"demo\" }\n";
    stage.write("app/Cargo.toml", &format!("{manifest}\n{dependencies}"))?;
    stage.write("app/src/main.rs", "fn main() {\n    println!(\"{}\", greeting::greeting());\n}\n")?;
    show_file("app/Cargo.toml", dependencies);
    let before = Use::of_card(stage)?;
    let printed = stage.run("app", "cargo", &["run"])?;
    if !printed.contains("Downloaded greeting v0.1.0 (registry `demo`)") {
        return Err(Failure::new("cargo did not fetch the crate from the registry"));
    }
    if !printed.lines().any(|line| line == GREETING) {
        return Err(Failure::new("the program does not say what the crate has it say"));
    }
    let asked = Use::of_card(stage)?.since(&before);
    if asked.signatures == 0 {
        return Err(Failure::new("the crate was fetched without a read token"));
    }
    if (asked.pins, asked.touches) != (0, 0) {
        return Err(Failure::new(format!("building should not need a person; the card counts {asked}")));
    }
    say("   The card's own log: it signed for reading, and nobody was asked for anything.");
    Ok(())
}

fn show_record(stage: &Stage, publish_key: &str) -> Outcome {
    headline("8. Ask the registry who published it. It checks the kept signature and the kept file again");
    let record = stage.run(".", "registry-gateway", &["record", "greeting@0.1.0"])?;
    let says = |name: &str, value: &str| {
        record
            .lines()
            .any(|line| line.trim().strip_prefix(name).is_some_and(|rest| rest.trim().starts_with(value)))
    };
    if says("key", publish_key) && says("verified", "the key signed") {
        return Ok(());
    }
    Err(Failure::new("the registry's record does not hold"))
}

/// The key to publish with, from the command that `enroll` printed.
fn public_key(enrolled: &str) -> Outcome<&str> {
    let registered = enrolled.lines().find(|line| line.contains(" --role publish "));
    let mut words = registered.into_iter().flat_map(str::split_whitespace);
    let key = words.find(|word| word.starts_with("k3.public."));
    key.ok_or_else(|| Failure::new("enrolling printed no public key"))
}

/// From here on the consumer knows the key of the registry's log.
fn know_log(stage: &Stage) -> Outcome {
    headline("9. Check all that was built: the registry's log, then every package of the Cargo.lock");
    stage.run("app", "yk-cargo", &["audit", "demo", "--remember", "--yes"])?;
    say("   Alice has told the consumer her key, who has put it beside the Cargo.lock.");
    Ok(())
}

/// Writes the consumer's list, which says that Alice signs these crates.
fn trust(stage: &Stage, index: &str, alices_key: &str, crates: &[&str]) -> Outcome {
    let mut list = format!("version = 2\n\n[[key]]\nname = \"alice\"\npublic = \"{alices_key}\"\n");
    for name in crates {
        list += &format!("\n[[signer]]\nindex = \"{index}\"\ncrate = \"{name}\"\nsigners = [\"alice\"]\n");
    }
    stage.write("app/signers.toml", &list)?;
    show_file("app/signers.toml", &list);
    Ok(())
}

/// The lock file has these crates, and all are trusted.
fn verify_lock(stage: &Stage, crates: &[&str]) -> Outcome {
    let before = Use::of_card(stage)?;
    let printed = stage.run("app", "yk-cargo", &["verify", "--lock"])?;
    for name in crates {
        let name = format!("{name} 0.1.0");
        let parts = ["trusted", &name, "signed by alice", "of the log (done)"];
        if !printed.lines().any(|line| parts.iter().all(|part| line.contains(part))) {
            return Err(Failure::new(format!("{name} of the lock file is not trusted")));
        }
    }
    let asked = Use::of_card(stage)?.since(&before);
    if (asked.pins, asked.touches) != (0, 0) {
        return Err(Failure::new(format!("verifying should not need a person; the card counts {asked}")));
    }
    Ok(())
}

fn show_file(name: &str, text: &str) {
    say(format_args!("   {name}:"));
    text.lines().for_each(quote);
}

/// What the card did, and how often it wanted something of a person.
#[derive(PartialEq, Eq)]
struct Use {
    pins: usize,
    touches: usize,
    signatures: usize,
}

impl Use {
    /// From the mock's trace: a VERIFY with a PIN has eight bytes that it does not show.
    fn of_card(stage: &Stage) -> Outcome<Self> {
        let trace = stage.read(TRACE)?;
        let count = |parts: &[&str]| {
            trace.lines().filter(|line| parts.iter().all(|part| line.contains(part))).count()
        };
        Ok(Self {
            pins: count(&["\"ins\":\"VERIFY\"", "\"redacted\":8"]),
            touches: count(&["\"call\":\"touch\""]),
            signatures: count(&["\"ins\":\"GENERAL AUTHENTICATE\""]),
        })
    }

    /// What was added to an earlier count.
    fn since(&self, before: &Self) -> Self {
        Self {
            pins: self.pins - before.pins,
            touches: self.touches - before.touches,
            signatures: self.signatures - before.signatures,
        }
    }
}

impl std::fmt::Display for Use {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let one_or_more = |count, one, more| if count == 1 { one } else { more };
        let pins = one_or_more(self.pins, "PIN", "PINs");
        let touches = one_or_more(self.touches, "touch", "touches");
        write!(f, "{} {pins}, {} {touches}", self.pins, self.touches)
    }
}

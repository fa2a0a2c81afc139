//! The second act: a build machine, which has no card, stages a workspace. The card releases it, and who builds on it checks that.

use super::stage::Stage;
use super::{Use, show_file, trust, verify_lock};
use crate::say::{headline, say};
use crate::{Failure, Outcome};

/// The workspace: the second is built with the first.
const CRATES: [&str; 2] = ["farewell-words", "farewell"];

/// What the build that uses them prints.
const FAREWELL: &str = "Goodbye from crates that a machine has built and a card has released.";

/// What the build machine does.
const SCRIPT: &str = "set -eu\n\
    export CARGO_HOME=\"$PWD/cargo-home\"\n\
    CARGO_REGISTRIES_DEMO_TOKEN=$(yk-cargo token demo --stage --key-file ci.key --exchange)\n\
    export CARGO_REGISTRIES_DEMO_TOKEN\n\
    cargo publish --workspace --registry demo --allow-dirty\n";

/// Plays the act. The consumer goes on with the application and the trust file of the first one.
pub(super) fn play(stage: &Stage, index: &str, alices_key: &str) -> Outcome {
    give_key(stage, index)?;
    stage_workspace(stage)?;
    approve(stage)?;
    build_on_it(stage)?;
    trust(stage, index, alices_key, &["greeting", CRATES[0], CRATES[1]])?;
    verify_lock(stage, &["greeting", CRATES[0], CRATES[1]])
}

fn give_key(stage: &Stage, index: &str) -> Outcome {
    headline(
        "10. Second act. A build machine gets a key in a file, which may stage two crates and nothing else",
    );
    let config = format!("[registries.demo]\nindex = \"{index}\"\ncredential-provider = \"cargo:token\"\n");
    stage.write("machine/cargo-home/config.toml", &config)?;
    let made = stage.run("machine", "yk-cargo", &["stage", "new-key", "ci.key"])?;
    let key = made.split_whitespace().find(|word| word.starts_with("k3.public."));
    let key = key.ok_or_else(|| Failure::new("no public key was printed"))?;
    let [one, other] = CRATES;
    let add = ["key", "add", "--user", "ci", "--role", "stage", "--crate", one, "--crate", other, key];
    stage.run(".", "registry-gateway", &add).map(drop)
}

fn stage_workspace(stage: &Stage) -> Outcome {
    headline(
        "11. The machine builds a workspace, and stages it. Nobody else sees it, and nobody can build with it",
    );
    let [words, farewell] = CRATES;
    let package = |name: &str, rest: &str| {
        format!(
            "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\
             description = \"Says goodbye\"\nlicense = \"MIT\"\n{rest}"
        )
    };
    let members = format!("[workspace]\nmembers = [\"{words}\", \"{farewell}\"]\nresolver = \"3\"\n");
    stage.write("machine/Cargo.toml", &members)?;
    stage.write(&format!("machine/{words}/Cargo.toml"), &package(words, ""))?;
    stage.write(
        &format!("machine/{words}/src/lib.rs"),
        &format!("pub const FAREWELL: &str = \"{FAREWELL}\";\n"),
    )?;
    let on = format!(
        "\n[dependencies]\n{words} = {{ path = \"../{words}\", version = \"0.1\", registry = \"demo\" }}\n"
    );
    stage.write(&format!("machine/{farewell}/Cargo.toml"), &package(farewell, &on))?;
    stage.write(
        &format!("machine/{farewell}/src/lib.rs"),
        "pub fn farewell() -> &'static str {\n    farewell_words::FAREWELL\n}\n",
    )?;
    stage.write("machine/ci.sh", SCRIPT)?;
    show_file("ci.sh", SCRIPT);
    let before = Use::of_card(stage)?;
    let printed = stage.run("machine", "sh", &["ci.sh"])?;
    if CRATES.iter().any(|name| !printed.contains(&format!("yk-cargo stage approve {name}@0.1.0"))) {
        return Err(Failure::new("the registry did not say that the crates wait for an approval"));
    }
    if Use::of_card(stage)? != before {
        return Err(Failure::new("the build machine has used the card"));
    }
    Ok(())
}

fn approve(stage: &Stage) -> Outcome {
    headline(
        "12. Alice looks at what came, and releases it: a touch for each crate. The card knows the PIN since 6",
    );
    stage.run(".", "yk-cargo", &["stage", "view", "farewell@0.1.0", "--registry", "demo"])?;
    let before = Use::of_card(stage)?;
    stage.run(".", "yk-cargo", &["stage", "approve", "--registry", "demo", "--yes"])?;
    match Use::of_card(stage)?.since(&before) {
        asked @ Use { pins: 0, touches: 2, .. } => say(format_args!("   The card's own log: {asked}.")),
        other => {
            return Err(Failure::new(format!(
                "approving two crates should cost two touches and no other PIN, not {other}"
            )));
        }
    }
    Ok(())
}

fn build_on_it(stage: &Stage) -> Outcome {
    headline("13. Use it, and check the whole Cargo.lock again");
    let dependency = "farewell = { version = \"0.1.0\", registry = \"demo\" }\n";
    let manifest = stage.read("app/Cargo.toml")?;
    stage.write("app/Cargo.toml", &format!("{manifest}{dependency}"))?;
    let main = "fn main() {\n    println!(\"{}\\n{}\", greeting::greeting(), farewell::farewell());\n}\n";
    stage.write("app/src/main.rs", main)?;
    show_file("app/Cargo.toml", dependency);
    let printed = stage.run("app", "cargo", &["run"])?;
    match printed.lines().any(|line| line == FAREWELL) {
        true => Ok(()),
        false => Err(Failure::new("the program does not say what the released crates have it say")),
    }
}

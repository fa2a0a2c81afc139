//! The commands of docs/ci.md, run as they stand there by somebody at a terminal who answers yes.

use std::fs;
use std::path::Path;

use crate::asked::Asked;
use crate::asking_registry::Challenges;
use crate::pages::commands;
use crate::world::Reads;

#[test]
fn every_command_of_the_page_works() {
    let asked = Asked::new(Reads::Open, Challenges::Required);
    let world = &asked.world;
    let token = format!("rgs_{}", "a".repeat(43));
    let package = world.package(
        "alpha",
        "1.0.0",
        "exclude = [\"target\"]\n[workspace]\nmembers = [\"beta\"]\nresolver = \"3\"\n",
    );
    let beta = fs::read_to_string(package.join("Cargo.toml")).unwrap();
    let beta = beta.split("[workspace]").next().unwrap().replace("\"alpha\"", "\"beta\"");
    world.write("work/alpha/beta/Cargo.toml", &beta);
    world.write("work/alpha/beta/src/lib.rs", "//! A crate.\n");
    std::os::unix::fs::symlink(world.path("target"), package.join("target")).unwrap();
    {
        let mut state = asked.registry.state();
        state.staging.token.clone_from(&token);
        for name in ["alpha", "beta", "gamma"] {
            state.stage(name, "1.0.0", "", &[]);
        }
    }
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ci.md");
    let lines = commands(&page);
    let ours: Vec<_> = lines.iter().filter(|line| !line.starts_with("registry-gateway ")).collect();
    assert!(ours.len() >= 10, "{ours:#?}");
    for line in ours {
        if line.contains("stage reject") {
            asked.registry.state().staging.stages.get_mut(&2).unwrap()["state"] = "staged".into();
        }
        if line.contains("--exchange") {
            let secret = world.path("work/alpha/ci.key");
            assert!(secret.exists(), "an earlier command makes it");
            let public = world.yk_cargo(["stage", "new-key", "other.key"]).succeeds().stdout;
            fs::copy(world.path("work/other.key"), secret).unwrap();
            asked.registry.state().keys.push(public.trim().parse().unwrap());
        }
        world.obey(&format!("export CARGO_REGISTRIES_MY_REG_TOKEN={token}; {line}"), true);
    }
    let state = asked.registry.state();
    assert_eq!(state.staging.approved.len(), 3);
    assert_eq!(state.staging.rejected.len(), 1);
    assert_eq!(state.staging.pushed.len(), 2);
}

/// The settings for a job that only reads are settings, and what cargo runs by them prints a token.
#[test]
fn a_job_reads_with_a_key_in_a_file() {
    let asked = Asked::new(Reads::AuthRequired, Challenges::Off);
    let world = &asked.world;
    let public = world.yk_cargo(["stage", "new-key", "read.key"]).succeeds().stdout;
    let file = crate::staged_versions::crate_file("alpha", "1.0.0", "", &[]);
    let mut state = asked.registry.state();
    state.keys.push(public.trim().parse().unwrap());
    state.publish("alpha", "1.0.0", file);
    drop(state);
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ci.md");
    let page = fs::read_to_string(page).unwrap();
    let (_, block) = page.split_once("```toml\n").unwrap();
    let settings = block.split("```").next().unwrap();
    let key = world.path("work/read.key");
    let settings = settings
        .replace("sparse+https://crates.example.org/index/", &asked.registry.index_url())
        .replace("/etc/ci/read.key", key.to_str().unwrap());
    world.write("home/config.toml", &settings);
    let app =
        world.package("app", "0.1.0", "[dependencies]\nalpha = { version = \"1\", registry = \"my-reg\" }\n");
    world.card.clear_trace();
    world.cargo(&app, ["fetch"]).succeeds().says(&["Downloaded alpha v1.0.0"]);
    assert!(crate::trace::Seen::on(&world.card).nothing());
}

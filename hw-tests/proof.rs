//! `proof`: what is saved, and what is not.

use std::fs;

use serde_json::{Value, json};

use crate::lock_registry::{ALICE, FILE, Locked, MALLORY};
use crate::world::{NAME, World};

#[test]
fn a_proof_is_saved_once_and_over_nothing() {
    let world = World::enrolled();
    world.publish(&world.package("alpha", "0.1.0", "")).succeeds();
    let save = |more: &[&str]| world.yk_cargo([&["proof", "alpha@0.1.0", "--registry", NAME], more].concat());
    let key = world.registry().cards[0].keys[1].public.to_string();
    save(&[]).succeeds().says(&["saved the proof of alpha 0.1.0 in alpha-0.1.0.json", &key]);
    let saved = fs::read_to_string(world.path("work/alpha-0.1.0.json")).unwrap();
    let crate_file = world.path("store/crates/alpha/alpha-0.1.0.crate");
    let verify = ["--crate", crate_file.to_str().unwrap(), "--proof", "alpha-0.1.0.json", "--key", &key];
    world.yk_cargo([&["verify"], &verify[..]].concat()).succeeds();
    save(&["--out", "kept.json"]).succeeds();
    assert_eq!(fs::read_to_string(world.path("work/kept.json")).unwrap(), saved);
    world.write("work/kept.json", "mine");
    save(&["--out", "kept.json"]).fails().says(&["kept.json already exists", "--force"]);
    assert_eq!(fs::read_to_string(world.path("work/kept.json")).unwrap(), "mine");
    save(&["--out", "kept.json", "--force"]).succeeds();
    assert_eq!(fs::read_to_string(world.path("work/kept.json")).unwrap(), saved);
    save(&["--out", "nowhere/kept.json"]).fails().says(&["cannot write into nowhere/kept.json"]);
    let names = fs::read_dir(world.path("work")).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["alpha", "alpha-0.1.0.json", "kept.json"], "nothing is left over");
    world
        .yk_cargo(["proof", "alpha@0.2.0", "--registry", NAME])
        .fails()
        .says(&["the registry has no proof of alpha 0.2.0"]);
}

#[test]
fn what_does_not_hold_is_not_saved() {
    let locked = Locked::new();
    let good = ALICE.proof(&locked.index, "alpha", "0.1.0");
    let line = |cksum: &str| {
        let line = json!({ "name": "alpha", "vers": "0.1.0", "deps": [], "features": {}, "cksum": cksum });
        locked.serves("/index/al/ph/alpha", "200 OK", line.to_string());
    };
    let refused = |proof: Value, text: &str| {
        locked.answers("alpha", "0.1.0", "200 OK", proof.to_string());
        let outcome = locked.computer.yk_cargo(["proof", "alpha@0.1.0", "--registry", "r"]).fails();
        outcome.says(&[text]);
        assert_eq!(fs::read_dir(locked.computer.path("work")).unwrap().count(), 0);
    };
    let with = |field: &str, value: Value| {
        let mut proof = good.clone();
        proof[field] = value;
        proof
    };
    refused(good.clone(), "the index does not have this version");
    line(&FILE.to_string());
    refused(ALICE.proof(&locked.index, "alpha", "0.1.1"), "it is one for alpha 0.1.1");
    refused(ALICE.proof("sparse+https://o.example/\u{1b}", "alpha", "0.1.0"), r"o.example/\u{1b}");
    refused(with("public", MALLORY.public().to_string().into()), "the token does not verify");
    refused(with("cksum", "cd".repeat(32).into()), "the token was signed for a file with checksum abab");
    line(&"cd".repeat(32));
    refused(good.clone(), "and the index has one with cdcd");
    locked.serves("/index/al/ph/alpha", "200 OK", "{".to_owned());
    refused(good.clone(), "the index cannot be used for alpha: line 1");
    line(&FILE.to_string());
    locked.answers("alpha", "0.1.0", "200 OK", good.to_string());
    locked.computer.yk_cargo(["proof", "alpha@0.1.0", "--registry", "r"]).succeeds();
    assert_eq!(fs::read_to_string(locked.computer.path("work/alpha-0.1.0.json")).unwrap(), good.to_string());
}

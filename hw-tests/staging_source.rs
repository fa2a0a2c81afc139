//! `stage view --source`: what a machine has staged from a commit is compared with the person's clone.

use std::process::Command;

use crate::staging_gateway::Staged;
use crate::world::{NAME, Reads, World};

fn git(world: &World, arguments: &[&str]) {
    let mut command = Command::new("git");
    world.environment(&mut command);
    command.args(["-c", "user.name=a", "-c", "user.email=a@b.example", "-c", "commit.gpgsign=false"]);
    let output = command.args(arguments).current_dir(world.path("work/gamma")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_staged_file_is_compared_with_the_commit_that_it_names() {
    let staged = Staged::of(World::with(Reads::AuthRequired, |card| card).enroll());
    let world = &staged.world;
    let package = world.package("gamma", "0.1.0", "");
    world.write("work/gamma/.gitignore", "Cargo.lock\n");
    git(world, &["init", "--quiet"]);
    git(world, &["add", "--all"]);
    git(world, &["commit", "--quiet", "--message", "x"]);
    staged.machine(world.publish(&package)).succeeds();
    let source = package.to_str().unwrap();
    let view = |which| world.yk_cargo(["stage", "view", which, "--source", source, "--cargo", env!("CARGO")]);
    let same = view("gamma@0.1.0").succeeds();
    // .gitignore, both of Cargo.toml, and src/lib.rs.
    same.says(&["4 of its files are identical to those of commit "]);
    assert!(same.stdout.contains("gamma 0.1.0  staged, "), "{same:#?}");
    assert!(!same.stderr.contains("Cargo.toml"), "{same:#?}");

    // The machine stages what is in no commit.
    let manifest = std::fs::read_to_string(package.join("Cargo.toml")).unwrap().replace("0.1.0", "0.2.0");
    world.write("work/gamma/Cargo.toml", &manifest);
    git(world, &["commit", "--quiet", "--all", "--message", "y"]);
    world.write("work/gamma/src/lib.rs", "//! Another crate.\n");
    let dirty = ["publish", "--registry", NAME, "--allow-dirty"];
    staged.machine(world.cargo(&package, dirty)).succeeds();
    let other = view("gamma@0.2.0").fails();
    other.says(&["it differs from commit ", ": src/lib.rs differs"]);
    // What is in the file is shown before.
    assert!(other.stdout.contains("gamma 0.2.0  staged, "), "{other:#?}");
    let elsewhere = world.path("home");
    let nowhere = ["stage", "view", "gamma@0.1.0", "--source", elsewhere.to_str().unwrap()];
    world.yk_cargo(nowhere).fails().says(&["git"]);
}

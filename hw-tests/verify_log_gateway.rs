//! The log of a real gateway, which is restored from a backup.

use std::fs;
use std::path::Path;

use registry_gateway::store::{Loss, Store};

use crate::lock_registry::verdicts;
use crate::terminal::expect;
use crate::world::{NAME, Reads, World};

fn publish(world: &World, name: &str) {
    let package = world.package(name, "0.1.0", "");
    world.publish(&package).succeeds();
}

/// Depends on these, and has cargo write a lock file.
fn depends_on(world: &World, names: &[&str]) {
    let dependencies: String = names
        .iter()
        .map(|name| format!("{name} = {{ version = \"0.1\", registry = \"{NAME}\" }}\n"))
        .collect();
    let package = world.package("user", "0.1.0", &format!("[dependencies]\n{dependencies}"));
    world.cargo(&package, ["generate-lockfile"]).succeeds();
}

#[track_caller]
fn is(world: &World, more: &[&str], code: i32, says: &str) {
    let verify = [&["verify", "--lock", "user/Cargo.lock", "--json"], more].concat();
    let outcome = world.yk_cargo(verify).ends();
    let (found, verdicts) = verdicts(&outcome);
    let said = verdicts.iter().all(|(_, text)| text.contains(says));
    assert!(found == code && said, "{outcome:#?}");
}

/// The store as it lies there.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    fs::set_permissions(to, fs::metadata(from).unwrap().permissions()).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        let to = to.join(file.file_name());
        if file.file_type().unwrap().is_dir() {
            copy(&file.path(), &to);
        } else {
            fs::copy(file.path(), to).unwrap();
        }
    }
}

#[test]
fn a_gateway_shows_what_was_published_in_its_log() {
    let world = World::enrolled();
    publish(&world, "alpha");
    publish(&world, "beta");
    depends_on(&world, &["alpha", "beta"]);
    is(&world, &[], 10, "of the log, but the log's key is not in your list");
    is(&world, &["--remember", "--yes"], 0, "its signer is now recorded");
    is(&world, &[], 0, "of the log (done)");
    is(&world, &["--offline"], 0, "according to a kept proof (done)");
    let audit = world.yk_cargo(["audit", NAME]).succeeds();
    assert!(audit.stdout.contains("the same as before"), "{audit:#?}");
    // At once after a publish its log may have to be waited for.
    publish(&world, "gamma");
    let outcome =
        world.yk_cargo(["verify", "gamma@0.1.0", "--registry", NAME, "--remember", "--yes"]).succeeds();
    let log = outcome.stdout.lines().find(|line| line.starts_with("ok       log: entry "));
    assert!(log.is_some_and(|line| line.ends_with(" of the log (done)")), "{outcome:#?}");
    // And by other people's programs' form.
    world.yk_cargo(["proof", "gamma@0.1.0", "--registry", NAME]).succeeds();
    let saved = fs::read_to_string(world.path("work/gamma-0.1.0.json")).unwrap();
    assert!(saved.starts_with("c2sp.org/tlog-proof@v1\n"), "{saved}");
}

/// A backup knows nothing of what came after it, and what comes then is another history.
#[test]
fn a_restored_gateway_is_refused_until_its_new_log_is_accepted() {
    let mut world = World::with(Reads::Open, |card| card).enroll();
    publish(&world, "alpha");
    let backup = world.path("backup");
    world.restarted(Reads::Open, |store| copy(store, &backup));
    publish(&world, "beta");
    depends_on(&world, &["alpha"]);
    is(&world, &["--remember", "--yes"], 0, "");
    is(&world, &[], 0, "of the log (done)");
    let kept = world.path("home/yk-cargo/log");
    let kept = fs::read_dir(kept).unwrap().next().unwrap().unwrap().path().join("checkpoint");
    let seen = fs::read_to_string(&kept).unwrap();
    world.restarted(Reads::Open, |store| {
        fs::remove_dir_all(store).unwrap();
        copy(&backup, store);
    });
    is(&world, &[], 17, "the log is older or shorter than the one seen before: it had ");
    publish(&world, "gamma");
    publish(&world, "delta");
    is(&world, &[], 17, "the log is not the one that was seen before: ");
    assert_eq!(fs::read_to_string(&kept).unwrap(), seen);
    // The administrator begins a new one, which the person has to accept.
    let lost = seen.clone();
    world.restarted(Reads::Open, |store| {
        let loss = Loss { checkpoint: Some(lost), ..Loss::default() };
        Store::open_existing(store).unwrap().accept_restore(&loss, jiff::Timestamp::now()).unwrap();
    });
    is(&world, &[], 17, "the log was started anew (generation 2; you know 1)");
    let mut session = world.at_a_terminal(&format!("yk-cargo audit {NAME} --remember; echo STATUS $?"));
    expect(&mut session, &["it does not have all ", "why the log was started anew", "[y/N] "]);
    session.send_line("y").unwrap();
    expect(&mut session, &["of generation 2, seen for the first time", "STATUS 0"]);
    session.exp_eof().unwrap();
    is(&world, &[], 0, "of the log (done)");
    publish(&world, "epsilon");
    is(&world, &[], 0, "of the log (done)");
}

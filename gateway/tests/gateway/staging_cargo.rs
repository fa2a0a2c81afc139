//! Stable cargo on a build machine stages what people approve.
#![cfg(unix)]

use std::fs;

use registry_gateway::config::Reads;

#[cfg(target_os = "linux")]
use crate::common::database::Database;
use crate::common::machine::{Machine, Runner};
#[cfg(target_os = "linux")]
use crate::common::{Fixture, Upload};

/// Each depends on the one before it, but for the last.
const FIVE: [(&str, &str); 5] =
    [("one", ""), ("two", "one"), ("three", "two"), ("four", "three"), ("five", "")];
const PUBLISH: &str = "publish --workspace --registry my-reg";

/// Approves everything that waits, in the order in which it was staged.
fn approve_all(fixture: &Fixture) -> Vec<String> {
    let mut names = Vec::new();
    for staged in fixture.waiting() {
        let id = staged["id"].as_i64().unwrap();
        let [name, version] = ["name", "vers"].map(|field| staged[field].as_str().unwrap().to_owned());
        let file = fixture.get(&format!("/api/v1/staged/{id}/download")).body;
        let upload = Upload { name: name.clone(), version, json: Vec::new(), file };
        fixture.approves(id, &upload).assert_ok();
        names.push(name);
    }
    names
}

#[test]
fn a_workspace_of_five_and_its_runs_again() {
    five_and_again(&Fixture::new());
}

/// Which of them cargo reaches changes with each connection, and each knows what was staged through the other.
#[cfg(target_os = "linux")]
#[test]
fn a_workspace_of_five_through_two_gateways_in_turn() {
    let Some(database) = Database::new() else { return };
    let [one, other] = database.two_in_turn();
    five_and_again(&one);
    assert!(other.waiting().is_empty());
    assert!(database.run(&["audit", "verify"]).status.success());
}

fn five_and_again(fixture: &Fixture) {
    let machine = Machine::new(fixture, 9, &["one", "two", "three", "four", "five"]);
    let runner = Runner::new(fixture);
    let root = runner.workspace("1.0.0", &FIVE);
    let job = fixture.job(&machine);
    let tried = runner.succeeds(&root, &job, &format!("{PUBLISH} --dry-run"));
    assert!(tried.contains("aborting upload due to dry run"), "{tried}");
    assert!(fixture.waiting().is_empty());
    let said = runner.succeeds(&root, &job, PUBLISH);
    assert!(said.contains("warning: one 1.0.0 is staged as number"), "{said}");
    assert!(said.contains("Verifying four v1.0.0"), "{said}");
    assert_eq!(fixture.waiting().len(), 5);

    let again = runner.fails(&root, &job, PUBLISH);
    assert!(again.contains("already exists"), "{again}");
    // Another job sees nothing of it, and uploads the same files.
    runner.succeeds(&root, &fixture.job(&machine), PUBLISH);
    assert_eq!(fixture.waiting().len(), 5);

    // Those without a dependency came first.
    assert_eq!(approve_all(fixture)[2..], ["two", "three", "four"]);
    for path in ["3/o/one", "3/t/two", "th/re/three", "fo/ur/four", "fi/ve/five"] {
        fixture.get(&format!("/index/{path}")).assert_ok();
    }
    let late = runner.fails(&root, &fixture.job(&machine), PUBLISH);
    assert!(late.contains("already exists"), "{late}");
    fixture.is_as_logged();
}

/// The one in the middle is refused. What was staged before it is there, and the rest can follow.
#[test]
fn a_failed_middle() {
    let fixture = Fixture::new();
    let narrow = Machine::new(&fixture, 9, &["one", "three"]);
    let runner = Runner::new(&fixture);
    let root = runner.workspace("1.0.0", &FIVE[..3]);
    let failed = runner.fails(&root, &fixture.job(&narrow), PUBLISH);
    assert!(failed.contains("may not stage the crate `two`"), "{failed}");
    assert_eq!(fixture.waiting().len(), 1);
    assert_eq!(approve_all(&fixture), ["one"]);
    let wide = Machine::new(&fixture, 10, &["one", "two", "three"]);
    let job = fixture.job(&wide);
    // Cargo refuses the whole if a part is there.
    let refused = runner.fails(&root, &job, PUBLISH);
    assert!(refused.contains("one@1.0.0 already exists"), "{refused}");
    runner.succeeds(&root, &job, "publish -p two -p three --registry my-reg");
    assert_eq!(approve_all(&fixture), ["two", "three"]);
}

/// Cargo looks for it in vain for a minute, and ends well.
#[test]
fn one_crate_on_an_open_registry() {
    let fixture = Fixture::with(|config| config.reads = Reads::Open);
    let machine = Machine::new(&fixture, 9, &["one"]);
    let runner = Runner::new(&fixture);
    let root = runner.workspace("1.0.0", &FIVE[..1]);
    let said = runner.succeeds(&root, &fixture.job(&machine), "publish -p one --registry my-reg");
    assert!(said.contains("NOT published yet"), "{said}");
    assert_eq!(approve_all(&fixture), ["one"]);
}

/// A file that was staged and rejected is in nobody's cache.
#[test]
fn another_file_for_the_same_version_is_the_one_that_is_built() {
    let fixture = Fixture::new();
    let machine = Machine::new(&fixture, 9, &["one", "two"]);
    let runner = Runner::new(&fixture);
    let root = runner.workspace("1.0.0", &FIVE[..2]);
    let job = fixture.job(&machine);
    runner.succeeds(&root, &job, "publish -p one --registry my-reg");
    let refused = runner.fails(&root, &job, "publish -p two --registry my-reg");
    assert!(refused.contains("is staged and not published, so it is not downloaded"), "{refused}");
    assert!(refused.contains("--no-verify"), "{refused}");
    let first = fixture.waiting()[0]["id"].as_i64().unwrap();
    fixture.reject(first, &fixture.fresh_read_token(), "").assert_ok();
    fs::write(root.join("one/src/lib.rs"), "/// It is there.\npub const THERE: bool = !false;\n").unwrap();
    runner.succeeds(&root, &fixture.job(&machine), PUBLISH);
    assert_eq!(approve_all(&fixture), ["one", "two"]);
}

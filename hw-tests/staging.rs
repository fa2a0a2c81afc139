//! `stage`: what a machine has staged is shown, approved and rejected by a person with a card, at a registry that may lie.

use std::fs;
use std::sync::mpsc;
use std::time::Duration;

use asymmetric_token::{Checksum, Mutation};
use serde_json::{Value, json};

use crate::asked::Asked;
use crate::asking_registry::{Challenges, State, sha256};
use crate::loopback::{self, Reply};
use crate::staged_versions::Staging;
use crate::terminal::expect;
use crate::trace::Seen;
use crate::world::{PIN, Reads, Run, World};

fn asked() -> Asked {
    Asked::new(Reads::AuthRequired, Challenges::Required)
}

impl Asked {
    fn stage(&self, arguments: &[&str]) -> Run {
        self.world.yk_cargo([&["stage"], arguments].concat())
    }

    fn published(&self) -> Vec<String> {
        let state = self.registry.state();
        let names = state.staging.approved.iter().map(|claims| claims.mutation.as_ref().unwrap());
        names.map(|mutation| mutation.name().to_string()).collect()
    }
}

fn depends_on(names: &[&str]) -> String {
    let dependency =
        |name: &&str| format!("[dependencies.{name}]\nversion = \"1\"\nregistry-index = \"INDEX\"\n");
    names.iter().map(dependency).collect()
}

/// Five crates that need each other, staged in the order of their names.
fn workspace(asked: &Asked) {
    let index = asked.registry.index_url();
    let mut state = asked.registry.state();
    for (name, on) in [
        ("alpha", &["delta", "gamma"][..]),
        ("beta", &["alpha"]),
        ("delta", &[]),
        ("epsilon", &["beta"]),
        ("gamma", &["delta"]),
    ] {
        state.stage(name, "1.0.0", &depends_on(on).replace("INDEX", &index), &[]);
    }
}

#[test]
fn five_crates_cost_one_pin_and_five_touches() {
    // The registry takes longer for each than the service leaves an idle card its power.
    let world = World::with(Reads::AuthRequired, |card| card.idle_off(Duration::from_millis(100)));
    let asked = Asked::in_world(world, Challenges::Required);
    workspace(&asked);
    asked.registry.state().staging.slow = Some(Duration::from_millis(400));
    let mut session = asked.world.at_a_terminal("yk-cargo stage approve && echo DONE");
    expect(
        &mut session,
        &["delta 1.0.0  SHA-256 ", "gamma 1.0.0", "alpha 1.0.0", "beta 1.0.0", "epsilon 1.0.0"],
    );
    expect(&mut session, &["Approve these 5 versions at `my-reg`? Each needs a touch. [y/N] "]);
    session.send_line("y").unwrap();
    expect(
        &mut session,
        &["signing publish of `delta 1.0.0` for `my-reg`", "PIN of YubiKey 12345678 (3 tries left): "],
    );
    session.send_line(PIN).unwrap();
    for name in ["delta", "gamma", "alpha", "beta", "epsilon"] {
        expect(&mut session, &["touch YubiKey 12345678 now", &format!("published {name} 1.0.0")]);
    }
    expect(&mut session, &["DONE"]);
    let seen = Seen::on(&asked.world.card);
    assert_eq!((seen.pins(), seen.touches(), seen.signatures("83")), (1, 5, 5));
    seen.assert_well_mannered();
    assert_eq!(asked.published(), ["delta", "gamma", "alpha", "beta", "epsilon"]);
    let state = asked.registry.state();
    assert_eq!(state.paid, 5, "each has a challenge of its own");
    let of_file = |mutation: &Mutation| {
        let Mutation::Publish { name, checksum, .. } = mutation else { panic!("{mutation:?}") };
        let (id, _) = state.staging.stages.iter().find(|(_, stage)| stage["name"] == name.as_str()).unwrap();
        *checksum == Checksum(sha256(&state.staging.files[id]))
    };
    assert!(state.staging.approved.iter().all(|claims| of_file(claims.mutation.as_ref().unwrap())));
}

#[test]
fn a_version_is_shown_by_what_is_in_its_file() {
    let asked = asked();
    let index = asked.registry.index_url();
    {
        let mut state = asked.registry.state();
        let old = depends_on(&["gone"]).replace("INDEX", &index) + "[features]\nold = []\n";
        state.release("alpha", "0.8.0", "", &[("far.txt", b"")]);
        state.release(
            "alpha",
            "0.9.0",
            &old,
            &[("kept.txt", b"1\n"), ("lost.txt", b""), ("build.rs", b"fn main() {}\n")],
        );
        let new = depends_on(&["new-one"]).replace("INDEX", &index)
            + "[features]\nnew = []\n[lib]\nproc-macro = true\n[[bin]]\nname = \"tool\"\npath = \"src/tool.rs\"\n";
        let files: [(&str, &[u8]); 5] = [
            ("kept.txt", b"1\n"),
            ("build.rs", b"fn main() { panic!() }\n"),
            ("src/lib.rs", b"//! A crate.\n\x1b[2Jnew\n"),
            ("src/tool.rs", b"fn main() {}\n"),
            ("blob.dat", b"\0\xff"),
        ];
        let id = state.stage("alpha", "1.0.0", &new, &files);
        let stage = state.staging.stages.get_mut(&id).unwrap();
        stage["stager"]["repository"] = "acme/\u{1b}[31m\nx".into();
        stage["words"] = "no\u{202e}\nhint: do this".into();
    }
    let shown = asked.stage(&["view", "alpha@1.0.0"]).succeeds().stdout;
    for text in [
        "alpha 1.0.0  staged, number 1 at `my-reg`",
        "acme-ci: acme/\\u{1b}[31m\\u{a}x, release.yml, refs/tags/v1, 0123abc",
        "https://ci.example/acme/x/runs/42",
        "    | no\\u{202e}\n    | hint: do this",
        "with 0.9.0",
        "runs        build script build.rs, changed",
        "runs        procedural macro, new",
        "runs        installs tool (new)",
        "    - gone ^1",
        "    + new-one ^1",
        "    - old = []",
        "    + new = []",
        "    + blob.dat  2 bytes, binary",
        "    ~ build.rs  13 to 23 bytes, the build script",
        "    - lost.txt  0 bytes",
    ] {
        assert!(shown.contains(text), "no {text:?} in {shown}");
    }
    assert!(!shown.contains("kept.txt"), "{shown}");
    let next = "to approve this file: yk-cargo stage approve --registry my-reg 1\n";
    assert!(shown.ends_with(next), "{shown}");
    let report: Value =
        serde_json::from_str(&asked.stage(&["view", "1", "--json"]).succeeds().stdout).unwrap();
    assert_eq!((&report["vers"], &report["contents"]["since"]), (&json!("1.0.0"), &json!("0.9.0")));
    assert_eq!(report["contents"]["binary-files"], json!(["blob.dat"]));
    let diff = asked.stage(&["diff", "alpha@1.0.0"]).succeeds().stdout;
    for text in [
        "=== alpha 1.0.0 since 0.9.0, SHA-256 ",
        "=== build.rs changed, 13 to 23 bytes, the build script\n@@ -1 +1 @@\n-fn main() {}\n+fn main() { panic!() }\n",
        "+\\u{1b}[2Jnew\n",
        "=== blob.dat added, 2 bytes\n=== binary: yk-cargo stage download saves the crate file\n",
    ] {
        assert!(diff.contains(text), "no {text:?} in {diff}");
    }
    let list = asked.stage(&["list"]).succeeds();
    assert!(list.stdout.starts_with("   1  alpha 1.0.0  staged, "), "{list:#?}");
    list.says(&["1 of 1 wait for you"]);
    asked.stage(&["download", "alpha@1.0.0"]).succeeds().says(&["written to alpha-1.0.0.crate"]);
    let saved = fs::read(asked.world.path("work/alpha-1.0.0.crate")).unwrap();
    assert_eq!(saved, asked.registry.state().staging.files[&1]);
    assert_eq!(Seen::on(&asked.world.card).pins(), 0, "none of it costs anything");
}

/// However the manifest writes their paths.
#[test]
fn what_would_run_is_found_by_the_path_that_cargo_follows() {
    let asked = asked();
    let of = |build: &str| format!("build = '{build}'\n[[bin]]\nname = \"tool\"\npath = \"src/main.rs\"\n");
    let main: (&str, &[u8]) = ("src/main.rs", b"fn main() {}\n");
    {
        let mut state = asked.registry.state();
        state.release(
            "alpha",
            "0.6.0",
            &of("./x/../e.rs"),
            &[("e.rs", b"fn main() {}\n"), ("x/y", b""), main],
        );
        let files: [(&str, &[u8]); 4] =
            [("e.rs", b"fn main() { panic!() }\n"), ("x/y", b""), main, ("src/bin/ls.rs", b"fn main() {}\n")];
        for (version, build) in [("0.6.1", "./x/../e.rs"), ("0.6.2", "x\\..\\e.rs"), ("0.6.3", "E.rs")] {
            state.stage("alpha", version, &of(build), &files);
        }
    }
    let changed = "runs        build script e.rs, changed\n";
    let nowhere = "runs        build script E.rs, but no file of the crate has exactly this path\n";
    for (id, script) in [("1", changed), ("2", changed), ("3", nowhere)] {
        let shown = asked.stage(&["view", id]).succeeds().stdout;
        let is_marked = shown.contains("    ~ e.rs  13 to 23 bytes, the build script\n");
        assert!(shown.contains(script) && is_marked == (script == changed), "{shown}");
        assert!(shown.contains("runs        installs ls (new), tool\n"), "{shown}");
        let diff = asked.stage(&["diff", id]).succeeds().stdout;
        let is_marked = diff.contains("=== e.rs changed, 13 to 23 bytes, the build script\n");
        assert_eq!(is_marked, script == changed, "{diff}");
    }
}

#[test]
fn a_pager_shows_the_difference() {
    let asked = asked();
    asked.registry.state().stage("alpha", "1.0.0", "", &[]);
    let pager = asked.world.script("pager.sh", "#!/bin/sh\necho \"PAGER $1\"; cat; echo END\n");
    let line = format!("PAGER='{} -x' yk-cargo stage diff alpha@1.0.0", pager.display());
    let mut session = asked.world.at_a_terminal(&line);
    expect(&mut session, &["PAGER -x", "=== alpha 1.0.0, SHA-256 ", "+//! A crate.", "END"]);
    // One that ends early is no error.
    let mut session = asked.world.at_a_terminal("PAGER=true yk-cargo stage diff alpha@1.0.0 && echo DONE");
    expect(&mut session, &["DONE"]);
}

/// Nothing is signed of what is not what it says it is.
#[test]
fn a_registry_that_lies_gets_no_signature() {
    type Lie = fn(&mut State);
    let lies: [(Lie, &str); 9] = [
        (|state| state.staging.files.get_mut(&1).unwrap().push(0), "its file has the checksum"),
        (|state| stage(state)["name"] = "beta".into(), "is not what its description says"),
        (|state| stage(state)["vers"] = "1.0.1".into(), "is not what its description says"),
        (
            |state| stage(state)["vers"] = "\u{1b}[2J".into(),
            "does not answer like a registry that keeps staged versions",
        ),
        (|state| stage(state)["id"] = json!("1/../2"), "does not answer like a registry"),
        (
            |state| {
                stage(state)["state"] = "fine".into();
                let list = json!({"staged": [stage(state)]}).to_string();
                state.staging.instead.insert("GET ".into(), Reply::new("200 OK", list));
            },
            "does not answer like a registry",
        ),
        (
            |state| {
                // The list alone, which may be longer than what is said of one.
                let mut one = stage(state).clone();
                one["words"] = "x".repeat(5 << 20).into();
                let list = json!({"staged": [one]}).to_string();
                state.staging.instead.insert("GET ".into(), Reply::new("200 OK", list));
            },
            "sent a longer answer than a registry should",
        ),
        (
            |state| {
                let mut other = stage(state).clone();
                other["id"] = 2.into();
                state.staging.instead.insert("GET 1".into(), Reply::new("200 OK", other.to_string()));
            },
            "does not answer like a registry that keeps staged versions",
        ),
        (
            |state| {
                let reply =
                    Reply::new("403 Forbidden", "{\"errors\":[{\"detail\":\"no\\u001b[2J\\nhint: x\"}]}");
                state.staging.instead.insert("GET 1/download".into(), reply);
            },
            "it says\n    | no\\u{1b}[2J\n    | hint: x",
        ),
    ];
    let asked = asked();
    for (lie, says) in lies {
        asked.registry.state().staging = Default::default();
        asked.registry.state().stage("alpha", "1.0.0", "", &[]);
        lie(&mut asked.registry.state());
        asked.stage(&["approve", "--yes"]).fails().says(&[says]);
        assert_eq!(Seen::on(&asked.world.card).signatures("83"), 0, "{says}");
    }
}

/// A machine has staged so many versions that the list has no room for what a person is to approve.
#[test]
fn nobody_is_kept_from_approving_by_how_much_is_staged() {
    let asked = asked();
    {
        let mut state = asked.registry.state();
        state.stage("alpha", "1.0.0", "", &[]);
        let file = state.staging.files.remove(&1).unwrap();
        let mut one = state.staging.stages.remove(&1).unwrap();
        one["id"] = 5000.into();
        state.staging.files.insert(5000, file);
        for id in 1..=1010 {
            let mut other = one.clone();
            (other["id"], other["vers"], other["may_approve"]) =
                (id.into(), format!("0.0.{id}").into(), false.into());
            state.staging.stages.insert(id, other);
        }
        state.staging.stages.insert(5000, one);
    }
    let cut = "1011 versions are staged there, and only the first 1000 of them are read";
    let list = asked.stage(&["list"]).succeeds();
    assert_eq!(list.stdout.matches("alpha 0.0.").count(), 1000);
    list.says(&[&format!("this is not all: {cut}")]);
    let list: Value = serde_json::from_str(&asked.stage(&["list", "--json"]).succeeds().stdout).unwrap();
    assert_eq!((list["staged"].as_array().unwrap().len(), &list["more"]), (1000, &json!(11)));
    for command in [&["approve", "alpha@1.0.0", "--yes"][..], &["view", "alpha@1.0.0"]] {
        asked.stage(command).fails().says(&[cut, "give its number in place of its name"]);
    }
    let unknown = "how many staged versions wait for your approval at `my-reg` is not known: ";
    let is_told = |why: &str, set: &dyn Fn()| {
        set();
        let status = asked.world.yk_cargo(["status"]).succeeds().stdout;
        assert!(status.contains(&format!("    {unknown}")) && status.contains(why), "{status}");
        set();
        let status = asked.world.yk_cargo(["status", "--json"]).succeeds().stdout;
        let status: Value = serde_json::from_str(&status).unwrap();
        assert_eq!(status["registries"][0]["staged-waiting"], Value::Null);
        assert!(status["registries"][0]["staged-unknown"].as_str().unwrap().ends_with(why), "{status}");
        set();
        let doctor = asked.world.yk_cargo(["doctor"]).ends().stdout;
        assert!(doctor.contains(&format!("warning  staged: {unknown}")) && doctor.contains(why), "{doctor}");
        assert!(doctor.contains("next: yk-cargo stage list --registry my-reg\n"), "{doctor}");
    };
    is_told(cut, &|| {});
    // A list that is too long even for that.
    let is_endless = || {
        let reply = Reply::new("200 OK", vec![b' '; 5 << 20]);
        asked.registry.state().staging.instead.insert("GET ".into(), reply);
    };
    is_told("sent a longer answer than a registry should", &is_endless);
    is_endless();
    let approved = asked.stage(&["approve", "5000", "--yes"]).succeeds();
    approved.says(&["not everything that is staged there is known"]);
    assert!(approved.stdout.ends_with("published alpha 1.0.0\n"), "{approved:#?}");
}

#[test]
fn of_two_that_are_staged_as_one_version_a_number_names_one() {
    let asked = asked();
    for _ in 0..2 {
        asked.registry.state().stage("alpha", "1.0.0", "", &[]);
    }
    asked.stage(&["approve", "--yes", "alpha@1.0.0"]).fails().says(&["alpha 1.0.0", "1, 2"]);
    asked.stage(&["approve", "--yes", "2", "2"]).succeeds();
    assert_eq!(asked.published(), ["alpha"]);
    // It says of another file that it has published it.
    let mut other = stage(&mut asked.registry.state()).clone();
    (other["state"], other["cksum"]) = ("published".into(), "ab".repeat(32).into());
    let reply = Reply::new("200 OK", other.to_string());
    asked.registry.state().staging.instead.insert("PUT 1/approve".into(), reply);
    asked
        .stage(&["approve", "--yes", "1"])
        .fails()
        .says(&["cannot be approved or rejected: it is published"]);
}

/// Whoever names it.
#[test]
fn another_host_gets_no_token() {
    let asked = asked();
    let (listener, elsewhere) = loopback::bind(false);
    let (tell, told) = mpsc::channel();
    loopback::serve(listener, None, move |request| {
        tell.send(request.token.clone()).unwrap();
        Reply::new("401 Unauthorized", "")
    });
    asked.registry.state().api = Some(elsewhere.clone());
    let says =
        format!("{elsewhere} wants a token, but the registry's token is sent only to the host of its index");
    for arguments in [&["list"][..], &["approve", "--yes"], &["reject", "alpha@1.0.0", "--yes"]] {
        asked.stage(arguments).fails().says(&[&says]);
    }
    assert!(told.try_iter().all(|token| token.is_none()));
    assert_eq!(Seen::on(&asked.world.card).signatures("83"), 0);
}

fn stage(state: &mut State) -> &mut Value {
    one(&mut state.staging)
}

fn one(staging: &mut Staging) -> &mut Value {
    staging.stages.get_mut(&1).unwrap()
}

/// Between the question and the signature the registry has another version in its place.
#[test]
fn what_was_staged_anew_is_not_signed() {
    let asked = asked();
    asked.registry.state().stage("alpha", "1.0.0", "", &[]);
    asked
        .registry
        .state()
        .staging
        .before
        .insert("GET 1".into(), Box::new(|staging| one(staging)["cksum"] = "ab".repeat(32).into()));
    let outcome = asked.stage(&["approve", "--yes"]).fails();
    outcome.says(&[
        "stopped at alpha 1.0.0; nothing was approved",
        "alpha 1.0.0 was staged again in the meantime",
    ]);
    stage(&mut asked.registry.state())["state"] = "rejected".into();
    asked.stage(&["approve", "1", "--yes"]).fails().says(&["cannot be approved or rejected: it is rejected"]);
    // What `view` and `diff` say at their ends approves that file, or none.
    asked.registry.state().staging = Default::default();
    asked.registry.state().stage("alpha", "1.0.0", "", &[]);
    let shown = asked.stage(&["view", "alpha@1.0.0"]).succeeds().stdout;
    let diff = asked.stage(&["diff", "alpha@1.0.0"]).succeeds().stdout;
    let said = shown.lines().last().unwrap().strip_prefix("to approve this file: yk-cargo stage ").unwrap();
    assert!(diff.ends_with(&format!("\n=== to approve this file: yk-cargo stage {said}\n")), "{diff}");
    stage(&mut asked.registry.state())["state"] = "rejected".into();
    asked.registry.state().stage("alpha", "1.0.0", "", &[("other.txt", b"")]);
    let command: Vec<_> = said.split(' ').chain(["--yes"]).collect();
    asked.stage(&command).fails().says(&["cannot be approved or rejected: it is rejected"]);
    let shown = asked.stage(&["view", "1"]).succeeds().stdout;
    assert!(!shown.contains("stage approve"), "{shown}");
    assert_eq!(Seen::on(&asked.world.card).signatures("83"), 0);
}

#[test]
fn a_dependent_comes_after_what_it_is_built_with() {
    let asked = asked();
    workspace(&asked);
    let refused = asked.stage(&["approve", "--yes", "gamma@1.0.0"]).fails();
    refused.says(&[
        "gamma 1.0.0 depends on delta 1.0.0, which is staged but not published; nothing was signed",
        "yk-cargo stage approve --registry my-reg 3 5",
    ]);
    assert_eq!(Seen::on(&asked.world.card).all_signatures(), Seen::on(&asked.world.card).signatures("82"));
    asked.stage(&["approve", "--yes", "gamma@1.0.0", "delta@1.0.0"]).succeeds();
    assert_eq!(asked.published(), ["delta", "gamma"]);
    // What is already published is passed over.
    asked
        .stage(&["approve", "--yes", "delta@1.0.0", "alpha@1.0.0"])
        .succeeds()
        .says(&["delta 1.0.0 is published already"]);
    asked.stage(&["approve", "--yes", "zeta@1.0.0"]).fails().says(&["zeta 1.0.0 is not staged at `my-reg`"]);
    let mut state = asked.registry.state();
    for (name, on) in [("yin", "yang"), ("yang", "yin")] {
        let index = asked.registry.index_url();
        state.stage(name, "1.0.0", &depends_on(&[on]).replace("INDEX", &index), &[]);
    }
    drop(state);
    asked.stage(&["approve", "--yes"]).fails().says(&["depend on each other in a circle"]);
}

#[test]
fn a_failure_in_the_middle_says_what_was_done_and_can_be_repeated() {
    let asked = asked();
    workspace(&asked);
    let no = "{\"errors\":[{\"detail\":\"the registry behind is away\"}]}";
    asked.registry.state().staging.instead.insert("PUT 1/approve".into(), Reply::new("502 Bad Gateway", no));
    let outcome = asked.stage(&["approve", "--yes"]).fails();
    outcome.says(&[
        "error: stopped at alpha 1.0.0; 2 of 5 were approved: delta 1.0.0, gamma 1.0.0",
        "    | the registry behind is away",
        "run the same command again, which goes on with the rest",
    ]);
    assert_eq!(outcome.stdout.matches("published ").count(), 2, "{outcome:#?}");
    asked.stage(&["approve", "--yes"]).succeeds();
    assert_eq!(asked.published(), ["delta", "gamma", "alpha", "beta", "epsilon"]);
    let outcome = asked.stage(&["approve", "--yes"]).succeeds();
    assert_eq!(outcome.stdout, "nothing waits for your approval at `my-reg`\n");
}

/// The answer is lost, and the version is published all the same.
#[test]
fn an_answer_that_is_lost_is_asked_for() {
    let asked = asked();
    asked.registry.state().stage("alpha", "1.0.0", "", &[]);
    let mut state = asked.registry.state();
    state.staging.instead.insert("PUT 1/approve".into(), Reply::new("500 Internal Server Error", ""));
    state
        .staging
        .before
        .insert("PUT 1/approve".into(), Box::new(|staging| one(staging)["state"] = "published".into()));
    drop(state);
    assert!(asked.stage(&["approve", "--yes"]).succeeds().stdout.ends_with("published alpha 1.0.0\n"));
}

#[test]
fn only_what_waits_for_the_person_is_approved() {
    let asked = asked();
    let mut state = asked.registry.state();
    for name in ["alpha", "beta", "gamma", "delta", "epsilon"] {
        state.stage(name, "1.0.0", "", &[]);
    }
    let key = state.keys[1].id().to_string();
    state.staging.stages.get_mut(&2).unwrap()["may_approve"] = false.into();
    let third = state.staging.stages.get_mut(&3).unwrap();
    third["state"] = "waiting".into();
    third["approvals"] =
        json!({"needed": 2, "given": [{"user": "alice", "key": key, "time": "2026-11-30T12:30:00Z"}]});
    let run = "https://ci.example/acme/x/actions/runs/43";
    for (id, number) in [(4, 43), (5, 44)] {
        let run = format!("https://ci.example/acme/x/actions/runs/{number}/attempts/1");
        state.staging.stages.get_mut(&id).unwrap()["stager"]["run"] = run.into();
    }
    drop(state);
    asked.stage(&["approve", "--yes", "beta@1.0.0"]).fails().says(&["does not let you approve beta 1.0.0"]);
    asked
        .stage(&["approve", "--yes", "3"])
        .fails()
        .says(&["you have already approved gamma 1.0.0; somebody else has to approve it as well"]);
    // The number of an attempt is none of a run.
    for no_run in ["1", "attempts/1"] {
        let outcome = asked.stage(&["approve", "--yes", "--run", no_run]).succeeds();
        assert_eq!(outcome.stdout, "nothing waits for your approval at `my-reg`\n", "{no_run}");
    }
    asked.stage(&["approve", "--yes", "--run", run]).succeeds();
    assert_eq!(asked.published(), ["delta"]);
    asked.stage(&["approve", "--yes", "--run", "44"]).succeeds();
    assert_eq!(asked.published(), ["delta", "epsilon"]);
    asked.stage(&["approve", "--yes"]).succeeds();
    assert_eq!(asked.published(), ["delta", "epsilon", "alpha"]);
}

#[test]
fn two_people_approve_one_after_the_other() {
    let asked = asked();
    let index = asked.registry.index_url();
    let mut state = asked.registry.state();
    state.stage("alpha", "1.0.0", "", &[]);
    state.stage("beta", "1.0.0", &depends_on(&["alpha"]).replace("INDEX", &index), &[]);
    stage(&mut state)["approvals"]["needed"] = 2.into();
    drop(state);
    let outcome = asked.stage(&["approve", "--yes"]).fails();
    assert!(outcome.stdout.contains("approved alpha 1.0.0: approved 1 of 2 times, by alice"), "{outcome:#?}");
    outcome.says(&["beta 1.0.0 depends on alpha 1.0.0, which waits for somebody else's approval"]);
    assert_eq!(asked.published(), ["alpha"]);
}

#[test]
fn a_version_is_rejected_with_a_token_of_its_own() {
    let asked = asked();
    let mut state = asked.registry.state();
    state.stage("alpha", "1.0.0", "", &[]);
    state.stage("beta", "1.0.0", "", &[]);
    drop(state);
    asked.stage(&["reject", "alpha@1.0.0"]).fails().says(&["there is no terminal to ask on"]);
    let outcome = asked.stage(&["reject", "alpha@1.0.0", "2", "--reason", "not mine", "--yes"]).succeeds();
    assert!(outcome.stdout.ends_with("rejected alpha 1.0.0\nrejected beta 1.0.0\n"), "{outcome:#?}");
    let state = asked.registry.state();
    assert_eq!(state.staging.rejected, [json!({"reason": "not mine"}), json!({"reason": "not mine"})]);
    drop(state);
    asked.stage(&["reject", "1", "--yes"]).fails().says(&["it is rejected"]);
    asked
        .stage(&["reject", "1", "--reason", &"x".repeat(501)])
        .fails()
        .says(&["a reason has up to 500 bytes"]);
}

/// A no, and an interruption at the question: nothing was signed.
#[test]
fn the_question_is_a_question() {
    let asked = asked();
    asked.registry.state().stage("alpha", "1.0.0", "", &[]);
    let mut session = asked.world.at_a_terminal("yk-cargo stage approve || echo FAILED");
    expect(
        &mut session,
        &["no earlier release; 2 files", "Approve this version at `my-reg`? It needs a touch. [y/N] "],
    );
    session.send_line("").unwrap();
    expect(&mut session, &["nothing was changed", "FAILED"]);
    asked.stage(&["approve"]).fails().says(&["there is no terminal to ask on"]);
    assert_eq!(Seen::on(&asked.world.card).signatures("83"), 0);
    assert!(asked.registry.state().staging.approved.is_empty());
}

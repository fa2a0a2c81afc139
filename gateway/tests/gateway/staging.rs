//! Versions that a machine stages and people approve.
#![cfg(unix)]

use std::fs;

use asymmetric_token::Mutation;
use registry_gateway::config::Reads;
use registry_gateway::keys::Role;
use serde_json::json;

#[cfg(target_os = "linux")]
use crate::common::cluster::OWNER;
#[cfg(target_os = "linux")]
use crate::common::database::Database;
use crate::common::machine::Machine;
use crate::common::served::succeeds;
use crate::common::{Fixture, SoftwareKey, Upload, served, store};

const INDEX: &str = "/index/he/ll/hello";

/// Another file for the same version.
fn other(name: &str, version: &str) -> Upload {
    let manifest = format!("[package]\nname = \"{name}\"\nversion = \"{version}\"\nedition = \"2021\"\n");
    let file =
        crate::common::crate_file(name, version, &[("Cargo.toml", manifest.as_bytes()), ("src/lib.rs", b"")]);
    Upload::of(name, version, &json!({ "name": name, "vers": version }), &file)
}

#[test]
fn a_version_is_seen_by_its_token_alone_until_it_is_approved() {
    let fixture = Fixture::new();
    let machine = Machine::new(&fixture, 9, &["hello"]);
    let [job, next] = [(); 2].map(|()| fixture.job(&machine));
    let upload = Upload::new("hello", "1.0.0");
    let told = fixture.put_new(&job, &upload).json()["warnings"]["other"][0].as_str().unwrap().to_owned();
    for part in [
        "NOT published yet",
        "whoever may publish the crate may approve it",
        "`yk-cargo stage approve hello@1.0.0`",
    ] {
        assert!(told.contains(part), "{told}");
    }
    let index = |token: &str| fixture.send("GET", INDEX, Some(token), b"");
    let seen = index(&job);
    seen.assert_ok();
    assert!(seen.text().contains(&upload.checksum().to_string()), "{}", seen.text());
    assert_eq!(seen.field("cache-control"), Some("private, no-store"));
    assert_eq!(seen.field("vary"), Some("authorization"));
    let tag = seen.field("etag").unwrap();
    let again = format!(
        "GET {INDEX} HTTP/1.1\r\nHost: x\r\nAuthorization: {job}\r\nIf-None-Match: {tag}\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(fixture.raw(&again, b"").status, 304);
    assert_eq!(index(&next).status, 404, "another job of the same machine");
    assert_eq!(fixture.get(INDEX).status, 404);
    assert_eq!(fixture.send("GET", "/index/config.json", Some(&job), b"").status, 200);
    let download = fixture.send("GET", "/api/v1/crates/hello/1.0.0/download", Some(&job), b"");
    download.assert_refused(403, "`cargo publish --workspace`");
    assert!(download.detail().contains("`--no-verify`"));
    assert_eq!(fixture.get("/api/v1/crates/hello/1.0.0/download").status, 404);

    let staged = fixture.waiting();
    assert_eq!(staged.len(), 1);
    let id = staged[0]["id"].as_i64().unwrap();
    let shown = fixture.staged(id);
    assert_eq!(shown, staged[0]);
    for (field, value) in [
        ("name", json!("hello")),
        ("vers", json!("1.0.0")),
        ("cksum", json!(upload.checksum().to_string())),
        ("size", json!(upload.file.len())),
        ("state", json!("staged")),
        ("new_crate", json!(true)),
        ("may_approve", json!(true)),
        ("stager", json!({ "key": machine.key.public.id().to_string(), "user": "alice" })),
        ("approvals", json!({ "needed": 1, "given": [] })),
    ] {
        assert_eq!(shown[field], value, "{field}");
    }
    let file = fixture.get(&format!("/api/v1/staged/{id}/download"));
    assert_eq!((file.status, file.body), (200, upload.file.clone()));
    for path in
        ["/api/v1/staged".to_owned(), format!("/api/v1/staged/{id}"), format!("/api/v1/staged/{id}/download")]
    {
        fixture.send("GET", &path, Some(&next), b"").assert_refused(403, "stages versions and cannot read");
        assert_eq!(fixture.send("GET", &path, None, b"").status, 401, "{path}");
    }
    fixture.get("/api/v1/staged/99").assert_refused(404, "nothing is staged here under the number 99");

    fixture.put_new(&next, &upload).assert_ok();
    assert_eq!(index(&next).status, 200, "whoever stages the same file sees it");
    assert_eq!(fixture.waiting().len(), 1);
    fixture
        .put_new(&next, &other("hello", "1.0.0"))
        .assert_refused(409, "`yk-cargo stage reject hello@1.0.0`");
    fixture.is_as_logged();

    let token = fixture.publish_token(&upload);
    let approved = fixture.approve(id, &token);
    approved.assert_ok();
    assert_eq!(approved.json()["state"], "published");
    assert!(approved.field("x-audit").is_some());
    let public = fixture.get(INDEX);
    public.assert_ok();
    assert_eq!(index(&next).text(), public.text(), "once, and not twice");
    assert_eq!(fixture.get("/api/v1/crates/hello/1.0.0/download").body, upload.file);
    let proof = fixture.get("/api/v1/crates/hello/1.0.0/proof").json();
    assert_eq!((&proof["token"], proof.get("approvals")), (&json!(token), None));
    fixture.approve(id, &token).assert_refused(401, "was used before");
    fixture.approves(id, &upload).assert_refused(409, "is already published");
    fixture.put_new(&next, &upload).assert_refused(409, "already published");
    assert!(fixture.waiting().is_empty());
    fixture.get(&format!("/api/v1/staged/{id}/download")).assert_refused(404, "because it is published");
    fixture.publish(&Upload::new("hello", "1.0.1")).assert_ok();
    fixture
        .put_new(&fixture.bobs(&Upload::new("hello", "1.0.2")), &Upload::new("hello", "1.0.2"))
        .assert_refused(403, "belongs to alice");
    fixture.is_as_logged();
}

#[test]
fn a_token_that_is_not_good_stages_and_reads_nothing() {
    let fixture = Fixture::new();
    let machine = Machine::new(&fixture, 9, &["hello", "acme-*"]);
    let upload = Upload::new("hello", "1.0.0");
    let unknown = format!("rgs_{}", "A".repeat(43));
    for token in [unknown.as_str(), "rgs_"] {
        fixture.put_new(token, &upload).assert_refused(401, "staging token");
        assert_eq!(fixture.send("GET", INDEX, Some(token), b"").status, 401);
    }
    let job = fixture.job(&machine);
    fixture
        .put_new(&job, &Upload::new("others", "1.0.0"))
        .assert_refused(403, "may not stage the crate `others`");
    fixture.put_new(&job, &Upload::new("acme-new", "1.0.0")).assert_refused(403, "named it in full");
    let yank = fixture.send("DELETE", "/api/v1/crates/hello/1.0.0/yank", Some(&job), b"");
    assert!((400..500).contains(&yank.status), "{yank:?}");
    fixture.stage(&job, &upload);
    fixture
        .running()
        .store()
        .revoke_key(&machine.key.public.id().to_string(), jiff::Timestamp::now())
        .unwrap();
    fixture.put_new(&job, &Upload::new("hello", "1.0.1")).assert_refused(401, "staging token");
    assert_eq!(fixture.send("GET", INDEX, Some(&job), b"").status, 401);
}

/// What a machine's key signs is no person's word.
#[test]
fn a_machine_approves_nothing() {
    let fixture = Fixture::new();
    let machine = Machine::new(&fixture, 9, &["hello"]);
    let upload = Upload::new("hello", "1.0.0");
    let id = fixture.stage(&fixture.job(&machine), &upload);
    let own = asymmetric_token::Claims::mutate(crate::common::now(), upload.mutation());
    let own = machine.key.token(fixture.url(), &own);
    fixture.approve(id, &own).assert_refused(403, "role");
    fixture.put_new(&own, &upload).assert_refused(403, "role");
    let read = machine.key.token(fixture.url(), &asymmetric_token::Claims::read(crate::common::now()));
    fixture.reject(id, &read, "").assert_refused(403, "role");
    assert_eq!(fixture.state(id), "staged");
}

/// To others it is as if nothing were there.
#[test]
fn what_is_staged_is_shown_only_to_whom_it_concerns() {
    let fixture = Fixture::new();
    let store = fixture.running().store();
    fixture.publish(&Upload::new("hello", "0.9.0")).assert_ok();
    let machine = Machine::new(&fixture, 9, &["hello", "fresh"]);
    let upload = Upload::new("hello", "1.0.0");
    let id = fixture.stage(&fixture.job(&machine), &upload);
    let bobs_read =
        || fixture.bob.token(fixture.url(), &asymmetric_token::Claims::read(crate::common::now()));
    let sees = |id: i64| {
        let [view, download] = ["", "/download"]
            .map(|what| fixture.send("GET", &format!("/api/v1/staged/{id}{what}"), Some(&bobs_read()), b""));
        let list = fixture.send("GET", "/api/v1/staged", Some(&bobs_read()), b"").json();
        let is_listed = list["staged"].as_array().unwrap().iter().any(|one| one["id"] == id);
        match view.status {
            200 => assert!(download.status == 200 && is_listed, "{download:?} {list}"),
            _ => {
                for answer in [view, download] {
                    answer.assert_refused(404, &format!("nothing is staged here under the number {id}"));
                }
                assert!(!is_listed, "{list}");
            }
        }
        is_listed
    };
    let unknown = [sees(id), sees(99)];
    assert_eq!(unknown, [false, false]);
    let nothing = format!("nothing is staged here under the number {id}");
    fixture.reject(id, &bobs_read(), "").assert_refused(404, &nothing);
    fixture.approve(id, &fixture.bobs(&upload)).assert_refused(404, &nothing);
    assert_eq!(fixture.state(id), "staged");

    let (hello, fresh, bob) = ("hello".parse().unwrap(), "fresh".parse().unwrap(), "bob".parse().unwrap());
    store.add_approver(&hello, &bob, jiff::Timestamp::now()).unwrap();
    assert!(sees(id), "an approver");
    store.remove_approver(&hello, &bob, jiff::Timestamp::now()).unwrap();
    assert!(!sees(id));
    let own = Machine::of(store, 10, "bob", &["hello"]);
    let staged_as_bob = fixture.stage(&fixture.job(&own), &Upload::new("hello", "2.0.0"));
    assert!(sees(staged_as_bob), "his own machine's");
    let new = fixture.stage(&fixture.job(&machine), &Upload::new("fresh", "1.0.0"));
    assert!(sees(new), "whoever may publish may approve it");
    store.add_approver(&fresh, &"alice".parse().unwrap(), jiff::Timestamp::now()).unwrap();
    assert!(!sees(new), "others decide");
    fixture.reject(id, &fixture.fresh_read_token(), "").assert_ok();
    fixture.reject(id, &bobs_read(), "").assert_refused(404, &nothing);
    assert_eq!(fixture.send("GET", &format!("/api/v1/staged/{id}"), Some(&bobs_read()), b"").status, 404);
}

#[test]
fn a_rejection_is_for_good_and_spends_its_token() {
    let fixture = Fixture::new();
    let machine = Machine::new(&fixture, 9, &["hello"]);
    fixture.publish(&Upload::new("hello", "0.9.0")).assert_ok();
    let (upload, changed) = (Upload::new("hello", "1.0.0"), other("hello", "1.0.0"));
    let job = fixture.job(&machine);
    let id = fixture.stage(&job, &upload);
    assert_eq!(fixture.staged(id)["new_crate"], false);
    let read = fixture.fresh_read_token();
    for wrong in ["{}x", r#"{"reason":1}"#, r#"{"why":"x"}"#, "{\"reason\":\"two\\nlines\"}"] {
        fixture.reject(id, &read, wrong).assert_refused(400, "a rejection is");
    }
    let rejected = fixture.reject(id, &read, r#"{"reason":"who built this?"}"#);
    rejected.assert_ok();
    assert_eq!(rejected.json()["state"], "rejected");
    let second = fixture.stage(&job, &changed);
    assert_ne!(second, id);
    fixture.reject(second, &read, "").assert_refused(401, "was used before");
    fixture.reject(id, &fixture.fresh_read_token(), "").assert_refused(409, "is already rejected");
    fixture.approves(id, &upload).assert_refused(409, "is already rejected");
    fixture.approves(second, &upload).assert_refused(403, "the token is for the checksum");
    fixture.is_as_logged();
    let entries = fixture.running().store().audit_entries(1, 99).unwrap();
    let rejected = entries.iter().find(|entry| entry.contains(r#""action":"rejected""#)).unwrap();
    assert!(rejected.contains("who built this?") && rejected.contains(r#""user":"alice""#), "{rejected}");
    fixture.approves(second, &changed).assert_ok();
}

/// Whoever stages no more has nothing left that somebody could approve by mistake.
#[test]
fn what_a_machine_has_staged_goes_with_it() {
    let fixture = Fixture::new();
    let store = fixture.folder.path();
    fixture.publish(&Upload::new("hello", "0.9.0")).assert_ok();
    let [kept, gone] = [9, 10].map(|seed| Machine::new(&fixture, seed, &["hello"]));
    let of_user = Machine::of(fixture.running().store(), 11, "bob", &["hello"]);
    let stage = |machine: &Machine, version: &str| {
        let upload = Upload::new("hello", version);
        (fixture.stage(&fixture.job(machine), &upload), upload)
    };
    let (left, _) = stage(&kept, "3.0.0");
    let (published, upload) = stage(&gone, "1.0.0");
    fixture.approves(published, &upload).assert_ok();
    let (rejected, upload) = stage(&gone, "1.0.1");
    let (of_bob, _) = stage(&of_user, "2.0.0");
    let key = gone.key.public.id().to_string();
    succeeds(store, &["key", "revoke", &key]);
    let states = || [left, published, rejected, of_bob].map(|id| fixture.state(id));
    assert_eq!(states(), ["staged", "published", "rejected", "staged"]);
    fixture.approves(rejected, &upload).assert_refused(409, "is already rejected");
    fixture.get(&format!("/api/v1/staged/{rejected}/download")).assert_refused(404, "because it is rejected");
    fixture.is_as_logged();
    succeeds(store, &["user", "remove", "bob"]);
    assert_eq!(states(), ["staged", "published", "rejected", "rejected"]);
    fixture.is_as_logged();
    let entries = fixture.running().store().audit_entries(1, 99).unwrap();
    let rejected: Vec<_> = entries.iter().filter(|entry| entry.contains(r#""action":"rejected""#)).collect();
    assert_eq!(rejected.len(), 2, "{rejected:?}");
    assert!(rejected[0].contains(&format!("\"reason\":\"{key} may not stage any more\"")), "{rejected:?}");
    // Its number is free again.
    stage(&kept, "1.0.1");
}

/// Another machine waits for it; an owner does not.
#[test]
fn a_staged_number_binds_machines_only() {
    let fixture = Fixture::new();
    let [one, other_one] = [9, 10].map(|seed| Machine::new(&fixture, seed, &["hello", "fresh"]));
    let [job, others] = [&one, &other_one].map(|machine| fixture.job(machine));
    let fresh = Upload::new("fresh", "1.0.0");
    // Of a crate that does not exist nobody keeps others away.
    let ids = [&job, &others].map(|job| fixture.stage(job, &fresh));
    fixture.publish(&Upload::new("hello", "0.9.0")).assert_ok();
    let upload = Upload::new("hello", "1.0.0");
    let id = fixture.stage(&job, &upload);
    fixture.put_new(&others, &upload).assert_refused(409, "is already staged by k3.pid.");
    fixture.publish(&other("hello", "1.0.0")).assert_ok();
    assert_eq!(fixture.state(id), "overtaken");
    fixture.approves(id, &upload).assert_refused(409, "is already overtaken");
    fixture.approve(ids[1], &fixture.bobs(&fresh)).assert_ok();
    assert_eq!([fixture.state(ids[0]), fixture.state(ids[1])], ["overtaken", "published"]);
    fixture.publish(&Upload::new("fresh", "1.0.1")).assert_refused(403, "belongs to bob");
    fixture.is_as_logged();
}

#[test]
fn two_people() {
    let fixture = Fixture::with(|config| config.staging.approvals = 2);
    let machine = Machine::new(&fixture, 9, &["hello"]);
    let approver =
        |arguments: &[&str]| served::succeeds(fixture.folder.path(), &[&["approver"], arguments].concat());
    fixture.publish(&Upload::new("hello", "0.9.0")).assert_ok();
    let job = fixture.job(&machine);
    let upload = Upload::new("hello", "1.0.0");
    let id = fixture.stage(&job, &upload);
    fixture.approve(id, &fixture.bobs(&upload)).assert_refused(404, "nothing is staged here");
    assert_eq!(approver(&["add", "hello", "bob"]), "hello\tbob\n");
    assert_eq!(approver(&["list"]), "hello\tbob\n");
    let first = fixture.publish_token(&upload);
    let approved = fixture.approve(id, &first);
    approved.assert_ok();
    let shown = approved.json();
    assert_eq!(
        (&shown["state"], &shown["approvals"]["needed"], &shown["may_approve"]),
        (&json!("waiting"), &json!(2), &json!(false))
    );
    assert_eq!(shown["approvals"]["given"][0]["user"], "alice");
    assert!(fixture.running().store().open_intents().unwrap().is_empty());
    fixture.approve(id, &first).assert_refused(401, "was used before");
    fixture.approves(id, &upload).assert_refused(409, "alice has already approved hello 1.0.0");
    fixture.is_as_logged();
    let last = fixture.bobs(&upload);
    let approved = fixture.approve(id, &last);
    approved.assert_ok();
    assert_eq!(approved.json()["state"], "published", "an approver may do that for the owner");
    let proof = fixture.get("/api/v1/crates/hello/1.0.0/proof").json();
    assert_eq!((&proof["token"], proof["approvals"].as_array().unwrap().len()), (&json!(last), 1));
    let beside = &proof["approvals"][0];
    assert_eq!(
        (&beside["token"], &beside["public"], &beside["role"]),
        (&json!(first), &json!(fixture.publish.public.to_string()), &json!("publish"))
    );
    let leaf = beside["log"]["leaf"].as_str().unwrap();
    assert!(leaf.contains(&first) && leaf.contains(r#""action":"approved""#), "{leaf}");
    // Bob does not own it.
    let next = Upload::new("hello", "1.0.1");
    fixture.put_new(&fixture.bobs(&next), &next).assert_refused(403, "belongs to alice");
    fixture.is_as_logged();
}

#[test]
fn an_approval_becomes_void_with_its_key_and_with_its_right() {
    let fixture = Fixture::with(|config| config.staging.approvals = 2);
    let machine = Machine::new(&fixture, 9, &["hello"]);
    let store = fixture.running().store();
    fixture.publish(&Upload::new("hello", "0.9.0")).assert_ok();
    let (hello, bob) = ("hello".parse().unwrap(), "bob".parse().unwrap());
    let second = SoftwareKey::new(8);
    fixture.add_key(&second, "bob", Role::Publish);
    let job = fixture.job(&machine);
    let mut by_bob = second;
    for (version, round) in [("1.0.0", 0), ("1.0.1", 1)] {
        store.add_approver(&hello, &bob, jiff::Timestamp::now()).unwrap();
        let upload = Upload::new("hello", version);
        let id = fixture.stage(&job, &upload);
        let token = by_bob
            .token(fixture.url(), &asymmetric_token::Claims::mutate(crate::common::now(), upload.mutation()));
        fixture.approve(id, &token).assert_ok();
        assert_eq!(fixture.state(id), "waiting");
        match round {
            0 => _ = store.revoke_key(&by_bob.public.id().to_string(), jiff::Timestamp::now()).unwrap(),
            _ => assert!(store.remove_approver(&hello, &bob, jiff::Timestamp::now()).unwrap()),
        }
        assert_eq!(fixture.state(id), "staged");
        fixture.approves(id, &upload).assert_ok();
        assert_eq!(fixture.state(id), "waiting", "Alice is the first again");
        by_bob = SoftwareKey::new(3);
    }
    fixture.is_as_logged();
}

#[test]
fn what_nobody_decides_about_expires() {
    let mut fixture = Fixture::new();
    let machine = Machine::new(&fixture, 9, &["hello"]);
    let upload = Upload::new("hello", "1.0.0");
    let id = fixture.stage(&fixture.job(&machine), &upload);
    fixture.sql("UPDATE staged SET expires = 1000");
    fixture.approves(id, &upload).assert_refused(409, "is already expired");
    fixture.reject(id, &fixture.fresh_read_token(), "").assert_refused(409, "is already expired");
    fixture.restart();
    while fixture.state(id) != "expired" {}
    fixture.is_as_logged();
    let again = fixture.stage(&fixture.job(&machine), &upload);
    assert_eq!((fixture.state(again), again != id), ("staged".to_owned(), true));
}

#[test]
fn nobody_fills_the_disk() {
    let upload = |version: &str| Upload::new("hello", version);
    let each = upload("1.0.0").file.len() as u64 + (16 << 10);
    let fixture = Fixture::with(|config| {
        config.staging.bytes_per_publisher = 2 * each + 100;
        config.staging.bytes = 3 * each + 100;
    });
    let machines = [9, 10].map(|seed| Machine::new(&fixture, seed, &["hello"]));
    let [one, other] = [0, 1].map(|number: usize| fixture.job(&machines[number]));
    let first = fixture.stage(&one, &upload("1.0.0"));
    fixture.stage(&one, &upload("1.0.1"));
    fixture.put_new(&one, &upload("1.0.2")).assert_refused(413, "the runs of k3.pid.");
    fixture.put_new(&one, &upload("1.0.1")).assert_ok();
    fixture.stage(&other, &upload("2.0.0"));
    fixture.put_new(&other, &upload("2.0.1")).assert_refused(413, "all publishers together");
    fixture.reject(first, &fixture.fresh_read_token(), "").assert_ok();
    fixture.stage(&one, &upload("1.0.2"));
    let kept = fs::read_dir(fixture.folder.path().join("tmp")).map_or(0, Iterator::count);
    assert_eq!(kept, 0, "no upload is left over");
}

/// Who decides has to find what they decide about.
#[test]
fn nobody_fills_the_lists() {
    let fixture = Fixture::with(|config| {
        config.staging.versions_per_publisher = 2;
        config.staging.versions = 3;
    });
    let machines = [9, 10].map(|seed| Machine::new(&fixture, seed, &["hello"]));
    let [one, next, other] = [0, 0, 1].map(|number: usize| fixture.job(&machines[number]));
    let upload = |version: &str| Upload::new("hello", version);
    let first = fixture.stage(&one, &upload("1.0.0"));
    fixture.stage(&next, &upload("1.0.1"));
    let refused = fixture.put_new(&next, &upload("1.0.2"));
    refused.assert_refused(413, "have 3 versions staged, and the limit is 2");
    assert!(refused.detail().contains("the runs of k3.pid."), "{}", refused.detail());
    fixture.put_new(&next, &upload("1.0.1")).assert_ok();
    fixture.stage(&other, &upload("2.0.0"));
    fixture
        .put_new(&other, &upload("2.0.1"))
        .assert_refused(413, "all publishers together have 4 versions staged, and the limit is 3");
    assert_eq!(fixture.waiting().len(), 3);
    fixture.reject(first, &fixture.fresh_read_token(), "").assert_ok();
    fixture.stage(&other, &upload("2.0.1"));
    fixture.approves(first + 1, &upload("1.0.1")).assert_ok();
    fixture.stage(&one, &upload("1.0.3"));
}

/// Whoever can write the store puts another file in the place of what was staged.
#[test]
fn a_swapped_file_is_not_published() {
    let fixture = Fixture::new();
    let machine = Machine::new(&fixture, 9, &["hello"]);
    let (upload, changed) = (Upload::new("hello", "1.0.0"), other("hello", "1.0.0"));
    let id = fixture.stage(&fixture.job(&machine), &upload);
    let hex: String = changed.file.iter().map(|byte| format!("{byte:02x}")).collect();
    let swap = |bytes: Option<&[u8]>| match bytes {
        Some(_) if store::is_in_postgres() => {
            _ = fixture.sql(&format!("UPDATE piece SET bytes = '\\x{hex}'"))
        }
        None if store::is_in_postgres() => _ = fixture.sql("DELETE FROM piece"),
        Some(bytes) => fs::write(fixture.folder.path().join(format!("staged/{id}.crate")), bytes).unwrap(),
        None => fs::remove_file(fixture.folder.path().join(format!("staged/{id}.crate"))).unwrap(),
    };
    let token = fixture.publish_token(&upload);
    for bytes in [Some(&*changed.file), None] {
        swap(bytes);
        fixture.approve(id, &token).assert_refused(500, "is not what was staged");
        assert_eq!(fixture.state(id), "staged");
        let said = served::run(fixture.folder.path(), &["doctor"]);
        assert!(
            String::from_utf8_lossy(&said.stdout).contains("staged versions cannot be approved: hello 1.0.0"),
            "{said:?}"
        );
    }
    // A line that leads to another dependency than the file has.
    fixture.reject(id, &fixture.fresh_read_token(), "").assert_ok();
    let id = fixture.stage(&fixture.job(&machine), &upload);
    fixture.sql(r#"UPDATE staged SET line = replace(line, '"links":null', '"links":"evil"')"#);
    fixture.approve(id, &token).assert_refused(500, "is not what was staged");
    assert!(fixture.running().store().published(None).unwrap().is_empty());
}

/// With a read token for that, although reads need none.
#[test]
fn an_open_registry_asks_people_for_a_token() {
    let fixture = Fixture::with(|config| config.reads = Reads::Open);
    let machine = Machine::new(&fixture, 9, &["hello"]);
    let job = fixture.job(&machine);
    let upload = Upload::new("hello", "1.0.0");
    let id = fixture.stage(&job, &upload);
    fixture.send("GET", "/api/v1/staged", None, b"").assert_refused(401, "needs a token");
    assert_eq!(fixture.send("GET", INDEX, None, b"").status, 404);
    assert_eq!(fixture.send("GET", INDEX, Some(&job), b"").status, 200);
    assert_eq!(fixture.waiting().len(), 1);
    fixture.approves(id, &upload).assert_ok();
    fixture.send("GET", INDEX, None, b"").assert_ok();
}

#[test]
fn doctor_tells_what_waits() {
    let fixture = Fixture::new();
    let machine = Machine::new(&fixture, 9, &["hello"]);
    fixture.stage(&fixture.job(&machine), &Upload::new("hello", "1.0.0"));
    let said = served::run(fixture.folder.path(), &["doctor"]);
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(
        said.contains("ok     staged versions that wait for people: 1: hello 1.0.0 (number 1) of k3.pid."),
        "{said}"
    );
}

/// Of one version only one thing is done, whoever comes at once and with whatever.
#[test]
fn at_once() {
    let fixture = Fixture::new();
    let machine = Machine::new(&fixture, 9, &["hello"]);
    fixture.publish(&Upload::new("hello", "0.9.0")).assert_ok();
    for round in 0..8 {
        let version = format!("1.0.{round}");
        let (upload, direct) = (Upload::new("hello", &version), other("hello", &version));
        let id = fixture.stage(&fixture.job(&machine), &upload);
        let approvals = [(); 3].map(|()| fixture.publish_token(&upload));
        let statuses: Vec<u16> = std::thread::scope(|scope| {
            let mut all: Vec<_> =
                approvals.iter().map(|token| scope.spawn(|| fixture.approve(id, token).status)).collect();
            all.push(scope.spawn(|| fixture.reject(id, &fixture.fresh_read_token(), "").status));
            all.push(scope.spawn(|| fixture.publish(&direct).status));
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        let state = fixture.state(id);
        let [approved, rejected, published] = [
            statuses[..3].iter().filter(|status| **status == 200).count(),
            usize::from(statuses[3] == 200),
            usize::from(statuses[4] == 200),
        ];
        assert_eq!((approved + published, approved <= 1), (1, true), "{statuses:?} {state}");
        let wanted = match (approved, rejected) {
            (1, 0) => "published",
            (0, 1) => "rejected",
            (0, 0) => "overtaken",
            _ => panic!("{statuses:?} {state}"),
        };
        assert_eq!(state, wanted, "{statuses:?}");
    }
    fixture.is_as_logged();
    let yank = Mutation::Yank { name: "hello".parse().unwrap(), version: "0.9.0".parse().unwrap() };
    fixture.send("DELETE", "/api/v1/crates/hello/0.9.0/yank", Some(&fixture.token(yank)), b"").assert_ok();
}

/// Each has the same store, and approves what the other has staged.
#[cfg(target_os = "linux")]
#[test]
fn two_gateways() {
    let Some(database) = Database::new() else { return };
    let [here, there] = [(); 2].map(|()| {
        Fixture::with(|config| {
            config.store = database.place(OWNER);
            config.url = Some("http://crates.example.org".to_owned());
        })
    });
    let machine = Machine::new(&here, 9, &["hello"]);
    let job = here.job(&machine);
    for round in 0..6 {
        let upload = Upload::new("hello", &format!("1.0.{round}"));
        let id = here.stage(&job, &upload);
        assert_eq!(there.state(id), "staged");
        assert_eq!(there.get(&format!("/api/v1/staged/{id}/download")).body, upload.file);
        assert!(there.send("GET", INDEX, Some(&job), b"").text().contains(&upload.checksum().to_string()));
        let statuses: Vec<u16> = std::thread::scope(|scope| {
            let all = [&here, &there, &here, &there].map(|gateway| {
                let token = gateway.publish_token(&upload);
                scope.spawn(move || gateway.approve(id, &token).status)
            });
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
        assert_eq!([here.state(id), there.state(id)], ["published", "published"]);
        assert_eq!(there.get(&format!("/api/v1/crates/hello/1.0.{round}/download")).body, upload.file);
    }
    here.is_as_logged();
    assert_eq!(database.sql("SELECT count(*) FROM piece WHERE cksum NOT IN (SELECT cksum FROM file)"), "0");
    let upload = Upload::new("hello", "2.0.0");
    let id = here.stage(&job, &upload);
    there.reject(id, &there.fresh_read_token(), "").assert_ok();
    assert_eq!(database.sql("SELECT count(*) FROM piece WHERE cksum NOT IN (SELECT cksum FROM file)"), "0");
}

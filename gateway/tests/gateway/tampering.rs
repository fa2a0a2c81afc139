//! A store that was changed past the gateway, by whoever can write its folder: each of the commands that vouch for it says
//! so. Cargo compiles what the index says, so an index that does not say what was signed is worth a signature to nobody.
#![cfg(unix)]

use std::process::Command;

use asymmetric_token::{Claims, Mutation};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::common::bearer_registry::Say;
use crate::common::front::Front;
use crate::common::{Fixture, Response, SoftwareKey, Upload, store};

/// Publishes a version of `hello` that is described so.
fn publish(fixture: &Fixture, version: &str, description: &str) -> Response {
    let manifest = format!(
        "[package]\nname = \"hello\"\nversion = \"{version}\"\ndescription = \"{description}\"\n\
         [dependencies]\nserde = {{ version = \"1\", registry-index = \"{}\" }}\n",
        fixture.url()
    );
    let dependency = json!({ "name": "serde", "version_req": "1" });
    let json = json!({
        "name": "hello", "vers": version, "description": description, "deps": [dependency],
    });
    fixture.publish(&Upload::with_manifest("hello", version, &manifest, &json))
}

/// Two versions of Alice's `hello`, one of them yanked, and Bob's `mine`; an invite of Alice's, and a key that was revoked.
/// The server has ended.
fn served() -> Fixture {
    let mut fixture = Fixture::new();
    publish(&fixture, "1.0.0", "first").assert_ok();
    publish(&fixture, "1.1.0", "second").assert_ok();
    let mine = Upload::new("mine", "1.0.0");
    let claims = Claims::mutate(Timestamp::now(), mine.mutation());
    fixture.put_new(&fixture.bob.token(fixture.url(), &claims), &mine).assert_ok();
    let (name, version) = ("hello".parse().unwrap(), "1.0.0".parse().unwrap());
    let token = fixture.token(Mutation::Yank { name, version });
    fixture.send("DELETE", "/api/v1/crates/hello/1.0.0/yank", Some(&token), b"").assert_ok();
    let name = "hello".parse().unwrap();
    let token = fixture.token(Mutation::Owners { name });
    fixture.send("GET", "/api/v1/crates/hello/owners", Some(&token), b"").assert_ok();
    let now = Timestamp::now();
    let store = fixture.running().store();
    store.invite(&"alice".parse().unwrap(), now).unwrap();
    store.invite(&"alice".parse().unwrap(), now + SignedDuration::from_secs(1)).unwrap();
    fixture.add_key(&SoftwareKey::new(9), "carol", registry_gateway::keys::Role::Both);
    store.remove_user(&"carol".parse().unwrap(), now).unwrap();
    fixture.running.take().unwrap().stop();
    fixture
}

fn run(fixture: &Fixture, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_registry-gateway"));
    command
        .env("REGISTRY_GATEWAY_STORE", store::named(fixture.folder.path()))
        .current_dir(fixture.folder.path());
    let output = command.args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    (output.status.success(), text)
}

type Change = Box<dyn FnOnce(&str) -> String>;

/// The line with another value at a place that is written as in a JSON Patch (RFC 6902).
fn with(line: &str, pointer: &str, value: Value) -> String {
    let mut line: Value = serde_json::from_str(line).unwrap();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    match line.pointer_mut(parent).unwrap() {
        Value::Array(list) if name == "-" => list.push(value),
        object => object[name] = value,
    }
    line.to_string()
}

/// Puts another line in the place of the index's for `hello` 1.1.0.
fn change_line(fixture: &Fixture, change: impl FnOnce(&str) -> String) {
    let line = fixture.sql("SELECT line FROM version WHERE version = '1.1.0'");
    let changed = change(&line);
    assert_ne!(changed, line);
    fixture.sql(&format!("UPDATE version SET line = '{changed}' WHERE version = '1.1.0'"));
}

/// That all three commands say it.
#[track_caller]
fn is_found(fixture: &Fixture, text: &str) {
    for command in [&["audit", "verify"][..], &["record"], &["doctor"]] {
        let (well, said) = run(fixture, command);
        assert!(!well && said.contains(text), "{command:?} does not say {text:?}: {said}");
    }
}

#[test]
fn what_nobody_changed_is_as_it_should_be() {
    let fixture = served();
    let (well, said) = run(&fixture, &["audit", "verify"]);
    assert!(well, "{said}");
    assert!(said.contains("tables       they hold what the log says\nversions     3: "), "{said}");
    let (well, said) = run(&fixture, &["record"]);
    assert!(well && said.contains("the index says what the file says"), "{said}");
    let (_, said) = run(&fixture, &["doctor"]);
    let holds =
        "the store holds what its log says, and its index what the signed files say (versions looked at: 3)";
    assert!(said.contains(&format!("ok     {holds}\n")), "{said}");
}

#[test]
fn a_line_of_the_index_that_does_not_follow_from_the_signed_file() {
    let evil = json!({
        "name": "evil", "req": "*", "features": [], "optional": false, "default_features": true,
        "target": null, "kind": "normal", "registry": null, "package": null,
    });
    let unknown = "`unknown` is 1 in the index and absent by the signed crate file";
    let with =
        |pointer: &'static str, value: Value| -> Change { Box::new(move |line| with(line, pointer, value)) };
    let lines: [(Change, &str); 15] = [
        (with("/deps/-", evil), "`deps` is "),
        (with("/deps", json!([])), "`deps` is "),
        (with("/deps/0/name", json!("evil")), "`deps` is "),
        (with("/deps/0/package", json!("evil")), "`deps` is "),
        (with("/deps/0/registry", json!("sparse+https://evil.example/")), "`deps` is "),
        (with("/deps/0/artifact", json!(["bin"])), "`deps` is "),
        (with("/features/default", json!(["evil"])), "`features` is "),
        (with("/features2", json!({"default": ["evil"]})), "`features2` is "),
        (with("/cksum", json!("00")), "`cksum` is "),
        (with("/links", json!("z")), "`links` is "),
        (with("/v", json!(3)), "`v` is "),
        (
            with("/pubtime", json!("2020-01-01T00:00:00Z")),
            "published at 2020-01-01T00:00:00Z, but the log says 20",
        ),
        (with("/unknown", json!(1)), unknown),
        (Box::new(|line| format!("{{\"deps\":[],{}", &line[1..])), "`line` is not JSON with each name once"),
        (Box::new(|_| "nothing".to_owned()), "`line` is not JSON with each name once"),
    ];
    for (change, text) in lines {
        let fixture = served();
        change_line(&fixture, change);
        is_found(&fixture, text);
        let (well, said) = run(&fixture, &["record", "hello@1.1.0"]);
        assert!(!well && said.contains(text), "{said}");
        assert!(run(&fixture, &["record", "mine@1.0.0"]).0, "the others are well");
    }
}

/// By it cargo keeps from a build what was published a moment ago (`min-publish-age`).
#[test]
fn the_index_says_when_a_version_was_published() {
    let fixture = served();
    let line = fixture.sql("SELECT line FROM version WHERE version = '1.1.0'");
    let line: Value = serde_json::from_str(&line).unwrap();
    let time: Timestamp = line["pubtime"].as_str().unwrap().parse().unwrap();
    let (well, said) = run(&fixture, &["record", "hello@1.1.0"]);
    assert!(well && said.contains(&format!("{time:.0}")), "{said}");
    // A line from before lines had it.
    change_line(&fixture, |line| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        line.as_object_mut().unwrap().remove("pubtime");
        line.to_string()
    });
    assert!(run(&fixture, &["audit", "verify"]).0);
}

#[test]
fn rows_that_the_log_does_not_have_or_has_otherwise() {
    let evil = SoftwareKey::new(77).public;
    let key = format!(
        r#"INSERT INTO key (id, public, "user", role, added) SELECT '{}', '{evil}', id, 'publish', '2026-01-01T00:00:00Z'
         FROM "user" WHERE name = 'alice'"#,
        evil.id()
    );
    let swapped = format!("UPDATE key SET public = '{evil}' WHERE role = 'publish'");
    let invite = r#"INSERT INTO invite SELECT 'x', "user", issued, EXPIRES, NULL FROM invite LIMIT 1"#;
    let bytes = if store::is_in_postgres() { "'00'" } else { "x'00'" };
    let credential = format!(r#"INSERT INTO credential SELECT id, {bytes} FROM "user" LIMIT 1"#);
    let not_logged = "is in the store, but in no entry of the log";
    let missing = "is missing from the store, but is in the log";
    let not_derived = "does not follow from the store's other tables";
    for (sql, text) in [
        (key.as_str(), format!("the key {} {not_logged}", evil.id())),
        (&swapped, format!("has the public \"{evil}\" in the store, but ")),
        (
            "UPDATE key SET role = 'both' WHERE role = 'read'",
            "has the role \"both\" in the store, but".into(),
        ),
        ("UPDATE key SET revoked = NULL", "has the end none in the store, but \"revoked\" in the log".into()),
        ("UPDATE key SET revoked = added WHERE role = 'read'", "has the end \"revoked\" in the store".into()),
        ("UPDATE key SET subject = 'x'", "has the subject \"x\" in the store, but none in the log".into()),
        ("UPDATE key SET expires = '2027-01-01T00:00:00Z'", "has the expires ".into()),
        ("DELETE FROM key WHERE role = 'read'", missing.into()),
        (
            r#"UPDATE "user" SET name = 'mallory' WHERE name = 'alice'"#,
            format!("the user mallory {not_logged}"),
        ),
        (r#"UPDATE "user" SET removed = NULL"#, "the user carol has the end none in the store".into()),
        (r#"INSERT INTO "user" (name) VALUES ('mallory')"#, format!("the user mallory {not_logged}")),
        (&invite.replace("EXPIRES", "'2030-01-01T00:00:00Z'"), format!("2030-01-01T00:00:00Z {not_logged}")),
        (&invite.replace("EXPIRES", "expires"), format!(", once more, {not_logged}")),
        (&credential, format!("the credential of alice {not_logged}")),
        (
            "DELETE FROM published WHERE version = '1.1.0'",
            format!("the record of hello 1.1.0, entry 6 {missing}"),
        ),
        (
            "UPDATE published SET outcome = outcome - 1 WHERE version = '1.1.0'",
            "has the outcome \"6\"".into(),
        ),
        (
            "INSERT INTO published SELECT 'ghost', '1.0.0', 1, 2",
            format!("the record of ghost 1.0.0, entry 1 {not_logged}"),
        ),
        (
            "INSERT INTO open_intent VALUES (4)",
            format!("the change of entry 4, of which no outcome is known, {not_logged}"),
        ),
        (
            r#"UPDATE crate SET owner = (SELECT id FROM "user" WHERE name = 'bob') WHERE name = 'hello'"#,
            "the crate hello has the owner \"bob\" in the store, but \"alice\" in the log".into(),
        ),
        (
            "UPDATE crate SET name = 'Hello' WHERE name = 'hello'",
            "the crate hello has the name \"Hello\"".into(),
        ),
        ("DELETE FROM crate WHERE name = 'hello'", format!("the crate hello {missing}")),
        (
            "INSERT INTO crate SELECT 'ghost', 'ghost', owner, NULL, 0, 0 FROM crate LIMIT 1",
            format!("the crate ghost {not_logged}"),
        ),
        ("DELETE FROM version WHERE version = '1.1.0'", format!("the version hello 1.1.0 {missing}")),
        (
            "INSERT INTO version (crate, version, core, line) SELECT crate, '2.0.0', '2.0.0', line FROM version LIMIT 1",
            format!("the version hello 2.0.0 {not_logged}"),
        ),
        (
            "INSERT INTO version (crate, version, core, line) SELECT crate, version, 'x', line FROM version LIMIT 1",
            not_logged.into(),
        ),
        (
            "UPDATE version SET core = 'x' WHERE version = '1.1.0'",
            "the version hello 1.1.0 has the state".into(),
        ),
        (
            r#"UPDATE version SET line = replace(line, '"yanked":true', '"yanked":false')"#,
            "the version hello 1.0.0 has the state \"offered\" in the store, but \"yanked\" in the log"
                .into(),
        ),
        (
            r#"UPDATE version SET line = replace(line, '"yanked":false', '"yanked":true') WHERE version = '1.1.0'"#,
            "the version hello 1.1.0 has the state \"yanked\" in the store".into(),
        ),
        ("DELETE FROM spent", format!("that the token of entry 4 was used {missing}")),
        ("DELETE FROM spent WHERE single_use_key LIKE '%owners%'", missing.into()),
        (
            "INSERT INTO in_doubt VALUES ('hello', '1.0.0', 'x', 'alice', 4)",
            format!("the doubt about the publish of entry 4 {not_logged}"),
        ),
        (
            "UPDATE counted SET number = number - 1 WHERE what = 'spent'",
            format!("the number of spent tokens {not_derived}"),
        ),
        (
            "UPDATE counted SET number = 1 WHERE what = 'open'",
            format!("the number of changes without an outcome {not_derived}"),
        ),
        (
            "UPDATE offered SET max_version = '9.0.0' WHERE crate = 'hello'",
            format!("the highest version of hello in searches {not_derived}"),
        ),
        ("DELETE FROM offered WHERE crate = 'mine'", "the highest version of mine in searches".into()),
    ] {
        let fixture = served();
        fixture.sql(sql);
        for command in [&["audit", "verify"][..], &["record"], &["doctor"]] {
            let (well, said) = run(&fixture, command);
            assert!(!well && said.contains(&text), "{sql}: {command:?} does not say {text:?}: {said}");
        }
    }
}

#[test]
fn files_that_are_others_or_gone() {
    for (bytes, text) in
        [(Some("x"), "the crate file has the checksum "), (None, "cannot read the crate file: ")]
    {
        let fixture = served();
        store::spoil_crate_file(fixture.folder.path(), "hello", "1.1.0", bytes);
        is_found(&fixture, text);
    }
}

/// It is what searches show.
#[test]
fn a_description_that_is_not_in_the_signed_file() {
    let fixture = served();
    fixture.sql("UPDATE crate SET description = 'first' WHERE name = 'hello'");
    for command in [&["audit", "verify"][..], &["doctor"]] {
        let (well, said) = run(&fixture, command);
        assert!(
            !well && said.contains("the description of hello differs from that of its last version"),
            "{said}"
        );
    }
}

/// A change that is under way, or was when the server was killed, is neither wrong nor unsaid.
#[test]
fn what_is_under_way_is_no_fault() {
    let fixture = served();
    let checksum = Upload::new("mine", "1.0.0").checksum();
    let undo_outcome = format!(
        r#"DELETE FROM published WHERE name = 'mine';
        INSERT INTO open_intent (seq) SELECT seq FROM audit WHERE entry LIKE '%"name":"mine"%';
        INSERT INTO counted (what, number) VALUES ('open', 1) ON CONFLICT (what) DO UPDATE SET number = 1;
        INSERT INTO in_doubt SELECT 'mine', '1.0.0', '{checksum}', 'bob', seq FROM open_intent"#
    );
    // The log ends with the intent: the rest is taken from it as a crash before the outcome would have it.
    let cut = r#"DELETE FROM published WHERE intent > 8; DELETE FROM invite;
        UPDATE version SET line = replace(line, '"yanked":true', '"yanked":false');
        DELETE FROM key WHERE "user" = (SELECT id FROM "user" WHERE name = 'carol'); DELETE FROM "user" WHERE name = 'carol'"#;
    fixture.sql(&format!("{undo_outcome}; {cut}"));
    let (_, log) = run(&fixture, &["audit", "export"]);
    let entries: Vec<_> = log.lines().take(8).map(str::to_owned).collect();
    store::has_log(fixture.folder.path(), &entries);
    store::loses_checkpoints(fixture.folder.path());
    let (well, said) = run(&fixture, &["audit", "verify"]);
    assert!(well, "{said}");
}

/// Nor is one whose outcome the disk had no room for.
#[test]
fn what_is_not_on_record_yet_is_no_fault() {
    let front = Front::new();
    front.registry.on("DELETE /api/v1/crates/hello/1.0.0/yank", Say::ok(r#"{"ok":true}"#));
    store::is_full_for(front.gateway.folder.path(), "outcome");
    front.yank().assert_refused(500, "that is not in the audit log yet");
    let (well, said) = run(&front.gateway, &["audit", "verify"]);
    assert!(well, "{said}");
}

/// Searches answer with a hundred of them.
#[test]
fn of_a_long_description_the_beginning_is_kept() {
    let fixture = Fixture::new();
    let description = format!("begin{}end", "é".repeat(995));
    let manifest =
        format!("[package]\nname = \"hello\"\nversion = \"1.0.0\"\ndescription = \"{description}\"\n");
    let json = json!({ "name": "hello", "vers": "1.0.0", "description": description });
    fixture.publish(&Upload::with_manifest("hello", "1.0.0", &manifest, &json)).assert_ok();
    let found = |text: &str| fixture.get(&format!("/api/v1/crates?q={text}")).json();
    assert_eq!(found("begin")["crates"][0]["description"], description[..5 + 2 * 995]);
    assert_eq!(found("end")["meta"]["total"], 0);
    let (well, said) = run(&fixture, &["audit", "verify"]);
    assert!(well, "{said}");
    fixture.sql(&format!("UPDATE crate SET description = '{description}'"));
    let (well, said) = run(&fixture, &["audit", "verify"]);
    assert!(well, "{said}");
}

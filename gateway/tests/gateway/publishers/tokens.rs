//! Staging tokens, from the exchange to their end.

use asymmetric_token::{Claims, Mutation};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Jobs, TOKENS, exchange};
use crate::common::issuer::{Issuer, Key, twin};
#[cfg(unix)]
use crate::common::served::{Served, program};
use crate::common::served::{run, succeeds};
use crate::common::{Fixture, Upload};

/// What `rust-lang/crates-io-auth-action` sends with node's fetch, byte by byte.
fn of_the_action(jobs: &Jobs, method: &str, more: &str, body: &str) -> crate::common::Response {
    let length = if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    let header = format!(
        "{method} {TOKENS} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{more}User-Agent: crates-io-auth-action/1.0.1\r\naccept: */*\r\n\
         accept-language: *\r\nsec-fetch-mode: cors\r\naccept-encoding: gzip, deflate\r\n{length}\r\n",
        jobs.audience()
    );
    jobs.fixture.raw(&header, body.as_bytes())
}

#[test]
fn a_job_gets_a_token_and_gives_it_back() {
    for key in [Key::rsa(), Key::p256(1)] {
        let jobs = Jobs::with(Fixture::new(), key);
        let body = json!({ "jwt": jobs.signed(&jobs.claims()) }).to_string();
        let answer = of_the_action(&jobs, "POST", "Content-Type: application/json\r\n", &body);
        answer.assert_ok();
        assert_eq!(answer.field("cache-control"), Some("no-store"));
        let token = answer.json()["token"].as_str().unwrap().to_owned();
        assert!(token.starts_with("rgs_") && token.len() == 47, "{token}");

        let stager = jobs.fixture.running().store().stager(&token).unwrap().unwrap();
        assert_eq!(
            (stager.holder.to_string(), stager.reads_as.to_string()),
            ("acme-ci".into(), "bob".into())
        );
        let expected = json!({
            "publisher": "acme-ci", "issuer": jobs.issuer.url, "repository": "acme/widget", "workflow": "release.yml",
            "ref": "refs/tags/v1.0.0", "commit": "0f3c1d2e4b5a69788796a5b4c3d2e1f00f1e2d3c",
            "environment": "release", "run": "900",
        });
        assert_eq!(Value::Object(stager.identity), expected);
        let minutes = stager.expires.duration_since(Timestamp::now()).as_mins();
        assert!((28..=30).contains(&minutes), "{minutes}");
        for (name, is_new, may) in [
            ("widget", true, true),
            ("Widget", false, true),
            ("widget-core", false, true),
            ("widget-core", true, false),
            ("widget_core", false, true),
            ("Widget", true, false),
            ("gadget", false, false),
            ("gadget", true, false),
        ] {
            let stager = jobs.fixture.running().store().stager(&token).unwrap().unwrap();
            assert_eq!(stager.may_stage(&name.parse().unwrap(), is_new).is_ok(), may, "{name} {is_new}");
        }

        // Only its hash is kept.
        let hash: String = Sha256::digest(&token).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(jobs.fixture.sql("SELECT hash FROM staging_token"), hash);

        let bearer = format!("Authorization: Bearer {token}\r\n");
        assert_eq!(of_the_action(&jobs, "DELETE", &bearer, "").status, 204);
        assert!(!jobs.is_good(&token));
        // It may be revoked once more, and an unknown one is none.
        assert_eq!(of_the_action(&jobs, "DELETE", &bearer, "").status, 204);
        for wrong in [
            String::new(),
            format!("Authorization: {token}\r\n"),
            format!("Authorization: Bearer rgs_{}\r\n", "A".repeat(43)),
            bearer.repeat(2),
        ] {
            of_the_action(&jobs, "DELETE", &wrong, "").assert_refused(401, "staging token is unknown");
        }
    }
}

#[test]
fn one_statement_is_good_once_and_for_all_gateways() {
    let mut jobs = Jobs::new();
    let other = Issuer::new(&[("one", &jobs.key)]);
    let claims = jobs.claims();
    let token = jobs.signed(&claims);
    jobs.ask(&token).assert_ok();
    // The token again, the same statement signed anew, and with the other signature that ECDSA has for it.
    let mut later = claims.clone();
    later["exp"] = json!(claims["exp"].as_i64().unwrap() + 1);
    for again in [token.clone(), jobs.signed(&claims), twin(&token), jobs.signed(&later)] {
        jobs.ask(&again).assert_refused(401, "this identity token was used before");
    }
    jobs.fixture.restart();
    jobs.ask(&token).assert_refused(401, "this identity token was used before");
    jobs.ask(&twin(&jobs.signed(&jobs.claims()))).assert_ok();
    // Another issuer's names are its own.
    let store = jobs.fixture.folder.path();
    let add = ["publisher", "add", "elsewhere", "--reads-as", "bob", "--issuer", &other.url];
    succeeds(store, &[&add[..], &jobs.github()].concat());
    let mut elsewhere = claims.clone();
    elsewhere["iss"] = json!(other.url);
    jobs.ask(&jobs.signed(&elsewhere)).assert_ok();
    // What is remembered outlasts the token, also with its leeway.
    let kept = jobs.fixture.sql("SELECT min(kept_until) FROM spent WHERE single_use_key LIKE 'jwt:%'");
    assert!(kept.parse::<i64>().unwrap() >= claims["exp"].as_i64().unwrap() + 60, "{kept}");
}

#[test]
fn a_staging_token_does_nothing_else() {
    let jobs = Jobs::new();
    let fixture = &jobs.fixture;
    fixture.publish(&Upload::new("widget", "1.0.0")).assert_ok();
    let token = jobs.staging_token();
    let refused = |method: &str, path: &str, body: &[u8]| {
        let answer = fixture.send(method, path, Some(&token), body);
        answer.assert_refused(403, "a staging token stages versions and cannot");
    };
    refused("DELETE", "/api/v1/crates/widget/1.0.0/yank", b"");
    refused("PUT", "/api/v1/crates/widget/1.0.0/unyank", b"");
    refused("GET", "/api/v1/crates/widget/owners", b"");
    refused("PUT", "/api/v1/crates/widget/owners", b"{\"users\":[\"bob\"]}");
    // Nobody is enrolled by it, and nothing is exchanged for it.
    let nonce = fixture.send("GET", "/api/v1/enroll", None, b"").json()["nonce"].clone();
    let enrollment = json!({
        "version": 1, "nonce": nonce, "endorsement": token, "label": "mine",
        "keys": [],
    });
    let enrolled = fixture.send("POST", "/api/v1/enroll", Some(&token), enrollment.to_string().as_bytes());
    assert!((400..500).contains(&enrolled.status), "{enrolled:?}");
    exchange(fixture, &token).assert_refused(401, "not a JSON Web Token");
    // Cargo sends it alone.
    let with_scheme =
        fixture.send("DELETE", "/api/v1/crates/widget/1.0.0/yank", Some(&format!("Bearer {token}")), b"");
    with_scheme.assert_refused(401, "without a scheme");
    let unknown = format!("rgs_{}", "A".repeat(43));
    let answer = fixture.send("DELETE", "/api/v1/crates/widget/1.0.0/yank", Some(&unknown), b"");
    answer.assert_refused(401, "staging token is unknown");
}

#[test]
#[cfg(unix)]
fn the_log_of_the_program_says_who_got_a_token_and_not_which() {
    let (folder, key) = (tempfile::tempdir().unwrap(), Key::p256(1));
    let issuer = Issuer::new(&[("one", &key)]);
    succeeds(folder.path(), &["user", "add", "bob"]);
    let add =
        ["publisher", "add", "acme-ci", "--reads-as", "bob", "--crate", "widget", "--issuer", &issuer.url];
    succeeds(folder.path(), &[&add[..], &["--claim", "repository=acme/widget"]].concat());
    let log = folder.path().join("log");
    let mut command = program(folder.path());
    command.env("REGISTRY_GATEWAY_LOG", "debug").stderr(std::fs::File::create(&log).unwrap());
    let served = Served::of(command, &["--listen", "127.0.0.1:0"]);
    let audience =
        served.index_url.trim_start_matches("sparse+http://").trim_end_matches("/index/").to_owned();
    let word = key.sign(&json!({ "alg": "ES256", "kid": "one" }), &issuer.github(&audience));
    let body = json!({ "jwt": word }).to_string();
    let answer = served.send("POST", TOKENS, "", body.as_bytes());
    answer.assert_ok();
    let token = answer.json()["token"].as_str().unwrap().to_owned();
    served.send("POST", TOKENS, "", body.as_bytes()).assert_refused(401, "was used before");
    served.send("DELETE", "/api/v1/crates/widget/1.0.0/yank", &token, b"").assert_refused(403, "cannot yank");
    assert_eq!(served.send("DELETE", TOKENS, &format!("Bearer {token}"), b"").status, 204);
    served.stop(rustix::process::Signal::TERM);
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("a staging token was issued") && log.contains("acme-ci"), "{log}");
    let signature = word.rsplit('.').next().unwrap();
    for secret in [token.as_str(), &token[4..], signature] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[test]
fn a_token_ends_with_whom_it_was_given_to() {
    let jobs = Jobs::new();
    let store = jobs.fixture.folder.path();
    let [first, second] = [jobs.staging_token(), jobs.staging_token()];
    assert!(jobs.is_good(&first) && jobs.is_good(&second));
    // Time passes.
    let hash: String = Sha256::digest(&first).iter().map(|byte| format!("{byte:02x}")).collect();
    jobs.fixture.sql(&format!("UPDATE staging_token SET expires = expires - 1800 WHERE hash = '{hash}'"));
    assert!(!jobs.is_good(&first) && jobs.is_good(&second));

    assert_eq!(succeeds(store, &["publisher", "remove", "acme-ci"]), "acme-ci\n");
    assert!(!jobs.is_good(&second));
    jobs.ask(&jobs.signed(&jobs.claims())).assert_refused(403, "no publisher of this registry");
    // Another one of that name has nothing of the first.
    jobs.add("acme-ci", &jobs.github());
    assert!(!jobs.is_good(&second));
    let third = jobs.staging_token();
    succeeds(store, &["user", "remove", "bob"]);
    assert!(!jobs.is_good(&third));
    jobs.ask(&jobs.signed(&jobs.claims())).assert_refused(403, "no publisher of this registry");
}

#[test]
fn publishers_are_listed_and_on_record() {
    let jobs = Jobs::new();
    let store = jobs.fixture.folder.path();
    jobs.add("other", &["--claim", "sub=system:builder", "--audience", "crates", "--crate", "gadget"]);
    let list = succeeds(store, &["publisher", "list"]);
    let lines: Vec<Vec<&str>> = list.lines().map(|line| line.split('\t').collect()).collect();
    let [first, second] = &lines[..] else { panic!("{list}") };
    assert_eq!((first[0], first[2], first[3]), ("acme-ci", "bob", "widget,widget-*"));
    let who = "acme/widget (owner 42, repository 7001), release.yml on refs/tags/v*, environment release";
    assert_eq!(first[4], format!("{}: {who}", jobs.issuer.url));
    assert_eq!(second[4], format!("{} for crates: sub=system:builder", jobs.issuer.url));
    let refused = |arguments: &[&str], why: &str| {
        let output = run(store, arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(why), "{arguments:?}: {said}");
    };
    let again =
        ["publisher", "add", "acme-ci", "--reads-as", "bob", "--crate", "a", "--issuer", "https://x.example"];
    refused(&[&again[..], &["--claim", "sub=a"]].concat(), "there is already a publisher acme-ci");
    let new = ["publisher", "add", "new", "--crate", "a", "--reads-as"];
    refused(
        &[&new[..], &["nobody", "--issuer", "https://x.example", "--claim", "sub=a"]].concat(),
        "no user nobody",
    );
    refused(&[&new[..], &["bob", "--claim", "sub=a"]].concat(), "--issuer");
    refused(&[&new[..], &["bob", "--issuer", "https://x.example"]].concat(), "--claim");
    refused(&[&new[..], &["bob", "--issuer", "http://x.example", "--claim", "sub=a"]].concat(), "https://");
    refused(
        &[&new[..], &["bob", "--issuer", "https://x.example", "--claim", "sub=*"]].concat(),
        "NAME=VALUE",
    );
    refused(
        &[&new[..], &["bob", "--issuer", "https://x.example", "--claim", "aud=a"]].concat(),
        "NAME=VALUE",
    );
    refused(&[&new[..], &["bob", "--github", "acme/widget", "--workflow", "a.yml"]].concat(), "--owner-id");
    refused(&["publisher", "remove", "nobody"], "there is no publisher nobody");
    succeeds(store, &["publisher", "remove", "other"]);
    refused(&["publisher", "remove", "other"], "there is no publisher other");
    assert!(succeeds(store, &["publisher", "list"]).contains("\tremoved "));

    // The log has what they are. Whoever writes another workflow into the database is found.
    let log = succeeds(store, &["audit", "export"]);
    assert!(
        log.contains("add-publisher") && log.contains("remove-publisher") && log.contains("release.yml"),
        "{log}"
    );
    succeeds(store, &["audit", "verify"]);
    jobs.fixture.sql(
        "UPDATE publisher SET settings = replace(settings, 'release.yml', 'evil.yml') WHERE name = 'acme-ci'",
    );
    let found = jobs.fixture.running().store().discrepancies(Timestamp::now()).unwrap();
    let [found] = &found[..] else { panic!("{found:?}") };
    assert!(found.to_string().contains("the publisher acme-ci has the settings"), "{found}");
}

/// What a publish key has signed is no identity, and no other token is.
#[test]
fn nothing_else_is_exchanged() {
    let jobs = Jobs::new();
    let fixture = &jobs.fixture;
    exchange(fixture, &fixture.read_token()).assert_refused(403, "only a key with the role `stage`");
    let mutation = Mutation::Owners { name: "widget".parse().unwrap() };
    exchange(fixture, &fixture.token(mutation)).assert_refused(403, "cannot be exchanged");
    let elsewhere =
        fixture.read.token("sparse+https://other.example/index/", &Claims::read(Timestamp::now()));
    exchange(fixture, &elsewhere).assert_refused(401, "is for sparse+https://other.example/index/");
    for (body, status) in [
        ("", 400),
        ("{}", 400),
        ("{\"jwt\":5}", 400),
        ("{\"jwt\":\"\"}", 401),
        ("{\"jwt\":\"a.b\"}", 401),
        ("{\"jwt\":\"a.b.c\"}", 401),
        ("{\"jwt\":\"a.b.c.d\"}", 401),
    ] {
        assert_eq!(fixture.send("POST", TOKENS, None, body.as_bytes()).status, status, "{body}");
    }
    assert_eq!(fixture.send("POST", TOKENS, None, &[b' '; 30_000]).status, 413);
    assert_eq!(fixture.send("GET", TOKENS, None, b"").status, 404);
    assert_eq!(jobs.issuer.asked(), [""; 0], "nobody was asked");
}

/// Whoever removes a publisher may do so because its repository was taken over.
#[test]
fn what_a_publisher_has_staged_goes_with_it() {
    let jobs = Jobs::new();
    let fixture = &jobs.fixture;
    jobs.add("other", &["--claim", "sub=other", "--audience", "other", "--crate", "widget"]);
    let mut others = jobs.claims();
    (others["sub"], others["aud"]) = (json!("other"), json!("other"));
    let others = jobs.ask(&jobs.signed(&others)).json()["token"].as_str().unwrap().to_owned();
    fixture.publish(&Upload::new("widget", "0.9.0")).assert_ok();
    let kept = fixture.stage(&others, &Upload::new("widget", "2.0.0"));
    let token = jobs.staging_token();
    let uploads = ["1.0.0", "1.0.1"].map(|version| Upload::new("widget", version));
    let ids = [0, 1].map(|number: usize| fixture.stage(&token, &uploads[number]));
    let said = run(fixture.folder.path(), &["publisher", "remove", "acme-ci"]);
    assert_eq!(String::from_utf8(said.stdout).unwrap(), "acme-ci\n");
    let said = String::from_utf8(said.stderr).unwrap();
    assert!(said.contains("the 2 versions that it had staged are rejected"), "{said}");
    assert!(!jobs.is_good(&token));
    for (id, upload) in ids.into_iter().zip(&uploads) {
        assert_eq!(fixture.state(id), "rejected");
        fixture.approves(id, upload).assert_refused(409, "is already rejected");
    }
    assert_eq!(fixture.state(kept), "staged");
    fixture.is_as_logged();
    let entries = fixture.running().store().audit_entries(1, 99).unwrap();
    let rejected: Vec<_> = entries.iter().filter(|entry| entry.contains(r#""action":"rejected""#)).collect();
    assert_eq!(rejected.len(), 2);
    assert!(rejected.iter().all(|entry| entry.contains("acme-ci may not stage any more")), "{rejected:?}");
}

//! What an identity token has to say: more than libraries require by default, and for each publisher which job it is of.

use serde_json::{Value, json};

use super::Jobs;
use crate::common::Fixture;
use crate::common::issuer::{Key, encoded};

/// The first nine are accepted by a library with its defaults.
#[test]
fn what_a_library_would_let_pass_is_refused() {
    let jobs = Jobs::new();
    let now = jiff::Timestamp::now().as_second();
    let audience = jobs.audience();
    for (name, value, status, why) in [
        ("iss", Value::Null, 401, "no `iss`"),
        ("aud", Value::Null, 401, "no `aud`"),
        ("iss", json!([jobs.issuer.url]), 401, "no `iss`"),
        ("aud", json!([audience, "https://other.example"]), 401, "no `aud`"),
        ("aud", json!([audience]), 401, "no `aud`"),
        ("exp", json!(now + 100 * 366 * 86_400), 401, "at most 3600 are accepted"),
        ("exp", json!(now - 1), 401, "expired at"),
        ("iat", json!(now + 86_400), 401, "no `exp` that is a time after its `iat`"),
        ("nbf", json!(now + 120), 401, "is dated"),
        ("exp", Value::Null, 401, "no `exp`"),
        ("iat", Value::Null, 401, "no `iat`"),
        ("jti", Value::Null, 401, "no `jti`"),
        ("jti", json!(""), 401, "no `jti`"),
        ("jti", json!(7), 401, "no `jti`"),
        ("jti", json!("x".repeat(501)), 401, "no `jti`"),
        ("exp", json!((now + 300).to_string()), 401, "no `exp`"),
        ("exp", json!(now as f64 + 300.5), 401, "no `exp`"),
        ("exp", json!(u64::MAX), 401, "no `exp`"),
        ("nbf", json!("soon"), 401, "no `nbf`"),
        ("aud", json!(format!("http://{audience}")), 401, "but it must be for"),
        ("aud", json!(format!("{audience}/")), 401, "but it must be for"),
        ("aud", json!("crates.io"), 401, "but it must be for"),
    ] {
        let answer = jobs.ask(&jobs.signed(&jobs.changed(name, value.clone())));
        assert_eq!(answer.status, status, "{name} {value}: {}", answer.text());
        assert!(answer.detail().contains(why), "{name} {value}: {}", answer.detail());
    }
    // Dated a minute ahead for as long as it is good: another clock may be so far off, and a day may not.
    let mut ahead = jobs.claims();
    (ahead["iat"], ahead["exp"]) = (json!(now + 86_400), json!(now + 86_700));
    jobs.ask(&jobs.signed(&ahead)).assert_refused(401, "(`iat`), but it is");
    let mut ahead = jobs.claims();
    (ahead["iat"], ahead["nbf"]) = (json!(now + 30), json!(now + 30));
    jobs.ask(&jobs.signed(&ahead)).assert_ok();
    let without = jobs.changed("nbf", Value::Null);
    jobs.ask(&jobs.signed(&without)).assert_ok();
    // Two readers of it could see two statements.
    let claims = jobs.claims().to_string().replacen('{', "{\"repository_id\":\"1\",", 1);
    let twice = jobs.key.sign_text(&json!({ "alg": "ES256", "kid": "one" }).to_string(), &claims);
    jobs.ask(&twice).assert_refused(401, "appears twice");
}

#[test]
fn no_token_chooses_how_it_is_verified() {
    for key in [Key::rsa(), Key::p256(1)] {
        let jobs = Jobs::with(Fixture::new(), key);
        jobs.ask(&jobs.signed(&jobs.claims())).assert_ok();
        let unsigned = |header: &Value| {
            let part = |value: &Value| encoded(value.to_string().as_bytes());
            format!("{}.{}", part(header), part(&jobs.claims()))
        };
        for word in
            ["none", "None", "NONE", "HS256", "HS384", "RS384", "PS256", "ES384", "EdDSA", "", "rs256"]
        {
            let header = json!({ "alg": word, "kid": "one" });
            let expected = "only RS256 and ES256 are accepted";
            jobs.ask(&format!("{}.", unsigned(&header))).assert_refused(401, expected);
            jobs.ask(&jobs.key.sign(&header, &jobs.claims())).assert_refused(401, expected);
        }
        // The public key as the secret of an HMAC, in the forms in which libraries take it.
        let jwk = jobs.key.jwk("one");
        let message = unsigned(&json!({ "alg": "HS256", "kid": "one" }));
        for secret in [jwk.to_string(), jwk["n"].as_str().or(jwk["x"].as_str()).unwrap().to_owned()] {
            let secret = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
            let tag = aws_lc_rs::hmac::sign(&secret, message.as_bytes());
            jobs.ask(&format!("{message}.{}", encoded(tag.as_ref())))
                .assert_refused(401, "only RS256 and ES256");
        }
        let other = if jobs.key.algorithm() == "RS256" { "ES256" } else { "RS256" };
        let header = json!({ "alg": other, "kid": "one" });
        jobs.ask(&jobs.key.sign(&header, &jobs.claims())).assert_refused(401, "its issuer's key is for");
        let word = jobs.key.algorithm();
        for (header, why) in [
            (json!({ "alg": word }), "no `kid`"),
            (json!({ "alg": word, "kid": 1 }), "no `kid`"),
            (json!({ "alg": word, "kid": ["one"] }), "no `kid`"),
            (json!({ "alg": [word], "kid": "one" }), "only RS256 and ES256"),
            (json!({ "alg": word, "kid": "one", "crit": ["exp"] }), "`crit`"),
            (json!({ "alg": word, "kid": "one", "b64": false }), "`b64`"),
            (json!({ "alg": word, "kid": "one", "zip": "DEF" }), "`zip`"),
        ] {
            jobs.ask(&jobs.key.sign(&header, &jobs.claims())).assert_refused(401, why);
        }
        // A signature of nothing, none, and one of zeros.
        let message = unsigned(&json!({ "alg": word, "kid": "one" }));
        for signature in [String::new(), encoded(&[0; 64]), encoded(&[0; 256])] {
            jobs.ask(&format!("{message}.{signature}")).assert_refused(401, "does not verify");
        }
    }
}

#[test]
fn another_job_of_github_is_not_the_publisher() {
    let jobs = Jobs::new();
    let own = "acme/widget/.github/workflows/release.yml@refs/tags/v1.0.0";
    let sha = "a".repeat(40);
    let none = "no publisher of this registry matches this identity";
    for (changes, why) in [
        // Another repository; a fork; one that was deleted and made again; one of an owner who took over the name.
        (vec![("repository_id", json!("7002")), ("repository", json!("acme/other"))], none),
        (
            vec![
                ("repository_owner_id", json!("43")),
                ("repository_id", json!("9")),
                ("repository", json!("evil/widget")),
            ],
            none,
        ),
        (vec![("repository_id", json!("9001"))], none),
        (vec![("repository_owner_id", json!("43"))], none),
        (vec![("repository_id", Value::Null)], none),
        (vec![("repository_id", json!(["7001"]))], none),
        // The same one under another name.
        (vec![("repository", json!("acme/renamed"))], "`repository` is `acme/renamed`"),
        (vec![("ref", json!("refs/heads/main"))], "`ref` is `refs/heads/main`, but must be `refs/tags/v*`"),
        (vec![("ref", json!("refs/tags/nightly"))], "`ref` is"),
        (vec![("ref", Value::Null)], "`ref` is missing"),
        (vec![("workflow_ref", json!(own.replace("release", "test")))], "`workflow_ref` is"),
        (vec![("workflow_ref", json!(own.replace("v1.0.0", "v2.0.0")))], "`workflow_ref` is"),
        (
            vec![("workflow_ref", json!(own.replace("release.yml", "release.yml@refs/tags/v1.0.0.yml")))],
            "`workflow_ref` is",
        ),
        (
            vec![("workflow_ref", json!(own.replace(".github/workflows/", ".github/workflows/x/")))],
            "`workflow_ref` is",
        ),
        (vec![("event_name", json!("pull_request_target"))], "`event_name` is `pull_request_target`"),
        (vec![("event_name", json!("workflow_run"))], "`event_name` is"),
        (vec![("event_name", json!("pull_request"))], "`event_name` is"),
        (vec![("event_name", json!("issue_comment"))], "`event_name` is"),
        (vec![("event_name", json!("schedule"))], "`event_name` is"),
        (vec![("event_name", json!("repository_dispatch"))], "`event_name` is"),
        (vec![("event_name", Value::Null)], "`event_name` is missing"),
        (vec![("environment", json!("staging"))], "`environment` is `staging`"),
        (vec![("environment", Value::Null)], "`environment` is missing"),
        // A reusable workflow that somebody else may change.
        (
            vec![("job_workflow_ref", json!("corp/flows/.github/workflows/release.yml@v1"))],
            "pinned by the SHA",
        ),
        (
            vec![("job_workflow_ref", json!("corp/flows/.github/workflows/release.yml@refs/heads/main"))],
            "pinned by the SHA",
        ),
        (
            vec![(
                "job_workflow_ref",
                json!(format!("corp/flows/.github/workflows/release.yml@{}", &sha[1..])),
            )],
            "pinned by the SHA",
        ),
        // A branch and a tag that are called as commits are.
        (
            vec![(
                "job_workflow_ref",
                json!(format!("evil/flows/.github/workflows/x.yml@refs/heads/x@{sha}")),
            )],
            "pinned by the SHA",
        ),
        (
            vec![(
                "job_workflow_ref",
                json!(format!("evil/.github/.github/workflows/x.yml@refs/tags/@{sha}")),
            )],
            "pinned by the SHA",
        ),
        (vec![("job_workflow_ref", json!(format!("@{sha}")))], "pinned by the SHA"),
        (vec![("job_workflow_ref", Value::Null)], "`job_workflow_ref` is missing"),
    ] {
        let mut claims = jobs.claims();
        for (name, value) in &changes {
            claims[*name] = value.clone();
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(*name);
            }
        }
        let answer = jobs.ask(&jobs.signed(&claims));
        assert_eq!(answer.status, 403, "{changes:?}: {}", answer.text());
        assert!(answer.detail().contains(why), "{changes:?}: {}", answer.detail());
    }
    for changes in [
        vec![("event_name", json!("release"))],
        vec![("event_name", json!("workflow_dispatch"))],
        vec![("environment", json!("Release"))],
        vec![("job_workflow_ref", json!(format!("corp/flows/.github/workflows/release.yml@{sha}")))],
        vec![("job_workflow_ref", json!(format!("corp/.github/.github/workflows/release@2.yml@{sha}")))],
        vec![
            ("repository", json!("Acme/Widget")),
            ("workflow_ref", json!(own.replace("acme/widget", "Acme/Widget"))),
            ("job_workflow_ref", json!(own.replace("acme/widget", "Acme/Widget"))),
        ],
    ] {
        let mut claims = jobs.claims();
        for (name, value) in changes {
            claims[name] = value;
        }
        jobs.ask(&jobs.signed(&claims)).assert_ok();
    }
}

#[test]
fn another_job_of_gitlab_is_not_the_publisher() {
    let jobs = Jobs::new();
    jobs.add(
        "gitlab",
        &[
            ["--gitlab", "acme/tools/widget", "--owner-id", "72", "--repository-id", "20"].as_slice(),
            &["--workflow", ".gitlab-ci.yml", "--ref", "refs/tags/v*", "--environment", "production"],
            &["--crate", "widget"],
        ]
        .concat(),
    );
    let claims = || jobs.issuer.gitlab(&jobs.audience());
    let answer = jobs.ask(&jobs.signed(&claims()));
    answer.assert_ok();
    let token = answer.json()["token"].as_str().unwrap().to_owned();
    let stager = jobs.fixture.running().store().stager(&token).unwrap().unwrap();
    assert_eq!(stager.identity["run"], format!("{}/acme/tools/widget/-/jobs/302", jobs.issuer.url));
    let uri = claims()["ci_config_ref_uri"].as_str().unwrap().to_owned();
    for (name, value, why) in [
        ("project_id", json!("21"), "no publisher of this registry matches this identity"),
        ("namespace_id", json!("73"), "no publisher of this registry matches this identity"),
        ("project_path", json!("acme/tools/renamed"), "`project_path` is"),
        ("pipeline_source", json!("merge_request_event"), "`pipeline_source` is"),
        ("pipeline_source", json!("trigger"), "`pipeline_source` is"),
        ("pipeline_source", json!("schedule"), "`pipeline_source` is"),
        ("ref_path", json!("refs/heads/main"), "`ref_path` is"),
        ("ci_config_ref_uri", json!(uri.replace(".gitlab-ci", "other")), "`ci_config_ref_uri` is"),
        ("ci_config_ref_uri", json!(uri.replace("acme/tools", "evil/tools")), "`ci_config_ref_uri` is"),
        ("environment", json!("review"), "`environment` is"),
    ] {
        let mut claims = claims();
        claims[name] = value.clone();
        let answer = jobs.ask(&jobs.signed(&claims));
        assert_eq!(answer.status, 403, "{name} {value}: {}", answer.text());
        assert!(answer.detail().contains(why), "{name} {value}: {}", answer.detail());
    }
}

#[test]
fn a_publisher_of_any_issuer_has_all_its_claims() {
    let jobs = Jobs::new();
    jobs.add(
        "builder",
        &[
            "--claim",
            "sub=system:builder",
            "--claim",
            "cluster=prod-*",
            "--audience",
            "crates",
            "--crate",
            "a",
        ],
    );
    let with = |subject: &str, cluster: Value, audience: &str| {
        let mut claims = jobs.claims();
        (claims["sub"], claims["cluster"], claims["aud"]) = (json!(subject), cluster, json!(audience));
        jobs.ask(&jobs.signed(&claims))
    };
    let answer = with("system:builder", json!("prod-1"), "crates");
    answer.assert_ok();
    let token = answer.json()["token"].as_str().unwrap().to_owned();
    let stager = jobs.fixture.running().store().stager(&token).unwrap().unwrap();
    assert_eq!(
        (stager.holder.to_string().as_str(), &stager.identity["subject"]),
        ("builder", &json!("system:builder"))
    );
    // Strangers of the same issuer are not told what would fit.
    for (subject, cluster) in [
        ("system:builder2", json!("prod-1")),
        ("system:builder", json!("test-1")),
        ("system:builder", json!({ "name": "prod-1" })),
        ("system:*", json!("prod-*")),
    ] {
        let answer = with(subject, cluster.clone(), "crates");
        answer.assert_refused(403, "no publisher of this registry matches this identity");
        assert!(!answer.text().contains("builder"), "{subject} {cluster}: {}", answer.text());
    }
    // What two publishers could be is neither.
    jobs.add("twin", &jobs.github());
    jobs.ask(&jobs.signed(&jobs.claims())).assert_refused(403, "both acme-ci and twin match this identity");
}

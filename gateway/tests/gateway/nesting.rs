//! Foreign text that is nested as deep as it fits: each door refuses it, and the gateway goes on. What overflows the stack ends
//! the process, and this test with it.
#![cfg(unix)]

use asymmetric_token::Mutation;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use registry_gateway::config::Owners;
use serde_json::json;

use crate::common::bearer_registry::Say;
use crate::common::front::Front;
use crate::common::{Fixture, Upload};

const HELLO: &str = "[package]\nname = \"hello\"\nversion = \"1.0.0\"\n";

/// Many times one text, then a middle, then as many times another.
fn nested(levels: usize, (open, middle, close): (&str, &str, &str)) -> String {
    format!("{}{middle}{}", open.repeat(levels), close.repeat(levels))
}

/// Of any depth, in JSON, after what stands before it.
fn json_values(levels: usize) -> [String; 3] {
    [("[", "", "]"), ("{\"a\":", "1", "}"), ("[{\"a\":", "1", "}]")].map(|kind| nested(levels, kind))
}

fn platforms(levels: usize) -> [String; 4] {
    let kinds =
        [("not(", "unix", ")"), ("all(a,", "b", ",c)"), ("any(a=\")\",", "b", ")"), ("all(not(", "a", "))")];
    kinds.map(|kind| format!("cfg({})", nested(levels, kind)))
}

#[test]
fn the_json_of_a_publish() {
    let fixture = Fixture::new();
    for levels in [17, 127, 129, 10_000, 200_000] {
        for value in json_values(levels) {
            let json = format!(r#"{{"name":"hello","vers":"1.0.0","x":{value}}}"#).into_bytes();
            let upload = Upload { json, ..Upload::new("hello", "1.0.0") };
            let answer = fixture.publish(&upload);
            assert!(matches!(answer.status, 400 | 413), "{levels}: {}", answer.text());
        }
    }
    fixture.publish(&Upload::new("hello", "1.0.0")).assert_ok();
}

#[test]
fn a_platform_in_the_json_of_a_publish() {
    let fixture = Fixture::new();
    for levels in [33, 1000, 10_000, 100_000] {
        for target in platforms(levels) {
            let dependency = json!({ "name": "a", "version_req": "*", "target": target });
            let json = json!({ "name": "hello", "vers": "1.0.0", "deps": [dependency] });
            let upload = Upload { json: json.to_string().into_bytes(), ..Upload::new("hello", "1.0.0") };
            fixture
                .publish(&upload)
                .assert_refused(400, "a `target` in the metadata is nested deeper than 32 levels");
        }
    }
}

#[test]
fn a_platform_in_a_manifest() {
    let fixture = Fixture::new();
    for levels in [33, 1000, 10_000, 50_000] {
        for target in platforms(levels) {
            let manifest = format!("{HELLO}[target.'{target}'.dependencies]\na = \"1\"\n");
            let json = json!({ "name": "hello", "vers": "1.0.0" });
            let upload = Upload::with_manifest("hello", "1.0.0", &manifest, &json);
            fixture.publish(&upload).assert_refused(422, "is nested deeper than 32 levels");
        }
    }
}

/// Also where each kind of nesting alone stays within what the parser allows.
#[test]
fn a_manifest() {
    let fixture = Fixture::new();
    let keys = "a.".repeat(78) + "a";
    let header = format!("[package.metadata.{keys}]\n");
    let within = (&*format!("{{ {keys} = "), "1", " }");
    for text in [
        format!("[package.metadata]\nx = {}\n", nested(400_000, ("[", "", "]"))),
        format!("[package.metadata]\nx = {}\n", nested(100_000, ("{ a = ", "1", " }"))),
        format!("[package.metadata]\n{}x = 1\n", "a.".repeat(400_000)),
        format!("[package.metadata.{}x]\n", "a.".repeat(400_000)),
        format!("{header}{keys} = {}\n", nested(79, within)),
        format!("{header}{keys} = {}\n", nested(20, within)),
        format!("{header}{keys} = [\n",),
        // Brackets in an inline table's place for a key make toml's own bound lose count.
        format!("[package.metadata]\nx = {{ {}b = {}\n", "[a] ".repeat(2000), "[{ b = ".repeat(2000)),
    ] {
        let json = json!({ "name": "hello", "vers": "1.0.0" });
        let upload = Upload::with_manifest("hello", "1.0.0", &format!("{HELLO}{text}"), &json);
        let answer = fixture.publish(&upload);
        assert_eq!(answer.status, 422);
        let reasons = ["is nested deeper than 32 levels", "is not TOML"];
        assert!(reasons.iter().any(|reason| answer.detail().contains(reason)), "{}", answer.detail());
    }
}

#[test]
fn the_bodies_of_other_requests() {
    let fixture = Fixture::with(|config| config.owners = Owners::Change);
    fixture.publish(&Upload::new("hello", "1.0.0")).assert_ok();
    for levels in [129, 2000, 8000] {
        for value in json_values(levels) {
            let body = format!(r#"{{"version":{value}}}"#);
            let enrollment = fixture.send("POST", "/api/v1/enroll", None, body.as_bytes());
            assert!(matches!(enrollment.status, 400 | 413), "{}", enrollment.text());
            let token = fixture.token(Mutation::Owners { name: "hello".parse().unwrap() });
            let body = format!(r#"{{"users":{value}}}"#);
            let owners = fixture.send("PUT", "/api/v1/crates/hello/owners", Some(&token), body.as_bytes());
            assert!(matches!(owners.status, 400 | 413), "{}", owners.text());
        }
    }
}

#[test]
fn a_token() {
    let fixture = Fixture::new();
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    for value in json_values(300) {
        for (payload, footer) in [("{}", &*value), (&*value, "{}"), (&*value, &*value)] {
            let payload = format!("{payload}{}", "s".repeat(96));
            let token = format!("v3.public.{}.{}", encode(&payload), encode(footer));
            let answer = fixture.send("GET", "/index/config.json", Some(&token), b"");
            answer.assert_refused(401, "not a usable asymmetric token");
        }
    }
}

/// Whatever the registry behind says: it is to blame for it.
#[test]
fn the_registry_behind() {
    for levels in [129, 10_000, 300_000] {
        for value in json_values(levels) {
            let front = Front::new();
            let line = format!("{{\"vers\":\"1.0.0\",\"x\":{value}}}\n");
            front.registry.on("GET /index/he/ll/hello", Say::ok(line));
            front.registry.on("DELETE /api/v1/crates/hello/1.0.0/yank", Say::ok(value.clone()));
            front.yank();
            front.registry.on("DELETE /api/v1/crates/hello/1.0.0/yank", Say::HangUp);
            front.yank();
            let refusal = Say::Answer("403 Forbidden", Vec::new(), value.clone().into_bytes());
            front.registry.on("GET /index/he/ll/hello", refusal);
            front.gateway.get("/index/he/ll/hello").assert_refused(403, "refuses");
            let front = Front::new();
            front.registry.on("GET /index/config.json", Say::ok(value));
            front.yank().assert_refused(502, "does not answer as a registry does");
        }
    }
}

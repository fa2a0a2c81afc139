//! Foreign text that is nested as deep as it fits, or of which much more would be made than comes: each door refuses it, and the gateway
//! goes on. What overflows the stack ends the process, and this test with it.
#![cfg(unix)]

use asymmetric_token::Mutation;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use registry_gateway::config::Owners;
use registry_gateway::metadata::CRATES_IO;
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

/// In memory a table in TOML or JSON is some hundred times as long as `{},`.
#[test]
fn more_values_than_there_may_be() {
    let fixture = Fixture::new();
    let most = 65_536;
    let manifests = [
        ("[package.metadata]\nx = [", "{a=0},", "]\n"),
        ("", "[[bin]]\n", ""),
        ("[package.metadata.x]\n", "a.", "b = 1\n"),
        ("[features]\nx = [", "\"\",", "]\n"),
    ];
    for (open, value, close) in manifests {
        let manifest = format!("{HELLO}{open}{}{close}", value.repeat(most));
        let json = json!({ "name": "hello", "vers": "1.0.0" });
        let answer = fixture.publish(&Upload::with_manifest("hello", "1.0.0", &manifest, &json));
        assert_eq!(answer.status, 422);
        let reasons = ["has more than 65,536 names and values", "is nested deeper than 32 levels"];
        assert!(reasons.iter().any(|reason| answer.detail().contains(reason)), "{}", answer.detail());
    }
    for (open, value, close) in [
        ("\"badges\":{", "\"a\":{\"\":\"\"},", "\"b\":{}}"),
        ("\"authors\":[", "\"\",", "\"\"]"),
        ("\"deps\":[", "{},", "{}]"),
    ] {
        let json = format!(r#"{{"name":"hello","vers":"1.0.0",{open}{}{close}}}"#, value.repeat(most));
        let upload = Upload { json: json.into_bytes(), ..Upload::new("hello", "1.0.0") };
        fixture.publish(&upload).assert_refused(400, "the metadata has more than 65536 names and values");
    }
    fixture.publish(&Upload::new("hello", "1.0.0")).assert_ok();
}

/// A manifest says once for which platform its dependencies are, and the index with each of them.
#[test]
fn one_platform_of_many_dependencies() {
    let fixture = Fixture::new();
    let publish = |version: &str, platform: &str, number: usize| {
        let dependencies: String = (0..number).map(|number| format!("a{number} = \"1\"\n")).collect();
        let manifest = HELLO.replace("1.0.0", version);
        let manifest = format!("{manifest}[target.{platform}.dependencies]\n{dependencies}");
        let deps = |number| json!({ "name": format!("a{number}"), "version_req": "1", "target": platform, "registry": CRATES_IO });
        let deps: Vec<_> = (0..if platform.len() < 100 { number } else { 0 }).map(deps).collect();
        let json = json!({ "name": "hello", "vers": version, "deps": deps });
        fixture.publish(&Upload::with_manifest("hello", version, &manifest, &json))
    };
    publish("1.0.0", "x86_64-unknown-linux-gnu", 2000).assert_ok();
    let refused = publish("1.0.1", &"x".repeat(100_000), 30);
    refused.assert_refused(422, "has more platforms than a publish request has room for");
}

/// Nothing is read behind what does not belong into a stranger's request.
#[test]
fn an_enrollment_with_more_than_belongs_there() {
    let fixture = Fixture::new();
    for (body, reason) in [
        (r#"{"version":1,"more":[{"":0},"#, "unknown field `more`"),
        (r#"{"version":1,"label":[{"":0},"#, "invalid type: sequence"),
        (r#"{"version":1,"keys":[{"role":"read","more":{"":0,"#, "unknown field `more`"),
        (r#"{"version":1,"version":1,"#, "duplicate field `version`"),
    ] {
        fixture.send("POST", "/api/v1/enroll", None, body.as_bytes()).assert_refused(400, reason);
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
            front.yank().assert_refused(502, "does not answer like a registry");
        }
    }
}

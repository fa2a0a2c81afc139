//! Versions that are staged at a gateway, and published at the registry behind it.
#![cfg(unix)]

use serde_json::{Value, json};

use crate::common::Upload;
use crate::common::bearer_registry::Say;
use crate::common::front::{ALICES, BOBS, Front};
use crate::common::machine::Machine;

const NEW: &str = "PUT /api/v1/crates/new";
const FILE: &str = "GET /index/he/ll/hello";

fn line(version: &str, cksum: &str) -> Say {
    Say::ok(
        json!({ "name": "hello", "vers": version, "cksum": cksum, "yanked": false, "deps": [] }).to_string(),
    )
}

#[test]
fn what_is_approved_is_sent_with_the_approvers_credential() {
    let front = Front::new();
    let machine = Machine::new(&front.gateway, 9, &["hello"]);
    let gateway = &front.gateway;
    let job = gateway.job(&machine);
    let upload = Upload::new("hello", "1.0.0");
    let id = gateway.stage(&job, &upload);
    assert_eq!(gateway.staged(id)["new_crate"], true);
    let looked = front.registry.received();
    assert!(
        looked
            .iter()
            .all(|request| request.method == "GET" && request.field("authorization") == Some(ALICES))
    );
    assert!(gateway.send("GET", "/index/he/ll/hello", Some(&job), b"").text().contains("\"vers\":\"1.0.0\""));
    front.registry.received();

    front.registry.on(NEW, Say::no("403 Forbidden", "this crate is not yours"));
    gateway.approve(id, &gateway.bobs(&upload)).assert_refused(403, "this crate is not yours");
    let asked = front.registry.received();
    assert_eq!(asked[0].field("authorization"), Some(BOBS));
    let back = gateway.staged(id);
    assert_eq!((&back["state"], &back["words"]), (&json!("staged"), &json!("this crate is not yours")));

    front.registry.on(NEW, Say::ok("{}"));
    let approved = gateway.approves(id, &upload);
    approved.assert_ok();
    assert_eq!((&approved.json()["state"], approved.json().get("words")), (&json!("published"), None));
    let sent = front.registry.received();
    assert_eq!((sent[0].field("authorization"), sent[0].body.ends_with(&upload.file)), (Some(ALICES), true));
    gateway.is_as_logged();

    front.registry.on(FILE, line("1.0.0", &upload.checksum().to_string()));
    gateway.put_new(&job, &Upload::new("hello", "1.0.0")).assert_refused(409, "is already published");
    let next = gateway.stage(&job, &Upload::new("hello", "1.1.0"));
    assert_eq!(gateway.staged(next)["new_crate"], false);
    let both = gateway.send("GET", "/index/he/ll/hello", Some(&job), b"");
    let versions: Vec<Value> = both
        .text()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["vers"].clone())
        .collect();
    assert_eq!(versions, [json!("1.0.0"), json!("1.1.0")]);
    assert!(!gateway.get("/index/he/ll/hello").text().contains("1.1.0"));
}

/// An approval of which it is not known what came of it is settled as any change.
#[test]
fn an_approval_without_an_answer() {
    let mut front = Front::new();
    let machine = Machine::new(&front.gateway, 9, &["hello"]);
    let upload = Upload::new("hello", "1.0.0");
    let job = front.gateway.job(&machine);
    let id = front.gateway.stage(&job, &upload);
    front.registry.on(NEW, Say::HangUp);
    assert_eq!(front.gateway.approves(id, &upload).status, 502);
    // The index has it not, which may change yet.
    assert_eq!(front.gateway.state(id), "approving");
    let token = front.gateway.fresh_read_token();
    front.gateway.reject(id, &token, "").assert_refused(409, "is being published just now");
    assert!(front.gateway.send("GET", "/index/he/ll/hello", Some(&job), b"").text().contains("1.0.0"));
    front.gateway.is_as_logged();
    front.gateway.restart();
    while front.gateway.state(id) == "approving" {}
    let back = front.gateway.staged(id);
    assert_eq!(back["state"], "staged");
    assert!(back["words"].as_str().unwrap().contains("interrupted"), "{back}");

    front.registry.on(NEW, Say::HangUp);
    front.registry.on(FILE, line("1.0.0", &upload.checksum().to_string()));
    front.gateway.approves(id, &upload).assert_ok();
    assert_eq!(front.gateway.state(id), "published");
    front.gateway.is_as_logged();
}

/// Who owns a crate there is not known here.
#[test]
fn two_people_have_to_be_named() {
    let mut front = Front::with(|config| config.staging.approvals = 2);
    let gateway = &front.gateway;
    let machine = Machine::new(gateway, 9, &["hello"]);
    let upload = Upload::new("hello", "1.0.0");
    let id = gateway.stage(&gateway.job(&machine), &upload);
    gateway.approves(id, &upload).assert_refused(403, "`registry-gateway approver add hello USER`");
    let store = gateway.running().store();
    for user in ["alice", "bob"] {
        store
            .add_approver(&"hello".parse().unwrap(), &user.parse().unwrap(), jiff::Timestamp::now())
            .unwrap();
    }
    gateway.approves(id, &upload).assert_ok();
    assert!(front.registry.received().iter().all(|request| request.method == "GET"));
    front.registry.on(NEW, Say::no("500 Internal Server Error", "no"));
    assert_eq!(gateway.approve(id, &gateway.bobs(&upload)).status, 502);
    assert_eq!(gateway.state(id), "approving");
    front.gateway.restart();
    while front.gateway.state(id) == "approving" {}
    assert_eq!(front.gateway.state(id), "waiting", "what Alice has said still counts");
    front.registry.on(NEW, Say::ok("{}"));
    front.gateway.approve(id, &front.gateway.bobs(&upload)).assert_ok();
    let proof = front.gateway.get("/api/v1/crates/hello/1.0.0/proof").json();
    assert_eq!(proof["approvals"].as_array().unwrap().len(), 1);
    front.gateway.is_as_logged();
}

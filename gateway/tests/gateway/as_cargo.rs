//! What the gateway sends to the registry behind is what cargo would have sent there: real cargo is asked.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use asymmetric_token::Checksum;
use registry_gateway::config::Owners;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::common::bearer_registry::{BearerRegistry, Received, Say};
use crate::common::computer::Computer;
use crate::common::front::Front;

/// The fields by which registries tell what they take; `None` where there is no such field.
const TELLING: [&str; 6] =
    ["accept", "content-type", "content-length", "content-encoding", "transfer-encoding", "range"];

/// A registry that has nothing of `hello` before it is published, and takes whatever changes it.
fn registry(registry: &BearerRegistry) {
    let published: Arc<OnceLock<Vec<u8>>> = Arc::default();
    let (kept, indexed, read) = (published.clone(), published.clone(), published);
    let taken = Say::ok(r#"{"ok":true,"msg":"done"}"#);
    let publish = Say::Ask(Arc::new(move |request| {
        let length = u32::from_le_bytes(request.body[..4].try_into().unwrap()) as usize;
        kept.set(request.body[8 + length..].to_vec()).unwrap();
        Say::ok("{}")
    }));
    registry.on("PUT /api/v1/crates/new", publish);
    let index = Say::Ask(Arc::new(move |_| {
        let Some(file) = indexed.get() else { return Say::no("404 Not Found", "not yet") };
        let line = json!({
            "name": "hello", "vers": "1.0.0", "deps": [], "features": {}, "yanked": false,
            "cksum": Checksum(Sha256::digest(file).into()).to_string(),
        });
        Say::ok(line.to_string())
    }));
    registry.on("GET /index/he/ll/hello", index);
    let file = Say::Ask(Arc::new(move |_| Say::ok(read.get().unwrap().clone())));
    registry.on("GET /dl/hello/1.0.0/download", file);
    registry.on("DELETE /api/v1/crates/hello/1.0.0/yank", taken.clone());
    registry.on("PUT /api/v1/crates/hello/1.0.0/unyank", taken.clone());
    registry.on("GET /api/v1/crates/hello/owners", Say::ok(r#"{"users":[{"id":1,"login":"alice"}]}"#));
    registry.on("PUT /api/v1/crates/hello/owners", taken.clone());
    registry.on("DELETE /api/v1/crates/hello/owners", taken);
    registry.on("GET /api/v1/crates?q=hello&per_page=10", Say::ok(r#"{"crates":[],"meta":{"total":0}}"#));
}

fn use_all(computer: &Computer) {
    let manifest = "[package]\nname = \"hello\"\nversion = \"1.0.0\"\nedition = \"2024\"\n\
                    description = \"Says it.\"\nlicense = \"MIT\"\n";
    let folder = computer.package("hello", manifest, "//! Nothing.\n");
    for arguments in [
        "publish --no-verify --registry my-reg",
        "yank --registry my-reg hello@1.0.0",
        "yank --undo --registry my-reg hello@1.0.0",
        "owner --registry my-reg --list hello",
        "owner --registry my-reg --add bob hello",
        "owner --registry my-reg --remove bob hello",
        "search --registry my-reg hello",
    ] {
        computer.succeeds(&folder, arguments);
    }
    let manifest = "[package]\nname = \"user\"\nedition = \"2024\"\n[dependencies]\n\
                    hello = { version = \"1\", registry = \"my-reg\" }\n";
    computer.succeeds(&computer.package("user", manifest, ""), "fetch");
}

type Sent = BTreeMap<String, Vec<(&'static str, Option<String>)>>;

fn sent(received: &[Received]) -> Sent {
    let fields = |request: &Received| {
        let value = |name: &'static str| (name, request.field(name).map(str::to_lowercase));
        // An upload's metadata is written anew, so only whether its length is told can be compared.
        let is_upload = request.path.ends_with("/new");
        let mut fields: Vec<_> = TELLING.into_iter().map(value).collect();
        fields[2].1 = fields[2].1.take().map(|length| if is_upload { "some".to_owned() } else { length });
        fields
    };
    let path = |request: &Received| request.path.split('?').next().unwrap().to_owned();
    received
        .iter()
        .map(|request| (format!("{} {}", request.method, path(request)), fields(request)))
        .collect()
}

/// Cargo itself, without a gateway, with a token for the registry.
fn straight(computer: &Computer, registry: &BearerRegistry) {
    let home = computer.folder.path().join("cargo-home");
    let config = format!(
        "[registries.my-reg]\nindex = \"sparse+{}/index/\"\ncredential-provider = [\"cargo:token\"]\n[net]\nretry = 0\n",
        registry.url()
    );
    fs::write(Path::new(&home).join("config.toml"), config).unwrap();
    fs::write(home.join("credentials.toml"), "[registries.my-reg]\ntoken = \"alices\"\n").unwrap();
}

#[test]
fn the_gateway_sends_what_cargo_sends() {
    let front = Front::with(|config| config.owners = Owners::Change);
    registry(&front.registry);
    use_all(&Computer::new(&front.gateway));

    let other = BearerRegistry::start();
    registry(&other);
    let computer = Computer::new(&front.gateway);
    straight(&computer, &other);
    use_all(&computer);

    let (ours, cargos) = (sent(&front.registry.received()), sent(&other.received()));
    assert_eq!(cargos.len(), 9, "{cargos:#?}");
    for (request, fields) in &cargos {
        assert_eq!(ours.get(request), Some(fields), "{request}");
    }
}

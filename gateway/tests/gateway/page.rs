//! docs/gateway.md, followed word by word by an administrator: each command of the gateway's is run, each piece of
//! configuration is read. What `yk-cargo` and cargo do there is tested with the other pages.
#![cfg(unix)]

use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use jiff::Timestamp;
use registry_gateway::config::Config;
use registry_gateway::keys::{NewKey, Role};
use registry_gateway::store::Store;
use rustix::process::Signal;
use tempfile::TempDir;
use yaml_rust2::{Yaml, YamlLoader};

use crate::common::SoftwareKey;
use crate::common::bearer_registry::{BearerRegistry, Say};
use crate::common::served::signal;

/// What changes the host, or is somebody else's.
const NOT_OURS: [&str; 12] = [
    "cargo install ",
    "cargo publish ",
    "cargo xtask dist",
    "cp -a ",
    "journalctl ",
    // The way into a PostgreSQL is gone by `store_copy`.
    "registry-gateway store ",
    "sudo apt-get ",
    "sudo install ",
    "sudo systemd-sysusers ",
    "sudo -i",
    "systemctl ",
    "yk-cargo ",
];

/// What stands in for the programs of others that give credentials.
const PROVIDERS: [(&str, &str); 3] = [
    (
        "cargo-credential-netrc",
        r#"echo '{"v":[1]}'; read x; echo '{"Ok":{"kind":"get","token":"of-alice","cache":"session","operation_independent":true}}'"#,
    ),
    ("aws", "echo of-alice"),
    ("cloudsmith-token", "echo of-alice"),
];

fn page() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/gateway.md")).unwrap()
}

fn blocks<'a>(page: &'a str, kind: &'a str) -> impl Iterator<Item = &'a str> {
    page.split(kind).skip(1).map(|rest| rest.split("```").next().unwrap())
}

/// A host whose `/etc` and `/var` are in a folder, with a registry that asks for a token.
struct Host {
    folder: TempDir,
    registry: BearerRegistry,
    /// What is at the URL: it answers as the gateway does.
    front: BearerRegistry,
    config: Option<PathBuf>,
}

impl Host {
    fn new() -> Self {
        let registry = BearerRegistry::start();
        let places = format!(r#"{{"dl":"{0}/dl","api":"{0}"}}"#, registry.url());
        let asking = Say::Ask(std::sync::Arc::new(move |request| match request.field("authorization") {
            Some("of-alice") => Say::ok(places.clone()),
            _ => Say::no("401 Unauthorized", "who are you?"),
        }));
        registry.on("GET /api/v1/crates/config.json", asking);
        let front = BearerRegistry::start();
        let places = format!(r#"{{"dl":"{0}/dl","api":"{0}","asymmetric":{{"window":900}}}}"#, front.url());
        front.on("GET /index/config.json", Say::ok(places));
        let host = Self { folder: tempfile::tempdir().unwrap(), registry, front, config: None };
        for (program, script) in PROVIDERS {
            let path = host.path("programs").join(program);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        host
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// Text of the page, for this host.
    fn here(&self, text: &str) -> String {
        let root = self.folder.path().to_str().unwrap();
        text.replace("/etc/registry-gateway", &format!("{root}/etc"))
            .replace("/var/lib/registry-gateway", &format!("{root}/var"))
            .replace("/usr/local/libexec", &format!("{root}/programs"))
            .replace("http://127.0.0.1:8001", &self.registry.url())
            .replace("https://crates.example.org", &self.front.url())
            .replace("/var/lib/witness", &format!("{root}/witness"))
            .replace("127.0.0.1:8000", "127.0.0.1:0")
            .replace("127.0.0.1:8020", "127.0.0.1:0")
    }

    fn obey(&mut self, line: &str, page: &str) {
        let line = self.here(line);
        if let Some(file) = line.strip_prefix("export REGISTRY_GATEWAY_CONFIG=") {
            self.config = Some(file.into());
            return;
        }
        // The quotation marks are a shell's: what is in them has no blanks here.
        let mut words = line.split_whitespace().map(|word| word.trim_matches('\''));
        assert_eq!(words.next(), Some("registry-gateway"), "{line}: this test does not know how");
        let words: Vec<_> = words.collect();
        let mut command = Command::new("timeout");
        command
            .args(["20", env!("CARGO_BIN_EXE_registry-gateway")])
            .args(&words)
            .current_dir(self.folder.path());
        command.env_remove("REGISTRY_GATEWAY_STORE").env_remove("REGISTRY_GATEWAY_CONFIG");
        command.env("PATH", format!("{}:{}", self.path("programs").display(), env::var("PATH").unwrap()));
        command.envs(self.config.as_ref().map(|file| ("REGISTRY_GATEWAY_CONFIG", file)));
        if words[0] == "serve" {
            return serves(command, "index sparse+");
        }
        if words.starts_with(&["witness", "serve"]) {
            return serves(command, "witness witness.example.org+");
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"of-alice\n").unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{line}: {output:?}");
        match words[0] {
            "init" => self.configure(page),
            "invite" => self.enroll(),
            _ => {}
        }
    }

    /// As step 3 says; then the service runs.
    fn configure(&self, page: &str) {
        let config = blocks(page, "```toml\n").find(|block| block.contains("[upstream]")).unwrap();
        fs::write(self.path("etc/registry-gateway.toml"), self.here(config)).unwrap();
        let mut serve = Command::new("timeout");
        serve.args(["20", env!("CARGO_BIN_EXE_registry-gateway"), "serve"]);
        serve.env("REGISTRY_GATEWAY_CONFIG", self.path("etc/registry-gateway.toml"));
        serve.env("CREDENTIALS_DIRECTORY", self.path("etc"));
        serves(serve, "index sparse+");
    }

    /// What Alice does with her invite.
    fn enroll(&self) {
        let (public, user) = (SoftwareKey::new(7).public, "alice".parse().unwrap());
        let key = NewKey { public, user, role: Role::Both, label: None, subject: None, expires: None };
        Store::open_existing(&self.path("var")).unwrap().add_key(key, Timestamp::now()).unwrap();
    }
}

/// Until it says so, and then no longer.
fn serves(mut command: Command, first: &str) {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().starts_with(first));
    assert!(lines.map(Result::unwrap).take(2).any(|line| line == "ready"));
    signal(child.id(), Signal::TERM);
    assert!(child.wait().unwrap().code().is_none_or(|code| code == 0 || code == 124));
}

#[test]
fn from_nothing_to_a_gateway_that_doctor_likes() {
    let page = page();
    let mut host = Host::new();
    let mut ran = 0;
    // A command can go on in the next line.
    let commands = blocks(&page, "```console\n").map(|block| block.replace("\\\n", ""));
    for line in commands.collect::<Vec<_>>().iter().flat_map(|block| block.lines()) {
        // A block can stand in a list, and so ends with a blank.
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        let line = line.strip_prefix("$ ").unwrap_or_else(|| panic!("{line}: not a command"));
        if NOT_OURS.iter().any(|start| line.starts_with(start)) {
            continue;
        }
        host.obey(line, &page);
        ran += 1;
    }
    assert!(ran >= 10, "only {ran} were run");
}

#[test]
fn every_piece_of_configuration_is_understood() {
    let page = page();
    let mut read = 0;
    for block in blocks(&page, "```toml\n").filter(|block| !block.contains("[registries.")) {
        if let Err(error) = toml::from_str::<Config>(block) {
            panic!("{block}\n{error}");
        }
        read += 1;
    }
    let outside = page.split("```").step_by(2);
    for setting in
        outside.flat_map(|text| text.split('`').skip(1).step_by(2)).filter(|text| text.contains(" = "))
    {
        // `key` and `dl` belong into a table.
        let table = if setting.starts_with("key = ") {
            "[tls]\ncertificate = \"x\"\n"
        } else if setting.starts_with("minimum-") || setting.starts_with("allow-") {
            "[attestation]\n"
        } else if setting.starts_with("approvals = ") {
            "[staging]\n"
        } else {
            ""
        };
        if let Err(error) = toml::from_str::<Config>(&format!("{table}{setting}")) {
            panic!("{setting}: {error}");
        }
        read += 1;
    }
    assert!(read >= 8, "only {read} were read");
}

/// The unit starts what `init` made where the page says.
#[test]
fn the_unit_fits_the_page() {
    let unit = include_str!("../../dist/registry-gateway.service");
    let page = page();
    for path in ["/etc/registry-gateway/registry-gateway.toml", "/usr/local/bin", "registry-gateway.sysusers"]
    {
        assert!(unit.contains(path) && page.contains(path), "{path}");
    }
    let user = include_str!("../../dist/registry-gateway.sysusers");
    assert!(unit.contains("\nUser=registry-gateway\n") && user.contains("\nu registry-gateway "), "{user}");
    assert!(unit.contains("LoadCredential=credentials.key:/etc/registry-gateway/credentials.key"), "{unit}");
    assert!(
        unit.contains("StateDirectory=registry-gateway\n")
            && page.contains("store = \"/var/lib/registry-gateway\"")
    );
    // A start that waits for the registry behind fails at once: five of them, two seconds apart, would be the last.
    assert!(
        unit.contains("\nRestart=on-failure\n") && unit.contains("\nStartLimitIntervalSec=0\n"),
        "{unit}"
    );
    let verified = Command::new("systemd-analyze")
        .args(["verify", "--man=no", concat!(env!("CARGO_MANIFEST_DIR"), "/dist/registry-gateway.service")])
        .output();
    let Ok(output) = verified else {
        eprintln!("skipped: systemd-analyze is not installed");
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    let complaints = said.lines().filter(|line| line.contains("registry-gateway.service"));
    let complaints: Vec<_> = complaints.filter(|line| !line.contains("is not executable")).collect();
    assert!(complaints.is_empty(), "{said}");
}

/// Only the proxy can be reached, the gateway believes nobody else, and what is mounted is what the page shows.
#[test]
fn the_containers_of_the_page() {
    let page = page();
    let (_, section) = page.split_once("\n## In containers\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let compose = YamlLoader::load_from_str(blocks(section, "```yaml\n").next().unwrap()).unwrap().remove(0);
    let settings = blocks(section, "```toml\n").next().unwrap();
    let texts = |list: &Yaml| -> Vec<String> {
        list.as_vec().into_iter().flatten().map(|text| text.as_str().unwrap().to_owned()).collect()
    };

    let services = compose["services"].as_hash().unwrap();
    let (gateway, caddy) = (&compose["services"]["gateway"], &compose["services"]["caddy"]);
    assert_eq!(services.len(), 2);
    assert!(gateway["ports"].is_badvalue());
    assert_eq!(texts(&caddy["ports"]), ["80:80", "443:443"]);
    let subnet = compose["networks"]["front"]["ipam"]["config"][0]["subnet"].as_str().unwrap();
    assert!(settings.contains(&format!("trusted-proxies = [\"{subnet}\"]")), "{settings}");
    assert!(settings.contains("listen = \"0.0.0.0:8000\"\nplain-http = true\n"), "{settings}");
    assert!(section.contains("\treverse_proxy gateway:8000\n"));
    for service in [gateway, caddy] {
        assert_eq!(texts(&service["networks"]), ["front"]);
        for volume in texts(&service["volumes"]) {
            let source = volume.split(':').next().unwrap();
            match source.strip_prefix("./") {
                Some(file) => assert!(section.contains(&format!("\n`{file}`")), "{file}"),
                None => {
                    assert!(compose["volumes"].as_hash().unwrap().contains_key(&Yaml::String(source.into())));
                }
            }
        }
    }
    let image = gateway["build"]["dockerfile_inline"].as_str().unwrap();
    assert!(image.starts_with(concat!("FROM rust:", env!("CARGO_PKG_RUST_VERSION"), "-")), "{image}");
    assert!(image.ends_with("ENTRYPOINT [\"registry-gateway\"]\n"), "{image}");
    assert!(image.contains("-m 700 /store") && settings.starts_with("store = \"/store\"\n"), "{image}");

    let folder = tempfile::tempdir().unwrap();
    let (file, store) = (folder.path().join("registry-gateway.toml"), folder.path().join("store"));
    fs::create_dir(&store).unwrap();
    fs::set_permissions(&store, fs::Permissions::from_mode(0o700)).unwrap();
    let here = settings.replace("/store", store.to_str().unwrap()).replace("0.0.0.0:8000", "127.0.0.1:0");
    fs::write(&file, here).unwrap();
    let mounted = "/etc/registry-gateway/registry-gateway.toml";
    assert!(texts(&gateway["volumes"]).contains(&format!("./registry-gateway.toml:{mounted}:ro")));
    assert_eq!(gateway["environment"]["REGISTRY_GATEWAY_CONFIG"].as_str(), Some(mounted));
    let words = gateway["command"].as_str().unwrap().replace(mounted, file.to_str().unwrap());
    let program = || {
        let mut command = Command::new("timeout");
        command.args(["20", env!("CARGO_BIN_EXE_registry-gateway")]).current_dir(folder.path());
        command.env_remove("REGISTRY_GATEWAY_STORE").env("REGISTRY_GATEWAY_CONFIG", &file);
        command
    };
    let mut serve = program();
    serve.args(words.split(' '));
    serves(serve, "index sparse+https://crates.example.org/index/");
    let start = "docker compose exec gateway registry-gateway ";
    let line = section.lines().find_map(|line| line.strip_prefix(start)).unwrap();
    let output = program().args(line.split(' ')).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

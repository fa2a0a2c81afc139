//! pyseto, a PASETO library in Python, verifies tokens and names keys as we do.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use mock_card::MockCard;
use serde_json::{Value, json};

use crate::computer::{Computer, shown};

const INDEX: &str = "sparse+https://registry.example/index/";
const DECODE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/pyseto/decode.py");
const REQUIREMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/pyseto/requirements.txt");
/// Changes with the requirements.
const ENVIRONMENT: &str = "pyseto-1.10.0";

/// What pyseto makes of a token under a `k3.public` key; `Err` has its complaint.
fn decode(computer: &Computer, key: &str, token: &str) -> Result<Value, String> {
    let arguments = [DECODE, key];
    let output = computer.run(python(), &arguments, token);
    if output.status.success() {
        Ok(serde_json::from_slice(&output.stdout).unwrap())
    } else {
        Err(shown(&output))
    }
}

#[test]
fn tokens_verify() {
    let computer = Computer::with(MockCard::builder());
    computer.yk_cargo(&["enroll", INDEX, "--yes", "--subject", "somebody"]);
    let card = computer.enrolled_card();
    let key = |role| &card.key.iter().find(|key| key.role == role).expect("enrolled").public;

    let (read, publish) = (key("read"), key("publish"));
    let read_token = computer.yk_cargo(&["token", INDEX, "--read"]);
    let yank_token = computer.yk_cargo(&["token", INDEX, "--yank", "foo@1.0.0"]);
    for (token, key, claims) in [
        (&read_token, read, json!({ "sub": "somebody" })),
        (
            &yank_token,
            publish,
            json!({ "sub": "somebody", "mutation": "yank", "name": "foo", "vers": "1.0.0" }),
        ),
    ] {
        let decoded = decode(&computer, key, token).unwrap();
        let mut payload = decoded["payload"].clone();
        assert!(payload.as_object_mut().unwrap().remove("iat").unwrap().is_string());
        assert_eq!(payload, claims);
        let id = &decoded["id"];
        assert_eq!(decoded["footer"], json!({ "url": INDEX, "kip": id, "kid": id }));
    }

    let refusal = decode(&computer, publish, &read_token).unwrap_err();
    assert!(refusal.contains("VerifyError"), "another key: {refusal}");
    let (message, _footer) = yank_token.rsplit_once('.').unwrap();
    let refusal = decode(&computer, publish, message).unwrap_err();
    assert!(refusal.contains("VerifyError"), "without its footer: {refusal}");
}

/// The interpreter of a virtual environment with pyseto, made once and kept in the user's cache.
fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let environment = cache().join(ENVIRONMENT);
        if !environment.exists() {
            make_environment(&environment);
        }
        environment.join("bin/python")
    })
}

/// Another run may do the same at the same time: whoever is first wins.
fn make_environment(environment: &Path) {
    let folder = environment.parent().expect("a folder in the cache");
    std::fs::create_dir_all(folder).unwrap();
    let unfinished = tempfile::Builder::new().prefix(ENVIRONMENT).tempdir_in(folder).unwrap();
    run(Command::new("python3").args(["-m", "venv"]).arg(unfinished.path()));
    let pip =
        ["-m", "pip", "--disable-pip-version-check", "install", "--no-deps", "--requirement", REQUIREMENTS];
    run(Command::new(unfinished.path().join("bin/python")).args(pip));
    if std::fs::rename(unfinished.path(), environment).is_err() {
        assert!(environment.exists(), "no environment at {}", environment.display());
    }
}

fn run(command: &mut Command) {
    let status = command.status().unwrap();
    assert!(status.success(), "{command:?}: {status}; debian-packages.txt has what these tests need");
}

/// `${XDG_CACHE_HOME:-~/.cache}/yk-cargo-interop`.
fn cache() -> PathBuf {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    cache.expect("XDG_CACHE_HOME or HOME").join("yk-cargo-interop")
}

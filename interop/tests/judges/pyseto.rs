//! pyseto, a PASETO library in Python, verifies tokens and names keys as we do.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use mock_card::MockCard;
use serde_json::{Value, json};
use yk_cargo_interop::cache;
use yk_cargo_interop::computer::{Computer, shown};

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

/// The interpreter of a virtual environment with pyseto.
fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| cache::python(ENVIRONMENT, REQUIREMENTS))
}
